//! Compression of messages: permessage-deflate, RFC 7692.
//!
//! | step | |
//! | --- | --- |
//! | what is wanted | [`Config`] |
//! | negotiation | [`Offer`] of a client, [`Config::accept`] of a server: what is [`Agreed`] |
//! | memory | [`Pool`]: contexts, lent for a message or kept by a connection, and counted |
//! | what is sent | [`Deflater`] |
//! | what is received | [`Inflater`] |
//!
//! Both work in pieces: input comes as it comes, output goes where there is room, and nothing is
//! allocated but contexts that the pool has not got. A connection has none before its first message.
//!
//! ```
//! use tautline_websocket::deflate::{Config, Deflater, Inflated, Inflater, Part, Pool, Terms};
//!
//! let (pool, config) = (Pool::default(), Config::default());
//! let terms = Terms { takeover: true, window_bits: 15 }; // as was agreed
//! let mut deflater = Deflater::new(&pool, terms, &config);
//! let mut inflater = Inflater::new(&pool, terms, 1 << 20);
//!
//! let mut payload = [0; 100];
//! let deflated = deflater.deflate(b"Hello", &mut payload, Part::Last)?;
//! let payload = &payload[..deflated.produced];
//! assert_eq!(payload, [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
//!
//! let mut message = [0; 100];
//! let inflated = inflater.inflate(payload, &mut message, Part::Last)?;
//! assert_eq!(&message[..inflated.produced], b"Hello");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod config;
pub use config::{Config, ConfigError};

mod offer;
pub use offer::{Offer, OfferError};

mod agreed;
pub use agreed::{Agreed, AnswerError, Terms};

mod pool;
pub use pool::{Exhausted, INFLATER_BYTES, Pool, PoolLimits, deflater_bytes};

mod deflater;
pub use deflater::{Deflated, Deflater, bound};

mod inflater;
pub use inflater::{InflateError, Inflated, Inflater, Next};

#[cfg(test)]
mod tests;

/// Which part of a message a piece of it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// More will come.
    Middle,
    /// More will come, but all until here is to go out now. (To whom inflates, that is
    /// [`Part::Middle`].)
    Flush,
    /// The message ends with it.
    Last,
}

/// What a flush ends with, and a compressed message on the wire does not.
//= RFC 7692 §7.2.1
//= RFC 7692 §7.2.2
const MARKER: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
