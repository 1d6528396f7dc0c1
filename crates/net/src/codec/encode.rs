//! From items to bytes.

use std::error::Error as StdError;

use tautline_buffer::Fifo;

/// Writes items where they will be sent from.
///
/// It is asked for the size first, so that whoever sends can claim the room, and all that can be
/// wrong with an item is found before a byte of it is written.
///
/// ```
/// use tautline_net::codec::Encode;
///
/// struct Quotes;
///
/// impl Encode<(u32, [u8; 4])> for Quotes {
///     type Error = std::convert::Infallible;
///
///     fn size(&self, _: &(u32, [u8; 4])) -> Result<usize, Self::Error> {
///         Ok(8)
///     }
///
///     fn encode(&mut self, (cents, symbol): (u32, [u8; 4]), out: &mut [u8]) -> usize {
///         out[..4].copy_from_slice(&cents.to_be_bytes());
///         out[4..].copy_from_slice(&symbol);
///         8
///     }
/// }
///
/// let mut out = [0; 8];
/// assert_eq!(Quotes.encode((258, *b"ACME"), &mut out), 8);
/// assert_eq!(&out, b"\0\0\x01\x02ACME");
/// ```
pub trait Encode<I> {
    /// Why an item cannot be sent.
    type Error: StdError + Send + Sync + 'static;

    /// Bytes of its frame, or at most so many where that is cheaper to say.
    ///
    /// # Errors
    /// When it cannot be sent at all, for instance because it is too long.
    fn size(&self, item: &I) -> Result<usize, Self::Error>;

    /// Writes its frame to the start of `out`, which is as long as [`size`](Self::size) says, with
    /// unspecified contents. Returns the frame's length.
    fn encode(&mut self, item: I, out: &mut [u8]) -> usize;
}

/// Writes an item into `fifo`, claimed in place, without a stream. Returns the length of its frame;
/// `None`: there is no room for it now, and nothing was written.
///
/// ```
/// use tautline_buffer::{Bip, Fifo};
/// use tautline_net::codec::{LengthPrefix, encode_into};
///
/// let mut buffer = Bip::new(8)?;
/// assert_eq!(encode_into(&mut LengthPrefix::u16(), b"one", &mut buffer)?, Some(5));
/// assert_eq!(buffer.readable(), b"\0\x03one");
/// assert_eq!(encode_into(&mut LengthPrefix::u16(), b"two", &mut buffer)?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`Encode::size`].
pub fn encode_into<I, E: Encode<I>, F: Fifo + ?Sized>(
    encoder: &mut E,
    item: I,
    fifo: &mut F,
) -> Result<Option<usize>, E::Error> {
    let size = encoder.size(&item)?;
    let claim = fifo.claim(size);
    if claim.len() < size {
        fifo.commit(0);
        return Ok(None);
    }
    let len = encoder.encode(item, claim);
    Ok(Some(fifo.commit(len)))
}
