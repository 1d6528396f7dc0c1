//! What a reader finds.

use crate::Message;
use crate::close::Farewell;
use crate::frame::Opcode;

/// What has been received. It lies where it was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event<'b> {
    /// A message of text.
    Text(&'b str),
    /// A message of bytes.
    Binary(&'b [u8]),
    /// A part of a message that is not handed on as a whole.
    Part(Part<'b>),
    /// The peer wants an answer with the same payload.
    Ping(&'b [u8]),
    /// The answer to a ping, or a sign of life.
    Pong(&'b [u8]),
    /// The peer says farewell, and why. Nothing follows.
    Close(Option<Farewell<'b>>),
}

impl<'b> From<Message<'b>> for Event<'b> {
    #[inline]
    fn from(message: Message<'b>) -> Self {
        match message {
            Message::Text(text) => Self::Text(text),
            Message::Binary(bytes) => Self::Binary(bytes),
        }
    }
}

/// Whether a message is text or bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Whatever both ends have agreed on.
    Binary,
}

impl Kind {
    /// The opcode of its first frame.
    #[inline]
    pub const fn opcode(self) -> Opcode {
        match self {
            Self::Text => Opcode::Text,
            Self::Binary => Opcode::Binary,
        }
    }
}

/// A part of a message: what has arrived of it since the last part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part<'b> {
    /// What the message is.
    pub kind: Kind,
    /// It is the first of its message.
    pub first: bool,
    /// It is the last of its message, and may be empty.
    pub last: bool,
    /// Its message is compressed, and so are these bytes.
    pub compressed: bool,
    /// The payload. Text may be cut within a character, but is UTF-8 as a whole.
    pub bytes: &'b [u8],
}
