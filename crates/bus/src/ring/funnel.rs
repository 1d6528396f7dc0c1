//! A ring with any number of givers and one taker, and one order for all.
//!
//! The algorithm is Dmitry Vyukov's bounded queue ("Bounded MPMC queue", 1024cores.net) with its
//! taking side reduced to one thread, and with a closing bit. That one thread needs no turn at a
//! slot, so it never writes to one: it says how far it has got in a word of its own, and now and
//! then only. So a giver that has room to go on meets no cache line that the taker has just
//! written.
//!
//! A position counts up in steps of two, so that its lowest bit is free; position `p` lives in slot
//! `p / 2 % capacity`, whose *stamp* is `p + 1` once it holds the message of position `p`, and
//! anything less before. A giver may claim `p` when the taker has taken the message one lap before
//! it:
//!
//! ```text
//!        head                     tail
//!          │ taken                  │ claimed by the next giver
//! ─────────┴────────────────────────┴─────────▶ positions
//!          └ at most 2 * capacity ──┘
//! ```
//!
//! A giver claims a position by moving `tail` on, writes the message and then the stamp. The lowest
//! bit of `tail` is set when nothing is taken any more: no position can be claimed from then on, so
//! that the taker knows what it has to drop.

use crate::error::CreateError;
use crate::ring::{Line, MAX_CAPACITY};
use crate::scope::{Place, boxed};
use crate::sync::{self, Arc, AtomicU64, Ordering};

/// Set in `tail` once nothing is taken any more.
const CLOSED: u64 = 1;
/// From one position to the next.
const STEP: u64 = 2;

/// So many places before its message is written, a place is fetched from the taker's core.
const AHEAD: u64 = 4;

/// The taker says how far it has got at least every this part of the capacity.
const PARTS: u64 = 8;

/// A ring for up to `capacity` messages, rounded up to a power of two.
pub(crate) fn funnel<T: Send>(
    kind: &'static str,
    capacity: usize,
) -> Result<(Giver<T>, Taker<T>), CreateError> {
    if capacity == 0 || capacity > MAX_CAPACITY {
        return Err(CreateError::Capacity { kind, asked: capacity, limit: MAX_CAPACITY });
    }
    let capacity = capacity.next_power_of_two();
    let slots = boxed(kind, "slots", capacity, |index| Slot {
        stamp: AtomicU64::new(index as u64 * STEP),
        message: Place::empty(),
    })?;
    let tail = Line(Tail { next: AtomicU64::new(0), seen: AtomicU64::new(0) });
    let ring = Arc::new(Funnel { tail, head: Line(AtomicU64::new(0)), slots });
    let most_untold = (capacity as u64 / PARTS).saturating_sub(1) * STEP;
    Ok((Giver { ring: ring.clone() }, Taker { ring, head: 0, told: 0, most_untold }))
}

struct Funnel<T> {
    tail: Line<Tail>,
    /// Messages below this position have been taken. Written by the taker alone.
    head: Line<AtomicU64>,
    /// A power of two of them.
    slots: Box<[Slot<T>]>,
}

/// The givers' side.
struct Tail {
    /// The next position that no giver has claimed, and [`CLOSED`]. Only ever moved by
    /// read-modify-write operations.
    next: AtomicU64,
    /// What the head was when a giver last had to look: while that leaves room, none looks again.
    seen: AtomicU64,
}

/// Two cache lines at least. What is short lies in the first of them, beside the stamp, and is all
/// that travels.
#[repr(C, align(128))]
struct Slot<T> {
    /// Which position's message it holds; see the module.
    stamp: AtomicU64,
    /// Written by the giver that has claimed its position and read by the taker, handed over by the
    /// stamp and back by the head. Initialised from the stamp's store until it was taken.
    message: Place<T>,
}

impl<T> Funnel<T> {
    #[inline]
    fn slot(&self, position: u64) -> &Slot<T> {
        &self.slots[(position / STEP) as usize & (self.slots.len() - 1)]
    }

    /// From the position that a slot holds to the one that it holds next.
    fn lap(&self) -> u64 {
        self.slots.len() as u64 * STEP
    }
}

/// Why a message was not given.
pub(crate) enum Refused<S> {
    /// There was no room.
    Full(S),
    /// Nothing is taken any more.
    Closed(S),
}

/// The giving side; any number of threads may have one.
pub(crate) struct Giver<T> {
    ring: Arc<Funnel<T>>,
}

impl<T> Clone for Giver<T> {
    fn clone(&self) -> Self {
        Self { ring: self.ring.clone() }
    }
}

impl<T: Send> Giver<T> {
    /// Puts the message that `write` makes of `seed` at the end; the seed comes back where that is
    /// refused.
    ///
    /// # Safety
    /// `write` writes a message to the place that it is given, which is valid for that, and does
    /// not unwind: the place is claimed, and the taker would wait for it for ever.
    #[inline]
    pub(crate) unsafe fn give_with<S>(
        &self,
        seed: S,
        write: impl FnOnce(*mut T, S),
    ) -> Result<(), Refused<S>> {
        // Relaxed: a stale tail makes the exchange fail; nothing is read through it.
        let mut tail = self.ring.tail.0.next.load(Ordering::Relaxed);
        loop {
            if tail & CLOSED != 0 {
                return Err(Refused::Closed(seed));
            }
            // Acquire pairs with the Release in `look_for_room`, and so with the taker.
            let seen = self.ring.tail.0.seen.load(Ordering::Acquire);
            if !self.has_room(tail, seen) && !self.look_for_room(tail) {
                return Err(Refused::Full(seed));
            }
            match self.claim(tail) {
                Ok(()) => {
                    publish(self.ring.slot(tail), tail, |place| write(place, seed));
                    sync::prefetch_to_write(self.ring.slot(tail.wrapping_add(AHEAD * STEP)));
                    return Ok(());
                }
                Err(now) => tail = now,
            }
        }
    }

    /// Whether the slot of `tail` is free once all below `head` were taken. A stale tail may lie
    /// below the head.
    #[inline]
    fn has_room(&self, tail: u64, head: u64) -> bool {
        (tail.wrapping_sub(head) as i64) < self.ring.lap() as i64
    }

    /// Asks the taker how far it has got.
    #[cold]
    fn look_for_room(&self, tail: u64) -> bool {
        // Acquire pairs with the Release in `Taker::tell`: the taker has moved the messages of the
        // last lap out before anybody writes over them.
        let head = self.ring.head.0.load(Ordering::Acquire);
        // Release: passes that on. An older head that overwrites a newer one only makes somebody
        // look again.
        self.ring.tail.0.seen.store(head, Ordering::Release);
        self.has_room(tail, head)
    }

    /// Makes `position` ours if it is the next one, else says what the tail is now.
    #[inline]
    fn claim(&self, position: u64) -> Result<(), u64> {
        let next = position.wrapping_add(STEP);
        let tail = &self.ring.tail.0.next;
        // Relaxed: it only picks the owner of the slot; the message travels by the stamp.
        tail.compare_exchange_weak(position, next, Ordering::Relaxed, Ordering::Relaxed).map(drop)
    }
}

/// Writes the message of the claimed `position` into its slot and hands it over.
#[inline]
fn publish<T>(slot: &Slot<T>, position: u64, write: impl FnOnce(*mut T)) {
    // The head says that the slot is free for `position`, which this thread alone has claimed; the
    // taker stays away until the stamp is moved on.
    slot.message.fill(write);
    // Release pairs with the Acquire in `Taker::is_ready`: who sees the stamp sees the message.
    slot.stamp.store(position.wrapping_add(1), Ordering::Release);
}

/// The taking side. Dropping it closes the ring and drops what is in it.
pub(crate) struct Taker<T: Send> {
    ring: Arc<Funnel<T>>,
    /// The position of the next message to take; even.
    head: u64,
    /// What the givers know of it.
    told: u64,
    /// How far that may lag behind after a message was taken.
    most_untold: u64,
}

impl<T: Send> Taker<T> {
    /// Takes the oldest message. `None` also while the giver of the oldest one is still writing it;
    /// then the givers know of all places that are free.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<T> {
        if self.is_ready() {
            return Some(self.take_ready());
        }
        if self.told != self.head {
            self.tell();
        }
        None
    }

    /// Tells the givers how far this has got.
    #[inline]
    fn tell(&mut self) {
        self.told = self.head;
        // Release pairs with the Acquire in `look_for_room`: a slot is written again only after its
        // message was moved out.
        self.ring.head.0.store(self.head, Ordering::Release);
    }

    /// Whether [`Taker::take`] has something to take.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        // Acquire pairs with the Release in `publish`: the message is there.
        let stamp = self.ring.slot(self.head).stamp.load(Ordering::Acquire);
        stamp == self.head.wrapping_add(1)
    }

    /// Messages in the ring, those included that are being written just now: a hint.
    pub(crate) fn len(&self) -> usize {
        // Relaxed: old by the time that it is used.
        let tail = self.ring.tail.0.next.load(Ordering::Relaxed) & !CLOSED;
        (tail.wrapping_sub(self.head) / STEP) as usize
    }

    /// Messages that the ring has room for.
    pub(crate) fn capacity(&self) -> usize {
        self.ring.slots.len()
    }

    /// Moves the message at the head out; [`Taker::is_ready`] has just said yes.
    #[inline]
    fn take_ready(&mut self) -> T {
        // SAFETY: the stamp has said that the message is written; moving the head on below keeps
        // this thread from reading it again.
        let message = unsafe { self.ring.slot(self.head).message.read() };
        self.head = self.head.wrapping_add(STEP);
        if self.head.wrapping_sub(self.told) > self.most_untold {
            self.tell();
        }
        message
    }

    /// Lets nothing be given any more, and takes the oldest message of those that were; waits for
    /// the giver of one that is still being written.
    pub(crate) fn take_the_rest(&mut self) -> Option<T> {
        // Relaxed: all that matters is the one order of changes of the tail: positions below `end`
        // are claimed, and no other will be.
        let end = self.ring.tail.0.next.fetch_or(CLOSED, Ordering::Relaxed) & !CLOSED;
        if self.head == end {
            return None;
        }
        let mut attempt = 0;
        while !self.is_ready() {
            sync::back_off(attempt);
            attempt += 1;
        }
        Some(self.take_ready())
    }
}

impl<T: Send> Drop for Taker<T> {
    fn drop(&mut self) {
        while self.take_the_rest().is_some() {}
    }
}
