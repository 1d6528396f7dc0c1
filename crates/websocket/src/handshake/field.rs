//! Headers that a program adds, and what they may not be.

use std::fmt::Write;

/// Why a header cannot be added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// Its name is no token.
    #[error("{name:?} is no name of a header: letters, digits and hyphens")]
    Name {
        /// What was given.
        name: String,
    },
    /// Its value would end the header, or the head.
    #[error("the value of the header {name} has the control character {byte:#04x}: leave it out")]
    Value {
        /// Of which header.
        name: String,
        /// The character.
        byte: u8,
    },
    /// A user's name cannot be told.
    #[error("the user {user:?} has a colon in its name, which Basic authorization cannot tell")]
    User {
        /// Who.
        user: String,
    },
    /// The handshake itself writes it.
    #[error("the header {name} is written by the handshake: {remedy}")]
    Owned {
        /// Which.
        name: String,
        /// What to do instead.
        remedy: &'static str,
    },
}

/// Whether it is a token of RFC 9110 §5.6.2.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| is_token_byte(*byte))
}

pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether a header may be written so.
pub(crate) fn check(name: &str, value: &str) -> Result<(), FieldError> {
    if !is_token(name.as_bytes()) {
        return Err(FieldError::Name { name: name.to_owned() });
    }
    if let Some(remedy) = remedy(name) {
        return Err(FieldError::Owned { name: name.to_owned(), remedy });
    }
    check_value(name, value)
}

/// Whether that can be the value of a header.
pub(crate) fn check_value(name: &str, value: &str) -> Result<(), FieldError> {
    let splits = |byte: &u8| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f;
    match value.bytes().find(splits) {
        Some(byte) => Err(FieldError::Value { name: name.to_owned(), byte }),
        None => Ok(()),
    }
}

/// What to do instead of adding a header that is the handshake's own.
fn remedy(name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    match lower.as_str() {
        "sec-websocket-protocol" => Some("name subprotocols with `protocol`"),
        "sec-websocket-extensions" => Some("configure compression with `deflate`"),
        "upgrade" | "connection" => Some("leave it out"),
        "content-length" | "transfer-encoding" | "trailer" => {
            Some("leave it out, for the body is no header's business")
        }
        _ if lower.starts_with("sec-websocket-") => Some("leave it out"),
        _ => None,
    }
}

/// Writes a header that was checked.
pub(crate) fn write(head: &mut String, name: &str, value: &str) {
    // Writing to a string does not fail.
    let _ = write!(head, "{name}: {value}\r\n");
}
