//! Which slots of a level have a timer.

/// A set of slots on a circle. Slots are named by a number that only grows; it counts
/// modulo the number of slots.
pub(super) struct Occupancy {
    /// A bit for each slot.
    slots: Box<[u64]>,
    /// The first tier has a bit for each word of `slots` that is not zero, each further
    /// one a bit for each word of the one before; the last tier is one word.
    tiers: Vec<Box<[u64]>>,
    /// The number of slots less one: a power of two less one.
    mask: u64,
}

impl Occupancy {
    /// An empty set of `slots` slots, a power of two.
    pub(super) fn new(slots: usize) -> Self {
        debug_assert!(slots.is_power_of_two());
        let mut words = slots.div_ceil(64);
        let fine = vec![0; words].into_boxed_slice();
        let mut tiers = Vec::new();
        while tiers.is_empty() || words > 1 {
            words = words.div_ceil(64);
            tiers.push(vec![0; words].into_boxed_slice());
        }
        Self { slots: fine, tiers, mask: slots as u64 - 1 }
    }

    /// Puts a slot in; true if it was in already.
    #[inline]
    pub(super) fn set(&mut self, slot: u64) -> bool {
        let bit = (slot & self.mask) as usize;
        let word = &mut self.slots[bit / 64];
        let before = *word;
        *word |= 1 << (bit % 64);
        if before == 0 {
            self.set_above(bit / 64);
        }
        before >> (bit % 64) & 1 == 1
    }

    #[cold]
    fn set_above(&mut self, mut bit: usize) {
        for tier in &mut self.tiers {
            tier[bit / 64] |= 1 << (bit % 64);
            bit /= 64;
        }
    }

    #[inline]
    pub(super) fn clear(&mut self, slot: u64) {
        let bit = (slot & self.mask) as usize;
        let word = &mut self.slots[bit / 64];
        *word &= !(1 << (bit % 64));
        if *word == 0 {
            self.clear_above(bit / 64);
        }
    }

    #[cold]
    fn clear_above(&mut self, mut bit: usize) {
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
        self.slots[(slot & self.mask) as usize / 64]
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

    /// The same, if it is in the same word.
    #[inline]
    pub(super) fn next_in_word(&self, slot: u64) -> Option<u64> {
        let word = self.word(slot) >> (slot % 64);
        (word != 0).then(|| slot + u64::from(word.trailing_zeros()))
    }

    /// Climbs until a word has a bit at or after the place sought, then descends to it.
    fn at_or_after(&self, from: usize) -> Option<u64> {
        let mut bit = from;
        for height in 0..=self.tiers.len() {
            let word = *self.tier(height).get(bit / 64)? & (u64::MAX << (bit % 64));
            if word != 0 {
                let found = bit / 64 * 64 + word.trailing_zeros() as usize;
                return Some(self.descend(height, found));
            }
            bit = bit / 64 + 1;
        }
        None
    }

    fn descend(&self, height: usize, bit: usize) -> u64 {
        let lower = (0..height).rev().map(|height| self.tier(height));
        lower.fold(bit, |bit, tier| bit * 64 + tier[bit].trailing_zeros() as usize) as u64
    }

    fn tier(&self, height: usize) -> &[u64] {
        height.checked_sub(1).map_or(&self.slots, |above| &self.tiers[above])
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
            for &slot in &chosen {
                set.set(slot);
            }
            for from in 0..2 * slots {
                let walk = (from..from + slots).find(|&slot| set.contains(slot));
                assert_eq!(set.next(from), walk);
            }
            chosen.iter().for_each(|&slot| set.clear(slot));
            assert_eq!(set.next(0), None);
        }
    }
}
