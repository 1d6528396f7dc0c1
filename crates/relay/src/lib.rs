//! Endpoints joined into a relay of live feeds.
//!
//! The parts are sans-I/O: bytes, packets and the time go in, packets, counts and decisions come
//! out. No clock is read and no socket is touched, so that each part is tested without either. The
//! shell around them is thin: [`run()`] and [`run_demo`] join them to the loop's sockets.
//!
//! A program that makes its packets itself, on a loop that it has, hands them to a [`Publisher`].
//!
//! A packet's way through the relay:
//!
//! 1. [`endpoint`]: a [`Source`](endpoint::Source) and some
//!    [`Destination`](endpoint::Destination)s are parsed from URLs.
//! 2. [`framing`]: bytes of a stream become packets.
//! 3. [`pool`]: a packet is stored once and shared from then on.
//! 4. [`queue`]: each subscriber has a bounded queue and a policy for when it is full.
//! 5. [`stats`]: what passed, what was dropped, how long it took.
//!
//! Beside the way: [`backoff`] before connecting again, [`demo`] as a feed that can be checked,
//! [`units`] for quantities as people write them.

#![forbid(unsafe_code)]

pub mod backoff;
mod config;
pub mod demo;
pub mod endpoint;
pub mod pool;
pub mod queue;
mod run;
mod shell;
pub mod stats;
pub mod units;

pub use config::{ChoiceError, DemoConfig, DriverChoice, HostConfig, RelayConfig, WaitChoice};
pub use tautline_feed::framing;

pub use run::{Conflict, RunError, run, run_demo, run_until};
pub use shell::{Publisher, join_group, open_group};
pub use units::Nanos;
