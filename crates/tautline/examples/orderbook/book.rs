//! The book: what is bid and asked at each price.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::decimal::Decimal;

/// All that is wanted, or offered, at one price. A quantity of 0 says that the level is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Level {
    pub(crate) price: Decimal,
    pub(crate) quantity: Decimal,
}

/// Changes of a book, or all that is in one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Levels {
    pub(crate) bids: Vec<Level>,
    pub(crate) asks: Vec<Level>,
}

/// Bids and asks by price. No level in it is empty.
#[derive(Debug, Default)]
pub(crate) struct Book {
    bids: BTreeMap<Decimal, Decimal>,
    asks: BTreeMap<Decimal, Decimal>,
}

impl Book {
    /// Puts each level in the place of what stood at its price.
    pub(crate) fn apply(&mut self, changes: &Levels) {
        set(&mut self.bids, &changes.bids);
        set(&mut self.asks, &changes.asks);
    }

    /// Forgets everything for the sake of a snapshot.
    pub(crate) fn replace(&mut self, snapshot: &Levels) {
        self.bids.clear();
        self.asks.clear();
        self.apply(snapshot);
    }

    /// The highest bid.
    pub(crate) fn best_bid(&self) -> Option<Level> {
        self.bids.last_key_value().map(level)
    }

    /// The lowest ask.
    pub(crate) fn best_ask(&self) -> Option<Level> {
        self.asks.first_key_value().map(level)
    }

    /// Everything, the best levels first.
    pub(crate) fn levels(&self) -> Levels {
        let bids = self.bids.iter().rev().map(level).collect();
        Levels { bids, asks: self.asks.iter().map(level).collect() }
    }
}

fn set(side: &mut BTreeMap<Decimal, Decimal>, changes: &[Level]) {
    for &Level { price, quantity } in changes {
        if quantity == Decimal::ZERO {
            // The stream also takes away what a book of less depth never had.
            side.remove(&price);
        } else {
            side.insert(price, quantity);
        }
    }
}

fn level((&price, &quantity): (&Decimal, &Decimal)) -> Level {
    Level { price, quantity }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(price: u64, quantity: u64) -> Level {
        let [price, quantity] = [price, quantity].map(Decimal::from_units);
        Level { price, quantity }
    }

    fn levels(bids: &[(u64, u64)], asks: &[(u64, u64)]) -> Levels {
        let side = |side: &[(u64, u64)]| side.iter().map(|&(p, q)| level(p, q)).collect();
        Levels { bids: side(bids), asks: side(asks) }
    }

    /// Proves that the best bid is the highest, the best ask the lowest, and that an empty side
    /// has neither.
    #[test]
    fn the_top_is_the_best_of_each_side() {
        let mut book = Book::default();
        assert_eq!((book.best_bid(), book.best_ask()), (None, None));
        book.apply(&levels(&[(8, 1), (9, 2), (7, 3)], &[(12, 4), (11, 5)]));
        assert_eq!((book.best_bid(), book.best_ask()), (Some(level(9, 2)), Some(level(11, 5))));
    }

    /// Proves that a level is set, changed and removed, in the order of the changes, and that
    /// removing what is not there is no harm.
    #[test]
    fn levels_are_set_and_removed() {
        let mut book = Book::default();
        book.apply(&levels(&[(9, 2), (9, 0), (8, 1)], &[(11, 5), (12, 0)]));
        assert_eq!(book.levels(), levels(&[(8, 1)], &[(11, 5)]));
        book.apply(&levels(&[(8, 6), (7, 1)], &[(11, 0)]));
        assert_eq!(book.levels(), levels(&[(8, 6), (7, 1)], &[]));
    }

    /// Proves that nothing of the former book outlives a snapshot.
    #[test]
    fn a_snapshot_replaces_everything() {
        let mut book = Book::default();
        book.apply(&levels(&[(9, 2)], &[(11, 5)]));
        book.replace(&levels(&[(8, 1), (5, 0)], &[]));
        assert_eq!(book.levels(), levels(&[(8, 1)], &[]));
    }
}
