//! What the tests of the loop share: a runtime on each real driver.

#![allow(dead_code, reason = "every test file uses a part of it")]

pub(crate) mod counting;
pub(crate) mod quarantine;
pub(crate) mod skips;

use std::time::Duration;

use tautline_runtime::{Config, Descriptor, DriverChoice, Runtime, WaitMode};

/// The drivers that make system calls.
pub(crate) const REAL: [DriverChoice; 2] = [DriverChoice::Uring, DriverChoice::Readiness];

/// Every way to wait.
pub(crate) const WAITS: [WaitMode; 3] =
    [WaitMode::Spin, WaitMode::Warm { spin_for: Duration::from_micros(20) }, WaitMode::Sleep];

/// Runs `test` on a fresh runtime for each real driver and way to wait.
pub(crate) fn everywhere(test: impl Fn(&Runtime)) {
    for driver in REAL {
        for wait in WAITS {
            let runtime = Runtime::new(Config { driver: driver.clone(), wait, ..small() }).unwrap();
            test(&runtime);
        }
    }
}

/// A configuration that is quick to make.
pub(crate) fn small() -> Config {
    Config {
        operations: 4096,
        descriptors: 4096,
        timers: 4096,
        tasks: 4096,
        receive_buffers: 16,
        send_chunks: 256,
        ..Config::default()
    }
}

/// A listening TCP socket on a free loopback port, and its address.
pub(crate) fn listener() -> (Descriptor, socket2::SockAddr) {
    let any: std::net::SocketAddr = ([127, 0, 0, 1], 0).into();
    let socket = Descriptor::socket(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&any.into()).unwrap();
    socket.listen(128).unwrap();
    let addr = socket.conn().local_addr().unwrap();
    (socket, addr)
}

/// An unconnected TCP socket.
pub(crate) fn tcp() -> Descriptor {
    Descriptor::socket(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap()
}

/// Lets the process open at most `most` descriptors.
pub(crate) fn limit_descriptors(most: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls read or write the structure, which is ours.
    let changed = unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        limit.rlim_cur = most.min(limit.rlim_max);
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit)
    };
    assert_eq!(changed, 0);
}
