//! Why there is no ring of records, or no room in one.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a ring of records could not be made. Nothing is left behind.
#[derive(Debug)]
pub enum MakeError {
    /// The longest record is above half the capacity, less 8 bytes.
    TooLong {
        /// Bytes of the longest record, as asked for.
        longest: usize,
        /// Bytes that it may have at most in a ring of that capacity.
        limit: usize,
    },
    /// The memory could not be mapped.
    Memory(tautline_buffer::Error),
    /// The file could not be made.
    File {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl fmt::Display for MakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { longest, limit } => write!(
                f,
                "records of {longest} bytes are too long for this ring, of which they may have at \
                 most {limit}: shorten them, or give it more than {} bytes",
                2 * longest.saturating_add(8)
            ),
            Self::Memory(error) => error.fmt(f),
            Self::File { what, path, source } => {
                write!(f, "cannot {what} {}: {source}", path.display())
            }
        }
    }
}

impl Error for MakeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::TooLong { .. } => None,
            Self::Memory(error) => Some(error),
            Self::File { source, .. } => Some(source),
        }
    }
}

impl From<tautline_buffer::Error> for MakeError {
    fn from(error: tautline_buffer::Error) -> Self {
        Self::Memory(error)
    }
}

/// Why a record cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no room before more has been read.
    Full,
    /// There never will be: it is longer than records of this ring may be.
    TooLong,
    /// This process is a child that was made by `fork`: the ring is its parent's.
    Forked,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the ring is full: read more often, or give it more room",
            Self::TooLong => "the record is longer than this ring takes: shorten it",
            Self::Forked => "the ring belongs to the parent of this process: make one here",
        })
    }
}

impl Error for Refusal {}
