//! The table of timers and the lists through it.

use std::ops::Range;

use super::{Entry, NONE, SLOTS, STRANDS, WINDOW, Wheel, WheelFull};

/// Taking entries, and putting them where they belong.
impl Wheel {
    #[inline]
    pub(super) fn take_free(&mut self) -> Result<u32, WheelFull> {
        self.free.pop().map_or_else(|| self.take_fresh(), Ok)
    }

    #[cold]
    pub(super) fn take_fresh(&mut self) -> Result<u32, WheelFull> {
        let fresh = self.entries.len();
        if fresh > self.limit {
            return Err(WheelFull { limit: self.limit });
        }
        self.entries.push(Entry::default());
        Ok(fresh as u32)
    }

    #[inline]
    pub(super) fn release(&mut self, index: u32) {
        self.entries[index as usize].generation = 0;
        self.free.push(index);
    }

    /// Puts an entry into the list that its deadline belongs to.
    #[inline]
    pub(super) fn link(&mut self, index: u32, deadline: u64) {
        let tick = self.tick_of(deadline).max(self.current + 1);
        if tick - self.current <= self.fine_mask {
            self.levels[0].set(tick);
            self.push_front(self.fine(tick), index);
        } else {
            self.link_coarse(index, tick);
        }
    }

    #[inline(never)]
    pub(super) fn link_coarse(&mut self, index: u32, tick: u64) {
        let level = self.level_of(tick);
        let width = self.width(level);
        let slot = tick >> width;
        self.levels[level].set(slot);
        self.push_front(self.list_of(level, slot, index), index);
        self.horizon = self.horizon.min(slot << width);
        self.ahead_from = self.ahead_from.min((slot - 1) << width);
    }

    #[inline]
    pub(super) fn push_front(&mut self, list: usize, index: u32) {
        let head = std::mem::replace(&mut self.heads[list], index);
        self.entries[head as usize].prev = index;
        let entry = &mut self.entries[index as usize];
        entry.next = head;
        entry.list = list as u32;
    }

    /// The lowest level above 0 whose circle of slots reaches as far as `tick`, which
    /// level 0 does not.
    pub(super) fn level_of(&self, tick: u64) -> usize {
        let distance = tick - self.current;
        let level = (distance.ilog2() - self.fine_window).div_ceil(WINDOW) as usize;
        let width = self.width(level);
        let out_of_reach = (tick >> width) - (self.current >> width) >= SLOTS as u64;
        level + usize::from(out_of_reach)
    }

    #[inline]
    pub(super) fn unlink(&mut self, index: u32) {
        let Entry { next, prev, list, .. } = self.entries[index as usize];
        self.entries[next as usize].prev = prev;
        let head = &mut self.heads[list as usize];
        if *head != index {
            self.entries[prev as usize].next = next;
            return;
        }
        *head = next;
        if next == NONE {
            self.list_emptied(list as usize);
        }
    }

    pub(super) fn list_emptied(&mut self, list: usize) {
        let (level, slot) = self.slot_of(list);
        let lists = if level == 0 { list..list + 1 } else { self.strands(level, slot) };
        if self.heads[lists].iter().all(|&head| head == NONE) {
            self.levels[level].clear(slot);
        }
    }
}

/// Where things are.
impl Wheel {
    /// Ticks in a slot of a level, as a power of two.
    #[inline]
    pub(super) fn width(&self, level: usize) -> u32 {
        if level == 0 { 0 } else { self.fine_window + (level as u32 - 1) * WINDOW }
    }

    /// The list of a tick in level 0.
    #[inline]
    pub(super) fn fine(&self, tick: u64) -> usize {
        (tick & self.fine_mask) as usize
    }

    pub(super) fn fine_slots(&self) -> usize {
        self.fine_mask as usize + 1
    }

    /// The list that an entry belongs to: the slots of level 0 first, then eight lists
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

    /// Level and slot of a list.
    pub(super) fn slot_of(&self, list: usize) -> (usize, u64) {
        let Some(coarse) = list.checked_sub(self.fine_slots()) else {
            return (0, list as u64);
        };
        let slot = coarse / STRANDS;
        (1 + slot / SLOTS, (slot % SLOTS) as u64)
    }
}
