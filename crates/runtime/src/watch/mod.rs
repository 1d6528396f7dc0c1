//! The watch over a loop's turns: how long they take, and who took the time.
//!
//! [`Watch`] measures turns that end; [`StallWatch`] names the one that does not, while
//! it is blocked.

mod histogram;
mod stall;

use std::time::Duration;

use crate::time::Instant;

pub use histogram::Histogram;
pub use stall::{Frame, Stall, StallWatch};

/// A turn that took longer than the threshold, and the handler most to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offence {
    /// The handler or task that took the longest in that turn.
    pub name: &'static str,
    /// How long that one took.
    pub took: Duration,
    /// How long the whole turn took.
    pub turn: Duration,
}

/// What stands in for the name of a handler when a turn was long without one.
const NO_HANDLER: &str = "(no handler)";

/// Measures the turns of one loop.
///
/// With the watch for turns that do not end it costs an idle turn 13 ns and a turn with one
/// dispatch 35 ns, readings of the clock included, measured at 2.6 GHz by
/// `cargo run --release -p bench -- turn --quick`.
///
/// ```
/// use std::time::Duration;
/// use tautline_runtime::{time::Instant, watch::Watch};
/// let at = |micros: u64| Instant::from_nanos(micros * 1_000);
/// let mut watch = Watch::new(Some(Duration::from_millis(1)));
/// watch.turn_begin(at(0));
/// watch.dispatch_begin("quick");
/// watch.dispatch_end(at(10));
/// watch.dispatch_begin("slow");
/// watch.dispatch_end(at(2_000));
/// let offence = watch.turn_end(at(2_001)).expect("longer than a millisecond");
/// assert_eq!((offence.name, offence.took), ("slow", Duration::from_micros(1_990)));
/// ```
#[derive(Clone, Debug)]
pub struct Watch {
    /// Turns in which something was dispatched.
    busy: Histogram,
    /// Turns in which nothing was.
    idle: u64,
    /// A turn longer than this is an offence; nanoseconds.
    threshold: u64,
    offences: u64,
    longest: Option<Offence>,
    /// A turn that takes longer than this is remembered or reported: the threshold, or
    /// the longest turn so far if that is less; nanoseconds.
    notable: u64,
    /// When the turn began.
    began: Instant,
    /// When the latest dispatch ended, or the turn began: the next one begins here.
    mark: Instant,
    /// What is being dispatched.
    running: Option<&'static str>,
    /// The longest dispatch of this turn and its nanoseconds; `None` in an idle turn.
    worst: Option<(&'static str, u64)>,
}

impl Watch {
    /// A watch that reports turns longer than `threshold`; `None` reports none.
    pub fn new(threshold: Option<Duration>) -> Self {
        let zero = Instant::from_nanos(0);
        let mut watch = Self {
            busy: Histogram::new(),
            idle: 0,
            threshold: 0,
            offences: 0,
            longest: None,
            notable: 0,
            began: zero,
            mark: zero,
            running: None,
            worst: None,
        };
        watch.set_threshold(threshold);
        watch
    }

    /// Reports turns longer than `threshold` from now on; `None` reports none.
    pub fn set_threshold(&mut self, threshold: Option<Duration>) {
        let nanos = threshold.map(|threshold| u64::try_from(threshold.as_nanos()));
        self.threshold = nanos.and_then(Result::ok).unwrap_or(u64::MAX);
        self.notable = self.notable.min(self.threshold);
    }

    /// A turn begins.
    #[inline]
    pub fn turn_begin(&mut self, now: Instant) {
        self.began = now;
        self.mark = now;
        self.running = None;
        self.worst = None;
    }

    /// A handler or task is about to run. Its time counts from the end of the one before,
    /// so that each costs one reading of the clock, not two.
    #[inline]
    pub fn dispatch_begin(&mut self, name: &'static str) {
        self.running = Some(name);
    }

    /// It has returned.
    #[inline]
    pub fn dispatch_end(&mut self, now: Instant) {
        let took = now.as_nanos().saturating_sub(self.mark.as_nanos());
        self.mark = now;
        if let Some(name) = self.running.take()
            && self.worst.is_none_or(|(_, worst)| took > worst)
        {
            self.worst = Some((name, took));
        }
    }

    /// The turn has ended. Says so if it took longer than the threshold. A dispatch whose
    /// end was not told ends here.
    #[inline]
    pub fn turn_end(&mut self, now: Instant) -> Option<Offence> {
        if self.running.is_some() {
            self.dispatch_end(now);
        }
        let nanos = now.as_nanos().saturating_sub(self.began.as_nanos());
        if self.worst.is_some() {
            self.busy.record(nanos);
        } else {
            self.idle += 1;
        }
        if nanos > self.notable || self.longest.is_none() { self.judge(nanos) } else { None }
    }

    /// What is rarely so: a turn over the threshold, or longer than any before.
    #[cold]
    fn judge(&mut self, nanos: u64) -> Option<Offence> {
        let (name, took) = self.worst.unwrap_or((NO_HANDLER, 0));
        let (took, turn) = (Duration::from_nanos(took), Duration::from_nanos(nanos));
        let offence = Offence { name, took, turn };
        if self.longest.is_none_or(|longest| turn > longest.turn) {
            self.longest = Some(offence);
            self.notable = nanos.min(self.threshold);
        }
        if nanos <= self.threshold {
            return None;
        }
        self.offences += 1;
        Some(offence)
    }

    /// How long turns took in which something was dispatched.
    pub fn busy_turns(&self) -> &Histogram {
        &self.busy
    }

    /// How many turns found nothing to do.
    pub fn idle_turns(&self) -> u64 {
        self.idle
    }

    /// How many turns took longer than the threshold.
    pub fn offences(&self) -> u64 {
        self.offences
    }

    /// The longest turn of all and the handler that took the longest in it; `None` before
    /// the first turn.
    pub fn longest(&self) -> Option<Offence> {
        self.longest
    }

    /// Forgets what was measured; the threshold stays.
    pub fn clear(&mut self) {
        self.busy.clear();
        self.idle = 0;
        self.offences = 0;
        self.longest = None;
        self.notable = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    fn nanos(nanos: u64) -> Duration {
        Duration::from_nanos(nanos)
    }

    /// One turn from `start`, with dispatches of these lengths.
    fn turn(watch: &mut Watch, start: u64, dispatches: &[(&'static str, u64)]) -> Option<Offence> {
        watch.turn_begin(at(start));
        let mut now = start;
        for &(name, took) in dispatches {
            watch.dispatch_begin(name);
            now += took;
            watch.dispatch_end(at(now));
        }
        watch.turn_end(at(now + 5))
    }

    /// The longest turn is kept with the handler that took the longest in it, even when
    /// another turn had a longer handler.
    #[test]
    fn the_longest_turn_names_its_longest_handler() {
        let mut watch = Watch::new(None);
        turn(&mut watch, 0, &[("lone", 500)]);
        turn(&mut watch, 1_000, &[("a", 300), ("b", 400), ("c", 200)]);
        turn(&mut watch, 3_000, &[("d", 100)]);
        let longest = watch.longest().expect("three turns");
        assert_eq!(longest, Offence { name: "b", took: nanos(400), turn: nanos(905) });
    }

    /// Only turns over the threshold are offences, and each is counted.
    #[test]
    fn offences_are_reported_and_counted() {
        let mut watch = Watch::new(Some(nanos(105)));
        assert_eq!(turn(&mut watch, 0, &[("at the limit", 100)]), None);
        let offence = turn(&mut watch, 1_000, &[("over", 101)]);
        assert_eq!(offence.map(|offence| offence.name), Some("over"));
        assert!(turn(&mut watch, 2_000, &[("again", 101)]).is_some());
        assert_eq!(watch.offences(), 2);
        watch.set_threshold(None);
        assert_eq!(turn(&mut watch, 3_000, &[("let off", 10_000)]), None);
    }

    /// Idle turns are counted apart and do not blur the busy ones.
    #[test]
    fn idle_turns_count_apart() {
        let mut watch = Watch::new(None);
        for start in 0..10 {
            turn(&mut watch, start * 1_000, &[]);
        }
        turn(&mut watch, 20_000, &[("busy", 0)]);
        assert_eq!((watch.idle_turns(), watch.busy_turns().count()), (10, 1));
        watch.clear();
        assert_eq!((watch.idle_turns(), watch.busy_turns().count(), watch.longest()), (0, 0, None));
    }

    /// A dispatch that never said it ended is still the one to blame.
    #[test]
    fn an_open_dispatch_ends_with_its_turn() {
        let mut watch = Watch::new(Some(nanos(10)));
        watch.turn_begin(at(0));
        watch.dispatch_begin("unwound");
        let offence = watch.turn_end(at(100)).expect("over the threshold");
        assert_eq!((offence.name, offence.took), ("unwound", nanos(100)));
    }

    /// A long turn without any handler is reported as such.
    #[test]
    fn a_long_turn_without_handlers_says_so() {
        let mut watch = Watch::new(Some(nanos(10)));
        watch.turn_begin(at(0));
        assert_eq!(watch.turn_end(at(100)).map(|offence| offence.name), Some(NO_HANDLER));
    }
}
