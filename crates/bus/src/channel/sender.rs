//! The sending end.

use std::fmt;
use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::bells::{Ringer, Rings, due};
use crate::channel::lanes::Lanes;
use crate::channel::ringed::Ringed;
use crate::channel::{Channel, Flavour};
use crate::error::{AttachError, SendError};
use crate::event::Sleeps;
#[cfg(not(loom))]
use crate::layout::Layout;
use crate::object::{Attachment, Role};
#[cfg(not(loom))]
use crate::plain::Plain;
use crate::policy::Full;
use crate::ring::lane::Giver;
use crate::ring::many::{Claim, Ring};
use crate::scope::{Carries, InProcess, Place, Word};
#[cfg(not(loom))]
use crate::shared::Shared;
use crate::sync::Ordering;
#[cfg(not(loom))]
use crate::view::ViewMut;

/// Sends into a channel. Dropping it detaches; what it has sent is still received.
///
/// On two cache lines of its own, away from the receiver that may lie beside it.
#[repr(align(128))]
pub struct Sender<T: 'static, S: Carries<T>> {
    end: End<T, S>,
    full: Full,
    /// Messages that it has overwritten.
    overwritten: u64,
}

enum End<T: 'static, S: Carries<T>> {
    Lane(Giver<T, S>, Ringer<S>, Attachment<Lanes<T>, S>),
    Ring(Ring<T, S>, Attachment<Ringed<T>, S>),
}

/// Why a message, or a place for one, was not taken at the first look.
enum Refused<T> {
    Full(T),
    Closed(T),
}

/// What is done when something was published: wakes who sleeps.
#[inline(always)]
fn filled<T: 'static, S: Carries<T>>(ringer: &Ringer<S>, seat: &Attachment<Lanes<T>, S>) {
    if ringer.has_sleeper(Role::Giver) {
        ringer.wake(Role::Giver, seat.parts().wakers(Role::Taker));
    }
}

impl<T, S: Carries<T>> End<T, S> {
    /// Sends if there is room.
    #[inline(always)]
    fn offer(&mut self, message: T) -> Result<(), Refused<T>> {
        match self {
            Self::Lane(giver, ringer, seat) => {
                if ringer.is_shut(seat.parts(), Role::Giver) {
                    return Err(Refused::Closed(message));
                }
                if !giver.has_room() {
                    seat.attend();
                    return Err(Refused::Full(message));
                }
                // SAFETY: there is room.
                unsafe {
                    giver.stage(0, message);
                    giver.publish(1);
                }
                filled(ringer, seat);
                seat.attend();
            }
            Self::Ring(ring, seat) => {
                let parts = seat.parts();
                if !Ringed::takes(parts) {
                    return Err(Refused::Closed(message));
                }
                let Some(claim) = ring.claim_to_give() else {
                    seat.attend();
                    return Err(Refused::Full(message));
                };
                ring.give(claim, message);
                parts.head.filled.notify(parts.wakers(Role::Taker));
                seat.attend();
            }
        }
        Ok(())
    }

    /// Takes a place for a message, if there is room: of a ring, the claim to it. Looks after the
    /// dead as well, so that who hands the message over need not.
    #[inline(always)]
    fn reserve(&mut self) -> Result<Option<Claim<T, S>>, Refused<()>> {
        match self {
            Self::Lane(giver, ringer, seat) => {
                if ringer.is_shut(seat.parts(), Role::Giver) {
                    return Err(Refused::Closed(()));
                }
                seat.attend();
                if giver.has_room() { Ok(None) } else { Err(Refused::Full(())) }
            }
            Self::Ring(ring, seat) => {
                if !Ringed::takes(seat.parts()) {
                    return Err(Refused::Closed(()));
                }
                seat.attend();
                ring.claim_to_give().map(Some).ok_or(Refused::Full(()))
            }
        }
    }

    /// Whether what was sent could be received; looks after the dead as well.
    fn is_open(&self) -> bool {
        match self {
            Self::Lane(_, ringer, seat) => {
                seat.attend();
                !ringer.is_shut(seat.parts(), Role::Giver)
            }
            Self::Ring(_, seat) => {
                seat.attend();
                Ringed::takes(seat.parts())
            }
        }
    }

    /// Waits for room; `false`: there was none in time.
    fn wait_for_room(&mut self, deadline: Option<Instant>) -> bool {
        match self {
            Self::Lane(giver, ringer, seat) => {
                let parts = seat.parts();
                let ready = || {
                    seat.attend_in_wait();
                    giver.has_room() || ringer.is_shut(parts, Role::Giver)
                };
                parts.head.freed.wait(deadline, ready)
            }
            Self::Ring(ring, seat) => {
                let parts = seat.parts();
                let ready = || {
                    seat.attend_in_wait();
                    ring.has_room() || !Ringed::takes(parts)
                };
                parts.head.freed.wait(deadline, ready)
            }
        }
    }

    fn poll_for_room(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Lane(giver, ringer, seat) => {
                let parts = seat.parts();
                let cell = &parts.wakers(Role::Giver)[seat.seat()];
                let ready = || {
                    seat.attend_in_wait();
                    giver.has_room() || ringer.is_shut(parts, Role::Giver)
                };
                parts.head.freed.poll(cell, context, ready)
            }
            Self::Ring(ring, seat) => {
                let parts = seat.parts();
                let cell = &parts.wakers(Role::Giver)[seat.seat()];
                let ready = || {
                    seat.attend_in_wait();
                    ring.has_room() || !Ringed::takes(parts)
                };
                parts.head.freed.poll(cell, context, ready)
            }
        }
    }

    /// Drops the oldest message, counts it, and says whether there was one.
    fn drop_oldest(&mut self) -> bool {
        let Self::Ring(ring, seat) = self else { return false };
        let Some(claim) = ring.claim_to_take(|| ()) else { return false };
        ring.skip(claim);
        // Relaxed: a count, which orders nothing.
        seat.parts().head.dropped.fetch_add(1, Ordering::Relaxed);
        true
    }
}

impl<T, S: Carries<T>> Sender<T, S> {
    pub(super) fn attach(channel: &Channel<T, S>, name: Option<&str>) -> Result<Self, AttachError> {
        let end = match &channel.flavour {
            Flavour::Lanes(handle) => {
                let seat = handle.attach_as(Role::Giver, name)?;
                // SAFETY: the seat is ours, and the attachment, kept beside it, keeps the object.
                let giver = unsafe { seat.shape().giver(seat.parts(), seat.seat()) };
                // SAFETY: as above.
                let ringer = unsafe { Ringer::new(&seat.parts().head) };
                End::Lane(giver, ringer, seat)
            }
            Flavour::Ringed(handle) => {
                let seat = handle.attach_as(Role::Giver, name)?;
                // SAFETY: the attachment, kept beside it, keeps the object.
                let ring = unsafe { seat.shape().ring(seat.parts(), Role::Giver, seat.seat()) };
                End::Ring(ring, seat)
            }
        };
        Ok(Self { end, full: channel.config().full, overwritten: 0 })
    }

    /// Sends a message; where there is no room, as [`Config::full`](super::Config::full) has it.
    ///
    /// # Errors
    /// [`SendError`], with the message. In the scope [`Private`](crate::Private) nobody could make
    /// room meanwhile: it says [`SendError::Full`] rather than wait.
    ///
    /// ```
    /// use tautline_bus::{Full, Private, SendError, channel::{Channel, Config}};
    /// let config = Config { capacity: 1, full: Full::Refuse, ..Config::default() };
    /// let channel = Channel::<&str, Private>::new(config)?;
    /// let mut sender = channel.sender()?;
    /// sender.send("first")?;
    /// assert_eq!(sender.send("second"), Err(SendError::Full("second")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline(always)]
    pub fn send(&mut self, message: T) -> Result<(), SendError<T>> {
        match self.end.offer(message) {
            Ok(()) => Ok(()),
            Err(Refused::Full(message)) => self.send_without_room(message),
            Err(Refused::Closed(message)) => Err(SendError::Closed(message)),
        }
    }

    #[cold]
    #[inline(never)]
    fn send_without_room(&mut self, message: T) -> Result<(), SendError<T>> {
        match self.full {
            Full::Refuse => Err(SendError::Full(message)),
            Full::Block(limit) => self.send_until(message, due(limit)),
            Full::Overwrite => self.overwrite(message),
        }
    }

    fn overwrite(&mut self, mut message: T) -> Result<(), SendError<T>> {
        loop {
            self.overwritten += u64::from(self.end.drop_oldest());
            match self.end.offer(message) {
                Ok(()) => return Ok(()),
                Err(Refused::Closed(message)) => return Err(SendError::Closed(message)),
                // The oldest is being read or written just now, or its place was taken at once.
                Err(Refused::Full(back)) if S::OTHERS_RUN => message = back,
                Err(Refused::Full(back)) => return Err(SendError::Full(back)),
            }
            crate::sync::spin_loop();
        }
    }

    /// Messages that this sender has overwritten ([`Full::Overwrite`]), whoever had sent them.
    pub fn overwritten(&self) -> u64 {
        self.overwritten
    }

    /// Sends a message if there is room, whatever the policy.
    ///
    /// # Errors
    /// [`SendError::Full`], [`SendError::Closed`], with the message.
    #[inline(always)]
    pub fn try_send(&mut self, message: T) -> Result<(), SendError<T>> {
        self.end.offer(message).map_err(|refused| match refused {
            Refused::Full(message) => SendError::Full(message),
            Refused::Closed(message) => SendError::Closed(message),
        })
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
            message = match self.end.offer(message) {
                Ok(()) => return Ok(()),
                Err(Refused::Full(message)) => message,
                Err(Refused::Closed(message)) => return Err(SendError::Closed(message)),
            };
            if !self.end.wait_for_room(due) {
                let error = if S::OTHERS_RUN { SendError::TimedOut } else { SendError::Full };
                return Err(error(message));
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
            let sent = self.end.offer(message.take().expect("a message to send"));
            match sent {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(Refused::Closed(back)) => return Poll::Ready(Err(SendError::Closed(back))),
                Err(Refused::Full(back)) => *message = Some(back),
            }
            if self.end.poll_for_room(context).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Sends messages for as long as there is room, and hands them to the receiver all at once
    /// where the sender has a lane of its own. Returns how many; `messages` is asked for no more
    /// than that.
    pub fn send_batch(&mut self, messages: impl IntoIterator<Item = T>) -> usize {
        let messages = messages.into_iter();
        match &mut self.end {
            End::Lane(_, ringer, seat) if ringer.is_shut(seat.parts(), Role::Giver) => 0,
            End::Lane(giver, ringer, seat) => {
                // Room first: a message that was taken out of the iterator could not go back.
                let room = giver.room(messages.size_hint().1.unwrap_or(usize::MAX));
                let mut batch = Batch { giver, ringer, seat, count: 0 };
                batch.stage(messages, room);
                batch.count as usize
            }
            End::Ring(..) => self.send_one_by_one(messages),
        }
    }

    fn send_one_by_one(&mut self, mut messages: impl Iterator<Item = T>) -> usize {
        let mut sent = 0;
        // The place first: a message that was taken out of the iterator could not go back.
        while messages.size_hint().1 != Some(0)
            && let Ok(draft) = self.loan()
            && let Some(message) = messages.next()
        {
            draft.send(message);
            sent += 1;
        }
        sent
    }

    /// Takes a place for a message: sending it can then not fail.
    ///
    /// # Errors
    /// [`SendError::Full`], [`SendError::Closed`]. It does not wait:
    /// see [`Sender::wait_for_room`].
    ///
    /// ```
    /// use tautline_bus::{Private, channel::{Channel, Config}};
    /// let channel = Channel::<[u64; 16], Private>::new(Config::default())?;
    /// let (mut sender, mut receiver) = (channel.sender()?, channel.receiver()?);
    /// let draft = sender.loan()?;
    /// draft.send_with(|place| place.write([7; 16]));   // made where the receiver reads it
    /// assert_eq!(receiver.take()?[15], 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline(always)]
    pub fn loan(&mut self) -> Result<Draft<'_, T, S>, SendError<()>> {
        let claim = self.end.reserve().map_err(|refused| match refused {
            Refused::Full(()) => SendError::Full(()),
            Refused::Closed(()) => SendError::Closed(()),
        })?;
        Ok(Draft { sender: self, claim })
    }

    /// Waits until there is room for a message, at most for `limit`.
    ///
    /// # Errors
    /// [`SendError::TimedOut`], [`SendError::Full`] in the scope [`Private`](crate::Private), where
    /// nobody could make room meanwhile, [`SendError::Closed`].
    pub fn wait_for_room(&mut self, limit: Option<Duration>) -> Result<(), SendError<()>> {
        if !self.end.wait_for_room(due(limit)) {
            return Err(if S::OTHERS_RUN { SendError::TimedOut(()) } else { SendError::Full(()) });
        }
        if self.end.is_open() { Ok(()) } else { Err(SendError::Closed(())) }
    }

    /// What it does when there is no room.
    #[cfg(not(loom))]
    pub(crate) fn full(&self) -> Full {
        self.full
    }

    /// Another handle to the channel.
    pub fn channel(&self) -> Channel<T, S> {
        let flavour = match &self.end {
            End::Lane(.., seat) => Flavour::Lanes(seat.handle()),
            End::Ring(_, seat) => Flavour::Ringed(seat.handle()),
        };
        Channel { flavour }
    }
}

/// Publishes what was staged when it goes, also if making a message has panicked.
struct Batch<'a, T: 'static, S: Carries<T>> {
    giver: &'a mut Giver<T, S>,
    ringer: &'a Ringer<S>,
    seat: &'a Attachment<Lanes<T>, S>,
    /// Messages staged.
    count: u64,
}

impl<T, S: Carries<T>> Batch<'_, T, S> {
    /// Writes messages, for which there is room, row by row.
    #[inline(always)]
    fn stage(&mut self, mut messages: impl Iterator<Item = T>, room: u64) {
        while self.count < room {
            let left = room - self.count;
            // SAFETY: there is room for so many.
            if !unsafe { self.giver.stage_row(&mut self.count, left, &mut messages) } {
                return;
            }
        }
    }
}

impl<T, S: Carries<T>> Drop for Batch<'_, T, S> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: so many were staged.
        unsafe { self.giver.publish(self.count) };
        filled(self.ringer, self.seat);
        self.seat.attend();
    }
}

impl<T, S: Carries<T>> fmt::Debug for Sender<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("scope", &S::NAME).finish_non_exhaustive()
    }
}

// ---------------------------------------------------------------------------------- drafts

/// A place for a message that is taken already. Dropped without a send, nothing is sent.
pub struct Draft<'s, T: 'static, S: Carries<T>> {
    sender: &'s mut Sender<T, S>,
    /// Of a ring, until it is handed over; of a lane it is the next place.
    claim: Option<Claim<T, S>>,
}

impl<T, S: Carries<T>> Draft<'_, T, S> {
    /// Sends a message by it.
    #[inline(always)]
    pub fn send(mut self, message: T) {
        // SAFETY: the place is ours until the message is handed over.
        unsafe { S::put(self.place(), message) };
        self.hand_over();
    }

    /// Sends the message that `make` writes to its place, and of which it returns the reference.
    ///
    /// # Panics
    /// If that is a reference to something else.
    #[inline(always)]
    pub fn send_with(mut self, make: impl FnOnce(&mut MaybeUninit<T>) -> &mut T)
    where
        S: InProcess,
    {
        let place = self.place().to_write();
        // SAFETY: the place is ours until the message is handed over; the borrow ends before.
        let made: *const T = make(unsafe { &mut *place.cast() });
        assert!(std::ptr::eq(made, place), "a draft must be written to its own place");
        self.hand_over();
    }

    #[inline(always)]
    fn place(&self) -> &Place<T> {
        let place = match &self.sender.end {
            End::Lane(giver, ..) => giver.next_place(),
            End::Ring(..) => self.claim.as_ref().expect("handed over once").place(),
        };
        // SAFETY: the sender keeps the object, and, borrowed alone, does not move on while this is there.
        unsafe { place.as_ref() }
    }

    #[inline(always)]
    fn hand_over(&mut self) {
        match &mut self.sender.end {
            End::Lane(giver, ringer, seat) => {
                // SAFETY: `loan` found room, which only this sender uses up, and the message was written.
                unsafe { giver.publish(1) };
                filled(ringer, seat);
            }
            End::Ring(ring, seat) => {
                if let Some(claim) = self.claim.take() {
                    ring.hand_over(claim);
                }
                Ringed::filled(seat.parts());
            }
        }
    }

    /// A position of a ring cannot be given back: it goes to the receivers without a message.
    #[cold]
    #[inline(never)]
    fn hand_over_void(sender: &Sender<T, S>, claim: Claim<T, S>) {
        if let End::Ring(ring, seat) = &sender.end {
            ring.hand_over_void(claim);
            // Whoever waits for a message passes over it, and makes room.
            Ringed::filled(seat.parts());
        }
    }
}

#[cfg(not(loom))]
impl<T: Plain + Layout> Draft<'_, T, Shared> {
    /// The place, to be written piece by piece; as it is sent by [`Draft::send_written`]. What lies
    /// there before is anything.
    ///
    /// ```
    /// use tautline_bus::{OpenError, Shared, channel::{Channel, Config}};
    /// # let namespace = &format!("draft{}", std::process::id());
    /// let books = Channel::<[u64; 8], Shared>::open(namespace, "books", Config::default())?;
    /// let (mut sender, mut receiver) = (books.sender().unwrap(), books.receiver().unwrap());
    /// let mut draft = sender.loan().unwrap();
    /// (0..8).for_each(|at| draft.view_mut().write(at * 8, &(at as u64)));
    /// draft.send_written();
    /// assert_eq!(receiver.take().unwrap().view().read::<u64>(7 * 8), Ok(7));
    /// # Ok::<(), OpenError>(())
    /// ```
    #[inline(always)]
    pub fn view_mut(&mut self) -> ViewMut<'_> {
        let place = NonNull::from(self.place()).cast::<u8>();
        // SAFETY: the place is this sender's, in a segment that it keeps, until it is sent.
        unsafe { ViewMut::new(NonNull::slice_from_raw_parts(place, size_of::<T>())) }
    }

    /// Sends the message as [`Draft::view_mut`] has written it. If that is none of the type, the
    /// receiver is told [`Corrupt`](crate::Corrupt).
    #[inline(always)]
    pub fn send_written(mut self) {
        self.hand_over();
    }
}

impl<T, S: Carries<T>> Drop for Draft<'_, T, S> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(claim) = self.claim.take() {
            Self::hand_over_void(self.sender, claim);
        }
    }
}

impl<T, S: Carries<T>> fmt::Debug for Draft<'_, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Draft")
    }
}
