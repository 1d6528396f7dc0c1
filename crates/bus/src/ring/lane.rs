//! A ring with one giver and one taker.
//!
//! ```text
//!        head                        tail
//!          │ published, not yet taken  │ free, the giver's
//! ─────────┴───────────────────────────┴──────────────────▶ positions
//!          └──────── at most capacity ─┘
//! ```
//!
//! Each side owns one index, on a line of its own, and keeps what it last saw of the other's, so
//! that it looks at a line that the other writes once per lap at most (Lee, Bu and Chandranmenon,
//! "A lock-free, cache-efficient multi-core synchronization mechanism for line-rate network
//! traffic monitoring", 2010, which calls it MCRingBuffer). A position counts without end in 64
//! bits, and lives in slot `position % capacity`.

use std::ptr::NonNull;

use crate::error::Corrupt;
use crate::ring::indices::{self, Indices};
use crate::scope::{Carries, Local, Place, Scope, Word};
use crate::sync::Ordering;

/// The indices of a lane; they count messages.
pub(crate) type Lane<S> = Indices<S>;

/// What both ends of a lane know: where it lies. The memory outlives them: whoever makes one
/// keeps the object.
struct Way<T, S: Scope> {
    lane: NonNull<Lane<S>>,
    /// As many as the mask says, and one.
    slots: NonNull<Place<T>>,
    mask: u64,
}

// SAFETY: the memory that it points at may be used by any thread of the scope, and the messages go
// from thread to thread.
unsafe impl<T: Send> Send for Way<T, Local> {}
// SAFETY: as above; what lies in a segment is plain data.
#[cfg(not(loom))]
unsafe impl<T: Send> Send for Way<T, crate::shared::Shared> {}

impl<T, S: Scope> Way<T, S> {
    /// # Safety
    /// `lane` and `slots` stay where they are for as long as the way is used.
    unsafe fn new(lane: &Lane<S>, slots: &[Place<T>]) -> Self {
        assert!(slots.len().is_power_of_two());
        Self { lane: lane.into(), slots: NonNull::from(slots).cast(), mask: slots.len() as u64 - 1 }
    }

    #[inline(always)]
    fn lane(&self) -> &Lane<S> {
        // SAFETY: by the promise of `new` it is there.
        unsafe { self.lane.as_ref() }
    }

    #[inline(always)]
    fn capacity(&self) -> u64 {
        self.mask + 1
    }

    /// How many slots lie in a row from that of the position on.
    #[inline(always)]
    fn in_a_row(&self, position: u64) -> u64 {
        self.capacity() - (position & self.mask)
    }

    /// The slot of the position, and those that lie behind it in a row.
    #[inline(always)]
    fn row(&self, position: u64) -> NonNull<Place<T>> {
        // SAFETY: by the promise of `new`; the index is within the slots, of which there are as
        // many as the mask says, and one.
        unsafe { self.slots.add((position & self.mask) as usize) }
    }

    #[inline(always)]
    fn slot(&self, position: u64) -> &Place<T> {
        // SAFETY: it is there, by the promise of `new`.
        unsafe { self.row(position).as_ref() }
    }
}

/// The giving end.
pub(crate) struct Giver<T, S: Scope> {
    way: Way<T, S>,
    /// The position that is given next.
    tail: u64,
    /// What the head was when it was last looked at.
    head: u64,
}

impl<T, S: Scope> Giver<T, S> {
    /// # Safety
    /// `lane` and `slots` belong together and stay where they are for as long as this is used; it
    /// is the only giver.
    pub(crate) unsafe fn new(lane: &Lane<S>, slots: &[Place<T>]) -> Self {
        // Relaxed: the seat has handed over what the last giver wrote.
        let tail = lane.tail.0.load(Ordering::Relaxed);
        // Acquire pairs with the Release in `Taker::release`.
        let head = lane.head.0.released.load(Ordering::Acquire);
        // SAFETY: as promised.
        Self { way: unsafe { Way::new(lane, slots) }, tail, head }
    }

    /// Whether there is room for a message.
    #[inline(always)]
    pub(crate) fn has_room(&mut self) -> bool {
        self.tail.wrapping_sub(self.head) <= self.way.mask || self.look()
    }

    /// Looks how far the taker has got.
    #[inline(never)]
    fn look(&mut self) -> bool {
        // Acquire pairs with the Release in `Taker::release`: the taker has moved the messages of
        // the last lap out before anybody writes over them.
        self.head = self.way.lane().head.0.released.load(Ordering::Acquire);
        self.tail.wrapping_sub(self.head) <= self.way.mask
    }

    /// For how many messages there is room; does not look again for more than `wanted`.
    #[inline(always)]
    pub(crate) fn room(&mut self, wanted: usize) -> u64 {
        let known = self.known_room();
        if known >= wanted as u64 || !self.look() { known } else { self.known_room() }
    }

    /// None, if a head is where it cannot be.
    #[inline(always)]
    fn known_room(&self) -> u64 {
        self.way.capacity().saturating_sub(self.tail.wrapping_sub(self.head))
    }

    /// Writes a message into the slot so many places after the next. The taker does not see it
    /// before [`Giver::publish`].
    ///
    /// # Safety
    /// There is room for more than `ahead` messages.
    #[inline(always)]
    pub(crate) unsafe fn stage(&self, ahead: u64, message: T)
    where
        S: Carries<T>,
    {
        debug_assert!(ahead < self.known_room());
        // SAFETY: the slot is free, for the taker has passed it, and this is the only giver.
        unsafe { S::put(self.way.slot(self.tail.wrapping_add(ahead)), message) };
    }

    /// Writes messages into the slots that lie in a row from the one so many after the next on, at
    /// most `room`, and counts each. The taker does not see them before [`Giver::publish`]. Says
    /// whether there are others behind.
    ///
    /// # Safety
    /// There is room for so many more.
    #[inline(always)]
    pub(crate) unsafe fn stage_row(
        &self,
        staged: &mut u64,
        room: u64,
        messages: &mut impl Iterator<Item = T>,
    ) -> bool
    where
        S: Carries<T>,
    {
        let first = self.tail.wrapping_add(*staged);
        let row = self.way.row(first);
        // Not what the iterator says of itself, which may be anything.
        for at in 0..room.min(self.way.in_a_row(first)) as usize {
            let Some(message) = messages.next() else { return false };
            // SAFETY: within the row; the slot is free, for the taker has passed it.
            unsafe { S::put(row.add(at).as_ref(), message) };
            *staged += 1;
        }
        true
    }

    /// Where the next message will lie, for which there is room.
    #[inline(always)]
    pub(crate) fn next_place(&self) -> NonNull<Place<T>> {
        self.way.slot(self.tail).into()
    }

    /// Hands so many messages to the taker.
    ///
    /// # Safety
    /// There was room, and they were written, by [`Giver::stage`] or to [`Giver::next_place`].
    #[inline(always)]
    pub(crate) unsafe fn publish(&mut self, count: u64) {
        self.tail = self.tail.wrapping_add(count);
        // Release pairs with the Acquire in `Taker::look`: who sees the tail sees the messages.
        self.way.lane().tail.0.store(self.tail, Ordering::Release);
    }
}

/// The taking end.
pub(crate) struct Taker<T, S: Scope> {
    way: Way<T, S>,
    /// The position that is taken next.
    head: u64,
    /// What the tail was when it was last looked at.
    tail: u64,
    /// Messages below this position were lent to a taker that has died.
    lent: u64,
}

impl<T, S: Scope> Taker<T, S> {
    /// # Safety
    /// `lane` and `slots` belong together and stay where they are for as long as this is used; it
    /// is the only taker.
    pub(crate) unsafe fn new(lane: &Lane<S>, slots: &[Place<T>]) -> Self {
        // Relaxed: the seat has handed over what the last taker wrote.
        let head = lane.head.0.released.load(Ordering::Relaxed);
        let lent = lane.head.0.lent_before(head, slots.len() as u64);
        // SAFETY: as promised.
        Self { way: unsafe { Way::new(lane, slots) }, head, tail: head, lent }
    }

    /// Whether the next message was lent to a taker that has died.
    #[inline(always)]
    pub(crate) fn was_lent(&self) -> bool {
        self.was_lent_at(self.head)
    }

    #[inline(always)]
    fn was_lent_at(&self, position: u64) -> bool {
        S::MORTAL && indices::is_below(position, self.lent)
    }

    /// Passes over what was lent to takers that have died; returns how many messages that are.
    pub(crate) fn give_up_lent(&mut self) -> u64 {
        let lost = self.lent.wrapping_sub(self.head);
        self.head = self.lent;
        self.tail = self.head;
        self.release();
        lost
    }

    /// Says that the next message is about to be lent.
    #[inline(always)]
    pub(crate) fn lend(&self) {
        self.lend_at(self.head);
    }

    #[inline(always)]
    fn lend_at(&self, position: u64) {
        self.way.lane().head.0.lend(position.wrapping_add(1), self.lent);
    }

    /// Whether it knows of a message, without a look.
    #[inline(always)]
    pub(crate) fn knows_of_some(&self) -> bool {
        self.head != self.tail
    }

    /// Of how many messages it knows, without a look.
    #[inline(always)]
    pub(crate) fn known(&self) -> u64 {
        self.tail.wrapping_sub(self.head)
    }

    /// Looks how far the giver has got: whether there is a message.
    ///
    /// # Errors
    /// [`Corrupt`]: it says that there are more than there is room for.
    #[inline(always)]
    pub(crate) fn look(&mut self) -> Result<bool, Corrupt> {
        // Acquire pairs with the Release in `Giver::publish`: the messages are there.
        let tail = self.way.lane().tail.0.load(Ordering::Acquire);
        if S::MORTAL && tail.wrapping_sub(self.head) > self.way.capacity() {
            return Err(Corrupt);
        }
        self.tail = tail;
        Ok(self.head != tail)
    }

    /// The next message, of which it knows. Who calls passes over it by [`Taker::pass`].
    ///
    /// # Errors
    /// [`Corrupt`]: it is none.
    ///
    /// # Safety
    /// It is not read again.
    #[inline(always)]
    pub(crate) unsafe fn read<E: From<Corrupt>>(&self) -> Result<T, E>
    where
        S: Carries<T>,
    {
        debug_assert!(self.knows_of_some());
        // SAFETY: the tail says that the message is there, and it is read once.
        unsafe { S::get(self.way.slot(self.head)) }
    }

    /// Moves on to the next message; the giver gets the slot back by [`Taker::release`].
    #[inline(always)]
    pub(crate) fn pass(&mut self) {
        self.head = self.head.wrapping_add(1);
    }

    /// Takes all messages of which it knows out, at most `limit`: they are taken from the run by
    /// [`Taker::take_of`], and what is left of it comes back by [`Taker::end_run`].
    #[inline(always)]
    pub(crate) fn begin_run(&mut self, limit: u64) -> Run {
        let next = self.head;
        let end = next.wrapping_add(self.known().min(limit));
        // From here on it has none of them, so that none is read twice if the run is forgotten.
        self.head = end;
        Run { next, end }
    }

    /// Moves the next message of a run out, and says whether it had been lent to a taker that has
    /// died; `None`: there is no more.
    ///
    /// # Safety
    /// The run is of this taker, which has not ended it.
    #[inline(always)]
    pub(crate) unsafe fn take_of(&self, run: &mut Run) -> Option<(Result<T, Corrupt>, bool)>
    where
        S: Carries<T>,
    {
        if run.next == run.end {
            return None;
        }
        let position = run.next;
        run.next = position.wrapping_add(1);
        self.lend_at(position);
        // SAFETY: the tail says that the message is there; the run has it alone, and passes over it.
        let message = unsafe { S::get(self.way.slot(position)) };
        Some((message, self.was_lent_at(position)))
    }

    /// The slots of a run that lie in a row, and how many they are; as [`Taker::take_of`], but that
    /// who calls moves the messages out, and counts each by [`Run::pass`] before.
    #[inline(always)]
    pub(crate) fn row_of(&self, run: &Run) -> (NonNull<Place<T>>, u64) {
        let count = run.end.wrapping_sub(run.next).min(self.way.in_a_row(run.next));
        (self.way.row(run.next), count)
    }

    /// Gives the slots of what was taken of a run back to the giver, and the rest to this taker.
    ///
    /// # Safety
    /// As for [`Taker::take_of`].
    #[inline(always)]
    pub(crate) unsafe fn end_run(&mut self, run: &Run) {
        self.head = run.next;
        self.release();
    }

    /// Drops the next message, of which it knows; as [`Taker::pass`].
    #[inline(always)]
    pub(crate) fn skip(&mut self)
    where
        S: Carries<T>,
    {
        debug_assert!(self.knows_of_some());
        let slot = self.place();
        self.pass();
        // SAFETY: as in `read`; the head was moved on first, for dropping may panic.
        unsafe { S::discard(slot.as_ref()) };
    }

    /// Where the next message lies, of which it knows.
    #[inline(always)]
    pub(crate) fn place(&self) -> NonNull<Place<T>> {
        self.way.slot(self.head).into()
    }

    /// Gives the slots of all that was taken back to the giver.
    #[inline(always)]
    pub(crate) fn release(&self) {
        // Release pairs with the Acquire in `Giver::look`: a slot is written again only after its
        // message was moved out.
        self.way.lane().head.0.released.store(self.head, Ordering::Release);
    }
}

/// Messages that a taker has taken out of its lane, which it passes over one by one.
#[derive(Debug)]
pub(crate) struct Run {
    next: u64,
    end: u64,
}

impl Run {
    /// One more was taken.
    #[inline(always)]
    pub(crate) fn pass(&mut self) {
        self.next = self.next.wrapping_add(1);
    }
}
