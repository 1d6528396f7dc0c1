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
use crate::ring::Line;
use crate::scope::{Carries, Local, Place, Scope, Word};
use crate::sync::Ordering;

/// The two indices.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Lane<S: Scope> {
    /// The position that is given next. Written by the giver alone.
    tail: Line<S::Word>,
    /// Written by the taker alone.
    head: Line<Head<S>>,
}

/// How far the taker has got.
#[derive(Debug)]
#[repr(C)]
struct Head<S: Scope> {
    /// The position that is taken next: all slots below are free.
    released: S::Word,
    /// Where takers can die: messages below this position have been lent.
    lent: S::Word,
}

impl<S: Scope> Lane<S> {
    pub(crate) fn new() -> Self {
        let head = Head { released: S::Word::new(0), lent: S::Word::new(0) };
        Self { tail: Line(S::Word::new(0)), head: Line(head) }
    }

    /// Messages in the ring, at this moment; at most `capacity`, whatever the words say.
    pub(crate) fn len(&self, capacity: usize) -> usize {
        // Relaxed: a hint, old by the time that it is used. The head first: it never passes a
        // tail that was read after it.
        let head = self.head.0.released.load(Ordering::Relaxed);
        let len = self.tail.0.load(Ordering::Relaxed).wrapping_sub(head);
        len.min(capacity as u64) as usize
    }
}

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

    #[inline(always)]
    fn slot(&self, position: u64) -> &Place<T> {
        // SAFETY: by the promise of `new`; the index is within the slots, of which there are as
        // many as the mask says, and one.
        unsafe { self.slots.add((position & self.mask) as usize).as_ref() }
    }
}

/// The giving end.
pub(crate) struct Giver<T, S: Scope> {
    way: Way<T, S>,
    /// The position that is given next; ahead of the published one within a batch.
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

    /// Writes a message into the next slot, for which there is room; the taker does not see it
    /// before [`Giver::publish`].
    #[inline(always)]
    pub(crate) fn stage(&mut self, message: T)
    where
        S: Carries<T>,
    {
        debug_assert!(self.tail.wrapping_sub(self.head) <= self.way.mask);
        // SAFETY: the slot is free, for the taker has passed it, and this is the only giver.
        unsafe { S::put(self.way.slot(self.tail), message) };
        self.tail = self.tail.wrapping_add(1);
    }

    /// Where the next message will lie, for which there is room.
    #[inline(always)]
    pub(crate) fn next_place(&self) -> NonNull<Place<T>> {
        self.way.slot(self.tail).into()
    }

    /// Counts the message that was written to [`Giver::next_place`].
    ///
    /// # Safety
    /// There was room, and a message was written.
    #[inline(always)]
    pub(crate) unsafe fn staged(&mut self) {
        self.tail = self.tail.wrapping_add(1);
    }

    /// Hands all that was staged to the taker.
    #[inline(always)]
    pub(crate) fn publish(&self) {
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
    /// So many of the next messages were lent to a taker that has died.
    lent_before: u64,
}

impl<T, S: Scope> Taker<T, S> {
    /// # Safety
    /// `lane` and `slots` belong together and stay where they are for as long as this is used; it
    /// is the only taker.
    pub(crate) unsafe fn new(lane: &Lane<S>, slots: &[Place<T>]) -> Self {
        // Relaxed: the seat has handed over what the last taker wrote.
        let head = lane.head.0.released.load(Ordering::Relaxed);
        let lent = lane.head.0.lent.load(Ordering::Relaxed).wrapping_sub(head);
        // What cannot be was written by another process.
        let lent_before = if lent <= slots.len() as u64 { lent } else { 0 };
        // SAFETY: as promised.
        Self { way: unsafe { Way::new(lane, slots) }, head, tail: head, lent_before }
    }

    /// Whether the next message was lent to a taker that has died.
    #[inline(always)]
    pub(crate) fn was_lent(&self) -> bool {
        S::MORTAL && self.lent_before > 0
    }

    /// Passes over what was lent to takers that have died; returns how many messages that are.
    pub(crate) fn give_up_lent(&mut self) -> u64 {
        let lost = self.lent_before;
        self.head = self.head.wrapping_add(lost);
        self.tail = self.head;
        self.lent_before = 0;
        self.release();
        lost
    }

    /// Says that the next message is about to be lent.
    #[inline(always)]
    pub(crate) fn lend(&self) {
        if S::MORTAL {
            // Release: who finds it after this taker has died finds it before anything that was
            // done with the message.
            self.way.lane().head.0.lent.store(self.head.wrapping_add(1), Ordering::Release);
        }
    }

    /// Moves on to the next message.
    #[inline(always)]
    fn pass(&mut self) {
        self.head = self.head.wrapping_add(1);
        if S::MORTAL {
            self.lent_before = self.lent_before.saturating_sub(1);
        }
    }

    /// Whether it knows of a message, without a look.
    #[inline(always)]
    pub(crate) fn knows_of_some(&self) -> bool {
        self.head != self.tail
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

    /// Moves the next message out, of which it knows; the giver does not get the slot back before
    /// [`Taker::release`].
    ///
    /// # Errors
    /// [`Corrupt`]: it is none. It is passed over.
    #[inline(always)]
    pub(crate) fn take(&mut self) -> Result<T, Corrupt>
    where
        S: Carries<T>,
    {
        debug_assert!(self.knows_of_some());
        let slot = self.way.slot(self.head);
        // SAFETY: the tail says that the message is there, and moving the head on below keeps it
        // from being read again.
        let message = unsafe { S::get(slot) };
        self.pass();
        message
    }

    /// Drops the next message, of which it knows.
    #[inline(always)]
    pub(crate) fn skip(&mut self)
    where
        S: Carries<T>,
    {
        debug_assert!(self.knows_of_some());
        let slot: NonNull<Place<T>> = self.way.slot(self.head).into();
        self.pass();
        // SAFETY: as in `take`; the head was moved on first, for dropping may panic.
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
