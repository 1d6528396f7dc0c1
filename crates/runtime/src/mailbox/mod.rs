//! How other threads hand the loop something: a bounded mailbox of the bus, with one reader.
//!
//! The loop keeps a [`Mailbox`], and any thread may clone a [`Poster`]. A post puts the message
//! where the loop finds it, and wakes the loop if it sleeps, at most once per sleep
//! ([`sleeper`]).

mod sleeper;

#[cfg(all(test, loom))]
pub(crate) mod loom_models;
#[cfg(all(test, not(loom)))]
mod tests;

use tautline_bus::SendError;
pub(crate) use tautline_bus::mailbox::Mailbox;
use tautline_bus::mailbox::{self, mailbox};

use self::sleeper::Rouse;
pub(crate) use self::sleeper::{Sleeper, Wake};

use crate::sync::Arc;

/// Posts into the mailbox of a loop, from any thread.
pub(crate) type Poster<T> = mailbox::Poster<T, Rouse>;

/// A mailbox for up to `capacity` messages (rounded up to a power of two), on a loop that sleeps
/// by `sleeper`. `knob` is the field of the configuration that sets the capacity.
#[cfg(not(loom))]
pub(crate) fn mailbox_for<T: Send>(
    knob: &'static str,
    capacity: usize,
    sleeper: &Arc<Sleeper>,
) -> Result<(Poster<T>, Mailbox<T>), crate::Error> {
    mailbox(capacity, Rouse(sleeper.clone())).map_err(|_| crate::Error::Config {
        field: knob,
        value: capacity.to_string(),
        remedy: "there is no memory for so many messages: ask for fewer",
    })
}

/// Why a message was not posted; the message comes back in it.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PostError<T> {
    /// There was no room.
    #[error("the loop's mailbox is full: post less often, or raise `Config::mailbox`")]
    Full(T),
    /// The loop is gone, and will not come back.
    #[error("the loop is gone: its runtime was dropped, so stop posting to it")]
    Closed(T),
}

impl<T> PostError<T> {
    /// What a post into the mailbox of a loop says, about another message.
    pub(crate) fn of<M>(refused: SendError<M>, change: impl FnOnce(M) -> T) -> Self {
        match refused {
            // Posts have no deadline.
            SendError::Full(message) | SendError::TimedOut(message) => Self::Full(change(message)),
            SendError::Closed(message) => Self::Closed(change(message)),
        }
    }

    /// The message that was not posted.
    pub fn into_message(self) -> T {
        match self {
            Self::Full(message) | Self::Closed(message) => message,
        }
    }
}

impl<T> std::fmt::Debug for PostError<T> {
    /// Leaves the message out: it may be a closure.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Closed(_) => "Closed(..)",
        })
    }
}
