//! What can be asked of the shell, and what it gives back.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use tautline::net::tls::Connector;
use tautline::websocket::handshake::Url;

use crate::feed::{Feed, FeedError};

/// A line that is longer is no snapshot of any exchange.
pub(crate) const LONGEST_LINE: usize = 16 << 20;

/// Where an exchange is, and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Over TCP, one JSON document a line.
    Lines(SocketAddr),
    /// A WebSocket, one JSON document a message; its address has been checked.
    WebSocket(String),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("ws://") || text.starts_with("wss://") {
            return match Url::parse(text) {
                Ok(_) => Ok(Self::WebSocket(text.to_owned())),
                Err(error) => Err(error.to_string()),
            };
        }
        text.parse().map(Self::Lines).map_err(|_| {
            "write an IP address and a port, such as 127.0.0.1:7000, or a WebSocket's address, \
             such as ws://127.0.0.1:7000/stream"
                .to_owned()
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lines(address) => f.pad(&address.to_string()),
            Self::WebSocket(url) => f.pad(url),
        }
    }
}

/// What is to be followed.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    pub(crate) places: Vec<Place>,
    pub(crate) symbols: Vec<String>,
    /// Increments of one symbol that may wait for a snapshot.
    pub(crate) hold: usize,
    pub(crate) run_for: Option<Duration>,
    /// How `wss://` is spoken; none: with the roots of the system.
    pub(crate) tls: Option<Connector>,
    /// Whether to print the top of each book once a second.
    pub(crate) tables: bool,
}

/// A connection when it is over.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) place: Place,
    pub(crate) feed: Feed,
    pub(crate) end: Result<(), Failure>,
}

/// Why a connection has ended before its streams.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The error names the address and the remedy.
    #[error(transparent)]
    Connect(io::Error),
    #[error("no WebSocket can be opened: {0}")]
    Open(String),
    #[error("the connection broke after line {line}: {error}")]
    Broken { line: u64, error: io::Error },
    #[error(
        "the exchange closed the connection after line {line}, before the streams had ended; \
         connect again for fresh snapshots"
    )]
    Closed { line: u64 },
    #[error(
        "line {line} is longer than {LONGEST_LINE} bytes: is this a depth stream, one JSON \
         document a line?"
    )]
    TooLong { line: u64 },
    #[error(transparent)]
    Feed(#[from] FeedError),
    #[error("its follower panicked, which is a mistake in this program: {0}")]
    Panicked(String),
}
