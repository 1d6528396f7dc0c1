//! The header of a frame.

use crate::{ProtocolError, Role};

/// Four bytes that a client's payload is combined with, RFC 6455 §5.3.
pub type MaskKey = [u8; 4];

/// Bytes of the longest header: two, eight of length, four of the key.
pub const LONGEST: usize = 14;

/// In the first byte: the frame is the last of its message.
pub(crate) const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const RSV23: u8 = 0x30;
/// In the second byte: a key follows the length.
pub(crate) const MASKED: u8 = 0x80;
/// A length in two more bytes, and one in eight.
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;

/// What a frame is, RFC 6455 §11.8.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Opcode {
    /// More of the message that an earlier frame has begun.
    Continuation,
    /// The beginning of a message of UTF-8 text, or all of it.
    Text,
    /// The beginning of a message of bytes, or all of it.
    Binary,
    /// The sender says farewell.
    Close,
    /// Asks for a [`Pong`](Self::Pong).
    Ping,
    /// Answers a [`Ping`](Self::Ping), or says that the sender is alive.
    Pong,
}

impl Opcode {
    /// As it lies on the wire.
    #[inline]
    pub const fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    /// Whether it is one of close, ping and pong.
    #[inline]
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }

    #[inline]
    const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }
}

/// The header of a frame, RFC 6455 §5.2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// What the frame is.
    pub opcode: Opcode,
    /// It is the last of its message.
    pub fin: bool,
    /// Its message is compressed (`RSV1`, RFC 7692 §6); on the first frame of a message alone.
    pub compressed: bool,
    /// The key of its payload. A client always has one, a server never.
    pub mask: Option<MaskKey>,
    /// Bytes of the payload; below 2^63.
    pub length: u64,
}

/// What a look at the beginning of a frame has found.
pub(crate) enum Parsed {
    /// A header, and how many bytes it has.
    Header(Header, usize),
    /// So many bytes are needed at least, from the beginning of the frame on.
    Needs(usize),
}

/// The length of a frame that is told in at most two bytes more, and how many those are: by its
/// second byte without the mark of a mask, and what follows that. `None`: there is more to see.
#[inline]
pub(crate) fn short_length(second: u8, rest: &[u8]) -> Option<(usize, usize)> {
    match (second, rest) {
        (0..=125, _) => Some((usize::from(second), 0)),
        (LENGTH_16, [high, low, ..]) => {
            let length = u16::from_be_bytes([*high, *low]);
            (length >= u16::from(LENGTH_16)).then_some((usize::from(length), 2))
        }
        _ => None,
    }
}

/// How many bytes the header of a frame with so long a payload has.
#[inline]
pub const fn header_length(payload: u64, masked: bool) -> usize {
    let length = match payload {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    };
    if masked { length + 4 } else { length }
}

impl Header {
    /// Of a message in one frame, neither compressed nor masked.
    pub const fn new(opcode: Opcode, length: usize) -> Self {
        Self { opcode, fin: true, compressed: false, mask: None, length: length as u64 }
    }

    /// How many bytes it has.
    #[inline]
    pub const fn length(&self) -> usize {
        header_length(self.length, self.mask.is_some())
    }

    /// Writes it to the start of `room`, in the shortest form, and returns how many bytes it has.
    ///
    /// # Panics
    /// If `room` is too short for it: [`LONGEST`] bytes always do.
    //= RFC 6455 §5.2
    #[inline]
    pub fn put(&self, room: &mut [u8]) -> usize {
        let mut first = self.opcode.bits();
        if self.fin {
            first |= FIN;
        }
        if self.compressed {
            first |= RSV1;
        }
        room[0] = first;
        let masked = if self.mask.is_some() { MASKED } else { 0 };
        let mut at = 2;
        match self.length {
            short @ 0..=125 => room[1] = masked | short as u8,
            long @ 126..=0xffff => {
                room[1] = masked | LENGTH_16;
                room[2..4].copy_from_slice(&(long as u16).to_be_bytes());
                at = 4;
            }
            longer => {
                room[1] = masked | LENGTH_64;
                room[2..10].copy_from_slice(&longer.to_be_bytes());
                at = 10;
            }
        }
        if let Some(key) = self.mask {
            room[at..at + 4].copy_from_slice(&key);
            at += 4;
        }
        at
    }
}

/// Looks for a header at the start of `bytes`, which a peer of `role` has received. Whether
/// `compressed` is allowed was negotiated. Fails as soon as what is there cannot be a header.
//= RFC 6455 §5.2
#[inline]
pub(crate) fn parse(bytes: &[u8], role: Role, may_compress: bool) -> Result<Parsed, ProtocolError> {
    let [first, rest @ ..] = bytes else { return Ok(Parsed::Needs(2)) };
    let opcode = Opcode::from_bits(first & 0x0f);
    let Some(opcode) = opcode else { return Err(ProtocolError::Opcode(first & 0x0f)) };
    let compressed = first & RSV1 != 0;
    if first & (RSV1 | RSV23) != 0 {
        check_reserved(*first, opcode, may_compress)?;
    }
    let fin = first & FIN != 0;
    if opcode.is_control() && !fin {
        return Err(ProtocolError::FragmentedControl(opcode));
    }
    let [second, rest @ ..] = rest else { return Ok(Parsed::Needs(2)) };
    let masked = second & MASKED != 0;
    if masked != role.receives_masked() {
        return Err(if masked { ProtocolError::Masked } else { ProtocolError::NotMasked });
    }
    let short = second & !MASKED;
    if opcode.is_control() && usize::from(short) > super::MOST_CONTROL {
        return Err(ProtocolError::LongControl(opcode));
    }
    let (length, rest, before) = match short {
        LENGTH_16 => {
            let Some((long, rest)) = rest.split_first_chunk() else { return needs(4, masked) };
            (minimal(u64::from(u16::from_be_bytes(*long)), 126)?, rest, 4)
        }
        LENGTH_64 => {
            let Some((longer, rest)) = rest.split_first_chunk() else { return needs(10, masked) };
            (minimal(u64::from_be_bytes(*longer), 0x1_0000)?, rest, 10)
        }
        short => (u64::from(short), rest, 2),
    };
    if !masked {
        return Ok(Parsed::Header(Header { opcode, fin, compressed, mask: None, length }, before));
    }
    let Some(key) = rest.first_chunk() else { return needs(before, true) };
    let header = Header { opcode, fin, compressed, mask: Some(*key), length };
    Ok(Parsed::Header(header, before + 4))
}

#[cold]
fn needs(before: usize, masked: bool) -> Result<Parsed, ProtocolError> {
    Ok(Parsed::Needs(if masked { before + 4 } else { before }))
}

/// A length is below 2^63, and told in the fewest bytes.
//= RFC 6455 §5.2
#[inline]
fn minimal(length: u64, least: u64) -> Result<u64, ProtocolError> {
    if length < least {
        return Err(ProtocolError::LengthNotMinimal(length));
    }
    if length >> 63 != 0 {
        return Err(ProtocolError::LengthTopBit(length));
    }
    Ok(length)
}

/// A reserved bit is set: fine only as the mark of a compressed message.
//= RFC 6455 §5.2
//= RFC 7692 §6
#[cold]
fn check_reserved(first: u8, opcode: Opcode, may_compress: bool) -> Result<(), ProtocolError> {
    let marks = first & RSV23 == 0 && may_compress;
    match opcode {
        Opcode::Text | Opcode::Binary if marks => Ok(()),
        _ => Err(ProtocolError::Reserved(first & (RSV1 | RSV23))),
    }
}
