//! The publishing end.

use std::fmt;

use super::Lossy;
use super::shape::Tape;
use crate::bells::Rings;
use crate::error::{AttachError, SendError};
use crate::object::{Attachment, Handle, Role};
use crate::plain::Plain;
use crate::ring::tape::Giver;
use crate::scope::Carries;

/// Sends to all subscribers, and waits for none. Dropping it detaches; what it has sent is still
/// received.
///
/// On cache lines of its own, away from a subscriber that may lie beside it.
#[repr(align(128))]
pub struct Publisher<T: Plain, S: Carries<T>> {
    giver: Giver<T, S>,
    seat: Attachment<Tape<T>, S>,
}

impl<T: Plain, S: Carries<T>> Publisher<T, S> {
    pub(super) fn attach(
        handle: &Handle<Tape<T>, S>,
        name: Option<&str>,
    ) -> Result<Self, AttachError> {
        let seat = handle.attach_as(Role::Giver, name)?;
        let parts = seat.parts();
        // SAFETY: the seat is ours, and the attachment, kept beside it, keeps the object.
        let giver = unsafe { Giver::new(&parts.rows[0], &parts.slots) };
        Ok(Self { giver, seat })
    }

    /// Sends a message to all, over the oldest that is kept.
    ///
    /// # Errors
    /// [`SendError::Closed`], with the message: never for want of room.
    #[inline(always)]
    pub fn send(&mut self, message: T) -> Result<(), SendError<T>> {
        let parts = self.seat.parts();
        if !Tape::takes(parts) {
            return Err(SendError::Closed(message));
        }
        self.giver.give(&message);
        Tape::filled(parts);
        self.seat.attend();
        Ok(())
    }

    /// Sends messages, and wakes those who wait once for all. Returns how many: all, or none if
    /// nobody receives any more.
    pub fn send_batch(&mut self, messages: impl IntoIterator<Item = T>) -> usize {
        let parts = self.seat.parts();
        if !Tape::takes(parts) {
            return 0;
        }
        let sent = messages.into_iter().map(|message| self.giver.give(&message)).count();
        Tape::filled(parts);
        self.seat.attend();
        sent
    }

    /// Another handle to the broadcast.
    pub fn broadcast(&self) -> Lossy<T, S> {
        Lossy { handle: self.seat.handle() }
    }
}

impl<T: Plain, S: Carries<T>> fmt::Debug for Publisher<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("scope", &S::NAME).finish_non_exhaustive()
    }
}
