//! What can go wrong on a framed stream.

use std::error::Error as StdError;
use std::io;

use tautline_buffer::LendError;

/// Why a framed stream gives no more items. Offsets count from the first byte that it received.
#[derive(Debug, thiserror::Error)]
pub enum Error<E: StdError + 'static> {
    /// What the stream says.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The codec does not understand what has come; nothing behind it is understood either.
    #[error("at byte {offset} of the stream: {error}")]
    Malformed {
        /// The byte that is wrong.
        offset: u64,
        /// What the codec says.
        #[source]
        error: E,
    },
    /// A frame that does not fit the buffer.
    #[error(
        "a frame at byte {offset} of the stream has at least {needs} bytes, and the buffer holds \
         {holds}: read from a pool of larger ones, or lend larger ones to large frames \
         (`Options::read_from`, `Options::large_from`)"
    )]
    TooLarge {
        /// Where the frame begins.
        offset: u64,
        /// As many at least.
        needs: usize,
        /// As many fit.
        holds: usize,
    },
    /// The stream ended inside a frame.
    #[error(
        "the stream ended inside the frame that begins at its byte {offset}: {got} bytes of at \
         least {needs} had come"
    )]
    Truncated {
        /// Where the frame begins.
        offset: u64,
        /// Bytes of it that came.
        got: usize,
        /// Bytes that it would have had at least.
        needs: usize,
    },
    /// The stream failed before, which was told then.
    #[error("reading has failed before, at byte {offset} of the stream: close it")]
    Failed {
        /// How far it was understood.
        offset: u64,
    },
    /// The system did not grant a buffer.
    #[error("no buffer to read into: {0}")]
    NoBuffer(#[source] LendError),
}

impl<E: StdError + Send + Sync + 'static> From<Error<E>> for io::Error {
    fn from(error: Error<E>) -> Self {
        let kind = match error {
            Error::Io(error) => return error,
            Error::Truncated { .. } => io::ErrorKind::UnexpectedEof,
            Error::NoBuffer(_) => io::ErrorKind::OutOfMemory,
            Error::Malformed { .. } | Error::TooLarge { .. } | Error::Failed { .. } => {
                io::ErrorKind::InvalidData
            }
        };
        Self::new(kind, error)
    }
}

/// Why an item was not sent. Nothing of it was, and the stream goes on, but for
/// [`Io`](Self::Io).
#[derive(Debug, thiserror::Error)]
pub enum SendError<E: StdError + 'static> {
    /// It cannot be encoded.
    #[error(transparent)]
    Encode(E),
    /// Its frame is larger than the buffer.
    #[error(
        "a frame of {needs} bytes to send, and the buffer holds {holds}: write to a pool of larger \
         ones (`Options::write_to`)"
    )]
    TooLarge {
        /// Bytes of its frame.
        needs: usize,
        /// As many fit.
        holds: usize,
    },
    /// The peer takes nothing at the moment, and as much as may wait does.
    #[error(
        "{waiting} bytes wait to be sent already: send when the stream is ready, or drop what need \
         not be sent"
    )]
    Full {
        /// Bytes that wait.
        waiting: usize,
    },
    /// There is no buffer for it.
    #[error("no buffer to write into: {0}")]
    NoBuffer(#[source] LendError),
    /// What the stream says: sending is over.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl<E: StdError + 'static> SendError<E> {
    /// Whether it may be sent later, when the stream is ready.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::NoBuffer(LendError::Exhausted { .. }))
    }
}

impl<E: StdError + Send + Sync + 'static> From<SendError<E>> for io::Error {
    fn from(error: SendError<E>) -> Self {
        let kind = match error {
            SendError::Io(error) => return error,
            SendError::Encode(_) | SendError::TooLarge { .. } => io::ErrorKind::InvalidInput,
            SendError::Full { .. } | SendError::NoBuffer(LendError::Exhausted { .. }) => {
                io::ErrorKind::WouldBlock
            }
            SendError::NoBuffer(_) => io::ErrorKind::OutOfMemory,
        };
        Self::new(kind, error)
    }
}
