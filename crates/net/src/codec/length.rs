//! A length before each frame.

use super::{Decode, Decoded, Decoding, Encode};

/// Bodies this long are accepted unless another limit is set.
const LIMIT: usize = 1 << 20;

/// Frames with their length before them: 1, 2, 4 or 8 bytes, or a LEB128 varint of up to ten.
///
/// Big-endian, counting what follows it, and of bodies of at most 1 MiB, unless said otherwise.
/// Items are the bodies, where they were received. Cheap to copy.
///
/// ```
/// use tautline_net::codec::{Decode, Decoded, Encode, LengthPrefix};
///
/// let mut codec = LengthPrefix::u32().little_endian().counting_itself().limit(1000);
/// let mut out = [0; 7];
/// assert_eq!(codec.encode(b"one", &mut out), 7);
/// assert_eq!(&out, b"\x07\0\0\0one");
/// let decoded = codec.decode(&mut out)?;
/// assert_eq!(decoded.map(|item| item.to_vec()), Decoded::Item { item: b"one".to_vec(), used: 7 });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LengthPrefix {
    width: Width,
    little: bool,
    /// The length is that of the whole frame.
    counts_itself: bool,
    /// Largest body.
    limit: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Width {
    /// So many bytes.
    Fixed(usize),
    /// Seven bits a byte, lowest first; the top bit says that more follow.
    Varint,
}

/// Bytes of the longest varint.
const VARINT: usize = 10;

/// What is wrong with a length.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LengthError {
    /// Longer than was agreed on.
    #[error(
        "a frame of {len} bytes, where {limit} are allowed: raise the limit, or the peer speaks \
         otherwise"
    )]
    TooLong {
        /// What the length says, or the item has.
        len: u64,
        /// As many are allowed, or can be said.
        limit: usize,
    },
    /// A length that counts itself, and says less than it has.
    #[error(
        "a length of {len} before a frame that has {prefix} bytes of length alone: perhaps the peer \
         does not count them"
    )]
    TooShort {
        /// What it says.
        len: u64,
        /// Bytes that say it.
        prefix: usize,
    },
    /// A varint that does not end, or is larger than any number.
    #[error("a length of more than 64 bits: the peer speaks otherwise")]
    Endless,
}

impl LengthPrefix {
    /// A length of one byte.
    pub const fn u8() -> Self {
        Self::of(Width::Fixed(1))
    }

    /// A length of two bytes.
    pub const fn u16() -> Self {
        Self::of(Width::Fixed(2))
    }

    /// A length of four bytes.
    pub const fn u32() -> Self {
        Self::of(Width::Fixed(4))
    }

    /// A length of eight bytes.
    pub const fn u64() -> Self {
        Self::of(Width::Fixed(8))
    }

    /// A LEB128 varint: seven bits a byte, lowest first. It is written in as few bytes as it needs,
    /// and read in up to ten.
    pub const fn varint() -> Self {
        Self::of(Width::Varint)
    }

    const fn of(width: Width) -> Self {
        Self { width, little: false, counts_itself: false, limit: LIMIT }
    }

    /// The lowest byte first. Varints always are.
    #[must_use]
    pub const fn little_endian(mut self) -> Self {
        self.little = true;
        self
    }

    /// The length counts the bytes that say it, too.
    #[must_use]
    pub const fn counting_itself(mut self) -> Self {
        self.counts_itself = true;
        self
    }

    /// Bodies of at most so many bytes, in both directions; 1 MiB if not set.
    #[must_use]
    pub const fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Bytes of a frame with a body of `len` bytes: for a codec that stands on this one.
    ///
    /// # Errors
    /// [`LengthError::TooLong`]: above the limit, or more than the prefix can say.
    #[inline]
    pub fn size_of(&self, len: usize) -> Result<usize, LengthError> {
        let prefix = self.prefix_of(len);
        let said = if self.counts_itself { prefix.saturating_add(len) } else { len };
        let too_long = |limit| LengthError::TooLong { len: len as u64, limit };
        if len > self.limit {
            return Err(too_long(self.limit));
        }
        match self.width {
            Width::Fixed(width) if width < size_of::<usize>() && said >> (8 * width) != 0 => {
                let most = (1 << (8 * width)) - 1;
                Err(too_long(if self.counts_itself { most - width } else { most }))
            }
            _ => prefix.checked_add(len).ok_or(too_long(self.limit)),
        }
    }

    /// Writes the length of a body of `len` bytes to the start of `out`. Returns where that body goes.
    ///
    /// # Panics
    /// If `out` is shorter than [`size_of`](Self::size_of) says.
    #[inline]
    pub fn open<'o>(&self, len: usize, out: &'o mut [u8]) -> &'o mut [u8] {
        let prefix = self.prefix_of(len);
        let said = if self.counts_itself { prefix + len } else { len } as u64;
        match self.width {
            Width::Fixed(width) if self.little => {
                out[..width].copy_from_slice(&said.to_le_bytes()[..width]);
            }
            Width::Fixed(width) => {
                out[..width].copy_from_slice(&said.to_be_bytes()[8 - width..]);
            }
            Width::Varint => write_varint(said, &mut out[..prefix]),
        }
        &mut out[prefix..prefix + len]
    }

    /// Bytes that say the length of a body.
    #[inline]
    fn prefix_of(&self, len: usize) -> usize {
        match self.width {
            Width::Fixed(width) => width,
            Width::Varint if self.counts_itself => {
                let fits =
                    |prefix: &usize| varint_len(len.saturating_add(*prefix) as u64) <= *prefix;
                (1..VARINT).find(fits).unwrap_or(VARINT)
            }
            Width::Varint => varint_len(len as u64),
        }
    }

    /// The length at the start, and the bytes that say it. An error: so many more are needed.
    #[inline]
    fn read(&self, bytes: &[u8]) -> Result<Result<(u64, usize), usize>, LengthError> {
        let Width::Fixed(width) = self.width else { return read_varint(bytes) };
        let Some(said) = bytes.get(..width) else { return Ok(Err(width - bytes.len())) };
        let mut whole = [0; 8];
        let len = if self.little {
            whole[..width].copy_from_slice(said);
            u64::from_le_bytes(whole)
        } else {
            whole[8 - width..].copy_from_slice(said);
            u64::from_be_bytes(whole)
        };
        Ok(Ok((len, width)))
    }

    /// Bytes of the body, given what its length says.
    #[inline]
    fn body(&self, said: u64, prefix: usize) -> Result<usize, LengthError> {
        let own = if self.counts_itself { prefix as u64 } else { 0 };
        let Some(len) = said.checked_sub(own) else {
            return Err(LengthError::TooShort { len: said, prefix });
        };
        match usize::try_from(len) {
            Ok(body) if body <= self.limit => Ok(body),
            _ => Err(LengthError::TooLong { len, limit: self.limit }),
        }
    }
}

fn varint_len(value: u64) -> usize {
    (u64::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}

fn write_varint(mut value: u64, out: &mut [u8]) {
    let last = out.len() - 1;
    for byte in &mut out[..last] {
        *byte = value as u8 | 0x80;
        value >>= 7;
    }
    out[last] = value as u8;
}

fn read_varint(bytes: &[u8]) -> Result<Result<(u64, usize), usize>, LengthError> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(VARINT).enumerate() {
        let bits = u64::from(byte & 0x7f);
        if at == VARINT - 1 && *byte > 1 {
            return Err(LengthError::Endless);
        }
        value |= bits << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Ok((value, at + 1)));
        }
    }
    Ok(Err(1))
}

impl Decode for LengthPrefix {
    /// The body.
    type Item<'b> = &'b mut [u8];
    type Error = LengthError;

    #[inline]
    fn decode<'b>(&mut self, bytes: &'b mut [u8]) -> Decoding<'b, Self> {
        let (said, prefix) = match self.read(bytes)? {
            Ok(read) => read,
            Err(missing) => return Ok(Decoded::NeedMore(missing)),
        };
        let used = prefix.saturating_add(self.body(said, prefix)?);
        match used.checked_sub(bytes.len()) {
            None | Some(0) => Ok(Decoded::Item { item: &mut bytes[prefix..used], used }),
            Some(missing) => Ok(Decoded::NeedMore(missing)),
        }
    }
}

impl<T: AsRef<[u8]>> Encode<T> for LengthPrefix {
    type Error = LengthError;

    #[inline]
    fn size(&self, item: &T) -> Result<usize, LengthError> {
        self.size_of(item.as_ref().len())
    }

    #[inline]
    fn encode(&mut self, item: T, out: &mut [u8]) -> usize {
        let item = item.as_ref();
        self.open(item.len(), out).copy_from_slice(item);
        self.prefix_of(item.len()) + item.len()
    }
}
