//! What a gateway publishes.
//!
//! | offset | bytes | |
//! | --- | --- | --- |
//! | 0 | 1 | `Q` |
//! | 1 | 4 | instrument |
//! | 5 | 1 | flags: 1 keyframe, 2 sound, 4 stale |
//! | 6 | 8 | number of the quote, from 1 on: one that is missing was lost behind the gateway |
//! | 14 | 8 | number of the first message of the feed that is not in it |
//! | 22 | 8 | price of the best bid, signed; 0 if there is none |
//! | 30 | 8 | quantity at that price; 0 if there is none |
//! | 38 | 8 | price of the best ask, signed; 0 if there is none |
//! | 46 | 8 | quantity at that price; 0 if there is none |

use crate::book::{Book, Level};
use crate::message::{Instrument, Price, Side};

/// The best of an instrument, as it is: no other quote is needed to make sense of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Of which instrument.
    pub instrument: Instrument,
    /// Nothing has changed: it is published for those who have come late, or after a snapshot.
    pub is_key: bool,
    /// The book is that of the exchange. If not, it is as it was when that came to be in doubt.
    pub is_sound: bool,
    /// Nothing comes on any line: it may be old, however sound.
    pub is_stale: bool,
    /// Quotes that this gateway has published, this one included.
    pub update: u64,
    /// The number of the first message of the feed that is not in it.
    pub next: u64,
    /// The best bid, if there is any.
    pub bid: Option<Top>,
    /// The best ask, if there is any.
    pub ask: Option<Top>,
}

/// The best price of a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Top {
    /// The price.
    pub price: Price,
    /// What all orders of that price want together, at least one.
    pub quantity: u64,
}

impl From<Level> for Top {
    fn from(level: Level) -> Self {
        Self { price: level.price, quantity: level.quantity }
    }
}

/// Both sides.
pub(super) type Tops = [Option<Top>; 2];

#[inline]
pub(super) fn tops(book: &Book) -> Tops {
    [book.best(Side::Bid).map(Top::from), book.best(Side::Ask).map(Top::from)]
}

/// Why bytes are no quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuoteError {
    /// They have another length, or begin otherwise.
    #[error("{len} bytes are no quote, which has {} and begins with Q", Quote::LEN)]
    Foreign {
        /// As many there are.
        len: usize,
    },
}

const KEY: u8 = 1;
const SOUND: u8 = 2;
const STALE: u8 = 4;

impl Quote {
    /// Bytes of a quote.
    pub const LEN: usize = 54;

    /// Its bytes.
    pub fn encode(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, b"Q");
        put(1, &self.instrument.0.to_be_bytes());
        let flags = [(self.is_key, KEY), (self.is_sound, SOUND), (self.is_stale, STALE)];
        let set = |flags: u8, (is_set, flag)| if is_set { flags | flag } else { flags };
        put(5, &[flags.into_iter().fold(0, set)]);
        put(6, &self.update.to_be_bytes());
        put(14, &self.next.to_be_bytes());
        for (at, top) in [(22, self.bid), (38, self.ask)] {
            let Some(Top { price, quantity }) = top else { continue };
            put(at, &price.0.to_be_bytes());
            put(at + 8, &quantity.to_be_bytes());
        }
        bytes
    }

    /// Reads a quote.
    ///
    /// ```
    /// use tautline_market::gateway::{Quote, Top};
    /// use tautline_market::message::{Instrument, Price};
    /// let bid = Some(Top { price: Price(-3), quantity: 200 });
    /// let instrument = Instrument(7);
    /// let (is_key, is_sound, is_stale) = (false, true, false);
    /// let quote =
    ///     Quote { instrument, is_key, is_sound, is_stale, update: 5, next: 99, bid, ask: None };
    /// assert_eq!(Quote::decode(&quote.encode()), Ok(quote));
    /// ```
    ///
    /// # Errors
    /// [`QuoteError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, QuoteError> {
        let foreign = QuoteError::Foreign { len: bytes.len() };
        let bytes: &[u8; Self::LEN] = bytes.try_into().map_err(|_| foreign)?;
        if bytes[0] != b'Q' {
            return Err(foreign);
        }
        let number = |at: usize| {
            let mut field = [0; 8];
            field.copy_from_slice(&bytes[at..at + 8]);
            u64::from_be_bytes(field)
        };
        let top = |at: usize| {
            let (price, quantity) = (Price(number(at).cast_signed()), number(at + 8));
            (quantity > 0).then_some(Top { price, quantity })
        };
        Ok(Self {
            instrument: Instrument((number(1) >> 32) as u32),
            is_key: bytes[5] & KEY != 0,
            is_sound: bytes[5] & SOUND != 0,
            is_stale: bytes[5] & STALE != 0,
            update: number(6),
            next: number(14),
            bid: top(22),
            ask: top(38),
        })
    }
}
