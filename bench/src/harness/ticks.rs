//! Times of some tens of nanoseconds, by the counter of the processor where there is one: a look at
//! the clock would take a third of them.

use std::time::Instant;

/// A stretch of time by which the counter is compared with the clock.
pub(crate) struct Ticks {
    start: Instant,
    ticks: u64,
}

impl Ticks {
    /// It begins.
    pub(crate) fn start() -> Self {
        Self { start: Instant::now(), ticks: Self::now() }
    }

    /// The counter.
    #[inline(always)]
    pub(crate) fn now() -> u64 {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: every processor of the architecture has the counter.
        unsafe {
            std::arch::x86_64::_rdtsc()
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            use std::sync::OnceLock;
            static START: OnceLock<Instant> = OnceLock::new();
            START.get_or_init(Instant::now).elapsed().as_nanos() as u64
        }
    }

    /// It ends; nanoseconds of a tick.
    pub(crate) fn nanos(self) -> f64 {
        let ticks = Self::now().wrapping_sub(self.ticks).max(1);
        self.start.elapsed().as_nanos() as f64 / ticks as f64
    }
}
