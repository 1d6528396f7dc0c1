//! The queue before each subscriber: bounded, so that a slow one hurts nobody else.
//!
//! A queue holds references to packets that all subscribers share, in a ring allocated once. What
//! happens to a packet that finds it full is the [`Policy`]; every outcome is counted.

use core::fmt;
use std::collections::VecDeque;

use crate::framing::Framing;

/// A packet as a queue sees it: bytes to put on the wire.
pub trait Wire {
    /// The bytes to send under `framing`, length prefix included if there is one. Must return the
    /// same bytes each time.
    fn wire(&self, framing: Framing) -> &[u8];
}

/// What happens to a packet that finds the queue full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// The arriving packet is dropped: the subscriber falls behind and sees what came first.
    DropNew,
    /// The oldest packets not yet begun are dropped: the subscriber sees what is fresh.
    #[default]
    DropOld,
    /// The subscriber is cut off, and may come again.
    Disconnect,
    /// The source is paused until there is room. Loses nothing, and ties every other subscriber of
    /// this relay to the slowest: for files and other sources that can wait.
    Wait,
}

impl Policy {
    /// The name used in URLs and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DropNew => "drop-new",
            Self::DropOld => "drop-old",
            Self::Disconnect => "disconnect",
            Self::Wait => "wait",
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Bounds of one queue; both hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Packets at a time, at least 1.
    pub packets: usize,
    /// Bytes at a time on the wire, prefixes included. A packet that alone exceeds it never fits.
    pub bytes: usize,
}

impl Default for Limits {
    /// 1,024 packets and 4 MiB: a second of video, in 8 KiB of references a subscriber.
    fn default() -> Self {
        Self { packets: 1_024, bytes: 4 << 20 }
    }
}

/// What became of a packet that was offered.
#[must_use = "a disconnect or a full queue needs an answer from the caller"]
#[derive(Debug, PartialEq, Eq)]
pub enum Offer<P> {
    /// It is queued.
    Queued,
    /// It is queued, and this many older ones were dropped for it.
    DroppedOld(usize),
    /// It was dropped.
    DroppedNew,
    /// It was dropped; cut this subscriber off, then [`clear`](Queue::clear) the queue.
    Disconnect,
    /// It comes back: pause the source, and offer it again when the queue has moved.
    Wait(P),
}

/// Everything that ever happened to the packets offered to one queue.
///
/// `offered == sent + dropped_new + dropped_old + lost + (still queued)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Packets offered and not handed back.
    pub offered: u64,
    /// Packets sent completely.
    pub sent: u64,
    /// Bytes sent, prefixes and parts of unfinished packets included.
    pub sent_bytes: u64,
    /// Packets dropped on arrival.
    pub dropped_new: u64,
    /// Packets dropped to make room.
    pub dropped_old: u64,
    /// Packets that were queued when the subscriber went.
    pub lost: u64,
    /// Times that the policy asked for the subscriber to be cut off.
    pub disconnects: u64,
}

/// A bounded queue of shared packets for one subscriber.
///
/// Invariants: `bytes` is the sum of the entries' wire lengths; `begun` is less than the head's
/// wire length or zero, and a head with `begun > 0` is never dropped by a policy, because half a
/// packet on a stream would break every packet after it.
#[derive(Debug)]
pub struct Queue<P> {
    /// Allocated once for `limits.packets` entries.
    entries: VecDeque<P>,
    limits: Limits,
    policy: Policy,
    framing: Framing,
    /// Wire bytes of all entries, the begun part of the head included.
    bytes: usize,
    /// Bytes of the head that are already on the wire.
    begun: usize,
    counts: Counts,
}

impl<P: Wire> Queue<P> {
    /// An empty queue; its whole ring is allocated here.
    #[must_use]
    pub fn new(limits: Limits, policy: Policy, framing: Framing) -> Self {
        let limits = Limits { packets: limits.packets.max(1), ..limits };
        Self {
            entries: VecDeque::with_capacity(limits.packets),
            limits,
            policy,
            framing,
            bytes: 0,
            begun: 0,
            counts: Counts::default(),
        }
    }

    /// Puts `packet` at the end, or does what the policy says if there is no room.
    pub fn offer(&mut self, packet: P) -> Offer<P> {
        let len = self.len_of(&packet);
        if self.fits(len) {
            self.push(packet, len);
            return Offer::Queued;
        }
        match self.policy {
            Policy::DropOld if self.can_ever_fit(len) => self.replace_old(packet, len),
            Policy::Wait if len <= self.limits.bytes => Offer::Wait(packet),
            Policy::Disconnect => self.refuse(Offer::Disconnect),
            Policy::DropNew | Policy::DropOld | Policy::Wait => self.refuse(Offer::DroppedNew),
        }
    }

    /// Whether `packet` would be queued without any other being dropped for it.
    #[must_use]
    pub fn has_room_for(&self, packet: &P) -> bool {
        self.fits(self.len_of(packet))
    }

    /// The bytes to send, oldest first; the first slice begins where the last send stopped.
    pub fn unsent(&self) -> impl Iterator<Item = &[u8]> {
        let skips = core::iter::once(self.begun).chain(core::iter::repeat(0));
        self.entries.iter().zip(skips).map(|(packet, skip)| &packet.wire(self.framing)[skip..])
    }

    /// Notes that the stream took `sent` bytes; hands each packet that is now complete to `done`.
    ///
    /// Returns the bytes accounted for: `sent`, or less if that is more than was queued. Packets
    /// without bytes on the wire complete as soon as they are at the head.
    pub fn advance(&mut self, sent: usize, mut done: impl FnMut(P)) -> usize {
        let mut left = sent;
        while let Some(len) = self.entries.front().map(|head| self.len_of(head)) {
            let missing = len - self.begun;
            if missing > left {
                self.begun += left;
                self.counts.sent_bytes += left as u64;
                return sent;
            }
            left -= missing;
            self.counts.sent_bytes += missing as u64;
            self.counts.sent += 1;
            self.take_head().into_iter().for_each(&mut done);
        }
        sent - left
    }

    /// Removes the head as sent in one piece: for datagrams.
    pub fn pop_sent(&mut self) -> Option<P> {
        let rest = self.entries.front().map(|head| self.len_of(head) - self.begun)?;
        self.counts.sent += 1;
        self.counts.sent_bytes += rest as u64;
        self.take_head()
    }

    /// Drops everything: the subscriber is gone. Returns how many packets that were.
    pub fn clear(&mut self) -> usize {
        let lost = self.entries.len();
        self.counts.lost += lost as u64;
        self.entries.clear();
        (self.bytes, self.begun) = (0, 0);
        lost
    }

    /// Starts the head again from its first byte: for a new connection after the old one broke.
    pub fn rewind(&mut self) {
        self.begun = 0;
    }

    /// The oldest packet.
    #[must_use]
    pub fn head(&self) -> Option<&P> {
        self.entries.front()
    }

    /// Packets queued.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Wire bytes that are queued and not yet sent.
    #[must_use]
    pub fn unsent_bytes(&self) -> usize {
        self.bytes - self.begun
    }

    /// What has happened so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn len_of(&self, packet: &P) -> usize {
        packet.wire(self.framing).len()
    }

    fn fits(&self, len: usize) -> bool {
        self.entries.len() < self.limits.packets && self.bytes + len <= self.limits.bytes
    }

    /// Whether `len` bytes would fit once all that may be dropped were gone.
    fn can_ever_fit(&self, len: usize) -> bool {
        let head = self.entries.front().filter(|_| self.begun > 0);
        let kept = head.map_or(0, |head| self.len_of(head));
        kept + len <= self.limits.bytes && usize::from(head.is_some()) < self.limits.packets
    }

    fn push(&mut self, packet: P, len: usize) {
        debug_assert!(self.fits(len));
        self.entries.push_back(packet);
        self.bytes += len;
        self.counts.offered += 1;
    }

    fn refuse(&mut self, outcome: Offer<P>) -> Offer<P> {
        self.counts.offered += 1;
        self.counts.dropped_new += 1;
        self.counts.disconnects += u64::from(matches!(outcome, Offer::Disconnect));
        outcome
    }

    /// Drops the oldest packets that have not begun until `packet` fits, then queues it.
    fn replace_old(&mut self, packet: P, len: usize) -> Offer<P> {
        let begun_head = if self.begun > 0 { self.entries.pop_front() } else { None };
        let taken = usize::from(begun_head.is_some());
        let mut dropped = 0;
        while self.entries.len() + taken >= self.limits.packets
            || self.bytes + len > self.limits.bytes
        {
            let Some(old) = self.entries.pop_front() else {
                break;
            };
            self.bytes -= self.len_of(&old);
            dropped += 1;
        }
        if let Some(head) = begun_head {
            self.entries.push_front(head);
        }
        self.counts.dropped_old += dropped as u64;
        self.push(packet, len);
        Offer::DroppedOld(dropped)
    }

    /// Removes the head. An empty ring starts again at its first place, so that a subscriber who
    /// keeps up touches one cache line of it instead of the whole ring in turn.
    fn take_head(&mut self) -> Option<P> {
        let head = self.entries.pop_front()?;
        self.bytes -= self.len_of(&head);
        self.begun = 0;
        if self.entries.is_empty() {
            self.entries.clear();
        }
        Some(head)
    }
}
