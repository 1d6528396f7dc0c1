//! What becomes of an operation, in a form that is cheap to store.

use std::io;

use crate::Error;

/// A count, a descriptor or readiness; or why not.
pub(crate) type Outcome = Result<usize, Failure>;

/// Why an operation failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Failure {
    /// The kernel said so.
    Errno(i32),
    /// Its deadline passed first.
    TimedOut,
    /// It was cancelled.
    Cancelled,
    /// The descriptor was closed, or the runtime dropped.
    Closed,
    /// It would have had to wait, and not in a fiber.
    NotInFiber,
    /// The stream ended before an exact read was filled.
    UnexpectedEof,
    /// The kernel took nothing of a write.
    WriteZero,
    /// A write was cut short, now or earlier on this stream.
    Torn { written: usize, of: usize },
    /// A table is full.
    Exhausted { what: &'static str, limit: usize, knob: &'static str },
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Errno(errno) => Self::from_raw_os_error(errno),
            Failure::TimedOut => Error::TimedOut.into(),
            Failure::Cancelled => Error::Cancelled.into(),
            Failure::Closed => Error::Closed.into(),
            Failure::NotInFiber => Error::NotInFiber.into(),
            Failure::UnexpectedEof => io::ErrorKind::UnexpectedEof.into(),
            Failure::WriteZero => io::ErrorKind::WriteZero.into(),
            Failure::Torn { written, of } => Error::WriteTorn { written, of }.into(),
            Failure::Exhausted { what, limit, knob } => {
                Error::Exhausted { what, limit, knob }.into()
            }
        }
    }
}

/// What the kernel answered, as an outcome.
pub(crate) fn outcome(result: i32) -> Outcome {
    usize::try_from(result).map_err(|_| Failure::Errno(-result))
}
