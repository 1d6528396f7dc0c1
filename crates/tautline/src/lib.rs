//! Live data with no slack in the line.
//!
//! This crate is the front door: it hands on what a program needs from the rooms below.
//!
//! - [`relay`]: endpoints, framing, bounded subscriber queues and statistics of a live relay.
//!
//! The `tautline` program is built from the same parts: see `tautline --help`.

#![forbid(unsafe_code)]

pub use tautline_relay as relay;
