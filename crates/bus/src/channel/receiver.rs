//! The receiving end.

use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::ops::Deref;
use std::ptr::NonNull;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::bells::{Ringer, Rings, due};
use crate::channel::lanes::Lanes;
use crate::channel::ringed::Ringed;
use crate::channel::{Channel, Flavour, Orphans};
use crate::error::{AttachError, Corrupt, ReceiveError};
use crate::event::Sleeps;
use crate::object::{Attachment, Role};
use crate::plain::Plain;
use crate::ring::lane::{Run, Taker};
use crate::ring::many::{Claim, Ring};
use crate::scope::{Carries, InProcess, Place, Scope, Word};
use crate::sync::{LOOKS, Ordering};
use crate::view::View;

/// Receives from a channel. Dropping it detaches; what is left is there for the next receiver.
///
/// On two cache lines of its own, away from the sender that may lie beside it.
#[repr(align(128))]
pub struct Receiver<T: 'static, S: Carries<T>> {
    end: End<T, S>,
    patience: Option<Duration>,
    /// A drain has met something that is no message: the next receive tells.
    corrupt: bool,
}

enum End<T: 'static, S: Carries<T>> {
    Lanes(Takers<T, S>, Ringer<S>, Attachment<Lanes<T>, S>),
    Ring(Picks<T, S>, Attachment<Ringed<T>, S>),
}

/// The lanes of all senders, of which one is taken from until what was known of it is taken.
struct Takers<T, S: Scope> {
    current: Taker<T, S>,
    others: Box<[Taker<T, S>]>,
    /// The one of the others that is next.
    next: usize,
    /// The last message that was taken had been lent to a receiver that has died.
    again: bool,
}

/// The ring that all receivers share.
struct Picks<T, S: Scope> {
    ring: Ring<T, S>,
    /// The last message that was taken had been lent to a receiver that has died.
    again: bool,
}

impl<T, S: Scope> Picks<T, S> {
    #[inline(always)]
    fn claim(&mut self) -> Option<Claim<T, S>> {
        let claim = self.ring.claim_to_take()?;
        if S::MORTAL {
            self.again = claim.was_lent();
        }
        Some(claim)
    }
}

impl<T, S: Scope> Takers<T, S> {
    /// Whether there is a message; then the current lane knows of it.
    #[inline(always)]
    fn seek(&mut self) -> Result<bool, Corrupt> {
        if self.current.knows_of_some() { Ok(true) } else { self.look() }
    }

    #[inline(always)]
    fn look(&mut self) -> Result<bool, Corrupt> {
        if self.others.is_empty() { self.current.look() } else { self.look_in_turn() }
    }

    /// Notes whether the next message was lent before.
    #[inline(always)]
    fn note(&mut self) {
        if S::MORTAL {
            self.again = self.current.was_lent();
        }
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
}

impl<T, S: Scope> Takers<T, S> {
    /// Lends the next message.
    fn lend(&mut self) -> Lent<T, S> {
        self.note();
        self.current.lend();
        Lent::Lane(self.current.place())
    }

    /// Passes over what was lent to receivers that have died; returns how many messages that are.
    fn give_up_lent(&mut self) -> u64 {
        let others = self.others.iter_mut().map(Taker::give_up_lent).sum::<u64>();
        self.current.give_up_lent() + others
    }
}

/// What came of a look for a message.
enum Found<T, S: Scope> {
    Nothing,
    /// The current lane knows of it.
    InLane,
    InRing(Claim<T, S>),
}

/// The next message of a lane, which is passed over when this goes.
struct Next<'r, T: 'static, S: Carries<T>> {
    taker: &'r mut Taker<T, S>,
    ringer: &'r Ringer<S>,
    seat: &'r Attachment<Lanes<T>, S>,
}

impl<T, S: Carries<T>> Drop for Next<'_, T, S> {
    #[inline(always)]
    fn drop(&mut self) {
        self.taker.pass();
        self.taker.release();
        freed(self.ringer, self.seat);
    }
}

/// What is done when places were given back: wakes who sleeps.
#[inline(always)]
fn freed<T: 'static, S: Carries<T>>(ringer: &Ringer<S>, seat: &Attachment<Lanes<T>, S>) {
    if ringer.has_sleeper(Role::Taker) {
        ringer.wake(Role::Taker, seat.parts().wakers(Role::Giver));
    }
}

impl<T, S: Carries<T>> End<T, S> {
    /// Looks for a message.
    #[inline(always)]
    fn seek(&mut self) -> Result<Found<T, S>, Corrupt> {
        Ok(match self {
            Self::Lanes(takers, ..) => {
                if takers.seek()? {
                    Found::InLane
                } else {
                    Found::Nothing
                }
            }
            Self::Ring(ring, _) => ring.claim().map_or(Found::Nothing, Found::InRing),
        })
    }

    /// Takes the message that was found.
    #[inline(always)]
    fn take(&mut self, found: Found<T, S>) -> Result<T, ReceiveError> {
        match (self, found) {
            (Self::Lanes(takers, ringer, seat), Found::InLane) => {
                takers.note();
                let next = Next { taker: &mut takers.current, ringer, seat };
                // SAFETY: it is passed over when this goes, which is after the message has got to
                // its place: one that is large is copied once.
                unsafe { next.taker.read() }
            }
            (Self::Ring(ring, seat), Found::InRing(claim)) => {
                let message = ring.ring.take(claim);
                let parts = seat.parts();
                parts.head.freed.notify(parts.wakers(Role::Giver));
                Ok(message?)
            }
            _ => Err(ReceiveError::Empty),
        }
    }

    /// Whether something may still come: asked by who finds nothing, who looks after the dead too.
    #[inline(always)]
    fn is_open(&self) -> bool {
        match self {
            Self::Lanes(_, ringer, seat) => {
                seat.attend();
                !ringer.is_shut(seat.parts(), Role::Taker)
            }
            Self::Ring(_, seat) => {
                seat.attend();
                Ringed::gives(seat.parts())
            }
        }
    }

    /// Waits for a message; `false`: there was none in time.
    fn wait(&mut self, deadline: Option<Instant>) -> bool {
        match self {
            Self::Lanes(takers, ringer, seat) => {
                let parts = seat.parts();
                let ready = || {
                    seat.attend_in_wait();
                    takers.seek() != Ok(false) || ringer.is_shut(parts, Role::Taker)
                };
                parts.head.filled.wait(deadline, ready)
            }
            Self::Ring(ring, seat) => {
                let parts = seat.parts();
                let ready = || {
                    seat.attend_in_wait();
                    ring.ring.has_some() || !Ringed::gives(parts)
                };
                parts.head.filled.wait(deadline, ready)
            }
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Lanes(takers, ringer, seat) => {
                let parts = seat.parts();
                let cell = &parts.wakers(Role::Taker)[seat.seat()];
                let ready = || {
                    seat.attend_in_wait();
                    takers.seek() != Ok(false) || ringer.is_shut(parts, Role::Taker)
                };
                parts.head.filled.poll(cell, context, ready)
            }
            Self::Ring(ring, seat) => {
                let parts = seat.parts();
                let cell = &parts.wakers(Role::Taker)[seat.seat()];
                let ready = || {
                    seat.attend_in_wait();
                    ring.ring.has_some() || !Ringed::gives(parts)
                };
                parts.head.filled.poll(cell, context, ready)
            }
        }
    }

    fn dropped(&self) -> u64 {
        let bells = match self {
            Self::Lanes(.., seat) => &seat.parts().head,
            Self::Ring(_, seat) => &seat.parts().head,
        };
        // Relaxed: a count, which orders nothing.
        bells.dropped.load(Ordering::Relaxed)
    }
}

impl<T, S: Carries<T>> Receiver<T, S> {
    pub(super) fn attach(channel: &Channel<T, S>, name: Option<&str>) -> Result<Self, AttachError> {
        let end = match &channel.flavour {
            Flavour::Lanes(handle) => {
                let seat = handle.attach_as(Role::Taker, name)?;
                let taker = |lane| {
                    // SAFETY: the one receiver's seat is ours, and the attachment, kept beside
                    // them, keeps the object.
                    unsafe { seat.shape().taker(seat.parts(), lane) }
                };
                let others = (1..channel.config().senders).map(taker).collect();
                let mut takers = Takers { current: taker(0), others, next: 0, again: false };
                if S::MORTAL && channel.config().orphans == Orphans::Lose {
                    let lost = takers.give_up_lent();
                    // Relaxed: a count, which orders nothing.
                    seat.parts().head.lost.fetch_add(lost, Ordering::Relaxed);
                }
                // SAFETY: the attachment, kept beside it, keeps the object.
                let ringer = unsafe { Ringer::new(&seat.parts().head) };
                End::Lanes(takers, ringer, seat)
            }
            Flavour::Ringed(handle) => {
                let seat = handle.attach_as(Role::Taker, name)?;
                // SAFETY: the attachment, kept beside it, keeps the object.
                let ring = unsafe { seat.shape().ring(seat.parts(), Role::Taker, seat.seat()) };
                End::Ring(Picks { ring, again: false }, seat)
            }
        };
        Ok(Self { end, patience: channel.config().patience, corrupt: false })
    }

    /// Receives a message; waits for one up to [`Config::patience`](super::Config::patience).
    ///
    /// # Errors
    /// [`ReceiveError::TimedOut`]; [`ReceiveError::Closed`]. In the scope
    /// [`Private`](crate::Private) nobody could send meanwhile: it says [`ReceiveError::Empty`]
    /// rather than wait.
    #[inline(always)]
    pub fn receive(&mut self) -> Result<T, ReceiveError> {
        match self.seek_for_a_while()? {
            Found::Nothing => self.receive_later(),
            found => self.end.take(found),
        }
    }

    /// Looks a number of times, and here: a call at this place doubles a round trip.
    #[inline(always)]
    fn seek_for_a_while(&mut self) -> Result<Found<T, S>, Corrupt> {
        let mut found = self.seek()?;
        for _ in 0..LOOKS {
            if !matches!(found, Found::Nothing) {
                break;
            }
            crate::sync::spin_loop();
            found = self.end.seek()?;
        }
        Ok(found)
    }

    #[inline(always)]
    fn seek(&mut self) -> Result<Found<T, S>, Corrupt> {
        if S::MORTAL && self.corrupt {
            self.corrupt = false;
            return Err(Corrupt);
        }
        self.end.seek()
    }

    #[cold]
    #[inline(never)]
    fn receive_later(&mut self) -> Result<T, ReceiveError> {
        self.receive_until(due(self.patience))
    }

    /// Receives a message if there is one.
    ///
    /// # Errors
    /// [`ReceiveError::Empty`], [`ReceiveError::Closed`].
    #[inline(always)]
    pub fn try_receive(&mut self) -> Result<T, ReceiveError> {
        match self.seek()? {
            Found::Nothing if self.end.is_open() => Err(ReceiveError::Empty),
            Found::Nothing => self.take_the_last(),
            found => self.end.take(found),
        }
    }

    /// What may have come before the last sender went.
    #[cold]
    #[inline(never)]
    fn take_the_last(&mut self) -> Result<T, ReceiveError> {
        match self.end.seek()? {
            Found::Nothing => Err(ReceiveError::Closed),
            found => self.end.take(found),
        }
    }

    /// Receives a message; waits for one, but not for longer than `limit`.
    ///
    /// # Errors
    /// [`ReceiveError`].
    pub fn receive_timeout(&mut self, limit: Duration) -> Result<T, ReceiveError> {
        self.receive_until(due(Some(limit)))
    }

    fn receive_until(&mut self, due: Option<Instant>) -> Result<T, ReceiveError> {
        loop {
            match self.try_receive() {
                Err(ReceiveError::Empty) => {}
                done => return done,
            }
            if !self.end.wait(due) {
                return Err(ReceiveError::late::<S>());
            }
        }
    }

    /// Receives a message; the task waits for it.
    ///
    /// # Errors
    /// [`ReceiveError::Closed`].
    pub async fn receive_async(&mut self) -> Result<T, ReceiveError> {
        poll_fn(|context| self.poll_receive(context)).await
    }

    /// Receives a message, or leaves a waker for when there is one.
    ///
    /// # Errors
    /// [`ReceiveError::Closed`].
    pub fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<T, ReceiveError>> {
        loop {
            match self.try_receive() {
                Err(ReceiveError::Empty) => {}
                done => return Poll::Ready(done),
            }
            if self.end.poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Ready when there is a message or the channel is closed; else a waker is left.
    pub fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.end.poll(context)
    }

    /// Borrows the oldest message where it lies; its place is free when the loan is dropped.
    ///
    /// # Errors
    /// [`ReceiveError::Empty`], [`ReceiveError::Closed`]. It does not wait: see
    /// [`Receiver::wait`].
    pub fn take(&mut self) -> Result<Loan<'_, T, S>, ReceiveError> {
        for last in [false, true] {
            let found = match &mut self.end {
                End::Lanes(takers, ..) => takers.seek()?.then(|| takers.lend()),
                End::Ring(ring, _) => ring.claim().map(|claim| Lent::Ring(Some(claim))),
            };
            match found {
                Some(message) => return Ok(Loan { receiver: self, message }),
                None if last => return Err(ReceiveError::Closed),
                None if self.end.is_open() => return Err(ReceiveError::Empty),
                // What may have come before the last sender went.
                None => {}
            }
        }
        Err(ReceiveError::Closed)
    }

    /// Waits until there is a message, at most for `limit`.
    ///
    /// # Errors
    /// [`ReceiveError::TimedOut`], [`ReceiveError::Empty`] in the scope
    /// [`Private`](crate::Private). A channel that is closed is for the next receive to tell.
    pub fn wait(&mut self, limit: Option<Duration>) -> Result<(), ReceiveError> {
        self.wait_until(due(limit))
    }

    pub(crate) fn wait_until(&mut self, due: Option<Instant>) -> Result<(), ReceiveError> {
        if self.end.wait(due) {
            return Ok(());
        }
        Err(ReceiveError::late::<S>())
    }

    /// The messages that are there, at most `limit`; senders get their places back, all at once,
    /// when the iterator is dropped. It ends early where something is no message
    /// ([`ReceiveError::Corrupt`]), which the next receive tells. Of several senders it is one's turn in each call.
    pub fn drain(&mut self, limit: usize) -> Drain<'_, T, S> {
        let run = match &mut self.end {
            End::Lanes(takers, ..) => {
                // What is corrupt is told by the next receive.
                _ = match takers.current.known() {
                    0 => takers.look(),
                    known if known < limit as u64 => takers.current.look(),
                    _ => Ok(true),
                };
                Some(takers.current.begin_run(limit as u64))
            }
            End::Ring(..) => None,
        };
        Drain { receiver: self, run, left: limit }
    }

    /// Whether the message that was received, taken or drained last had been on loan to a receiver
    /// that has died: it may have been acted upon. Only in the scope `Shared`
    /// ([`Orphans`]).
    pub fn is_redelivered(&self) -> bool {
        match &self.end {
            End::Lanes(takers, ..) => takers.again,
            End::Ring(ring, _) => ring.again,
        }
    }

    /// Messages that were on loan to receivers that have died, and were given up, since the channel
    /// was made ([`Orphans::Lose`]).
    pub fn lost(&self) -> u64 {
        let bells = match &self.end {
            End::Lanes(.., seat) => &seat.parts().head,
            End::Ring(_, seat) => &seat.parts().head,
        };
        // Relaxed: a count, which orders nothing.
        bells.lost.load(Ordering::Relaxed)
    }

    /// Messages that senders have overwritten since the channel was made
    /// ([`Full::Overwrite`](crate::Full)).
    pub fn dropped(&self) -> u64 {
        self.end.dropped()
    }

    /// How long a receive waits.
    pub(crate) fn patience(&self) -> Option<Duration> {
        self.patience
    }

    /// Another handle to the channel.
    pub fn channel(&self) -> Channel<T, S> {
        let flavour = match &self.end {
            End::Lanes(.., seat) => Flavour::Lanes(seat.handle()),
            End::Ring(_, seat) => Flavour::Ringed(seat.handle()),
        };
        Channel { flavour }
    }
}

impl<T, S: Carries<T>> fmt::Debug for Receiver<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("scope", &S::NAME).finish_non_exhaustive()
    }
}

/// Messages of a channel, as [`Receiver::drain`] gives them.
pub struct Drain<'r, T: 'static, S: Carries<T>> {
    receiver: &'r mut Receiver<T, S>,
    /// Of the lane whose turn it is.
    run: Option<Run>,
    left: usize,
}

impl<T, S: Carries<T>> Iterator for Drain<'_, T, S> {
    type Item = T;

    #[inline(always)]
    fn next(&mut self) -> Option<T> {
        let message = match (&mut self.receiver.end, &mut self.run) {
            (End::Lanes(takers, ..), Some(run)) => {
                // SAFETY: the run is of this taker, and ended when this goes.
                let (message, again) = unsafe { takers.current.take_of(run) }?;
                if S::MORTAL {
                    takers.again = again;
                }
                message
            }
            (End::Ring(ring, _), _) => {
                self.left = self.left.checked_sub(1)?;
                let claim = ring.claim()?;
                ring.ring.take(claim)
            }
            (End::Lanes(..), None) => return None,
        };
        if S::MORTAL {
            self.receiver.corrupt |= message.is_err();
        }
        message.ok()
    }

    /// As one call of `next` after the other, but that the messages of a lane are taken row by row.
    #[inline(always)]
    fn fold<B, F: FnMut(B, T) -> B>(mut self, mut sum: B, mut fold: F) -> B {
        while !S::MORTAL
            && let (End::Lanes(takers, ..), Some(run)) = (&mut self.receiver.end, &mut self.run)
        {
            let (row, count) = takers.current.row_of(run);
            if count == 0 {
                return sum;
            }
            for at in 0..count as usize {
                run.pass();
                // SAFETY: the message is there, within the row; the run has it alone, and has passed
                // over it.
                let Ok(message) = (unsafe { S::get::<Corrupt>(row.add(at).as_ref()) }) else {
                    return sum;
                };
                sum = fold(sum, message);
            }
        }
        for message in self {
            sum = fold(sum, message);
        }
        sum
    }
}

impl<T, S: Carries<T>> Drop for Drain<'_, T, S> {
    #[inline(always)]
    fn drop(&mut self) {
        match (&mut self.receiver.end, &self.run) {
            (End::Lanes(takers, ringer, seat), Some(run)) => {
                // SAFETY: the run is of this taker.
                unsafe { takers.current.end_run(run) };
                freed(ringer, seat);
            }
            (End::Ring(_, seat), _) => {
                let parts = seat.parts();
                parts.head.freed.notify(parts.wakers(Role::Giver));
            }
            (End::Lanes(..), None) => {}
        }
    }
}

impl<T, S: Carries<T>> fmt::Debug for Drain<'_, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Drain")
    }
}

// ----------------------------------------------------------------------------------- loans

enum Lent<T, S: Scope> {
    Lane(NonNull<Place<T>>),
    /// Taken out when it is given back.
    Ring(Option<Claim<T, S>>),
}

/// A message where it lies. Dropped with the loan.
pub struct Loan<'r, T: 'static, S: Carries<T>> {
    receiver: &'r mut Receiver<T, S>,
    message: Lent<T, S>,
}

impl<T, S: Carries<T>> Loan<'_, T, S> {
    /// Where it lies.
    pub(crate) fn place(&self) -> &Place<T> {
        let place = match &self.message {
            Lent::Lane(place) => *place,
            Lent::Ring(claim) => claim.as_ref().expect("given back once").place(),
        };
        // SAFETY: the receiver that is borrowed keeps the object.
        unsafe { place.as_ref() }
    }
}

impl<T: Plain, S: Carries<T>> Loan<'_, T, S> {
    /// A copy of the message, which is checked where others could have scribbled over it.
    ///
    /// # Errors
    /// [`Corrupt`].
    pub fn read(&self) -> Result<T, Corrupt> {
        // SAFETY: the message was published to this receiver, which has it until the loan ends; a
        // value that can be copied may be taken more than once.
        unsafe { S::get(self.place()) }
    }

    /// The bytes of the message where they lie: for what is too large to be copied, or of which a
    /// part is wanted.
    pub fn view(&self) -> View<'_> {
        let place = NonNull::from(self.place()).cast::<u8>();
        // SAFETY: a message of plain data lies there, whose bytes all have a value, for as long as
        // the loan is there; who writes them meanwhile is another process.
        unsafe { View::new(NonNull::slice_from_raw_parts(place, size_of::<T>())) }
    }
}

impl<T, S: Carries<T>> Loan<'_, T, S> {
    /// A copy of the message, of plain data, where users may die.
    ///
    /// # Errors
    /// [`Corrupt`].
    pub(crate) fn copy_out(&self) -> Result<T, Corrupt> {
        assert!(S::MORTAL, "what is not plain must not be copied");
        // SAFETY: the message was published to this receiver, which has it until the loan ends;
        // where users may die messages are plain data, which may be taken more than once.
        unsafe { S::get(self.place()) }
    }

    /// Whether the message had been on loan to a receiver that has died: see
    /// [`Receiver::is_redelivered`].
    pub fn is_redelivered(&self) -> bool {
        self.receiver.is_redelivered()
    }
}

impl<T, S: Carries<T> + InProcess> Deref for Loan<'_, T, S> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the message was published to this receiver, which has it until the loan ends.
        unsafe { &*self.place().to_read() }
    }
}

impl<T, S: Carries<T>> Drop for Loan<'_, T, S> {
    fn drop(&mut self) {
        match (&mut self.receiver.end, &mut self.message) {
            (End::Lanes(takers, ringer, seat), Lent::Lane(_)) => {
                takers.current.skip();
                takers.current.release();
                freed(ringer, seat);
            }
            (End::Ring(ring, seat), Lent::Ring(claim)) => {
                let Some(claim) = claim.take() else { return };
                ring.ring.skip(claim);
                let parts = seat.parts();
                parts.head.freed.notify(parts.wakers(Role::Giver));
            }
            _ => unreachable!("a loan is made by its own receiver"),
        }
    }
}

impl<T: fmt::Debug, S: Carries<T> + InProcess> fmt::Debug for Loan<'_, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Loan").field(&**self).finish()
    }
}
