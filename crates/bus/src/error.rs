//! Why something on the bus could not be done. Each error says the cause and the remedy; messages
//! that were not sent come back in theirs.

use std::error::Error;
use std::fmt;

use crate::scope::Scope;

/// Why an object could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CreateError {
    /// The heap has no room for it.
    NoMemory {
        /// What was to be made: "channel".
        kind: &'static str,
        /// The part of it for which there was no room.
        what: &'static str,
        /// How many of them.
        count: usize,
        /// Bytes of each.
        bytes: usize,
    },
    /// A limit of users is zero.
    NoUsers {
        /// What was to be made.
        kind: &'static str,
        /// The users of which there could be none: "sender".
        user: &'static str,
    },
    /// Room for no message, or for more than can be counted.
    Capacity {
        /// What was to be made.
        kind: &'static str,
        /// What was asked for.
        asked: usize,
        /// The most that can be had.
        limit: usize,
    },
    /// The system refuses the memory.
    Refused {
        /// What was to be made.
        kind: &'static str,
        /// What the system says, and what to do.
        why: String,
    },
    /// Two wishes do not go together.
    Conflict {
        /// Which, and what to do instead.
        what: &'static str,
    },
}

impl fmt::Display for CreateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMemory { kind, what, count, bytes } => write!(
                f,
                "no memory for the {count} {what} of a {kind} ({bytes} bytes each): \
                 make it smaller, or raise RLIMIT_AS or the memory cgroup"
            ),
            Self::NoUsers { kind, user } => {
                write!(f, "a {kind} without {user}s is of no use: raise the limit to at least 1")
            }
            Self::Capacity { kind, asked, limit } => {
                write!(f, "a {kind} for {asked} messages cannot be made: ask for 1 to {limit}")
            }
            Self::Refused { kind, why } => write!(f, "no memory for a {kind}: {why}"),
            Self::Conflict { what } => f.write_str(what),
        }
    }
}

impl Error for CreateError {}

/// All seats of that kind are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachError {
    /// Who was to be attached: "sender".
    pub user: &'static str,
    /// How many there may be at once.
    pub limit: usize,
    /// Who they are at this moment, by the names of their threads or those given when they
    /// attached.
    pub holders: Vec<String>,
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, limit, holders } = self;
        write!(
            f,
            "all {limit} seats for {user}s are taken, by {}: detach one, or raise the limit when \
             the object is made",
            holders.join(", ")
        )
    }
}

impl Error for AttachError {}

/// Why a message was not sent; it comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SendError<T> {
    /// There is no room, and the policy says not to wait.
    Full(T),
    /// There was no room up to the deadline.
    TimedOut(T),
    /// Nobody receives any more, and nobody can, for all handles are gone.
    Closed(T),
}

impl<T> SendError<T> {
    /// The message that was not sent.
    pub fn into_message(self) -> T {
        match self {
            Self::Full(message) | Self::TimedOut(message) | Self::Closed(message) => message,
        }
    }

    /// The same about another message.
    pub fn map<M>(self, change: impl FnOnce(T) -> M) -> SendError<M> {
        match self {
            Self::Full(message) => SendError::Full(change(message)),
            Self::TimedOut(message) => SendError::TimedOut(change(message)),
            Self::Closed(message) => SendError::Closed(change(message)),
        }
    }
}

impl<T> fmt::Debug for SendError<T> {
    /// Leaves the message out: it may be anything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::TimedOut(_) => "TimedOut(..)",
            Self::Closed(_) => "Closed(..)",
        })
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "there is no room: send less often, or raise the capacity",
            Self::TimedOut(_) => "there was no room in time: raise the capacity or the deadline",
            Self::Closed(_) => "nobody receives any more: stop sending",
        })
    }
}

impl<T> Error for SendError<T> {}

/// Why nothing was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiveError {
    /// There is nothing, and the policy says not to wait.
    Empty,
    /// There was nothing up to the deadline.
    TimedOut,
    /// There is nothing, and nobody can send anything any more.
    Closed,
    /// What is there is no message: see [`Corrupt`].
    Corrupt,
}

/// Shared memory holds what no well-behaved user has written: a value that is none of its type, or
/// positions that cannot be. Only in the scope `Shared`, where another process may write anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another process has scribbled over the shared memory: end it, and make anew")
    }
}

impl Error for Corrupt {}

impl From<Corrupt> for ReceiveError {
    fn from(_: Corrupt) -> Self {
        Self::Corrupt
    }
}

impl ReceiveError {
    /// What a wait says that has found nothing up to its deadline.
    pub(crate) fn late<S: Scope>() -> Self {
        if S::OTHERS_RUN { Self::TimedOut } else { Self::Empty }
    }
}

impl fmt::Display for ReceiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "there is no message: try again later, or wait",
            Self::TimedOut => "no message came in time",
            Self::Closed => "all messages are received, and nobody can send any more",
            Self::Corrupt => return Corrupt.fmt(f),
        })
    }
}

impl Error for ReceiveError {}
