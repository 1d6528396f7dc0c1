//! Calls of several steps, to be awaited or given a callback.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tautline_runtime::{defer, task, timer};

/// A call that takes several operations, such as dialling. It starts when it is first
/// awaited, or at [`then`](Self::then); dropping it gives it up.
#[must_use = "a call does nothing until it is awaited or given a callback"]
pub struct Call<T> {
    steps: Pin<Box<dyn Future<Output = io::Result<T>>>>,
}

impl<T: 'static> Call<T> {
    pub(crate) fn new(steps: impl Future<Output = io::Result<T>> + 'static) -> Self {
        Self { steps: Box::pin(steps) }
    }

    /// Gives it up `after` it was started: it then fails with
    /// [`TimedOut`](io::ErrorKind::TimedOut).
    pub fn timeout(self, after: Duration) -> Self {
        Self::new(async move { timer::timeout(after, self).await? })
    }

    /// Starts it; `done` is called on the loop with its result, never before this returns.
    ///
    /// # Errors
    /// Without a runtime on this thread, or when its task table is full.
    pub fn then<F: FnOnce(io::Result<T>) + 'static>(self, done: F) -> io::Result<()> {
        task::spawn(async move {
            // Only a runtime that is going refuses, and then nobody is to be called.
            let _ = defer(self.await, done);
        })?;
        Ok(())
    }
}

impl<T> Future for Call<T> {
    type Output = io::Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.steps.as_mut().poll(cx)
    }
}

impl<T> fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").finish_non_exhaustive()
    }
}
