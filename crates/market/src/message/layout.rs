//! Fields at fixed places.

use super::DecodeError;

/// The bytes of a message of that length.
#[inline]
pub(super) fn fixed<const LEN: usize>(bytes: &[u8]) -> Result<&[u8; LEN], DecodeError> {
    let wrong = |_| DecodeError::Length { kind: bytes[0], len: bytes.len(), expected: LEN };
    bytes.try_into().map_err(wrong)
}

/// The number of that type that stands there. The compiler sees all lengths, and checks none of them
/// again.
macro_rules! bytes_at {
    ($bytes:expr, $at:literal, $number:ty) => {{
        let mut bytes = [0; size_of::<$number>()];
        bytes.copy_from_slice(&$bytes[$at..$at + size_of::<$number>()]);
        <$number>::from_be_bytes(bytes)
    }};
}
pub(super) use bytes_at;

/// Writes bytes to that place.
#[inline]
pub(super) fn put<const LEN: usize>(room: &mut [u8], at: usize, bytes: [u8; LEN]) {
    room[at..at + LEN].copy_from_slice(&bytes);
}
