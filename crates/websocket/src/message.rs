//! A message, as it is sent.

use crate::read::Kind;

/// A message, as it is sent: text or bytes, borrowed.
///
/// ```
/// use tautline_websocket::Message;
/// assert_eq!(Message::from("text"), Message::Text("text"));
/// assert_eq!(Message::from(&[1, 2][..]), Message::Binary(&[1, 2]));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Message<'b> {
    /// Text.
    Text(&'b str),
    /// Bytes.
    Binary(&'b [u8]),
}

impl<'b> Message<'b> {
    /// Whether it is text or bytes.
    #[inline]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Text(_) => Kind::Text,
            Self::Binary(_) => Kind::Binary,
        }
    }

    /// Its payload.
    #[inline]
    pub const fn bytes(&self) -> &'b [u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

impl<'b> From<&'b str> for Message<'b> {
    fn from(text: &'b str) -> Self {
        Self::Text(text)
    }
}

impl<'b> From<&'b String> for Message<'b> {
    fn from(text: &'b String) -> Self {
        Self::Text(text)
    }
}

impl<'b> From<&'b [u8]> for Message<'b> {
    fn from(bytes: &'b [u8]) -> Self {
        Self::Binary(bytes)
    }
}

impl<'b, const N: usize> From<&'b [u8; N]> for Message<'b> {
    fn from(bytes: &'b [u8; N]) -> Self {
        Self::Binary(bytes)
    }
}

impl<'b> From<&'b Vec<u8>> for Message<'b> {
    fn from(bytes: &'b Vec<u8>) -> Self {
        Self::Binary(bytes)
    }
}
