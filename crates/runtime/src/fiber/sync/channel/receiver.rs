//! The end of a channel that values come out of.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use crate::fiber::sync::channel::{RecvError, Shared};
use crate::fiber::sync::permits::{Permits, Taken, Turn};
use crate::fiber::sync::{Wait, in_fiber};
use crate::time::Instant;

/// The end of a [`channel`](super::channel()) that values come out of. Each goes to one of its
/// clones. With the last of them the channel is closed: what is queued is dropped, and senders
/// get their values back.
pub struct Receiver<T> {
    pub(super) shared: Rc<Shared<T>>,
}

impl<T> Receiver<T> {
    /// Waits for a value.
    ///
    /// # Errors
    /// [`RecvError`].
    #[inline]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.recv_by(&Wait::new("Receiver::recv", None))
    }

    /// As [`recv`](Self::recv), but waits no longer than until `deadline`.
    ///
    /// # Errors
    /// [`RecvError`]; [`RecvError::Empty`] when it is too late.
    pub fn recv_until(&self, deadline: Instant) -> Result<T, RecvError> {
        self.recv_by(&Wait::new("Receiver::recv_until", Some(deadline)))
    }

    /// Receives a value if there is one that nobody else waits for. In callbacks and tasks too.
    ///
    /// # Errors
    /// [`RecvError::Closed`], [`RecvError::Empty`].
    pub fn try_recv(&self) -> Result<T, RecvError> {
        let values = &self.shared.values;
        self.receive(match values.try_take(1) {
            true => Taken::All,
            false if values.is_closed() => Taken::Closed,
            false => Taken::TooLate,
        })
    }

    /// For tasks: `.await` a value. It waits in one line with fibers.
    ///
    /// # Errors
    /// [`RecvError::Closed`].
    ///
    /// ```
    /// # use tautline_runtime::{Config, Runtime, fiber::{self, Stack}};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let runtime = Runtime::new(Config::default())?;
    /// let (sender, receiver) = fiber::channel(1);
    /// let _ = fiber::spawn(Stack::Small, move || sender.send(7))?;
    /// assert_eq!(runtime.block_on(async { receiver.recv_async().await })??, 7);
    /// # Ok(())
    /// # }
    /// ```
    pub fn recv_async(&self) -> RecvFuture<'_, T> {
        RecvFuture { receiver: self, turn: Turn::new(&self.shared.values, 1) }
    }

    /// Waits for one value after the other. It ends where [`recv`](Self::recv) would fail: with
    /// the channel, or with this fiber.
    pub fn iter(&self) -> Received<'_, T> {
        Received(self)
    }

    /// Whether there is no sender any more. Values may be left.
    pub fn is_closed(&self) -> bool {
        self.shared.values.is_closed()
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
    fn recv_by(&self, wait: &Wait) -> Result<T, RecvError> {
        self.receive(in_fiber(|here| self.shared.values.take(here, 1, wait))?)
    }

    #[inline]
    fn receive(&self, taken: Taken) -> Result<T, RecvError> {
        match taken {
            Taken::All => Ok(self.shared.pop()),
            Taken::TooLate => Err(RecvError::Empty),
            Taken::Closed => Err(RecvError::Closed),
        }
    }

    pub(in crate::fiber::sync) fn permits(&self) -> &Permits {
        &self.shared.values
    }
}

/// Values of a channel, one after the other: see [`Receiver::iter`].
#[derive(Debug)]
pub struct Received<'r, T>(&'r Receiver<T>);

impl<T> Iterator for Received<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.0.recv().ok()
    }
}

impl<'r, T> IntoIterator for &'r Receiver<T> {
    type Item = T;
    type IntoIter = Received<'r, T>;

    fn into_iter(self) -> Received<'r, T> {
        self.iter()
    }
}

/// Waits for a value: see [`Receiver::recv_async`]. Dropping it loses none.
#[must_use = "it receives when it is awaited"]
pub struct RecvFuture<'r, T> {
    receiver: &'r Receiver<T>,
    turn: Turn<'r>,
}

impl<T> Future for RecvFuture<'_, T> {
    type Output = Result<T, RecvError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.into_ref();
        // SAFETY: the turn is pinned whenever this is: nothing moves it out.
        let turn = unsafe { this.map_unchecked(|this| &this.turn) };
        Poll::Ready(this.receiver.receive(ready!(turn.poll(cx))))
    }
}

impl<T> fmt::Debug for RecvFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RecvFuture").field(self.receiver).finish()
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        let receivers = &self.shared.receivers;
        receivers.set(receivers.get() + 1);
        Self { shared: self.shared.clone() }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let receivers = &self.shared.receivers;
        receivers.set(receivers.get() - 1);
        if receivers.get() == 0 {
            self.shared.room.close();
            // Dropping values may come back here: the queue is not borrowed then.
            let queued = self.shared.queue.take();
            drop(queued);
        }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
