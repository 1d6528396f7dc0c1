//! Frames of one size.

use std::borrow::Borrow;
use std::convert::Infallible;

use super::{Decode, Decoded, Decoding, Encode};

/// Frames of `N` bytes each, where they were received.
///
/// ```
/// use tautline_net::codec::{Decode, Decoded, Fixed};
///
/// let mut codec = Fixed::<4>;
/// let mut bytes = *b"one two";
/// let decoded = codec.decode(&mut bytes)?;
/// assert_eq!(decoded.map(|item| *item), Decoded::Item { item: *b"one ", used: 4 });
/// assert_eq!(codec.decode(&mut bytes[4..])?, Decoded::NeedMore(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Fixed<const N: usize>;

impl<const N: usize> Fixed<N> {
    const NOT_EMPTY: () = assert!(N > 0, "a frame has at least one byte");
}

impl<const N: usize> Decode for Fixed<N> {
    type Item<'b> = &'b mut [u8; N];
    type Error = Infallible;

    #[inline]
    fn decode<'b>(&mut self, bytes: &'b mut [u8]) -> Decoding<'b, Self> {
        let () = Self::NOT_EMPTY;
        let missing = N.saturating_sub(bytes.len());
        match bytes.first_chunk_mut() {
            Some(item) => Ok(Decoded::Item { item, used: N }),
            None => Ok(Decoded::NeedMore(missing)),
        }
    }
}

impl<const N: usize, T: Borrow<[u8; N]>> Encode<T> for Fixed<N> {
    type Error = Infallible;

    #[inline]
    fn size(&self, _: &T) -> Result<usize, Infallible> {
        Ok(N)
    }

    #[inline]
    fn encode(&mut self, item: T, out: &mut [u8]) -> usize {
        out[..N].copy_from_slice(item.borrow());
        N
    }
}
