//! The time of a record.

use rustix::time::{ClockId, clock_gettime};

use crate::sync;

/// Counts time for records at the lowest price: by the processor's own count where that grows at a
/// steady rate and is the same on all cores, else by the system's clock, in nanoseconds. What a
/// count is in seconds is for its user to find out, by another clock.
///
/// ```
/// use tautline_bus::record::Clock;
/// let clock = Clock::new();
/// let before = clock.ticks();
/// assert!(clock.ticks() >= before);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    counter: bool,
}

impl Clock {
    /// The cheapest of this machine.
    pub fn new() -> Self {
        Self { counter: has_steady_counter() }
    }

    /// The count now.
    #[inline(always)]
    pub fn ticks(self) -> u64 {
        if self.counter { sync::ticks() } else { nanoseconds() }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether the processor says that its counter never changes its rate and never stops (CPUID
/// 8000_0007h, EDX bit 8).
fn has_steady_counter() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::__cpuid;
        const FEATURES: u32 = 0x8000_0007;
        __cpuid(0x8000_0000).eax >= FEATURES && __cpuid(FEATURES).edx & 1 << 8 != 0
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

#[inline(never)]
fn nanoseconds() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    (now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64)
}
