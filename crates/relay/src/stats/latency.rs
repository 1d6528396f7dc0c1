//! Latency histograms with a fixed footprint.

use core::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::units::Nanos;

/// Longest latency told apart: one minute. Longer ones count as one minute.
const LONGEST: u64 = 60_000_000_000;

/// A histogram of durations from 1 ns to one minute at 0.8 % precision.
///
/// All its buckets (about 30 KiB) are allocated at construction; recording is one increment.
#[derive(Debug, Clone)]
pub struct Latency(Histogram<u64>);

/// Powers of two of a microsecond that a distribution is told in: the last is about 4 s.
const POWERS: usize = 23;

/// The points of a latency distribution, in nanoseconds; all 0 if nothing was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct LatencySnapshot {
    /// Values recorded.
    pub count: u64,
    /// Half of the values are at most this.
    pub p50_ns: u64,
    /// 99 of 100 values are at most this.
    pub p99_ns: u64,
    /// 999 of 1,000 values are at most this.
    pub p999_ns: u64,
    /// The largest value.
    pub max_ns: u64,
}

impl Default for Latency {
    fn default() -> Self {
        Self::new()
    }
}

impl Latency {
    /// An empty histogram.
    ///
    /// # Panics
    /// Never: the bounds are constants that the histogram accepts.
    #[must_use]
    pub fn new() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST, 2).expect("constant bounds are valid"))
    }

    /// Records one value.
    pub fn record(&mut self, value: Duration) {
        self.record_many(value, 1);
    }

    /// Records one value `count` times.
    pub fn record_many(&mut self, value: Duration, count: u64) {
        let nanos = u64::try_from(value.as_nanos()).unwrap_or(LONGEST);
        self.0.saturating_record_n(nanos.clamp(1, LONGEST), count);
    }

    /// Adds all values of `other`. Allocates nothing.
    ///
    /// # Panics
    /// Never: all histograms of this type share their bounds.
    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("histograms with equal bounds add up");
    }

    /// Forgets all values.
    pub fn clear(&mut self) {
        self.0.reset();
    }

    /// Values by powers of two: at position `n` those up to 2^n µs that are at no position before,
    /// and at the last all that are longer.
    #[must_use]
    pub fn buckets(&self) -> Vec<u64> {
        let mut buckets = vec![0; POWERS + 1];
        for step in self.0.iter_recorded() {
            let value = self.0.lowest_equivalent(step.value_iterated_to());
            let micros = value.div_ceil(1_000);
            let power = micros.next_power_of_two().trailing_zeros() as usize;
            buckets[power.min(POWERS)] += step.count_since_last_iteration();
        }
        buckets
    }

    /// The distribution so far.
    #[must_use]
    pub fn snapshot(&self) -> LatencySnapshot {
        if self.0.is_empty() {
            return LatencySnapshot::default();
        }
        LatencySnapshot {
            count: self.0.len(),
            p50_ns: self.0.value_at_quantile(0.5),
            p99_ns: self.0.value_at_quantile(0.99),
            p999_ns: self.0.value_at_quantile(0.999),
            max_ns: self.0.max(),
        }
    }
}

/// How long packets took from receive to last send: over an interval and over all.
#[derive(Debug, Clone, Default)]
pub struct Latencies {
    interval: Latency,
    /// All intervals before.
    total: Latency,
}

impl Latencies {
    /// `packets` packets came at `arrival` and were sent for the last time at `sent`.
    pub fn record(&mut self, arrival: Nanos, sent: Nanos, packets: u64) {
        self.interval.record_many(sent.since(arrival), packets);
    }

    /// What [`Snapshot::latency_buckets`](super::Snapshot) tells of the interval since the last
    /// sample.
    pub fn buckets(&self) -> Vec<u64> {
        self.interval.buckets()
    }

    /// The interval since the last call.
    pub fn sample(&mut self) -> LatencySnapshot {
        let points = self.interval.snapshot();
        self.total.add(&self.interval);
        self.interval.clear();
        points
    }

    /// Everything.
    pub fn total(&mut self) -> LatencySnapshot {
        self.sample();
        self.total.snapshot()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that the points of a known distribution come out within the stated precision.
    #[test]
    fn points_are_within_precision() {
        let mut latency = Latency::new();
        for micros in 1..=1_000 {
            latency.record(Duration::from_micros(micros));
        }
        let points = latency.snapshot();
        for (found, exact) in
            [(points.p50_ns, 500_000), (points.p99_ns, 990_000), (points.max_ns, 1_000_000)]
        {
            assert!(found.abs_diff(exact) * 1_000 <= exact * 8, "{found} is not {exact}");
        }
        assert_eq!(points.count, 1_000);
    }

    /// Proves that each value is in the bucket of the power of two that it does not exceed.
    #[test]
    fn buckets_are_powers_of_two() {
        let mut latency = Latency::new();
        for micros in [1, 2, 3, 4, 5, 1_000, 50_000_000] {
            latency.record(Duration::from_micros(micros));
        }
        latency.record(Duration::from_nanos(10));
        let buckets = latency.buckets();
        assert_eq!(&buckets[..4], [2, 1, 2, 1]);
        assert_eq!((buckets[10], buckets[POWERS], buckets.len()), (1, 1, POWERS + 1));
        assert_eq!(buckets.iter().sum::<u64>(), 8);
    }

    /// Proves that nothing recorded reads as zeros and that extremes saturate instead of failing.
    #[test]
    fn extremes_saturate() {
        let mut latency = Latency::new();
        assert_eq!(latency.snapshot(), LatencySnapshot::default());
        latency.record(Duration::ZERO);
        latency.record(Duration::MAX);
        let points = latency.snapshot();
        assert_eq!(points.count, 2);
        assert!(points.max_ns >= LONGEST);
    }

    /// Proves that a second's histogram adds up into the total and can be used again.
    #[test]
    fn intervals_add_up() {
        let (mut total, mut second) = (Latency::new(), Latency::new());
        for value in [10, 20] {
            second.record(Duration::from_nanos(value));
            total.add(&second);
            second.clear();
        }
        let points = total.snapshot();
        assert_eq!((points.count, points.p50_ns, points.max_ns), (2, 10, 20));
    }

    /// Proves that latencies are told an interval at a time, and all of them at the end.
    #[test]
    fn latencies_are_told_an_interval_at_a_time() {
        let mut latencies = Latencies::default();
        latencies.record(Nanos(0), Nanos(90), 1);
        assert_eq!(latencies.sample().max_ns, 90);
        latencies.record(Nanos(100), Nanos(110), 1);
        assert_eq!((latencies.sample().max_ns, latencies.sample().count), (10, 0));
        assert_eq!((latencies.total().max_ns, latencies.total().count), (90, 2));
    }
}
