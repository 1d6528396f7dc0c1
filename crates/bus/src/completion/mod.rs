//! Completion objects: what one side waits for, and the other completes.
//!
//! An [`Async`] is made once and then used for one operation after the other, without allocation.
//! [`Async::begin`] gives a [`Completer`] to whoever does the operation, on any thread of the
//! scope. The owner looks ([`Async::try_take`]), waits up to a deadline ([`Async::wait`]), awaits
//! it (it is a [`Future`]), or leaves a [`Waker`](std::task::Waker) ([`Async::poll_take`]), by
//! which a fiber parks; or cancels, and may begin again at once: a completer that comes late meets
//! nobody.
//!
//! ```
//! use tautline_bus::{Local, completion::{Async, Config, TakeError}};
//!
//! let mut done = Async::<u64, Local>::new(Config::default());
//! for n in 0..3 {
//!     let completer = done.begin()?;
//!     assert_eq!(done.try_take(), Err(TakeError::Pending));
//!     let thread = std::thread::spawn(move || completer.complete(n * n));
//!     assert_eq!(done.wait(None)?, n * n);
//!     # thread.join().unwrap().unwrap();
//! }
//! drop(done.begin()?);
//! assert_eq!(done.wait(None), Err(TakeError::Abandoned));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **Callbacks.** A callback is a waker: what is called when there is something to take. Made once
//! and left for each operation, it costs no allocation, which a closure kept here would.
//!
//! ```
//! use std::sync::{Arc, mpsc};
//! use std::task::{Context, Wake, Waker};
//! use tautline_bus::{Local, completion::{Async, Config}};
//!
//! struct Post(mpsc::SyncSender<&'static str>);
//! impl Wake for Post {
//!     fn wake(self: Arc<Self>) {
//!         self.0.try_send("ready").ok();      // a loop would post it to itself
//!     }
//! }
//!
//! let (post, posted) = mpsc::sync_channel(4);
//! let callback = Waker::from(Arc::new(Post(post)));
//! let mut done = Async::<u32, Local>::new(Config::default());
//! let completer = done.begin()?;
//! assert!(done.poll_take(&mut Context::from_waker(&callback)).is_pending());
//! completer.complete(7).unwrap();
//! assert_eq!(posted.recv(), Ok("ready"));
//! assert_eq!(done.try_take(), Ok(7));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **Between processes** there is none: the completer would have to go to the other process, as a
//! message that says to which operation it belongs. That is a [request](crate::request), whose
//! [`Call`](crate::request::Call) is a completion.
//!
//! **Several at once.** [`wait_all`], [`wait_first`] and their twins for tasks take any mixture of
//! completions, and of [calls](crate::request::Call), through the trait [`Completion`].

mod completer;
mod join;
#[cfg(all(test, loom))]
mod loom_models;
mod state;

pub use self::completer::Completer;
pub use self::join::{Completion, all, first, poll_all, poll_first, wait_all, wait_first};

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use self::state::Core;
use crate::bells::due;
use crate::event::Sleeps;
use crate::policy::Wait;
use crate::scope::{Carries, InProcess, Scope};

/// How a completion object is used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Config {
    /// How its owner waits.
    pub wait: Wait,
}

/// Why there is no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TakeError {
    /// No operation was begun since the last result was taken.
    Idle,
    /// The operation is under way.
    Pending,
    /// It was still under way at the deadline; it goes on.
    TimedOut,
    /// It ended without a result: its completer was dropped, or nobody is left who would answer.
    Abandoned,
    /// It ended without a result, by a panic of the one who did it.
    Panicked,
    /// What is there is no result: see [`Corrupt`](crate::Corrupt).
    Corrupt,
}

impl fmt::Display for TakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "no operation is under way: begin one, or take each result once",
            Self::Pending => "the operation is under way: look again later, or wait",
            Self::TimedOut => {
                "the operation was not complete in time: wait again, cancel it, or wait longer"
            }
            Self::Abandoned => {
                "the operation was given up by the one who did it: begin another, if it is safe to"
            }
            Self::Panicked => {
                "the one who did the operation has panicked: its own messages say where"
            }
            Self::Corrupt => return crate::error::Corrupt.fmt(f),
        })
    }
}

impl Error for TakeError {}

/// An operation cannot begin: the last one is under way, or its result was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an operation is under way already: take its result, or cancel it, first")
    }
}

impl Error for Busy {}

/// What one waits for: reusable, one operation at a time. See the [module](self).
pub struct Async<T, S: Carries<T>> {
    core: S::Shared<Core<T, S>>,
}

impl<T, S: Carries<T> + InProcess> Async<T, S> {
    /// A completion object. This is all that it ever allocates.
    pub fn new(config: Config) -> Self {
        Self { core: S::share(Core::new(config.wait)) }
    }
}

impl<T, S: Carries<T>> Async<T, S> {
    /// Begins an operation: the half that completes it is for the one who does it.
    ///
    /// # Errors
    /// [`Busy`].
    ///
    /// ```
    /// use tautline_bus::{Private, completion::{Async, Busy, Config}};
    /// let mut done = Async::<(), Private>::new(Config::default());
    /// let completer = done.begin()?;
    /// assert_eq!(done.begin().unwrap_err(), Busy);
    /// # drop(completer);
    /// # Ok::<(), Busy>(())
    /// ```
    pub fn begin(&mut self) -> Result<Completer<T, S>, Busy> {
        let generation = self.core.begin().ok_or(Busy)?;
        Ok(Completer::new(self.core.clone(), generation))
    }

    /// Takes the result, if it is there.
    ///
    /// # Errors
    /// [`TakeError::Pending`], [`TakeError::Abandoned`], [`TakeError::Idle`].
    #[inline]
    pub fn try_take(&mut self) -> Result<T, TakeError> {
        self.core.take()
    }

    /// Takes the result; waits for it, at most for `limit`.
    ///
    /// # Errors
    /// [`TakeError::TimedOut`], after which the operation goes on; [`TakeError::Abandoned`];
    /// [`TakeError::Idle`]. In the scope [`Private`](crate::Private) nobody could complete it
    /// meanwhile: it says [`TakeError::Pending`] rather than wait.
    pub fn wait(&mut self, limit: Option<Duration>) -> Result<T, TakeError> {
        let (bell, _) = self.core.bell();
        if !bell.wait(due(limit), || self.core.is_ready()) {
            return Err(late::<S>());
        }
        self.core.take()
    }

    /// Takes the result, or leaves a waker for when it is there.
    pub fn poll_take(&mut self, context: &mut Context<'_>) -> Poll<Result<T, TakeError>> {
        self.poll_until_ready(context).map(|()| self.core.take())
    }

    fn poll_until_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        let (bell, cell) = self.core.bell();
        bell.poll(cell, context, || self.core.is_ready())
    }

    /// Ends the operation for this side: its completer will meet nobody, and a result that is there
    /// already is dropped. Whether it was still under way.
    pub fn cancel(&mut self) -> bool {
        self.core.cancel()
    }

    /// Whether no operation is under way and no result waits: another may begin.
    pub fn is_idle(&self) -> bool {
        self.core.is_idle()
    }
}

/// What a wait says that has found nothing up to its deadline.
pub(crate) fn late<S: Scope>() -> TakeError {
    if S::OTHERS_RUN { TakeError::TimedOut } else { TakeError::Pending }
}

/// `(&mut done).await` takes the result, and leaves the object for the next operation.
impl<T, S: Carries<T>> Future for Async<T, S> {
    type Output = Result<T, TakeError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.get_mut().poll_take(context)
    }
}

// It holds a pointer, and none of it is pinned.
impl<T, S: Carries<T>> Unpin for Async<T, S> {}

impl<T, S: Carries<T>> Completion for Async<T, S> {
    fn is_ready(&self) -> bool {
        self.core.is_ready()
    }

    fn others_run(&self) -> bool {
        S::OTHERS_RUN
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.poll_until_ready(context)
    }
}

impl<T, S: Carries<T>> Drop for Async<T, S> {
    fn drop(&mut self) {
        self.core.cancel();
    }
}

impl<T, S: Carries<T>> fmt::Debug for Async<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Async")
            .field("scope", &S::NAME)
            .field("idle", &self.is_idle())
            .field("ready", &self.core.is_ready())
            .finish_non_exhaustive()
    }
}
