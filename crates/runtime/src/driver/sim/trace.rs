//! What happened in a world, as a number that two runs can be compared by.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::rng::mix;
use crate::time::Instant;

/// One thing that happened. All of it goes into the hash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) what: &'static str,
    /// Descriptor, connection or token.
    pub(super) subject: u64,
    pub(super) result: i64,
}

/// What happened so far.
#[derive(Debug, Default)]
struct Trace {
    hash: u64,
    steps: u64,
    now: Instant,
    /// At most `keep`, the last ones.
    lines: VecDeque<String>,
    keep: usize,
    calm: bool,
}

impl Trace {
    fn note(&mut self, now: Instant, step: Step) {
        self.now = now;
        self.steps += 1;
        for word in [now.as_nanos(), fingerprint(step.what), step.subject, step.result as u64] {
            self.hash = mix(self.hash.rotate_left(5) ^ word);
        }
        if self.keep > 0 {
            self.keep_line(now, step);
        }
    }

    fn keep_line(&mut self, now: Instant, step: Step) {
        if self.lines.len() == self.keep {
            self.lines.pop_front();
        }
        let mut line = String::new();
        let Step { what, subject, result } = step;
        // Writing to a string does not fail.
        let _ = write!(line, "{:>14} ns  {what} {subject} -> {result}", now.as_nanos());
        self.lines.push_back(line);
    }
}

/// FNV-1a: the same for ever, unlike the standard library's hashes.
fn fingerprint(text: &str) -> u64 {
    let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    text.bytes().fold(0xCBF2_9CE4_8422_2325, step)
}

/// A view of a simulated world from outside: its trace, its time, and a switch that
/// ends all faults. Clones see the same world.
#[derive(Clone, Default)]
pub struct Handle(Arc<Mutex<Trace>>);

impl Handle {
    /// A hash of every event so far: what was asked of the world, what came of it, and
    /// when. The same seed and the same program give the same hash.
    pub fn trace_hash(&self) -> u64 {
        self.trace().hash
    }

    /// How many events there were so far.
    pub fn steps(&self) -> u64 {
        self.trace().steps
    }

    /// The time of the last event.
    pub fn now(&self) -> Instant {
        self.trace().now
    }

    /// The last events, oldest first, one line each: time, what, whom (a descriptor,
    /// connection or operation), result. At most as many as the configuration keeps.
    pub fn lines(&self) -> Vec<String> {
        self.trace().lines.iter().cloned().collect()
    }

    /// Nothing new goes wrong from the loop's next turn on, as after
    /// [`Faults::quiesce_at`](super::Faults::quiesce_at).
    pub fn calm(&self) {
        self.trace().calm = true;
    }

    pub(super) fn is_calm(&self) -> bool {
        self.trace().calm
    }

    /// A new world begins, which keeps the last `keep` lines.
    pub(super) fn begin(&self, now: Instant, keep: usize) {
        *self.trace() = Trace { now, keep, ..Trace::default() };
    }

    pub(super) fn note(&self, now: Instant, what: &'static str, subject: u64, result: i64) {
        self.trace().note(now, Step { what, subject, result });
    }

    fn trace(&self) -> MutexGuard<'_, Trace> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trace = self.trace();
        write!(f, "Handle({} steps, trace {:016x})", trace.steps, trace.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(steps: &[(u64, &'static str, u64, i64)]) -> Handle {
        let handle = Handle::default();
        handle.begin(Instant::from_nanos(0), 2);
        for &(at, what, subject, result) in steps {
            handle.note(Instant::from_nanos(at), what, subject, result);
        }
        handle
    }

    /// Each part of an event, and the order of events, tells in the hash.
    #[test]
    fn every_part_of_an_event_counts() {
        let base = noted(&[(1, "send", 3, 5), (2, "receive", 4, 5)]);
        let same = noted(&[(1, "send", 3, 5), (2, "receive", 4, 5)]);
        assert_eq!(base.trace_hash(), same.trace_hash());
        let others = [
            noted(&[(1, "send", 3, 5)]),
            noted(&[(2, "receive", 4, 5), (1, "send", 3, 5)]),
            noted(&[(1, "send", 3, 5), (3, "receive", 4, 5)]),
            noted(&[(1, "send", 3, 5), (2, "recv", 4, 5)]),
            noted(&[(1, "send", 3, 5), (2, "receive", 5, 5)]),
            noted(&[(1, "send", 3, 5), (2, "receive", 4, -5)]),
        ];
        for other in &others {
            assert_ne!(other.trace_hash(), base.trace_hash());
        }
    }

    /// The last lines are kept, no more of them than asked for.
    #[test]
    fn the_last_lines_are_kept() {
        let handle = noted(&[(1, "a", 1, 1), (2, "b", 2, 2), (30, "c", 3, -3)]);
        let lines = handle.lines();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].ends_with("2 ns  b 2 -> 2"), "{lines:?}");
        assert!(lines[1].ends_with("30 ns  c 3 -> -3"), "{lines:?}");
        assert_eq!((handle.steps(), handle.now()), (3, Instant::from_nanos(30)));
    }
}
