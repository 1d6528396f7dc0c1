//! The prices of one side of a book.

use super::CapacityError;
use crate::message::{Price, Side};

/// A price at which there are orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// The price.
    pub price: Price,
    /// What the orders want together.
    pub quantity: u64,
    /// As many orders, at least one.
    pub orders: u32,
}

#[derive(Clone, Copy, Debug)]
struct Rung {
    /// The better the price, the higher.
    rank: i64,
    quantity: u64,
    orders: u32,
}

/// As long as a level is among so many of the best, it is looked for one by one: most are.
const NEAR: usize = 8;

#[derive(Clone, Debug)]
pub(super) struct Ladder {
    side: Side,
    /// Best last: what changes most moves least.
    rungs: Vec<Rung>,
}

impl Ladder {
    /// Of so many orders at most, and so of as many prices.
    pub(super) fn new(side: Side, most: usize) -> Result<Self, CapacityError> {
        let mut rungs = Vec::new();
        rungs.try_reserve_exact(most).map_err(|_| CapacityError::Memory { orders: most })?;
        Ok(Self { side, rungs })
    }

    #[inline]
    fn rank(&self, price: Price) -> i64 {
        match self.side {
            Side::Bid => price.0,
            Side::Ask => !price.0, // unlike `-`, there is one of each number
        }
    }

    /// Where a rank is, or belongs.
    #[inline]
    fn find(&self, rank: i64) -> Result<usize, usize> {
        let far = self.rungs.len().saturating_sub(NEAR);
        for (at, rung) in self.rungs.iter().enumerate().skip(far).rev() {
            if rung.rank <= rank {
                return if rung.rank == rank { Ok(at) } else { Err(at + 1) };
            }
        }
        self.rungs[..far].binary_search_by_key(&rank, |rung| rung.rank)
    }

    #[inline]
    fn of(&mut self, price: Price) -> usize {
        self.find(self.rank(price)).expect("each order has a level")
    }

    /// An order comes.
    #[inline]
    pub(super) fn add(&mut self, price: Price, quantity: u32) {
        let rank = self.rank(price);
        let quantity = u64::from(quantity);
        match self.find(rank) {
            Ok(at) => {
                let rung = &mut self.rungs[at];
                (rung.quantity, rung.orders) = (rung.quantity + quantity, rung.orders + 1);
            }
            Err(at) => {
                debug_assert!(self.rungs.len() < self.rungs.capacity(), "as many as orders");
                self.rungs.insert(at, Rung { rank, quantity, orders: 1 });
            }
        }
    }

    /// An order goes.
    #[inline]
    pub(super) fn remove(&mut self, price: Price, quantity: u32) {
        let at = self.of(price);
        let rung = &mut self.rungs[at];
        if rung.orders == 1 {
            debug_assert_eq!(rung.quantity, u64::from(quantity));
            self.rungs.remove(at);
        } else {
            rung.quantity -= u64::from(quantity);
            rung.orders -= 1;
        }
    }

    /// An order has another quantity.
    #[inline]
    pub(super) fn change(&mut self, price: Price, old: u32, new: u32) {
        let at = self.of(price);
        let rung = &mut self.rungs[at];
        rung.quantity = rung.quantity - u64::from(old) + u64::from(new);
    }

    pub(super) fn clear(&mut self) {
        self.rungs.clear();
    }

    #[inline]
    fn level(&self, rung: &Rung) -> Level {
        let &Rung { rank, quantity, orders } = rung;
        let price = Price(if self.side == Side::Bid { rank } else { !rank });
        Level { price, quantity, orders }
    }

    #[inline]
    pub(super) fn best(&self) -> Option<Level> {
        self.rungs.last().map(|rung| self.level(rung))
    }

    pub(super) fn levels(&self) -> impl ExactSizeIterator<Item = Level> {
        self.rungs.iter().rev().map(|rung| self.level(rung))
    }
}
