//! How other threads hand the loop something: a bounded mailbox with one reader.
//!
//! The seam is small on purpose: [`mailbox`] makes a [`Mailbox`], which the loop keeps,
//! and a [`Poster`], which any thread may clone. A post puts the message into the
//! [`ring`] and wakes the loop if it sleeps, at most once per sleep ([`sleeper`]).

mod ring;
mod sleeper;

#[cfg(all(test, loom))]
pub(crate) mod loom_models;
#[cfg(all(test, not(loom)))]
mod tests;

pub(crate) use self::sleeper::{Sleeper, Wake};

use crate::sync::Arc;

/// A mailbox for up to `capacity` messages (rounded up to a power of two), on a loop
/// that sleeps by `sleeper`.
pub(crate) fn mailbox<T: Send>(capacity: usize, sleeper: Arc<Sleeper>) -> (Poster<T>, Mailbox<T>) {
    let (sender, receiver) = ring::channel(capacity);
    (Poster { sender, sleeper }, Mailbox { receiver })
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
    /// The same about another message.
    pub(crate) fn map<M>(self, change: impl FnOnce(T) -> M) -> PostError<M> {
        match self {
            Self::Full(message) => PostError::Full(change(message)),
            Self::Closed(message) => PostError::Closed(change(message)),
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

/// Posts into a mailbox, from any thread.
pub(crate) struct Poster<T> {
    sender: ring::Sender<T>,
    sleeper: Arc<Sleeper>,
}

impl<T> Clone for Poster<T> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), sleeper: self.sleeper.clone() }
    }
}

impl<T: Send> Poster<T> {
    /// Hands `message` to the loop and wakes it if it sleeps. Never waits. Messages of
    /// one poster arrive in the order in which they were posted.
    ///
    /// # Errors
    /// Gives the message back when the mailbox is full or the loop gone.
    #[inline]
    pub(crate) fn post(&self, message: T) -> Result<(), PostError<T>> {
        self.sender.push(message)?;
        self.sleeper.notify();
        Ok(())
    }

    /// The same for a message that `write` makes of `seed` in its place.
    ///
    /// # Errors
    /// Gives the seed back.
    #[inline]
    pub(crate) fn post_with<S>(
        &self,
        seed: S,
        write: impl FnOnce(*mut T, S),
    ) -> Result<(), PostError<S>> {
        self.sender.push_with(seed, write)?;
        self.sleeper.notify();
        Ok(())
    }
}

/// The loop's end of a mailbox. Dropping it closes the mailbox: what was not taken is
/// dropped, and every later post gets its message back.
pub(crate) struct Mailbox<T: Send> {
    receiver: ring::Receiver<T>,
}

impl<T: Send> Mailbox<T> {
    /// Takes the oldest message.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<T> {
        self.receiver.pop()
    }

    /// Whether there is nothing to take. The loop asks this on every turn, and when it
    /// prepares to sleep.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        !self.receiver.is_ready()
    }

    /// Messages that wait, those included that are being written just now: a hint.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.receiver.len()
    }

    /// Messages that the mailbox has room for.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.receiver.capacity()
    }
}
