//! The key of a handshake, and what proves that it was understood.

use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use sha1::{Digest, Sha1};

/// What only a server of WebSocket puts behind the key.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A key is sixteen bytes when it is decoded, whatever the bits say that are in none of them.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// The value of `Sec-WebSocket-Key`.
pub(crate) fn key(nonce: [u8; 16]) -> String {
    STANDARD.encode(nonce)
}

/// Whether that is the value of a `Sec-WebSocket-Key`: sixteen bytes in base64.
pub(crate) fn is_key(value: &[u8]) -> bool {
    let mut bytes = [0; 18]; // as many as 24 characters can be
    value.len() == 24 && LENIENT.decode_slice(value, &mut bytes) == Ok(16)
}

/// The value of `Sec-WebSocket-Accept` for that of `Sec-WebSocket-Key`.
//= RFC 6455 §4.2.2
pub(crate) fn accept(key: &[u8]) -> String {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    STANDARD.encode(digest)
}

/// What `Authorization: Basic` is followed by.
pub(crate) fn credentials(user: &str, password: &str) -> String {
    STANDARD.encode(format!("{user}:{password}"))
}
