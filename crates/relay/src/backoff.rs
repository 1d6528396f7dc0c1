//! Waiting longer after each failed attempt, and never all at the same moment.

use core::time::Duration;

/// Capped exponential back-off with jitter.
///
/// The n-th delay is drawn evenly from the upper half of `min(cap, floor × 2ⁿ)`, so that a thousand
/// relays whose server restarted do not return in step. The seed makes a run repeatable.
///
/// A connection that is made is no success yet: a peer that accepts and closes would be connected to
/// without pause. It is one that lasts longer than was waited for it.
#[derive(Debug, Clone)]
pub struct Backoff {
    floor: Duration,
    cap: Duration,
    /// Failures since the last success; saturates.
    failures: u32,
    /// The last delay that was given out, at least `floor`.
    last: Duration,
    random: fastrand::Rng,
}

impl Backoff {
    /// Delays from `floor` (first) to `cap` (last). A `cap` below `floor` counts as `floor`.
    #[must_use]
    pub fn new(floor: Duration, cap: Duration, seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        Self { floor, cap: cap.max(floor), failures: 0, last: floor, random }
    }

    /// The delay to wait after one more failure.
    pub fn next_delay(&mut self) -> Duration {
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        let ceiling = self.floor.saturating_mul(factor).min(self.cap);
        let half = u64::try_from((ceiling / 2).as_nanos()).unwrap_or(u64::MAX);
        let delay = ceiling - Duration::from_nanos(self.random.u64(0..=half));
        self.last = delay.max(self.floor);
        delay
    }

    /// Notes the end of a connection that has `lasted` so long. If that is longer than the last
    /// delay, the next one is the shortest again.
    pub fn note_end(&mut self, lasted: Duration) {
        if lasted > self.last {
            self.failures = 0;
        }
    }

    /// Failures since the last success.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: Duration = Duration::from_millis(100);
    const CAP: Duration = Duration::from_secs(10);

    /// Proves that each delay lies in the upper half of its doubling ceiling, up to the cap, for
    /// more attempts than the doubling could represent.
    #[test]
    fn delays_double_up_to_the_cap() {
        let mut backoff = Backoff::new(FLOOR, CAP, 7);
        for attempt in 0..80 {
            let ceiling =
                FLOOR.saturating_mul(1_u32.checked_shl(attempt).unwrap_or(u32::MAX)).min(CAP);
            let delay = backoff.next_delay();
            assert!(delay >= ceiling / 2 && delay <= ceiling, "attempt {attempt}: {delay:?}");
        }
    }

    /// Proves that a connection that lasts longer than was waited for it starts the sequence again,
    /// and that one that ends before, the first one among them, does not.
    #[test]
    fn lasting_connection_starts_again() {
        let mut backoff = Backoff::new(FLOOR, CAP, 7);
        for failures in 1..10 {
            backoff.note_end(FLOOR);
            backoff.next_delay();
            assert_eq!(backoff.failures(), failures);
        }
        backoff.note_end(CAP / 2);
        assert_eq!(backoff.failures(), 9, "not longer than the shortest of the last delays");
        backoff.note_end(CAP * 2);
        assert!(backoff.next_delay() <= FLOOR);
        assert_eq!(backoff.failures(), 1);
    }

    /// Proves that the same seed repeats a run and another seed does not.
    #[test]
    fn jitter_follows_the_seed() {
        let run = |seed| {
            let mut backoff = Backoff::new(FLOOR, CAP, seed);
            (0..16).map(|_| backoff.next_delay()).collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }
}
