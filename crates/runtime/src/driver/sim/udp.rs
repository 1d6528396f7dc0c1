//! A datagram socket's own state. Pure: no time, no chance.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;

use super::groups::Memberships;
use super::names::Name;
use super::world::SocketId;
use super::{Received, Stop};
use crate::time::Instant;

/// The largest payload of a datagram over IPv4.
pub(super) const LARGEST: usize = 65_507;
/// What a datagram takes of a buffer besides its bytes.
const OVERHEAD: usize = 64;

/// A datagram that has arrived.
#[derive(Clone, Debug)]
pub(super) struct Datagram {
    pub(super) source: Name,
    pub(super) bytes: Vec<u8>,
    /// `None` between Unix sockets.
    pub(super) arrived: Option<Arrived>,
}

/// How a datagram has arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Arrived {
    pub(super) destination: IpAddr,
    pub(super) interface: u32,
    /// What it had left.
    pub(super) hops: u8,
    pub(super) at: Instant,
    /// How many the socket had dropped until then.
    pub(super) dropped: u32,
}

/// A datagram socket's own state.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    queue: VecDeque<Datagram>,
    /// What `queue` takes, in bytes.
    charged: usize,
    /// To whom it is connected.
    pub(super) peer: Option<Name>,
    /// Told once, by whatever is tried next.
    pub(super) error: Option<i32>,
    /// What own datagrams under way take, in bytes.
    pub(super) in_flight: usize,
    /// Unix sockets that wait for room in `queue`.
    pub(super) waiting: BTreeSet<SocketId>,
    /// What it has joined.
    pub(super) groups: Memberships,
    /// How many datagrams found no room.
    dropped: u32,
}

/// What a datagram of `len` bytes takes of a buffer.
pub(super) const fn charge(len: usize) -> usize {
    len + OVERHEAD
}

impl Inbox {
    /// Whether a datagram of `len` bytes fits into a buffer of `limit`. One always does.
    pub(super) fn has_room(&self, len: usize, limit: usize) -> bool {
        self.queue.is_empty() || self.charged + charge(len) <= limit
    }

    /// A datagram arrives, and is dropped if the buffer of `limit` bytes is full.
    /// Whether it was taken.
    pub(super) fn push(&mut self, mut datagram: Datagram, limit: usize) -> bool {
        let fits = self.has_room(datagram.bytes.len(), limit);
        if fits {
            if let Some(arrived) = &mut datagram.arrived {
                arrived.dropped = self.dropped;
            }
            self.charged += charge(datagram.bytes.len());
            self.queue.push_back(datagram);
        } else {
            self.dropped = self.dropped.wrapping_add(1);
        }
        fits
    }

    /// The next datagram, cut to `max` bytes; the rest of it is gone.
    pub(super) fn take(&mut self, max: usize) -> Result<Received, Stop> {
        if let Some(errno) = self.error.take() {
            return Err(Stop::Errno(errno));
        }
        let Datagram { source, mut bytes, arrived } =
            self.queue.pop_front().ok_or(Stop::WouldBlock)?;
        self.charged -= charge(bytes.len());
        let truncated = bytes.len() > max;
        bytes.truncate(max);
        Ok(Received { bytes, source: Some(source), truncated, arrived })
    }

    /// How many datagrams found no room.
    pub(super) fn dropped(&self) -> u32 {
        self.dropped
    }

    /// The `POLL*` bits that stand, with a send buffer of `limit` bytes.
    pub(super) fn readiness(&self, limit: usize) -> i16 {
        let readable = if self.queue.is_empty() { 0 } else { libc::POLLIN };
        let writable = if self.in_flight < limit { libc::POLLOUT } else { 0 };
        let error = if self.error.is_some() { libc::POLLERR } else { 0 };
        readable | writable | error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(bytes: &[u8]) -> Datagram {
        Datagram { source: Name::UNNAMED, bytes: bytes.to_vec(), arrived: None }
    }

    /// Boundaries are kept, and what is cut off is gone and told.
    #[test]
    fn boundaries_are_kept() {
        let mut inbox = Inbox::default();
        for bytes in [&b"abc"[..], b"", b"d"] {
            assert!(inbox.push(datagram(bytes), 1000));
        }
        let mut take = |max| inbox.take(max).map(|r| (r.bytes, r.truncated));
        assert_eq!(take(2), Ok((b"ab".to_vec(), true)));
        assert_eq!(take(2), Ok((Vec::new(), false)));
        assert_eq!(take(2), Ok((b"d".to_vec(), false)));
        assert_eq!(take(2), Err(Stop::WouldBlock));
    }

    /// A full buffer drops, an empty one takes whatever comes.
    #[test]
    fn a_full_buffer_drops() {
        let mut inbox = Inbox::default();
        assert!(inbox.push(datagram(&[1; 5000]), 100));
        assert!(!inbox.push(datagram(&[2; 1]), 100));
        inbox.take(1).unwrap();
        assert!(inbox.push(datagram(&[3; 1]), 100));
    }
}
