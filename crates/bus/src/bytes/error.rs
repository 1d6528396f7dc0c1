//! Why there is no room for a message.

use std::error::Error;
use std::fmt;

use crate::error::SendError;

/// Why there is no room for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReserveError {
    /// There never will be: it is longer than messages can be.
    TooLong {
        /// Bytes that it has.
        len: usize,
        /// Bytes that the longest may have.
        limit: usize,
    },
    /// There is none now, and the policy says not to wait.
    Full,
    /// There was none up to the deadline.
    TimedOut,
    /// Nobody receives any more, and nobody can, for all handles are gone.
    Closed,
}

impl From<SendError<()>> for ReserveError {
    fn from(error: SendError<()>) -> Self {
        match error {
            SendError::Full(()) => Self::Full,
            SendError::TimedOut(()) => Self::TimedOut,
            SendError::Closed(()) => Self::Closed,
        }
    }
}

impl fmt::Display for ReserveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = match self {
            Self::TooLong { len, limit } => {
                return write!(
                    f,
                    "a message of {len} bytes is longer than {limit}: send it in pieces, or make \
                     the channel with a capacity of more than {}",
                    2 * len.saturating_add(8)
                );
            }
            Self::Full => SendError::Full(()),
            Self::TimedOut => SendError::TimedOut(()),
            Self::Closed => SendError::Closed(()),
        };
        error.fmt(f)
    }
}

impl Error for ReserveError {}
