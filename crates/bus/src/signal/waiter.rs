//! Who waits for a signal.

use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::Signal;
use super::shape::Count;
use crate::bells::{Rings, due};
use crate::error::{AttachError, ReceiveError};
use crate::event::Sleeps;
use crate::object::{Attachment, Handle, Role};
use crate::scope::Scope;

/// Waits for a signal. Dropping it detaches.
pub struct Waiter<S: Scope> {
    seat: Attachment<Count, S>,
}

impl<S: Scope> Waiter<S> {
    pub(super) fn attach(
        handle: &Handle<Count, S>,
        name: Option<&str>,
    ) -> Result<Self, AttachError> {
        Ok(Self { seat: handle.attach_as(Role::Taker, name)? })
    }

    /// Takes one off the count, if there is one.
    ///
    /// # Errors
    /// [`ReceiveError::Empty`]; [`ReceiveError::Closed`] when nobody can raise it any more.
    #[inline]
    pub fn try_take(&mut self) -> Result<(), ReceiveError> {
        if Count::take(self.seat.parts()) { Ok(()) } else { self.take_the_last() }
    }

    /// What may have been raised before the last raiser went.
    #[inline(never)]
    fn take_the_last(&mut self) -> Result<(), ReceiveError> {
        self.seat.attend();
        let parts = self.seat.parts();
        let why = if Count::gives(parts) { ReceiveError::Empty } else { ReceiveError::Closed };
        if Count::take(parts) { Ok(()) } else { Err(why) }
    }

    /// Takes the whole count, which may be zero.
    #[inline]
    pub fn take_all(&mut self) -> u64 {
        Count::take_all(self.seat.parts())
    }

    /// Takes one off the count; waits for it up to [`Config::patience`](super::Config::patience).
    ///
    /// # Errors
    /// [`ReceiveError::TimedOut`], [`ReceiveError::Closed`]. In the scope
    /// [`Private`](crate::Private) nobody could raise it meanwhile: it says
    /// [`ReceiveError::Empty`] rather than wait.
    #[inline]
    pub fn wait(&mut self) -> Result<(), ReceiveError> {
        match self.try_take() {
            Err(ReceiveError::Empty) => self.wait_until(due(self.seat.shape().config().patience)),
            done => done,
        }
    }

    /// Takes one off the count; waits for it, but not for longer than `limit`.
    ///
    /// # Errors
    /// [`ReceiveError`].
    pub fn wait_timeout(&mut self, limit: Duration) -> Result<(), ReceiveError> {
        self.wait_until(due(Some(limit)))
    }

    #[cold]
    #[inline(never)]
    fn wait_until(&mut self, due: Option<Instant>) -> Result<(), ReceiveError> {
        loop {
            match self.try_take() {
                Err(ReceiveError::Empty) => {}
                done => return done,
            }
            let parts = self.seat.parts();
            let ready = || {
                self.seat.attend_in_wait();
                Count::now(parts) != 0 || !Count::gives(parts)
            };
            if !parts.head.filled.wait(due, ready) {
                return Err(ReceiveError::late::<S>());
            }
        }
    }

    /// Takes one off the count; the task waits for it.
    ///
    /// # Errors
    /// [`ReceiveError::Closed`].
    pub async fn wait_async(&mut self) -> Result<(), ReceiveError> {
        poll_fn(|context| self.poll_take(context)).await
    }

    /// Takes one off the count, or leaves a waker for when there is one.
    ///
    /// # Errors
    /// [`ReceiveError::Closed`].
    pub fn poll_take(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ReceiveError>> {
        loop {
            match self.try_take() {
                Err(ReceiveError::Empty) => {}
                done => return Poll::Ready(done),
            }
            if self.poll_wait(context).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Ready when the count is not zero or the signal is closed; else a waker is left.
    pub fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let parts = self.seat.parts();
        let cell = &parts.wakers(Role::Taker)[self.seat.seat()];
        let ready = || {
            self.seat.attend_in_wait();
            Count::now(parts) != 0 || !Count::gives(parts)
        };
        parts.head.filled.poll(cell, context, ready)
    }

    /// Another handle to the signal.
    pub fn signal(&self) -> Signal<S> {
        Signal { handle: self.seat.handle() }
    }
}

impl<S: Scope> fmt::Debug for Waiter<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter").field("scope", &S::NAME).finish_non_exhaustive()
    }
}
