//! Who takes buffers out of a pool.

use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::buffer::Draft;
use super::shape::Buffers;
use super::{Keeps, LoanError, Pool, Pooled};
use crate::bells::due;
use crate::error::AttachError;
use crate::event::Sleeps;
use crate::object::{Handle, Role};
use crate::policy::Full;

/// Takes buffers out of a pool. Dropping it detaches; buffers that are out stay so.
pub struct Borrower<T: Pooled + ?Sized, S: Keeps<T>> {
    seat: S::Seat,
    /// Where it looks for a free buffer first, where users may die.
    hint: usize,
}

impl<T: Pooled + ?Sized, S: Keeps<T>> Borrower<T, S> {
    pub(super) fn attach(
        handle: &Handle<Buffers<T>, S>,
        name: Option<&str>,
    ) -> Result<Self, AttachError> {
        Ok(Self { seat: S::seat(handle.attach_as(Role::Taker, name)?), hint: 0 })
    }

    /// Takes a buffer; when all are out, as [`Config::exhausted`](super::Config::exhausted) has it.
    ///
    /// # Errors
    /// [`LoanError`]. In the scope [`Private`](crate::Private) no buffer could come back meanwhile:
    /// it says [`LoanError::Exhausted`] rather than wait.
    #[inline]
    pub fn loan(&mut self) -> Result<Draft<T, S>, LoanError> {
        match self.try_loan() {
            Err(_) => self.loan_as_told(),
            done => done,
        }
    }

    #[cold]
    #[inline(never)]
    fn loan_as_told(&mut self) -> Result<Draft<T, S>, LoanError> {
        match self.seat.shape().config().exhausted {
            Full::Block(limit) => self.loan_until(due(limit)),
            // Overwriting was refused when it was made.
            Full::Refuse | Full::Overwrite => self.try_loan(),
        }
    }

    /// Takes a buffer if one is there, whatever the policy.
    ///
    /// # Errors
    /// [`LoanError::Exhausted`]; also, though rarely, while one is on its way back on another
    /// thread.
    #[inline]
    pub fn try_loan(&mut self) -> Result<Draft<T, S>, LoanError> {
        let buffers = self.seat.shape().config().buffers;
        let seat = &self.seat;
        match seat.shape().take_out(seat.parts(), seat.seat(), &mut self.hint) {
            // SAFETY: it was just taken out.
            Some(index) => Ok(unsafe { Draft::new(S::tie(seat), index) }),
            None => {
                seat.attend();
                Err(LoanError::Exhausted { buffers })
            }
        }
    }

    /// Takes a buffer, and waits for one to come back, whatever the policy, but not for longer than
    /// `limit`.
    ///
    /// # Errors
    /// [`LoanError`].
    pub fn loan_timeout(&mut self, limit: Duration) -> Result<Draft<T, S>, LoanError> {
        self.loan_until(due(Some(limit)))
    }

    fn loan_until(&mut self, due: Option<Instant>) -> Result<Draft<T, S>, LoanError> {
        loop {
            let error = match self.try_loan() {
                Err(error) => error,
                done => return done,
            };
            let (parts, shape) = (self.seat.parts(), self.seat.shape());
            let ready = || {
                self.seat.attend_in_wait();
                shape.has_some(parts)
            };
            if !parts.head.returned.wait(due, ready) {
                let buffers = self.seat.shape().config().buffers;
                return Err(if S::OTHERS_RUN { LoanError::TimedOut { buffers } } else { error });
            }
        }
    }

    /// Takes a buffer; the task waits for one to come back.
    pub async fn loan_async(&mut self) -> Draft<T, S> {
        poll_fn(|context| self.poll_loan(context)).await
    }

    /// Takes a buffer, or leaves a waker for when one comes back.
    pub fn poll_loan(&mut self, context: &mut Context<'_>) -> Poll<Draft<T, S>> {
        loop {
            if let Ok(draft) = self.try_loan() {
                return Poll::Ready(draft);
            }
            let (parts, shape) = (self.seat.parts(), self.seat.shape());
            let cell = &parts.wakers(Role::Taker)[self.seat.seat()];
            let ready = || {
                self.seat.attend_in_wait();
                shape.has_some(parts)
            };
            if parts.head.returned.poll(cell, context, ready).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Its seat.
    #[cfg(not(loom))]
    pub(super) fn seat(&self) -> &S::Seat {
        &self.seat
    }

    /// Another handle to the pool.
    pub fn pool(&self) -> Pool<T, S> {
        Pool { handle: self.seat.handle() }
    }
}

impl<T: Pooled + ?Sized, S: Keeps<T>> fmt::Debug for Borrower<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Borrower").field("scope", &S::NAME).finish_non_exhaustive()
    }
}
