//! A bounded queue in an array: many senders, one receiver, no locks.
//!
//! The algorithm is Dmitry Vyukov's bounded queue ("Bounded MPMC queue", 1024cores.net)
//! with its receiving side reduced to one thread, and with a closing bit. That one
//! thread needs no turn at a slot, so it never writes to one: it says how far it has got
//! in a word of its own, and now and then only. So a sender that has room to go on meets
//! no cache line that the receiver has just written.
//!
//! A position counts up in steps of two, so that its lowest bit is free; position `p`
//! lives in slot `p / 2 % capacity`, whose *stamp* is `p + 1` once it holds the message of
//! position `p`, and anything less before. A sender may claim `p` when the receiver has
//! taken the message one lap before it:
//!
//! ```text
//!        head                     tail
//!          │ taken by the receiver  │ claimed by the next sender
//! ─────────┴────────────────────────┴─────────▶ positions
//!          └ at most 2 * capacity ──┘
//! ```
//!
//! A sender claims a position by moving `tail` on, writes the message and then the
//! stamp. The lowest bit of `tail` is set when the receiver is gone: no position can
//! be claimed from then on, so the receiver knows what it has to drop.

use std::mem::MaybeUninit;

use super::PostError;
use crate::prefetch;
use crate::sync::{Arc, AtomicUsize, Ordering, UnsafeCell, back_off};

/// Set in `tail` once the receiver is gone.
const CLOSED: usize = 1;
/// From one position to the next.
const STEP: usize = 2;

/// So many places before its message is written, a place is fetched from the receiver's core.
const AHEAD: usize = 4;

/// The receiver says how far it has got at least every this part of the capacity.
const PARTS: usize = 8;

/// A queue for up to `capacity` messages, rounded up to a power of two.
pub(crate) fn channel<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let capacity = capacity.max(1).next_power_of_two();
    let slots = (0..capacity)
        .map(|index| Slot {
            stamp: AtomicUsize::new(index * STEP),
            message: UnsafeCell::new(MaybeUninit::uninit()),
        })
        .collect();
    let tail = Line(Tail { next: AtomicUsize::new(0), seen: AtomicUsize::new(0) });
    let ring = Arc::new(Ring { tail, head: Line(AtomicUsize::new(0)), slots });
    let most_untold = (capacity / PARTS).saturating_sub(1) * STEP;
    (Sender { ring: ring.clone() }, Receiver { ring, head: 0, told: 0, most_untold })
}

/// Keeps what it holds off the cache lines of its neighbours: two lines, for
/// processors fetch them in pairs.
#[repr(align(128))]
struct Line<T>(T);

struct Ring<T> {
    tail: Line<Tail>,
    /// Messages below this position have been taken. Written by the receiver alone.
    head: Line<AtomicUsize>,
    /// A power of two of them.
    slots: Box<[Slot<T>]>,
}

/// The senders' side.
struct Tail {
    /// The next position that no sender has claimed, and [`CLOSED`]. Only ever moved by
    /// read-modify-write operations.
    next: AtomicUsize,
    /// What the head was when a sender last had to look: while that leaves room, none
    /// looks again.
    seen: AtomicUsize,
}

/// Two cache lines at least. What is short lies in the first of them, beside the stamp, and
/// is all that travels.
#[repr(C, align(128))]
struct Slot<T> {
    /// Which position's message it holds; see the module.
    stamp: AtomicUsize,
    /// Initialised from the stamp's store until the receiver has taken it.
    message: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: a message is written by the sender that claimed its position and read by the
// one receiver, handed over by the slot's stamp and back by the head; the messages
// themselves are `Send`.
unsafe impl<T: Send> Send for Ring<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Ring<T> {}

impl<T> Ring<T> {
    #[inline]
    fn slot(&self, position: usize) -> &Slot<T> {
        &self.slots[(position / STEP) & (self.slots.len() - 1)]
    }

    /// From the position that a slot holds to the one that it holds next.
    fn lap(&self) -> usize {
        self.slots.len() * STEP
    }
}

/// The sending side; any number of threads may have one.
pub(crate) struct Sender<T> {
    ring: Arc<Ring<T>>,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { ring: self.ring.clone() }
    }
}

impl<T: Send> Sender<T> {
    /// Puts `message` at the end of the queue.
    ///
    /// # Errors
    /// Gives the message back when the queue is full or the receiver gone.
    #[inline]
    pub(crate) fn push(&self, message: T) -> Result<(), PostError<T>> {
        // SAFETY: the place is valid for a message.
        self.push_with(message, |place, message| unsafe { place.write(message) })
    }

    /// The same for a message that `write` makes of `seed` in its place, which is valid for
    /// writing one.
    ///
    /// # Errors
    /// Gives the seed back.
    #[inline]
    pub(crate) fn push_with<S>(
        &self,
        seed: S,
        write: impl FnOnce(*mut T, S),
    ) -> Result<(), PostError<S>> {
        // Relaxed: a stale tail makes the exchange fail; nothing is read through it.
        let mut tail = self.ring.tail.0.next.load(Ordering::Relaxed);
        loop {
            if tail & CLOSED != 0 {
                return Err(PostError::Closed(seed));
            }
            // Acquire pairs with the Release in `look_for_room`, and so with the receiver.
            let seen = self.ring.tail.0.seen.load(Ordering::Acquire);
            if !self.has_room(tail, seen) && !self.look_for_room(tail) {
                return Err(PostError::Full(seed));
            }
            match self.claim(tail) {
                Ok(()) => {
                    publish(self.ring.slot(tail), tail, |place| write(place, seed));
                    let soon = self.ring.slot(tail.wrapping_add(AHEAD * STEP));
                    prefetch::to_write(soon);
                    return Ok(());
                }
                Err(now) => tail = now,
            }
        }
    }

    /// Whether the slot of `tail` is free once all below `head` were taken. A stale tail
    /// may lie below the head.
    #[inline]
    fn has_room(&self, tail: usize, head: usize) -> bool {
        (tail.wrapping_sub(head) as isize) < self.ring.lap() as isize
    }

    /// Asks the receiver how far it has got.
    #[cold]
    fn look_for_room(&self, tail: usize) -> bool {
        // Acquire pairs with the Release in `Receiver::tell`: the receiver has moved the
        // messages of the last lap out before anybody writes over them.
        let head = self.ring.head.0.load(Ordering::Acquire);
        // Release: passes that on. An older head that overwrites a newer one only makes
        // somebody look again.
        self.ring.tail.0.seen.store(head, Ordering::Release);
        self.has_room(tail, head)
    }

    /// Makes `position` ours if it is the next one, else says what the tail is now.
    #[inline]
    fn claim(&self, position: usize) -> Result<(), usize> {
        // Relaxed: it only picks the owner of the slot; the message travels by the stamp.
        self.ring
            .tail
            .0
            .next
            .compare_exchange_weak(
                position,
                position.wrapping_add(STEP),
                Ordering::Relaxed,
                Ordering::Relaxed,
            )
            .map(drop)
    }
}

/// Writes the message of the claimed `position` into its slot and hands it over.
#[inline]
fn publish<T>(slot: &Slot<T>, position: usize, write: impl FnOnce(*mut T)) {
    // The head says that the slot is free for `position`, which this thread alone has
    // claimed; the receiver stays away until the stamp is moved on.
    slot.message.with_mut(|place| write(place.cast()));
    // Release pairs with the Acquire in `Receiver::is_ready`: who sees the stamp sees
    // the message.
    slot.stamp.store(position.wrapping_add(1), Ordering::Release);
}

/// The receiving side. Dropping it closes the queue and drops what is in it.
pub(crate) struct Receiver<T: Send> {
    ring: Arc<Ring<T>>,
    /// The position of the next message to take; even.
    head: usize,
    /// What the senders know of it.
    told: usize,
    /// How far that may lag behind after a message was taken.
    most_untold: usize,
}

impl<T: Send> Receiver<T> {
    /// Takes the oldest message. `None` also while the sender of the oldest one is
    /// still writing it; then the senders know of all places that are free.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<T> {
        if self.is_ready() {
            return Some(self.take());
        }
        if self.told != self.head {
            self.tell();
        }
        None
    }

    /// Tells the senders how far this has got.
    #[inline]
    fn tell(&mut self) {
        self.told = self.head;
        // Release pairs with the Acquire in `Sender::push`: a slot is written again only
        // after its message was moved out.
        self.ring.head.0.store(self.head, Ordering::Release);
    }

    /// Whether [`Receiver::pop`] has something to take.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        // Acquire pairs with the Release in `publish`: the message is there.
        let stamp = self.ring.slot(self.head).stamp.load(Ordering::Acquire);
        stamp == self.head.wrapping_add(1)
    }

    /// Messages in the queue, those included that are being written just now.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        // Relaxed: a hint, old by the time that it is used.
        let tail = self.ring.tail.0.next.load(Ordering::Relaxed) & !CLOSED;
        tail.wrapping_sub(self.head) / STEP
    }

    /// Messages that the queue has room for.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.ring.slots.len()
    }

    /// Moves the message at the head out; [`Receiver::is_ready`] has just said yes.
    #[inline]
    fn take(&mut self) -> T {
        let slot = self.ring.slot(self.head);
        let message = slot.message.with(|place| {
            // SAFETY: the stamp said that the message is written; moving the head on
            // below keeps this thread from reading it again.
            unsafe { place.read().assume_init() }
        });
        self.head = self.head.wrapping_add(STEP);
        if self.head.wrapping_sub(self.told) > self.most_untold {
            self.tell();
        }
        message
    }

    /// Takes the message at the head, which a sender has claimed and may still be writing.
    fn take_claimed(&mut self) -> T {
        let mut attempt = 0;
        while !self.is_ready() {
            back_off(attempt);
            attempt += 1;
        }
        self.take()
    }
}

impl<T: Send> Drop for Receiver<T> {
    fn drop(&mut self) {
        // Relaxed: all that matters is the one order of changes of the tail: positions
        // below `end` are claimed, and no other will be.
        let end = self.ring.tail.0.next.fetch_or(CLOSED, Ordering::Relaxed);
        while self.head != end {
            drop(self.take_claimed());
        }
    }
}
