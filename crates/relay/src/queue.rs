//! The queue before each subscriber: bounded, so that a slow one hurts nobody else.
//!
//! A queue holds references to packets that all subscribers share, in a ring allocated once. What
//! happens to a packet that finds it full is the [`Policy`]; every outcome is counted.

use core::fmt;
use std::collections::VecDeque;

use crate::framing::Framing;

/// A packet as a queue sees it, or a run of packets that share an entry: bytes to put on the wire.
/// The same bytes each time.
pub trait Wire: Sized {
    /// Packets that it consists of; at least 1.
    fn packets(&self) -> usize;

    /// Bytes on the wire of its first `packets` packets (clamped), length prefixes included if
    /// there are any.
    fn wire_len(&self, packets: usize, framing: Framing) -> usize;

    /// Takes off the first `packets` packets: at least one, and one stays. Called only where there
    /// are several.
    #[must_use]
    fn split_front(&mut self, packets: usize) -> Self;

    /// The bytes to send under `framing`, in order, in pieces as they lie.
    fn wire(&self, framing: Framing) -> impl Iterator<Item = &[u8]>;
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

/// What became of a packet that was offered, or of a run of packets.
#[must_use = "a disconnect or a full queue needs an answer from the caller"]
#[derive(Debug, PartialEq, Eq)]
pub enum Offer<P> {
    /// It is queued.
    Queued,
    /// For want of room.
    Dropped {
        /// So many older ones were dropped for it; those at the start of a long run among them.
        old: usize,
        /// So many of its own were dropped.
        new: usize,
    },
    /// So many of its own were dropped; cut this subscriber off, then [`clear`](Queue::clear) the
    /// queue.
    Disconnect(usize),
    /// It comes back, or what is left of it: pause the source, and offer it again when the queue
    /// has moved. None of its own was dropped.
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
/// Invariants: `packets` and `bytes` are the sums over the entries, of which none is without
/// packets; `begun` is less than the first packet's wire length or zero, and a packet with
/// `begun > 0` is never dropped by a policy, because half a packet on a stream would break every
/// packet after it.
#[derive(Debug)]
pub struct Queue<P> {
    /// Allocated once for `limits.packets` entries.
    entries: VecDeque<P>,
    limits: Limits,
    policy: Policy,
    framing: Framing,
    packets: usize,
    /// Wire bytes of all entries, the begun part of the first packet included.
    bytes: usize,
    /// Bytes of the first packet that are already on the wire.
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
            packets: 0,
            bytes: 0,
            begun: 0,
            counts: Counts::default(),
        }
    }

    /// Puts `run` at the end, or does what the policy says, packet by packet, if there is no room
    /// for all of it.
    pub fn offer(&mut self, run: P) -> Offer<P> {
        let (packets, len) = (run.packets(), self.len_of(&run));
        if !self.fits(packets, len) {
            return self.offer_apart(run);
        }
        self.push(run, packets, len);
        Offer::Queued
    }

    /// Whether `run` would be queued without any other being dropped for it.
    #[must_use]
    pub fn has_room_for(&self, run: &P) -> bool {
        self.fits(run.packets(), self.len_of(run))
    }

    /// The bytes to send, oldest first, in pieces as they lie; they begin where the last send
    /// stopped.
    pub fn unsent(&self) -> impl Iterator<Item = &[u8]> {
        let mut skip = self.begun;
        let parts = self.entries.iter().flat_map(|run| run.wire(self.framing));
        let parts = parts.map(move |part| {
            let skipped = skip.min(part.len());
            skip -= skipped;
            (skipped, part)
        });
        parts
            .filter(|(skipped, part)| *skipped < part.len())
            .map(|(skipped, part)| &part[skipped..])
    }

    /// The entries, oldest first: for datagrams, which are never begun.
    pub fn runs(&self) -> impl Iterator<Item = &P> {
        self.entries.iter()
    }

    /// Notes that the stream took `sent` bytes; hands what is now complete to `done`.
    ///
    /// Returns the bytes accounted for: `sent`, or less if that is more than was queued. Packets
    /// without bytes on the wire complete as soon as they are the first.
    pub fn advance(&mut self, sent: usize, mut done: impl FnMut(P)) -> usize {
        let mut left = sent;
        while let Some(head) = self.entries.front() {
            let (all, first) = (self.len_of(head), head.wire_len(1, self.framing));
            let packets = if all - self.begun <= left { head.packets() } else { 1 };
            let missing = if packets > 1 { all } else { first } - self.begun;
            if missing > left {
                self.begun += left;
                self.counts.sent_bytes += left as u64;
                return sent;
            }
            left -= missing;
            self.take_sent(packets, &mut done);
        }
        sent - left
    }

    /// Removes the first `packets` packets as sent, and hands them to `done`: for datagrams, which
    /// go in one piece.
    pub fn pop_sent(&mut self, packets: usize, mut done: impl FnMut(P)) {
        let mut left = packets;
        while let Some(head) = self.entries.front().filter(|_| left > 0) {
            let packets = head.packets().min(left);
            left -= packets;
            self.take_sent(packets, &mut done);
        }
    }

    /// Drops everything: the subscriber is gone. Returns how many packets that were.
    pub fn clear(&mut self) -> usize {
        let lost = self.packets;
        self.counts.lost += lost as u64;
        self.entries.clear();
        (self.packets, self.bytes, self.begun) = (0, 0, 0);
        lost
    }

    /// Starts the first packet again from its first byte: for a new connection after the old one
    /// broke.
    pub fn rewind(&mut self) {
        self.begun = 0;
    }

    /// The oldest packet, with those that came joined to it.
    #[must_use]
    pub fn head(&self) -> Option<&P> {
        self.entries.front()
    }

    /// Packets queued.
    #[must_use]
    pub fn len(&self) -> usize {
        self.packets
    }

    /// Whether nothing is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packets == 0
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

    fn len_of(&self, run: &P) -> usize {
        run.wire_len(usize::MAX, self.framing)
    }

    fn fits(&self, packets: usize, len: usize) -> bool {
        self.packets + packets <= self.limits.packets && self.bytes + len <= self.limits.bytes
    }

    /// Whether a packet of `len` bytes would fit once all that may be dropped were gone.
    fn can_ever_fit(&self, len: usize) -> bool {
        let head = self.entries.front().filter(|_| self.begun > 0);
        let kept = head.map_or(0, |head| head.wire_len(1, self.framing));
        kept + len <= self.limits.bytes && usize::from(head.is_some()) < self.limits.packets
    }

    fn push(&mut self, run: P, packets: usize, len: usize) {
        debug_assert!(self.fits(packets, len));
        self.entries.push_back(run);
        self.packets += packets;
        self.bytes += len;
        self.counts.offered += packets as u64;
    }

    /// Does what the policy says for each packet of `run` that finds no room.
    fn offer_apart(&mut self, run: P) -> Offer<P> {
        let (mut old, mut new) = (0, 0);
        let mut rest = Some(run);
        while let Some(run) = rest.take() {
            let len = run.wire_len(1, self.framing);
            let fits = self.fits(1, len);
            match self.policy {
                _ if fits => {}
                Policy::Wait if len <= self.limits.bytes => return Offer::Wait(run),
                Policy::Disconnect => return self.cut_off(run.packets()),
                Policy::DropOld if self.can_ever_fit(len) => old += self.make_room(len),
                // Who waited for a hopeless packet, the longest of its run, would wait for ever.
                Policy::Wait => return Offer::Dropped { old, new: self.refuse(run.packets()) },
                Policy::DropNew | Policy::DropOld => new += self.refuse(1),
            }
            let (packet, later) = first_of(run);
            if self.fits(1, len) {
                self.push(packet, 1, len);
            }
            rest = later;
        }
        if old + new > 0 { Offer::Dropped { old, new } } else { Offer::Queued }
    }

    fn refuse(&mut self, packets: usize) -> usize {
        self.counts.offered += packets as u64;
        self.counts.dropped_new += packets as u64;
        packets
    }

    fn cut_off(&mut self, packets: usize) -> Offer<P> {
        self.counts.disconnects += 1;
        Offer::Disconnect(self.refuse(packets))
    }

    /// Drops the oldest packets that have not begun until one of `len` bytes fits; returns how
    /// many.
    fn make_room(&mut self, len: usize) -> usize {
        let begun = if self.begun > 0 { self.take_front(1) } else { None };
        let taken = begun.as_ref().map_or((0, 0), |head| (1, self.len_of(head)));
        let mut dropped = 0;
        while !self.fits(taken.0 + 1, taken.1 + len) && self.take_front(1).is_some() {
            dropped += 1;
        }
        if let Some(begun) = begun {
            self.entries.push_front(begun);
            (self.packets, self.bytes) = (self.packets + taken.0, self.bytes + taken.1);
        }
        self.counts.dropped_old += dropped as u64;
        dropped
    }

    /// Removes the first `packets` packets of the head, which has so many, as sent.
    fn take_sent(&mut self, packets: usize, done: &mut impl FnMut(P)) {
        if let Some(run) = self.take_front(packets) {
            self.counts.sent += packets as u64;
            self.counts.sent_bytes += (self.len_of(&run) - self.begun) as u64;
            self.begun = 0;
            done(run);
        }
    }

    /// Removes the first `packets` packets of the head, which has so many. An empty ring starts
    /// again at its first place, so that a subscriber who keeps up touches one cache line of it
    /// instead of the whole ring in turn.
    fn take_front(&mut self, packets: usize) -> Option<P> {
        let head = self.entries.front_mut()?;
        let run = if packets < head.packets() {
            head.split_front(packets)
        } else {
            self.entries.pop_front()?
        };
        self.packets -= packets;
        self.bytes -= self.len_of(&run);
        if self.entries.is_empty() {
            self.entries.clear();
        }
        Some(run)
    }
}

/// The first packet of `run`, and the others.
fn first_of<P: Wire>(mut run: P) -> (P, Option<P>) {
    match run.packets() {
        1 => (run, None),
        _ => (run.split_front(1), Some(run)),
    }
}
