//! The two ways by which messages come to a receiver: out of the lanes of all senders, or out of the
//! ring that all receivers share.
//!
//! A message is found first (in the ring it is claimed then), and moved out after that. What finds one
//! after a wait is seldom called, and moves none: a result that a call writes has to lie in memory, and
//! with it every message on its way.

use std::mem;
use std::ptr::NonNull;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::bells::{Bells, Ringer, Rings, due};
use crate::channel::lanes::Lanes;
use crate::channel::ringed::Ringed;
use crate::channel::{Config, Orphans};
use crate::error::{Corrupt, ReceiveError};
use crate::event::Sleeps;
use crate::object::{Attachment, Role};
use crate::ring::lane::Taker;
use crate::ring::many::{Claim, Ring};
use crate::scope::{Carries, Place, Scope, Word};
use crate::sync::{LOOKS, Ordering, spin_loop};

/// What a receiver does, whichever way its messages come.
pub(super) trait Way<T, S: Carries<T>> {
    /// A message that was found.
    type Found;

    /// Looks for a message. One that is found must be taken or lent: in the ring it is claimed, and
    /// nobody else gets it.
    fn seek(&mut self) -> Result<Option<Self::Found>, Corrupt>;

    /// Takes the message that was found.
    fn take(&mut self, found: Self::Found) -> Result<T, ReceiveError>;

    /// Whether something may still come: asked by who finds nothing, who looks after the dead too.
    fn is_open(&self) -> bool;

    /// Waits for a message; `false`: there was none in time.
    fn wait(&mut self, deadline: Option<Instant>) -> bool;

    /// Ready when there is a message or the channel is closed; else a waker is left.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()>;

    /// What all users share.
    fn bells(&self) -> &Bells<S>;

    /// Whether the last message that was taken had been lent to a receiver that has died.
    fn was_lent(&self) -> bool;

    /// Receives a message; waits for one.
    #[inline(always)]
    fn receive(&mut self, patience: Option<Duration>) -> Result<T, ReceiveError> {
        let found = self.find_soon(patience)?;
        self.take(found)
    }

    /// Receives a message if there is one.
    #[inline(always)]
    fn try_receive(&mut self) -> Result<T, ReceiveError> {
        let found = self.find()?;
        self.take(found)
    }

    /// Receives a message; waits for one until then.
    fn receive_until(&mut self, due: Option<Instant>) -> Result<T, ReceiveError> {
        let found = self.find_until(due)?;
        self.take(found)
    }

    /// Finds a message if there is one.
    #[inline(always)]
    fn find(&mut self) -> Result<Self::Found, ReceiveError> {
        match self.seek()? {
            Some(found) => Ok(found),
            None if self.is_open() => Err(ReceiveError::Empty),
            None => self.find_the_last(),
        }
    }

    /// What may have come before the last sender went.
    #[cold]
    #[inline(never)]
    fn find_the_last(&mut self) -> Result<Self::Found, ReceiveError> {
        self.seek()?.ok_or(ReceiveError::Closed)
    }

    /// Looks a number of times, and here: a call at this place doubles a round trip. Waits then.
    #[inline(always)]
    fn find_soon(&mut self, patience: Option<Duration>) -> Result<Self::Found, ReceiveError> {
        let mut found = self.seek()?;
        for _ in 0..LOOKS {
            if found.is_some() {
                break;
            }
            spin_loop();
            found = self.seek()?;
        }
        match found {
            Some(found) => Ok(found),
            None => self.find_later(patience),
        }
    }

    #[cold]
    #[inline(never)]
    fn find_later(&mut self, patience: Option<Duration>) -> Result<Self::Found, ReceiveError> {
        self.find_until(due(patience))
    }

    fn find_until(&mut self, due: Option<Instant>) -> Result<Self::Found, ReceiveError> {
        loop {
            match self.find() {
                Err(ReceiveError::Empty) => {}
                done => return done,
            }
            if !self.wait(due) {
                return Err(ReceiveError::late::<S>());
            }
        }
    }
}

/// The lanes of all senders, of which one is taken from until what was known of it is taken.
pub(super) struct Takers<T, S: Scope> {
    pub(super) current: Taker<T, S>,
    others: Box<[Taker<T, S>]>,
    /// The one of the others that is next.
    next: usize,
    /// The last message that was taken had been lent to a receiver that has died.
    pub(super) again: bool,
}

impl<T, S: Scope> Takers<T, S> {
    /// Whether there is a message; then the current lane knows of it.
    #[inline(always)]
    pub(super) fn has_some(&mut self) -> Result<bool, Corrupt> {
        if self.current.knows_of_some() { Ok(true) } else { self.look() }
    }

    #[inline(always)]
    pub(super) fn look(&mut self) -> Result<bool, Corrupt> {
        if self.others.is_empty() { self.current.look() } else { self.look_in_turn() }
    }

    /// All lanes in turn, the current one last, so that each gets its share.
    fn look_in_turn(&mut self) -> Result<bool, Corrupt> {
        for _ in 0..=self.others.len() {
            mem::swap(&mut self.current, &mut self.others[self.next]);
            self.next = (self.next + 1) % self.others.len();
            if self.current.look()? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Notes whether the next message was lent before.
    #[inline(always)]
    pub(super) fn note(&mut self) {
        if S::MORTAL {
            self.again = self.current.was_lent();
        }
    }

    /// Passes over what was lent to receivers that have died; returns how many messages that are.
    fn give_up_lent(&mut self) -> u64 {
        let others = self.others.iter_mut().map(Taker::give_up_lent).sum::<u64>();
        self.current.give_up_lent() + others
    }
}

/// Out of the lanes.
pub(super) struct OfLanes<T: 'static, S: Carries<T>> {
    pub(super) takers: Takers<T, S>,
    ringer: Ringer<S>,
    pub(super) seat: Attachment<Lanes<T>, S>,
}

impl<T, S: Carries<T>> OfLanes<T, S> {
    /// For who has the seat of the one receiver.
    pub(super) fn new(seat: Attachment<Lanes<T>, S>, config: Config) -> Self {
        let taker = |lane| {
            // SAFETY: the one receiver's seat is ours, and the attachment, kept beside them, keeps
            // the object.
            unsafe { seat.shape().taker(seat.parts(), lane) }
        };
        let others = (1..config.senders).map(taker).collect();
        let mut takers = Takers { current: taker(0), others, next: 0, again: false };
        if S::MORTAL && config.orphans == Orphans::Lose {
            let lost = takers.give_up_lent();
            // Relaxed: a count, which orders nothing.
            seat.parts().head.lost.fetch_add(lost, Ordering::Relaxed);
        }
        // SAFETY: the attachment, kept beside it, keeps the object.
        let ringer = unsafe { Ringer::new(&seat.parts().head) };
        Self { takers, ringer, seat }
    }

    /// Places were given back: wakes who sleeps.
    #[inline(always)]
    pub(super) fn freed(&self) {
        if self.ringer.has_sleeper(Role::Taker) {
            self.ringer.wake(Role::Taker, self.seat.parts().wakers(Role::Giver));
        }
    }
}

impl<T, S: Carries<T>> Drop for OfLanes<T, S> {
    /// Who comes next begins behind all that was moved out, also if a drain was forgotten. Messages of
    /// those who may die are plain data, and come again.
    fn drop(&mut self) {
        if !S::MORTAL {
            self.takers.current.release();
            self.takers.others.iter().for_each(Taker::release);
            self.freed();
        }
    }
}

/// The next message of a lane, which is passed over when this goes.
pub(super) struct Next<'r, T: 'static, S: Carries<T>>(&'r mut OfLanes<T, S>);

impl<'r, T, S: Carries<T>> Next<'r, T, S> {
    /// The current lane knows of it.
    #[inline(always)]
    pub(super) fn of(lanes: &'r mut OfLanes<T, S>) -> Self {
        debug_assert!(lanes.takers.current.knows_of_some());
        Self(lanes)
    }

    /// Where it lies.
    #[inline(always)]
    pub(super) fn place(&self) -> NonNull<Place<T>> {
        self.0.takers.current.place()
    }
}

impl<T, S: Carries<T>> Drop for Next<'_, T, S> {
    #[inline(always)]
    fn drop(&mut self) {
        self.0.takers.current.pass();
        self.0.takers.current.release();
        self.0.freed();
    }
}

impl<T, S: Carries<T>> Way<T, S> for OfLanes<T, S> {
    /// The current lane knows of it.
    type Found = ();

    #[inline(always)]
    fn seek(&mut self) -> Result<Option<()>, Corrupt> {
        Ok(self.takers.has_some()?.then_some(()))
    }

    #[inline(always)]
    fn take(&mut self, (): ()) -> Result<T, ReceiveError> {
        self.takers.note();
        let next = Next::of(self);
        // SAFETY: it is passed over when this goes, which is after the message has got to its place:
        // one that is large is copied once.
        unsafe { next.0.takers.current.read() }
    }

    #[inline(always)]
    fn is_open(&self) -> bool {
        self.seat.attend();
        !self.ringer.is_shut(self.seat.parts(), Role::Taker)
    }

    fn wait(&mut self, deadline: Option<Instant>) -> bool {
        let Self { takers, ringer, seat } = self;
        let parts = seat.parts();
        let ready = || {
            seat.attend_in_wait();
            takers.has_some() != Ok(false) || ringer.is_shut(parts, Role::Taker)
        };
        parts.head.filled.wait(deadline, ready)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Self { takers, ringer, seat } = self;
        let parts = seat.parts();
        let cell = &parts.wakers(Role::Taker)[seat.seat()];
        let ready = || {
            seat.attend_in_wait();
            takers.has_some() != Ok(false) || ringer.is_shut(parts, Role::Taker)
        };
        parts.head.filled.poll(cell, context, ready)
    }

    fn bells(&self) -> &Bells<S> {
        &self.seat.parts().head
    }

    fn was_lent(&self) -> bool {
        self.takers.again
    }
}

/// Out of the ring.
pub(super) struct OfRing<T: 'static, S: Carries<T>> {
    pub(super) ring: Ring<T, S>,
    /// The last message that was taken had been lent to a receiver that has died.
    again: bool,
    pub(super) seat: Attachment<Ringed<T>, S>,
}

impl<T, S: Carries<T>> OfRing<T, S> {
    pub(super) fn new(seat: Attachment<Ringed<T>, S>) -> Self {
        // SAFETY: the attachment, kept beside it, keeps the object.
        let ring = unsafe { seat.shape().ring(seat.parts(), Role::Taker, seat.seat()) };
        Self { ring, again: false, seat }
    }

    #[inline(always)]
    pub(super) fn claim(&mut self) -> Option<Claim<T, S>> {
        // Places that were given back without a message make room as well.
        let claim = self.ring.claim_to_take(|| Ringed::freed(self.seat.parts()))?;
        if S::MORTAL {
            self.again = claim.was_lent();
        }
        Some(claim)
    }

    /// Places were given back: wakes who sleeps.
    #[inline(always)]
    pub(super) fn freed(&self) {
        Ringed::freed(self.seat.parts());
    }

    /// Drops a message in its place, which is given back also if that panics.
    pub(super) fn skip(&self, claim: Claim<T, S>) {
        struct Freed<'r, T: 'static, S: Carries<T>>(&'r OfRing<T, S>);
        impl<T, S: Carries<T>> Drop for Freed<'_, T, S> {
            fn drop(&mut self) {
                self.0.freed();
            }
        }
        let _freed = Freed(self);
        self.ring.skip(claim);
    }
}

impl<T, S: Carries<T>> Way<T, S> for OfRing<T, S> {
    type Found = Claim<T, S>;

    #[inline(always)]
    fn seek(&mut self) -> Result<Option<Claim<T, S>>, Corrupt> {
        Ok(self.claim())
    }

    #[inline(always)]
    fn take(&mut self, claim: Claim<T, S>) -> Result<T, ReceiveError> {
        let message = self.ring.take(claim);
        self.freed();
        Ok(message?)
    }

    #[inline(always)]
    fn is_open(&self) -> bool {
        self.seat.attend();
        Ringed::gives(self.seat.parts())
    }

    fn wait(&mut self, deadline: Option<Instant>) -> bool {
        let parts = self.seat.parts();
        let ready = || {
            self.seat.attend_in_wait();
            self.ring.has_some() || !Ringed::gives(parts)
        };
        parts.head.filled.wait(deadline, ready)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let parts = self.seat.parts();
        let cell = &parts.wakers(Role::Taker)[self.seat.seat()];
        let ready = || {
            self.seat.attend_in_wait();
            self.ring.has_some() || !Ringed::gives(parts)
        };
        parts.head.filled.poll(cell, context, ready)
    }

    fn bells(&self) -> &Bells<S> {
        &self.seat.parts().head
    }

    fn was_lent(&self) -> bool {
        self.again
    }
}
