//! Names and units. Two integers side by side are an accident waiting.

use std::fmt;

/// An instrument, by its index from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Instrument(pub u32);

/// An order, by the number that the exchange has given it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderId(pub u64);

/// A trade, by the number that the exchange has given it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TradeId(pub u64);

/// A price, in the smallest steps that the instrument has. It may be below zero, as that of a spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Price(pub i64);

/// What an order wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Side {
    /// To buy: the highest price is the best.
    #[default]
    Bid,
    /// To sell: the lowest price is the best.
    Ask,
}

impl Side {
    /// The other one.
    #[inline]
    pub fn opposite(self) -> Self {
        match self {
            Self::Bid => Self::Ask,
            Self::Ask => Self::Bid,
        }
    }
}

macro_rules! shown_as_numbers {
    ($($name:ident)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

shown_as_numbers!(Instrument OrderId TradeId Price);

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Bid { "bid" } else { "ask" })
    }
}
