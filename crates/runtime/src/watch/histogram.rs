//! A histogram of durations in nanoseconds, small enough to sit in every loop.

/// Each power of two is divided into 2 to this power buckets.
const PRECISION: u32 = 5;

/// Buckets for all 64 bits: below 64 ns one a nanosecond, then 32 a power of two.
const BUCKETS: usize = ((u64::BITS - PRECISION) as usize + 1) << PRECISION;

/// Counts values in buckets whose width grows with the value: a quantile is at most one
/// part in 32 (3.1 %) above the true value, and never below it. Covers every `u64`.
///
/// ```
/// use tautline_runtime::watch::Histogram;
/// let mut turns = Histogram::new();
/// for nanos in 1..=1_000 {
///     turns.record(nanos);
/// }
/// let median = turns.quantile(0.5);
/// assert!((500..=516).contains(&median));
/// assert_eq!((turns.max(), turns.count()), (1_000, 1_000));
/// ```
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Box<[u64; BUCKETS]>,
    /// The sum of `buckets`.
    count: u64,
    /// The largest value recorded, exactly; 0 if none.
    max: u64,
}

impl Histogram {
    /// An empty histogram. The only allocation: 15 KiB.
    pub fn new() -> Self {
        Self { buckets: Box::new([0; BUCKETS]), count: 0, max: 0 }
    }

    /// Counts one value.
    #[inline]
    pub fn record(&mut self, nanos: u64) {
        self.buckets[bucket_of(nanos)] += 1;
        self.count += 1;
        self.max = self.max.max(nanos);
    }

    /// The value that a share `q` of all values do not exceed; `q` is clamped to 0..=1.
    /// Zero if nothing was recorded.
    pub fn quantile(&self, q: f64) -> u64 {
        let wanted = (q.clamp(0.0, 1.0) * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, &count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return last_of(bucket).min(self.max);
            }
        }
        self.max
    }

    /// The largest value recorded, exactly; zero if none.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Adds what `other` has counted.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in self.buckets.iter_mut().zip(other.buckets.iter()) {
            *bucket += count;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    /// What was recorded since `earlier`, a copy of this histogram from then. Its largest
    /// value is exact if it is the largest of all; else it is at most one part in 32 above.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut recent = Self::new();
        for (bucket, count) in recent.buckets.iter_mut().enumerate() {
            *count = self.buckets[bucket].saturating_sub(earlier.buckets[bucket]);
            if *count > 0 {
                recent.count += *count;
                recent.max = last_of(bucket).min(self.max);
            }
        }
        recent
    }

    /// Forgets all values.
    pub fn clear(&mut self) {
        self.buckets.fill(0);
        self.count = 0;
        self.max = 0;
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

/// Drops all but the six leading bits of a value; how many were dropped, then what is
/// left, number the bucket.
#[inline]
fn bucket_of(nanos: u64) -> usize {
    let dropped = (nanos | 1).ilog2().saturating_sub(PRECISION);
    ((dropped as usize) << PRECISION) + (nanos >> dropped) as usize
}

/// The largest value that falls into a bucket.
fn last_of(bucket: usize) -> u64 {
    let dropped = (bucket >> PRECISION).saturating_sub(1);
    let kept = (bucket - (dropped << PRECISION)) as u64;
    (kept << dropped) | ((1 << dropped) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Quantiles are never below those of the sorted values, and above them by at
        /// most a part in 32.
        #[test]
        fn quantiles_agree_with_sorting(
            values in proptest::collection::vec((0u32..64, any::<u64>()).prop_map(|(bits, value)| value >> bits), 1..200),
            q in 0.0..=1.0f64,
        ) {
            let mut histogram = Histogram::new();
            values.iter().for_each(|&value| histogram.record(value));
            let mut sorted = values;
            sorted.sort_unstable();
            let rank = (q * sorted.len() as f64).ceil().max(1.0) as usize;
            let exact = sorted[rank - 1];
            let found = histogram.quantile(q);
            prop_assert!(found >= exact && found - exact <= exact / 32);
        }
    }

    /// Every value lies in the bucket whose end is the first at or past it, up to the
    /// largest value there is.
    #[test]
    fn buckets_cover_every_value_in_order() {
        assert_eq!(last_of(BUCKETS - 1), u64::MAX);
        let mut start = 0;
        for bucket in 0..BUCKETS {
            let end = last_of(bucket);
            assert_eq!((bucket_of(start), bucket_of(end)), (bucket, bucket));
            start = end.wrapping_add(1);
        }
        assert_eq!(start, 0);
    }

    /// What came since a copy was made is told apart from what was before, its largest value
    /// within the precision where an earlier one was larger, and exactly where none was.
    #[test]
    fn tells_what_came_since() {
        let mut all = Histogram::new();
        all.record(1_000);
        let before = all.clone();
        assert_eq!((all.since(&before).count(), all.since(&before).max()), (0, 0));
        all.record(100);
        let recent = all.since(&before);
        assert_eq!(recent.count(), 1);
        assert!((100..=103).contains(&recent.max()), "{}", recent.max());
        assert_eq!(recent.quantile(0.5), recent.max());
        all.record(2_001);
        let recent = all.since(&before);
        assert_eq!((recent.count(), recent.max()), (2, 2_001));
    }

    /// Merging counts everything once; clearing leaves nothing.
    #[test]
    fn merges_and_clears() {
        let (mut one, mut other) = (Histogram::new(), Histogram::default());
        one.record(10);
        other.record(30);
        other.record(20);
        one.merge(&other);
        assert_eq!((one.count(), one.max(), one.quantile(0.0), one.quantile(0.6)), (3, 30, 10, 20));
        one.clear();
        assert_eq!((one.count(), one.max(), one.quantile(0.5)), (0, 0, 0));
    }
}
