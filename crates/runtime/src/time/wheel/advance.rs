//! Moving on in time: to the next slot that has a timer, and from coarse slots to finer.

use super::{AHEAD, Entry, Expired, LEVELS, NONE, TimerKey, Wheel};
use crate::time::Instant;

impl Wheel {
    /// Takes out the first timer of the current slot.
    #[inline]
    pub(super) fn pop(&mut self, index: u32) -> Expired {
        let Entry { deadline, payload, next, generation, .. } = self.entries[index as usize];
        self.prefetch(next);
        let list = self.fine(self.current);
        self.heads[list] = next;
        if next == NONE {
            self.levels[0].clear(self.current);
        }
        self.release(index);
        let key = TimerKey { index, generation };
        Expired { key, payload, deadline: Instant::from_nanos(deadline) }
    }

    /// Moves on to the next slot that has a due timer, at most to tick `reached`; false
    /// if there is none.
    #[inline]
    pub(super) fn advance(&mut self, reached: u64) -> bool {
        if reached == self.current {
            return false;
        }
        match self.levels[0].next_in_word(self.current) {
            Some(next) if next <= reached && next < self.horizon => {
                self.current = next;
                self.put_in_order();
                true
            }
            _ => self.advance_far(reached),
        }
    }

    /// The same, out of the 64 ticks that share a word.
    #[inline(never)]
    pub(super) fn advance_far(&mut self, reached: u64) -> bool {
        let due = loop {
            let next = self.next_fine();
            let until = next.min(reached);
            if until < self.horizon {
                break next;
            }
            self.open_coarse(until);
        };
        if due > reached {
            self.current = reached;
            self.work_ahead();
            return false;
        }
        if due / 64 != self.current / 64 {
            self.fetch_ahead(due);
        }
        self.current = due;
        self.put_in_order();
        true
    }

    /// The first tick in level 0 that has a timer, or `u64::MAX`.
    pub(super) fn next_fine(&self) -> u64 {
        self.levels[0].next(self.current).unwrap_or(u64::MAX)
    }

    /// The levels above 0 that have a timer.
    pub(super) fn coarse_levels(&self) -> impl Iterator<Item = usize> {
        (1..LEVELS).filter(|&level| !self.levels[level].is_empty())
    }

    /// The first slot with a timer in each of them.
    pub(super) fn coarse_slots(&self) -> impl Iterator<Item = (usize, u64)> {
        self.coarse_levels().filter_map(|level| {
            let next = self.levels[level].next(self.current >> self.width(level));
            next.map(|slot| (level, slot))
        })
    }

    /// Empties the first coarse slot if it starts by tick `until`, and finds the horizon
    /// anew.
    pub(super) fn open_coarse(&mut self, until: u64) {
        let first = self.coarse_slots().min_by_key(|&(level, slot)| slot << self.width(level));
        if let Some((level, slot)) = first {
            let start = slot << self.width(level);
            if start <= until {
                // Just before, as what is due at the very start must find a slot to come.
                self.current = start - 1;
                self.move_down(level, slot, usize::MAX);
            }
        }
        self.find_horizon();
    }

    /// Moves a few timers of coming coarse slots down a level.
    #[inline]
    pub(super) fn work_ahead(&mut self) {
        if self.current >= self.ahead_from {
            self.work_ahead_now();
        }
    }

    #[cold]
    pub(super) fn work_ahead_now(&mut self) {
        let mut room = AHEAD;
        for level in 1..LEVELS {
            if room > 0 && !self.levels[level].is_empty() {
                let next = (self.current >> self.width(level)) + 1;
                room = room.saturating_sub(self.move_ahead(level, next, room));
            }
        }
        self.find_horizon();
    }

    pub(super) fn move_ahead(&mut self, level: usize, slot: u64, room: usize) -> usize {
        if self.levels[level].contains(slot) { self.move_down(level, slot, room) } else { 0 }
    }

    pub(super) fn find_horizon(&mut self) {
        let (mut horizon, mut ahead_from) = (u64::MAX, u64::MAX);
        for (level, slot) in self.coarse_slots() {
            let shift = self.width(level);
            horizon = horizon.min(slot << shift);
            ahead_from = ahead_from.min((slot - 1) << shift);
        }
        (self.horizon, self.ahead_from) = (horizon, ahead_from);
    }

    /// Moves at least `room` timers of a coarse slot to lower levels, or all it has;
    /// returns how many.
    pub(super) fn move_down(&mut self, level: usize, slot: u64, room: usize) -> usize {
        let lists = self.strands(level, slot);
        for list in lists.clone() {
            self.prefetch(self.heads[list]);
        }
        let mut moved = 0;
        while moved < room {
            let before = moved;
            for list in lists.clone() {
                moved += usize::from(self.move_first(list));
            }
            if moved == before {
                self.levels[level].clear(slot);
                break;
            }
        }
        moved
    }

    /// Moves the first timer of a list to where it belongs by now, and fetches the next.
    pub(super) fn move_first(&mut self, list: usize) -> bool {
        let index = self.heads[list];
        if index == NONE {
            return false;
        }
        let Entry { next, deadline, .. } = self.entries[index as usize];
        self.heads[list] = next;
        self.prefetch(next);
        self.link(index, deadline);
        true
    }
}
