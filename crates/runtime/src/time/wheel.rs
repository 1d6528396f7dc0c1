//! A hierarchical timing wheel: a bounded table of timers, with no clock of its own.
//!
//! ```text
//! level 0   slots of one tick, about two for each timer of the table    a list each
//! level 1   4,096 slots, each as wide as half of level 0                eight lists each
//! level 2   4,096 slots, each as wide as half of level 1                eight lists each
//! ```
//!
//! and so on. With room for a million timers, half of level 0 is half a second of 512 ns
//! ticks: whatever is due within that time never moves.
//!
//! Each level holds *two* windows, one in either half: the window that the wheel is in
//! and the one after it. So the contents of a coarse slot can move down a level at any
//! time during the slot before it: an idle wheel moves a few timers a call, ahead of
//! need, and only what is left is moved at once when the slot's time has come.
//!
//! A coarse slot can hold very many timers, scattered over the table. Eight lists (chosen
//! by the timer's index) are walked in turns while the next entry of each is fetched, so
//! that the misses overlap; one list would serve them one after another. For the same
//! reason the first timers of the 64 ticks to come are fetched ahead.
//!
//! After Varghese and Lauck, "Hashed and hierarchical timing wheels" (SOSP 1987), scheme 7.

mod occupancy;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::time::Duration;

use super::Instant;
use occupancy::Occupancy;

/// Slots in each level above 0.
const SLOTS: usize = 4096;

/// Half the slots of a level, a window, as a power of two: above level 0.
const WINDOW: u32 = SLOTS.trailing_zeros() - 1;

/// The same for level 0: at least, at most. It depends on the size of the table.
const FINE_WINDOW: std::ops::RangeInclusive<u32> = WINDOW..=20;

/// Levels enough for any distance in ticks.
const LEVELS: usize = 6;
const _: () = assert!(WINDOW * LEVELS as u32 >= u64::BITS);

/// Lists in each slot above level 0.
const STRANDS: usize = 8;

/// The entry that stands for "none": never armed, written to instead of branching.
const NONE: u32 = 0;

/// Timers that an idle call moves down a level, ahead of need.
const AHEAD: usize = 16;

/// Of the 64 ticks that are fetched ahead, as many must have a timer for more than the
/// first of each to be fetched.
const CROWDED: u32 = 16;

/// How far down its list each is then fetched.
const FETCH_DEPTH: usize = 8;

/// Timers in one tick that are put in order before they fire.
const ORDERED: usize = 1024;

/// One timer: half a cache line, everything that arming, firing or cancelling needs.
#[derive(Clone, Copy, Default)]
#[repr(C, align(32))]
struct Entry {
    /// Nanoseconds, as asked for.
    deadline: u64,
    /// The caller's own.
    payload: u64,
    /// The next in the same list, or [`NONE`].
    next: u32,
    /// The previous in the same list; means nothing for the first.
    prev: u32,
    /// The list this entry is in.
    list: u32,
    /// The number of the call that armed it, never 0; 0 while free.
    generation: u32,
}

const _: () = assert!(size_of::<Entry>() == 32);

/// Names an armed timer. Once the timer has fired or was cancelled, the key finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerKey {
    index: u32,
    generation: u32,
}

/// The table of timers is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no room for another timer: {limit} are armed; cancel some or make the table larger")]
pub struct WheelFull {
    /// How many timers the table holds.
    pub limit: usize,
}

/// A timer that is due. Its key is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired {
    /// The key it was armed under.
    pub key: TimerKey,
    /// What [`Wheel::arm`] was given.
    pub payload: u64,
    /// The deadline asked for; never later than the `now` it expired at.
    pub deadline: Instant,
}

/// A bounded table of timers.
///
/// - Never early: a timer expires only at a `now` that is at or past its deadline.
/// - Late by at most one tick, counted from the deadline or from the call that armed it,
///   whichever is later.
/// - In order: by tick; within a tick by deadline, then in the order of arming, unless
///   more than 1,024 timers share the tick.
/// - Memory for all timers is reserved at construction and touched on first use; no
///   method allocates.
/// - Arming and cancelling cost the same for any number of timers and any distance. The
///   cost of expiring depends on the timers, not on the time that has passed.
///
/// ```
/// use std::time::Duration;
/// use tautline_runtime::time::{Instant, Wheel};
/// let start = Instant::from_nanos(0);
/// let mut wheel = Wheel::new(1_000, Duration::from_nanos(512), start);
/// let key = wheel.arm(start + Duration::from_millis(5), 7)?;
/// assert!(wheel.expire(start + Duration::from_millis(4)).is_none());
/// let due = wheel.expire(start + Duration::from_millis(6)).expect("due");
/// assert_eq!((due.key, due.payload), (key, 7));
/// # Ok::<(), tautline_runtime::time::WheelFull>(())
/// ```
pub struct Wheel {
    /// Entry 0 is [`NONE`]. Reserved for `limit + 1`: pushing never moves an entry.
    entries: Vec<Entry>,
    /// The first entry of each list.
    heads: Vec<u32>,
    /// Which slots have a timer.
    levels: [Occupancy; LEVELS],
    /// A window of level 0, in ticks, as a power of two.
    fine_window: u32,
    /// The tick reached. Timers in its slot of level 0 are due; earlier slots are empty;
    /// above level 0, so is the slot that it lies in.
    current: u64,
    /// No timer above level 0 lies before this tick.
    horizon: u64,
    /// From this tick on some coarse slot may move down, ahead of need.
    ahead_from: u64,
    /// Freed entries, reserved for `limit`. Apart from the entries, as a list through
    /// them would have each call of `arm` wait for the one before.
    free: Vec<u32>,
    /// The number of the latest call of `arm`.
    armed: u32,
    len: usize,
    limit: usize,
    /// A tick is 2 to this power, in nanoseconds.
    shift: u32,
    /// Where the timers of one tick are put in order: deadline, age, index.
    order: Vec<(u64, u32, u32)>,
}

impl Wheel {
    /// An empty wheel for at most `limit` timers, with its time at `start`.
    ///
    /// `tick` is rounded down to a power of two of nanoseconds, at least 2 ns and at most
    /// 4.3 s.
    ///
    /// # Panics
    /// If `limit` is 2^32 - 1 or more.
    pub fn new(limit: usize, tick: Duration, start: Instant) -> Self {
        assert!(limit < u32::MAX as usize, "a wheel holds fewer than 2^32 - 1 timers, not {limit}");
        let nanos = u64::try_from(tick.as_nanos()).unwrap_or(u64::MAX).clamp(2, 1 << 32);
        let shift = nanos.ilog2();
        let fine_window =
            (limit.max(1).ilog2() + 1).clamp(*FINE_WINDOW.start(), *FINE_WINDOW.end());
        let fine_slots = 2usize << fine_window;
        let mut entries = Vec::with_capacity(limit + 1);
        entries.push(Entry::default());
        Self {
            entries,
            heads: vec![NONE; fine_slots + (LEVELS - 1) * SLOTS * STRANDS],
            levels: std::array::from_fn(|level| {
                Occupancy::new(if level == 0 { fine_slots } else { SLOTS })
            }),
            fine_window,
            current: start.as_nanos() >> shift,
            horizon: u64::MAX,
            ahead_from: u64::MAX,
            free: Vec::with_capacity(limit),
            armed: 0,
            len: 0,
            limit,
            shift,
            order: Vec::with_capacity(ORDERED),
        }
    }

    /// Arms a timer. A deadline that has passed is due at the next tick.
    ///
    /// # Errors
    /// [`WheelFull`] when `limit` timers are armed.
    pub fn arm(&mut self, deadline: Instant, payload: u64) -> Result<TimerKey, WheelFull> {
        let index = self.take_free()?;
        self.armed = self.armed.wrapping_add(1).max(1);
        self.len += 1;
        let generation = self.armed;
        let entry = &mut self.entries[index as usize];
        entry.deadline = deadline.as_nanos();
        entry.payload = payload;
        entry.generation = generation;
        self.link(index, deadline.as_nanos());
        Ok(TimerKey { index, generation })
    }

    /// Cancels a timer and gives its payload back; `None` if it has expired or was
    /// cancelled before.
    pub fn cancel(&mut self, key: TimerKey) -> Option<u64> {
        if !self.is_armed(key) {
            return None;
        }
        self.unlink(key.index);
        self.release(key.index);
        Some(self.entries[key.index as usize].payload)
    }

    /// Moves a timer to another deadline, under the same key; false if it has expired or
    /// was cancelled. Among equal deadlines it keeps its place in the order of arming.
    pub fn rearm(&mut self, key: TimerKey, deadline: Instant) -> bool {
        if !self.is_armed(key) {
            return false;
        }
        self.unlink(key.index);
        self.entries[key.index as usize].deadline = deadline.as_nanos();
        self.link(key.index, deadline.as_nanos());
        true
    }

    /// Whether the timer is still armed.
    pub fn is_armed(&self, key: TimerKey) -> bool {
        self.entries.get(key.index as usize).is_some_and(|entry| entry.generation == key.generation)
    }

    /// When to call [`expire`](Self::expire) next: never later than the moment the first
    /// timer expires, but possibly earlier, as a coarse slot knows only its start. Each
    /// call of `expire` at that moment either expires a timer or brings a later answer.
    pub fn next_deadline(&self) -> Option<Instant> {
        let fine = self.next_fine();
        let coarse = self.coarse_slots().map(|(level, slot)| slot << self.width(level)).min();
        let tick = coarse.map_or(fine, |coarse| coarse.min(fine));
        (tick != u64::MAX).then(|| self.start_of(tick))
    }

    /// Takes out one timer that is due at `now`. Call it until it returns `None`.
    pub fn expire(&mut self, now: Instant) -> Option<Expired> {
        let reached = self.reached(now);
        if reached < self.current {
            return None;
        }
        loop {
            let first = self.heads[self.fine(self.current)];
            if first != NONE {
                return Some(self.pop(first));
            }
            if !self.advance(reached) {
                return None;
            }
        }
    }

    /// How many timers are armed.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no timer is armed.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many timers can be armed at a time.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The tick that is in force, after rounding.
    pub fn tick(&self) -> Duration {
        Duration::from_nanos(1 << self.shift)
    }
}

/// Ticks and nanoseconds. A deadline counts as the first tick that starts at or after it,
/// so that a tick which has been reached holds only deadlines that have passed.
impl Wheel {
    fn tick_of(&self, deadline: u64) -> u64 {
        let within = deadline & ((1 << self.shift) - 1);
        (deadline >> self.shift) + u64::from(within != 0)
    }

    /// The last tick that has started at `now`. The end of time reaches the last of all,
    /// whose start is past what 64 bits can name.
    fn reached(&self, now: Instant) -> u64 {
        (now.as_nanos() >> self.shift) + u64::from(now == Instant::MAX)
    }

    fn start_of(&self, tick: u64) -> Instant {
        let nanos = u128::from(tick) << self.shift;
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// The table and its lists.
impl Wheel {
    fn take_free(&mut self) -> Result<u32, WheelFull> {
        if let Some(index) = self.free.pop() {
            return Ok(index);
        }
        let fresh = self.entries.len();
        if fresh > self.limit {
            return Err(WheelFull { limit: self.limit });
        }
        self.entries.push(Entry::default());
        Ok(fresh as u32)
    }

    fn release(&mut self, index: u32) {
        self.entries[index as usize].generation = 0;
        self.free.push(index);
        self.len -= 1;
    }

    /// Puts an entry at the front of the list that its deadline belongs to.
    fn link(&mut self, index: u32, deadline: u64) {
        let tick = self.tick_of(deadline).max(self.current + 1);
        let level = self.level_of(tick);
        let slot = tick >> self.width(level);
        let list = self.list_of(level, slot, index);
        let head = std::mem::replace(&mut self.heads[list], index);
        self.entries[head as usize].prev = index;
        let entry = &mut self.entries[index as usize];
        entry.next = head;
        entry.list = list as u32;
        self.levels[level].set(slot);
        if level > 0 {
            let shift = self.width(level);
            self.horizon = self.horizon.min(slot << shift);
            self.ahead_from = self.ahead_from.min((slot - 1) << shift);
        }
    }

    /// The lowest level in which `tick` is in the current window or the next.
    #[inline]
    fn level_of(&self, tick: u64) -> usize {
        let distance = tick - self.current;
        if distance >> self.fine_window == 0 {
            return 0;
        }
        let level = ((distance.ilog2() - self.fine_window) / WINDOW + 1) as usize;
        let shift = self.width(level);
        let next_slot = (tick >> shift) - (self.current >> shift) < 2;
        level - usize::from(next_slot)
    }

    fn unlink(&mut self, index: u32) {
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

    fn list_emptied(&mut self, list: usize) {
        let (level, slot) = self.slot_of(list);
        let lists = if level == 0 { list..list + 1 } else { self.strands(level, slot) };
        if self.heads[lists].iter().all(|&head| head == NONE) {
            self.levels[level].clear(slot);
        }
    }
}

/// Moving on.
impl Wheel {
    /// Takes out the first timer of the current slot.
    fn pop(&mut self, index: u32) -> Expired {
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
    fn advance(&mut self, reached: u64) -> bool {
        if reached == self.current {
            return false;
        }
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

    /// Fetches timers of coming ticks: the first of each tick in the word of 64 ticks
    /// after next, and where there are many, those behind the first in the next word.
    fn fetch_ahead(&self, tick: u64) {
        let (cursors, len) = self.first_of_each(tick + 128);
        cursors[..len].iter().for_each(|&index| self.prefetch(index));
        if self.levels[0].word(tick + 64).count_ones() >= CROWDED {
            let (mut cursors, len) = self.first_of_each(tick + 64);
            self.fetch_lists(&mut cursors[..len]);
        }
    }

    /// The first timers of the 64 ticks around `tick`, and how many these are.
    #[inline]
    fn first_of_each(&self, tick: u64) -> ([u32; 64], usize) {
        let mut ticks = self.levels[0].word(tick);
        let first = self.fine(tick) / 64 * 64;
        let (mut found, mut len) = ([NONE; 64], 0);
        while ticks != 0 {
            found[len] = self.heads[first + ticks.trailing_zeros() as usize];
            len += 1;
            ticks &= ticks - 1;
        }
        (found, len)
    }

    /// Walks lists side by side, so that the waits for their entries overlap.
    fn fetch_lists(&self, mut cursors: &mut [u32]) {
        for _ in 0..FETCH_DEPTH {
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

    /// The first tick in level 0 that has a timer, or `u64::MAX`.
    fn next_fine(&self) -> u64 {
        self.levels[0].next(self.current).unwrap_or(u64::MAX)
    }

    /// The levels above 0 that have a timer.
    fn coarse_levels(&self) -> impl Iterator<Item = usize> {
        (1..LEVELS).filter(|&level| !self.levels[level].is_empty())
    }

    /// The first slot with a timer in each of them.
    fn coarse_slots(&self) -> impl Iterator<Item = (usize, u64)> {
        self.coarse_levels().filter_map(|level| {
            let next = self.levels[level].next(self.current >> self.width(level));
            next.map(|slot| (level, slot))
        })
    }

    /// Empties the first coarse slot if it starts by tick `until`, and finds the horizon
    /// anew.
    fn open_coarse(&mut self, until: u64) {
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
    fn work_ahead(&mut self) {
        if self.current >= self.ahead_from {
            self.work_ahead_now();
        }
    }

    #[cold]
    fn work_ahead_now(&mut self) {
        let mut room = AHEAD;
        for level in 1..LEVELS {
            if room > 0 && !self.levels[level].is_empty() {
                let next = (self.current >> self.width(level)) + 1;
                room = room.saturating_sub(self.move_ahead(level, next, room));
            }
        }
        self.find_horizon();
    }

    fn move_ahead(&mut self, level: usize, slot: u64, room: usize) -> usize {
        if self.levels[level].contains(slot) { self.move_down(level, slot, room) } else { 0 }
    }

    fn find_horizon(&mut self) {
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
    fn move_down(&mut self, level: usize, slot: u64, room: usize) -> usize {
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
    fn move_first(&mut self, list: usize) -> bool {
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

    /// Puts the timers of the current slot in order of deadline, then of arming.
    fn put_in_order(&mut self) {
        let list = self.fine(self.current);
        let mut index = self.heads[list];
        if self.entries[index as usize].next == NONE {
            return;
        }
        self.order.clear();
        while index != NONE {
            if self.order.len() == ORDERED {
                return;
            }
            let entry = &self.entries[index as usize];
            // Counted from the latest, so that a wrap of the count does no harm.
            let age = entry.generation.wrapping_sub(self.armed).wrapping_sub(1);
            self.order.push((entry.deadline, age, index));
            index = entry.next;
        }
        self.order.sort_unstable();
        self.relink(list);
    }

    /// Links a list of level 0 as `order` has it.
    fn relink(&mut self, list: usize) {
        let mut prev = NONE;
        for at in 0..self.order.len() {
            let (_, _, index) = self.order[at];
            self.entries[prev as usize].next = index;
            self.entries[index as usize].prev = prev;
            prev = index;
        }
        self.entries[prev as usize].next = NONE;
        self.heads[list] = self.order[0].2;
    }

    /// Asks the processor for an entry that will be read soon.
    #[inline]
    fn prefetch(&self, index: u32) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let entry = self.entries.as_ptr().wrapping_add(index as usize);
            // SAFETY: a hint; it reads nothing and faults nowhere.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(entry.cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = index;
    }
}

/// Where things are.
impl Wheel {
    /// Ticks in a slot of a level, as a power of two.
    #[inline]
    fn width(&self, level: usize) -> u32 {
        if level == 0 { 0 } else { self.fine_window + (level as u32 - 1) * WINDOW }
    }

    /// The list of a tick in level 0.
    #[inline]
    fn fine(&self, tick: u64) -> usize {
        tick as usize & (self.fine_slots() - 1)
    }

    #[inline]
    fn fine_slots(&self) -> usize {
        2 << self.fine_window
    }

    /// The list that an entry belongs to: the slots of level 0 first, then eight lists
    /// for each slot of the levels above.
    #[inline]
    fn list_of(&self, level: usize, slot: u64, index: u32) -> usize {
        if level == 0 {
            return self.fine(slot);
        }
        let slot = (level - 1) * SLOTS + slot as usize % SLOTS;
        self.fine_slots() + slot * STRANDS + index as usize % STRANDS
    }

    /// All lists of a slot above level 0.
    fn strands(&self, level: usize, slot: u64) -> Range<usize> {
        let first = self.list_of(level, slot, 0);
        first..first + STRANDS
    }

    /// Level and slot of a list.
    fn slot_of(&self, list: usize) -> (usize, u64) {
        let Some(coarse) = list.checked_sub(self.fine_slots()) else {
            return (0, list as u64);
        };
        let slot = coarse / STRANDS;
        (1 + slot / SLOTS, (slot % SLOTS) as u64)
    }
}
