//! What is known of each line: what it has brought, what it has lost, and how late it is.

use std::time::{Duration, Instant};

use super::NONE;
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
    /// What it has brought, but for its packets.
    pub(super) stats: LineStats,
    /// Packets of which something was new.
    pub(super) first: u64,
    /// All others.
    pub(super) others: u64,
    /// Behind the farthest number that it has brought, if no number of the window is missing before;
    /// else [`NONE`].
    straight: u64,
    /// The same, if there is.
    crooked: Option<u64>,
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
            first: 0,
            others: 0,
            straight: NONE,
            crooked: None,
            missing: Map::new(window),
            open: 0,
            window,
            lateness: Lateness::default(),
        }
    }

    /// Another session.
    pub(super) fn forget(&mut self) {
        if let Some(high) = self.high() {
            (self.straight, self.crooked) = (NONE, None);
            let cleared = self.missing.clear(high.saturating_sub(self.window)..high);
            debug_assert_eq!(cleared, self.open);
            self.open = 0;
        }
    }

    /// The sender goes on with this number, and nobody has missed anything.
    pub(super) fn goes_on_at(&mut self, number: u64) {
        self.forget();
        self.straight = number;
    }

    pub(super) fn stats(&self) -> LineStats {
        LineStats { packets: self.first + self.others, first: self.first, ..self.stats }
    }

    /// Behind the farthest number that it has brought; `None`: nothing yet.
    pub(super) fn high(&self) -> Option<u64> {
        if self.straight != NONE { Some(self.straight) } else { self.crooked }
    }

    /// It has brought these numbers.
    #[inline]
    pub(super) fn brings(&mut self, first: u64, end: u64) {
        if self.straight == first {
            self.straight = end;
        } else {
            std::hint::cold_path();
            self.brings_otherwise(first, end);
        }
    }

    #[inline(never)]
    fn brings_otherwise(&mut self, first: u64, end: u64) {
        let high = self.high().unwrap_or(first);
        if first < end && end <= high && high - first <= self.window {
            let came = self.missing.clear(first..end);
            self.came_late(came, end - first);
            if self.open == 0 && came > 0 {
                (self.straight, self.crooked) = (high, None);
            }
            return;
        }
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
        }
        let below = end.min(high).saturating_sub(first);
        let oldest = end.max(high).saturating_sub(self.window);
        let back = first.max(oldest)..end.min(high);
        let came = if back.is_empty() { 0 } else { self.missing.clear(back) };
        self.came_late(came, below);
        let high = high.max(end);
        let is_straight = self.open == 0;
        self.straight = if is_straight { high } else { NONE };
        self.crooked = (!is_straight).then_some(high);
    }

    /// Of so many numbers that lie before others so many have come for the first time.
    fn came_late(&mut self, came: u64, of: u64) {
        self.open -= came;
        self.stats.lost -= came;
        self.stats.late += came;
        self.stats.repeated += of - came;
    }

    fn lacks(&mut self, first: u64, end: u64) {
        self.missing.set(first..end);
        self.open += end - first;
    }

    /// It says that this number comes next.
    pub(super) fn expects(&mut self, next: u64) {
        if self.high().is_none_or(|high| next > high) {
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

    /// Where a packet is noted whose first number is that: one of sixteen is, whatever the distance
    /// from one to the next, as the turns of a wheel by a golden angle (H. Weyl, 1916). The angle is
    /// small, so that of single messages some that follow each other are noted, which the processor
    /// foresees.
    #[inline]
    fn place(number: u64) -> Option<usize> {
        const ANGLE: u32 = 0x9e37_79b9 >> 8;
        let is_noted = (number as u32).wrapping_mul(ANGLE) < 1 << 28;
        is_noted.then_some((number % 16 + (number >> 8) % 4 * 16) as usize)
    }

    /// Whether it is known when a packet with that number came first.
    #[inline]
    pub(super) fn knows(number: u64) -> bool {
        Self::place(number).is_some()
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
