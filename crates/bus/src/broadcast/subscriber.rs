//! The subscribing end.

use std::fmt;
use std::future::poll_fn;
use std::ops::Deref;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::bells::{Ringer, due};
use crate::broadcast::shape::Fan;
use crate::broadcast::{Broadcast, Shows};
use crate::error::{AttachError, Corrupt, ReceiveError};
use crate::event::Sleeps;
use crate::object::{Attachment, Handle, Role};
use crate::ring::fan::{Start, Taker};
use crate::scope::InProcess;

/// Receives all messages of a broadcast. Dropping it detaches: the publisher waits for it no more.
///
/// On cache lines of its own, away from a publisher that may lie beside it.
#[repr(align(128))]
pub struct Subscriber<T: 'static, S: Shows<T>> {
    taker: Taker<T, S>,
    ringer: Ringer<S>,
    seat: Attachment<Fan<T>, S>,
}

impl<T, S: Shows<T>> Subscriber<T, S> {
    pub(super) fn attach(
        handle: &Handle<Fan<T>, S>,
        start: Start,
        name: Option<&str>,
    ) -> Result<Self, AttachError> {
        let seat = handle.attach_as(Role::Taker, name)?;
        // SAFETY: the seat is ours, and the attachment, kept beside it, keeps the object.
        let taker = unsafe { Fan::taker(seat.parts(), seat.seat(), start) };
        // SAFETY: as above.
        let ringer = unsafe { Ringer::new(&seat.parts().head) };
        Ok(Self { taker, ringer, seat })
    }

    /// Whether it knows of a message, after a look if need be.
    ///
    /// # Errors
    /// [`ReceiveError::Empty`], [`ReceiveError::Closed`], [`ReceiveError::Corrupt`].
    #[inline(always)]
    fn seek(&mut self) -> Result<(), ReceiveError> {
        if self.taker.knows_of_some() || self.taker.look()? {
            return Ok(());
        }
        self.seat.attend();
        if self.ringer.is_shut(self.seat.parts(), Role::Taker) {
            self.seek_the_last()
        } else {
            Err(ReceiveError::Empty)
        }
    }

    /// What has come before the publisher went.
    #[cold]
    #[inline(never)]
    fn seek_the_last(&mut self) -> Result<(), ReceiveError> {
        if self.taker.look()? { Ok(()) } else { Err(ReceiveError::Closed) }
    }

    /// Borrows the oldest message where it lies, with all others who subscribe; it counts as taken
    /// when the loan is dropped.
    ///
    /// # Errors
    /// [`ReceiveError::Empty`], [`ReceiveError::Closed`]. It does not wait: see
    /// [`Subscriber::wait`].
    #[inline(always)]
    pub fn take(&mut self) -> Result<Loan<'_, T, S>, ReceiveError> {
        self.seek()?;
        Ok(Loan { subscriber: self })
    }

    /// Borrows the messages that are there, at most `limit`; they count as taken, all at once, when
    /// what this gives is dropped.
    ///
    /// ```
    /// use tautline_bus::{Private, broadcast::{Broadcast, Config}};
    /// let news = Broadcast::<u32, Private>::new(Config::default())?;
    /// let (mut publisher, mut subscriber) = (news.publisher()?, news.subscriber()?);
    /// publisher.send_batch(0..10);
    /// assert_eq!(subscriber.drain(4).iter().sum::<u32>(), 0 + 1 + 2 + 3);
    /// for message in &subscriber.drain(100) {
    ///     assert!(*message >= 4);
    /// }
    /// assert!(subscriber.drain(100).is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn drain(&mut self, limit: usize) -> Drain<'_, T, S> {
        if self.taker.known() < limit {
            // What is corrupt is told by the next receive.
            _ = self.taker.look();
        }
        let count = self.taker.known().min(limit);
        Drain { subscriber: self, count }
    }

    /// Receives a copy of the oldest message; waits for one up to
    /// [`Config::patience`](super::Config::patience).
    ///
    /// # Errors
    /// [`ReceiveError::TimedOut`]; [`ReceiveError::Closed`]. In the scope
    /// [`Private`](crate::Private) nobody could send meanwhile: it says [`ReceiveError::Empty`]
    /// rather than wait.
    #[inline(always)]
    pub fn receive(&mut self) -> Result<T, ReceiveError>
    where
        T: Clone,
    {
        match self.try_receive() {
            Err(ReceiveError::Empty) => {
                self.receive_until(due(self.seat.shape().config().patience))
            }
            done => done,
        }
    }

    /// Receives a copy of the oldest message if there is one.
    ///
    /// # Errors
    /// [`ReceiveError::Empty`], [`ReceiveError::Closed`].
    #[inline(always)]
    pub fn try_receive(&mut self) -> Result<T, ReceiveError>
    where
        T: Clone,
    {
        self.take()?.copy().map_err(ReceiveError::from)
    }

    /// Receives a copy of the oldest message; waits for one, but not for longer than `limit`.
    ///
    /// # Errors
    /// [`ReceiveError`].
    pub fn receive_timeout(&mut self, limit: Duration) -> Result<T, ReceiveError>
    where
        T: Clone,
    {
        self.receive_until(due(Some(limit)))
    }

    #[cold]
    #[inline(never)]
    fn receive_until(&mut self, due: Option<Instant>) -> Result<T, ReceiveError>
    where
        T: Clone,
    {
        loop {
            match self.try_receive() {
                Err(ReceiveError::Empty) => self.wait_until(due)?,
                done => return done,
            }
        }
    }

    /// Receives a copy of the oldest message; the task waits for it.
    ///
    /// # Errors
    /// [`ReceiveError::Closed`].
    pub async fn receive_async(&mut self) -> Result<T, ReceiveError>
    where
        T: Clone,
    {
        poll_fn(|context| self.poll_receive(context)).await
    }

    /// Receives a copy of the oldest message, or leaves a waker for when there is one.
    ///
    /// # Errors
    /// [`ReceiveError::Closed`].
    pub fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<T, ReceiveError>>
    where
        T: Clone,
    {
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

    /// Waits until there is a message, at most for `limit`.
    ///
    /// # Errors
    /// [`ReceiveError::TimedOut`], [`ReceiveError::Empty`] in the scope
    /// [`Private`](crate::Private). A broadcast that is closed is for the next receive to tell.
    pub fn wait(&mut self, limit: Option<Duration>) -> Result<(), ReceiveError> {
        self.wait_until(due(limit))
    }

    fn wait_until(&mut self, due: Option<Instant>) -> Result<(), ReceiveError> {
        let Self { taker, ringer, seat } = self;
        let parts = seat.parts();
        let ready = || {
            seat.attend_in_wait();
            taker.knows_of_some() || taker.look() != Ok(false) || ringer.is_shut(parts, Role::Taker)
        };
        if parts.head.filled.wait(due, ready) {
            return Ok(());
        }
        Err(ReceiveError::late::<S>())
    }

    /// Ready when there is a message or the broadcast is closed; else a waker is left.
    pub fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Self { taker, ringer, seat } = self;
        let parts = seat.parts();
        let cell = &parts.wakers(Role::Taker)[seat.seat()];
        let ready = || {
            seat.attend_in_wait();
            taker.knows_of_some() || taker.look() != Ok(false) || ringer.is_shut(parts, Role::Taker)
        };
        parts.head.filled.poll(cell, context, ready)
    }

    /// Another handle to the broadcast.
    pub fn broadcast(&self) -> Broadcast<T, S> {
        Broadcast { handle: self.seat.handle() }
    }

    /// The next messages count as taken.
    #[inline(always)]
    fn pass(&mut self, count: usize) {
        if count != 0 {
            self.taker.advance(count);
            self.taker.release();
            if self.ringer.has_sleeper(Role::Taker) {
                self.ringer.wake(Role::Taker, self.seat.parts().wakers(Role::Giver));
            }
        }
    }
}

impl<T, S: Shows<T>> fmt::Debug for Subscriber<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber").field("scope", &S::NAME).finish_non_exhaustive()
    }
}

/// A message where it lies. It counts as taken when the loan is dropped.
pub struct Loan<'s, T: 'static, S: Shows<T>> {
    subscriber: &'s mut Subscriber<T, S>,
}

impl<T: Clone, S: Shows<T>> Loan<'_, T, S> {
    /// A copy of the message, which is checked where others could have scribbled over it.
    ///
    /// # Errors
    /// [`Corrupt`].
    #[inline(always)]
    pub fn copy(&self) -> Result<T, Corrupt> {
        // SAFETY: the message was published, and stays as it is until the cursor passes it, which
        // it does when the loan ends.
        unsafe { S::copy(self.subscriber.taker.place(0)) }
    }
}

impl<T, S: Shows<T> + InProcess> Deref for Loan<'_, T, S> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: the message was published, and stays as it is until the cursor passes it, which
        // it does when the loan ends; the scope shows it to several.
        unsafe { &*self.subscriber.taker.place(0).to_read() }
    }
}

impl<T, S: Shows<T>> Drop for Loan<'_, T, S> {
    #[inline(always)]
    fn drop(&mut self) {
        self.subscriber.pass(1);
    }
}

impl<T: fmt::Debug, S: Shows<T> + InProcess> fmt::Debug for Loan<'_, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Loan").field(&**self).finish()
    }
}

/// Messages where they lie, as [`Subscriber::drain`] gives them: all of them count as taken when
/// this is dropped, looked at or not.
pub struct Drain<'s, T: 'static, S: Shows<T>> {
    subscriber: &'s mut Subscriber<T, S>,
    count: usize,
}

impl<T, S: Shows<T>> Drain<'_, T, S> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Copies of them, in any scope, the oldest first.
    pub fn copies(&self) -> impl Iterator<Item = Result<T, Corrupt>>
    where
        T: Clone,
    {
        let taker = &self.subscriber.taker;
        // SAFETY: as in `Loan::copy`; the cursor passes them when this is dropped.
        (0..self.count).map(|ahead| unsafe { S::copy(taker.place(ahead)) })
    }

    /// Looks at them, the oldest first.
    #[inline]
    pub fn iter(&self) -> Iter<'_, T, S>
    where
        S: InProcess,
    {
        Iter { taker: &self.subscriber.taker, next: 0, end: self.count }
    }
}

impl<T, S: Shows<T>> Drop for Drain<'_, T, S> {
    #[inline(always)]
    fn drop(&mut self) {
        self.subscriber.pass(self.count);
    }
}

impl<T, S: Shows<T>> fmt::Debug for Drain<'_, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").field("count", &self.count).finish()
    }
}

impl<'d, T, S: Shows<T> + InProcess> IntoIterator for &'d Drain<'_, T, S> {
    type Item = &'d T;
    type IntoIter = Iter<'d, T, S>;

    fn into_iter(self) -> Iter<'d, T, S> {
        self.iter()
    }
}

/// The messages of a [`Drain`].
pub struct Iter<'d, T: 'static, S: Shows<T>> {
    taker: &'d Taker<T, S>,
    next: usize,
    end: usize,
}

impl<'d, T, S: Shows<T> + InProcess> Iterator for Iter<'d, T, S> {
    type Item = &'d T;

    #[inline(always)]
    fn next(&mut self) -> Option<&'d T> {
        if self.next == self.end {
            return None;
        }
        let place = self.taker.place(self.next);
        self.next += 1;
        // SAFETY: as in `Loan::deref`; the cursor passes it when the `Drain` is dropped.
        Some(unsafe { &*place.to_read() })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.end - self.next, Some(self.end - self.next))
    }
}

impl<T, S: Shows<T> + InProcess> ExactSizeIterator for Iter<'_, T, S> {}

impl<T, S: Shows<T>> fmt::Debug for Iter<'_, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").field("left", &(self.end - self.next)).finish()
    }
}
