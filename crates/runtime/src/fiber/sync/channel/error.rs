//! Why a value was not sent, or not received.

use std::fmt;

use crate::error::Error;

/// Why a value was not sent. It comes back in here.
pub enum SendError<T> {
    /// There is no receiver any more.
    Closed(T),
    /// There was no room, until the deadline if there was one.
    Full(T),
    /// Room could not be waited for, or no longer.
    Wait(T, Error),
}

impl<T> SendError<T> {
    /// What was to be sent.
    pub fn into_inner(self) -> T {
        match self {
            Self::Closed(value) | Self::Full(value) | Self::Wait(value, _) => value,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Closed(_) => "Closed",
            Self::Full(_) => "Full",
            Self::Wait(..) => "Wait",
        }
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wait(_, error) => f.debug_tuple("Wait").field(error).finish_non_exhaustive(),
            _ => f.debug_tuple(self.name()).finish_non_exhaustive(),
        }
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(_) => f.write_str("the channel is closed: it has no receiver any more"),
            Self::Full(_) => f.write_str("the channel is full: receive faster, or make it larger"),
            Self::Wait(_, error) => error.fmt(f),
        }
    }
}

impl<T> std::error::Error for SendError<T> {}

/// Why no value was received.
#[derive(Debug, thiserror::Error)]
pub enum RecvError {
    /// There is no sender any more, and all that was sent was received.
    #[error("the channel is closed: it has no sender any more, and is empty")]
    Closed,
    /// There was no value, until the deadline if there was one.
    #[error("the channel is empty")]
    Empty,
    /// A value could not be waited for, or no longer.
    #[error(transparent)]
    Wait(#[from] Error),
}
