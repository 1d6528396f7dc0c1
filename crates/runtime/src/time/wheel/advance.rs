//! Moving on in time: to the next slot that has a timer, and from coarse slots to finer.

use super::{AHEAD, AHEAD_PER_TICK, Entry, LEVELS, MOST_AHEAD, NONE, Payload, TimerKey, Wheel};
use crate::time::Instant;

impl<T: Payload> Wheel<T> {
    /// Takes out the first timer of the current slot.
    #[inline]
    pub(super) fn pop(&mut self, index: u32, place: &mut T) -> (TimerKey, Instant) {
        let Entry { deadline, next, generation, .. } = self.entries[index as usize];
        self.prefetch(next);
        self.set_head(self.fine(self.current), next);
        let key = TimerKey { index, generation };
        let deadline = Instant::from_nanos(deadline);
        self.release(index, place);
        (key, deadline)
    }
}

impl<T> Wheel<T> {
    /// Moves on from the current slot, which is empty, to the next that may have a due
    /// timer, at most to tick `reached`; false if there is none.
    #[inline]
    pub(super) fn advance(&mut self, reached: u64) -> bool {
        if reached == self.current {
            return false;
        }
        self.levels[0].clear(self.current);
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
    pub(super) fn next_fine(&mut self) -> u64 {
        while let Some(tick) = self.levels[0].next(self.current) {
            if self.heads[self.fine(tick)] != NONE {
                return tick;
            }
            self.levels[0].clear(tick);
        }
        u64::MAX
    }

    /// The first slot of a level above 0 that has a timer.
    pub(super) fn next_coarse(&mut self, level: usize) -> Option<u64> {
        while !self.levels[level].is_empty() {
            let slot = self.levels[level].next(self.current >> self.width(level))?;
            if self.heads[self.strands(level, slot)].iter().any(|&head| head != NONE) {
                return Some(slot);
            }
            self.levels[level].clear(slot);
        }
        None
    }

    /// Where the first slot with a timer starts, of all levels above 0: the tick, the
    /// level, and the slot.
    pub(super) fn first_coarse(&mut self) -> Option<(u64, usize, u64)> {
        let slots = (1..LEVELS).filter_map(|level| {
            let slot = self.next_coarse(level)?;
            Some((slot << self.width(level), level, slot))
        });
        slots.min()
    }

    /// Empties the first coarse slot if it starts by tick `until`, and finds the horizon
    /// anew.
    pub(super) fn open_coarse(&mut self, until: u64) {
        if let Some((start, level, slot)) = self.first_coarse()
            && start <= until
        {
            // Just before, as what is due at the very start must find a slot to come.
            self.current = start - 1;
            self.move_down(level, slot, usize::MAX);
        }
        self.find_horizon();
    }

    /// Moves timers of coming coarse slots down a level.
    #[inline]
    pub(super) fn work_ahead(&mut self) {
        if self.current >= self.ahead_from {
            self.work_ahead_now();
        }
    }

    #[cold]
    pub(super) fn work_ahead_now(&mut self) {
        let passed = self.current - self.worked_ahead.max(self.ahead_from);
        self.worked_ahead = self.current;
        let in_step = AHEAD_PER_TICK.saturating_mul(passed) as usize;
        let mut room = AHEAD.saturating_add(in_step).min(MOST_AHEAD);
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
        for level in 1..LEVELS {
            let Some(slot) = self.next_coarse(level) else { continue };
            let shift = self.width(level);
            horizon = horizon.min(slot << shift);
            ahead_from = ahead_from.min((slot - 1) << shift);
        }
        self.horizon = horizon;
        self.set_ahead(ahead_from);
    }

    /// Says from which tick on there is work ahead of need.
    pub(super) fn set_ahead(&mut self, tick: u64) {
        self.ahead_from = tick;
        self.ahead_at = self.start_of(tick).as_nanos();
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
        self.set_head(list, next);
        self.prefetch(next);
        self.link(index, deadline);
        true
    }
}
