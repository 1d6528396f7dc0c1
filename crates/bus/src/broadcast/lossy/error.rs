//! Why a subscriber of a lossy broadcast got no message.

use std::error::Error;
use std::fmt;

use crate::error::ReceiveError;

/// Why a subscriber of a lossy broadcast got no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossyError {
    /// So many messages were overwritten before this subscriber came to them. It goes on at the
    /// oldest that is still there.
    Missed(u64),
    /// There is nothing to be received: why.
    Receive(ReceiveError),
}

impl From<ReceiveError> for LossyError {
    fn from(error: ReceiveError) -> Self {
        Self::Receive(error)
    }
}

impl fmt::Display for LossyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missed(count) => write!(
                f,
                "{count} messages were overwritten before they were received: receive more often, \
                 or raise the capacity"
            ),
            Self::Receive(error) => error.fmt(f),
        }
    }
}

impl Error for LossyError {}
