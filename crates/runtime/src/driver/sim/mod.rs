//! A seeded world with virtual time inside one driver: no system call, no clock, and the
//! same run for the same seed.
//!
//! Programs test themselves in it: they run unchanged on a runtime whose driver is
//! `DriverChoice::Sim`, with both ends of every connection on the one loop. [`Config`]
//! says what the world is like, [`Faults`] what goes wrong in it, and a [`Handle`] tells
//! what happened.
//!
//! The world knows TCP and UDP over IPv4 and IPv6 and Unix sockets, as Linux serves them.
//! All addresses are those of one host. Where it is simpler than Linux:
//!
//! - A name is free as soon as its socket is closed: no connection lingers in
//!   `TIME_WAIT`, accepted connections do not hold the listener's port, and the path of a
//!   Unix socket can be bound again without being removed.
//! - Keep-alive, `TCP_NODELAY` and waiting in `close(2)` (`SO_LINGER` other than 0) are
//!   taken and have no effect, and so have traffic class and priority. Hops are told, and
//!   never run out.
//! - The host's interfaces ([`Config::interfaces`]) have no addresses of their own, and all
//!   lead back to the host: whether a datagram to a group crosses a network is not asked.
//!   Who sends with [`MulticastLoop`](crate::SocketOption::MulticastLoop) off reaches nobody.
//! - A socket's memberships have the limits that Linux has by default.
//! - Segmentation offload of UDP is served; datagrams are never received joined.
//! - No card tells the time: arrivals are stamped with the world's time alone.
//! - There are no files, pipes or other descriptors.
//!
//! Inside, `world` and what it is made of (`connections`, `streams`, `datagrams`, `tcp`, `udp`, `groups`,
//! `options`, `names`, `table`, `events`) are plain data: no memory but their own, no time but their own.
//! The driver copies bytes between them and what operations name.

mod ancillary;
mod config;
mod connections;
mod datagrams;
mod driver;
mod events;
mod faults;
mod groups;
mod memory;
mod names;
mod operations;
mod options;
mod perform;
mod rng;
mod streams;
mod table;
mod tcp;
#[cfg(test)]
mod tests;
mod trace;
mod udp;
mod world;

pub use self::config::{Config, Numbering};
pub use self::faults::{Faults, Rate};
pub use self::trace::Handle;

#[cfg(test)]
pub(crate) use self::config::Bug;
pub(crate) use self::driver::SimDriver;

/// Why something was not done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stop {
    /// There is nothing to be had now (`EAGAIN`, `EINPROGRESS`).
    WouldBlock,
    Errno(i32),
}

impl From<i32> for Stop {
    fn from(errno: i32) -> Self {
        Self::Errno(errno)
    }
}

/// What a receive brought.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Received {
    bytes: Vec<u8>,
    /// `None` on a stream.
    source: Option<names::Name>,
    /// It was longer, and the rest is gone.
    truncated: bool,
    /// `None` for all but datagrams over IP.
    arrived: Option<udp::Arrived>,
}

impl Received {
    fn stream(bytes: Vec<u8>) -> Self {
        Self { bytes, source: None, truncated: false, arrived: None }
    }
}
