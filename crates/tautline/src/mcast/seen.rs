//! A datagram as a tool has seen it, on a socket or in a capture.

use std::fmt;
use std::net::SocketAddr;

/// A time of the wall clock: nanoseconds since the beginning of 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wall(pub(crate) u64);

/// `2026-11-30T16:01:13.123456789Z`.
impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Nanoseconds of 64 bits end in the year 2554, which a timestamp can be.
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(time) => write!(f, "{time:.9}"),
            Err(_) => write!(f, "{}ns", self.0),
        }
    }
}

/// A datagram, and what is known of its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen<'a> {
    /// When it came.
    pub(crate) time: Option<Wall>,
    /// Who sent it.
    pub(crate) source: Option<SocketAddr>,
    /// Whom it was sent to.
    pub(crate) group: SocketAddr,
    /// Where it came in.
    pub(crate) interface: Option<&'a str>,
    /// Its time to live, or hop limit, when it came.
    pub(crate) hops: Option<u8>,
    /// What is there of it.
    pub(crate) payload: &'a [u8],
    /// Bytes that it had.
    pub(crate) len: usize,
    /// Datagrams that the kernel had to drop before it, for the socket's buffer was full.
    pub(crate) dropped: u64,
}

impl Seen<'_> {
    /// Whether a part of it is missing.
    pub(crate) fn is_cut(&self) -> bool {
        self.payload.len() < self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that times show all nine digits and the zone, and that every number has a text.
    #[test]
    fn times_have_nine_digits() {
        assert_eq!(Wall(1_000_000_001).to_string(), "1970-01-01T00:00:01.000000001Z");
        assert_eq!(Wall(1_796_054_400_120_000_000).to_string(), "2026-11-30T16:00:00.120000000Z");
        assert!(Wall(u64::MAX).to_string().starts_with("2554-"));
    }
}
