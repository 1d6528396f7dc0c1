//! What is known of the lines that the sinks were given, for who ends the process meanwhile.

use crate::output::say;
use crate::sync::{AtomicU64, Ordering};

/// Numbers for people: each is looked at for itself, so that no order is needed (all Relaxed).
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Lines that sinks were given, and that are not known to be written.
    unwritten: AtomicU64,
    /// Lines that sinks have given up.
    lost: AtomicU64,
    /// Calls of sinks that have begun, and that have returned.
    calls: AtomicU64,
}

impl Tally {
    /// Calls a sink.
    pub(crate) fn during<R>(&self, call: impl FnOnce() -> R) -> R {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let done = call();
        self.calls.fetch_add(1, Ordering::Relaxed);
        done
    }

    /// A line is about to be given to the sinks.
    pub(crate) fn give(&self) {
        self.unwritten.fetch_add(1, Ordering::Relaxed);
    }

    /// The sinks were flushed.
    pub(crate) fn set(&self, unwritten: u64, lost: u64) {
        self.unwritten.store(unwritten, Ordering::Relaxed);
        self.lost.store(lost, Ordering::Relaxed);
    }

    /// Changes whenever a call of a sink begins or returns.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Tells, on standard error, what has not got out: `kept` says where it may still be found. If
    /// `all_read` is not so, it is not known how many lines are left in the rings.
    pub(crate) fn tell(&self, all_read: bool, kept: &str) {
        let count = self.unwritten.load(Ordering::Relaxed);
        if !all_read && self.calls() % 2 == 1 {
            say(format_args!(
                "lines that were not written before the end: at least {count}, and those that are \
                 still in the rings: a sink hangs, or is slow{kept}"
            ));
        } else if count > 0 {
            say(format_args!("lines that were not written before the end: {count}{kept}"));
        } else if !all_read {
            say(format_args!("lines may not have been written before the end{kept}"));
        }
        let lost = self.lost.load(Ordering::Relaxed);
        if lost > 0 {
            say(format_args!("lines that sinks could not hand on, and gave up: {lost}"));
        }
    }
}
