//! The receiving side of the built-in feed.

use serde::Serialize;

use super::{HEADER, Header, holds_pattern};
use crate::units::Nanos;

/// How far back a late packet can still be told from a duplicate, in packets.
const WINDOW: u64 = 64;

/// What one packet was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The packet expected next.
    InOrder {
        /// When it was sent.
        sent: Nanos,
    },
    /// A later one: this many before it have not come.
    Gap {
        /// Packets skipped.
        missing: u64,
    },
    /// One that had been missing, out of order.
    Late,
    /// One that had come before, or lies too far back to tell.
    Duplicate,
    /// Not a packet of this feed, or damaged.
    Corrupt,
}

/// What a subscriber received, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct CheckReport {
    /// Packets received, of whatever kind.
    pub packets: u64,
    /// Packets that were expected and never came.
    pub missing: u64,
    /// Packets that came after a later one.
    pub late: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Packets that are damaged or foreign.
    pub corrupt: u64,
}

impl CheckReport {
    /// Whether every packet came, once, in order and unharmed.
    #[must_use]
    pub fn is_perfect(&self) -> bool {
        self.missing + self.late + self.duplicates + self.corrupt == 0
    }

    /// Adds another subscriber's numbers.
    pub fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.missing += other.missing;
        self.late += other.late;
        self.duplicates += other.duplicates;
        self.corrupt += other.corrupt;
    }
}

/// Verifies that one subscriber gets every packet, in order.
#[derive(Debug, Clone)]
pub struct Checker {
    /// The sequence number expected next; `None` until the first packet of a late joiner.
    expected: Option<u64>,
    /// Bit n is set if packet `expected - 1 - n` has come.
    seen: u64,
    report: CheckReport,
}

impl Checker {
    /// A subscriber that is there from the start: packet 0 is expected first.
    #[must_use]
    pub fn from_start() -> Self {
        Self { expected: Some(0), seen: u64::MAX, report: CheckReport::default() }
    }

    /// A subscriber that joins a running feed: whatever comes first is the beginning.
    #[must_use]
    pub fn from_first() -> Self {
        Self { expected: None, ..Self::from_start() }
    }

    /// Judges and counts one packet.
    pub fn check(&mut self, packet: &[u8]) -> Verdict {
        self.report.packets += 1;
        let Some(header) = intact(packet) else {
            self.report.corrupt += 1;
            return Verdict::Corrupt;
        };
        let expected = *self.expected.get_or_insert(header.seq);
        if header.seq < expected {
            return self.check_earlier(expected - 1 - header.seq);
        }
        self.check_next(header, header.seq - expected)
    }

    /// The numbers so far.
    #[must_use]
    pub fn report(&self) -> CheckReport {
        self.report
    }

    /// The numbers at the end, when the feed has written `written` packets: those that would still
    /// have had to come count as missing.
    #[must_use]
    pub fn finish(&self, written: u64) -> CheckReport {
        let tail = self.expected.map_or(0, |expected| written.saturating_sub(expected));
        CheckReport { missing: self.report.missing + tail, ..self.report }
    }

    fn check_next(&mut self, header: Header, missing: u64) -> Verdict {
        let shift = missing.saturating_add(1);
        self.seen =
            u32::try_from(shift).ok().and_then(|s| self.seen.checked_shl(s)).unwrap_or(0) | 1;
        self.expected = Some(header.seq.saturating_add(1));
        if missing == 0 {
            return Verdict::InOrder { sent: Nanos(header.sent) };
        }
        self.report.missing += missing;
        Verdict::Gap { missing }
    }

    /// `back` is the distance from the newest packet seen.
    fn check_earlier(&mut self, back: u64) -> Verdict {
        if back >= WINDOW || self.seen & (1 << back) != 0 {
            self.report.duplicates += 1;
            return Verdict::Duplicate;
        }
        self.seen |= 1 << back;
        self.report.late += 1;
        self.report.missing -= 1;
        Verdict::Late
    }
}

/// The header of a packet that is whole and carries its pattern.
fn intact(packet: &[u8]) -> Option<Header> {
    let header = Header::read(packet)?;
    let whole = packet.len() >= super::MIN_SIZE && packet.len() as u64 == u64::from(header.len);
    (whole && holds_pattern(header, &packet[HEADER..])).then_some(header)
}
