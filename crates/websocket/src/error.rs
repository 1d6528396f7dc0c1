//! What a peer may do wrong.

use crate::close::CloseCode;
use crate::frame::Opcode;

/// What a peer has done against the protocol, or against a limit. [`code`](Self::code) is what the
/// connection is closed with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// An opcode without a meaning, RFC 6455 §5.2.
    #[error("a frame of opcode {0}, which has no meaning")]
    Opcode(u8),
    /// A reserved bit whose meaning nobody has negotiated, RFC 6455 §5.2.
    #[error("a frame with reserved bits {0:#04x}, whose meaning was not negotiated for it")]
    Reserved(u8),
    /// A client has not masked its frame, RFC 6455 §5.1.
    #[error("a frame of a client that is not masked")]
    NotMasked,
    /// A server has masked its frame, RFC 6455 §5.1.
    #[error("a frame of a server that is masked")]
    Masked,
    /// A control frame in fragments, RFC 6455 §5.5.
    #[error("a {0:?} frame in fragments")]
    FragmentedControl(Opcode),
    /// A control frame of more than 125 bytes, RFC 6455 §5.5.
    #[error("a {0:?} frame of more than 125 bytes")]
    LongControl(Opcode),
    /// A length in more bytes than it needs, RFC 6455 §5.2.
    #[error("the length {0} in more bytes than it needs")]
    LengthNotMinimal(u64),
    /// A length of 2^63 or more, RFC 6455 §5.2.
    #[error("the length {0:#x}, whose top bit is set")]
    LengthTopBit(u64),
    /// A continuation, but there is nothing to continue, RFC 6455 §5.4.
    #[error("a continuation frame outside a message")]
    NothingToContinue,
    /// A new message inside another, RFC 6455 §5.4.
    #[error("a {0:?} frame inside a message that has not ended")]
    MessageInMessage(Opcode),
    /// Text that is no UTF-8, RFC 6455 §8.1.
    #[error("text that is no UTF-8")]
    Utf8,
    /// A close frame of one byte, RFC 6455 §5.5.1.
    #[error("a close frame with half a code")]
    CloseLength,
    /// A close code that may not be sent, RFC 6455 §7.4.
    #[error("the close code {0}, which may not be sent")]
    CloseCode(u16),
    /// A reason for closing that is no UTF-8, RFC 6455 §5.5.1.
    #[error("a reason for closing that is no UTF-8")]
    CloseReason,
    /// A frame that is longer than allowed.
    #[error("a frame of {length} bytes, where {limit} are allowed: raise `max_frame`")]
    FrameTooBig {
        /// What its header says.
        length: u64,
        /// What is allowed.
        limit: u64,
    },
    /// A message that is longer than allowed.
    #[error(
        "a message of {length} bytes or more, where {limit} are allowed: raise `max_message`, or \
         take it in parts"
    )]
    MessageTooBig {
        /// So long it is at least.
        length: u64,
        /// What is allowed.
        limit: u64,
    },
    /// A message in more frames than allowed.
    #[error("a message in more than {limit} frames: raise `max_fragments`")]
    TooManyFragments {
        /// What is allowed.
        limit: u32,
    },
    /// A compressed message that cannot be inflated, RFC 7692 §7.2.2.
    #[error("a compressed message that is corrupt")]
    Corrupt,
    /// There is no memory left to inflate a message with.
    #[error(
        "no memory to inflate a message with: raise `contexts` or `read_buffers`, or agree to no \
         context takeover"
    )]
    NoContext,
}

impl ProtocolError {
    /// What to close the connection with, RFC 6455 §7.4.1.
    pub const fn code(&self) -> CloseCode {
        match self {
            Self::Utf8 | Self::CloseReason | Self::Corrupt => CloseCode::INVALID,
            Self::FrameTooBig { .. } | Self::MessageTooBig { .. } => CloseCode::TOO_BIG,
            Self::TooManyFragments { .. } => CloseCode::TOO_BIG,
            Self::NoContext => CloseCode::TRY_AGAIN,
            _ => CloseCode::PROTOCOL,
        }
    }

    /// What the peer is told of it: not what could be done at this end.
    pub fn reason(&self) -> String {
        match self {
            Self::FrameTooBig { limit, .. } => format!("a frame of more than {limit} bytes"),
            Self::MessageTooBig { limit, .. } => format!("a message of more than {limit} bytes"),
            Self::TooManyFragments { limit } => format!("a message in more than {limit} frames"),
            Self::NoContext => "no memory to inflate a message with".to_owned(),
            other => other.to_string(),
        }
    }
}
