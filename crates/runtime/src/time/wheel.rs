//! A hierarchical timing wheel: a bounded table of timers, with no clock of its own.
//!
//! ```text
//! level 0   4,096 to 32,768 slots of one tick, as the table has it   a list each
//! level 1   4,096 slots, each as wide as half of level 0             sixteen lists each
//! level 2   4,096 slots, each as wide as half of level 1             sixteen lists each
//! ```
//!
//! and so on. With room for 10,000 timers and more, half of level 0 is 8 ms of 512 ns ticks:
//! whatever is due within that time never moves.
//!
//! A level reaches twice as far as a slot of the level above is wide. So the contents of
//! a coarse slot can move down at any time during the slot before it: calls that find
//! nothing due move timers in step with the time that has passed, ahead of need, and only
//! what is left is moved at once when the slot's time has come.
//!
//! A coarse slot can hold very many timers, scattered over the table. Sixteen lists (chosen
//! by the timer's index) are walked in turns while the next entry of each is fetched, so
//! that the waits for memory overlap; one list would have them one after another.
//!
//! After Varghese and Lauck, "Hashed and hierarchical timing wheels" (SOSP 1987), scheme 7.

mod advance;
mod fetch;
mod lists;
mod occupancy;
mod order;
#[cfg(test)]
mod tests;

use std::time::Duration;

use super::Instant;
use occupancy::Occupancy;

/// Slots in each level above 0.
const SLOTS: usize = 4096;

/// Half the slots of a level above 0, as a power of two: as many make one slot of the
/// level above.
const WINDOW: u32 = SLOTS.trailing_zeros() - 1;

/// The same for level 0, at least and at most; within that, as the size of the table has
/// it. More slots would not lie in a core's own cache: a timer that is armed at random then
/// waits for memory, which costs more than moving it down later, in order.
const FINE_WINDOW: std::ops::RangeInclusive<u32> = WINDOW..=14;

/// Levels enough for any distance in ticks.
const LEVELS: usize = 6;
const _: () = assert!(WINDOW * LEVELS as u32 >= u64::BITS);

/// Lists in each slot above level 0.
const STRANDS: usize = 16;

/// The entry that stands for "none": never armed, written to instead of branching.
const NONE: u32 = 0;

/// Set in the name of a link that is the head of a list.
const HEAD: u32 = 1 << 31;

/// Timers that an idle call moves down a level, ahead of need, at least.
const AHEAD: usize = 16;

/// How many more for each tick that has passed: with ticks of 512 ns, as many as move a
/// million timers in a quarter of a second.
const AHEAD_PER_TICK: u64 = 2;

/// Timers that an idle call moves at most, so that none takes long.
const MOST_AHEAD: usize = 1024;

/// How far down its list each tick that is fetched ahead is followed.
const FETCH_DEPTH: usize = 4;

/// Timers in one tick that are put in order before they fire.
const ORDERED: usize = 1024;

/// One timer: everything that arming, firing or cancelling needs, in a cache line where the
/// payload is of up to 40 bytes.
#[derive(Default)]
#[repr(C, align(64))]
struct Entry<T> {
    /// Nanoseconds, as asked for.
    deadline: u64,
    /// The next in the same list, or [`NONE`].
    next: u32,
    /// The link that leads here: the entry before, or [`HEAD`] and the list.
    holder: u32,
    /// The number of the call that armed it, never 0; 0 while free.
    generation: u32,
    /// The caller's own.
    payload: T,
}

/// Names an armed timer. Once the timer has fired or was cancelled, the key finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerKey {
    index: u32,
    generation: u32,
}

/// What a timer can carry: nothing is lost if a default is forgotten.
pub trait Payload: Default {}

impl Payload for u64 {}

/// The table of timers is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no room for another timer: {limit} are armed; cancel some or make the table larger")]
pub struct WheelFull {
    /// How many timers the table holds.
    pub limit: usize,
}

/// A timer that is due. Its key is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired<T = u64> {
    /// The key it was armed under.
    pub key: TimerKey,
    /// What [`Wheel::arm`] was given.
    pub payload: T,
    /// The deadline asked for; never later than the `now` it expired at.
    pub deadline: Instant,
}

/// A bounded table of timers, each with a number of the caller's.
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
pub struct Wheel<T = u64> {
    /// Entry 0 is [`NONE`]. Reserved for `limit + 1`: pushing never moves an entry.
    entries: Vec<Entry<T>>,
    /// The first entry of each list.
    heads: Vec<u32>,
    /// Which slots may have a timer. Cancelling leaves a slot in; who comes upon it, empty,
    /// takes it out.
    levels: [Occupancy; LEVELS],
    /// The slots of level 0, less one.
    fine_mask: u64,
    /// Ticks in a slot of each level, as powers of two.
    widths: [u32; LEVELS],
    /// For a distance in ticks, by the place of its highest bit: the level above 0 that is
    /// wide enough for it, but for where the circles stand.
    reach: [u8; 64],
    /// The tick reached. Timers in its slot of level 0 are due; earlier slots are empty;
    /// above level 0, so is the slot that it lies in.
    current: u64,
    /// No timer above level 0 lies before this tick.
    horizon: u64,
    /// From this tick on some coarse slot may move down, ahead of need.
    ahead_from: u64,
    /// When that is, in nanoseconds.
    ahead_at: u64,
    /// The tick of the latest call that moved some.
    worked_ahead: u64,
    /// Freed entries, reserved for `limit`. Apart from the entries, as a list through
    /// them would have each call of `arm` wait for the one before.
    free: Vec<u32>,
    /// The number of the latest call of `arm`.
    armed: u32,
    limit: usize,
    /// A tick is 2 to this power, in nanoseconds.
    shift: u32,
    /// A tick less one nanosecond.
    within_tick: u64,
    /// Where the timers of one tick are put in order: deadline, age, index.
    order: Vec<(u64, u32, u32)>,
}

impl<T: Payload> Wheel<T> {
    /// An empty wheel for at most `limit` timers, with its time at `start`.
    ///
    /// `tick` is rounded down to a power of two of nanoseconds, at least 2 ns and at most
    /// 4.3 s.
    ///
    /// # Panics
    /// If `limit` is 2^31 or more.
    pub fn new(limit: usize, tick: Duration, start: Instant) -> Self {
        assert!(limit < 1 << 31, "a wheel holds fewer than 2^31 timers, not {limit}");
        let nanos = u64::try_from(tick.as_nanos()).unwrap_or(u64::MAX).clamp(2, 1 << 32);
        let shift = nanos.ilog2();
        let fine_window =
            (limit.max(1).ilog2() + 1).clamp(*FINE_WINDOW.start(), *FINE_WINDOW.end());
        let fine_slots = 2usize << fine_window;
        let lists = fine_slots + (LEVELS - 1) * SLOTS * STRANDS;
        let mut entries = Vec::with_capacity(limit + 1);
        entries.push(Entry::default());
        Self {
            entries,
            heads: vec![NONE; lists],
            levels: std::array::from_fn(|level| {
                Occupancy::new(if level == 0 { fine_slots } else { SLOTS })
            }),
            fine_mask: fine_slots as u64 - 1,
            widths: std::array::from_fn(|level| match level {
                0 => 0,
                _ => fine_window + (level as u32 - 1) * WINDOW,
            }),
            reach: std::array::from_fn(|bits| {
                (bits as u32).saturating_sub(fine_window).div_ceil(WINDOW) as u8
            }),
            current: start.as_nanos() >> shift,
            horizon: u64::MAX,
            ahead_from: u64::MAX,
            ahead_at: u64::MAX,
            worked_ahead: 0,
            free: Vec::with_capacity(limit),
            armed: 0,
            limit,
            shift,
            within_tick: (1 << shift) - 1,
            order: Vec::with_capacity(ORDERED),
        }
    }

    /// Arms a timer. A deadline that has passed is due at the next tick.
    ///
    /// # Errors
    /// [`WheelFull`] when `limit` timers are armed.
    #[inline]
    pub fn arm(&mut self, deadline: Instant, payload: T) -> Result<TimerKey, WheelFull> {
        let (key, place) = self.arm_empty(deadline)?;
        *place = payload;
        Ok(key)
    }

    /// Arms a timer with the default payload. Also returns where that lies, for another one
    /// to be written over it before anything else is done with the wheel.
    #[inline]
    pub(crate) fn arm_empty(&mut self, deadline: Instant) -> Result<(TimerKey, &mut T), WheelFull> {
        let index = self.take_free()?;
        self.armed = self.armed.wrapping_add(1).max(1);
        let generation = self.armed;
        let entry = &mut self.entries[index as usize];
        entry.deadline = deadline.as_nanos();
        entry.generation = generation;
        self.link(index, deadline.as_nanos());
        Ok((TimerKey { index, generation }, &mut self.entries[index as usize].payload))
    }

    /// Cancels a timer and gives its payload back; `None` if it has expired or was
    /// cancelled before.
    #[inline]
    pub fn cancel(&mut self, key: TimerKey) -> Option<T> {
        let mut payload = T::default();
        self.cancel_into(key, &mut payload).then_some(payload)
    }

    /// Cancels a timer and puts its payload into `place`, which has the default. True if
    /// the timer was armed.
    #[inline]
    pub(crate) fn cancel_into(&mut self, key: TimerKey, place: &mut T) -> bool {
        if !self.is_armed(key) {
            return false;
        }
        self.unlink(key.index);
        self.release(key.index, place);
        true
    }

    /// Cancels one of the timers whose payload `which` accepts, looking from index `from`
    /// on; `from` moves to where it was found.
    pub(crate) fn cancel_next(
        &mut self,
        from: &mut usize,
        which: impl Fn(&T) -> bool,
    ) -> Option<T> {
        let sought = |entry: &Entry<T>| entry.generation != 0 && which(&entry.payload);
        *from += self.entries.get(*from..)?.iter().position(sought)?;
        let key = TimerKey { index: *from as u32, generation: self.entries[*from].generation };
        self.cancel(key)
    }

    /// The payload of a timer that is armed.
    pub(crate) fn payload_mut(&mut self, key: TimerKey) -> Option<&mut T> {
        self.is_armed(key).then(|| &mut self.entries[key.index as usize].payload)
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

    /// Arms a timer again that has just expired, under the key that it had, with the
    /// default payload. Nothing may have been done with the wheel in between.
    pub(crate) fn revive(&mut self, key: TimerKey, deadline: Instant) {
        let TimerKey { index, generation } = key;
        assert_eq!(self.free.pop(), Some(index), "only the latest to expire can be revived");
        let entry = &mut self.entries[index as usize];
        entry.generation = generation;
        entry.deadline = deadline.as_nanos();
        self.link(index, deadline.as_nanos());
    }

    /// Whether the timer is still armed.
    #[inline]
    pub fn is_armed(&self, key: TimerKey) -> bool {
        self.entries.get(key.index as usize).is_some_and(|entry| entry.generation == key.generation)
    }

    /// The number of the latest call of `arm`. Keys of two wheels of which one counts on
    /// from the other are distinct.
    pub(crate) fn count(&self) -> u32 {
        self.armed
    }

    /// Counts on from `count`.
    pub(crate) fn count_from(&mut self, count: u32) {
        self.armed = count;
    }

    /// When to call [`expire`](Self::expire) next: never later than the moment the first
    /// timer expires, but possibly earlier, as a coarse slot knows only its start. Each
    /// call of `expire` at that moment either expires a timer or brings a later answer.
    pub fn next_deadline(&mut self) -> Option<Instant> {
        let fine = self.next_fine();
        let tick = self.first_coarse().map_or(fine, |(coarse, ..)| coarse.min(fine));
        (tick != u64::MAX).then(|| self.start_of(tick))
    }

    /// When a call of [`expire`](Self::expire) has something to move down ahead of need,
    /// though nothing may be due.
    #[inline]
    pub(crate) fn works_ahead_at(&self) -> Instant {
        Instant::from_nanos(self.ahead_at)
    }

    /// Takes out one timer that is due at `now`. Call it until it returns `None`.
    #[inline]
    pub fn expire(&mut self, now: Instant) -> Option<Expired<T>> {
        let mut payload = T::default();
        let (key, deadline) = self.expire_into(now, &mut payload)?;
        Some(Expired { key, payload, deadline })
    }

    /// Takes out one timer that is due at `now` and puts its payload into `place`, which has
    /// the default.
    #[inline]
    pub(crate) fn expire_into(
        &mut self,
        now: Instant,
        place: &mut T,
    ) -> Option<(TimerKey, Instant)> {
        let reached = self.reached(now);
        if reached < self.current {
            return None;
        }
        loop {
            let first = self.heads[self.fine(self.current)];
            if first != NONE {
                return Some(self.pop(first, place));
            }
            if !self.advance(reached) {
                return None;
            }
        }
    }
}

impl<T> Wheel<T> {
    /// How many timers are armed.
    pub fn len(&self) -> usize {
        self.entries.len() - 1 - self.free.len()
    }

    /// Whether no timer is armed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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
impl<T> Wheel<T> {
    fn tick_of(&self, deadline: u64) -> u64 {
        (deadline >> self.shift) + u64::from(deadline & self.within_tick != 0)
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
