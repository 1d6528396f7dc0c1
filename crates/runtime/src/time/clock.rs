//! The clock that a loop reads: the time-stamp counter where the kernel trusts it, else
//! the system's clock; or, in a simulation, a number.
//!
//! The counter is read without a fence and converted by one multiplication. It can be a
//! little ahead of `CLOCK_MONOTONIC`: by the error of its calibration, some parts in a
//! million of the time since the last [`Clock::recheck`]. So [`Clock::now`] is good for
//! measuring and for setting deadlines, and for deciding that *nothing* is due. A loop
//! that finds a timer due asks [`Clock::precise`] before it fires it: then no error of the
//! counter makes a timer early.

mod tsc;

use std::cell::Cell;
use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::Instant;
use tsc::{Sample, Tsc, Verdict};

/// Where a clock's time comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The processor's time-stamp counter, calibrated against `CLOCK_MONOTONIC`.
    TimeStampCounter,
    /// `CLOCK_MONOTONIC`.
    System,
    /// A number that a simulation sets.
    Virtual,
}

/// Which source was chosen, and why. Displays as one line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockReport {
    /// The source in use.
    pub source: Source,
    /// Why this one.
    pub reason: String,
}

impl fmt::Display for ClockReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match self.source {
            Source::TimeStampCounter => "time-stamp counter",
            Source::System => "system (CLOCK_MONOTONIC)",
            Source::Virtual => "virtual",
        };
        write!(f, "clock: {source}: {}", self.reason)
    }
}

/// The clock of one loop. Never goes back.
///
/// ```
/// use tautline_runtime::time::Clock;
/// let (mut clock, report) = Clock::detect();
/// println!("{report}");
/// let before = clock.now();
/// assert!(clock.now() >= before);
/// if let Some(report) = clock.recheck() {
///     println!("{report}");
/// }
/// ```
pub struct Clock {
    kind: Kind,
    /// The latest answer of `now`; what virtual time is.
    last: Cell<u64>,
}

enum Kind {
    Counter(Tsc),
    System,
    Virtual,
}

/// How long the first calibration in a process takes; later clocks start from its result.
const CALIBRATION: Duration = Duration::from_millis(4);

/// Samples taken at most, until enough were not interrupted.
const TRIES: usize = 100;

impl Clock {
    /// Takes the time-stamp counter if the kernel itself runs on it and the processor
    /// says that it never changes its pace, else the system's clock; the report says
    /// which and why. The first call in a process takes about 4 ms.
    pub fn detect() -> (Self, ClockReport) {
        static CALIBRATED: OnceLock<Result<Tsc, String>> = OnceLock::new();
        match CALIBRATED.get_or_init(calibrate) {
            Ok(tsc) => {
                let reason = format!("the kernel runs on it; {:.1} MHz", tsc.megahertz());
                let mut clock = Self::new(Kind::Counter(tsc.clone()), 0);
                // The calibration may be old by now; a disagreement counts from here on.
                clock.anchor();
                (clock, ClockReport { source: Source::TimeStampCounter, reason })
            }
            Err(reason) => {
                let report = ClockReport { source: Source::System, reason: reason.clone() };
                (Self::system(), report)
            }
        }
    }

    /// A clock on `CLOCK_MONOTONIC`, asked each time.
    pub fn system() -> Self {
        Self::new(Kind::System, 0)
    }

    /// A clock that stands at `start` until [`advance_to`](Self::advance_to) moves it.
    pub fn virtual_at(start: Instant) -> Self {
        Self::new(Kind::Virtual, start.as_nanos())
    }

    fn new(kind: Kind, last: u64) -> Self {
        Self { kind, last: Cell::new(last) }
    }

    /// Where the time comes from at present.
    pub fn source(&self) -> Source {
        match self.kind {
            Kind::Counter(_) => Source::TimeStampCounter,
            Kind::System => Source::System,
            Kind::Virtual => Source::Virtual,
        }
    }

    /// The time, never less than at the call before. May be a little ahead of
    /// [`precise`](Self::precise) on the time-stamp counter.
    #[inline]
    pub fn now(&self) -> Instant {
        let nanos = match &self.kind {
            Kind::Counter(tsc) => tsc.nanos_at(tsc::read()),
            Kind::System => monotonic(),
            Kind::Virtual => 0,
        };
        let nanos = nanos.max(self.last.get());
        self.last.set(nanos);
        Instant::from_nanos(nanos)
    }

    /// `CLOCK_MONOTONIC` itself, at the price of a call into the vDSO (some 25 ns); on a
    /// virtual clock the same as [`now`](Self::now).
    pub fn precise(&self) -> Instant {
        match self.kind {
            Kind::Virtual => self.now(),
            _ => Instant::from_nanos(monotonic()),
        }
    }

    /// Holds the counter against `CLOCK_MONOTONIC` and adjusts it. To be called every 10
    /// to 100 ms and after a long sleep; costs some 100 ns. If the two disagree by more
    /// than 20 µs and a thousandth of the time since the last call, the clock changes
    /// over to the system's and the report says so, once.
    pub fn recheck(&mut self) -> Option<ClockReport> {
        let Kind::Counter(tsc) = &mut self.kind else {
            return None;
        };
        match tsc.judge(sample()?) {
            Verdict::Agrees => None,
            Verdict::Disagrees { by } => {
                self.kind = Kind::System;
                let reason = format!("the time-stamp counter went astray by {by:?}");
                Some(ClockReport { source: Source::System, reason })
            }
        }
    }

    /// Moves virtual time on to `now`; time never goes back.
    ///
    /// # Panics
    /// On a clock that is not virtual.
    pub fn advance_to(&mut self, now: Instant) {
        assert!(
            matches!(self.kind, Kind::Virtual),
            "only a virtual clock can be advanced: make it with `Clock::virtual_at`"
        );
        self.last.set(now.as_nanos().max(self.last.get()));
    }

    fn anchor(&mut self) {
        if let (Kind::Counter(tsc), Some(here)) = (&mut self.kind, sample()) {
            tsc.anchor(here);
        }
    }
}

fn monotonic() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Both clocks at one moment: the best of three tries that were not interrupted.
fn sample() -> Option<Sample> {
    let tries = std::iter::repeat_with(|| {
        let before = tsc::read();
        let nanos = monotonic();
        let width = tsc::read().saturating_sub(before);
        Sample { ticks: before + width / 2, nanos, width }
    });
    tries.take(TRIES).filter(Sample::is_sound).take(3).min_by_key(|sample| sample.width)
}

fn calibrate() -> Result<Tsc, String> {
    tsc::trusted()?;
    let first = sample();
    std::thread::sleep(CALIBRATION);
    let pair = first.zip(sample());
    pair.map(|(first, second)| Tsc::new(first, second))
        .ok_or_else(|| "interrupted too often to calibrate the time-stamp counter".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Over many readings, with rechecks between, no clock goes back.
    #[test]
    fn never_goes_back() {
        let (detected, _) = Clock::detect();
        for mut clock in [detected, Clock::system()] {
            let mut last = clock.now();
            for round in 0..200_000 {
                let now = clock.now();
                assert!(now >= last);
                last = now;
                if round % 1_000 == 0 {
                    clock.recheck();
                }
            }
        }
    }

    /// Right after a recheck the counter lies between two readings of the system's clock,
    /// within 10 µs, at least once in a few tries (a try may be interrupted).
    #[test]
    fn agrees_with_the_system_clock() {
        let (mut clock, report) = Clock::detect();
        assert_eq!(clock.source(), report.source);
        let bound = Duration::from_micros(10);
        let close = (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            clock.recheck();
            let before = clock.precise();
            let now = clock.now();
            let after = clock.precise();
            now + bound >= before && now <= after + bound && after.saturating_since(before) < bound
        });
        assert!(close, "{report}");
    }

    /// Virtual time stands still until it is moved, and cannot be moved back.
    #[test]
    fn virtual_time_moves_when_told() {
        let mut clock = Clock::virtual_at(Instant::from_nanos(100));
        assert_eq!(clock.now(), Instant::from_nanos(100));
        clock.advance_to(Instant::from_nanos(500));
        assert_eq!(
            (clock.now(), clock.precise()),
            (Instant::from_nanos(500), Instant::from_nanos(500))
        );
        clock.advance_to(Instant::from_nanos(200));
        assert_eq!(clock.now(), Instant::from_nanos(500));
        assert_eq!(clock.recheck(), None);
    }

    /// A real clock cannot be set.
    #[test]
    #[should_panic(expected = "only a virtual clock")]
    fn real_time_cannot_be_moved() {
        Clock::system().advance_to(Instant::from_nanos(1));
    }

    /// A counter that jumps is given up once, with a line that says so, and time goes on.
    #[test]
    fn a_counter_astray_is_given_up() {
        let (first, second) = (
            Sample { ticks: 0, nanos: 0, width: 1 },
            Sample { ticks: 1 << 30, nanos: 1 << 20, width: 1 },
        );
        let mut clock = Clock::new(Kind::Counter(Tsc::new(first, second)), 0);
        let report = clock.recheck().expect("this counter is far off");
        assert_eq!(report.source, Source::System);
        assert!(report.to_string().contains("went astray"));
        assert_eq!(clock.recheck(), None);
        assert_eq!(clock.source(), Source::System);
    }
}
