//! A market feed end to end.
//!
//! Pure parts, into which bytes and the time go, and out of which come bytes and events:
//!
//! | module | what it is for |
//! | --- | --- |
//! | [`message`] | what an exchange says: orders that are added, modified, deleted, traded |
//! | [`book`] | the orders of each instrument, as the messages tell of them |
//! | [`exchange`] | a simulated exchange, whose lines lose, double, delay and reorder as one likes |
//! | [`gateway`] | books from lines that lose: what is missing is asked for, and told |
//! | [`replay`] | what was missed is asked for, and sent again or refused |
//! | [`snapshot`] | the books as they are, for those who join late or have lost too much |
//!
//! And the shell around them: [`live`] is an exchange and a gateway on real sockets. Without the feature of that
//! name the pure parts stand alone.
//!
//! ```
//! use tautline_market::book::Books;
//! use tautline_market::message::{Instrument, Message, OrderId, Price, Side};
//!
//! let mut books = Books::new(1, 1000)?;
//! let add = Message::Add {
//!     instrument: Instrument(0),
//!     order: OrderId(7),
//!     price: Price(100),
//!     quantity: 5,
//!     side: Side::Bid,
//! };
//! // As it goes over the wire.
//! let mut room = [0; Message::LONGEST];
//! books.apply(&Message::decode(add.encode(&mut room))?)?;
//! let best = books[Instrument(0)].best(Side::Bid).expect("there is one");
//! assert_eq!((best.price, best.quantity), (Price(100), 5));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

pub mod book;
pub mod exchange;
pub mod gateway;
#[cfg(feature = "live")]
pub mod live;
pub mod message;
pub mod replay;
pub mod snapshot;
#[cfg(any(test, feature = "trial"))]
pub mod trial;
mod wire;

pub use self::wire::ProtocolError;
