//! The receiving end.

use std::fmt;
use std::future::poll_fn;
use std::mem;
use std::ops::Deref;
use std::ptr::NonNull;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::shape::Streams;
use super::{Bytes, Orphans};
use crate::bells::{Rings, due};
use crate::error::{AttachError, Corrupt, ReceiveError};
use crate::event::Sleeps;
use crate::object::{Attachment, Handle, Role};
use crate::ring::stream::{self, Taker};
use crate::scope::{InProcess, Scope, Word};
use crate::sync::Ordering;
use crate::view::View;

/// Receives from a byte channel. Dropping it detaches; what is left is there for the next receiver.
///
/// On cache lines of its own, away from a sender that may lie beside it.
#[repr(align(128))]
pub struct Receiver<S: Scope> {
    /// The stream that is taken from until what was known of it is taken.
    current: Taker<S>,
    others: Box<[Taker<S>]>,
    /// The one of the others that is next.
    next: usize,
    /// The last message had been lent to a receiver that has died.
    again: bool,
    seat: Attachment<Streams, S>,
}

impl<S: Scope> Receiver<S> {
    pub(super) fn attach(
        handle: &Handle<Streams, S>,
        name: Option<&str>,
    ) -> Result<Self, AttachError> {
        let seat = handle.attach_as(Role::Taker, name)?;
        let taker = |stream| {
            // SAFETY: the one receiver's seat is ours, and the attachment, kept beside them, keeps
            // the object.
            unsafe { seat.shape().taker(seat.parts(), stream) }
        };
        let others = (1..seat.shape().config().senders).map(taker).collect();
        let mut receiver = Self { current: taker(0), others, next: 0, again: false, seat };
        if S::MORTAL && receiver.seat.shape().config().orphans == Orphans::Lose {
            receiver.give_up_lent();
        }
        Ok(receiver)
    }

    /// Passes over what was lent to receivers that have died, and counts it.
    fn give_up_lent(&mut self) {
        let others = self.others.iter_mut().map(Taker::give_up_lent).sum::<u64>();
        let lost = self.current.give_up_lent() + others;
        let parts = self.seat.parts();
        // Relaxed: a count, which orders nothing.
        parts.head.lost.fetch_add(lost, Ordering::Relaxed);
        Streams::freed(parts);
    }

    /// Borrows the oldest message where it lies; its room is free when it is dropped.
    ///
    /// # Errors
    /// [`ReceiveError::Empty`], [`ReceiveError::Closed`]. It does not wait: see
    /// [`Receiver::wait`].
    #[inline]
    pub fn take(&mut self) -> Result<Message<'_, S>, ReceiveError> {
        if !self.seek()? {
            self.seek_the_last()?;
        }
        let head = self.current.head();
        match self.current.message(head) {
            Ok((bytes, next)) => {
                self.current.lend(next);
                if S::MORTAL {
                    self.again = self.current.was_lent(head);
                }
                Ok(Message { receiver: self, bytes, next })
            }
            Err(corrupt) => {
                self.current.release_all();
                Err(corrupt.into())
            }
        }
    }

    /// Borrows the oldest message; waits for one up to
    /// [`Config::patience`](super::Config::patience).
    ///
    /// # Errors
    /// [`ReceiveError::TimedOut`]; [`ReceiveError::Closed`]. In the scope
    /// [`Private`](crate::Private) nobody could send meanwhile: it says [`ReceiveError::Empty`]
    /// rather than wait.
    #[inline]
    pub fn receive(&mut self) -> Result<Message<'_, S>, ReceiveError> {
        if !self.seek()? {
            self.wait_until(due(self.seat.shape().config().patience))?;
        }
        self.take()
    }

    /// Borrows the oldest message; waits for one, but not for longer than `limit`.
    ///
    /// # Errors
    /// [`ReceiveError`].
    pub fn receive_timeout(&mut self, limit: Duration) -> Result<Message<'_, S>, ReceiveError> {
        self.wait_until(due(Some(limit)))?;
        self.take()
    }

    /// Borrows the oldest message; the task waits for it.
    ///
    /// # Errors
    /// [`ReceiveError::Closed`].
    pub async fn receive_async(&mut self) -> Result<Message<'_, S>, ReceiveError> {
        poll_fn(|context| self.poll_wait(context)).await;
        self.take()
    }

    /// Waits until there is a message, at most for `limit`.
    ///
    /// # Errors
    /// [`ReceiveError::TimedOut`], [`ReceiveError::Empty`] in the scope
    /// [`Private`](crate::Private). A channel that is closed is for the next receive to tell.
    pub fn wait(&mut self, limit: Option<Duration>) -> Result<(), ReceiveError> {
        self.wait_until(due(limit))
    }

    /// Ready when there is a message or the channel is closed; else a waker is left.
    pub fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Self { current, others, next, seat, .. } = self;
        let parts = seat.parts();
        let cell = &parts.wakers(Role::Taker)[seat.seat()];
        let ready = || {
            seat.attend_in_wait();
            seek(current, others, next) != Ok(false) || !Streams::gives(parts)
        };
        parts.head.filled.poll(cell, context, ready)
    }

    fn wait_until(&mut self, due: Option<Instant>) -> Result<(), ReceiveError> {
        let Self { current, others, next, seat, .. } = self;
        let parts = seat.parts();
        let ready = || {
            seat.attend_in_wait();
            seek(current, others, next) != Ok(false) || !Streams::gives(parts)
        };
        if parts.head.filled.wait(due, ready) {
            return Ok(());
        }
        Err(ReceiveError::late::<S>())
    }

    /// Borrows the messages that are there, at most `limit`; their room is free, all at once, when
    /// what this gives is dropped. Of several senders it is one's turn in each call.
    ///
    /// ```
    /// use tautline_bus::{Private, bytes::{Bytes, Config}};
    /// let channel = Bytes::<Private>::new(Config::default())?;
    /// let (mut sender, mut receiver) = (channel.sender()?, channel.receiver()?);
    /// assert_eq!(sender.send_batch(&["one", "two", "three"]), 3);
    /// for message in &receiver.drain(2) {
    ///     assert_eq!(message.len(), 3);
    /// }
    /// assert_eq!(&*receiver.take()?, b"three");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn drain(&mut self, limit: usize) -> Drain<'_, S> {
        // What is corrupt is told by the next receive.
        _ = self.seek();
        let (mut end, mut count) = (self.current.head(), 0);
        while count < limit
            && self.current.is_before_tail(end)
            && let Ok((_, next)) = self.current.message(end)
        {
            end = next;
            count += 1;
        }
        if count != 0 {
            self.current.lend(end);
        }
        Drain { receiver: self, end, count }
    }

    /// Whether the message that was borrowed last had been lent to a receiver that has died, which
    /// may have acted upon it. Only in the scope `Shared` ([`Orphans`]).
    pub fn is_redelivered(&self) -> bool {
        self.again
    }

    /// Messages that were lent to receivers that have died, and were given up, since the channel
    /// was made ([`Orphans::Lose`]).
    pub fn lost(&self) -> u64 {
        // Relaxed: a count, which orders nothing.
        self.seat.parts().head.lost.load(Ordering::Relaxed)
    }

    /// Another handle to the channel.
    pub fn channel(&self) -> Bytes<S> {
        Bytes { handle: self.seat.handle() }
    }

    /// Whether there is a message; then the current stream knows of it.
    #[inline(always)]
    fn seek(&mut self) -> Result<bool, Corrupt> {
        seek(&mut self.current, &mut self.others, &mut self.next)
    }

    /// What may have come before the last sender went.
    #[inline(never)]
    fn seek_the_last(&mut self) -> Result<(), ReceiveError> {
        self.seat.attend();
        let open = Streams::gives(self.seat.parts());
        match self.seek()? {
            true => Ok(()),
            false if open => Err(ReceiveError::Empty),
            false => Err(ReceiveError::Closed),
        }
    }

    /// The room before that position is free.
    #[inline(always)]
    fn release(&mut self, position: u64) {
        self.current.release(position);
        Streams::freed(self.seat.parts());
    }
}

#[inline(always)]
fn seek<S: Scope>(
    current: &mut Taker<S>,
    others: &mut [Taker<S>],
    next: &mut usize,
) -> Result<bool, Corrupt> {
    if current.knows_of_some() {
        return Ok(true);
    }
    if others.is_empty() { current.look() } else { look_in_turn(current, others, next) }
}

/// All streams in turn, the current one last, so that each gets its share.
fn look_in_turn<S: Scope>(
    current: &mut Taker<S>,
    others: &mut [Taker<S>],
    next: &mut usize,
) -> Result<bool, Corrupt> {
    for _ in 0..=others.len() {
        mem::swap(current, &mut others[*next]);
        *next = (*next + 1) % others.len();
        if current.look()? {
            return Ok(true);
        }
    }
    Ok(false)
}

impl<S: Scope> fmt::Debug for Receiver<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("scope", &S::NAME).finish_non_exhaustive()
    }
}

/// A message where it lies. Its room is free when this is dropped.
pub struct Message<'r, S: Scope> {
    receiver: &'r mut Receiver<S>,
    bytes: NonNull<[u8]>,
    /// Where the next one begins.
    next: u64,
}

impl<S: Scope> Message<'_, S> {
    /// The bytes, to be looked at by copies, in any scope.
    #[inline(always)]
    pub fn view(&self) -> View<'_> {
        // SAFETY: the message was published to this receiver, which releases it when this goes.
        unsafe { View::new(self.bytes) }
    }

    /// How long it is.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it had been lent to a receiver that has died: see [`Receiver::is_redelivered`].
    pub fn is_redelivered(&self) -> bool {
        self.receiver.is_redelivered()
    }
}

impl<S: InProcess> Deref for Message<'_, S> {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        // SAFETY: the message was published to this receiver, which releases it when this goes.
        unsafe { stream::borrow(self.bytes) }
    }
}

impl<S: Scope> Drop for Message<'_, S> {
    #[inline(always)]
    fn drop(&mut self) {
        self.receiver.release(self.next);
    }
}

impl<S: Scope> fmt::Debug for Message<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message").field("len", &self.bytes.len()).finish()
    }
}

/// Messages where they lie, as [`Receiver::drain`] gives them: the room of all is free when this
/// is dropped, whether they were looked at or not.
pub struct Drain<'r, S: Scope> {
    receiver: &'r mut Receiver<S>,
    /// Where they end.
    end: u64,
    count: usize,
}

impl<S: Scope> Drain<'_, S> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Looks at them, the oldest first.
    pub fn iter(&self) -> Iter<'_, S>
    where
        S: InProcess,
    {
        Iter { views: self.views() }
    }

    /// Looks at them by copies, in any scope, the oldest first. What cannot be any more ends it
    /// early, and is told by the next receive.
    pub fn views(&self) -> Views<'_, S> {
        let taker = &self.receiver.current;
        Views { taker, position: taker.head(), left: self.count }
    }

    /// How many of them, the first ones, had been lent to a receiver that has died.
    pub fn redelivered(&self) -> usize {
        let taker = &self.receiver.current;
        let (mut position, mut count) = (taker.head(), 0);
        while count < self.count
            && taker.was_lent(position)
            && let Ok((_, next)) = taker.message(position)
        {
            (position, count) = (next, count + 1);
        }
        count
    }
}

impl<S: Scope> Drop for Drain<'_, S> {
    fn drop(&mut self) {
        if self.count != 0 {
            self.receiver.release(self.end);
        }
    }
}

impl<S: Scope> fmt::Debug for Drain<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").field("count", &self.count).finish()
    }
}

impl<'d, S: InProcess> IntoIterator for &'d Drain<'_, S> {
    type Item = &'d [u8];
    type IntoIter = Iter<'d, S>;

    fn into_iter(self) -> Iter<'d, S> {
        self.iter()
    }
}

/// The messages of a [`Drain`].
pub struct Iter<'d, S: Scope> {
    views: Views<'d, S>,
}

impl<'d, S: InProcess> Iterator for Iter<'d, S> {
    type Item = &'d [u8];

    #[inline(always)]
    fn next(&mut self) -> Option<&'d [u8]> {
        // SAFETY: the message was published, is released when the `Drain` is dropped, and nobody
        // outside the process reaches it.
        self.views.step().map(|bytes| unsafe { stream::borrow(bytes) })
    }
}

impl<S: Scope> fmt::Debug for Iter<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").field("left", &self.views.left).finish()
    }
}

/// The messages of a [`Drain`], to be looked at by copies.
pub struct Views<'d, S: Scope> {
    taker: &'d Taker<S>,
    position: u64,
    left: usize,
}

impl<S: Scope> Views<'_, S> {
    #[inline(always)]
    fn step(&mut self) -> Option<NonNull<[u8]>> {
        self.left = self.left.checked_sub(1)?;
        // Where another process has changed a length since they were counted, it ends early.
        let (bytes, next) = self.taker.message(self.position).ok()?;
        self.position = next;
        Some(bytes)
    }
}

impl<'d, S: Scope> Iterator for Views<'d, S> {
    type Item = View<'d>;

    fn next(&mut self) -> Option<View<'d>> {
        // SAFETY: the message was published, and is released when the `Drain` is dropped.
        self.step().map(|bytes| unsafe { View::new(bytes) })
    }
}

impl<S: Scope> fmt::Debug for Views<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Views").field("left", &self.left).finish()
    }
}
