//! Packet storage shared by all subscribers.
//!
//! A packet is received once into a slot of the [`Pool`] and from then on only referenced: ten
//! thousand queues hold ten thousand [`Packet`]s that all name the same bytes. When the last one is
//! dropped the slot returns to the pool. Nothing is allocated after construction; an empty pool is
//! an answer ([`Exhausted`]), not a reason to grow.
//!
//! Each slot keeps room for the RFC 4571 prefix before its payload, so that one slice serves framed
//! and unframed destinations alike.

use core::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use crate::framing::{Framing, MAX_PACKET, PREFIX};
use crate::queue::Wire;
use crate::units::Nanos;

/// Every slot is in use. The packet that wanted one is lost, and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "all {slots} packet slots are in use; shorten the subscribers' queues or raise the number of slots"
)]
pub struct Exhausted {
    /// Slots of this pool.
    pub slots: usize,
}

/// A fixed number of packet slots.
///
/// ```
/// use tautline_relay::{Nanos, pool::Pool};
/// let pool = Pool::new(2, 1500);
/// let mut slot = pool.claim()?;
/// slot.space()[..5].copy_from_slice(b"hello");
/// let packet = slot.freeze(5, Nanos(17));
/// let shared = packet.clone();
/// assert_eq!((shared.bytes(), shared.arrival()), (&b"hello"[..], Nanos(17)));
/// assert_eq!(pool.free(), 1);
/// drop((packet, shared));
/// assert_eq!(pool.free(), 2);
/// # Ok::<(), tautline_relay::pool::Exhausted>(())
/// ```
#[derive(Debug)]
pub struct Pool {
    home: Rc<Home>,
}

/// Where slots return to. Slots refer to it weakly, so that pool and slots do not keep each other.
#[derive(Debug)]
struct Home {
    /// Unused slots, each the only reference to itself; last in, first out, so that warm memory is
    /// used again first. Allocated for all slots.
    free: RefCell<Vec<Rc<Slot>>>,
    slots: usize,
    /// Largest payload a slot holds.
    size: usize,
    exhausted: Cell<u64>,
}

#[derive(Debug)]
struct Slot {
    /// Prefix and payload: `PREFIX + size` bytes.
    memory: Box<[u8]>,
    /// Payload bytes in use.
    len: usize,
    arrival: Nanos,
    home: Weak<Home>,
}

impl Pool {
    /// A pool of `slots` packets of at most `size` bytes (clamped to 1 ..= 65535) each.
    ///
    /// The memory is reserved here; the system backs it with pages as they are first written, so a
    /// large `size` costs only what packets really use.
    #[must_use]
    pub fn new(slots: usize, size: usize) -> Self {
        let size = size.clamp(1, MAX_PACKET);
        let home = Rc::new(Home {
            free: RefCell::default(),
            slots,
            size,
            exhausted: Cell::new(0),
        });
        let slot = |_| {
            let memory = vec![0; PREFIX + size].into();
            Rc::new(Slot {
                memory,
                len: 0,
                arrival: Nanos::default(),
                home: Rc::downgrade(&home),
            })
        };
        home.free.replace((0..slots).map(slot).collect());
        Self { home }
    }

    /// Takes an unused slot to write a packet into.
    ///
    /// # Errors
    /// [`Exhausted`], and counts it, when every slot is in use.
    pub fn claim(&self) -> Result<Claim, Exhausted> {
        let Some(slot) = self.home.free.borrow_mut().pop() else {
            self.home.exhausted.set(self.home.exhausted.get() + 1);
            return Err(Exhausted {
                slots: self.home.slots,
            });
        };
        Ok(Claim(Packet(slot)))
    }

    /// Slots not in use.
    #[must_use]
    pub fn free(&self) -> usize {
        self.home.free.borrow().len()
    }

    /// All slots, used or not.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.home.slots
    }

    /// Largest payload that a slot holds, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.home.size
    }

    /// Claims refused so far.
    #[must_use]
    pub fn exhausted(&self) -> u64 {
        self.home.exhausted.get()
    }
}

/// A slot that is being written. Dropping it gives the slot back.
#[derive(Debug)]
pub struct Claim(Packet);

impl Claim {
    /// Where the payload goes; holds bytes of an earlier packet until overwritten.
    pub fn space(&mut self) -> &mut [u8] {
        &mut self.slot().memory[PREFIX..]
    }

    /// The finished packet: the first `len` bytes of the space (clamped to it), received at
    /// `arrival`.
    #[must_use]
    pub fn freeze(mut self, len: usize, arrival: Nanos) -> Packet {
        let slot = self.slot();
        slot.len = len.min(slot.memory.len() - PREFIX);
        slot.arrival = arrival;
        let prefix = (slot.len as u16).to_be_bytes();
        slot.memory[..PREFIX].copy_from_slice(&prefix);
        self.0
    }

    /// # Panics
    /// Never: a claimed slot has exactly one strong reference and no weak one.
    fn slot(&mut self) -> &mut Slot {
        Rc::get_mut(&mut self.0.0).expect("a claimed slot is referenced once")
    }
}

/// A reference to a finished packet. Cloning it shares the bytes.
#[derive(Debug, Clone)]
pub struct Packet(Rc<Slot>);

impl Packet {
    /// The payload, without prefix.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.wire(Framing::Raw)
    }

    /// When the packet was received.
    #[must_use]
    pub fn arrival(&self) -> Nanos {
        self.0.arrival
    }

    /// Whether this is the only reference left: nobody else still has to send the packet.
    #[must_use]
    pub fn is_last(&self) -> bool {
        Rc::strong_count(&self.0) == 1
    }
}

impl Wire for Packet {
    fn wire(&self, framing: Framing) -> &[u8] {
        let start = PREFIX - framing.overhead();
        &self.0.memory[start..PREFIX + self.0.len]
    }
}

impl Drop for Packet {
    fn drop(&mut self) {
        if !self.is_last() {
            return;
        }
        if let Some(home) = self.0.home.upgrade() {
            home.free.borrow_mut().push(Rc::clone(&self.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(pool: &Pool, bytes: &[u8]) -> Packet {
        let mut claim = pool.claim().expect("the test leaves a slot free");
        claim.space()[..bytes.len()].copy_from_slice(bytes);
        claim.freeze(bytes.len(), Nanos(0))
    }

    /// Proves that a slot is reused only after its last reference went, whatever the order.
    #[test]
    fn slot_returns_with_its_last_reference() {
        let pool = Pool::new(1, 8);
        let first = packet(&pool, b"first");
        let second = first.clone();
        assert!(!first.is_last());
        drop(first);
        assert_eq!(pool.free(), 0);
        assert_eq!((second.bytes(), second.is_last()), (&b"first"[..], true));
        drop(second);
        assert_eq!(packet(&pool, b"next").bytes(), b"next");
    }

    /// Proves that an exhausted pool refuses by name, counts, and serves again afterwards.
    #[test]
    fn exhaustion_is_refused_and_counted() {
        let pool = Pool::new(2, 8);
        let held = [packet(&pool, b"a"), packet(&pool, b"b")];
        assert_eq!(pool.claim().err(), Some(Exhausted { slots: 2 }));
        assert_eq!(pool.exhausted(), 1);
        drop(held);
        assert!(pool.claim().is_ok());
    }

    /// Proves that an abandoned claim gives its slot back.
    #[test]
    fn abandoned_claim_returns_its_slot() {
        let pool = Pool::new(1, 8);
        drop(pool.claim());
        assert_eq!(pool.free(), 1);
    }

    /// Proves that the framed form is the payload behind its big-endian length, at both extremes.
    #[test]
    fn framed_form_carries_the_length() {
        let pool = Pool::new(2, MAX_PACKET);
        assert_eq!(packet(&pool, b"").wire(Framing::Rfc4571), [0, 0]);
        let largest = packet(&pool, &[7; MAX_PACKET]);
        assert_eq!(largest.wire(Framing::Rfc4571)[..3], [0xff, 0xff, 7]);
        assert_eq!(largest.wire(Framing::Rfc4571).len(), MAX_PACKET + 2);
    }

    /// Proves that a length beyond the slot is clamped rather than trusted.
    #[test]
    fn oversized_freeze_is_clamped() {
        let pool = Pool::new(1, 8);
        let packet = pool.claim().map(|claim| claim.freeze(99, Nanos(0)));
        assert_eq!(packet.map(|p| p.bytes().len()), Ok(8));
    }

    /// Proves that packets stay readable after their pool is gone, and free their memory then.
    #[test]
    fn packets_outlive_their_pool() {
        let pool = Pool::new(1, 8);
        let packet = packet(&pool, b"late");
        drop(pool);
        assert_eq!(packet.bytes(), b"late");
    }
}
