//! Whatever may come.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::trial;

/// Bytes of which heads are made, often in their order.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(&trial::WORDS[..]).prop_map(|word| word.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..4),
    ];
    vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    /// No bytes make a parser panic, and how they are cut makes no difference.
    #[test]
    fn any_bytes_are_read_without_harm(bytes in vec(any::<u8>(), 0..200), cut in any::<u8>()) {
        trial::handshake(&[&[cut], &bytes[..]].concat());
    }

    /// Nor do bytes that are nearly a head.
    #[test]
    fn what_is_nearly_a_head_is_read_without_harm(bytes in pieces(), cut in any::<u8>()) {
        trial::handshake(&[&[cut], &bytes[..]].concat());
    }
}

/// What fuzzing has found, and what it begins with, is harmless.
#[test]
fn known_handshakes_are_harmless() {
    trial::replay("websocket_handshake", trial::handshake);
}
