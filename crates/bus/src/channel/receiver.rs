//! The receiving end.

use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::ops::Deref;
use std::ptr::NonNull;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::bells::due;
use crate::channel::ways::{Next, OfLanes, OfRing, Way};
use crate::channel::{Channel, Flavour};
use crate::error::{AttachError, Corrupt, ReceiveError};
use crate::object::Role;
use crate::plain::Plain;
use crate::ring::lane::Run;
use crate::ring::many::Claim;
use crate::scope::{Carries, InProcess, Place, Word};
use crate::sync::Ordering;
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
    Lanes(OfLanes<T, S>),
    Ring(OfRing<T, S>),
}

/// What is done by whichever way the messages come.
macro_rules! by {
    ($end:expr, $way:ident => $done:expr) => {
        match $end {
            End::Lanes($way) => $done,
            End::Ring($way) => $done,
        }
    };
}

impl<T, S: Carries<T>> Receiver<T, S> {
    pub(super) fn attach(channel: &Channel<T, S>, name: Option<&str>) -> Result<Self, AttachError> {
        let end = match &channel.flavour {
            Flavour::Lanes(handle) => {
                let seat = handle.attach_as(Role::Taker, name)?;
                End::Lanes(OfLanes::new(seat, channel.config()))
            }
            Flavour::Ringed(handle) => {
                let seat = handle.attach_as(Role::Taker, name)?;
                End::Ring(OfRing::new(seat))
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
        self.check()?;
        by!(&mut self.end, way => way.receive(self.patience))
    }

    /// Receives a message if there is one.
    ///
    /// # Errors
    /// [`ReceiveError::Empty`], [`ReceiveError::Closed`].
    #[inline(always)]
    pub fn try_receive(&mut self) -> Result<T, ReceiveError> {
        self.check()?;
        by!(&mut self.end, way => way.try_receive())
    }

    /// Tells once what a drain has met.
    #[inline(always)]
    fn check(&mut self) -> Result<(), Corrupt> {
        if S::MORTAL && mem::take(&mut self.corrupt) { Err(Corrupt) } else { Ok(()) }
    }

    /// Receives a message; waits for one, but not for longer than `limit`.
    ///
    /// # Errors
    /// [`ReceiveError`].
    pub fn receive_timeout(&mut self, limit: Duration) -> Result<T, ReceiveError> {
        self.check()?;
        by!(&mut self.end, way => way.receive_until(due(Some(limit))))
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
            if self.poll_wait(context).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Ready when there is a message or the channel is closed; else a waker is left.
    pub fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        by!(&mut self.end, way => way.poll(context))
    }

    /// Borrows the oldest message where it lies; its place is free when the loan is dropped.
    ///
    /// # Errors
    /// [`ReceiveError::Empty`], [`ReceiveError::Closed`]. It does not wait: see
    /// [`Receiver::wait`].
    #[inline(always)]
    pub fn take(&mut self) -> Result<Loan<'_, T, S>, ReceiveError> {
        self.check()?;
        let claim = match &mut self.end {
            End::Lanes(lanes) => {
                lanes.find()?;
                lanes.takers.note();
                lanes.takers.current.lend();
                None
            }
            End::Ring(ring) => Some(ring.find()?),
        };
        Ok(Loan { receiver: self, claim })
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
        let is_in_time = by!(&mut self.end, way => way.wait(due));
        if is_in_time { Ok(()) } else { Err(ReceiveError::late::<S>()) }
    }

    /// The messages that are there, at most `limit`; senders get their places back, all at once,
    /// when the iterator is dropped. It ends early where something is no message
    /// ([`ReceiveError::Corrupt`]), which the next receive tells. Of several senders it is one's turn in each call.
    pub fn drain(&mut self, limit: usize) -> Drain<'_, T, S> {
        let run = match &mut self.end {
            End::Lanes(OfLanes { takers, .. }) => {
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
    /// ([`Orphans`](super::Orphans)).
    pub fn is_redelivered(&self) -> bool {
        by!(&self.end, way => way.was_lent())
    }

    /// Messages that were on loan to receivers that have died, and were given up, since the channel
    /// was made ([`Orphans::Lose`](super::Orphans::Lose)).
    pub fn lost(&self) -> u64 {
        // Relaxed: a count, which orders nothing.
        by!(&self.end, way => way.bells().lost.load(Ordering::Relaxed))
    }

    /// Messages that senders have overwritten since the channel was made
    /// ([`Full::Overwrite`](crate::Full)).
    pub fn dropped(&self) -> u64 {
        // Relaxed: a count, which orders nothing.
        by!(&self.end, way => way.bells().dropped.load(Ordering::Relaxed))
    }

    /// How long a receive waits.
    pub(crate) fn patience(&self) -> Option<Duration> {
        self.patience
    }

    /// Another handle to the channel.
    pub fn channel(&self) -> Channel<T, S> {
        let flavour = match &self.end {
            End::Lanes(lanes) => Flavour::Lanes(lanes.seat.handle()),
            End::Ring(ring) => Flavour::Ringed(ring.seat.handle()),
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
            (End::Lanes(OfLanes { takers, .. }), Some(run)) => {
                // SAFETY: the run is of this taker, and ended when this goes.
                let (message, again) = unsafe { takers.current.take_of(run) }?;
                if S::MORTAL {
                    takers.again = again;
                }
                message
            }
            (End::Ring(ring), _) => {
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
            && let (End::Lanes(lanes), Some(run)) = (&mut self.receiver.end, &mut self.run)
        {
            let (row, count) = lanes.takers.current.row_of(run);
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
            (End::Lanes(lanes), Some(run)) => {
                // SAFETY: the run is of this taker.
                unsafe { lanes.takers.current.end_run(run) };
                lanes.freed();
            }
            (End::Ring(ring), _) => ring.freed(),
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

/// A message where it lies. Dropped with the loan.
pub struct Loan<'r, T: 'static, S: Carries<T>> {
    receiver: &'r mut Receiver<T, S>,
    /// Of a ring, until it is given back; of a lane it is the next message.
    claim: Option<Claim<T, S>>,
}

impl<T, S: Carries<T>> Loan<'_, T, S> {
    /// Where it lies.
    #[inline(always)]
    pub(crate) fn place(&self) -> &Place<T> {
        let place = match &self.receiver.end {
            End::Lanes(lanes) => lanes.takers.current.place(),
            End::Ring(_) => self.claim.as_ref().expect("given back once").place(),
        };
        // SAFETY: the receiver keeps the object, and, borrowed alone, neither turns to another lane nor
        // moves on while this is there.
        unsafe { place.as_ref() }
    }
}

impl<T: Plain, S: Carries<T>> Loan<'_, T, S> {
    /// A copy of the message, which is checked where others could have scribbled over it.
    ///
    /// # Errors
    /// [`Corrupt`].
    #[inline(always)]
    pub fn read(&self) -> Result<T, Corrupt> {
        // SAFETY: the message was published to this receiver, which has it until the loan ends; a
        // value that can be copied may be taken more than once.
        unsafe { S::get(self.place()) }
    }

    /// The bytes of the message where they lie: for what is too large to be copied, or of which a
    /// part is wanted.
    #[inline(always)]
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
    #[inline(always)]
    fn drop(&mut self) {
        match &mut self.receiver.end {
            End::Lanes(lanes) => {
                let next = Next::of(lanes);
                // SAFETY: the message was published to this receiver; it is passed over when `next`
                // goes, also if dropping it panics.
                unsafe { S::discard(next.place().as_ref()) };
            }
            End::Ring(ring) => {
                if let Some(claim) = self.claim.take() {
                    ring.skip(claim);
                }
            }
        }
    }
}

impl<T: fmt::Debug, S: Carries<T> + InProcess> fmt::Debug for Loan<'_, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Loan").field(&**self).finish()
    }
}
