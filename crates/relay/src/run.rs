//! The doors through which the program starts a relay.

use crate::config::{DemoConfig, RelayConfig};
use crate::shell;
use crate::stats::{Snapshot, Summary};

/// Why a relay could not run, or ended before its time.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The loop could not be set up, or broke.
    #[error("the loop: {0}")]
    Loop(#[from] tautline_runtime::Error),
    /// Two endpoints cannot be together; nothing was opened.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// There is no room for packets.
    #[error(transparent)]
    Slots(#[from] crate::pool::NoMemory),
    /// An endpoint cannot be used, and trying again would not help.
    #[error("{url}: {reason}")]
    Endpoint {
        /// The endpoint as the user wrote it.
        url: String,
        /// What happened, and what to do about it.
        reason: String,
    },
    /// There is no room for as many peers as the endpoints allow.
    #[error(
        "the system does not grant room for {0} peers at a time; lower ?subscribers= or \
         ?publishers=, or raise the limit on address space (`ulimit -v`)"
    )]
    Peers(usize),
    /// A destination that nothing ever got to.
    #[error("{url}: nothing could be sent there: {reason}")]
    Unreached {
        /// The endpoint as the user wrote it.
        url: String,
        /// The last error.
        reason: String,
    },
    /// Something was lost although a destination has the policy `wait`.
    #[error("{url}: {packets} packets lost in spite of policy=wait")]
    Lost {
        /// The endpoint as the user wrote it.
        url: String,
        /// Packets that it dropped.
        packets: u64,
    },
    /// The demonstration's subscribers could not be set up.
    #[error("the demonstration's subscribers: {0}")]
    Subscribers(String),
    /// It came to its end before its time.
    #[error("{cause}")]
    Ended {
        /// What went wrong.
        cause: Box<Self>,
        /// What had passed by then.
        summary: Box<Summary>,
    },
}

/// Two endpoints of one relay that would destroy each other's data, or feed each other for ever.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// What goes to the destination comes from the source.
    #[error("--from {from} and --to {to} are one {what}; name another {what} in one of them")]
    Circle {
        /// The source as the user wrote it.
        from: String,
        /// The destination as the user wrote it.
        to: String,
        /// What both are.
        what: &'static str,
    },
    /// The same destination is given twice.
    #[error("--to {first} and --to {second} are one {what}; leave one of them out")]
    Twice {
        /// The first of the two as the user wrote it.
        first: String,
        /// The second one.
        second: String,
        /// What both are.
        what: &'static str,
    },
}

impl RunError {
    /// The summary of a relay that ran before it failed.
    #[must_use]
    pub fn summary(&self) -> Option<&Summary> {
        match self {
            Self::Ended { summary, .. } => Some(summary),
            _ => None,
        }
    }

    /// The same failure of a relay that had run.
    pub(crate) fn after(self, summary: Summary) -> Self {
        Self::Ended { cause: Box::new(self), summary: Box::new(summary) }
    }

    /// An endpoint that failed, with what the system said and the remedy.
    pub(crate) fn endpoint(url: &str, error: &std::io::Error) -> Self {
        Self::Endpoint { url: url.to_owned(), reason: shell::explain(error) }
    }
}

/// Runs a relay until it is told to end, and hands `report` a snapshot each second.
///
/// It ends when a finite source has come to its end, at `run_for`, and, if `host.signals` says so,
/// at SIGINT or SIGTERM: receiving stops, what is queued is still sent, within a bound, and the
/// endpoints are closed in order. A second signal ends it at once. One runtime a thread: call it where there is none.
///
/// # Errors
/// [`RunError`] names the endpoint or resource that failed, and if it ran before that it has the
/// [`summary`](RunError::summary).
pub fn run(config: &RelayConfig, report: &mut dyn FnMut(&Snapshot)) -> Result<Summary, RunError> {
    shell::relay(config, report, None)
}

/// The same, and it also ends in order once `done` says so, for programs whose relay is one thread
/// of many. `done` is asked between the turns of the loop, at least every 50 ms.
///
/// # Errors
/// As [`run`].
pub fn run_until(
    config: &RelayConfig,
    report: &mut dyn FnMut(&Snapshot),
    done: &mut dyn FnMut() -> bool,
) -> Result<Summary, RunError> {
    shell::relay(config, report, Some(done))
}

/// Runs the built-in demonstration: feed, relay and checking subscribers over loopback.
///
/// The relay has this thread's loop, the subscribers one on a thread of their own. The feed starts
/// when all of them are connected.
///
/// # Errors
/// As [`run`].
pub fn run_demo(
    config: &DemoConfig,
    report: &mut dyn FnMut(&Snapshot),
) -> Result<Summary, RunError> {
    shell::demonstrate(config, report)
}
