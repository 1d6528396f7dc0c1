//! Order books, as the messages of a feed tell of them.
//!
//! A [`Book`] has the orders of one instrument: a table of them by their numbers, and for each side the
//! prices at which there are any, best last, as most of what happens does so near the best. All memory is
//! taken when it is made. A message that cannot be is refused, and changes nothing.

mod books;
mod error;
mod ladder;
mod orders;

pub use self::books::Books;
pub use self::error::{BookError, CapacityError};
use self::ladder::Ladder;
pub use self::ladder::Level;
pub use self::orders::Order;
use self::orders::Orders;
use crate::message::{Message, OrderId, Price, Side};

/// The orders of one instrument.
///
/// ```
/// use tautline_market::book::{Book, BookError};
/// use tautline_market::message::{OrderId, Price, Side, TradeId};
///
/// let mut book = Book::new(100)?;
/// book.add(OrderId(1), Side::Bid, Price(99), 10)?;
/// book.add(OrderId(2), Side::Ask, Price(101), 5)?;
/// book.trade(OrderId(2), Price(101), 2)?;
/// assert_eq!(book.best(Side::Ask).map(|level| level.quantity), Some(3));
/// assert_eq!(book.delete(OrderId(3)), Err(BookError::UnknownOrder { order: OrderId(3) }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Book {
    orders: Orders,
    bids: Ladder,
    asks: Ladder,
}

impl Book {
    /// An empty book for so many orders at a time, at least one.
    ///
    /// # Errors
    /// [`CapacityError`].
    pub fn new(orders: usize) -> Result<Self, CapacityError> {
        Ok(Self {
            orders: Orders::new(orders)?,
            bids: Ladder::new(Side::Bid, orders)?,
            asks: Ladder::new(Side::Ask, orders)?,
        })
    }

    /// Does what a message says, whatever instrument it names.
    ///
    /// # Errors
    /// [`BookError`]; the book is as it was.
    #[inline]
    pub fn apply(&mut self, message: &Message) -> Result<(), BookError> {
        match *message {
            Message::Add { order, side, price, quantity, .. } => {
                self.add(order, side, price, quantity)
            }
            Message::Modify { order, price, quantity, .. } => self.modify(order, price, quantity),
            Message::Delete { order, .. } => self.delete(order),
            Message::Trade { order, price, quantity, .. } => self.trade(order, price, quantity),
            Message::SnapshotBegin { .. } | Message::SnapshotEnd { .. } => Err(BookError::NoUpdate),
        }
    }

    /// An order comes in.
    ///
    /// # Errors
    /// [`BookError::DoubledOrder`], [`BookError::ZeroQuantity`], [`BookError::Full`].
    #[inline]
    pub fn add(
        &mut self,
        order: OrderId,
        side: Side,
        price: Price,
        quantity: u32,
    ) -> Result<(), BookError> {
        if quantity == 0 {
            return Err(BookError::ZeroQuantity { order });
        }
        self.orders.add(Order { order, price, quantity, side })?;
        self.side_mut(side).add(price, quantity);
        Ok(())
    }

    /// An order is another now.
    ///
    /// # Errors
    /// [`BookError::UnknownOrder`], [`BookError::ZeroQuantity`].
    #[inline]
    pub fn modify(&mut self, order: OrderId, price: Price, quantity: u32) -> Result<(), BookError> {
        if quantity == 0 {
            return Err(BookError::ZeroQuantity { order });
        }
        let place = self.orders.find(order)?;
        let old = self.orders.at(place);
        self.orders.change(place, price, quantity);
        let side = self.side_mut(old.side);
        if old.price == price {
            side.change(price, old.quantity, quantity);
        } else {
            side.remove(old.price, old.quantity);
            side.add(price, quantity);
        }
        Ok(())
    }

    /// An order leaves.
    ///
    /// # Errors
    /// [`BookError::UnknownOrder`].
    #[inline]
    pub fn delete(&mut self, order: OrderId) -> Result<(), BookError> {
        let place = self.orders.find(order)?;
        let Order { side, price, quantity, .. } = self.orders.at(place);
        self.orders.remove(place);
        self.side_mut(side).remove(price, quantity);
        Ok(())
    }

    /// So many of an order change hands; of which nothing is left leaves.
    ///
    /// # Errors
    /// [`BookError::UnknownOrder`], [`BookError::ZeroQuantity`], [`BookError::TooLarge`],
    /// [`BookError::OtherPrice`].
    #[inline]
    pub fn trade(&mut self, order: OrderId, price: Price, quantity: u32) -> Result<(), BookError> {
        if quantity == 0 {
            return Err(BookError::ZeroQuantity { order });
        }
        let place = self.orders.find(order)?;
        let resting = self.orders.at(place);
        if price != resting.price {
            return Err(BookError::OtherPrice { order, price, limit: resting.price });
        }
        let Some(left) = resting.quantity.checked_sub(quantity) else {
            return Err(BookError::TooLarge { order, quantity, left: resting.quantity });
        };
        if left == 0 {
            self.orders.remove(place);
            self.side_mut(resting.side).remove(price, quantity);
        } else {
            self.orders.change(place, price, left);
            self.side_mut(resting.side).change(price, resting.quantity, left);
        }
        Ok(())
    }

    /// All orders leave.
    pub fn clear(&mut self) {
        self.orders.clear();
        self.bids.clear();
        self.asks.clear();
    }

    /// The best price of a side.
    #[inline]
    pub fn best(&self, side: Side) -> Option<Level> {
        self.side(side).best()
    }

    /// All prices of a side, best first.
    pub fn levels(&self, side: Side) -> impl ExactSizeIterator<Item = Level> {
        self.side(side).levels()
    }

    /// What all orders of a side want together.
    pub fn total(&self, side: Side) -> u64 {
        self.levels(side).map(|level| level.quantity).sum()
    }

    /// Orders in it.
    pub fn len(&self) -> usize {
        self.orders.len()
    }

    /// Whether there is no order in it.
    pub fn is_empty(&self) -> bool {
        self.orders.len() == 0
    }

    /// Orders that it can have at a time.
    pub fn capacity(&self) -> usize {
        self.orders.most()
    }

    /// All orders, in no order that means anything.
    pub fn orders(&self) -> impl Iterator<Item = Order> {
        self.orders.iter()
    }

    /// An order.
    pub fn order(&self, order: OrderId) -> Option<Order> {
        Some(self.orders.at(self.orders.find(order).ok()?))
    }

    /// A number that two books have in common which have the same orders, and others hardly ever.
    pub fn checksum(&self) -> u64 {
        self.orders().map(Order::checksum).fold(0, u64::wrapping_add)
    }

    fn side(&self, side: Side) -> &Ladder {
        match side {
            Side::Bid => &self.bids,
            Side::Ask => &self.asks,
        }
    }

    fn side_mut(&mut self, side: Side) -> &mut Ladder {
        match side {
            Side::Bid => &mut self.bids,
            Side::Ask => &mut self.asks,
        }
    }
}

/// Books are equal that have the same orders.
impl PartialEq for Book {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self.orders().all(|order| other.order(order.order) == Some(order))
    }
}

impl Eq for Book {}

#[cfg(test)]
mod tests;
