//! The subscribing end.

use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::shape::Tape;
use super::{Lossy, LossyError};
use crate::bells::{Rings, due};
use crate::broadcast::Start;
use crate::error::{AttachError, Corrupt, ReceiveError};
use crate::event::Sleeps;
use crate::object::{Attachment, Handle, Role};
use crate::plain::Plain;
use crate::ring::tape::{Found, Taker};
use crate::scope::Carries;

/// Receives the messages of a lossy broadcast, as far as it keeps up. Dropping it detaches.
///
/// On cache lines of its own, away from a publisher that may lie beside it.
#[repr(align(128))]
pub struct Subscriber<T: Plain, S: Carries<T>> {
    taker: Taker<T, S>,
    /// A drain has met something that is no message: the next receive tells.
    corrupt: bool,
    missed: u64,
    seat: Attachment<Tape<T>, S>,
}

impl<T: Plain, S: Carries<T>> Subscriber<T, S> {
    pub(super) fn attach(
        handle: &Handle<Tape<T>, S>,
        start: Start,
        name: Option<&str>,
    ) -> Result<Self, AttachError> {
        let seat = handle.attach_as(Role::Taker, name)?;
        let parts = seat.parts();
        // SAFETY: the attachment, kept beside it, keeps the object.
        let taker = unsafe { Taker::new(&parts.rows[0], &parts.slots, start) };
        Ok(Self { taker, corrupt: false, missed: 0, seat })
    }

    /// Receives the next message; waits for one up to
    /// [`Config::patience`](super::Config::patience).
    ///
    /// # Errors
    /// [`LossyError::Missed`] when it was overtaken; [`ReceiveError::TimedOut`],
    /// [`ReceiveError::Closed`]. In the scope [`Private`](crate::Private) nobody could send
    /// meanwhile: it says [`ReceiveError::Empty`] rather than wait.
    #[inline(always)]
    pub fn receive(&mut self) -> Result<T, LossyError> {
        match self.try_receive() {
            Err(LossyError::Receive(ReceiveError::Empty)) => {
                self.receive_until(due(self.seat.shape().config().patience))
            }
            done => done,
        }
    }

    /// Receives the next message if it is there.
    ///
    /// # Errors
    /// [`LossyError::Missed`]; [`ReceiveError::Empty`], [`ReceiveError::Closed`].
    #[inline(always)]
    pub fn try_receive(&mut self) -> Result<T, LossyError> {
        if S::MORTAL && mem::take(&mut self.corrupt) {
            return Err(ReceiveError::Corrupt.into());
        }
        match self.taker.take() {
            Ok(Found::Message(message)) => Ok(message),
            found => self.explain(found),
        }
    }

    /// What it means that there is no message; or the one that came before the publisher went.
    #[inline(never)]
    fn explain(&mut self, mut found: Result<Found<T>, Corrupt>) -> Result<T, LossyError> {
        self.seat.attend();
        let mut why = ReceiveError::Empty;
        if matches!(found, Ok(Found::Nothing)) && !Tape::gives(self.seat.parts()) {
            why = ReceiveError::Closed;
            found = self.taker.take();
        }
        match found {
            Ok(Found::Message(message)) => Ok(message),
            Ok(Found::Nothing) => Err(why.into()),
            Ok(Found::Overtaken) => {
                let count = self.taker.skip();
                self.missed = self.missed.wrapping_add(count);
                Err(LossyError::Missed(count))
            }
            Err(corrupt) => Err(ReceiveError::from(corrupt).into()),
        }
    }

    /// Receives the next message; waits for it, but not for longer than `limit`.
    ///
    /// # Errors
    /// [`LossyError`].
    pub fn receive_timeout(&mut self, limit: Duration) -> Result<T, LossyError> {
        self.receive_until(due(Some(limit)))
    }

    #[cold]
    #[inline(never)]
    fn receive_until(&mut self, due: Option<Instant>) -> Result<T, LossyError> {
        loop {
            match self.try_receive() {
                Err(LossyError::Receive(ReceiveError::Empty)) => self.wait_until(due)?,
                done => return done,
            }
        }
    }

    /// Receives the next message; the task waits for it.
    ///
    /// # Errors
    /// [`LossyError::Missed`], [`ReceiveError::Closed`].
    pub async fn receive_async(&mut self) -> Result<T, LossyError> {
        poll_fn(|context| self.poll_receive(context)).await
    }

    /// Receives the next message, or leaves a waker for when it is there.
    ///
    /// # Errors
    /// [`LossyError::Missed`], [`ReceiveError::Closed`].
    pub fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<T, LossyError>> {
        loop {
            match self.try_receive() {
                Err(LossyError::Receive(ReceiveError::Empty)) => {}
                done => return Poll::Ready(done),
            }
            if self.poll_wait(context).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Waits until there is a message, at most for `limit`.
    ///
    /// # Errors
    /// [`ReceiveError::TimedOut`], [`ReceiveError::Empty`] in the scope
    /// [`Private`](crate::Private). A broadcast that is closed is for the next receive to tell.
    pub fn wait(&mut self, limit: Option<Duration>) -> Result<(), ReceiveError> {
        self.wait_until(due(limit))
    }

    fn wait_until(&mut self, due: Option<Instant>) -> Result<(), ReceiveError> {
        let parts = self.seat.parts();
        let ready = || {
            self.seat.attend_in_wait();
            self.corrupt || self.taker.has_some() || !Tape::gives(parts)
        };
        if parts.head.filled.wait(due, ready) {
            return Ok(());
        }
        Err(ReceiveError::late::<S>())
    }

    /// Ready when there is a message or the broadcast is closed; else a waker is left.
    pub fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let parts = self.seat.parts();
        let cell = &parts.wakers(Role::Taker)[self.seat.seat()];
        let ready = || {
            self.seat.attend_in_wait();
            self.corrupt || self.taker.has_some() || !Tape::gives(parts)
        };
        parts.head.filled.poll(cell, context, ready)
    }

    /// The messages that are there, at most `limit`. It ends early where some were missed, which
    /// the next receive tells.
    ///
    /// ```
    /// use tautline_bus::{Private, broadcast::lossy::{Config, Lossy, LossyError}};
    /// let ticks = Lossy::<u32, Private>::new(Config { capacity: 4, ..Config::default() })?;
    /// let (mut publisher, mut subscriber) = (ticks.publisher()?, ticks.subscriber()?);
    /// publisher.send_batch(0..6);
    /// assert_eq!(subscriber.drain(9).count(), 0);
    /// assert_eq!(subscriber.try_receive(), Err(LossyError::Missed(2)));
    /// assert_eq!(subscriber.drain(9).collect::<Vec<_>>(), [2, 3, 4, 5]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn drain(&mut self, limit: usize) -> Drain<'_, T, S> {
        Drain { subscriber: self, left: limit }
    }

    /// Messages that this subscriber has missed since it attached.
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// Another handle to the broadcast.
    pub fn broadcast(&self) -> Lossy<T, S> {
        Lossy { handle: self.seat.handle() }
    }
}

impl<T: Plain, S: Carries<T>> fmt::Debug for Subscriber<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber").field("scope", &S::NAME).finish_non_exhaustive()
    }
}

/// Messages of a lossy broadcast, as [`Subscriber::drain`] gives them.
pub struct Drain<'s, T: Plain, S: Carries<T>> {
    subscriber: &'s mut Subscriber<T, S>,
    left: usize,
}

impl<T: Plain, S: Carries<T>> Iterator for Drain<'_, T, S> {
    type Item = T;

    #[inline(always)]
    fn next(&mut self) -> Option<T> {
        self.left = self.left.checked_sub(1)?;
        match self.subscriber.taker.take() {
            Ok(Found::Message(message)) => return Some(message),
            Ok(Found::Nothing | Found::Overtaken) => {}
            Err(Corrupt) => self.subscriber.corrupt = true,
        }
        self.left = 0;
        None
    }
}

impl<T: Plain, S: Carries<T>> fmt::Debug for Drain<'_, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Drain")
    }
}
