//! What can go wrong with a request.

use std::io;
use std::time::Duration;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// It cannot be asked for.
    #[error(
        "{url:?} cannot be asked for: {reason}; it begins with http:// or https:// and names a host"
    )]
    BadUrl {
        /// What was asked for.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no connection.
    #[error("cannot ask {target}: {source}")]
    Connect {
        /// Scheme, host and port.
        target: String,
        /// What has failed, and what would help.
        source: io::Error,
    },
    /// No answer has come in time.
    #[error(
        "{target} has not answered within {within:?}: raise `answer_within` for slower servers"
    )]
    Late {
        /// Scheme, host and port.
        target: String,
        /// How long it may take.
        within: Duration,
    },
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
        "redirected from https to {location:?}, where anybody could listen: ask for that yourself"
    )]
    Downgrade {
        /// Where it was to go.
        location: String,
    },
    /// The connection has failed, or what came is no HTTP.
    #[error("{target} gave no answer: {source}")]
    Failed {
        /// Scheme, host and port.
        target: String,
        /// What was wrong.
        source: hyper::Error,
    },
}
