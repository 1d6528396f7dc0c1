//! The order of timers within one tick.

use super::{NONE, ORDERED, Wheel};

impl<T> Wheel<T> {
    /// Puts the timers of the current slot in order of deadline, then of arming.
    #[inline]
    pub(super) fn put_in_order(&mut self) {
        let list = self.fine(self.current);
        let first = self.heads[list];
        let second = self.entries[first as usize].next;
        if second == NONE {
            return;
        }
        if self.entries[second as usize].next != NONE {
            self.sort(list);
        } else if self.rank(second) < self.rank(first) {
            self.order.clear();
            self.order.extend([self.rank(second), self.rank(first)]);
            self.relink(list);
        }
    }

    #[inline(never)]
    pub(super) fn sort(&mut self, list: usize) {
        self.order.clear();
        let mut index = self.heads[list];
        while index != NONE {
            if self.order.len() == ORDERED {
                return;
            }
            self.order.push(self.rank(index));
            index = self.entries[index as usize].next;
        }
        self.order.sort_unstable();
        self.relink(list);
    }

    /// What decides on the order within a tick: deadline, age, and the entry itself.
    #[inline]
    pub(super) fn rank(&self, index: u32) -> (u64, u32, u32) {
        let entry = &self.entries[index as usize];
        // Counted from the latest, so that a wrap of the count does no harm.
        let age = entry.generation.wrapping_sub(self.armed).wrapping_sub(1);
        (entry.deadline, age, index)
    }

    /// Links a list of level 0 as `order` has it.
    pub(super) fn relink(&mut self, list: usize) {
        let mut next = NONE;
        for at in (0..self.order.len()).rev() {
            let (_, _, index) = self.order[at];
            self.set_next(index, next);
            next = index;
        }
        self.set_head(list, next);
    }
}
