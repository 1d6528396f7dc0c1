//! Frames on a TCP connection: a length of two bytes, then what it counts.

use tautline_feed::format::ParseError;
use tautline_feed::framing::{Deframer, Framing, FramingError, PREFIX};

use crate::message::DecodeError;

/// Why a peer is not understood. The connection is of no further use then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A frame that is larger than any that there is.
    #[error(
        "a frame of {announced} bytes, where the largest has {most}: the peer speaks otherwise, or its packets are larger"
    )]
    TooLong {
        /// What its length says.
        announced: usize,
        /// As many are possible.
        most: usize,
    },
    /// A frame that is not known here.
    #[error(
        "a frame of kind {kind:#04x} and {len} bytes is not known here: the peer speaks otherwise"
    )]
    UnknownFrame {
        /// Its first byte; 0 if there is none.
        kind: u8,
        /// Bytes of it.
        len: usize,
    },
    /// A request that asks for nothing.
    #[error("a request for {count} messages: 1 to 65,534 can be asked for")]
    Count {
        /// As many.
        count: u16,
    },
    /// A part of a snapshot where there should be another.
    #[error("a snapshot goes on with {found} where {expected} should be")]
    OutOfOrder {
        /// What came.
        found: &'static str,
        /// What should have.
        expected: &'static str,
    },
    /// A message that is none.
    #[error(transparent)]
    Message(#[from] DecodeError),
    /// A packet that is none.
    #[error(transparent)]
    Packet(#[from] ParseError),
}

/// Cuts what comes on a connection into frames, whatever pieces it comes in.
#[derive(Debug)]
pub(crate) struct Frames {
    deframer: Deframer,
    most: usize,
}

impl Frames {
    /// Of so many bytes at most, behind their length.
    pub(crate) fn new(most: usize) -> Self {
        Self { deframer: Deframer::new(Framing::Rfc4571, most), most }
    }

    /// The next frame of the input, which is moved past what was used; `None`: more must come.
    pub(crate) fn next<'s, 'i: 's>(
        &'s mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<&'s [u8]>, ProtocolError> {
        let most = self.most;
        self.deframer.next(input).map_err(|error| match error {
            FramingError::TooLong { announced, .. } => ProtocolError::TooLong { announced, most },
            // Not what a deframer says before the end.
            FramingError::Oversize { len } => ProtocolError::TooLong { announced: len, most },
            FramingError::Truncated { got, .. } => {
                ProtocolError::UnknownFrame { kind: 0, len: got }
            }
        })
    }

    /// Another connection: what was unfinished is forgotten.
    pub(crate) fn reset(&mut self) {
        self.deframer.reset();
    }
}

/// Writes the length before what follows it, which are so many bytes: the frame.
pub(crate) fn framed(room: &mut [u8], len: usize) -> &[u8] {
    room[..PREFIX].copy_from_slice(&(len as u16).to_be_bytes());
    &room[..PREFIX + len]
}

/// What is of no kind that is expected.
pub(crate) fn unknown(frame: &[u8]) -> ProtocolError {
    ProtocolError::UnknownFrame { kind: frame.first().copied().unwrap_or(0), len: frame.len() }
}
