//! How a connection says farewell: RFC 6455 §5.5.1 and §7.4.

use crate::ProtocolError;
use crate::frame::MOST_CONTROL;

/// Why a connection is closed, RFC 6455 §7.4. The constants are those of the register (§11.7);
/// 3000 to 3999 belong to libraries and frameworks, 4000 to 4999 to applications.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub struct CloseCode(u16);

impl CloseCode {
    /// What was to be done is done.
    pub const NORMAL: Self = Self(1000);
    /// A server goes down, or a browser leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer does not keep to the protocol.
    pub const PROTOCOL: Self = Self(1002);
    /// Data of a kind that is not taken, such as binary where text is meant.
    pub const UNSUPPORTED: Self = Self(1003);
    /// A message that is not what it says, such as text that is no UTF-8.
    pub const INVALID: Self = Self(1007);
    /// A message against a rule of the receiver for which there is no other code.
    pub const POLICY: Self = Self(1008);
    /// A message that is too big.
    pub const TOO_BIG: Self = Self(1009);
    /// The client misses an extension that it needs.
    pub const EXTENSION: Self = Self(1010);
    /// The server has met with something unexpected.
    pub const INTERNAL: Self = Self(1011);
    /// The server starts anew: come back later.
    pub const RESTART: Self = Self(1012);
    /// The server has too much to do: come back later.
    pub const TRY_AGAIN: Self = Self(1013);

    /// The code of that number. `None` if it is none that may be sent: below 1000, above 4999,
    /// reserved (1004 to 1006, 1015), or of no meaning (1016 to 2999).
    //= RFC 6455 §7.4
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    /// Its number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl std::fmt::Display for CloseCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What a close frame says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Farewell<'b> {
    /// Why.
    pub code: CloseCode,
    /// The same for people; at most 123 bytes.
    pub reason: &'b str,
}

impl<'b> Farewell<'b> {
    /// With no reason.
    pub const fn new(code: CloseCode) -> Self {
        Self { code, reason: "" }
    }

    /// What a close frame with this payload says; `None` if it has none.
    ///
    /// # Errors
    /// A payload of one byte, a code that may not be sent, a reason that is no UTF-8.
    //= RFC 6455 §5.5.1
    pub fn parse(payload: &'b [u8]) -> Result<Option<Self>, ProtocolError> {
        let (code, reason) = match payload {
            [] => return Ok(None),
            [_] => return Err(ProtocolError::CloseLength),
            [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        };
        let code = CloseCode::new(code).ok_or(ProtocolError::CloseCode(code))?;
        let reason = std::str::from_utf8(reason).map_err(|_| ProtocolError::CloseReason)?;
        Ok(Some(Self { code, reason }))
    }

    /// Writes the payload of a close frame, and returns how many bytes it has. A reason that is
    /// too long is cut, between two characters.
    pub fn put(&self, room: &mut [u8; MOST_CONTROL]) -> usize {
        let mut end = self.reason.len().min(MOST_CONTROL - 2);
        while !self.reason.is_char_boundary(end) {
            end -= 1;
        }
        room[..2].copy_from_slice(&self.code.get().to_be_bytes());
        room[2..2 + end].copy_from_slice(&self.reason.as_bytes()[..end]);
        2 + end
    }
}
