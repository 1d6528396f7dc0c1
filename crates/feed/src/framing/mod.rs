//! Packets on a byte stream.
//!
//! [`Framing::Rfc4571`] puts a two-byte big-endian length before each packet, so that datagrams
//! keep their boundaries ([RFC 4571 §2](https://www.rfc-editor.org/rfc/rfc4571#section-2)).
//! [`Framing::Raw`] adds nothing: the stream's bytes travel on in the chunks in which they came.
//! [`Deframer`] turns received bytes back into packets, whatever pieces they arrive in.

mod deframer;

pub use deframer::{Deframer, Received};

/// Bytes of the RFC 4571 length prefix.
pub const PREFIX: usize = 2;

/// Largest packet that the prefix can announce, and so the largest that is moved.
pub const MAX_PACKET: usize = u16::MAX as usize;

/// How packets lie in a byte stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// A two-byte length before each packet.
    #[default]
    Rfc4571,
    /// No boundaries: a packet is whatever one read brought.
    Raw,
}

impl Framing {
    /// Bytes that this framing adds to each packet.
    #[must_use]
    pub fn overhead(self) -> usize {
        match self {
            Self::Rfc4571 => PREFIX,
            Self::Raw => 0,
        }
    }
}

/// What can go wrong between bytes and packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// The packet does not fit the prefix.
    #[error(
        "packet of {len} bytes does not fit the two-byte length prefix; send at most 65535 bytes"
    )]
    Oversize {
        /// Bytes of the packet.
        len: usize,
    },
    /// The peer announced more than this endpoint accepts. Nothing after it can be trusted.
    #[error(
        "packet {index} announces {announced} bytes, the limit is {limit}: that is too low, or the \
         peer sends no length prefix"
    )]
    TooLong {
        /// Packets completed before this one.
        index: u64,
        /// What the prefix says.
        announced: usize,
        /// What this endpoint accepts.
        limit: usize,
    },
    /// The stream ended inside a packet.
    #[error(
        "stream ended inside packet {index}: {got} of {expected} bytes had come; or the peer sends no \
         length prefix"
    )]
    Truncated {
        /// Packets completed before the end.
        index: u64,
        /// Bytes of the unfinished packet that came, prefix included.
        got: usize,
        /// Bytes that it would have had, prefix included; 2 while the prefix itself is unfinished.
        expected: usize,
    },
}

/// The length prefix for a packet of `len` bytes.
///
/// # Errors
/// [`FramingError::Oversize`] beyond [`MAX_PACKET`].
pub fn prefix(len: usize) -> Result<[u8; PREFIX], FramingError> {
    let len = u16::try_from(len).map_err(|_| FramingError::Oversize { len })?;
    Ok(len.to_be_bytes())
}
