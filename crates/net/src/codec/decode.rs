//! From bytes to items.

use std::error::Error as StdError;
use std::fmt;

use tautline_buffer::Fifo;

/// Finds the next item at the start of some bytes. Pure: no socket, no buffer of its own.
///
/// A frame is what an item is decoded from. The bytes that it is given begin where the last frame
/// ended. After [`NeedMore`](Decoded::NeedMore) it gets the same bytes again, followed by more; so
/// it may note how far it has looked. They are lent mutably, to be unmasked or decrypted in place
/// once a frame is whole; before, it leaves them as they are.
///
/// A codec of one's own is these twenty lines:
///
/// ```
/// use tautline_net::codec::{Decode, Decoded, Decoding, Malformed};
///
/// /// A price in cents for a symbol of four letters.
/// #[derive(Debug, PartialEq)]
/// struct Quote<'b> {
///     symbol: &'b str,
///     cents: u32,
/// }
///
/// #[derive(Debug, thiserror::Error)]
/// #[error("a symbol is four letters of ASCII")]
/// struct BadSymbol;
///
/// struct Quotes;
///
/// impl Decode for Quotes {
///     type Item<'b> = Quote<'b>;
///     type Error = BadSymbol;
///
///     fn decode<'b>(&mut self, bytes: &'b mut [u8]) -> Decoding<'b, Self> {
///         let Some(frame) = bytes.first_chunk::<8>() else {
///             return Ok(Decoded::NeedMore(8 - bytes.len()));
///         };
///         let [a, b, c, d, symbol @ ..] = frame;
///         let symbol = std::str::from_utf8(symbol).map_err(|_| Malformed::at(4, BadSymbol))?;
///         let cents = u32::from_be_bytes([*a, *b, *c, *d]);
///         Ok(Decoded::Item { item: Quote { symbol, cents }, used: 8 })
///     }
/// }
///
/// let mut bytes = *b"\0\0\x01\x02ACMErest";
/// let Decoded::Item { item, used } = Quotes.decode(&mut bytes)? else { panic!("it is whole") };
/// assert_eq!((item, used), (Quote { symbol: "ACME", cents: 258 }, 8));
/// assert_eq!(Quotes.decode(&mut bytes[8..])?, Decoded::NeedMore(4));
/// # Ok::<(), Malformed<BadSymbol>>(())
/// ```
pub trait Decode {
    /// What comes out; it may borrow from the bytes, and then nothing is copied.
    type Item<'b>;
    /// Why bytes are not understood.
    type Error: StdError + Send + Sync + 'static;

    /// The item at the start of `bytes`, or how many more are needed.
    ///
    /// # Errors
    /// [`Malformed`]: what is wrong, and at which of these bytes. Nothing behind it is understood
    /// either, and it is not called again.
    fn decode<'b>(&mut self, bytes: &'b mut [u8]) -> Decoding<'b, Self>;

    /// The stream has ended, and `rest`, which is not empty, has come since the last whole frame:
    /// the item that it is, if the end can stand for the end of a frame. `None`: it is half a
    /// frame, which is what it is unless this is written.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    fn finish<'b>(
        &mut self,
        rest: &'b mut [u8],
    ) -> Result<Option<Self::Item<'b>>, Malformed<Self::Error>> {
        let _ = rest;
        Ok(None)
    }
}

/// What [`Decode::decode`] returns.
pub type Decoding<'b, D> =
    Result<Decoded<<D as Decode>::Item<'b>>, Malformed<<D as Decode>::Error>>;

/// What lies at the start of some bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decoded<T> {
    /// A whole frame.
    Item {
        /// What it says.
        item: T,
        /// How long it is; at least one byte.
        used: usize,
    },
    /// Not yet a whole frame: at least so many more bytes are needed, one or more. Whoever receives
    /// them sees by this whether they will fit.
    NeedMore(usize),
}

impl<T> Decoded<T> {
    /// Makes another item of it, for a codec that stands on another.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Decoded<U> {
        match self {
            Self::Item { item, used } => Decoded::Item { item: f(item), used },
            Self::NeedMore(hint) => Decoded::NeedMore(hint),
        }
    }

    /// The same where the item may turn out to be none.
    ///
    /// # Errors
    /// That of `f`.
    pub fn try_map<U, E>(self, f: impl FnOnce(T) -> Result<U, E>) -> Result<Decoded<U>, E> {
        Ok(match self {
            Self::Item { item, used } => Decoded::Item { item: f(item)?, used },
            Self::NeedMore(hint) => Decoded::NeedMore(hint),
        })
    }
}

/// What a codec does not understand, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed<E> {
    /// At which of the bytes that it was given.
    pub at: usize,
    /// What is wrong there.
    pub error: E,
}

impl<E> Malformed<E> {
    /// `error`, found at byte `at`.
    pub fn at(at: usize, error: E) -> Self {
        Self { at, error }
    }

    /// Says it in the words of a codec that stands on this one.
    pub fn map<F>(self, f: impl FnOnce(E) -> F) -> Malformed<F> {
        Malformed { at: self.at, error: f(self.error) }
    }
}

/// At the start of the frame.
impl<E> From<E> for Malformed<E> {
    fn from(error: E) -> Self {
        Self { at: 0, error }
    }
}

impl<E: fmt::Display> fmt::Display for Malformed<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.at, self.error)
    }
}

impl<E: StdError + 'static> StdError for Malformed<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}

/// Hands every whole item that lies in `fifo` to `take`, in order, and consumes it. Returns how many
/// more bytes the next one needs at least: see [`Decoded::NeedMore`].
///
/// This is a codec on any buffer, without a stream: for protocols that bring their own.
///
/// ```
/// use tautline_buffer::{Bip, Fifo};
/// use tautline_net::codec::{LengthPrefix, decode_all};
///
/// let mut buffer = Bip::new(64)?;
/// buffer.put(b"\x03one\x03two\x05thr");
/// let mut seen = Vec::new();
/// let missing = decode_all(&mut LengthPrefix::u8(), &mut buffer, |item| seen.push(item.to_vec()))?;
/// assert_eq!((seen, missing), (vec![b"one".to_vec(), b"two".to_vec()], 2));
/// assert_eq!(buffer.readable(), b"\x05thr");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`Decode::decode`]; what was before it has been handed on, and `at` counts from the first byte
/// that is left in `fifo`.
///
/// # Panics
/// If the codec says that it has used no byte, or more than there are.
pub fn decode_all<D: Decode, F: Fifo + ?Sized>(
    decoder: &mut D,
    fifo: &mut F,
    mut take: impl FnMut(D::Item<'_>),
) -> Result<usize, Malformed<D::Error>> {
    loop {
        let bytes = fifo.readable_mut();
        let len = bytes.len();
        let used = match decoder.decode(bytes)? {
            Decoded::NeedMore(hint) => return Ok(hint),
            Decoded::Item { item, used } => {
                take(item);
                used
            }
        };
        check_used(used, len);
        fifo.consume(used);
    }
}

/// An item of no bytes would come for ever.
#[inline]
pub(super) fn check_used(used: usize, len: usize) {
    assert!(
        (1..=len).contains(&used),
        "a codec says that an item has {used} of {len} bytes: 1 to all of them can be its frame"
    );
}
