//! What people might want to buy and sell.
//!
//! Each instrument has a price about which people agree more or less, and which drifts. Orders come
//! about it, the more the nearer; are thought better of; and are met, the oldest of the best price first.

use crate::book::{Book, Books};
use crate::message::{Instrument, Message, OrderId, Price, Side, TradeId};

/// All that happens.
#[derive(Debug)]
pub(super) struct Flow {
    rng: fastrand::Rng,
    markets: Box<[Market]>,
    /// Orders so far.
    orders: u64,
    /// Trades so far.
    trades: u64,
}

/// An instrument.
#[derive(Debug)]
struct Market {
    /// About that people agree.
    mid: i64,
    /// Orders in the book, in any order.
    resting: Vec<Resting>,
    /// As many orders as it usually has.
    usual: usize,
}

#[derive(Clone, Copy, Debug)]
struct Resting {
    order: OrderId,
    side: Side,
    price: Price,
}

/// Orders as a book usually has them, of so many as it can have.
fn usual(orders: usize) -> usize {
    (orders / 2).min(400)
}

impl Flow {
    /// Of books for so many orders.
    pub(super) fn new(mut rng: fastrand::Rng, instruments: u32, orders: usize) -> Self {
        let market = |_| Market {
            mid: rng.i64(5_000..50_000),
            resting: Vec::with_capacity(orders),
            usual: usual(orders),
        };
        let markets = (0..instruments).map(market).collect();
        Self { rng, markets, orders: 0, trades: 0 }
    }

    /// What happens next, which the books bear.
    pub(super) fn next(&mut self, books: &Books) -> Message {
        let instrument = Instrument(self.rng.u32(..books.len()));
        let book = &books[instrument];
        let market = &mut self.markets[instrument.0 as usize];
        if self.rng.u8(0..32) == 0 {
            market.mid += if self.rng.bool() { 1 } else { -1 };
        }
        let count = market.resting.len();
        // The fewer there are the more come, and the fewer leave.
        let [adds, modifies, trades] =
            if count < market.usual { [55, 70, 85] } else { [20, 50, 70] };
        match self.rng.u8(0..100) {
            at if count == 0 || (at < adds && count < book.capacity()) => {
                self.add(instrument, book)
            }
            at if at < modifies => self.modify(instrument, book),
            at if at < trades => self.trade(instrument, book),
            _ => self.delete(instrument),
        }
    }

    fn market(&mut self, instrument: Instrument) -> &mut Market {
        &mut self.markets[instrument.0 as usize]
    }

    fn add(&mut self, instrument: Instrument, book: &Book) -> Message {
        self.orders += 1;
        let side = if self.rng.bool() { Side::Bid } else { Side::Ask };
        let (order, price) = (OrderId(self.orders), self.price(instrument, book, side));
        let quantity = self.quantity();
        self.market(instrument).resting.push(Resting { order, side, price });
        Message::Add { instrument, order, price, quantity, side }
    }

    fn modify(&mut self, instrument: Instrument, book: &Book) -> Message {
        let at = self.any(instrument);
        let Resting { order, side, mut price } = self.market(instrument).resting[at];
        let quantity = self.quantity();
        if self.rng.u8(0..4) == 0 {
            price = self.price(instrument, book, side);
            self.market(instrument).resting[at].price = price;
        }
        Message::Modify { instrument, order, price, quantity }
    }

    fn delete(&mut self, instrument: Instrument) -> Message {
        let at = self.any(instrument);
        let Resting { order, .. } = self.market(instrument).resting.swap_remove(at);
        Message::Delete { instrument, order }
    }

    /// The oldest order of the best price is met.
    fn trade(&mut self, instrument: Instrument, book: &Book) -> Message {
        let is_bought = self.rng.bool();
        let market = self.market(instrument);
        let [first, second] =
            if is_bought { [Side::Ask, Side::Bid] } else { [Side::Bid, Side::Ask] };
        let (side, best) = match book.best(first) {
            Some(best) => (first, best),
            None => (second, book.best(second).expect("an order is in the book")),
        };
        let met = market
            .resting
            .iter()
            .enumerate()
            .filter(|(_, resting)| resting.side == side && resting.price == best.price);
        let (at, order) = met
            .map(|(at, resting)| (at, resting.order))
            .min_by_key(|(_, order)| *order)
            .expect("a level has an order");
        let left = book.order(order).expect("it is in the book").quantity;
        let quantity = if self.rng.bool() { left } else { self.rng.u32(1..=left) };
        if quantity == left {
            self.market(instrument).resting.swap_remove(at);
        }
        self.trades += 1;
        let trade = TradeId(self.trades);
        Message::Trade { instrument, order, price: best.price, quantity, trade }
    }

    /// Which of the orders in the book, of which there are some.
    fn any(&mut self, instrument: Instrument) -> usize {
        let count = self.market(instrument).resting.len();
        self.rng.usize(..count)
    }

    /// Round lots, most of them small.
    fn quantity(&mut self) -> u32 {
        let most = 1 << self.rng.u32(0..6);
        100 * self.rng.u32(1..=most)
    }

    /// A price near that about which people agree, which nobody on the other side meets.
    fn price(&mut self, instrument: Instrument, book: &Book, side: Side) -> Price {
        let most = 1 << self.rng.u32(1..7);
        let away = self.rng.i64(1..=most);
        let mid = self.market(instrument).mid;
        let other = book.best(side.opposite()).map(|level| level.price.0);
        Price(match side {
            Side::Bid => (mid - away).min(other.unwrap_or(i64::MAX) - 1),
            Side::Ask => (mid + away).max(other.unwrap_or(i64::MIN) + 1),
        })
    }
}
