//! A ring with any number of givers and takers, and one order for all.
//!
//! Dmitry Vyukov's bounded queue ("Bounded MPMC queue", 1024cores.net). A slot's *stamp* says
//! whose turn it is: `p` when it is free for the giver of position `p`, `p + 1` when it holds the
//! message of that position, `p + capacity` when that was taken, which is the next giver's turn.
//! Who claims a position moves the index on, uses the slot, and then moves the stamp on. A position
//! that was claimed and has no message after all is given *void*, and takers pass over it.

use std::ptr::NonNull;

use crate::error::Corrupt;
use crate::ring::Line;
use crate::ring::mortal::Step;
use crate::scope::{Carries, Local, Place, Scope, Word};
use crate::sync::Ordering;

/// The two indices.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Ends<S: Scope> {
    /// The position that is given next.
    pub(crate) tail: Line<S::Word>,
    /// The position that is taken next.
    pub(crate) head: Line<S::Word>,
    /// Where takers can die: not zero if there may be messages that the dead had on loan.
    pub(crate) again: Line<S::Word>,
}

impl<S: Scope> Ends<S> {
    pub(crate) fn new() -> Self {
        let word = || Line(S::Word::new(0));
        Self { tail: word(), head: word(), again: word() }
    }

    /// Messages in the ring, those included that are being written, at this moment; at most
    /// `capacity`, whatever the words say.
    pub(crate) fn len(&self, capacity: usize) -> usize {
        // Relaxed: a hint. The head first: it never passes a tail that was read after it.
        let head = self.head.0.load(Ordering::Relaxed);
        let len = self.tail.0.load(Ordering::Relaxed).saturating_sub(head);
        len.min(capacity as u64) as usize
    }
}

/// One slot.
#[doc(hidden)]
#[derive(Debug)]
#[repr(C)]
pub struct Stamped<T, S: Scope> {
    stamp: S::Word,
    /// Not zero: there is no message. Changed by who has claimed the slot. Where users can die the
    /// slot's phase says it, and this, for those who come later and only look, of which lap it was:
    /// one more than that.
    void: S::Word32,
    place: Place<T>,
}

impl<T, S: Scope> Stamped<T, S> {
    /// The slot of that index, free.
    pub(crate) fn new(index: usize) -> Self {
        // Where users can die the word says more, and begins alike for all: see `mortal`.
        let stamp = if S::MORTAL { 0 } else { index as u64 };
        Self { stamp: S::Word::new(stamp), void: S::Word32::new(0), place: Place::zeroed() }
    }
}

impl<T, S: Scope> Stamped<T, S> {
    /// Bytes before the message.
    #[cfg(not(loom))]
    pub(crate) const PLACE_AT: usize = std::mem::offset_of!(Self, place);
    /// Bytes before the word that says that there was none.
    #[cfg(not(loom))]
    pub(crate) const VOID_AT: usize = std::mem::offset_of!(Self, void);

    /// The word that says whose it is.
    pub(super) fn stamp(&self) -> &S::Word {
        &self.stamp
    }
}

/// A position that was claimed, and its slot.
pub(crate) struct Claim<T, S: Scope> {
    slot: NonNull<Stamped<T, S>>,
    position: u64,
    /// The message was on loan to a taker that has died.
    lent_before: bool,
}

impl<T, S: Scope> Claim<T, S> {
    /// The word that says whose turn it is.
    #[inline(always)]
    pub(super) fn stamp(&self) -> &S::Word {
        &self.slot().stamp
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Says that there was no message in that lap.
    pub(super) fn note_void(&self, lap: u64) {
        // Relaxed: the stamp takes it along.
        self.slot().void.store((lap as u32).wrapping_add(1), Ordering::Relaxed);
    }

    /// The same claim.
    pub(super) fn again(&self) -> Self {
        Self { slot: self.slot, ..*self }
    }

    /// The same claim, of a message that was on loan to a taker that has died.
    pub(super) fn lent_before(self) -> Self {
        Self { lent_before: true, ..self }
    }

    /// Whether the message was on loan to a taker that has died.
    #[inline(always)]
    pub(crate) fn was_lent(&self) -> bool {
        S::MORTAL && self.lent_before
    }

    #[inline(always)]
    fn slot(&self) -> &Stamped<T, S> {
        // SAFETY: a claim is used while the ring is there, by the promise of `Ring::new`.
        unsafe { self.slot.as_ref() }
    }

    /// Where the message lies, or will.
    #[inline(always)]
    pub(crate) fn place(&self) -> NonNull<Place<T>> {
        (&self.slot().place).into()
    }
}

/// The ring, as each of its users sees it.
pub(crate) struct Ring<T, S: Scope> {
    ends: NonNull<Ends<S>>,
    /// As many as the mask says, and one.
    slots: NonNull<Stamped<T, S>>,
    mask: u64,
    /// The user's own.
    seat: usize,
}

// SAFETY: the memory that it points at may be used by any thread of the scope, and the messages go
// from thread to thread.
unsafe impl<T: Send> Send for Ring<T, Local> {}
// SAFETY: as above; what lies in a segment is plain data.
#[cfg(not(loom))]
unsafe impl<T: Send> Send for Ring<T, crate::shared::Shared> {}
// SAFETY: as above; any number of threads may use the ring at once.
unsafe impl<T: Send> Sync for Ring<T, Local> {}

impl<T, S: Scope> Ring<T, S> {
    /// # Safety
    /// `ends` and `slots` belong together and stay where they are for as long as this and the
    /// claims that it gives are used.
    pub(crate) unsafe fn new(ends: &Ends<S>, slots: &[Stamped<T, S>], seat: usize) -> Self {
        // With one slot "taken" and "free for the next" would be one stamp.
        assert!(slots.len().is_power_of_two() && slots.len() >= 2);
        let mask = slots.len() as u64 - 1;
        Self { ends: ends.into(), slots: NonNull::from(slots).cast(), mask, seat }
    }

    #[inline(always)]
    fn ends(&self) -> &Ends<S> {
        // SAFETY: by the promise of `new` it is there.
        unsafe { self.ends.as_ref() }
    }

    #[inline(always)]
    pub(super) fn tail(&self) -> &S::Word {
        &self.ends().tail.0
    }

    #[inline(always)]
    pub(super) fn head(&self) -> &S::Word {
        &self.ends().head.0
    }

    pub(super) fn again(&self) -> &S::Word {
        &self.ends().again.0
    }

    pub(super) fn capacity(&self) -> u64 {
        self.mask + 1
    }

    pub(super) fn seat(&self) -> usize {
        self.seat
    }

    #[inline(always)]
    pub(super) fn claimed(&self, position: u64) -> Claim<T, S> {
        // SAFETY: the index is within the slots, of which there are as many as the mask says, and
        // one.
        let slot = unsafe { self.slots.add((position & self.mask) as usize) };
        Claim { slot, position, lent_before: false }
    }

    /// Claims the next position to give, if it is free.
    #[inline]
    pub(crate) fn claim_to_give(&self) -> Option<Claim<T, S>> {
        if S::MORTAL { self.mortal_claim_to_give() } else { self.claim(self.tail(), 0) }
    }

    /// Claims the next position to take, if its message is there; calls `passed` for each position
    /// without a message that it has passed over, and freed.
    #[inline]
    pub(crate) fn claim_to_take(&self, passed: impl Fn()) -> Option<Claim<T, S>> {
        if S::MORTAL {
            return self.mortal_claim_to_take(passed);
        }
        loop {
            let claim = self.claim(self.head(), 1)?;
            // Relaxed: the stamp has brought it.
            if claim.slot().void.load(Ordering::Relaxed) == 0 {
                return Some(claim);
            }
            claim.slot().void.store(0, Ordering::Relaxed);
            self.free(claim);
            passed();
        }
    }

    /// Whether a message is there to be taken.
    #[inline]
    pub(crate) fn has_some(&self) -> bool {
        if S::MORTAL { self.mortal_has_some() } else { self.is_turn(self.head(), 1) }
    }

    /// Whether a position is free to be given.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        if S::MORTAL { self.mortal_has_room() } else { self.is_turn(self.tail(), 0) }
    }

    fn is_turn(&self, index: &S::Word, turn: u64) -> bool {
        // Relaxed: who claims looks again.
        let position = index.load(Ordering::Relaxed);
        let stamp = self.claimed(position).slot().stamp.load(Ordering::Acquire);
        // Moved on meanwhile: then somebody else was served, and it is worth another look.
        stamp.wrapping_sub(position.wrapping_add(turn)) as i64 >= 0
    }

    /// Claims the next position of `index` if its stamp is `turn` ahead of it.
    #[inline]
    fn claim(&self, index: &S::Word, turn: u64) -> Option<Claim<T, S>> {
        // Relaxed: a stale index makes the exchange fail; nothing is read through it.
        let mut position = index.load(Ordering::Relaxed);
        loop {
            let claim = self.claimed(position);
            // Acquire pairs with the Releases in `give` and `free`: what the user before did to
            // the slot is done.
            let stamp = claim.slot().stamp.load(Ordering::Acquire);
            let ahead = stamp.wrapping_sub(position.wrapping_add(turn)) as i64;
            if ahead < 0 {
                return None;
            }
            if ahead > 0 {
                position = index.load(Ordering::Relaxed);
                continue;
            }
            // Relaxed: it only picks the owner; the message travels by the stamp.
            let next = position.wrapping_add(1);
            match index.compare_exchange(position, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(claim),
                Err(now) => position = now,
            }
        }
    }

    /// Writes the message of a position that was claimed to give, and hands it over.
    #[inline]
    pub(crate) fn give(&self, claim: Claim<T, S>, message: T)
    where
        S: Carries<T>,
    {
        // SAFETY: the claim keeps everybody else away until the stamp is moved on.
        unsafe { S::put(&claim.slot().place, message) };
        self.hand_over(claim);
    }

    /// Hands over a message that was written to the claim's place.
    #[inline]
    pub(crate) fn hand_over(&self, claim: Claim<T, S>) {
        if S::MORTAL {
            return self.move_on(&claim, Step::Given);
        }
        // Release pairs with the Acquire in `claim`: who sees the stamp sees the message.
        claim.slot().stamp.store(claim.position.wrapping_add(1), Ordering::Release);
    }

    /// Hands over a position without a message.
    pub(crate) fn hand_over_void(&self, claim: Claim<T, S>) {
        if S::MORTAL {
            return self.move_on(&claim, Step::GivenVoid);
        }
        // Relaxed: the stamp takes it along.
        claim.slot().void.store(1, Ordering::Relaxed);
        self.hand_over(claim);
    }

    /// Moves the message of a position that was claimed to take out, and frees its slot.
    ///
    /// # Errors
    /// [`Corrupt`]: it is none.
    #[inline]
    pub(crate) fn take(&self, claim: Claim<T, S>) -> Result<T, Corrupt>
    where
        S: Carries<T>,
    {
        // SAFETY: the stamp has said that the message is there; the claim makes it ours alone.
        let message = unsafe { S::get(&claim.slot().place) };
        self.free(claim);
        message
    }

    /// Drops the message of a position that was claimed to take; its slot is free before that, which
    /// may panic.
    pub(crate) fn skip(&self, claim: Claim<T, S>)
    where
        S: Carries<T>,
    {
        if S::MORTAL {
            // SAFETY: as in `take`. Of plain data there is nothing to drop.
            unsafe { S::discard(&claim.slot().place) };
            return self.free(claim);
        }
        drop(self.take(claim));
    }

    /// Frees the slot of a position that was claimed to take, and whose message is gone.
    #[inline(always)]
    fn free(&self, claim: Claim<T, S>) {
        if S::MORTAL {
            return self.move_on(&claim, Step::Freed);
        }
        let next_turn = claim.position.wrapping_add(self.mask).wrapping_add(1);
        // Release pairs with the Acquire in `claim`: a slot is written again only after its
        // message was moved out.
        claim.slot().stamp.store(next_turn, Ordering::Release);
    }
}
