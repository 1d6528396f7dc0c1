//! A market that nobody trades on: its book changes at random, and tells how.

use std::collections::BTreeMap;

use fastrand::Rng;

use crate::book::{Level, Levels};
use crate::decimal::Decimal;

/// Steps of the price, in units of 0.00000001.
const TICK: u64 = 1_000_000;
/// Levels further away than this, in ticks, are given up.
const DEPTH: u64 = 40;
/// Levels in which the book begins, on each side.
const FIRST_LEVELS: u64 = 20;

/// Prices in ticks, quantities in units of 0.00000001.
type Side = BTreeMap<u64, u64>;
type Change = (u64, u64);

/// One increment.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) first: u64,
    pub(crate) last: u64,
    bids: Vec<Change>,
    asks: Vec<Change>,
}

impl Event {
    /// The two lists, as an increment spells them.
    pub(crate) fn json(&self) -> String {
        let (bids, asks) = (list(self.bids.iter().copied()), list(self.asks.iter().copied()));
        format!(r#""b":[{bids}],"a":[{asks}]"#)
    }
}

/// The exchange's own book of one symbol. It shares no code with the books of its clients.
#[derive(Debug)]
pub(crate) struct Walk {
    rng: Rng,
    last: u64,
    /// Between the best bid and the best ask.
    middle: u64,
    bids: Side,
    asks: Side,
}

impl Walk {
    pub(crate) fn new(mut rng: Rng) -> Self {
        let middle = rng.u64(10_000..5_000_000);
        let mut quantity = |_| rng.u64(1..1_000_000_000);
        let bids = (1..=FIRST_LEVELS).map(|away| (middle - away, quantity(away))).collect();
        let asks = (1..=FIRST_LEVELS).map(|away| (middle + away, quantity(away))).collect();
        Self { last: rng.u64(1..1 << 40), rng, middle, bids, asks }
    }

    /// The id of the last change.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Some levels change, and perhaps the price.
    pub(crate) fn step(&mut self) -> Event {
        let (mut bids, mut asks) = (Vec::new(), Vec::new());
        self.middle = (self.middle + self.rng.u64(0..=4)).saturating_sub(2).max(DEPTH + 1);
        let (low, high) = (self.middle - DEPTH, self.middle + DEPTH);
        clear(&mut self.bids, |price| price < low || price >= self.middle, &mut bids);
        clear(&mut self.asks, |price| price > high || price <= self.middle, &mut asks);
        for _ in 0..self.rng.u64(1..=4) {
            let away = self.rng.u64(1..=DEPTH);
            // A level that goes may not have been there.
            let gone = self.rng.u8(0..10) < 3;
            let quantity = if gone { 0 } else { self.rng.u64(1..1_000_000_000) };
            if self.rng.bool() {
                change(&mut self.bids, (self.middle - away, quantity), &mut bids);
            } else {
                change(&mut self.asks, (self.middle + away, quantity), &mut asks);
            }
        }
        let first = self.last + 1;
        self.last += (bids.len() + asks.len()) as u64;
        Event { first, last: self.last, bids, asks }
    }

    /// The whole book, as a snapshot spells it.
    pub(crate) fn json(&self) -> String {
        let bids = list(self.bids.iter().rev().map(|(&price, &quantity)| (price, quantity)));
        let asks = list(self.asks.iter().map(|(&price, &quantity)| (price, quantity)));
        format!(r#"{{"lastUpdateId":{},"bids":[{bids}],"asks":[{asks}]}}"#, self.last)
    }

    /// The whole book, the best levels first.
    pub(crate) fn levels(&self) -> Levels {
        let level = |(&price, &quantity): (&u64, &u64)| Level {
            price: Decimal::from_units(price * TICK),
            quantity: Decimal::from_units(quantity),
        };
        let bids = self.bids.iter().rev().map(level).collect();
        Levels { bids, asks: self.asks.iter().map(level).collect() }
    }
}

fn clear(side: &mut Side, is_out: impl Fn(u64) -> bool, changes: &mut Vec<Change>) {
    let out: Vec<u64> = side.keys().copied().filter(|&price| is_out(price)).collect();
    for price in out {
        change(side, (price, 0), changes);
    }
}

fn change(side: &mut Side, (price, quantity): Change, changes: &mut Vec<Change>) {
    match quantity {
        0 => drop(side.remove(&price)),
        _ => drop(side.insert(price, quantity)),
    }
    changes.push((price, quantity));
}

fn list(levels: impl Iterator<Item = Change>) -> String {
    let level = |(price, quantity)| format!(r#"["{}","{}"]"#, text(price * TICK), text(quantity));
    levels.map(level).collect::<Vec<_>>().join(",")
}

/// With all eight digits behind the point, as exchanges print it.
fn text(units: u64) -> String {
    format!("{}.{:08}", units / 100_000_000, units % 100_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that the bids stay below the asks, and that ids go on without a gap, one for each
    /// level that is told of.
    #[test]
    fn the_market_stays_sound() {
        let mut walk = Walk::new(Rng::with_seed(7));
        for _ in 0..10_000 {
            let before = walk.last();
            let Event { first, last, bids, asks } = walk.step();
            assert_eq!((first, last), (before + 1, before + (bids.len() + asks.len()) as u64));
            assert_eq!(last, walk.last());
            assert!(walk.bids.last_key_value().is_none_or(|(&bid, _)| bid < walk.middle));
            assert!(walk.asks.first_key_value().is_none_or(|(&ask, _)| ask > walk.middle));
            assert!(walk.bids.len() + walk.asks.len() <= 2 * DEPTH as usize);
        }
    }

    /// Proves that numbers are spelt as exchanges spell them.
    #[test]
    fn numbers_have_eight_digits_behind_the_point() {
        assert_eq!(text(4_300_001_000_000), "43000.01000000");
        assert_eq!(list([(1, 5)].into_iter()), r#"["0.01000000","0.00000005"]"#);
    }
}
