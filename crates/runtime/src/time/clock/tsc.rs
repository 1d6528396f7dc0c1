//! The time-stamp counter: whether to trust it, and what it means in nanoseconds.

use std::time::Duration;

/// Fraction bits of the rate.
const FRACTION: u32 = 32;

/// The rate is measured anew over stretches of this length.
const STRETCH: u64 = 1_000_000_000;

/// A sample that took longer than this many cycles was interrupted and proves nothing.
const WIDEST: u64 = 20_000;

/// How far the clocks may be apart at any time.
const BOUND: u64 = 20_000;

/// And, of the time since they were last held against each other, this fraction: the
/// kernel may slew its clock by half of it.
const DRIFT: u64 = 1_000;

/// The counter and `CLOCK_MONOTONIC` at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) ticks: u64,
    pub(super) nanos: u64,
    /// Cycles that taking it took: the uncertainty.
    pub(super) width: u64,
}

impl Sample {
    /// Whether it was taken without an interruption.
    pub(super) fn is_sound(&self) -> bool {
        self.width <= WIDEST
    }
}

/// What a comparison of the clocks says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Within the bound; the conversion was adjusted.
    Agrees,
    /// Out of bounds.
    Disagrees {
        /// By how much.
        by: Duration,
    },
}

/// Converts counts to nanoseconds. Reads no clock itself.
#[derive(Clone, Debug)]
pub(super) struct Tsc {
    /// The moment that conversion counts from.
    anchor: Sample,
    /// The moment that the next measurement of the rate counts from.
    stretch: Sample,
    /// Nanoseconds per cycle, with [`FRACTION`] fraction bits.
    rate: u64,
    /// Nanoseconds that the rate was measured over, at most [`STRETCH`].
    measured_over: u64,
}

impl Tsc {
    pub(super) fn new(first: Sample, second: Sample) -> Self {
        let measured_over = second.nanos.saturating_sub(first.nanos);
        Self { anchor: second, stretch: first, rate: rate(first, second), measured_over }
    }

    #[inline]
    pub(super) fn nanos_at(&self, ticks: u64) -> u64 {
        let since = ticks.saturating_sub(self.anchor.ticks);
        let nanos = (u128::from(since) * u128::from(self.rate)) >> FRACTION;
        self.anchor.nanos.saturating_add(nanos as u64)
    }

    pub(super) fn megahertz(&self) -> f64 {
        1_000.0 * (1u64 << FRACTION) as f64 / self.rate as f64
    }

    /// Counts from `here` on.
    pub(super) fn anchor(&mut self, here: Sample) {
        self.anchor = here;
    }

    /// Compares the conversion with a sample, and takes the sample over if they agree.
    pub(super) fn judge(&mut self, here: Sample) -> Verdict {
        let by = self.nanos_at(here.ticks).abs_diff(here.nanos);
        let elapsed = here.nanos.saturating_sub(self.anchor.nanos);
        if by > BOUND + elapsed / DRIFT {
            return Verdict::Disagrees { by: Duration::from_nanos(by) };
        }
        self.anchor = here;
        self.measure(here);
        Verdict::Agrees
    }

    /// Measures the rate again, if over a stretch no shorter than before.
    fn measure(&mut self, here: Sample) {
        let over = here.nanos.saturating_sub(self.stretch.nanos);
        if over < self.measured_over {
            return;
        }
        self.rate = rate(self.stretch, here);
        self.measured_over = over.min(STRETCH);
        if over >= STRETCH {
            self.stretch = here;
        }
    }
}

fn rate(first: Sample, second: Sample) -> u64 {
    let nanos = u128::from(second.nanos.saturating_sub(first.nanos)) << FRACTION;
    let ticks = second.ticks.saturating_sub(first.ticks).max(1);
    u64::try_from(nanos / u128::from(ticks)).unwrap_or(u64::MAX).max(1)
}

/// The counter, read without a fence: neighbouring instructions may overlap the reading.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn read() -> u64 {
    // SAFETY: every x86-64 processor has the instruction; a kernel that forbids it does
    // not run on the counter, and then `trusted` refuses it.
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// There is no counter that we know how to read; `trusted` says so.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn read() -> u64 {
    0
}

/// Whether the counter may be used as a clock; if not, why.
pub(super) fn trusted() -> Result<(), String> {
    const CURRENT: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let source = std::fs::read_to_string(CURRENT)
        .map_err(|error| format!("cannot tell what clock the kernel trusts: {CURRENT}: {error}"))?;
    judge_source(source.trim(), is_invariant())
}

fn judge_source(source: &str, invariant: bool) -> Result<(), String> {
    if source != "tsc" {
        return Err(format!("the kernel runs on `{source}`, not on the time-stamp counter"));
    }
    if !invariant {
        return Err("the processor does not promise a time-stamp counter of constant pace".into());
    }
    Ok(())
}

/// CPUID leaf 0x8000_0007, EDX bit 8.
#[cfg(target_arch = "x86_64")]
fn is_invariant() -> bool {
    use std::arch::x86_64::__cpuid;
    const POWER: u32 = 0x8000_0007;
    __cpuid(0x8000_0000).eax >= POWER && __cpuid(POWER).edx >> 8 & 1 == 1
}

#[cfg(not(target_arch = "x86_64"))]
fn is_invariant() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(ticks: u64, nanos: u64) -> Sample {
        Sample { ticks, nanos, width: 50 }
    }

    /// A counter at 2.5 GHz.
    fn counter() -> Tsc {
        Tsc::new(sample(0, 1_000), sample(10_000_000, 4_001_000))
    }

    /// Counts become nanoseconds at the measured rate, over a day without overflow and
    /// within a part in a million; a count from before the anchor does not wrap.
    #[test]
    fn converts_at_the_measured_rate() {
        let tsc = counter();
        assert_eq!(tsc.nanos_at(10_000_000), 4_001_000);
        assert!((tsc.megahertz() - 2_500.0).abs() < 0.01);
        let day = 86_400_000_000_000;
        let nanos = tsc.nanos_at(10_000_000 + day / 2 * 5) - 4_001_000;
        assert!(nanos.abs_diff(day) < day / 1_000_000);
        assert_eq!(tsc.nanos_at(0), 4_001_000);
    }

    /// Small errors are taken out at each comparison, and the rate follows.
    #[test]
    fn follows_a_slow_drift() {
        let mut tsc = counter();
        for step in 1..100u64 {
            // 200 parts in a million faster than at first.
            let ticks = 10_000_000 + step * 250_000_000;
            let nanos = 4_001_000 + step * 100_020_000;
            assert_eq!(tsc.judge(sample(ticks, nanos)), Verdict::Agrees);
        }
        let ahead = tsc.nanos_at(10_000_000 + 100 * 250_000_000);
        assert!(ahead.abs_diff(4_001_000 + 100 * 100_020_000) < 200);
    }

    /// A jump of either clock is out of bounds.
    #[test]
    fn notices_a_jump() {
        for nanos in [4_001_000 + 10_000_000 + 40_000, 4_001_000 + 10_000_000 - 40_000] {
            let verdict = counter().judge(sample(35_000_000, nanos));
            assert!(matches!(verdict, Verdict::Disagrees { .. }));
        }
    }

    /// A sample that was interrupted proves nothing.
    #[test]
    fn an_interrupted_sample_is_not_sound() {
        assert!(Sample { width: WIDEST, ..sample(0, 0) }.is_sound());
        assert!(!Sample { width: WIDEST + 1, ..sample(0, 0) }.is_sound());
    }

    /// Only a counter that the kernel runs on and the processor vouches for is trusted,
    /// and the refusal names the cause.
    #[test]
    fn trust_needs_kernel_and_processor() {
        assert_eq!(judge_source("tsc", true), Ok(()));
        assert!(judge_source("hpet", true).is_err_and(|reason| reason.contains("`hpet`")));
        assert!(judge_source("tsc", false).is_err_and(|reason| reason.contains("constant pace")));
    }
}
