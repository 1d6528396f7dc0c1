//! What a peer hands out of its read buffers.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;

use tautline_bus::Local;
use tautline_bus::pool::Buffer;
use tautline_runtime::{Arrival, Envelope, Landed};

use super::Interface;

/// A datagram in the buffer that it was received into, which belongs to whoever has this: it may
/// be kept, sent to another thread, and goes back to its region when it is dropped. It
/// dereferences to its bytes. What was not [asked for](super::Options::details) is `None`.
pub struct Received {
    /// Its bytes, where the kernel has put them.
    pub buffer: Buffer<[u8], Local>,
    /// Who sent it.
    pub source: Option<SocketAddr>,
    /// The group that it was sent to.
    pub destination: Option<IpAddr>,
    /// The interface that it came by.
    pub interface: Option<Interface>,
    /// How many networks it might still have crossed.
    pub hops: Option<u8>,
    /// When it arrived.
    pub arrival: Option<Arrival>,
    /// How many datagrams the socket had dropped by then for want of room; Linux says nothing
    /// as long as there are none.
    pub dropped: Option<u32>,
    /// It was longer than the buffer; the rest is lost.
    pub truncated: bool,
    /// Bytes of each datagram that it consists of.
    segment: usize,
}

/// What a handler of read buffers is called with.
#[derive(Debug)]
pub enum ReadEvent {
    /// A datagram.
    Datagram(Received),
    /// There is no buffer to receive to, be a datagram there or not: reading rests until one is
    /// named, or comes back to the region. What arrives meanwhile is the kernel's to keep, and
    /// what it cannot keep its counter tells. Not told again before a datagram was received.
    Exhausted,
}

impl Received {
    pub(super) fn new(
        buffer: Buffer<[u8], Local>,
        landed: Landed,
        envelope: &Envelope<'_>,
    ) -> Self {
        Self {
            buffer,
            source: envelope.source(),
            destination: envelope.destination(),
            interface: envelope.interface().map(Interface::of_index),
            hops: envelope.hops(),
            arrival: envelope.arrival(),
            dropped: envelope.dropped(),
            truncated: landed.truncated,
            segment: landed.segment,
        }
    }

    /// The datagrams that it consists of: itself, unless the kernel joined several, as
    /// [`receive_offload`](super::Options::receive_offload) allows it to.
    pub fn segments(&self) -> impl Iterator<Item = &[u8]> {
        let whole = self.buffer.is_empty().then_some(&[][..]);
        whole.into_iter().chain(self.buffer.chunks(self.segment.max(1)))
    }
}

impl Deref for Received {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("len", &self.buffer.len())
            .field("source", &self.source)
            .field("destination", &self.destination)
            .field("interface", &self.interface)
            .field("hops", &self.hops)
            .field("arrival", &self.arrival)
            .field("dropped", &self.dropped)
            .field("truncated", &self.truncated)
            .finish_non_exhaustive()
    }
}
