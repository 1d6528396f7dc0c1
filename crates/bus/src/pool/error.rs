//! Why no buffer was lent.

use std::error::Error;
use std::fmt;

/// Why no buffer was lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoanError {
    /// All are out, and the policy says not to wait.
    Exhausted {
        /// How many there are.
        buffers: usize,
    },
    /// None came back up to the deadline.
    TimedOut {
        /// How many there are.
        buffers: usize,
    },
}

impl fmt::Display for LoanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (buffers, when) = match self {
            Self::Exhausted { buffers } => (buffers, "are out"),
            Self::TimedOut { buffers } => (buffers, "stayed out too long"),
        };
        write!(
            f,
            "all {buffers} buffers of the pool {when}: drop messages that are read, or make the \
             pool larger than all rings that hold its messages"
        )
    }
}

impl Error for LoanError {}
