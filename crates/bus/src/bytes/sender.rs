//! The sending end.

use std::fmt;
use std::future::poll_fn;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::shape::Streams;
use super::{Bytes, ReserveError};
use crate::bells::{Rings, due};
use crate::error::AttachError;
use crate::event::Sleeps;
use crate::object::{Attachment, Handle, Role};
use crate::policy::Full;
use crate::ring::stream::{self, Giver};
use crate::scope::{InProcess, Scope};
use crate::view::ViewMut;

/// Sends into a byte channel. Dropping it detaches; what it has sent is still received.
///
/// On cache lines of its own, away from the receiver that may lie beside it.
#[repr(align(128))]
pub struct Sender<S: Scope> {
    giver: Giver<S>,
    /// The longest message.
    limit: usize,
    seat: Attachment<Streams, S>,
}

impl<S: Scope> Sender<S> {
    pub(super) fn attach(
        handle: &Handle<Streams, S>,
        name: Option<&str>,
    ) -> Result<Self, AttachError> {
        let seat = handle.attach_as(Role::Giver, name)?;
        // SAFETY: the seat is ours, and the attachment, kept beside it, keeps the object.
        let giver = unsafe { seat.shape().giver(seat.parts(), seat.seat()) };
        Ok(Self { giver, limit: stream::limit(seat.shape().config().capacity), seat })
    }

    /// Takes room for a message of at most `len` bytes; where there is none, as
    /// [`Config::full`](super::Config::full) has it. Sending it can then not fail.
    ///
    /// # Errors
    /// [`ReserveError`]. In the scope [`Private`](crate::Private) nobody could make room meanwhile:
    /// it says [`ReserveError::Full`] rather than wait.
    ///
    /// ```
    /// use tautline_bus::{Private, bytes::{Bytes, Config, ReserveError}};
    /// let channel = Bytes::<Private>::new(Config::default())?;
    /// let mut sender = channel.sender()?;
    /// let mut claim = sender.reserve(100)?;
    /// claim[..2].copy_from_slice(b"ok");
    /// claim.commit(2);
    /// drop(sender.reserve(100)?); // sends nothing
    /// let (len, limit) = (1 << 20, channel.limit());
    /// assert_eq!(sender.reserve(len).unwrap_err(), ReserveError::TooLong { len, limit });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn reserve(&mut self, len: usize) -> Result<Claim<'_, S>, ReserveError> {
        match self.find_room(len) {
            Err(ReserveError::Full) => self.wait_as_told(len)?,
            done => done?,
        }
        Ok(self.claim(len))
    }

    /// The same, whatever the policy, without waiting.
    ///
    /// # Errors
    /// [`ReserveError::TooLong`], [`ReserveError::Full`], [`ReserveError::Closed`].
    #[inline]
    pub fn try_reserve(&mut self, len: usize) -> Result<Claim<'_, S>, ReserveError> {
        self.find_room(len)?;
        Ok(self.claim(len))
    }

    /// The same, whatever the policy, but it waits no longer than `limit`.
    ///
    /// # Errors
    /// [`ReserveError`].
    pub fn reserve_timeout(
        &mut self,
        len: usize,
        limit: Duration,
    ) -> Result<Claim<'_, S>, ReserveError> {
        self.wait_until(len, due(Some(limit)))?;
        Ok(self.claim(len))
    }

    /// The same; the task waits while there is no room.
    ///
    /// # Errors
    /// [`ReserveError::TooLong`], [`ReserveError::Closed`].
    pub async fn reserve_async(&mut self, len: usize) -> Result<Claim<'_, S>, ReserveError> {
        poll_fn(|context| self.poll_room(context, len)).await?;
        Ok(self.claim(len))
    }

    /// Ready when there is room for a message of `len` bytes; else a waker is left. What was staged
    /// is sent.
    ///
    /// # Errors
    /// [`ReserveError::TooLong`], [`ReserveError::Closed`].
    pub fn poll_room(
        &mut self,
        context: &mut Context<'_>,
        len: usize,
    ) -> Poll<Result<(), ReserveError>> {
        loop {
            match self.find_room(len) {
                Err(ReserveError::Full) => self.flush(),
                done => return Poll::Ready(done),
            }
            let parts = self.seat.parts();
            let cell = &parts.wakers(Role::Giver)[self.seat.seat()];
            let ready = || {
                self.seat.attend_in_wait();
                self.giver.has_room(len) || !Streams::takes(parts)
            };
            if parts.head.freed.poll(cell, context, ready).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Sends a message; where there is no room, as [`Config::full`](super::Config::full) has it.
    ///
    /// # Errors
    /// [`ReserveError`].
    #[inline]
    pub fn send(&mut self, message: &[u8]) -> Result<(), ReserveError> {
        let mut claim = self.reserve(message.len())?;
        claim.fill(message);
        claim.commit(message.len());
        Ok(())
    }

    /// Sends messages for as long as there is room, and hands them to the receiver all at once.
    /// Returns how many: the next is one for which there is no room, or it is too long.
    pub fn send_batch(&mut self, messages: &[impl AsRef<[u8]>]) -> usize {
        let mut sent = 0;
        for message in messages {
            let message = message.as_ref();
            let Ok(mut claim) = self.try_reserve(message.len()) else { break };
            claim.fill(message);
            claim.stage(message.len());
            sent += 1;
        }
        self.flush();
        sent
    }

    /// Sends what was staged ([`Claim::stage`]).
    #[inline]
    pub fn flush(&mut self) {
        if self.giver.has_staged() {
            self.giver.publish();
            Streams::filled(self.seat.parts());
        }
        self.seat.attend();
    }

    /// Another handle to the channel.
    pub fn channel(&self) -> Bytes<S> {
        Bytes { handle: self.seat.handle() }
    }

    #[inline(always)]
    fn find_room(&mut self, len: usize) -> Result<(), ReserveError> {
        if len > self.limit {
            return Err(ReserveError::TooLong { len, limit: self.limit });
        }
        if !Streams::takes(self.seat.parts()) {
            return Err(ReserveError::Closed);
        }
        if self.giver.has_room(len) {
            return Ok(());
        }
        self.seat.attend();
        Err(ReserveError::Full)
    }

    #[cold]
    #[inline(never)]
    fn wait_as_told(&mut self, len: usize) -> Result<(), ReserveError> {
        match self.seat.shape().config().full {
            Full::Block(limit) => self.wait_until(len, due(limit)),
            // Overwriting was refused when it was made.
            Full::Refuse | Full::Overwrite => Err(ReserveError::Full),
        }
    }

    fn wait_until(&mut self, len: usize, due: Option<Instant>) -> Result<(), ReserveError> {
        loop {
            match self.find_room(len) {
                // What was staged may be what the receiver waits for.
                Err(ReserveError::Full) => self.flush(),
                done => return done,
            }
            let parts = self.seat.parts();
            let ready = || {
                self.seat.attend_in_wait();
                self.giver.has_room(len) || !Streams::takes(parts)
            };
            if !parts.head.freed.wait(due, ready) {
                let why = if S::OTHERS_RUN { ReserveError::TimedOut } else { ReserveError::Full };
                return Err(why);
            }
        }
    }

    #[inline(always)]
    fn claim(&mut self, len: usize) -> Claim<'_, S> {
        let place = self.giver.place(len);
        Claim { sender: self, place }
    }
}

impl<S: Scope> Drop for Sender<S> {
    fn drop(&mut self) {
        self.flush();
    }
}

impl<S: Scope> fmt::Debug for Sender<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("scope", &S::NAME).finish_non_exhaustive()
    }
}

/// Room for a message, to be written where it will be read: what is there before is anything.
/// Dropped without a commit, nothing is sent.
pub struct Claim<'s, S: Scope> {
    sender: &'s mut Sender<S>,
    /// The sender's until it is committed; exactly as long as was asked for.
    place: NonNull<[u8]>,
}

impl<S: Scope> Claim<'_, S> {
    /// Sends the first `len` bytes, with all that was staged before.
    ///
    /// # Panics
    /// If that is more than was reserved.
    #[inline]
    pub fn commit(self, len: usize) {
        assert!(len <= self.place.len(), "a message must be within what was reserved");
        self.sender.giver.stage(len);
        self.sender.giver.publish();
        Streams::filled(self.sender.seat.parts());
        self.sender.seat.attend();
    }

    /// The first `len` bytes are a message; the receiver gets it with those that follow, by the
    /// next [`Claim::commit`] or [`Sender::flush`], or when the sender must wait for room.
    ///
    /// # Panics
    /// If that is more than was reserved.
    #[inline]
    pub fn stage(self, len: usize) {
        assert!(len <= self.place.len(), "a message must be within what was reserved");
        self.sender.giver.stage(len);
    }
}

impl<S: Scope> Claim<'_, S> {
    /// The room, to be written by copies, in any scope.
    ///
    /// ```
    /// use tautline_bus::{Private, bytes::{Bytes, Config}};
    /// let channel = Bytes::<Private>::new(Config::default())?;
    /// let mut sender = channel.sender()?;
    /// let mut claim = sender.reserve(16)?;
    /// claim.view_mut().write(0, &7_u64);
    /// claim.view_mut().copy_from(8, b"seven");
    /// claim.commit(13);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline(always)]
    pub fn view_mut(&mut self) -> ViewMut<'_> {
        // SAFETY: the bytes are mapped, and are the sender's, which is borrowed, until they are
        // committed.
        unsafe { ViewMut::new(self.place) }
    }

    /// Writes the message, which is as long as was asked for.
    #[inline(always)]
    fn fill(&mut self, message: &[u8]) {
        if S::MORTAL {
            return self.view_mut().copy_from(0, message);
        }
        // SAFETY: as in `view_mut`; nobody outside the process reaches the bytes.
        unsafe { self.place.as_mut() }.copy_from_slice(message);
    }
}

impl<S: InProcess> Deref for Claim<'_, S> {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        // SAFETY: the bytes are mapped, always have a value, and are the sender's, which is
        // borrowed, until they are committed.
        unsafe { self.place.as_ref() }
    }
}

impl<S: InProcess> DerefMut for Claim<'_, S> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`.
        unsafe { self.place.as_mut() }
    }
}

impl<S: Scope> fmt::Debug for Claim<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("len", &self.place.len()).finish()
    }
}
