//! The loop's timers, as `hyper` wants them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant as StdInstant};

use send_wrapper::SendWrapper;
use tautline_runtime::time::Instant;
use tautline_runtime::{Error, timer};

/// The clock and the timers of a loop.
///
/// `hyper` counts in [`std::time::Instant`], which cannot be made from a number. One is read when
/// the clock is made, together with the loop's own time; all others are counted from there by the
/// loop's time alone, so that simulated time holds.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    anchor: (StdInstant, Instant),
}

impl Clock {
    /// For the loop of this thread.
    ///
    /// # Errors
    /// [`Error::NoRuntime`].
    pub fn new() -> Result<Self, Error> {
        Ok(Self { anchor: (StdInstant::now(), tautline_runtime::now()?) })
    }
}

impl hyper::rt::Timer for Clock {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Sleep::new(timer::sleep(duration)))
    }

    fn sleep_until(&self, deadline: StdInstant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        let (std, own) = self.anchor;
        let due = own + deadline.saturating_duration_since(std);
        Box::pin(Sleep::new(timer::sleep_until(due)))
    }

    fn now(&self) -> StdInstant {
        let (std, own) = self.anchor;
        // Without a loop there is nobody left to be late.
        std + tautline_runtime::now().unwrap_or(own).saturating_since(own)
    }
}

/// A sleep that may be named where `Send` and `Sync` are asked for.
///
/// `hyper` wants both of its timers, for those who move connections between threads. A timer of a
/// loop must stay on its thread. So the wrapper remembers the thread on which it was made and
/// looks before each use: elsewhere it panics before anything is touched, so that nothing is ever
/// shared. Connections of a loop never leave it, hence nobody sees that panic.
///
/// When the timer table is full it ends at once: a deadline that cannot be kept is over.
pub struct Sleep {
    inner: SendWrapper<timer::Sleep>,
}

impl Sleep {
    pub(crate) fn new(sleep: timer::Sleep) -> Self {
        Self { inner: SendWrapper::new(sleep) }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut *self.inner).poll(cx).map(|slept| {
            if let Err(error) = slept {
                log::warn!("a deadline of HTTP ends early: {error}");
            }
        })
    }
}

impl hyper::rt::Sleep for Sleep {}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").finish_non_exhaustive()
    }
}
