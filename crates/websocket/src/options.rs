//! What a connection is like.

use std::time::Duration;

use crate::deflate::{Config, PoolLimits};
use crate::handshake;
use crate::read::Limits;

/// What connections are like: sizes, limits and deadlines, with defaults that are safe for a
/// server that strangers connect to.
///
/// ```
/// use std::time::Duration;
/// use tautline_websocket::Options;
/// let options = Options { ping_every: Some(Duration::from_secs(5)), ..Options::default() };
/// assert_eq!(options.read_buffer, 64 << 10);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// What is taken at most.
    pub limits: Limits,
    /// Bytes of the ring that is lent to a connection when bytes arrive. A message that does not
    /// fit is given a larger one, eight times as large, and so on up to what
    /// [`Limits::whole`] needs. Default 64 KiB.
    pub read_buffer: usize,
    /// Bytes that all rings of one size may have together, be they lent or not. A connection that
    /// finds all in use is not read from until one comes back. Default 1 GiB: address space,
    /// which has memory only where a message has lain.
    pub read_buffers: usize,
    /// Bytes that may wait to be sent. Beyond, sending fails with
    /// [`SendError::Full`](crate::SendError::Full), and a connection is not read from until less
    /// wait. Default 1 MiB.
    pub write_limit: usize,
    /// How messages are compressed, where the peer agrees to that. Default: not at all.
    pub deflate: Option<Config>,
    /// How many contexts of compression connections may have together.
    pub contexts: PoolLimits,
    /// How large the head of the peer's opening handshake may be. Default 16 KiB, 100 headers.
    pub head: handshake::Limits,
    /// How long the opening handshake may take. Default 10 s.
    pub handshake_within: Duration,
    /// How long the peer may take to answer a farewell. Default 5 s.
    pub close_within: Duration,
    /// A ping is sent after so long without a sign of the peer. Default 30 s.
    pub ping_every: Option<Duration>,
    /// The peer is dead if nothing has come so long after a ping. Default 30 s.
    pub pong_within: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            read_buffer: 64 << 10,
            read_buffers: 1 << 30,
            write_limit: 1 << 20,
            deflate: None,
            contexts: PoolLimits::default(),
            head: handshake::Limits::default(),
            handshake_within: Duration::from_secs(10),
            close_within: Duration::from_secs(5),
            ping_every: Some(Duration::from_secs(30)),
            pong_within: Duration::from_secs(30),
        }
    }
}
