//! Packet storage shared by all subscribers.
//!
//! A packet is received once into a slot of the [`Pool`] and from then on only referenced: ten
//! thousand queues hold ten thousand [`Packet`]s that all name the same bytes. When the last one is
//! dropped the slot returns to the pool. Nothing is allocated after construction; an empty pool is
//! an answer ([`PoolError::Exhausted`]), not a reason to grow.
//!
//! Each slot keeps room for the RFC 4571 prefix before its payload, so that one slice serves framed
//! and unframed destinations alike.

use core::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use crate::framing::{Framing, MAX_PACKET, PREFIX};
use crate::queue::Wire;
use crate::units::Nanos;

/// Why a packet was not stored. It is lost, and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// Every slot is in use.
    #[error(
        "all {slots} packet slots are in use; \
         shorten the subscribers' queues or raise the number of slots"
    )]
    Exhausted {
        /// Slots of this pool.
        slots: usize,
    },
    /// The packet is larger than a slot.
    #[error("packet of {len} bytes exceeds the slots' {limit}; raise the source's ?size=")]
    TooLong {
        /// Bytes of the packet.
        len: usize,
        /// Bytes that a slot holds.
        limit: usize,
    },
}

/// A fixed number of packet slots.
///
/// ```
/// use tautline_relay::{Nanos, pool::Pool};
/// let pool = Pool::new(2, 1500);
/// let mut claim = pool.claim()?;
/// claim.space(1500)[..5].copy_from_slice(b"hello");
/// let packet = claim.freeze(5, Nanos(17));
/// let shared = packet.clone();
/// assert_eq!((shared.bytes(), shared.arrival()), (&b"hello"[..], Nanos(17)));
/// assert_eq!(pool.free(), 1);
/// drop((packet, shared));
/// assert_eq!(pool.free(), 2);
/// # Ok::<(), tautline_relay::pool::PoolError>(())
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
    /// Prefix and payload. Its capacity, `PREFIX + size`, is allocated once; its length only grows,
    /// to the longest space ever asked for.
    memory: Vec<u8>,
    /// Payload bytes in use.
    len: usize,
    arrival: Nanos,
    home: Weak<Home>,
}

impl Pool {
    /// A pool of `slots` packets of at most `size` bytes (clamped to 1 ..= 65535) each.
    ///
    /// The memory is reserved here, but first written when it is first used, so that a large `size`
    /// costs address space for what it allows and memory for what packets really use.
    #[must_use]
    pub fn new(slots: usize, size: usize) -> Self {
        let size = size.clamp(1, MAX_PACKET);
        let home = Rc::new(Home { free: RefCell::default(), slots, size, exhausted: Cell::new(0) });
        let slot = |_| {
            let mut memory = Vec::with_capacity(PREFIX + size);
            memory.resize(PREFIX, 0);
            Rc::new(Slot { memory, len: 0, arrival: Nanos::default(), home: Rc::downgrade(&home) })
        };
        home.free.replace((0..slots).map(slot).collect());
        Self { home }
    }

    /// Takes an unused slot to write a packet into.
    ///
    /// # Errors
    /// [`PoolError::Exhausted`], and counts it, when every slot is in use.
    pub fn claim(&self) -> Result<Claim, PoolError> {
        let Some(slot) = self.home.free.borrow_mut().pop() else {
            self.home.exhausted.set(self.home.exhausted.get() + 1);
            return Err(PoolError::Exhausted { slots: self.home.slots });
        };
        Ok(Claim(Packet(slot)))
    }

    /// Copies `bytes`, received at `arrival`, into a slot.
    ///
    /// # Errors
    /// [`PoolError::Exhausted`] and counts it; [`PoolError::TooLong`].
    pub fn store(&self, bytes: &[u8], arrival: Nanos) -> Result<Packet, PoolError> {
        if bytes.len() > self.home.size {
            return Err(PoolError::TooLong { len: bytes.len(), limit: self.home.size });
        }
        let mut claim = self.claim()?;
        claim.space(bytes.len()).copy_from_slice(bytes);
        Ok(claim.freeze(bytes.len(), arrival))
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
    /// Room for a payload of `len` bytes (clamped to the slot's size); holds bytes of an earlier
    /// packet until overwritten.
    pub fn space(&mut self, len: usize) -> &mut [u8] {
        let memory = &mut self.slot().memory;
        let end = (PREFIX + len.min(MAX_PACKET)).min(memory.capacity());
        if memory.len() < end {
            memory.resize(end, 0);
        }
        &mut memory[PREFIX..end]
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
        pool.store(bytes, Nanos(0)).expect("the test leaves a slot free")
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
        assert_eq!(pool.claim().err(), Some(PoolError::Exhausted { slots: 2 }));
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

    /// Proves that lengths beyond the slot are clamped where a claim is written, and refused by name
    /// where a packet is given, without taking a slot.
    #[test]
    fn oversized_packets_do_not_fit() {
        let pool = Pool::new(1, 8);
        let mut claim = pool.claim().expect("the only slot is free");
        assert_eq!(claim.space(99).len(), 8);
        assert_eq!(claim.freeze(99, Nanos(0)).bytes().len(), 8);
        let refused = PoolError::TooLong { len: 9, limit: 8 };
        assert_eq!(pool.store(&[0; 9], Nanos(0)).err(), Some(refused));
        assert_eq!((pool.free(), pool.exhausted()), (1, 0));
    }

    /// Proves that a short packet in a slot that held a long one does not show the old bytes.
    #[test]
    fn reused_slot_shows_only_the_new_packet() {
        let pool = Pool::new(1, 8);
        drop(packet(&pool, b"longer"));
        assert_eq!(packet(&pool, b"ab").wire(Framing::Rfc4571), [0, 2, b'a', b'b']);
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
