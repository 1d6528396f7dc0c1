//! What can be asked of the shell, and what it gives back.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::feed::{Feed, FeedError};

/// A line that is longer is no snapshot of any exchange.
pub(crate) const LONGEST_LINE: usize = 16 << 20;

/// What is to be followed.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) symbols: Vec<String>,
    /// Increments of one symbol that may wait for a snapshot.
    pub(crate) hold: usize,
    pub(crate) run_for: Option<Duration>,
    /// Whether to print the top of each book once a second.
    pub(crate) tables: bool,
}

/// A connection when it is over.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) address: SocketAddr,
    pub(crate) feed: Feed,
    pub(crate) end: Result<(), Failure>,
}

/// Why a connection has ended before its streams.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The error names the address and the remedy.
    #[error(transparent)]
    Connect(io::Error),
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
