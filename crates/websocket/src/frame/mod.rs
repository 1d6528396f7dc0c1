//! Frames: what lies on the wire, RFC 6455 §5.2.

mod header;

pub use header::{Header, LONGEST, MaskKey, Opcode, header_length};
pub(crate) use header::{MASKED, Parsed, parse, plain_opcode, short_length};

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
    place.copy_from_slice(payload);
    if let Some(key) = header.mask {
        tautline_buffer::kernels::unmask(place, key, 0);
    }
    end
}
