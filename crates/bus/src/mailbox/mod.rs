//! A mailbox: any number of threads post, its one owner takes, in one order for all.
//!
//! The lightest way in which a thread can be handed something: nobody attaches, so that anything
//! may have a [`Poster`] and clone it, and the owner does not wait in here. How it learns that
//! there is something is its own affair, told by the [`Bell`] that each post rings: the loop of
//! `tautline-runtime`, whose mailbox this is, looks each turn, and has a bell that wakes it if it
//! sleeps. For everything else there is the [`channel`](crate::channel), whose users wait for each
//! other, know when the others have gone, and have a lane each, so that none can hold another up: a
//! poster that is stopped in the midst of a post keeps back what others have posted since.
//!
//! ```
//! use tautline_bus::mailbox::mailbox;
//!
//! let (poster, mut mailbox) = mailbox::<u32, _>(64, ())?;
//! let thread = std::thread::spawn(move || poster.post(7));
//! thread.join().unwrap().unwrap();
//! assert_eq!(mailbox.take(), Some(7));
//! assert_eq!(mailbox.take(), None);
//! # Ok::<(), tautline_bus::CreateError>(())
//! ```

#[cfg(all(test, loom))]
mod loom_models;
#[cfg(all(test, not(loom)))]
mod tests;

use std::fmt;

use crate::error::{CreateError, SendError};
use crate::ring::funnel::{Giver, Refused, Taker, funnel};

/// How the owner of a mailbox learns that something was posted.
pub trait Bell {
    /// Something was posted, a moment ago. A bell that looks whether the owner sleeps needs a full
    /// fence before it looks, and the owner one between saying so and looking into the mailbox.
    fn ring(&self);
}

/// The owner looks by itself.
impl Bell for () {
    #[inline(always)]
    fn ring(&self) {}
}

/// A mailbox for up to `capacity` messages, rounded up to a power of two, whose posts ring `bell`.
///
/// # Errors
/// [`CreateError`]: a capacity of zero, or no memory.
pub fn mailbox<T: Send, B: Bell>(
    capacity: usize,
    bell: B,
) -> Result<(Poster<T, B>, Mailbox<T>), CreateError> {
    let (giver, taker) = funnel("mailbox", capacity)?;
    Ok((Poster { giver, bell }, Mailbox { taker }))
}

/// Posts into a mailbox, from any thread.
pub struct Poster<T, B = ()> {
    giver: Giver<T>,
    bell: B,
}

impl<T, B: Clone> Clone for Poster<T, B> {
    fn clone(&self) -> Self {
        Self { giver: self.giver.clone(), bell: self.bell.clone() }
    }
}

impl<T, B> fmt::Debug for Poster<T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poster").finish_non_exhaustive()
    }
}

impl<T: Send, B: Bell> Poster<T, B> {
    /// Hands `message` to the owner. Never waits. Messages of one poster arrive in the order in
    /// which they were posted.
    ///
    /// # Errors
    /// [`SendError::Full`]; [`SendError::Closed`] when the mailbox was dropped.
    #[inline]
    pub fn post(&self, message: T) -> Result<(), SendError<T>> {
        // SAFETY: the place is valid for a message, and a move does not unwind.
        unsafe { self.post_with(message, |place, message| place.write(message)) }
    }

    /// The same for a message that `write` makes of `seed` in its place, so that one that is large
    /// is not moved.
    ///
    /// # Errors
    /// As [`post`](Self::post); the seed comes back.
    ///
    /// # Safety
    /// `write` writes a message to the place that it is given, which is valid for that, and does not
    /// unwind.
    #[inline]
    pub unsafe fn post_with<S>(
        &self,
        seed: S,
        write: impl FnOnce(*mut T, S),
    ) -> Result<(), SendError<S>> {
        // SAFETY: as promised.
        let given = unsafe { self.giver.give_with(seed, write) };
        given.map_err(|refused| match refused {
            Refused::Full(seed) => SendError::Full(seed),
            Refused::Closed(seed) => SendError::Closed(seed),
        })?;
        self.bell.ring();
        Ok(())
    }
}

/// The owner's end of a mailbox. Dropping it closes the mailbox: what was not taken is dropped, and
/// every later post gets its message back.
pub struct Mailbox<T: Send> {
    taker: Taker<T>,
}

impl<T: Send> Mailbox<T> {
    /// Takes the oldest message. `None` also while that is still being written.
    #[inline]
    pub fn take(&mut self) -> Option<T> {
        self.taker.take()
    }

    /// Closes the mailbox: lets nothing be posted any more, and takes the oldest message of those
    /// that were. Where that is still being written, it waits for it.
    pub fn take_the_rest(&mut self) -> Option<T> {
        self.taker.take_the_rest()
    }

    /// Whether there is nothing to take.
    #[inline]
    pub fn is_empty(&self) -> bool {
        !self.taker.is_ready()
    }

    /// Messages in it, those included that are being written just now: a hint.
    pub fn len(&self) -> usize {
        self.taker.len()
    }

    /// Messages that it has room for.
    pub fn capacity(&self) -> usize {
        self.taker.capacity()
    }
}

impl<T: Send> fmt::Debug for Mailbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("capacity", &self.capacity()).finish_non_exhaustive()
    }
}
