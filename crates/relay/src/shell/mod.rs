//! The I/O shell: the sans-I/O parts joined to sockets, files and timers on one loop.
//!
//! | file | what it does |
//! | --- | --- |
//! | `source` | bytes where they were received become packets; one file a sort |
//! | `fanout` | a packet is stored once and offered to every destination |
//! | `destination`, `link`, `backlog` | queues drain into sockets, files and pipes; one file a sort |
//! | `dial`, `listener`, `sockets`, `files`, `segments` | opening, and opening again |
//! | `websocket` | opening WebSockets, from either end |
//! | `conflict` | endpoints that cannot be together |
//! | `relay` | opens everything, runs the loop, reports, ends in order |
//! | `ending`, `signals`, `report` | how far the end has come; counters and snapshots |
//! | `publisher` | destinations of a program that makes its packets itself |
//! | `demo` | the relay between the built-in feed and a thread of checking subscribers |
//!
//! Nothing here is called back while it is borrowed: handlers only queue, send and count, and the
//! loop looks between two turns whether a waiting source can go on and whether the end has come.

mod backlog;
mod conflict;
mod demo;
mod destination;
mod dial;
mod ending;
mod fanout;
mod files;
mod link;
mod listener;
mod publisher;
mod relay;
mod report;
mod segments;
mod signals;
mod sockets;
mod source;
mod websocket;

use std::io;

use rustix::io::Errno;

pub(crate) use demo::demonstrate;
pub use publisher::Publisher;
pub(crate) use relay::run as relay;
pub use sockets::{join_group, open_group};

use crate::units::Nanos;

/// The time of this moment.
fn clock() -> Nanos {
    // Handlers only run on a thread with a runtime.
    tautline_runtime::now_precise().map_or(Nanos(0), |now| Nanos(now.as_nanos()))
}

/// When what this turn handles arrived: the time of the turn.
fn arrival() -> Nanos {
    tautline_runtime::now().map_or(Nanos(0), |now| Nanos(now.as_nanos()))
}

/// What the system said, and what to do about it, in one line.
pub(crate) fn explain(error: &io::Error) -> String {
    let told = tautline_net::Error::of(error).is_some()
        || tautline_net::tls::Error::of(error).is_some()
        || tautline_net::multicast::Error::of(error).is_some();
    let remedy = if told { None } else { remedy(error) };
    remedy.map_or_else(|| error.to_string(), |remedy| format!("{error}; {remedy}"))
}

fn remedy(error: &io::Error) -> Option<&'static str> {
    use io::ErrorKind as Kind;
    if Errno::from_io_error(error) == Some(Errno::MFILE) {
        return Some("raise the limit on open files (`ulimit -n`)");
    }
    Some(match error.kind() {
        Kind::AddrInUse => "choose another, or stop the program that holds it (`ss -lntux`)",
        Kind::AddrNotAvailable => "write an address of this machine (`ip address`)",
        Kind::NotFound => "check the spelling, or create it",
        Kind::PermissionDenied => "check its permissions, or run as another user",
        Kind::IsADirectory => "name a file in it",
        Kind::StorageFull => "free some space, or write elsewhere",
        Kind::BrokenPipe => "whoever read it has gone",
        _ => return None,
    })
}
