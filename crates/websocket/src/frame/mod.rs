//! Frames: what lies on the wire, RFC 6455 §5.2.

mod header;

pub(crate) use header::{FIN, MASKED, Parsed, parse, short_length};
pub use header::{Header, LONGEST, MaskKey, Opcode, header_length};

/// Bytes that the payload of a control frame may have at most, RFC 6455 §5.5.
pub const MOST_CONTROL: usize = 125;

/// Writes a whole frame to the start of `room`: header, and payload, masked if the header says so.
/// Returns how many bytes that were.
///
/// # Panics
/// If `room` is shorter than [`Header::length`] and the payload together.
///
/// ```
/// use tautline_websocket::frame::{self, Header, Opcode};
/// let mut room = [0; 16];
/// let header = Header::new(Opcode::Text, 5);
/// let n = frame::put(&mut room, &header, b"Hello");
/// assert_eq!(&room[..n], b"\x81\x05Hello"); // RFC 6455 §5.7
/// ```
#[inline]
pub fn put(room: &mut [u8], header: &Header, payload: &[u8]) -> usize {
    let start = header.put(room);
    let end = start + payload.len();
    let place = &mut room[start..end];
    copy(place, payload);
    if let Some(key) = header.mask {
        tautline_buffer::kernels::unmask(place, key, 0);
    }
    end
}

/// As `copy_from_slice`; short ones without a call.
///
/// # Panics
/// If the lengths differ.
#[inline]
pub(crate) fn copy(to: &mut [u8], from: &[u8]) {
    match from.len() {
        16..=32 => two_chunks::<16>(to, from),
        8..16 => two_chunks::<8>(to, from),
        4..8 => two_chunks::<4>(to, from),
        _ => to.copy_from_slice(from),
    }
}

/// The first and the last `N` bytes, which overlap unless there are `2 N`.
#[inline]
fn two_chunks<const N: usize>(to: &mut [u8], from: &[u8]) {
    let n = from.len();
    let to = &mut to[..n];
    to[..N].copy_from_slice(&from[..N]);
    to[n - N..].copy_from_slice(&from[n - N..]);
}

#[cfg(test)]
mod tests {
    /// Every length is copied whole, and nothing beside.
    #[test]
    fn every_length_is_copied() {
        let from: Vec<u8> = (1..=80).collect();
        for n in 0..=80 {
            let mut to = [0; 81];
            super::copy(&mut to[..n], &from[..n]);
            assert_eq!((&to[..n], to[n]), (&from[..n], 0), "{n}");
        }
    }
}
