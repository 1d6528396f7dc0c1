//! The half of the one who does the operation.

use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll};

use crate::completion::state::{Core, Generation};
use crate::scope::Carries;

/// Completes one operation. Dropped without that, the operation is *abandoned*, and its owner is
/// told so.
///
/// Made by [`Async::begin`](super::Async::begin).
pub struct Completer<T, S: Carries<T>> {
    core: S::Shared<Core<T, S>>,
    generation: Generation,
    /// It has not completed.
    open: bool,
}

impl<T, S: Carries<T>> Completer<T, S> {
    pub(super) fn new(core: S::Shared<Core<T, S>>, generation: Generation) -> Self {
        Self { core, generation, open: true }
    }

    /// Completes the operation with that value.
    ///
    /// # Errors
    /// The value, when the operation was cancelled: nobody waits for it.
    ///
    /// ```
    /// use tautline_bus::{Local, completion::{Async, Config}};
    /// let mut done = Async::<u32, Local>::new(Config::default());
    /// let late = done.begin()?;
    /// done.cancel();
    /// let next = done.begin()?;
    /// assert_eq!(late.complete(1), Err(1));   // meets nobody, not the next operation
    /// assert_eq!(next.complete(2), Ok(()));
    /// assert_eq!(done.try_take(), Ok(2));
    /// # Ok::<(), tautline_bus::completion::Busy>(())
    /// ```
    #[inline]
    pub fn complete(mut self, value: T) -> Result<(), T> {
        self.open = false;
        self.core.complete(self.generation, value)
    }

    /// Whether the owner has cancelled the operation, or is gone.
    pub fn is_cancelled(&self) -> bool {
        !self.core.is_current(self.generation)
    }

    /// Ready when the operation is cancelled; leaves a waker for that otherwise.
    pub fn poll_cancelled(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let waits = self.core.watch(self.generation, context.waker());
        if waits { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Waits until the operation is cancelled: beside the operation, to break it off.
    pub async fn cancelled(&mut self) {
        poll_fn(|context| self.poll_cancelled(context)).await;
    }
}

impl<T, S: Carries<T>> Drop for Completer<T, S> {
    fn drop(&mut self) {
        if self.open {
            self.core.abandon(self.generation);
        }
    }
}

impl<T, S: Carries<T>> fmt::Debug for Completer<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completer")
            .field("scope", &S::NAME)
            .field("cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}
