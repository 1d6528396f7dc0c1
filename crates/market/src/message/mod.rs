//! What an exchange says of its order books.
//!
//! Layouts are fixed and numbers big-endian, as in the feeds of exchanges. What messages have in common
//! lies at the same place in all of them.
//!
//! | offset | bytes | field | Add | Modify | Delete | Trade | SnapshotBegin | SnapshotEnd |
//! | --- | --- | --- | --- | --- | --- | --- | --- | --- |
//! | 0 | 1 | kind | `A` | `M` | `D` | `T` | `B` | `E` |
//! | 1 | 4 | instrument | • | • | • | • | • | • |
//! | 5 | 8 | order | • | • | • | • | | |
//! | 5 | 8 | next | | | | | • | |
//! | 13 | 8 | price, signed | • | • | | • | | |
//! | 21 | 4 | quantity | • | • | | • | | |
//! | 25 | 1 | side: `B` or `S` | • | | | | | |
//! | 25 | 8 | trade | | | | • | | |
//! | | | bytes in all | 26 | 25 | 13 | 33 | 13 | 5 |

mod layout;
mod names;

use self::layout::{bytes_at, fixed, put};
pub use self::names::{Instrument, OrderId, Price, Side, TradeId};

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// An order has come into the book.
    Add {
        /// Whose book.
        instrument: Instrument,
        /// Its name, which no other order of the book has.
        order: OrderId,
        /// Its limit.
        price: Price,
        /// Of how many, at least one.
        quantity: u32,
        /// What it wants.
        side: Side,
    },
    /// An order is another now, on the same side.
    Modify {
        /// Whose book.
        instrument: Instrument,
        /// Which order.
        order: OrderId,
        /// Its limit from now on.
        price: Price,
        /// How many are left of it, at least one.
        quantity: u32,
    },
    /// An order has left the book.
    Delete {
        /// Whose book.
        instrument: Instrument,
        /// Which order.
        order: OrderId,
    },
    /// An order of the book was met by another. It has left the book when nothing is left of it.
    Trade {
        /// Whose book.
        instrument: Instrument,
        /// The order that rested in the book.
        order: OrderId,
        /// Its limit: for that it was met.
        price: Price,
        /// How many changed hands, at least one.
        quantity: u32,
        /// The name of the trade.
        trade: TradeId,
    },
    /// The orders of a book follow, each as an [`Message::Add`].
    SnapshotBegin {
        /// Whose book.
        instrument: Instrument,
        /// The number of the first message of the feed that is not in it.
        next: u64,
    },
    /// All orders of the book have been told.
    SnapshotEnd {
        /// Whose book.
        instrument: Instrument,
    },
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// There are none.
    #[error("a message of no bytes: its kind is missing")]
    Empty,
    /// It is of a kind that is not known.
    #[error("there are no messages of kind {kind:#04x}: the sender speaks another layout")]
    UnknownKind {
        /// Its first byte.
        kind: u8,
    },
    /// It has too few bytes, or too many.
    #[error("{len} bytes are no message of kind {:?}, which has {expected}", char::from(*kind))]
    Length {
        /// Its first byte.
        kind: u8,
        /// Bytes there are.
        len: usize,
        /// Bytes of such a message.
        expected: usize,
    },
    /// It is on no side.
    #[error("there is no side {side:#04x}: B buys, S sells")]
    UnknownSide {
        /// What stands there.
        side: u8,
    },
}

impl Message {
    /// Bytes of the longest message.
    pub const LONGEST: usize = 33;

    /// Reads a message.
    ///
    /// # Errors
    /// [`DecodeError`].
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let Some(&kind) = bytes.first() else { return Err(DecodeError::Empty) };
        match kind {
            b'A' => Self::decode_add(fixed(bytes)?),
            b'M' => Ok(Self::decode_modify(fixed(bytes)?)),
            b'D' => Ok(Self::decode_delete(fixed(bytes)?)),
            b'T' => Ok(Self::decode_trade(fixed(bytes)?)),
            b'B' => Ok(Self::decode_snapshot_begin(fixed(bytes)?)),
            b'E' => {
                let bytes: &[u8; 5] = fixed(bytes)?;
                Ok(Self::SnapshotEnd { instrument: Instrument(bytes_at!(bytes, 1, u32)) })
            }
            kind => Err(DecodeError::UnknownKind { kind }),
        }
    }

    #[inline]
    fn decode_add(bytes: &[u8; 26]) -> Result<Self, DecodeError> {
        let side = match bytes[25] {
            b'B' => Side::Bid,
            b'S' => Side::Ask,
            side => return Err(DecodeError::UnknownSide { side }),
        };
        Ok(Self::Add {
            instrument: Instrument(bytes_at!(bytes, 1, u32)),
            order: OrderId(bytes_at!(bytes, 5, u64)),
            price: Price(bytes_at!(bytes, 13, i64)),
            quantity: bytes_at!(bytes, 21, u32),
            side,
        })
    }

    #[inline]
    fn decode_modify(bytes: &[u8; 25]) -> Self {
        Self::Modify {
            instrument: Instrument(bytes_at!(bytes, 1, u32)),
            order: OrderId(bytes_at!(bytes, 5, u64)),
            price: Price(bytes_at!(bytes, 13, i64)),
            quantity: bytes_at!(bytes, 21, u32),
        }
    }

    #[inline]
    fn decode_delete(bytes: &[u8; 13]) -> Self {
        Self::Delete {
            instrument: Instrument(bytes_at!(bytes, 1, u32)),
            order: OrderId(bytes_at!(bytes, 5, u64)),
        }
    }

    #[inline]
    fn decode_trade(bytes: &[u8; 33]) -> Self {
        Self::Trade {
            instrument: Instrument(bytes_at!(bytes, 1, u32)),
            order: OrderId(bytes_at!(bytes, 5, u64)),
            price: Price(bytes_at!(bytes, 13, i64)),
            quantity: bytes_at!(bytes, 21, u32),
            trade: TradeId(bytes_at!(bytes, 25, u64)),
        }
    }

    fn decode_snapshot_begin(bytes: &[u8; 13]) -> Self {
        Self::SnapshotBegin {
            instrument: Instrument(bytes_at!(bytes, 1, u32)),
            next: bytes_at!(bytes, 5, u64),
        }
    }

    /// Writes the message, and returns its bytes.
    #[inline]
    pub fn encode<'a>(&self, room: &'a mut [u8; Self::LONGEST]) -> &'a [u8] {
        put(room, 1, self.instrument().0.to_be_bytes());
        match *self {
            Self::Add { order, price, quantity, side, .. } => {
                put_order(room, order, price, quantity);
                room[25] = if side == Side::Bid { b'B' } else { b'S' };
            }
            Self::Modify { order, price, quantity, .. } => put_order(room, order, price, quantity),
            Self::Delete { order, .. } => put(room, 5, order.0.to_be_bytes()),
            Self::Trade { order, price, quantity, trade, .. } => {
                put_order(room, order, price, quantity);
                put(room, 25, trade.0.to_be_bytes());
            }
            Self::SnapshotBegin { next, .. } => put(room, 5, next.to_be_bytes()),
            Self::SnapshotEnd { .. } => {}
        }
        let (kind, len) = self.kind_and_len();
        room[0] = kind;
        &room[..len]
    }

    fn kind_and_len(&self) -> (u8, usize) {
        match self {
            Self::Add { .. } => (b'A', 26),
            Self::Modify { .. } => (b'M', 25),
            Self::Delete { .. } => (b'D', 13),
            Self::Trade { .. } => (b'T', 33),
            Self::SnapshotBegin { .. } => (b'B', 13),
            Self::SnapshotEnd { .. } => (b'E', 5),
        }
    }

    /// Of which instrument it tells.
    #[inline]
    pub fn instrument(&self) -> Instrument {
        match *self {
            Self::Add { instrument, .. }
            | Self::Modify { instrument, .. }
            | Self::Delete { instrument, .. }
            | Self::Trade { instrument, .. }
            | Self::SnapshotBegin { instrument, .. }
            | Self::SnapshotEnd { instrument } => instrument,
        }
    }
}

#[inline]
fn put_order(room: &mut [u8; Message::LONGEST], order: OrderId, price: Price, quantity: u32) {
    put(room, 5, order.0.to_be_bytes());
    put(room, 13, price.0.to_be_bytes());
    put(room, 21, quantity.to_be_bytes());
}

#[cfg(test)]
mod tests;
