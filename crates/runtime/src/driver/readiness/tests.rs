//! The suite on epoll, and what is this driver's own.

use std::io::{Seek, Write};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::net::UnixStream;

use super::*;
use crate::driver::suite::bench::{Bench, CONFIG};
use crate::driver::suite::{driver_suite, waiting as waiting_cases};

driver_suite!(|config: &DriverConfig| ReadinessDriver::new(config).expect("epoll is there"));

fn bench() -> Bench<ReadinessDriver> {
    Bench::new(ReadinessDriver::new(&CONFIG).expect("epoll is there"))
}

fn registration(bench: &Bench<ReadinessDriver>, fd: RawFd) -> Registration {
    bench.driver.descriptors[fd as usize].registration
}

/// epoll hears of a descriptor when something on it first has to wait, and no more
/// until it is closed.
#[test]
fn a_descriptor_is_registered_once_and_only_if_something_waits() {
    let mut bench = bench();
    let (client, server) = bench.pair();
    bench.send_all(client, b"at once");
    let memory = bench.zeroed(7);
    let token = bench.submit_recv(server, memory);
    assert_eq!(bench.result_of(token), 7);
    assert_eq!(registration(&bench, server), Registration::None);
    for _ in 0..3 {
        let token = bench.submit_recv(server, memory);
        bench.settle();
        assert_eq!(registration(&bench, server), Registration::Epoll);
        bench.send_all(client, b"x");
        assert_eq!(bench.result_of(token), 1);
    }
    bench.close(server);
    assert_eq!(registration(&bench, server), Registration::None);
    bench.finish();
}

/// A regular file, which epoll refuses, is read and polled to its end.
#[test]
fn a_regular_file_is_always_ready() {
    let mut bench = bench();
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(b"contents").and_then(|()| file.rewind()).expect("it is written");
    let fd = bench.adopt(file.into_raw_fd());
    let poll = Op::PollMulti { fd, interest: Interest::Read };
    let edges = bench.submit(poll);
    assert!(bench.next_of(edges).more);
    bench.settle();
    assert_eq!(registration(&bench, fd), Registration::Always);
    assert!(bench.seen.is_empty(), "one edge, told once: {:?}", bench.seen);
    assert!(bench.driver.queue.is_empty(), "a file that nobody reads is no work");
    let memory = bench.zeroed(5);
    let read = Op::Read { fd, buf: memory.start, len: memory.len };
    for expected in [&b"conte"[..], b"nts", b""] {
        assert_eq!(bench.run(read), expected.len() as i32);
        assert_eq!(memory.first(expected.len()), expected);
    }
    bench.finish();
}

/// A regular file whose bytes were not at hand when attempted is read all the same,
/// although no event will come.
#[test]
fn a_regular_file_out_of_the_cache_is_read() {
    let mut bench = bench();
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(b"cold").and_then(|()| file.rewind()).expect("it is written");
    let fd = bench.adopt(file.into_raw_fd());
    let memory = bench.zeroed(4);
    let read = Op::Read { fd, buf: memory.start, len: memory.len };
    bench.driver.learn(&read, Attempt::WouldBlock);
    assert_eq!(bench.run(read), 4);
    assert_eq!(memory.first(4), b"cold");
    bench.finish();
}

/// After signals the wait goes on for what is left of it.
#[test]
fn signals_do_not_shorten_the_wait() {
    let mut bench = bench();
    let wait = Duration::from_millis(30);
    let waited = waiting_cases::interrupted(&mut bench, wait);
    assert!(waited >= wait, "waited {waited:?} of {wait:?}");
    bench.finish();
}

/// Urgent data splits a read before the socket is empty: what lies behind is not
/// taken for gone.
#[test]
fn urgent_data_hides_nothing() {
    let mut bench = bench();
    let (client, server) = bench.pair();
    let memory = bench.zeroed(64);
    for round in 0..3 {
        let first = bench.submit_recv(server, memory);
        bench.settle();
        bench.send_all(client, b"before");
        // SAFETY: one byte that lives through the call.
        let sent = unsafe { libc::send(client, b"!".as_ptr().cast(), 1, libc::MSG_OOB) };
        assert_eq!(sent, 1);
        bench.send_all(client, b"behind");
        assert_eq!(bench.result_of(first), 6, "round {round}");
        let second = bench.submit_recv(server, memory);
        assert_eq!(bench.result_of(second), 6, "round {round}");
        assert_eq!(memory.first(6), b"behind");
    }
    bench.finish();
}

/// A short read from a Unix socket may end at a message's boundary: the rest is read.
#[test]
fn short_reads_tell_nothing_of_other_sockets() {
    let mut bench = bench();
    let mut pair = [0; 2];
    // SAFETY: room for two descriptors.
    let made = unsafe {
        let kind = libc::SOCK_SEQPACKET | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        libc::socketpair(libc::AF_UNIX, kind, 0, pair.as_mut_ptr())
    };
    assert_eq!(made, 0);
    let [client, server] = pair.map(|fd| bench.adopt(fd));
    let memory = bench.zeroed(64);
    let first = bench.submit_recv(server, memory);
    bench.settle();
    for message in [&b"one"[..], b"three"] {
        bench.send_all(client, message);
    }
    assert_eq!(bench.result_of(first), 3);
    let second = bench.submit_recv(server, memory);
    assert_eq!(bench.result_of(second), 5);
    bench.finish();
}

/// A descriptor that was closed behind the driver's back does not spoil its number for
/// the next socket.
#[test]
fn a_number_closed_elsewhere_starts_afresh() {
    let mut bench = bench();
    let (listener, addr) = bench.listener();
    for _ in 0..5 {
        let (client, server) = bench.pair_by(listener, &addr);
        let memory = bench.zeroed(1);
        let token = bench.submit_recv(server, memory);
        bench.settle();
        bench.send_all(client, b"x");
        assert_eq!(bench.result_of(token), 1);
        for fd in [client, server] {
            bench.give_up(fd);
            sys::close(fd);
        }
    }
    bench.finish();
}

/// A duplicate that outlives a closed descriptor brings no events to its number.
#[test]
fn a_duplicate_keeps_no_registration() {
    let mut bench = bench();
    let (near, mut far) = UnixStream::pair().expect("a pair");
    let duplicate = near.try_clone().expect("a duplicate");
    let fd = bench.adopt(near.into_raw_fd());
    let memory = bench.zeroed(1);
    let token = bench.submit_recv(fd, memory);
    bench.settle();
    bench.driver.cancel(token);
    assert_eq!(bench.result_of(token), -libc::ECANCELED);
    bench.close(fd);
    far.write_all(b"x").expect("there is room");
    assert_eq!(bench.driver.epoll.wait(Some(Duration::ZERO)).ok(), Some(0));
    assert!(duplicate.as_raw_fd() >= 0);
    bench.finish();
}

/// Once every table has its size, rounds of all kinds leave it as it is.
#[test]
fn tables_do_not_grow_in_steady_state() {
    let mut bench = bench();
    let (client, server) = bench.pair();
    let sizes = |driver: &ReadinessDriver| {
        (driver.descriptors.capacity(), driver.queue.capacity(), driver.finished.capacity())
    };
    let before = sizes(&bench.driver);
    let memory = bench.zeroed(1);
    for _ in 0..500 {
        let polls =
            [(); 3].map(|()| bench.submit(Op::Poll { fd: server, interest: Interest::Read }));
        let token = bench.submit_recv(server, memory);
        bench.turn(Wait::No);
        bench.driver.cancel(polls[1]);
        bench.send_all(client, b"x");
        assert_eq!(bench.result_of(token), 1);
        bench.driver.cancel(polls[0]);
        bench.driver.cancel(polls[2]);
        bench.until("all polls end", |bench| polls.iter().all(|&poll| !bench.is_armed(poll)));
        bench.seen.clear();
    }
    assert_eq!(sizes(&bench.driver), before);
    bench.finish();
}
