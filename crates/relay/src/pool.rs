//! Packet storage shared by all subscribers.
//!
//! A packet is received once into a slot of the [`Pool`] and from then on only referenced: ten
//! thousand queues hold ten thousand [`Run`]s that all name the same bytes. When the last one is
//! dropped the slot returns to the pool. Nothing is allocated per packet; an empty pool is
//! an answer ([`PoolError::Exhausted`]), not a reason to grow.
//!
//! Packets that came joined stay so: they share a slot, and a run of them passes the queues as one
//! entry as long as all of it fits. A slot is in use as long as one of its packets is.
//!
//! Each slot keeps room for the RFC 4571 prefix before its payload, so that one slice serves framed
//! and unframed destinations alike.

use core::cell::{Cell, RefCell, RefMut};
use core::ops::Range;
use std::rc::{Rc, Weak};

use tautline_runtime::Place;

use crate::framing::{Framing, MAX_PACKET, PREFIX};
use crate::queue::Wire;
use crate::stats::Latencies;
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

/// The system does not grant the memory, or the address space, for a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the system does not grant {slots} packet slots of {size} bytes; \
     lower the number of slots, or raise the limit on address space (`ulimit -v`)"
)]
pub struct NoMemory {
    /// Slots asked for.
    pub slots: usize,
    /// Bytes of each.
    pub size: usize,
}

/// A fixed number of packet slots.
///
/// ```
/// use tautline_relay::{Nanos, pool::Pool};
/// let pool = Pool::new(2, 1500)?;
/// let mut claim = pool.claim()?;
/// claim.space(1500)[..5].copy_from_slice(b"hello");
/// let packet = claim.freeze(5, Nanos(17));
/// let shared = packet.clone();
/// assert_eq!((shared.bytes(), shared.arrival()), (&b"hello"[..], Nanos(17)));
/// assert_eq!(pool.free(), 1);
/// drop((packet, shared));
/// assert_eq!(pool.free(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
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
    latencies: RefCell<Latencies>,
}

/// One of several packets of a slot.
#[derive(Debug, Clone)]
struct Part {
    /// References to it; to a single packet they are those to the slot.
    holders: Cell<u32>,
    /// When it was sent last; 0 as long as nobody has sent it.
    sent: Cell<Nanos>,
}

#[derive(Debug)]
struct Slot {
    /// Room for a prefix, then for payload: `PREFIX + size` bytes, allocated once.
    memory: Place,
    /// Payload bytes in use.
    len: usize,
    /// Payload bytes of each packet but the last, which may be shorter; at least 1.
    segment: usize,
    /// Packets that it holds, at least 1.
    packets: u16,
    /// Prefixes of a packet of `segment` bytes and of the last one.
    prefixes: [[u8; PREFIX]; 2],
    /// What is known of each packet, if there are several. None while the slot is being written.
    parts: Vec<Part>,
    /// When a single packet was sent last; 0 as long as nobody has sent it.
    sent: Cell<Nanos>,
    arrival: Nanos,
    /// It came as text, and leaves so where the two differ.
    text: bool,
    home: Weak<Home>,
}

impl Pool {
    /// A pool of `slots` packets of at most `size` bytes (clamped to 1 ..= 65535) each.
    ///
    /// The memory is reserved here, but first written when it is first used, so that a large `size`
    /// costs address space for what it allows and memory for what packets really use.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn new(slots: usize, size: usize) -> Result<Self, NoMemory> {
        let size = size.clamp(1, MAX_PACKET);
        let home = Rc::new(Home {
            free: RefCell::default(),
            slots,
            size,
            exhausted: Cell::new(0),
            latencies: RefCell::default(),
        });
        let slot = |memory| {
            Rc::new(Slot {
                memory,
                len: 0,
                segment: 1,
                packets: 1,
                prefixes: [[0; PREFIX]; 2],
                parts: Vec::new(),
                sent: Cell::default(),
                arrival: Nanos::default(),
                text: false,
                home: Rc::downgrade(&home),
            })
        };
        let places =
            tautline_runtime::places(slots, PREFIX + size).map_err(|_| NoMemory { slots, size })?;
        home.free.replace(places.into_iter().rev().map(slot).collect());
        Ok(Self { home })
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
        let mut claim = Claim(Run { slot, first: 0, count: 1 });
        claim.slot().parts.clear();
        claim.slot().text = false;
        claim.slot().sent.set(Nanos::default());
        Ok(claim)
    }

    /// Copies `bytes`, received at `arrival`, into a slot.
    ///
    /// # Errors
    /// [`PoolError::Exhausted`] and counts it; [`PoolError::TooLong`].
    pub fn store(&self, bytes: &[u8], arrival: Nanos) -> Result<Run, PoolError> {
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

    /// How long packets took from their arrival to their last send, as far as nobody refers to them
    /// any more. To be given back before the next packet is dropped.
    #[must_use]
    pub fn latencies(&self) -> RefMut<'_, Latencies> {
        self.home.latencies.borrow_mut()
    }

    /// Claims refused so far.
    #[must_use]
    pub fn exhausted(&self) -> u64 {
        self.home.exhausted.get()
    }
}

impl Home {
    /// Packets that came at `arrival` are over, each sent last at one of `sent`; most of them
    /// together.
    fn record(&self, arrival: Nanos, sent: impl Iterator<Item = Nanos>) {
        let (mut time, mut packets) = (Nanos::default(), 0);
        for sent in sent.filter(|&sent| sent != Nanos::default()).chain([Nanos::default()]) {
            if sent != time && packets > 0 {
                self.latencies.borrow_mut().record(arrival, time, packets);
                packets = 0;
            }
            (time, packets) = (sent, packets + 1);
        }
    }
}

/// A slot that is being written. Dropping it gives the slot back.
#[derive(Debug)]
pub struct Claim(Run);

impl Claim {
    /// Room for a payload of `len` bytes (clamped to the slot's size); holds bytes of an earlier
    /// packet until overwritten.
    pub fn space(&mut self, len: usize) -> &mut [u8] {
        let memory = &mut self.slot().memory;
        let end = PREFIX + len.min(memory.len() - PREFIX);
        &mut memory[PREFIX..end]
    }

    /// Notes that the packet came as text.
    pub fn mark_text(&mut self) {
        self.slot().text = true;
    }

    /// The finished packet: the first `len` bytes of the space (clamped to it), received at
    /// `arrival`.
    #[must_use]
    pub fn freeze(self, len: usize, arrival: Nanos) -> Run {
        self.freeze_joined(len, len, arrival)
    }

    /// The same for packets of `segment` bytes each, the last one maybe shorter, that lie one
    /// behind the other.
    ///
    /// The first time that a slot holds so many packets it allocates 16 bytes for each.
    #[must_use]
    pub fn freeze_joined(mut self, len: usize, segment: usize, arrival: Nanos) -> Run {
        let slot = self.slot();
        slot.hold(len, segment);
        slot.arrival = arrival;
        self.0.count = self.0.slot.packets;
        self.0
    }

    /// # Panics
    /// Never: a claimed slot has exactly one strong reference and no weak one.
    fn slot(&mut self) -> &mut Slot {
        Rc::get_mut(&mut self.0.slot).expect("a claimed slot is referenced once")
    }
}

impl Slot {
    /// Notes what lies in the memory.
    fn hold(&mut self, len: usize, segment: usize) {
        self.len = len.min(self.memory.len() - PREFIX);
        self.segment = segment.clamp(1, self.len.max(1));
        let packets = self.len.div_ceil(self.segment).max(1);
        // A slot holds at most 65,535 bytes, and each packet of several has one.
        self.packets = packets as u16;
        let last = self.len - (packets - 1) * self.segment;
        self.prefixes = [self.segment.min(self.len), last].map(|len| (len as u16).to_be_bytes());
        let first = self.prefixes[usize::from(packets == 1)];
        self.memory[..PREFIX].copy_from_slice(&first);
        if packets > 1 {
            self.parts.resize(packets, Part { holders: Cell::new(1), sent: Cell::default() });
        }
    }

    /// Where the payload of the packets from `first` on lies.
    fn place(&self, first: usize, count: usize) -> Range<usize> {
        let start = first * self.segment;
        PREFIX + start..PREFIX + self.len.min(start + count * self.segment)
    }
}

/// A reference to a finished packet, or to several of one length that came joined, the last one
/// maybe shorter. Cloning it shares the bytes.
#[derive(Debug)]
pub struct Run {
    slot: Rc<Slot>,
    /// The packets of the slot that it refers to; at least one.
    first: u16,
    count: u16,
}

impl Run {
    /// The payload of all packets, without prefixes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        let (first, count) = self.range();
        &self.slot.memory[self.slot.place(first, count)]
    }

    /// Payload bytes of each packet but the last, which may be shorter.
    #[must_use]
    pub fn segment(&self) -> usize {
        if self.count == 1 { self.bytes().len() } else { self.slot.segment }
    }

    /// Whether the packet came as text.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.slot.text
    }

    /// When the packets were received.
    #[must_use]
    pub fn arrival(&self) -> Nanos {
        self.slot.arrival
    }

    /// Somebody has sent its packets at `now`. The last time counts as the end of a packet's way
    /// once nobody refers to it any more, whether the others have sent it or dropped it.
    pub fn note_sent(&self, now: Nanos) {
        match self.parts() {
            [] => self.slot.sent.set(now),
            parts => parts.iter().for_each(|part| part.sent.set(now)),
        }
    }

    fn range(&self) -> (usize, usize) {
        (usize::from(self.first), usize::from(self.count))
    }

    /// Each of its packets; nothing for one that came alone.
    fn parts(&self) -> &[Part] {
        let (first, count) = self.range();
        self.slot.parts.get(first..first + count).unwrap_or_default()
    }

    /// One packet as it goes over a stream under RFC 4571: the first packet of a slot lies behind
    /// its prefix, that of another lies elsewhere.
    fn framed(&self, at: usize) -> [&[u8]; 2] {
        let slot = &*self.slot;
        let body = slot.place(at, 1);
        if at == 0 {
            return [&slot.memory[..body.end], &[]];
        }
        let is_last = at + 1 == usize::from(slot.packets);
        [&slot.prefixes[usize::from(is_last)], &slot.memory[body]]
    }
}

impl Wire for Run {
    fn packets(&self) -> usize {
        usize::from(self.count)
    }

    fn wire_len(&self, packets: usize, framing: Framing) -> usize {
        let packets = packets.min(self.packets());
        let place = self.slot.place(usize::from(self.first), packets);
        place.len() + packets * framing.overhead()
    }

    fn split_front(&mut self, packets: usize) -> Self {
        let count = packets.clamp(1, self.packets() - 1) as u16;
        let front = Self { slot: Rc::clone(&self.slot), first: self.first, count };
        (self.first, self.count) = (self.first + count, self.count - count);
        front
    }

    fn wire(&self, framing: Framing) -> impl Iterator<Item = &[u8]> {
        let (first, count) = self.range();
        let (raw, framed) = match framing {
            Framing::Raw => (self.bytes(), 0..0),
            Framing::Rfc4571 => (&[][..], first..first + count),
        };
        let framed = framed.flat_map(|at| self.framed(at));
        std::iter::once(raw).chain(framed).filter(|part| !part.is_empty())
    }
}

impl Clone for Run {
    fn clone(&self) -> Self {
        self.parts().iter().for_each(|part| part.holders.set(part.holders.get() + 1));
        Self { slot: Rc::clone(&self.slot), first: self.first, count: self.count }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let parts = self.parts();
        parts.iter().for_each(|part| part.holders.set(part.holders.get() - 1));
        let is_last = Rc::strong_count(&self.slot) == 1;
        if parts.is_empty() && !is_last {
            return;
        }
        let Some(home) = self.slot.home.upgrade() else { return };
        let over = parts.iter().filter(|part| part.holders.get() == 0);
        home.record(self.arrival(), over.map(|part| part.sent.get()));
        if is_last {
            home.record(self.arrival(), [self.slot.sent.get()].into_iter());
            home.free.borrow_mut().push(Rc::clone(&self.slot));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(pool: &Pool, bytes: &[u8]) -> Run {
        pool.store(bytes, Nanos(0)).expect("the test leaves a slot free")
    }

    fn framed(run: &Run) -> Vec<&[u8]> {
        run.wire(Framing::Rfc4571).collect()
    }

    fn joined(pool: &Pool, bytes: &[u8], segment: usize) -> Run {
        let mut claim = pool.claim().expect("the test leaves a slot free");
        claim.space(bytes.len()).copy_from_slice(bytes);
        claim.freeze_joined(bytes.len(), segment, Nanos(0))
    }

    /// Proves that joined packets have each its own length on a stream, whole and divided at every
    /// place, and that together they are the bytes that came.
    #[test]
    fn joined_packets_divide_anywhere() {
        let pool = Pool::new(1, 8).unwrap();
        for (bytes, segment) in [(&b"aabbc"[..], 2), (b"aabb", 2), (b"abcde", 1), (b"abc", 9)] {
            let packets: Vec<_> = bytes.chunks(segment).collect();
            let wire = |packets: &[&[u8]]| -> Vec<u8> {
                let framed = |packet: &&[u8]| [&[0, packet.len() as u8], *packet].concat();
                packets.iter().flat_map(framed).collect()
            };
            for at in 1..packets.len() {
                let mut back = joined(&pool, bytes, segment);
                assert_eq!(
                    (back.packets(), framed(&back).concat()),
                    (packets.len(), wire(&packets))
                );
                assert_eq!(back.wire_len(at, Framing::Rfc4571), wire(&packets[..at]).len());
                let front = back.split_front(at);
                assert_eq!((front.packets(), back.packets()), (at, packets.len() - at));
                assert_eq!(framed(&front).concat(), wire(&packets[..at]));
                assert_eq!(framed(&back).concat(), wire(&packets[at..]));
                assert_eq!([front.bytes(), back.bytes()].concat(), bytes);
                assert_eq!((front.segment(), back.segment()), (segment, packets[at].len()));
            }
            assert_eq!(joined(&pool, bytes, segment).wire(Framing::Raw).next(), Some(bytes));
        }
    }

    /// Proves that each of joined packets counts once, from its arrival to its last send, when the
    /// last reference to it goes, sent or not, that one that nobody sent does not count, and that
    /// the slot returns with the last of them.
    #[test]
    fn joined_packets_are_held_and_timed_one_by_one() {
        let pool = Pool::new(1, 8).unwrap();
        let taken = || {
            let points = pool.latencies().sample();
            (points.count, points.max_ns)
        };
        let mut back = joined(&pool, b"abcd", 1);
        let mut stuck = back.clone();
        let mut front = back.split_front(3);
        front.note_sent(Nanos(7));
        drop(front.split_front(1));
        assert_eq!(taken(), (0, 0), "somebody may still send it");
        drop(stuck.split_front(2));
        assert_eq!(taken(), (1, 7));
        front.note_sent(Nanos(9));
        drop(front);
        assert_eq!(taken(), (1, 9));
        drop(stuck);
        assert_eq!((taken(), pool.free()), ((1, 9), 0));
        drop(back);
        assert_eq!((taken(), pool.free()), ((0, 0), 1), "nobody has sent it");
    }

    /// Proves that a single packet that one sends and another one drops has taken the time to its
    /// send, that one that several send has taken that to the last, and that the next packet of the
    /// slot begins anew.
    #[test]
    fn single_packets_are_timed_to_their_last_send() {
        let pool = Pool::new(1, 8).unwrap();
        for (first, second) in [(Some(5), None), (Some(5), Some(6)), (None, None)] {
            let one = packet(&pool, b"a");
            let other = one.clone();
            first.into_iter().for_each(|at| one.note_sent(Nanos(at)));
            drop(one);
            assert_eq!(pool.latencies().sample().count, 0);
            second.into_iter().for_each(|at| other.note_sent(Nanos(at)));
            drop(other);
            let points = pool.latencies().sample();
            let sent = second.or(first);
            assert_eq!(
                (points.count, points.max_ns),
                (u64::from(sent.is_some()), sent.unwrap_or(0))
            );
        }
    }

    /// Proves that a slot is reused only after its last reference went, whatever the order.
    #[test]
    fn slot_returns_with_its_last_reference() {
        let pool = Pool::new(1, 8).unwrap();
        let first = packet(&pool, b"first");
        let second = first.clone();
        drop(first);
        assert_eq!(pool.free(), 0);
        assert_eq!(second.bytes(), b"first");
        drop(second);
        assert_eq!(packet(&pool, b"next").bytes(), b"next");
    }

    /// Proves that an exhausted pool refuses by name, counts, and serves again afterwards.
    #[test]
    fn exhaustion_is_refused_and_counted() {
        let pool = Pool::new(2, 8).unwrap();
        let held = [packet(&pool, b"a"), packet(&pool, b"b")];
        assert_eq!(pool.claim().err(), Some(PoolError::Exhausted { slots: 2 }));
        assert_eq!(pool.exhausted(), 1);
        drop(held);
        assert!(pool.claim().is_ok());
    }

    /// Proves that an abandoned claim gives its slot back.
    #[test]
    fn abandoned_claim_returns_its_slot() {
        let pool = Pool::new(1, 8).unwrap();
        drop(pool.claim());
        assert_eq!(pool.free(), 1);
    }

    /// Proves that the framed form is the payload behind its big-endian length, at both extremes.
    #[test]
    fn framed_form_carries_the_length() {
        let pool = Pool::new(2, MAX_PACKET).unwrap();
        assert_eq!(framed(&packet(&pool, b"")), [[0, 0]]);
        let largest = packet(&pool, &[7; MAX_PACKET]);
        let wire = framed(&largest).concat();
        assert_eq!((&wire[..3], wire.len()), (&[0xff, 0xff, 7][..], MAX_PACKET + 2));
        assert_eq!(largest.wire_len(1, Framing::Rfc4571), wire.len());
    }

    /// Proves that lengths beyond the slot are clamped where a claim is written, and refused by name
    /// where a packet is given, without taking a slot.
    #[test]
    fn oversized_packets_do_not_fit() {
        let pool = Pool::new(1, 8).unwrap();
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
        let pool = Pool::new(1, 8).unwrap();
        drop(packet(&pool, b"longer"));
        assert_eq!(framed(&packet(&pool, b"ab")), [[0, 2, b'a', b'b']]);
    }

    /// Proves that packets stay readable after their pool is gone, and free their memory then.
    #[test]
    fn packets_outlive_their_pool() {
        let pool = Pool::new(1, 8).unwrap();
        let packet = packet(&pool, b"late");
        drop(pool);
        assert_eq!(packet.bytes(), b"late");
    }
}
