//! A ring with one giver and many takers, each of which takes every message at its own pace.
//!
//! ```text
//!     horizon      slowest cursor     fastest cursor     tail
//!        │ not yet given up │ being taken    │ not yet taken │ free, the giver's
//! ───────┴──────────────────┴────────────────┴───────────────┴────────────▶ positions
//!        └────────────────────── at most capacity ───────────┘
//! ```
//!
//! Each taker owns a *cursor*, the position that it takes next. The giver writes over positions
//! below its *horizon* alone, which no cursor is below; it looks at the cursors only when it has
//! used up the room that the last look gave, and then raises the horizon by a part of the ring at
//! most, so that the rest stays for those who come later.
//!
//! A taker that comes while the giver raises the horizon must not be overrun. Both exchange the
//! horizon's word, so that of two exchanges one comes first: either the giver's sees the cursor
//! that was set before the taker's, and lowers the horizon again; or the taker's sees the horizon
//! raised, and sets its cursor anew.
//!
//! A position counts without end in 64 bits, and lives in slot `position % capacity`.

use std::mem;
use std::ptr::NonNull;

use crate::error::Corrupt;
use crate::ring::Line;
use crate::scope::{Carries, Local, Place, Scope, Word};
use crate::sync::Ordering;

/// Words that all users share, in this order: the tail, the horizon, the cursors.
pub(crate) type Row<S> = Line<<S as Scope>::Word>;

/// The position that is given next. Written by the giver alone.
pub(crate) const TAIL: usize = 0;
/// The giver writes over no position from here on. Raised and lowered by the giver alone.
pub(crate) const HORIZON: usize = 1;
/// The cursor of the first seat.
pub(crate) const CURSORS: usize = 2;

/// Rows of a ring with that many takers.
pub(crate) fn rows(takers: usize) -> usize {
    takers.saturating_add(CURSORS)
}

/// A row as it begins.
pub(crate) fn row<S: Scope>(index: usize) -> Row<S> {
    Line(S::Word::new(if index < CURSORS { 0 } else { NOBODY }))
}

/// So often does a taker that comes set its cursor anew where the horizon may be anything.
const ATTEMPTS: u32 = 1000;

/// The cursor of a seat that nobody has.
pub(crate) const NOBODY: u64 = u64::MAX;

/// The taker of that seat goes: the giver waits for it no more.
pub(crate) fn leave<S: Scope>(rows: &[Row<S>], seat: usize) {
    // Release pairs with the Acquire in `Giver::slowest`: what was borrowed is given back.
    rows[CURSORS + seat].0.store(NOBODY, Ordering::Release);
}

/// What a giver leaves that dies while it raises the horizon.
#[cfg(all(test, loom))]
pub(crate) fn raise_and_die<S: Scope>(rows: &[Row<S>], goal: u64) {
    rows[HORIZON].0.swap(goal, Ordering::AcqRel);
}

/// Messages that the slowest taker has not yet taken, at this moment; at most `capacity`, whatever
/// the words say.
pub(crate) fn len<S: Scope>(rows: &[Row<S>], capacity: usize) -> usize {
    // Relaxed: a hint. The cursors first: they never pass a tail that was read after them.
    let cursors = rows[CURSORS..].iter().map(|cursor| cursor.0.load(Ordering::Relaxed));
    let slowest = cursors.filter(|cursor| *cursor != NOBODY).min();
    let tail = rows[TAIL].0.load(Ordering::Relaxed);
    slowest.map_or(0, |slowest| tail.wrapping_sub(slowest).min(capacity as u64) as usize)
}

/// The positions that hold messages when nobody uses the ring any more.
pub(crate) fn rest<S: Scope>(rows: &[Row<S>], capacity: usize) -> std::ops::Range<u64> {
    // Relaxed: whoever tears down has everything handed over.
    let tail = rows[TAIL].0.load(Ordering::Relaxed);
    tail.saturating_sub(capacity as u64)..tail
}

/// Where a taker begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At the next message.
    #[default]
    Next,
    /// At the oldest that is still there.
    Oldest,
}

/// What both ends know: where the ring lies.
struct Way<T, S: Scope> {
    rows: NonNull<Row<S>>,
    takers: usize,
    /// As many as the mask says, and one.
    slots: NonNull<Place<T>>,
    mask: u64,
}

// SAFETY: the memory that it points at may be used by any thread of the scope, and the messages go
// from thread to thread. That several look at one at once is for the makers of takers to answer.
unsafe impl<T: Send> Send for Way<T, Local> {}
// SAFETY: as above; what lies in a segment is plain data.
#[cfg(not(loom))]
unsafe impl<T: Send> Send for Way<T, crate::shared::Shared> {}

impl<T, S: Scope> Way<T, S> {
    /// # Safety
    /// `rows` and `slots` stay where they are for as long as the way is used.
    unsafe fn new(rows: &[Row<S>], slots: &[Place<T>]) -> Self {
        assert!(slots.len().is_power_of_two() && rows.len() > CURSORS);
        Self {
            rows: NonNull::from(rows).cast(),
            takers: rows.len() - CURSORS,
            slots: NonNull::from(slots).cast(),
            mask: slots.len() as u64 - 1,
        }
    }

    #[inline(always)]
    fn row(&self, index: usize) -> &S::Word {
        debug_assert!(index < CURSORS + self.takers);
        // SAFETY: by the promise of `new`; the index is within the rows.
        unsafe { &self.rows.add(index).as_ref().0 }
    }

    fn cursors(&self) -> impl Iterator<Item = &S::Word> {
        (CURSORS..CURSORS + self.takers).map(|index| self.row(index))
    }

    #[inline(always)]
    fn capacity(&self) -> u64 {
        self.mask + 1
    }

    #[inline(always)]
    fn slot(&self, position: u64) -> &Place<T> {
        // SAFETY: by the promise of `new`; the index is within the slots, of which there are as
        // many as the mask says, and one.
        unsafe { self.slots.add((position & self.mask) as usize).as_ref() }
    }
}

// ---------------------------------------------------------------------------------- giving

/// The giving end.
pub(crate) struct Giver<T, S: Scope> {
    way: Way<T, S>,
    /// The position that is given next; ahead of the published one within a long batch.
    tail: u64,
    /// No cursor is below.
    horizon: u64,
}

impl<T, S: Carries<T>> Giver<T, S> {
    /// # Safety
    /// `rows` and `slots` belong together and stay where they are for as long as this is used; it
    /// is the only giver.
    pub(crate) unsafe fn new(rows: &[Row<S>], slots: &[Place<T>]) -> Self {
        // SAFETY: as promised.
        let way: Way<T, S> = unsafe { Way::new(rows, slots) };
        // Relaxed: the seat has handed over what the last giver wrote.
        let tail = way.row(TAIL).load(Ordering::Relaxed);
        // No giver has got further than a lap ahead of it.
        let horizon = tail.saturating_sub(way.capacity());
        let mut giver = Self { way, tail, horizon };
        giver.raise_to(giver.way.row(HORIZON).load(Ordering::Relaxed).min(tail));
        giver
    }

    /// Whether there is room for a message.
    #[inline(always)]
    pub(crate) fn has_room(&mut self) -> bool {
        self.tail.wrapping_sub(self.horizon) <= self.way.mask || self.look()
    }

    /// For how many messages there is room; does not look again for more than `wanted`.
    #[inline(always)]
    pub(crate) fn room(&mut self, wanted: usize) -> u64 {
        let known = self.known_room();
        if known >= wanted as u64 || !self.look() { known } else { self.known_room() }
    }

    #[inline(always)]
    fn known_room(&self) -> u64 {
        self.way.capacity().saturating_sub(self.tail.wrapping_sub(self.horizon))
    }

    /// Looks how far the slowest taker has got, and raises the horizon by a quarter of the ring at
    /// most. Whether there is room.
    #[inline(never)]
    fn look(&mut self) -> bool {
        let step = (self.way.capacity() / 4).max(1);
        let oldest = self.tail.saturating_sub(self.way.capacity());
        // What lies more than a lap behind is overwritten already.
        let goal = self.slowest().min(self.horizon.max(oldest).saturating_add(step));
        if goal > self.horizon {
            self.raise_to(goal);
        }
        self.tail.wrapping_sub(self.horizon) <= self.way.mask
    }

    /// Raises the horizon as far as `goal`, or as a cursor allows that was set just now.
    fn raise_to(&mut self, goal: u64) {
        let word = self.way.row(HORIZON);
        // AcqRel pairs with the exchange in `Taker::enter`. Release: who comes after this sees
        // `goal` and all that was published; Acquire: who came before is seen by the next look.
        word.swap(goal, Ordering::AcqRel);
        let kept = self.slowest().min(goal);
        if kept < goal {
            // The same: an exchange, so that those of others stay in one chain with the next.
            word.swap(kept, Ordering::AcqRel);
        }
        self.horizon = kept;
    }

    /// The slowest cursor, between the horizon and the tail; the tail if there is none.
    fn slowest(&self) -> u64 {
        // Acquire pairs with the Releases in `Taker::release` and in `leave`: those who were there
        // look at the messages no more.
        let cursors = self.way.cursors().map(|cursor| cursor.load(Ordering::Acquire));
        // One that comes just now may be below the horizon, and will see that it is.
        cursors.fold(self.tail, u64::min).max(self.horizon)
    }

    /// Moves what lies in the slot so many after the next out, for which there is room, if it must be
    /// dropped.
    #[inline(always)]
    pub(crate) fn vacate(&self, ahead: u64) -> Option<T> {
        debug_assert!(ahead < self.known_room());
        let position = self.tail.wrapping_add(ahead);
        if !mem::needs_drop::<T>() || position < self.way.capacity() {
            return None;
        }
        // SAFETY: a lap ago a message was put there, which all have passed; the caller puts another
        // in its place.
        unsafe { S::get::<Corrupt>(self.way.slot(position)) }.ok()
    }

    /// Where the message will lie that is `ahead` of the next, for which there is room.
    #[inline(always)]
    pub(crate) fn place(&self, ahead: u64) -> &Place<T> {
        self.way.slot(self.tail.wrapping_add(ahead))
    }

    /// Counts so many messages, which [`Giver::publish`] will hand over.
    ///
    /// # Safety
    /// There was room, what lay there was moved out, and they were written to their places.
    #[inline(always)]
    pub(crate) unsafe fn advance(&mut self, count: u64) {
        self.tail = self.tail.wrapping_add(count);
    }

    /// Hands so many messages to the takers, and those that were counted before.
    ///
    /// # Safety
    /// As for [`Giver::advance`].
    #[inline(always)]
    pub(crate) unsafe fn publish(&mut self, count: u64) {
        // SAFETY: as promised.
        unsafe { self.advance(count) };
        // Release pairs with the Acquire in `Taker::look`: who sees the tail sees the messages.
        self.way.row(TAIL).store(self.tail, Ordering::Release);
    }
}

// ---------------------------------------------------------------------------------- taking

/// The taking end.
pub(crate) struct Taker<T, S: Scope> {
    way: Way<T, S>,
    /// The row of its cursor.
    row: usize,
    /// The position that is taken next.
    head: u64,
    /// What the tail was when it was last looked at.
    tail: u64,
}

impl<T, S: Scope> Taker<T, S> {
    /// # Safety
    /// `rows` and `slots` belong together and stay where they are for as long as this is used; it
    /// is the only taker of that seat.
    pub(crate) unsafe fn new(
        rows: &[Row<S>],
        slots: &[Place<T>],
        seat: usize,
        start: Start,
    ) -> Self {
        // SAFETY: as promised.
        let way: Way<T, S> = unsafe { Way::new(rows, slots) };
        let row = CURSORS + seat;
        assert!(row < rows.len());
        let head = Self::enter(&way, row, start);
        Self { way, row, head, tail: head }
    }

    /// Sets the cursor to a position that the giver does not write over.
    fn enter(way: &Way<T, S>, row: usize, start: Start) -> u64 {
        let begin = |horizon| match start {
            // Acquire: what the giver did before is over for who starts behind it.
            Start::Next => way.row(TAIL).load(Ordering::Acquire).max(horizon),
            Start::Oldest => horizon,
        };
        // Relaxed: the exchange below tells whether it was right.
        let mut head = begin(way.row(HORIZON).load(Ordering::Relaxed));
        let mut attempts = 0;
        loop {
            // Relaxed: the exchange takes it along.
            way.row(row).store(head, Ordering::Relaxed);
            // AcqRel pairs with the exchanges in `Giver::raise_to`. An exchange, not a load: the
            // giver's next one comes after it, and sees the cursor.
            let horizon = way.row(HORIZON).fetch_add(0, Ordering::AcqRel);
            attempts += 1;
            // Another process may raise it for ever: then it is not worth more.
            if horizon <= head || (S::MORTAL && attempts >= ATTEMPTS) {
                return head;
            }
            head = begin(horizon);
        }
    }

    /// Whether it knows of a message, without a look.
    #[inline(always)]
    pub(crate) fn knows_of_some(&self) -> bool {
        self.head != self.tail
    }

    /// Messages of which it knows.
    #[inline(always)]
    pub(crate) fn known(&self) -> usize {
        self.tail.wrapping_sub(self.head) as usize
    }

    /// Looks how far the giver has got: whether there is a message.
    ///
    /// # Errors
    /// [`Corrupt`]: it says that there are more than there is room for.
    #[inline(always)]
    pub(crate) fn look(&mut self) -> Result<bool, Corrupt> {
        // Acquire pairs with the Release in `Giver::publish`: the messages are there.
        let tail = self.way.row(TAIL).load(Ordering::Acquire);
        if S::MORTAL && tail.wrapping_sub(self.head) > self.way.capacity() {
            return Err(Corrupt);
        }
        self.tail = tail;
        Ok(self.head != tail)
    }

    /// Where the message lies that is `ahead` of the next; it knows of it.
    #[inline(always)]
    pub(crate) fn place(&self, ahead: usize) -> &Place<T> {
        debug_assert!(ahead < self.known());
        self.way.slot(self.head.wrapping_add(ahead as u64))
    }

    /// Passes over messages of which it knows.
    #[inline(always)]
    pub(crate) fn advance(&mut self, count: usize) {
        debug_assert!(count <= self.known());
        self.head = self.head.wrapping_add(count as u64);
    }

    /// Lets the giver have the slots of all that was passed.
    #[inline(always)]
    pub(crate) fn release(&self) {
        // Release pairs with the Acquire in `Giver::slowest`: a slot is written again only after
        // its message was looked at.
        self.way.row(self.row).store(self.head, Ordering::Release);
    }
}
