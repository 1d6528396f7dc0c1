use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::message::{Instrument, TradeId};

const INSTRUMENT: Instrument = Instrument(0);

/// A book that is slow and plainly right.
#[derive(Default)]
struct Naive(BTreeMap<u64, (Side, i64, u32)>);

impl Naive {
    fn apply(&mut self, message: &Message, most: usize) -> Result<(), BookError> {
        match *message {
            Message::Add { order, quantity: 0, .. }
            | Message::Modify { order, quantity: 0, .. }
            | Message::Trade { order, quantity: 0, .. } => Err(BookError::ZeroQuantity { order }),
            Message::Add { order, side, price, quantity, .. } => {
                if self.0.contains_key(&order.0) {
                    return Err(BookError::DoubledOrder { order });
                }
                if self.0.len() == most {
                    return Err(BookError::Full { order, orders: most });
                }
                self.0.insert(order.0, (side, price.0, quantity));
                Ok(())
            }
            Message::Modify { order, price, quantity, .. } => {
                let unknown = BookError::UnknownOrder { order };
                let (_, old_price, old) = self.0.get_mut(&order.0).ok_or(unknown)?;
                (*old_price, *old) = (price.0, quantity);
                Ok(())
            }
            Message::Delete { order, .. } => {
                self.0.remove(&order.0).map(|_| ()).ok_or(BookError::UnknownOrder { order })
            }
            Message::Trade { order, price, quantity, .. } => {
                let unknown = BookError::UnknownOrder { order };
                let &(side, limit, left) = self.0.get(&order.0).ok_or(unknown)?;
                if limit != price.0 {
                    return Err(BookError::OtherPrice { order, price, limit: Price(limit) });
                }
                match left.checked_sub(quantity) {
                    None => return Err(BookError::TooLarge { order, quantity, left }),
                    Some(0) => drop(self.0.remove(&order.0)),
                    Some(left) => drop(self.0.insert(order.0, (side, limit, left))),
                }
                Ok(())
            }
            Message::SnapshotBegin { .. } | Message::SnapshotEnd { .. } => Err(BookError::NoUpdate),
        }
    }

    fn levels(&self, side: Side) -> Vec<Level> {
        let mut levels: BTreeMap<i64, (u64, u32)> = BTreeMap::new();
        for (_, price, quantity) in self.0.values().filter(|order| order.0 == side) {
            let level = levels.entry(*price).or_default();
            *level = (level.0 + u64::from(*quantity), level.1 + 1);
        }
        let level = |(price, (quantity, orders))| Level { price: Price(price), quantity, orders };
        let mut levels: Vec<Level> = levels.into_iter().map(level).collect();
        if side == Side::Bid {
            levels.reverse();
        }
        levels
    }
}

/// Few orders, prices and quantities, so that they meet; some at the ends of what there is.
fn messages() -> impl Strategy<Value = Message> {
    let order = prop_oneof![9 => 0u64..24, 1 => (0u64..4).prop_map(|at| u64::MAX - at)];
    let price = prop_oneof![8 => -9i64..30, 1 => Just(i64::MIN), 1 => Just(i64::MAX)];
    let quantity = prop_oneof![9 => 0u32..6, 1 => Just(u32::MAX)];
    (0..12, order, price, quantity, any::<bool>()).prop_map(
        |(kind, order, price, quantity, bid)| {
            let (instrument, order, price) = (INSTRUMENT, OrderId(order), Price(price));
            let side = if bid { Side::Bid } else { Side::Ask };
            match kind {
                0..5 => Message::Add { instrument, order, price, quantity, side },
                5..7 => Message::Modify { instrument, order, price, quantity },
                7..9 => Message::Delete { instrument, order },
                9..11 => Message::Trade { instrument, order, price, quantity, trade: TradeId(1) },
                _ => Message::SnapshotEnd { instrument },
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Whatever comes, sound or not, a book answers and is as one that is plainly right.
    #[test]
    fn a_book_is_as_the_naive_one(messages in prop::collection::vec(messages(), 0..200)) {
        const MOST: usize = 16;
        let (mut book, mut naive) = (Book::new(MOST).unwrap(), Naive::default());
        for message in &messages {
            // A trade at the price that the order has is else rare.
            let message = match *message {
                Message::Trade { instrument, order, quantity, trade, price } if quantity != 2 => {
                    let price = book.order(order).map_or(price, |order| order.price);
                    Message::Trade { instrument, order, quantity, trade, price }
                }
                message => message,
            };
            assert_eq!(book.apply(&message), naive.apply(&message, MOST));
            for side in [Side::Bid, Side::Ask] {
                assert_eq!(book.levels(side).collect::<Vec<_>>(), naive.levels(side));
                assert_eq!(book.best(side), naive.levels(side).first().copied());
                let total: u64 = naive.levels(side).iter().map(|level| level.quantity).sum();
                assert_eq!(book.total(side), total);
            }
            assert_eq!(book.len(), naive.0.len());
        }
        for (&order, &(side, price, quantity)) in &naive.0 {
            let (order, price) = (OrderId(order), Price(price));
            assert_eq!(book.order(order), Some(Order { order, price, quantity, side }));
        }
    }

    /// Books are equal, and have the same checksum, whatever way they came to have the same orders; and
    /// are not, when a single one differs.
    #[test]
    fn equal_books_are_equal(
        orders in prop::collection::btree_map(0u64..1000, (any::<bool>(), -9i64..9, 1u32..9), 1..60),
        seed: u64,
    ) {
        let mut orders: Vec<_> = orders.into_iter().collect();
        let fill = |orders: &[(u64, (bool, i64, u32))]| {
            let mut book = Book::new(100).unwrap();
            for &(order, (bid, price, quantity)) in orders {
                let side = if bid { Side::Bid } else { Side::Ask };
                book.add(OrderId(order), side, Price(price), quantity).unwrap();
            }
            book
        };
        let one = fill(&orders);
        fastrand::Rng::with_seed(seed).shuffle(&mut orders);
        let mut other = fill(&orders);
        other.add(OrderId(5000), Side::Bid, Price(0), 1).unwrap();
        assert!(one != other && one.checksum() != other.checksum());
        other.delete(OrderId(5000)).unwrap();
        assert!(one == other && one.checksum() == other.checksum());
        let (order, (_, price, quantity)) = orders[0];
        other.modify(OrderId(order), Price(price), quantity + 1).unwrap();
        assert!(one != other && one.checksum() != other.checksum());
    }
}

/// Orders whose places in the table collide are found after any of them has left.
#[test]
fn orders_that_collide_are_found() {
    let mut rng = fastrand::Rng::with_seed(3);
    let mut book = Book::new(64).unwrap();
    let mut inside = Vec::new();
    for number in 0..20_000_u64 {
        // Numbers that differ in their high bits alone are all at home in few places.
        let order = OrderId((number << 57) | (number % 7));
        if book.add(order, Side::Ask, Price(1), 1).is_ok() {
            inside.push(order);
        }
        if inside.len() > rng.usize(0..64) {
            let gone = inside.swap_remove(rng.usize(..inside.len()));
            assert_eq!(book.delete(gone), Ok(()));
            assert!(inside.iter().all(|order| book.order(*order).is_some()));
            assert_eq!(book.order(gone), None);
        }
    }
    assert_eq!(book.len(), inside.len());
}

/// Levels are found far from the best as well as near it.
#[test]
fn levels_are_found_far_and_near() {
    let mut book = Book::new(1000).unwrap();
    for number in 0..500 {
        book.add(OrderId(number), Side::Ask, Price(number as i64 * 7 % 500), 1).unwrap();
    }
    let prices: Vec<i64> = book.levels(Side::Ask).map(|level| level.price.0).collect();
    assert_eq!(prices, (0..500).collect::<Vec<i64>>());
    for number in (0..500).step_by(3) {
        book.modify(OrderId(number), Price(number as i64 * 7 % 500), 4).unwrap();
    }
    assert_eq!(book.total(Side::Ask), 500 + 3 * 167);
    book.clear();
    assert!(book.is_empty() && book.best(Side::Ask).is_none());
}

/// Each instrument has a book of its own, and there are no others.
#[test]
fn instruments_have_their_own_books() {
    let mut books = Books::new(2, 10).unwrap();
    let add = |instrument| Message::Add {
        instrument: Instrument(instrument),
        order: OrderId(1),
        price: Price(5),
        quantity: 2,
        side: Side::Bid,
    };
    books.apply(&add(1)).unwrap();
    assert_eq!((books[Instrument(0)].len(), books[Instrument(1)].len()), (0, 1));
    let mut others = Books::new(2, 10).unwrap();
    others.apply(&add(0)).unwrap();
    assert!(books != others && books.checksum() != others.checksum());
    let error = books.apply(&add(2)).unwrap_err();
    assert_eq!(error.to_string(), "there is no instrument 2: the books are those of 0 to 1");
    books.clear();
    assert_eq!(books, Books::new(2, 10).unwrap());
}

/// Books that cannot be made are refused.
#[test]
fn impossible_books_are_refused() {
    assert_eq!(Book::new(0).unwrap_err(), CapacityError::Orders);
    assert_eq!(Books::new(0, 5).unwrap_err(), CapacityError::Instruments);
    let error = Book::new(1 << 58).unwrap_err();
    assert_eq!(error, CapacityError::Memory { orders: 1 << 58 });
    assert_eq!(Book::new(usize::MAX).unwrap_err(), CapacityError::Memory { orders: usize::MAX });
}
