//! What is known of each line: what it has brought, what it has lost, and how late it is.

use std::time::{Duration, Instant};

use super::NONE;
use super::event::Line;
use super::map::{Bits, Map};

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
    /// Packets of which something was new.
    pub(super) first: u64,
    /// All others.
    pub(super) others: u64,
    /// Behind the farthest number that it has brought, if no number of the window is missing before;
    /// else [`NONE`].
    straight: u64,
    /// The same, if there is.
    crooked: u64,
    /// Numbers below that, within the window, which it has not brought.
    missing: Map,
    /// How many these are.
    pub(super) open: u64,
    /// How many there ever were..
    lacked: u64,
    /// ..and how many of them it had not brought when they left the window.
    gone: u64,
    /// Numbers that were beyond the window when others came that are farther.
    skipped: u64,
    /// Messages that it has brought again, or that are too old to tell.
    repeated: u64,
    window: u64,
    lateness: Lateness,
}

/// How late it is: mean and deviation in nanoseconds, as RFC 6298 has them for round trips.
#[derive(Clone, Copy, Debug, Default)]
struct Lateness {
    mean: u64,
    deviation: u64,
    is_known: bool,
    /// At most so far.
    most: Duration,
}

impl Way {
    pub(super) fn new(window: u64) -> Self {
        Self {
            first: 0,
            others: 0,
            straight: NONE,
            crooked: NONE,
            missing: Map::new(window),
            open: 0,
            lacked: 0,
            gone: 0,
            skipped: 0,
            repeated: 0,
            window,
            lateness: Lateness::default(),
        }
    }

    /// Another session.
    pub(super) fn forget(&mut self) {
        if let Some(high) = self.high() {
            (self.straight, self.crooked) = (NONE, NONE);
            let left = self.missing.take(&Bits::of(high.saturating_sub(self.window)..high));
            debug_assert_eq!(left, self.open);
            self.gone += left;
            self.open = 0;
        }
    }

    /// The sender goes on with this number, and nobody has missed anything.
    pub(super) fn goes_on_at(&mut self, number: u64) {
        self.forget();
        self.straight = number;
    }

    pub(super) fn stats(&self) -> LineStats {
        let left = self.gone + self.open;
        LineStats {
            packets: self.first + self.others,
            first: self.first,
            lost: self.skipped.saturating_add(left),
            late: self.lacked - left,
            repeated: self.repeated,
            behind: Duration::from_nanos(self.lateness.mean),
            behind_most: self.lateness.most,
        }
    }

    /// Behind the farthest number that it has brought; `None`: nothing yet.
    pub(super) fn high(&self) -> Option<u64> {
        let high = self.straight.min(self.crooked);
        (high != NONE).then_some(high)
    }

    /// It has brought these numbers. Says whether that is farther than before.
    #[inline]
    pub(super) fn brings(&mut self, first: u64, end: u64) -> bool {
        if self.straight == first {
            self.straight = end;
            return true;
        }
        std::hint::cold_path();
        self.brings_otherwise(first, end)
    }

    /// The same, but most likely it has brought others that are farther, and not all before.
    #[inline(always)]
    pub(super) fn fills(&mut self, numbers: &Bits) -> bool {
        let high = self.crooked; // if it is not, far beyond all numbers
        if numbers.end > high || high - numbers.first > self.window {
            return self.brings(numbers.first, numbers.end);
        }
        let came = self.missing.take(numbers);
        self.open -= came;
        if came < numbers.len() {
            self.repeated += numbers.len() - came;
        }
        if self.open == 0 {
            (self.straight, self.crooked) = (high, NONE);
        }
        false
    }

    #[inline(never)]
    fn brings_otherwise(&mut self, first: u64, end: u64) -> bool {
        let before = self.high();
        let high = before.unwrap_or(first);
        if end > high {
            let oldest = end.saturating_sub(self.window);
            // Of what leaves the window nobody can say that it comes again.
            let leaves = high.max(self.window) - self.window..oldest.min(high);
            if leaves.start < leaves.end {
                let left = self.missing.take(&Bits::of(leaves));
                self.open -= left;
                self.gone += left;
            }
            if first > high {
                // Of a packet that is larger than the window nothing before it is within it.
                let start = high.max(oldest).min(first);
                self.missing.set(&Bits::of(start..first));
                self.open += first - start;
                self.lacked += first - start;
                self.skipped = self.skipped.saturating_add(start - high);
            }
        }
        let below = end.min(high).saturating_sub(first);
        let oldest = end.max(high).saturating_sub(self.window);
        let back = first.max(oldest)..end.min(high);
        let came = if back.is_empty() { 0 } else { self.missing.take(&Bits::of(back)) };
        self.open -= came;
        self.repeated += below - came;
        let high = high.max(end);
        (self.straight, self.crooked) = if self.open == 0 { (high, NONE) } else { (NONE, high) };
        before != Some(high)
    }

    /// It says that this number comes next.
    pub(super) fn expects(&mut self, next: u64) {
        if self.high().is_none_or(|high| next > high) {
            let _ = self.brings_otherwise(next, next);
        }
    }

    /// It was so late with a packet.
    pub(super) fn is_late_by(&mut self, late: Duration) {
        let Lateness { mean, deviation, is_known, most } = &mut self.lateness;
        *most = late.max(*most);
        let late = late.min(LATEST).as_nanos() as u64;
        if *is_known {
            *deviation = (*deviation * 3 + mean.abs_diff(late)) / 4;
            *mean = (*mean * 7 + late) / 8;
        } else {
            (*mean, *deviation, *is_known) = (late, late / 2, true);
        }
    }

    /// How late it may be, as far as was measured.
    pub(super) fn tolerance(&self) -> Option<Duration> {
        let Lateness { mean, deviation, is_known, .. } = self.lateness;
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
