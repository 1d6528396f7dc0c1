//! Why a connection could not be opened.

use std::io;
use std::time::Duration;

use crate::handshake::{ClientError, ProxyError, Refusal, RequestError, UrlError};

/// Why a connection could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The address is none.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The request would be none.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The answer of the server opens no connection.
    #[error(transparent)]
    Answer(#[from] ClientError),
    /// The request of the client asks for none, and was refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The server's own rule refused it, with that status.
    #[error("the request was refused with the status {status}")]
    Rejected {
        /// What was answered.
        status: u16,
    },
    /// The client's own rule refused the answer.
    #[error("the answer of the server is not what was wanted: {reason}")]
    Unwanted {
        /// What the rule has said.
        reason: String,
    },
    /// The client asks for a page; a server that has some is to be asked by HTTP.
    #[error("the client asks for {target:?} and not for a WebSocket")]
    Plain {
        /// What it asks for.
        target: String,
    },
    /// There is no way through the proxy.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// The server sends the client on and on.
    #[error("redirected more than {limit} times, the last time to {location:?}: raise `redirects`")]
    Redirects {
        /// How often is allowed.
        limit: u8,
        /// Where it was to go next.
        location: String,
    },
    /// The server sends the client from TLS to plain.
    #[error(
        "redirected from wss to {location:?}, where anybody could listen: ask for that yourself"
    )]
    Downgrade {
        /// Where it was to go.
        location: String,
    },
    /// Not in time.
    #[error("the opening handshake has not ended within {within:?}: raise `handshake_within`")]
    Late {
        /// How long it may take.
        within: Duration,
    },
    /// The peer has ended the stream before the handshake was over.
    #[error("the peer has ended the stream within the opening handshake")]
    Ended,
    /// No connection, or it broke.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<OpenError> for io::Error {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Io(error) => error,
            OpenError::Late { .. } => Self::new(io::ErrorKind::TimedOut, error),
            OpenError::Ended => Self::new(io::ErrorKind::UnexpectedEof, error),
            other => Self::other(other),
        }
    }
}
