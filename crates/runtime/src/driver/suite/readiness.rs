//! Operations that wait for readiness.

use std::net::Shutdown;

use socket2::Type;

use super::bench::Bench;
use crate::driver::{Driver, Interest, Op};

const IN: i32 = libc::POLLIN as i32;
const OUT: i32 = libc::POLLOUT as i32;
const RDHUP: i32 = libc::POLLRDHUP as i32;

fn poll(fd: i32, interest: Interest) -> Op {
    Op::Poll { fd, interest }
}

/// A poll for reading waits until bytes come, and leaves them there.
pub(crate) fn bytes_make_a_poll_ready<D: Driver>(bench: &mut Bench<D>) {
    let (client, server) = bench.pair();
    let token = bench.submit(poll(server, Interest::Read));
    bench.settle();
    assert!(bench.is_armed(token));
    bench.send_all(client, b"bytes");
    assert_ne!(bench.result_of(token) & IN, 0);
    assert_ne!(bench.run(poll(server, Interest::Read)) & IN, 0, "they are still there");
    assert_eq!(bench.receive_exactly(server, 5), b"bytes");
}

/// A poll for writing is ready at once on an empty socket, and on a full one when the
/// peer has made room.
pub(crate) fn room_makes_a_poll_ready<D: Driver>(bench: &mut Bench<D>) {
    let (client, server) = bench.pair();
    assert_ne!(bench.run(poll(client, Interest::Write)) & OUT, 0);
    let sent = bench.stuff(client, 64 << 20);
    let token = bench.submit(poll(client, Interest::Write));
    bench.settle();
    assert!(bench.is_armed(token), "there is no room");
    bench.receive_exactly(server, sent);
    assert_ne!(bench.result_of(token) & OUT, 0);
}

/// Any number of polls wait on one descriptor, beside a receive, and all are told.
pub(crate) fn many_polls_share_a_descriptor<D: Driver>(bench: &mut Bench<D>) {
    let (client, server) = bench.pair();
    let polls: Vec<_> = (0..5).map(|_| bench.submit(poll(server, Interest::Read))).collect();
    bench.settle();
    bench.driver.cancel(polls[2]);
    assert_eq!(bench.result_of(polls[2]), -libc::ECANCELED);
    bench.send_all(client, b"!");
    for index in [0, 1, 3, 4] {
        assert_ne!(bench.result_of(polls[index]) & IN, 0);
    }
}

/// The peer's end makes a poll for reading ready, and says that it is the end.
pub(crate) fn an_end_makes_a_poll_ready<D: Driver>(bench: &mut Bench<D>) {
    let (client, server) = bench.pair();
    let token = bench.submit(poll(server, Interest::Read));
    bench.settle();
    bench.driver.shutdown(client, Shutdown::Write).expect("it is connected");
    let bits = bench.result_of(token);
    assert_eq!(bits & (IN | RDHUP), IN | RDHUP, "bits {bits:#x}");
}

/// A multishot poll tells of bytes that are there when it is armed, and of each later
/// arrival after those before were taken.
pub(crate) fn each_edge_is_told<D: Driver>(bench: &mut Bench<D>) {
    let (client, server) = bench.pair();
    bench.send_all(client, &[9; 3]);
    bench.settle();
    let token = bench.submit(Op::PollMulti { fd: server, interest: Interest::Read });
    for round in 0..10_u8 {
        let completion = bench.next_of(token);
        assert!(completion.more && completion.result & IN != 0, "{completion:?}");
        bench.receive_exactly(server, 3);
        bench.settle();
        bench.seen.clear();
        bench.send_all(client, &[round; 3]);
    }
}

/// A listener with a connection waiting is ready for reading.
pub(crate) fn a_connection_makes_a_listener_ready<D: Driver>(bench: &mut Bench<D>) {
    let (listener, addr) = bench.listener();
    let token = bench.submit(poll(listener, Interest::Read));
    bench.settle();
    assert!(bench.is_armed(token));
    let client = bench.socket(Type::STREAM);
    let connect = bench.connect(client, &addr);
    assert_ne!(bench.result_of(token) & IN, 0);
    assert_eq!(bench.result_of(connect), 0);
    let server = bench.attempt_until_done(Op::Accept { fd: listener });
    bench.adopt(server);
}
