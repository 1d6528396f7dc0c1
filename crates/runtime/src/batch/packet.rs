//! One datagram of a batch.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use socket2::SockAddr;

use super::envelope::{Arrival, Envelope, Told};

/// What is known of one datagram of a batch.
#[derive(Clone, Copy, Default)]
pub(super) struct Entry {
    pub(super) len: usize,
    /// Bytes of each datagram that this one is to be divided into; 0: it was received, and
    /// what came with it tells, or it is one.
    pub(super) segment: u16,
    pub(super) truncated: bool,
    /// Bytes of its address; 0: it has none.
    pub(super) name_len: libc::socklen_t,
    /// What came with it.
    pub(super) told: Told,
}

/// One datagram of a batch.
#[derive(Clone, Copy)]
pub struct Packet<'b> {
    /// Its bytes. With receive offload, those of several datagrams of one flow: see
    /// [`segments`](Self::segments).
    pub bytes: &'b [u8],
    entry: &'b Entry,
    envelope: Envelope<'b>,
}

impl<'b> Packet<'b> {
    /// `name` holds the address that `entry` tells of.
    #[inline]
    pub(super) fn new(bytes: &'b [u8], entry: &'b Entry, name: &'b libc::sockaddr_storage) -> Self {
        Self { bytes, entry, envelope: Envelope::new(name, entry.name_len, &entry.told) }
    }

    /// It was longer than its place in the batch; the rest is lost.
    pub fn truncated(&self) -> bool {
        self.entry.truncated
    }

    /// The datagrams that it consists of: itself, unless the kernel joined several.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = &'b [u8]> + use<'b> {
        let bytes = self.bytes;
        let size = match self.segment() {
            0 => bytes.len().max(1),
            segment => usize::from(segment),
        };
        let count = bytes.len().div_ceil(size).max(1);
        (0..count).map(move |at| &bytes[at * size..bytes.len().min((at + 1) * size)])
    }

    /// Bytes of each datagram that it consists of; 0: it is one.
    pub(super) fn segment(&self) -> u16 {
        match self.entry.segment {
            0 => self.envelope.segment(),
            segment => segment,
        }
    }

    /// Whom it came from, or is to go to, where that is an IP address.
    #[inline]
    pub fn source(&self) -> Option<SocketAddr> {
        self.envelope.source()
    }

    /// The same for any sort of address.
    pub fn address(&self) -> Option<SockAddr> {
        self.envelope.address()
    }

    /// To which address it was sent, the group if it was sent to one, as far as that was
    /// [asked for](super::Details::destination).
    #[inline]
    pub fn destination(&self) -> Option<IpAddr> {
        self.envelope.destination()
    }

    /// The index of the interface that it came by, as far as its destination was asked for.
    #[inline]
    pub fn interface(&self) -> Option<u32> {
        self.envelope.interface()
    }

    /// How many networks it might still have crossed, as far as that was
    /// [asked for](super::Details::hops).
    #[inline]
    pub fn hops(&self) -> Option<u8> {
        self.envelope.hops()
    }

    /// When it arrived, as far as that was [asked for](super::Details::time).
    #[inline]
    pub fn arrival(&self) -> Option<Arrival> {
        self.envelope.arrival()
    }

    /// How many datagrams the socket had dropped when this one was taken in, since it was
    /// made, as far as that was [asked for](super::Details::drops). Linux says nothing as
    /// long as there are none.
    #[inline]
    pub fn dropped(&self) -> Option<u32> {
        self.envelope.dropped()
    }

    /// All that came with it.
    pub fn envelope(&self) -> Envelope<'b> {
        self.envelope
    }
}

impl fmt::Debug for Packet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packet")
            .field("len", &self.bytes.len())
            .field("source", &self.source())
            .field("truncated", &self.truncated())
            .finish_non_exhaustive()
    }
}
