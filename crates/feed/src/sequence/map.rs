//! A bit for each number of a window that moves on.

use std::ops::Range;

/// Bits of the numbers of a window. Outside of it nothing may be asked; who moves the window on
/// clears what it leaves behind.
#[derive(Debug)]
pub(super) struct Map {
    words: Box<[u64]>,
    /// Words, less one.
    mask: u64,
}

/// Bits of a word.
const BITS: u64 = 64;

/// Numbers, and which bits of which word they are in every map, if they are in one: as those of most
/// packets, for which that is found out once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bits {
    pub(super) first: u64,
    pub(super) end: u64,
    /// The word, counted from number 0.
    word: u64,
    /// The bits; 0: nothing is known of them.
    bits: u64,
}

impl Bits {
    #[inline(always)]
    pub(super) fn of(numbers: Range<u64>) -> Self {
        let Range { start: first, end } = numbers;
        let (low, count) = (first % BITS, end - first);
        // Of no numbers, and of a whole word, this is 0 as well.
        let bits = if low + count <= BITS { ((1 << (count % BITS)) - 1) << low } else { 0 };
        Self { first, end, word: first / BITS, bits }
    }

    /// How many there are.
    #[inline(always)]
    pub(super) fn len(&self) -> u64 {
        self.end - self.first
    }

    pub(super) fn range(&self) -> Range<u64> {
        self.first..self.end
    }
}

impl Map {
    /// For a window of so many numbers, a power of two.
    pub(super) fn new(window: u64) -> Self {
        assert!(window.is_power_of_two() && window >= BITS);
        let words = window / BITS;
        Self { words: vec![0; words as usize].into(), mask: words - 1 }
    }

    fn word(&self, number: u64) -> usize {
        ((number / BITS) & self.mask) as usize
    }

    /// Sets those of the numbers, which are not more than the window has.
    #[inline(always)]
    pub(super) fn set(&mut self, numbers: &Bits) {
        if numbers.bits == 0 {
            return self.each_word(numbers.range(), |word, bits| *word |= bits);
        }
        self.words[(numbers.word & self.mask) as usize] |= numbers.bits;
    }

    /// Clears them; returns how many were set.
    #[inline(always)]
    pub(super) fn take(&mut self, numbers: &Bits) -> u64 {
        if numbers.bits == 0 {
            return self.take_many(numbers.range());
        }
        let word = &mut self.words[(numbers.word & self.mask) as usize];
        let were = *word & numbers.bits;
        *word ^= were;
        // All or none are set most times; to count is some twenty instructions on old processors.
        if were == numbers.bits {
            numbers.len()
        } else if were == 0 {
            0
        } else {
            u64::from(were.count_ones())
        }
    }

    #[inline(never)]
    fn take_many(&mut self, numbers: Range<u64>) -> u64 {
        let mut taken = 0;
        self.each_word(numbers, |word, bits| {
            taken += u64::from((*word & bits).count_ones());
            *word &= !bits;
        });
        taken
    }

    /// Clears them.
    #[inline]
    pub(super) fn clear(&mut self, numbers: Range<u64>) {
        self.each_word(numbers, |word, bits| *word &= !bits);
    }

    fn each_word(&mut self, numbers: Range<u64>, mut act: impl FnMut(&mut u64, u64)) {
        debug_assert!(numbers.end - numbers.start <= self.words.len() as u64 * BITS);
        let mut at = numbers.start;
        while at < numbers.end {
            let (word, low) = (self.word(at), at % BITS);
            let count = (numbers.end - at).min(BITS - low);
            act(&mut self.words[word], u64::MAX >> (BITS - count) << low);
            at += count;
        }
    }

    /// The first numbers in a row that are not set; none of no numbers.
    pub(super) fn first_clear(&self, numbers: Range<u64>) -> Option<Range<u64>> {
        let start = self.find(numbers.start, numbers.end, false);
        if start >= numbers.end {
            return None;
        }
        Some(start..self.find(start, numbers.end, true))
    }

    /// Whether none of the numbers is set.
    #[inline(always)]
    pub(super) fn is_clear(&self, numbers: &Bits) -> bool {
        if numbers.bits == 0 {
            return self.first_set(numbers.range()) == numbers.end;
        }
        self.words[(numbers.word & self.mask) as usize] & numbers.bits == 0
    }

    /// Whether all of the numbers are set.
    pub(super) fn is_set(&self, numbers: &Bits) -> bool {
        self.first_clear(numbers.range()).is_none()
    }

    /// The first number that is set, or the end.
    pub(super) fn first_set(&self, numbers: Range<u64>) -> u64 {
        self.find(numbers.start, numbers.end, true)
    }

    /// The first number from `at` on that is as wanted, or the end.
    fn find(&self, mut at: u64, end: u64, set: bool) -> u64 {
        while at < end {
            let word = self.words[self.word(at)];
            let wanted = if set { word } else { !word } >> (at % BITS);
            if wanted != 0 {
                return (at + u64::from(wanted.trailing_zeros())).min(end);
            }
            at += BITS - at % BITS;
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ranges across words and across the wrap are set, found and cleared.
    #[test]
    fn ranges_are_found() {
        let mut map = Map::new(128);
        for start in [0, 1, 63, 64, 100, 1000, 12_345] {
            let window = start..start + 128;
            assert!(
                map.is_clear(&Bits::of(start..start + 1))
                    && map.is_clear(&Bits::of(window.clone()))
            );
            assert_eq!(map.first_clear(window.clone()), Some(window.clone()));
            map.set(&Bits::of(start..start + 3));
            map.set(&Bits::of(start + 70..start + 128));
            assert_eq!(map.first_clear(window.clone()), Some(start + 3..start + 70));
            assert!(
                map.is_clear(&Bits::of(start + 3..start + 70))
                    && map.is_clear(&Bits::of(start + 20..start + 21))
            );
            assert!(
                !map.is_clear(&Bits::of(start + 2..start + 3))
                    && !map.is_clear(&Bits::of(start + 69..start + 71))
            );
            assert_eq!(map.first_clear(start + 3..start + 5), Some(start + 3..start + 5));
            assert_eq!(map.first_clear(start + 70..start + 128), None);
            assert_eq!(map.take(&Bits::of(window.clone())), 3 + 58);
            map.set(&Bits::of(start + 5..start + 90));
            map.clear(start + 6..start + 7);
            assert_eq!(map.take(&Bits::of(start + 5..start + 8)), 2);
            map.clear(window.clone());
            assert!(map.is_clear(&Bits::of(window)));
        }
    }
}
