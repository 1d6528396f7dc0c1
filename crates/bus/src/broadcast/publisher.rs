//! The publishing end.

use std::fmt;
use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::bells::{Ringer, due};
use crate::broadcast::shape::Fan;
use crate::broadcast::{Broadcast, Shows};
use crate::error::{AttachError, SendError};
use crate::event::Sleeps;
use crate::object::{Attachment, Handle, Role};
use crate::policy::Full;
use crate::ring::fan::Giver;
use crate::scope::InProcess;

/// Sends to all subscribers. Dropping it detaches; what it has sent is still received.
///
/// On cache lines of its own, away from a subscriber that may lie beside it.
#[repr(align(128))]
pub struct Publisher<T: 'static, S: Shows<T>> {
    giver: Giver<T, S>,
    ringer: Ringer<S>,
    seat: Attachment<Fan<T>, S>,
}

impl<T, S: Shows<T>> Publisher<T, S> {
    pub(super) fn attach(
        handle: &Handle<Fan<T>, S>,
        name: Option<&str>,
    ) -> Result<Self, AttachError> {
        let seat = handle.attach_as(Role::Giver, name)?;
        // SAFETY: the seat is ours, and the attachment, kept beside it, keeps the object.
        let giver = unsafe { Fan::giver(seat.parts()) };
        // SAFETY: as above.
        let ringer = unsafe { Ringer::new(&seat.parts().head) };
        Ok(Self { giver, ringer, seat })
    }

    /// Whether nothing can be sent, or there is nobody who could take it.
    #[inline(always)]
    fn is_shut(&self) -> bool {
        self.ringer.is_shut(self.seat.parts(), Role::Giver)
    }

    /// Sends a message to all; where the slowest leaves no room, as
    /// [`Config::full`](super::Config::full) has it.
    ///
    /// # Errors
    /// [`SendError`], with the message. In the scope [`Private`](crate::Private) nobody could make
    /// room meanwhile: it says [`SendError::Full`] rather than wait.
    ///
    /// ```
    /// use tautline_bus::{Full, Private, SendError, broadcast::{Broadcast, Config}};
    /// let config = Config { capacity: 1, full: Full::Refuse, ..Config::default() };
    /// let news = Broadcast::<&str, Private>::new(config)?;
    /// let mut publisher = news.publisher()?;
    /// publisher.send("to nobody")?;
    /// let mut slow = news.subscriber()?;
    /// publisher.send("first")?;
    /// assert_eq!(publisher.send("second"), Err(SendError::Full("second")));
    /// assert_eq!(slow.receive()?, "first");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline(always)]
    pub fn send(&mut self, message: T) -> Result<(), SendError<T>> {
        match self.try_send(message) {
            Err(SendError::Full(message)) => self.send_without_room(message),
            done => done,
        }
    }

    #[cold]
    #[inline(never)]
    fn send_without_room(&mut self, message: T) -> Result<(), SendError<T>> {
        match self.seat.shape().config().full {
            Full::Block(limit) => self.send_until(message, due(limit)),
            // Overwriting was refused when it was made.
            Full::Refuse | Full::Overwrite => Err(SendError::Full(message)),
        }
    }

    /// Sends a message if there is room, whatever the policy.
    ///
    /// # Errors
    /// [`SendError::Full`], [`SendError::Closed`], with the message.
    #[inline(always)]
    pub fn try_send(&mut self, message: T) -> Result<(), SendError<T>> {
        if self.is_shut() {
            return Err(SendError::Closed(message));
        }
        if !self.giver.has_room() {
            self.seat.attend();
            return Err(SendError::Full(message));
        }
        Batch { publisher: self, count: 0 }.stage(message);
        Ok(())
    }

    /// Sends a message, and waits for room, whatever the policy, but not for longer than `limit`.
    ///
    /// # Errors
    /// [`SendError`], with the message.
    pub fn send_timeout(&mut self, message: T, limit: Duration) -> Result<(), SendError<T>> {
        self.send_until(message, due(Some(limit)))
    }

    fn send_until(&mut self, mut message: T, due: Option<Instant>) -> Result<(), SendError<T>> {
        loop {
            message = match self.try_send(message) {
                Err(SendError::Full(message)) => message,
                done => return done,
            };
            if let Err(error) = self.wait_until(due) {
                return Err(error.map(|()| message));
            }
        }
    }

    /// Sends a message; the task waits while there is no room.
    ///
    /// # Errors
    /// [`SendError::Closed`], with the message.
    pub async fn send_async(&mut self, message: T) -> Result<(), SendError<T>> {
        let mut message = Some(message);
        poll_fn(|context| self.poll_send(context, &mut message)).await
    }

    /// Sends the message out of `message`, or leaves a waker for when there is room.
    ///
    /// # Errors
    /// [`SendError::Closed`], with the message.
    ///
    /// # Panics
    /// If there is no message.
    pub fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        message: &mut Option<T>,
    ) -> Poll<Result<(), SendError<T>>> {
        loop {
            match self.try_send(message.take().expect("a message to send")) {
                Err(SendError::Full(back)) => *message = Some(back),
                done => return Poll::Ready(done),
            }
            let parts = self.seat.parts();
            let cell = &parts.wakers(Role::Giver)[self.seat.seat()];
            let ready = || {
                self.seat.attend_in_wait();
                self.giver.has_room() || self.ringer.is_shut(parts, Role::Giver)
            };
            if parts.head.freed.poll(cell, context, ready).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Sends messages for as long as there is room, and hands them to the subscribers all at once.
    /// Returns how many; `messages` is asked for no more than that.
    pub fn send_batch(&mut self, messages: impl IntoIterator<Item = T>) -> usize {
        if self.is_shut() {
            return 0;
        }
        let mut messages = messages.into_iter();
        let mut batch = Batch { publisher: self, count: 0 };
        let mut sent = 0;
        loop {
            // Room first: a message that was taken out of the iterator could not go back.
            let wanted = messages.size_hint().1.unwrap_or(usize::MAX);
            let room = batch.publisher.giver.room(wanted);
            // By this count, and not by what an iterator makes of a limit.
            while batch.count < room
                && let Some(message) = messages.next()
            {
                batch.stage(message);
            }
            sent += batch.count;
            // Where nobody, or a fast one, listens, there may be more room than was known.
            if room == 0 || batch.count < room {
                return sent as usize;
            }
            batch.advance();
        }
    }

    /// Takes a place for a message: sending it can then not fail.
    ///
    /// # Errors
    /// [`SendError::Full`], [`SendError::Closed`]. It does not wait: see
    /// [`Publisher::wait_for_room`].
    ///
    /// ```
    /// use tautline_bus::{Private, broadcast::{Broadcast, Config}};
    /// let books = Broadcast::<[u64; 16], Private>::new(Config::default())?;
    /// let (mut publisher, mut subscriber) = (books.publisher()?, books.subscriber()?);
    /// publisher.loan()?.send_with(|place| place.write([7; 16]));
    /// assert_eq!(subscriber.take()?[15], 7); // where it was made
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn loan(&mut self) -> Result<Draft<'_, T, S>, SendError<()>> {
        if self.is_shut() {
            return Err(SendError::Closed(()));
        }
        if !self.giver.has_room() {
            self.seat.attend();
            return Err(SendError::Full(()));
        }
        let old = self.giver.vacate(0);
        Ok(Draft { publisher: self, old: Some(old) })
    }

    /// Waits until there is room for a message, at most for `limit`.
    ///
    /// # Errors
    /// [`SendError::TimedOut`], [`SendError::Full`] in the scope [`Private`](crate::Private), where
    /// nobody could make room meanwhile, [`SendError::Closed`].
    pub fn wait_for_room(&mut self, limit: Option<Duration>) -> Result<(), SendError<()>> {
        self.wait_until(due(limit))
    }

    fn wait_until(&mut self, due: Option<Instant>) -> Result<(), SendError<()>> {
        let parts = self.seat.parts();
        let ready = || {
            self.seat.attend_in_wait();
            self.giver.has_room() || self.ringer.is_shut(parts, Role::Giver)
        };
        if !parts.head.freed.wait(due, ready) {
            return Err(if S::OTHERS_RUN { SendError::TimedOut(()) } else { SendError::Full(()) });
        }
        if self.is_shut() { Err(SendError::Closed(())) } else { Ok(()) }
    }

    /// Another handle to the broadcast.
    pub fn broadcast(&self) -> Broadcast<T, S> {
        Broadcast { handle: self.seat.handle() }
    }
}

impl<T, S: Shows<T>> fmt::Debug for Publisher<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("scope", &S::NAME).finish_non_exhaustive()
    }
}

/// Publishes what was staged when it goes, also if making or dropping a message has panicked.
struct Batch<'a, T: 'static, S: Shows<T>> {
    publisher: &'a mut Publisher<T, S>,
    /// Messages staged.
    count: u64,
}

impl<T, S: Shows<T>> Batch<'_, T, S> {
    /// Writes a message into the next slot, for which there is room. What lay there is dropped.
    #[inline(always)]
    fn stage(&mut self, message: T) {
        let giver = &self.publisher.giver;
        let old = giver.vacate(self.count);
        // SAFETY: the place is this publisher's, and what lay there was moved out.
        unsafe { S::put(giver.place(self.count), message) };
        self.count += 1;
        // The last, for it may panic.
        drop(old);
    }

    /// Goes on behind what was staged, which is published later.
    fn advance(&mut self) {
        // SAFETY: there was room for as many, and they were written.
        unsafe { self.publisher.giver.advance(self.count) };
        self.count = 0;
    }
}

impl<T, S: Shows<T>> Drop for Batch<'_, T, S> {
    #[inline(always)]
    fn drop(&mut self) {
        let Publisher { giver, ringer, seat } = &mut *self.publisher;
        // SAFETY: there was room for as many, and they were written.
        unsafe { giver.publish(self.count) };
        if ringer.has_sleeper(Role::Giver) {
            ringer.wake(Role::Giver, seat.parts().wakers(Role::Taker));
        }
        seat.attend();
    }
}

/// A place for a message that is taken already. Dropped without a send, nothing is sent.
pub struct Draft<'p, T: 'static, S: Shows<T>> {
    publisher: &'p mut Publisher<T, S>,
    /// What lay in the place, if it must be dropped; goes back if nothing is sent. Taken out when
    /// the message is there.
    old: Option<Option<T>>,
}

impl<T, S: Shows<T>> Draft<'_, T, S> {
    /// Sends a message by it.
    #[inline]
    pub fn send(mut self, message: T) {
        // SAFETY: `loan` found room, and has moved out what lay there.
        unsafe { S::put(self.publisher.giver.place(0), message) };
        self.hand_over();
    }

    /// Sends the message that `make` writes to its place, and of which it returns the reference.
    ///
    /// # Panics
    /// If that is a reference to something else.
    #[inline]
    pub fn send_with(mut self, make: impl FnOnce(&mut MaybeUninit<T>) -> &mut T)
    where
        S: InProcess,
    {
        let place = self.publisher.giver.place(0).to_write();
        // SAFETY: the place is ours until the message is handed over; the borrow ends before.
        let made: *const T = make(unsafe { &mut *place.cast() });
        assert!(std::ptr::eq(made, place), "a draft must be written to its own place");
        self.hand_over();
    }

    fn hand_over(&mut self) {
        let old = self.old.take();
        // `loan` found room and moved out what lay there, and the message was written.
        drop(Batch { publisher: self.publisher, count: 1 });
        // The last, for it may panic.
        drop(old);
    }
}

impl<T, S: Shows<T>> Drop for Draft<'_, T, S> {
    fn drop(&mut self) {
        if let Some(Some(old)) = self.old.take() {
            // SAFETY: the place is still ours, and empty.
            unsafe { S::put(self.publisher.giver.place(0), old) };
        }
    }
}

impl<T, S: Shows<T>> fmt::Debug for Draft<'_, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Draft")
    }
}
