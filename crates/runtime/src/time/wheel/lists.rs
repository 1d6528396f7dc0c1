//! The table of timers and the lists through it.

use std::ops::Range;

use super::{Entry, HEAD, Payload, SLOTS, STRANDS, Wheel, WheelFull};

/// Taking entries, and giving them back.
impl<T: Payload> Wheel<T> {
    #[inline]
    pub(super) fn take_free(&mut self) -> Result<u32, WheelFull> {
        self.free.pop().map_or_else(|| self.take_fresh(), Ok)
    }

    #[cold]
    fn take_fresh(&mut self) -> Result<u32, WheelFull> {
        let fresh = self.entries.len();
        if fresh > self.limit {
            return Err(WheelFull { limit: self.limit });
        }
        self.entries.push(Entry::default());
        Ok(fresh as u32)
    }

    /// Frees an entry and puts its payload into `place`, which has the default.
    #[inline]
    pub(super) fn release(&mut self, index: u32, place: &mut T) {
        self.free.push(index);
        let entry = &mut self.entries[index as usize];
        entry.generation = 0;
        std::mem::forget(std::mem::replace(place, std::mem::take(&mut entry.payload)));
    }
}

/// Putting entries where they belong, and taking them out.
impl<T> Wheel<T> {
    /// Puts an entry into the list that its deadline belongs to.
    #[inline]
    pub(super) fn link(&mut self, index: u32, deadline: u64) {
        let tick = self.tick_of(deadline).max(self.current + 1);
        let list = if tick - self.current <= self.fine_mask {
            self.levels[0].set(tick);
            self.fine(tick)
        } else {
            self.coarse_list(index, tick)
        };
        self.push_front(list, index);
    }

    /// The list above level 0 for a tick, and the slot marked.
    #[inline(never)]
    fn coarse_list(&mut self, index: u32, tick: u64) -> usize {
        let level = self.level_of(tick);
        let width = self.width(level);
        let slot = tick >> width;
        if !self.levels[level].set(slot) {
            self.horizon = self.horizon.min(slot << width);
            self.set_ahead(self.ahead_from.min((slot - 1) << width));
        }
        self.list_of(level, slot, index)
    }

    #[inline]
    fn push_front(&mut self, list: usize, index: u32) {
        let head = self.heads[list];
        self.set_head(list, index);
        self.set_next(index, head);
    }

    /// Has a list begin with an entry.
    #[inline]
    pub(super) fn set_head(&mut self, list: usize, index: u32) {
        self.heads[list] = index;
        self.entries[index as usize].holder = HEAD | list as u32;
    }

    /// Has an entry be followed by another.
    #[inline]
    pub(super) fn set_next(&mut self, index: u32, next: u32) {
        self.entries[index as usize].next = next;
        self.entries[next as usize].holder = index;
    }

    /// Takes an entry out of its list.
    #[inline]
    pub(super) fn unlink(&mut self, index: u32) {
        let Entry { next, holder, .. } = self.entries[index as usize];
        if holder & HEAD == 0 {
            self.set_next(holder, next);
        } else {
            self.set_head((holder ^ HEAD) as usize, next);
        }
    }

    /// The lowest level above 0 whose circle of slots reaches as far as `tick`, which
    /// level 0 does not.
    #[inline]
    pub(super) fn level_of(&self, tick: u64) -> usize {
        let distance = tick - self.current;
        let level = usize::from(self.reach[distance.ilog2() as usize]);
        let width = self.width(level);
        let out_of_reach = (tick >> width) - (self.current >> width) >= SLOTS as u64;
        level + usize::from(out_of_reach)
    }
}

/// Where things are.
impl<T> Wheel<T> {
    /// Ticks in a slot of a level, as a power of two.
    #[inline]
    pub(super) fn width(&self, level: usize) -> u32 {
        self.widths[level]
    }

    /// The list of a tick in level 0.
    #[inline]
    pub(super) fn fine(&self, tick: u64) -> usize {
        (tick & self.fine_mask) as usize
    }

    pub(super) fn fine_slots(&self) -> usize {
        self.fine_mask as usize + 1
    }

    /// The list that an entry belongs to: the slots of level 0 first, then sixteen lists
    /// for each slot of the levels above.
    #[inline]
    pub(super) fn list_of(&self, level: usize, slot: u64, index: u32) -> usize {
        if level == 0 {
            return self.fine(slot);
        }
        let slot = (level - 1) * SLOTS + slot as usize % SLOTS;
        self.fine_slots() + slot * STRANDS + index as usize % STRANDS
    }

    /// All lists of a slot above level 0.
    pub(super) fn strands(&self, level: usize, slot: u64) -> Range<usize> {
        let first = self.list_of(level, slot, 0);
        first..first + STRANDS
    }
}
