//! WebSocket on the Tautline loop: RFC 6455, and its compression, RFC 7692.
//!
//! The protocol is sans-I/O: bytes in, bytes and events out, nothing of sockets or clocks. What
//! matters first: [`read::Reader`], which finds messages in place, and [`frame`], which writes
//! them.

#![forbid(unsafe_code)]

pub mod deflate;
pub mod handshake;
#[cfg(any(test, feature = "trial"))]
pub mod trial;

mod role;
pub use role::Role;

mod error;
pub use error::ProtocolError;

pub mod close;
pub use close::{CloseCode, Farewell};

pub mod frame;

mod keys;
pub use keys::Keys;

mod message;
pub use message::Message;

mod options;
pub use options::Options;

mod stock;
pub use stock::Stock;

mod utf8;

pub mod read;

mod socket;
pub use socket::{Answer, Ended, SendError, Sender, WebSocket};

mod open;
pub use open::{Client, OpenError, Server};
