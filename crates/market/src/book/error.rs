//! Messages that cannot be, and books that cannot be made.

use crate::message::{Instrument, OrderId, Price};

/// Why a message was refused: what it tells of is not so. Unless the sender is wrong, messages before it
/// were missed: the book needs a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BookError {
    /// There is no such order.
    #[error("there is no order {order}: the message that added it was missed; a snapshot mends it")]
    UnknownOrder {
        /// The order.
        order: OrderId,
    },
    /// There is such an order already.
    #[error(
        "order {order} is in the book: the message that took it out was missed; a snapshot mends it"
    )]
    DoubledOrder {
        /// The order.
        order: OrderId,
    },
    /// An order, or a trade, of nothing.
    #[error("order {order}: a quantity of zero; orders leave by a delete or a trade")]
    ZeroQuantity {
        /// The order.
        order: OrderId,
    },
    /// More is traded than there is.
    #[error(
        "order {order} has {left}, of which {quantity} cannot change hands: messages were missed; a snapshot mends it"
    )]
    TooLarge {
        /// The order.
        order: OrderId,
        /// What is said to have changed hands.
        quantity: u32,
        /// What there is.
        left: u32,
    },
    /// It is traded for another price than its own.
    #[error(
        "order {order} has the limit {limit}, and is not traded for {price}: messages were missed; a snapshot mends it"
    )]
    OtherPrice {
        /// The order.
        order: OrderId,
        /// For what it is said to be traded.
        price: Price,
        /// Its limit.
        limit: Price,
    },
    /// There is no room for another order.
    #[error(
        "a book has room for {orders} orders, and there are more: set orders to what the exchange has \
         (--orders)"
    )]
    Full {
        /// The order.
        order: OrderId,
        /// As many there are.
        orders: usize,
    },
    /// There is no such book.
    #[error("there is no instrument {instrument}: the books are those of 0 to {}", last(*instruments))]
    UnknownInstrument {
        /// The instrument.
        instrument: Instrument,
        /// Books there are.
        instruments: u32,
    },
    /// A part of a snapshot.
    #[error("a snapshot's frame is no update: hand it to whoever takes snapshots")]
    NoUpdate,
}

fn last(count: u32) -> u32 {
    count.saturating_sub(1)
}

/// Why there is no such book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CapacityError {
    /// Nothing would go into it.
    #[error("a book of no orders: one at least is needed")]
    Orders,
    /// No books at all.
    #[error("books of no instruments: one at least is needed")]
    Instruments,
    /// There is no memory for it, or nobody could count it.
    #[error("{orders} orders are more than there is memory for: make the book smaller")]
    Memory {
        /// As many.
        orders: usize,
    },
}
