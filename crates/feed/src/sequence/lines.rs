//! What is known of each line: what it has brought, what it has lost, and how late it is.

use std::time::{Duration, Instant};

use super::event::Line;
use super::map::Map;

/// What a line has brought since the sequencer was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineStats {
    /// Packets with messages.
    pub packets: u64,
    /// Packets of which something was new.
    pub first: u64,
    /// Messages that it has never brought, though it has brought later ones.
    pub lost: u64,
    /// Messages that it has brought after later ones.
    pub late: u64,
    /// Messages that it has brought again, or that are too old to tell.
    pub repeated: u64,
    /// How far behind the first line it usually is.
    pub behind: Duration,
    /// How far behind it has been at most.
    pub behind_most: Duration,
}

/// A line.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) stats: LineStats,
    /// Behind the farthest number that it has brought; `None`: nothing yet.
    pub(super) high: Option<u64>,
    /// Numbers below that, within the window, which it has not brought.
    missing: Map,
    /// How many these are.
    pub(super) open: u64,
    window: u64,
    lateness: Lateness,
}

/// Mean and deviation of how late it is, in nanoseconds, as RFC 6298 has them for round trips.
#[derive(Clone, Copy, Debug, Default)]
struct Lateness {
    mean: u64,
    deviation: u64,
    is_known: bool,
}

impl Way {
    pub(super) fn new(window: u64) -> Self {
        Self {
            stats: LineStats::default(),
            high: None,
            missing: Map::new(window),
            open: 0,
            window,
            lateness: Lateness::default(),
        }
    }

    /// Another session.
    pub(super) fn forget(&mut self) {
        if let Some(high) = self.high.take() {
            let cleared = self.missing.clear(high.saturating_sub(self.window)..high);
            debug_assert_eq!(cleared, self.open);
            self.open = 0;
        }
    }

    /// The sender goes on with this number, and nobody has missed anything.
    pub(super) fn goes_on_at(&mut self, number: u64) {
        self.forget();
        self.high = Some(number);
    }

    /// It has brought these numbers.
    #[inline]
    pub(super) fn brings(&mut self, first: u64, end: u64) {
        self.stats.packets += 1;
        if self.high == Some(first) && self.open == 0 {
            self.high = Some(end);
        } else {
            self.brings_otherwise(first, end);
        }
    }

    fn brings_otherwise(&mut self, first: u64, end: u64) {
        let high = *self.high.get_or_insert(first);
        if end > high {
            let oldest = end.saturating_sub(self.window);
            // Of what leaves the window nobody can say that it comes again.
            let leaves = high.max(self.window) - self.window..oldest.min(high);
            if leaves.start < leaves.end {
                self.open -= self.missing.clear(leaves);
            }
            if first > high {
                // Of a packet that is larger than the window nothing before it is within it.
                self.lacks(high.max(oldest).min(first), first);
                self.stats.lost = self.stats.lost.saturating_add(first - high);
            }
            self.high = Some(end);
        }
        let below = end.min(high).saturating_sub(first);
        let oldest = end.max(high).saturating_sub(self.window);
        let back = first.max(oldest)..end.min(high);
        let came = if back.is_empty() { 0 } else { self.missing.clear(back) };
        self.open -= came;
        self.stats.lost -= came;
        self.stats.late += came;
        self.stats.repeated += below - came;
    }

    fn lacks(&mut self, first: u64, end: u64) {
        self.missing.set(first..end);
        self.open += end - first;
    }

    /// It says that this number comes next.
    pub(super) fn expects(&mut self, next: u64) {
        let high = *self.high.get_or_insert(next);
        if next > high {
            self.brings_otherwise(next, next);
        }
    }

    /// It was so late with a packet.
    pub(super) fn is_late_by(&mut self, late: Duration) {
        self.stats.behind_most = self.stats.behind_most.max(late);
        let late = late.min(LATEST).as_nanos() as u64;
        let Lateness { mean, deviation, is_known } = &mut self.lateness;
        if *is_known {
            *deviation = (*deviation * 3 + mean.abs_diff(late)) / 4;
            *mean = (*mean * 7 + late) / 8;
        } else {
            (*mean, *deviation, *is_known) = (late, late / 2, true);
        }
        self.stats.behind = Duration::from_nanos(*mean);
    }

    /// How late it may be, as far as was measured.
    pub(super) fn tolerance(&self) -> Option<Duration> {
        let Lateness { mean, deviation, is_known } = self.lateness;
        // Who is late by always the same would else be asked for what is about to come.
        is_known.then(|| Duration::from_nanos(mean + (deviation * 4).max(mean / 4)))
    }
}

/// Who is later than that is not that late: sums of nanoseconds do not overflow.
const LATEST: Duration = Duration::from_secs(86_400);

/// When packets came first, of some of them.
#[derive(Debug)]
pub(super) struct Firsts {
    some: Box<[First]>,
}

#[derive(Clone, Copy, Debug)]
struct First {
    number: u64,
    line: Line,
    at: Instant,
}

impl Firsts {
    pub(super) fn new(now: Instant) -> Self {
        let none = First { number: u64::MAX, line: Line(0), at: now };
        Self { some: [none; 64].into() }
    }

    /// Another session.
    pub(super) fn forget(&mut self) {
        self.some.iter_mut().for_each(|first| first.number = u64::MAX);
    }

    /// Where a packet is noted whose first number is that: one of sixteen is.
    #[inline]
    fn place(number: u64) -> Option<usize> {
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 60 == 0).then_some((mixed >> 54 & 63) as usize)
    }

    /// It has come for the first time.
    #[inline]
    pub(super) fn note(&mut self, number: u64, line: Line, at: Instant) {
        if let Some(place) = Self::place(number) {
            self.some[place] = First { number, line, at };
        }
    }

    /// It has come on a line, not for the first time: how late that is.
    #[inline]
    pub(super) fn late(&self, number: u64, line: Line, at: Instant) -> Option<Duration> {
        let first = self.some[Self::place(number)?];
        let is_it = first.number == number && first.line != line;
        is_it.then(|| at.saturating_duration_since(first.at))
    }
}
