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

const BITS: u64 = 64;

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
    pub(super) fn set(&mut self, numbers: Range<u64>) {
        self.each_word(numbers, |word, mask| *word |= mask);
    }

    /// Clears them; returns how many were set.
    pub(super) fn clear(&mut self, numbers: Range<u64>) -> u64 {
        let mut cleared = 0;
        self.each_word(numbers, |word, mask| {
            cleared += u64::from((*word & mask).count_ones());
            *word &= !mask;
        });
        cleared
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
    #[inline]
    pub(super) fn is_clear(&self, numbers: Range<u64>) -> bool {
        let low = numbers.start % BITS;
        if low + (numbers.end - numbers.start) > BITS {
            return self.first_set(numbers.clone()) == numbers.end;
        }
        let mask = u64::MAX >> (BITS - (numbers.end - numbers.start));
        self.words[self.word(numbers.start)] & mask << low == 0
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
            assert!(map.is_clear(start..start + 1) && map.is_clear(window.clone()));
            assert_eq!(map.first_clear(window.clone()), Some(window.clone()));
            map.set(start..start + 3);
            map.set(start + 70..start + 128);
            assert_eq!(map.first_clear(window.clone()), Some(start + 3..start + 70));
            assert!(map.is_clear(start + 3..start + 70) && map.is_clear(start + 20..start + 21));
            assert!(!map.is_clear(start + 2..start + 3) && !map.is_clear(start + 69..start + 71));
            assert_eq!(map.first_clear(start + 3..start + 5), Some(start + 3..start + 5));
            assert_eq!(map.first_clear(start + 70..start + 128), None);
            assert_eq!(map.clear(window), 3 + 58);
        }
    }
}
