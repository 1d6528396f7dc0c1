//! WebSocket on the Tautline loop: RFC 6455, and its compression, RFC 7692.
//!
//! The protocol is sans-I/O: bytes in, bytes and events out, nothing of sockets or clocks.

#![forbid(unsafe_code)]

pub mod deflate;
pub mod handshake;
#[cfg(any(test, feature = "trial"))]
pub mod trial;
