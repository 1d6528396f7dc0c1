//! Why something was not sent.

use std::io;

/// Why a message was not sent. Nothing of it has left, but for [`Torn`](Self::Torn).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// So much waits already that there is no room for it: the peer takes less than it is sent.
    #[error(
        "{queued} bytes wait to be sent and there is no room for more: send when the peer has taken \
         some, or raise `write_limit`"
    )]
    Full {
        /// Bytes that wait.
        queued: usize,
    },
    /// It is longer than all that may ever wait.
    #[error(
        "a frame of {length} bytes, where {room} may wait to be sent: send it in fragments, or raise \
         `send_chunks` of the runtime"
    )]
    TooLong {
        /// Bytes of the frame.
        length: usize,
        /// Bytes that may wait.
        room: usize,
    },
    /// The connection is being closed: nothing follows a farewell.
    #[error("the connection is being closed: nothing can be sent after a farewell")]
    Closing,
    /// A part of a message was sent out of its place.
    #[error("{0}")]
    Order(&'static str),
    /// Only a part of a frame could be sent, so that nothing can follow: the connection was cut.
    #[error("only {taken} of {of} bytes of a frame could be sent, and the connection was cut")]
    Torn {
        /// Bytes that have left.
        taken: usize,
        /// Bytes of the frame.
        of: usize,
    },
    /// The stream is broken or closed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<SendError> for io::Error {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Io(error) => error,
            full @ SendError::Full { .. } => Self::new(io::ErrorKind::WouldBlock, full),
            other => Self::other(other),
        }
    }
}
