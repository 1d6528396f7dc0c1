//! Compression of messages: permessage-deflate, RFC 7692.

mod config;
pub use config::{Config, ConfigError};

mod offer;
pub use offer::{Offer, OfferError};

mod agreed;
pub use agreed::{Agreed, AnswerError, Terms};

#[cfg(test)]
mod tests;
