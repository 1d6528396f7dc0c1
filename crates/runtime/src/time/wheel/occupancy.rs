//! Which slots of a level have a timer.

/// A set of slots on a circle. Slots are named by a number that only grows; it counts
/// modulo the number of slots.
pub(super) struct Occupancy {
    /// Tier 0 has a bit for each slot, each tier above a bit for each word of the tier
    /// below that is not zero; the last tier is one word.
    tiers: Vec<Box<[u64]>>,
    /// The number of slots less one: a power of two less one.
    mask: u64,
}

impl Occupancy {
    /// An empty set of `slots` slots, a power of two.
    pub(super) fn new(slots: usize) -> Self {
        debug_assert!(slots.is_power_of_two());
        let mut tiers = Vec::new();
        let mut words = slots;
        while tiers.is_empty() || words > 1 {
            words = words.div_ceil(64);
            tiers.push(vec![0; words].into_boxed_slice());
        }
        Self { tiers, mask: slots as u64 - 1 }
    }

    #[inline]
    pub(super) fn set(&mut self, slot: u64) {
        let mut bit = (slot & self.mask) as usize;
        for tier in &mut self.tiers {
            let word = &mut tier[bit / 64];
            let known = *word != 0;
            *word |= 1 << (bit % 64);
            if known {
                return;
            }
            bit /= 64;
        }
    }

    #[inline]
    pub(super) fn clear(&mut self, slot: u64) {
        let mut bit = (slot & self.mask) as usize;
        for tier in &mut self.tiers {
            let word = &mut tier[bit / 64];
            *word &= !(1 << (bit % 64));
            if *word != 0 {
                return;
            }
            bit /= 64;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tiers.last().is_none_or(|top| top[0] == 0)
    }

    pub(super) fn contains(&self, slot: u64) -> bool {
        self.word(slot) >> (slot % 64) & 1 == 1
    }

    /// The 64 slots around `slot` that share a word.
    #[inline]
    pub(super) fn word(&self, slot: u64) -> u64 {
        self.tiers[0][(slot & self.mask) as usize / 64]
    }

    /// The first slot in the set, from `slot` on around the circle.
    #[inline]
    pub(super) fn next(&self, slot: u64) -> Option<u64> {
        let from = slot & self.mask;
        let turn = slot - from;
        if let Some(found) = self.at_or_after(from as usize) {
            return Some(turn + found);
        }
        self.at_or_after(0).map(|found| turn + self.mask + 1 + found)
    }

    /// Climbs until a word has a bit at or after the place sought, then descends to it.
    #[inline]
    fn at_or_after(&self, from: usize) -> Option<u64> {
        let mut bit = from;
        for (height, tier) in self.tiers.iter().enumerate() {
            let word = *tier.get(bit / 64)? & (u64::MAX << (bit % 64));
            if word != 0 {
                let found = bit / 64 * 64 + word.trailing_zeros() as usize;
                return Some(self.descend(height, found));
            }
            bit = bit / 64 + 1;
        }
        None
    }

    #[inline]
    fn descend(&self, height: usize, bit: usize) -> u64 {
        let below = self.tiers[..height].iter().rev();
        below.fold(bit, |bit, tier| bit * 64 + tier[bit].trailing_zeros() as usize) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From every slot the search finds the same next one as a walk around the circle.
    #[test]
    fn search_agrees_with_a_walk() {
        let mut random = fastrand::Rng::with_seed(1);
        for (slots, members) in [(64, 3), (4096, 1), (4096, 2), (4096, 100), (8192, 5)] {
            let mut set = Occupancy::new(slots as usize);
            let chosen: Vec<u64> = (0..members).map(|_| random.u64(0..slots)).collect();
            chosen.iter().for_each(|&slot| set.set(slot));
            for from in 0..2 * slots {
                let walk = (from..from + slots).find(|&slot| set.contains(slot));
                assert_eq!(set.next(from), walk);
            }
            chosen.iter().for_each(|&slot| set.clear(slot));
            assert_eq!(set.next(0), None);
        }
    }
}
