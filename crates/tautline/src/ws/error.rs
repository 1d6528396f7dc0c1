//! Why a tool cannot go on.

use std::io;
use std::net::SocketAddr;

use tautline_net::tls;
use tautline_websocket::OpenError;

/// Why a tool cannot go on, in one line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Nobody can be listened for.
    #[error("--listen: {addr}: {error}")]
    Listen {
        addr: SocketAddr,
        #[source]
        error: io::Error,
    },
    /// A certificate or key is none.
    #[error("{argument}: {error}")]
    Tls {
        argument: &'static str,
        #[source]
        error: Box<tls::Error>,
    },
    /// There is no connection.
    #[error("{url}: {error}")]
    Open {
        url: String,
        #[source]
        error: Box<OpenError>,
    },
    /// It is there no more.
    #[error("{url}: the connection broke: {error}")]
    Broken {
        url: String,
        #[source]
        error: io::Error,
    },
    /// The peer has closed it, and not because all is done.
    #[error("{url}: the peer has closed the connection with the code {code}{}", quoted(reason))]
    Closed { url: String, code: u16, reason: String },
    /// Standard input cannot be read.
    #[error("standard input: {0}")]
    Input(io::Error),
    /// A line that goes into no message.
    #[error("standard input: line {line} has more than {most} bytes: raise --max-message")]
    Line { line: u64, most: usize },
    /// A line that is no text.
    #[error("standard input: line {line} is no UTF-8: send it with --binary")]
    NoText { line: u64 },
    /// Not every answer came and was right.
    #[error("{url}: {why}")]
    Answers { url: String, why: String },
}

impl Error {
    /// Says which argument an error of TLS is about.
    pub(super) fn tls(argument: &'static str) -> impl FnOnce(tls::Error) -> Self {
        move |error| Self::Tls { argument, error: Box::new(error) }
    }
}

fn quoted(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason:?}") }
}
