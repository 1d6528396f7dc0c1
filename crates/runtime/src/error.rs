//! What can go wrong on the loop, and what to do about it.

use std::borrow::Cow;
use std::fmt;
use std::io;

/// What the runtime refuses or reports. Input and output use [`std::io::Error`]; an
/// error of this type travels inside one and comes out by [`Error::of`].
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A table that was sized at the start is full.
    #[error(
        "no room for another {what}: the limit is {limit}; raise `Config::{knob}` or use fewer"
    )]
    Exhausted {
        /// What there is no room for.
        what: &'static str,
        /// How many there may be.
        limit: usize,
        /// The field of [`Config`](crate::Config) that sets the limit.
        knob: &'static str,
    },
    /// This thread has a runtime already.
    #[error(
        "this thread already has a runtime: one runtime a thread; drop it first, or use another thread"
    )]
    AlreadyOnThread,
    /// Something that needs a runtime was called on a thread without one.
    #[error(
        "there is no runtime on this thread: create one with `Runtime::new` first, and call from its thread"
    )]
    NoRuntime,
    /// `run*`, `poll*` or `block_on` was called from a handler or a task.
    #[error(
        "`{call}` was called inside a turn of the loop: call it only from outside handlers, fibers and tasks; inside, spawn and join, or wait"
    )]
    InsideTurn {
        /// The function that was called.
        call: &'static str,
    },
    /// A call that waits was made outside a fiber.
    #[error(
        "a call that waits was made outside a fiber, where it would hold up the whole loop: make it in `fiber::spawn` or `Runtime::run_fiber`, or take the operation by `.await` or `.then`"
    )]
    NotInFiber,
    /// A fiber's own value was asked for after it was dropped.
    #[error(
        "a fiber-local value was asked for in a destructor, after it was dropped with its fiber: look at it before, or keep it elsewhere"
    )]
    LocalGone,
    /// The operation did not complete before its deadline.
    #[error("the operation did not complete before its deadline")]
    TimedOut,
    /// The operation was cancelled.
    #[error("the operation was cancelled")]
    Cancelled,
    /// The descriptor was closed, or its runtime dropped.
    #[error("the descriptor is closed, or its runtime gone: open it anew")]
    Closed,
    /// A write was cancelled or timed out after a part of it had left.
    #[error(
        "a write was cut short: {written} of {of} bytes had left; the stream cannot be written to any more, close it"
    )]
    WriteTorn {
        /// Bytes that left.
        written: usize,
        /// Bytes that were to leave.
        of: usize,
    },
    /// A handler returned the count of a write that fell short.
    #[error(
        "a handler's write took {taken} of {of} bytes, and the rest would be lost: keep the rest and pause the source until `on_writable`, or raise the write limit (`Config::write_limit`, `Config::send_chunks`)"
    )]
    NotTaken {
        /// Bytes that the write took.
        taken: usize,
        /// Bytes that it was given to take.
        of: usize,
    },
    /// A configuration value makes no sense.
    #[error("`Config::{field}` is {value}: {remedy}")]
    Config {
        /// The field of [`Config`](crate::Config).
        field: &'static str,
        /// What it was set to.
        value: String,
        /// What it may be.
        remedy: &'static str,
    },
    /// The driver asked for could not be set up.
    #[error("the {driver} driver cannot be used here: {reason}")]
    Driver {
        /// The driver's name.
        driver: &'static str,
        /// Why, and what would help.
        reason: String,
    },
    /// A wish that was marked as required is not granted by the machine.
    #[error("{wish} was required and refused: {reason}")]
    Refused {
        /// The wish: pinning, real-time priority, locked memory.
        wish: &'static str,
        /// Why, and what would help.
        reason: String,
    },
    /// A handler panicked, and `Config::panics` asked for it to be raised again.
    #[error("`{name}` panicked: {message}")]
    Panicked {
        /// The handler's type name, or the fiber's name.
        name: Cow<'static, str>,
        /// The panic's message, if it was text.
        message: String,
    },
    /// A system call outside any operation failed.
    #[error("{call}: {source}")]
    System {
        /// The call.
        call: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// As it is displayed: that is what `main` prints of it.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error {
    /// The runtime's own error inside `error`, if it carries one.
    ///
    /// ```
    /// use tautline_runtime::Error;
    /// let error = std::io::Error::from(Error::TimedOut);
    /// assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    /// assert!(matches!(Error::of(&error), Some(Error::TimedOut)));
    /// ```
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// A failed system call.
    pub(crate) fn system(call: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { call, source }
    }

    fn kind(&self) -> io::ErrorKind {
        match self {
            Self::TimedOut => io::ErrorKind::TimedOut,
            Self::Closed => io::ErrorKind::NotConnected,
            Self::Exhausted { .. } => io::ErrorKind::OutOfMemory,
            Self::WriteTorn { .. } => io::ErrorKind::BrokenPipe,
            Self::Config { .. } => io::ErrorKind::InvalidInput,
            Self::System { source, .. } => source.kind(),
            _ => io::ErrorKind::Other,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.kind(), error)
    }
}
