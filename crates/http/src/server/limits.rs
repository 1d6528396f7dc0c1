//! How much a peer may ask of a server, and how slowly.

use std::time::Duration;

use tautline_runtime::time::Instant;

use super::under_way::Busy;
use crate::body::Bounds;
use crate::rt::Ledger;

/// What a server grants its peers. The defaults are safe for an open port.
///
/// ```
/// use std::time::Duration;
/// use tautline_http::Limits;
/// let limits = Limits { body_bytes: 64 << 20, idle_within: Duration::from_secs(5), ..Limits::default() };
/// assert_eq!(limits.header_count, 100);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of the head of a request; more is answered 431. At least 8,192, which less is taken
    /// for. Default 16 KiB.
    pub header_bytes: usize,
    /// Headers of a request; more is answered 431. Default 100.
    pub header_count: usize,
    /// Bytes of the body of a request; more is answered 413. Default 2 MiB.
    pub body_bytes: u64,
    /// Connections at a time, those in their handshake included. One that has become a WebSocket
    /// belongs to whoever got it, and is none any more. Default 1,024.
    pub connections: usize,
    /// What becomes of the one too many. Default: it waits.
    pub when_full: WhenFull,
    /// Streams at a time on a connection of HTTP/2. Default 100.
    pub streams: u32,
    /// How long the head of a request may take from its first byte on; later it is answered 408.
    /// The first byte of a connection must come as soon. Default 10 s.
    pub header_within: Duration,
    /// How long a connection may be kept without a request. Default 60 s.
    pub idle_within: Duration,
    /// How long the next piece of a body may take: of a request, which is then answered 408, and
    /// of a response that its peer does not take, which is then cut off with its connection: on
    /// HTTP/2 when nothing of any response is taken, be it that no window is granted. What waits
    /// in the queue of the stream is looked at once in this time. Default 30 s.
    pub progress_within: Duration,
    /// How often a client of HTTP/2 is asked for a sign of life (a PING). Default 20 s.
    pub ping_every: Duration,
    /// How long it may take to give it; then the connection is closed. Default 10 s.
    pub ping_within: Duration,
}

/// What becomes of a connection when there are as many as [`Limits::connections`] already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhenFull {
    /// It stays in the kernel's queue until another has ended.
    Wait,
    /// It is answered 503 and closed; by TLS, or while 64 others are being told so, it is closed
    /// alone.
    Refuse,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 16 << 10,
            header_count: 100,
            body_bytes: 2 << 20,
            connections: 1024,
            when_full: WhenFull::Wait,
            streams: 100,
            header_within: Duration::from_secs(10),
            idle_within: Duration::from_secs(60),
            progress_within: Duration::from_secs(30),
            ping_every: Duration::from_secs(20),
            ping_within: Duration::from_secs(10),
        }
    }
}

/// A deadline that a peer has missed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Missed {
    Header,
    Idle,
    Progress,
}

impl Limits {
    pub(super) fn head_bytes(&self) -> usize {
        self.header_bytes.max(8192)
    }

    pub(super) fn bounds(&self) -> Bounds {
        Bounds { most: self.body_bytes, within: self.progress_within }
    }

    /// What will be missed first, and whether it is a head that is late: what a connection of
    /// HTTP/2 hears need not be one. While an answer waits to be taken nothing else counts: the
    /// peer cannot see yet that it is its turn.
    pub(super) fn due(
        &self,
        ledger: &Ledger,
        busy: &Busy,
        heads: bool,
    ) -> Option<(Instant, Missed)> {
        if let Some(since) = busy.waits() {
            return Some((since + self.progress_within, Missed::Progress));
        }
        let since = busy.idle()?;
        match ledger.heard.get() {
            Some(heard) if heads => Some((heard + self.header_within, Missed::Header)),
            None if busy.is_new() => Some((since + self.header_within, Missed::Idle)),
            _ => Some((since + self.idle_within, Missed::Idle)),
        }
    }
}
