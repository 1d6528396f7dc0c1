//! What is still to happen, in the order of time.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::net::SocketAddr;

use super::super::Interest;
use super::super::Token;
use super::tcp::Side;
use super::world::{ConnId, SocketId};
use crate::time::Instant;

/// Something that happens when its time has come.
#[derive(Debug)]
pub(super) enum Event {
    /// The client's first segment reaches where it was sent; `tries` went before it.
    Syn { conn: ConnId, tries: u32 },
    /// The listener's answer reaches the client.
    SynAck { conn: ConnId },
    /// The client's answer reaches the listener.
    Ack { conn: ConnId },
    /// The client learns that it cannot connect.
    Refused { conn: ConnId, errno: i32 },
    /// `count` bytes reach `side`.
    Land { conn: ConnId, side: Side, count: usize },
    /// The end of the stream reaches `side`; `closed` if its peer takes no more either.
    Fin { conn: ConnId, side: Side, closed: bool },
    /// A reset reaches `side`.
    Reset { conn: ConnId, side: Side },
    /// `side` learns that its peer has taken `count` bytes.
    Room { conn: ConnId, side: Side, count: usize },
    /// A datagram reaches its destination, or is lost on its way.
    Datagram(Box<Flight>),
    /// A descriptor is worth another look, whatever it was told before.
    Touch { socket: SocketId, interest: Interest },
    /// A poll tells of readiness that is not there.
    Spurious(Token),
    /// A completion that was late is told.
    Announce(Token),
}

impl Event {
    /// As the trace names it, and whom it is about.
    pub(super) fn label(&self) -> (&'static str, u64) {
        match *self {
            Self::Syn { conn, .. } => ("world: syn", conn.0),
            Self::SynAck { conn } => ("world: syn-ack", conn.0),
            Self::Ack { conn } => ("world: ack", conn.0),
            Self::Refused { conn, .. } => ("world: refused", conn.0),
            Self::Land { conn, .. } => ("world: bytes land", conn.0),
            Self::Fin { conn, .. } => ("world: end lands", conn.0),
            Self::Reset { conn, .. } => ("world: reset lands", conn.0),
            Self::Room { conn, .. } => ("world: room", conn.0),
            Self::Datagram(ref flight) => ("world: datagram lands", flight.sender.0),
            Self::Touch { socket, .. } => ("world: touch", socket.0),
            Self::Spurious(token) => ("world: spurious readiness", token.as_u64()),
            Self::Announce(token) => ("world: late completion", token.as_u64()),
        }
    }
}

/// A datagram under way.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    pub(super) sender: SocketId,
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) bytes: Vec<u8>,
    /// How much of the sender's buffer it takes up.
    pub(super) charge: usize,
    /// It never arrives.
    pub(super) lost: bool,
    /// The interface by which it leaves, and comes.
    pub(super) interface: u32,
    /// How many networks it may cross.
    pub(super) hops: u8,
    /// Of a group: the only member whom this copy is for; `None`: for all.
    pub(super) only: Option<SocketId>,
}

/// What is still to happen. Of two things at the same time, the one that was planned
/// first comes first.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    entries: BinaryHeap<Entry>,
    planned: u64,
}

#[derive(Debug)]
struct Entry {
    at: Instant,
    sequence: u64,
    event: Event,
}

impl Agenda {
    pub(super) fn plan(&mut self, at: Instant, event: Event) {
        self.planned += 1;
        self.entries.push(Entry { at, sequence: self.planned, event });
    }

    /// When the next thing happens.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.entries.peek().map(|entry| entry.at)
    }

    /// The next thing, if its time has come by `now`.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<(Instant, Event)> {
        if self.next_at()? > now {
            return None;
        }
        self.entries.pop().map(|entry| (entry.at, entry.event))
    }
}

/// The heap's greatest is the earliest.
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events come by time, and those of one time in the order in which they were planned.
    #[test]
    fn events_come_by_time_then_by_plan() {
        let mut agenda = Agenda::default();
        for (at, conn) in [(5, 1), (3, 2), (5, 3), (3, 4), (9, 5)] {
            agenda.plan(Instant::from_nanos(at), Event::SynAck { conn: ConnId(conn) });
        }
        let mut order = Vec::new();
        while let Some((_, event)) = agenda.take_due(Instant::from_nanos(5)) {
            order.push(event.label().1);
        }
        assert_eq!(order, [2, 4, 1, 3]);
        assert_eq!(agenda.next_at(), Some(Instant::from_nanos(9)));
    }
}
