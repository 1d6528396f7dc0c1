//! How late the book is: from the exchange's event to the update being applied.

use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;

/// What is longer counts as this: a minute, in nanoseconds.
const LONGEST: u64 = 60_000_000_000;

/// The time of day, which the exchange's events are stamped with.
pub(crate) fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Nanoseconds of waiting, to a hundredth: few enough bytes for one on each connection.
#[derive(Debug)]
pub(crate) struct Latency(Histogram<u64>);

impl Latency {
    pub(crate) fn new() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST, 2).expect("constant bounds are valid"))
    }

    /// Clocks that disagree may show an effect before its cause: that counts as no time at all.
    pub(crate) fn record(&mut self, event: Duration, now: Duration) {
        let nanos = now.saturating_sub(event).as_nanos();
        self.0.saturating_record(u64::try_from(nanos).unwrap_or(LONGEST));
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("both have the same bounds");
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// p50, p99, p99.9 and the longest.
    pub(crate) fn points(&self) -> [Duration; 4] {
        let at = |quantile| self.0.value_at_quantile(quantile);
        [at(0.5), at(0.99), at(0.999), self.0.max()].map(Duration::from_nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that times are kept to a hundredth, added up, and never negative.
    #[test]
    fn latencies_add_up() {
        let (mut first, mut second) = (Latency::new(), Latency::new());
        let event = Duration::from_secs(1_700_000_000);
        for micros in 1..=999 {
            first.record(event, event + Duration::from_micros(micros));
        }
        second.record(event, event + Duration::from_secs(3600));
        second.record(event, event - Duration::from_secs(1));
        first.add(&second);
        assert_eq!(first.count(), 1001);
        let [median, .., longest] = first.points();
        assert!(median.abs_diff(Duration::from_micros(500)) < Duration::from_micros(5));
        assert!(longest.abs_diff(Duration::from_secs(60)) < Duration::from_millis(600));
    }
}
