//! Asking the processor for timers before they are needed.
//!
//! Timers are armed in any order and so lie scattered over the table. Found one by one,
//! each costs a wait for memory; asked for ahead, the waits overlap.

use super::{FETCH_DEPTH, NONE, Wheel};
use crate::prefetch;

impl<T> Wheel<T> {
    /// Fetches timers of coming ticks, a word of 64 ticks at a time: the first of each
    /// tick three words ahead, and what follows it as the word draws near. So each step
    /// finds fetched what the one before asked for.
    #[inline(never)]
    pub(super) fn fetch_ahead(&self, tick: u64) {
        let mut first = [NONE; 64];
        self.first_of_each(tick + 192, &mut first);
        let len = self.first_of_each(tick + 128, &mut first);
        self.fetch_lists(&mut first[..len], 1);
        let len = self.first_of_each(tick + 64, &mut first);
        self.fetch_lists(&mut first[..len], FETCH_DEPTH);
    }

    /// Fetches and lists the first timers of the 64 ticks around `tick`; returns how many
    /// these are.
    #[inline]
    pub(super) fn first_of_each(&self, tick: u64, found: &mut [u32; 64]) -> usize {
        let mut ticks = self.levels[0].word(tick);
        let first = self.fine(tick) / 64 * 64;
        let mut len = 0;
        while ticks != 0 {
            found[len] = self.heads[first + ticks.trailing_zeros() as usize];
            self.prefetch(found[len]);
            len += 1;
            ticks &= ticks - 1;
        }
        len
    }

    /// Walks lists side by side, so that the waits for their entries overlap.
    pub(super) fn fetch_lists(&self, mut cursors: &mut [u32], depth: usize) {
        for _ in 0..depth {
            let mut longer = 0;
            for at in 0..cursors.len() {
                let next = self.entries[cursors[at] as usize].next;
                self.prefetch(next);
                cursors[longer] = next;
                longer += usize::from(next != NONE);
            }
            cursors = &mut cursors[..longer];
        }
    }

    /// Asks the processor for an entry that will be read soon.
    #[inline]
    pub(super) fn prefetch(&self, index: u32) {
        prefetch::to_read(self.entries.as_ptr().wrapping_add(index as usize));
    }
}
