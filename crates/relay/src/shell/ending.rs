//! How a relay comes to its end: told to, at the end of its source, or by a failure.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use tautline_runtime::time::Instant;

use crate::run::RunError;

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Receiving and sending.
    Running,
    /// Receiving is over; what is queued is still sent.
    Draining,
    /// Nothing more is sent.
    Over,
}

/// Without any send for so long a drain is given up.
const STUCK: Duration = Duration::from_secs(2);
/// A drain that was asked for by a signal takes no longer than this.
const LONGEST: Duration = Duration::from_secs(30);

/// The state of the end, shared by all endpoints.
pub(crate) struct Ending {
    phase: Cell<Phase>,
    failure: RefCell<Option<RunError>>,
    /// Whether the drain must not be given up: a finite source has ended by itself and some
    /// destination is to lose nothing.
    patient: Cell<bool>,
    /// When the drain began.
    since: Cell<Instant>,
    /// The count of sends at the last look, and when it changed.
    progress: Cell<(u64, Instant)>,
}

impl Ending {
    pub(crate) fn new() -> Self {
        Self {
            phase: Cell::new(Phase::Running),
            failure: RefCell::new(None),
            patient: Cell::new(false),
            since: Cell::default(),
            progress: Cell::default(),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Whether receiving goes on.
    pub(crate) fn is_running(&self) -> bool {
        self.phase.get() == Phase::Running
    }

    /// The source has come to its end: drain.
    pub(crate) fn source_ended(&self, lossless: bool) {
        self.patient.set(lossless);
        self.drain();
    }

    /// The time given is over: drain.
    pub(crate) fn end_of_time(&self) {
        self.drain();
    }

    /// A signal: drain; told again, end at once.
    pub(crate) fn interrupt(&self) {
        self.patient.set(false);
        match self.phase.get() {
            Phase::Running => self.drain(),
            _ => self.phase.set(Phase::Over),
        }
    }

    /// An endpoint failed for good; the first failure is the one reported. The others drain.
    pub(crate) fn fail(&self, url: &str, error: &std::io::Error) {
        self.failure.borrow_mut().get_or_insert_with(|| RunError::endpoint(url, error));
        self.drain();
    }

    fn drain(&self) {
        if self.is_running() {
            self.phase.set(Phase::Draining);
            self.since.set(Instant::default());
        }
    }

    /// Looks at a drain, given the sends so far and whether nothing is queued any more; moves on
    /// to [`Phase::Over`] when it is done or stuck.
    pub(crate) fn watch(&self, now: Instant, moved: u64, idle: bool) {
        if self.phase.get() != Phase::Draining {
            return;
        }
        if self.since.get() == Instant::default() {
            self.since.set(now);
            self.progress.set((moved, now));
        }
        if self.progress.get().0 != moved {
            self.progress.set((moved, now));
        }
        let stuck = now.saturating_since(self.progress.get().1) >= STUCK;
        let late = now.saturating_since(self.since.get()) >= LONGEST;
        if idle || (!self.patient.get() && (stuck || late)) {
            self.phase.set(Phase::Over);
        }
    }

    /// The failure that ended the relay, if one did.
    pub(crate) fn take_failure(&self) -> Option<RunError> {
        self.failure.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(1 + seconds * 1_000_000_000)
    }

    /// Proves that a drain ends when nothing is left, and at once at the second signal.
    #[test]
    fn drain_ends_when_idle_or_told_twice() {
        let ending = Ending::new();
        ending.watch(at(0), 0, true);
        assert_eq!(ending.phase(), Phase::Running, "an idle relay goes on");
        ending.interrupt();
        ending.watch(at(1), 0, false);
        assert_eq!(ending.phase(), Phase::Draining);
        ending.watch(at(1), 5, true);
        assert_eq!(ending.phase(), Phase::Over);
        let impatient = Ending::new();
        impatient.interrupt();
        impatient.interrupt();
        assert_eq!(impatient.phase(), Phase::Over);
    }

    /// Proves that a drain that moves is given time, one that is stuck is given up, and one that
    /// moves for ever ends at the limit.
    #[test]
    fn stuck_drain_is_given_up() {
        let stuck = Ending::new();
        stuck.interrupt();
        for (second, over) in [(0, false), (1, false), (2, true)] {
            stuck.watch(at(second), 7, false);
            assert_eq!(stuck.phase() == Phase::Over, over, "second {second}");
        }
        let slow = Ending::new();
        slow.interrupt();
        for second in 0..30 {
            slow.watch(at(second), second, false);
            assert_eq!(slow.phase(), Phase::Draining, "second {second}");
        }
        slow.watch(at(30), 30, false);
        assert_eq!(slow.phase(), Phase::Over);
    }

    /// Proves that the drain behind a finished source waits for whoever must lose nothing, until
    /// a signal says otherwise.
    #[test]
    fn finished_source_waits_for_lossless_destinations() {
        let ending = Ending::new();
        ending.source_ended(true);
        for second in 0..100 {
            ending.watch(at(second), 0, false);
        }
        assert_eq!(ending.phase(), Phase::Draining);
        ending.interrupt();
        assert_eq!(ending.phase(), Phase::Over);
    }

    /// Proves that the first failure is kept and ends the relay.
    #[test]
    fn first_failure_is_kept() {
        let ending = Ending::new();
        ending.fail("file:a", &std::io::ErrorKind::NotFound.into());
        ending.fail("file:b", &std::io::ErrorKind::NotFound.into());
        assert!(!ending.is_running());
        let failure = ending.take_failure().expect("it failed");
        assert!(failure.to_string().starts_with("file:a: "), "{failure}");
    }
}
