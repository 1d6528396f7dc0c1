//! Random numbers that are the same for ever.
//!
//! SplitMix64, after Steele, Lea and Flood, "Fast splittable pseudorandom number
//! generators" (OOPSLA 2014). It is written out here so that no library's next version
//! changes what a seed means.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::Rate;

/// What each step adds: the golden ratio, odd.
const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// Scatters the bits of `word` over all of it.
pub(super) const fn mix(word: u64) -> u64 {
    let word = (word ^ word >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ word >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ word >> 31
}

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub(super) struct Rng(u64);

impl Rng {
    /// The stream of `seed`.
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        mix(self.0)
    }

    /// A number below `bound`; 0 when that is 0.
    pub(super) const fn below(&mut self, bound: u64) -> u64 {
        // The upper half of the product: without a division, its bias below 2^-32 for
        // the small bounds that occur.
        ((self.next() as u128 * bound as u128) >> 64) as u64
    }

    /// Whether something that happens at `rate` happens now.
    pub(super) const fn chance(&mut self, rate: Rate) -> bool {
        self.below(Rate::ALWAYS.per_million() as u64) < rate.per_million() as u64
    }

    /// A time in `range`; its start when that is empty.
    pub(super) fn duration(&mut self, range: &RangeInclusive<Duration>) -> Duration {
        let width = range.end().saturating_sub(*range.start());
        let nanos = u64::try_from(width.as_nanos()).unwrap_or(u64::MAX - 1);
        *range.start() + Duration::from_nanos(self.below(nanos + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers are those that the algorithm's authors publish for this seed.
    #[test]
    fn a_seed_means_the_same_for_ever() {
        let mut rng = Rng::new(1_234_567);
        let published = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(published.map(|_| rng.next()), published);
    }

    /// Numbers stay below their bound and reach all of a small one.
    #[test]
    fn bounds_are_kept_and_reached() {
        let mut rng = Rng::new(1);
        let mut seen = [false; 7];
        (0..1000).for_each(|_| seen[rng.below(7) as usize] = true);
        assert_eq!(seen, [true; 7]);
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.below(1), 0);
    }

    /// What always happens does, what never happens does not, and half lies between.
    #[test]
    fn rates_are_kept() {
        let mut rng = Rng::new(2);
        assert!((0..1000).all(|_| rng.chance(Rate::ALWAYS)));
        assert!((0..1000).all(|_| !rng.chance(Rate::NEVER)));
        let half = (0..10_000).filter(|_| rng.chance(Rate::percent(50))).count();
        assert!((4500..5500).contains(&half), "{half} of 10000");
    }

    /// Times lie in their range, both ends included, and an empty range is its start.
    #[test]
    fn times_lie_in_their_range() {
        let mut rng = Rng::new(3);
        let [low, high] = [5, 8].map(Duration::from_nanos);
        let drawn: Vec<_> = (0..1000).map(|_| rng.duration(&(low..=high))).collect();
        assert_eq!(drawn.iter().min(), Some(&low));
        assert_eq!(drawn.iter().max(), Some(&high));
        assert_eq!(rng.duration(&(high..=low)), high);
    }
}
