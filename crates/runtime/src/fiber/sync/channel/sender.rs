//! The end of a channel that values go into.

use std::fmt;
use std::rc::Rc;

use crate::error::Error;
use crate::fiber::sync::channel::{SendError, Shared};
use crate::fiber::sync::permits::{Permits, Taken};
use crate::fiber::sync::{Wait, in_fiber};
use crate::time::Instant;

/// The end of a [`channel`](super::channel()) that values go into. With the last of its clones
/// the channel is closed: receivers get what is left, and then an error.
pub struct Sender<T> {
    pub(super) shared: Rc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Sends a value; waits for room.
    ///
    /// # Errors
    /// [`SendError`], with the value.
    #[inline]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.send_by(value, &Wait::new("Sender::send", None))
    }

    /// As [`send`](Self::send), but waits no longer than until `deadline`.
    ///
    /// # Errors
    /// [`SendError`], with the value; [`SendError::Full`] when it is too late.
    pub fn send_until(&self, value: T, deadline: Instant) -> Result<(), SendError<T>> {
        self.send_by(value, &Wait::new("Sender::send_until", Some(deadline)))
    }

    /// Sends a value if there is room and nobody waits for it. In callbacks and tasks too.
    ///
    /// # Errors
    /// [`SendError::Closed`], [`SendError::Full`], with the value.
    pub fn try_send(&self, value: T) -> Result<(), SendError<T>> {
        let taken = if self.shared.room.try_take(1) { Taken::All } else { Taken::TooLate };
        self.send_if(Ok(taken), value)
    }

    /// Whether there is no receiver any more.
    pub fn is_closed(&self) -> bool {
        self.shared.room.is_closed()
    }

    /// How many values were sent and not received.
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    /// Whether there is none of those.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many there may be.
    pub fn capacity(&self) -> usize {
        self.shared.capacity
    }

    #[inline]
    fn send_by(&self, value: T, wait: &Wait) -> Result<(), SendError<T>> {
        let taken = in_fiber(|here| self.shared.room.take(here, 1, wait));
        self.send_if(taken, value)
    }

    /// Sends the value if there is room for it. The last receiver may have gone since that was
    /// promised.
    #[inline]
    fn send_if(&self, taken: Result<Taken, Error>, value: T) -> Result<(), SendError<T>> {
        match taken {
            Err(error) => Err(SendError::Wait(value, error)),
            Ok(_) if self.is_closed() => Err(SendError::Closed(value)),
            Ok(Taken::All) => {
                self.shared.push(value);
                Ok(())
            }
            Ok(Taken::TooLate | Taken::Closed) => Err(SendError::Full(value)),
        }
    }

    pub(in crate::fiber::sync) fn permits(&self) -> &Permits {
        &self.shared.room
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        let senders = &self.shared.senders;
        senders.set(senders.get() + 1);
        Self { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let senders = &self.shared.senders;
        senders.set(senders.get() - 1);
        if senders.get() == 0 {
            self.shared.values.close();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
