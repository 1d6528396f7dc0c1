//! Operations tried at once.

use std::net::Shutdown;

use socket2::Type;

use super::bench::{Bench, pattern};
use crate::driver::{Attempt, Driver, Interest, Op};

/// Nothing to receive, accept or be ready for: the attempt would block, at once.
pub(crate) fn an_idle_socket_would_block<D: Driver>(bench: &mut Bench<D>) {
    let (listener, addr) = bench.listener();
    assert_eq!(bench.attempt(Op::Accept { fd: listener }), Attempt::WouldBlock);
    let (client, _server) = bench.pair_by(listener, &addr);
    let memory = bench.zeroed(16);
    let recv = Op::Recv { fd: client, buf: memory.start, len: memory.len };
    let poll = Op::Poll { fd: client, interest: Interest::Read };
    assert_eq!(bench.attempt(recv), Attempt::WouldBlock);
    assert_eq!(bench.attempt(poll), Attempt::WouldBlock);
}

/// What one end sends by attempts the other gets by attempts, either way.
pub(crate) fn bytes_go_both_ways<D: Driver>(bench: &mut Bench<D>) {
    let (client, server) = bench.pair();
    let bytes = pattern(5000);
    bench.send_all(client, &bytes);
    assert_eq!(bench.receive_exactly(server, bytes.len()), bytes);
    bench.send_all(server, &bytes[1..]);
    assert_eq!(bench.receive_exactly(client, bytes.len() - 1), &bytes[1..]);
}

/// A peer that has said all is seen as a receive of nothing, as often as asked.
pub(crate) fn the_end_is_zero<D: Driver>(bench: &mut Bench<D>) {
    let (client, server) = bench.pair();
    bench.driver.shutdown(client, Shutdown::Write).expect("it is connected");
    let memory = bench.zeroed(16);
    let recv = Op::Recv { fd: server, buf: memory.start, len: memory.len };
    assert_eq!(bench.attempt_until_done(recv), 0);
    assert_eq!(bench.attempt(recv), Attempt::Done(0));
}

/// An operation on no descriptor fails, attempted or armed, instead of waiting.
pub(crate) fn no_descriptor_is_an_error<D: Driver>(bench: &mut Bench<D>) {
    let memory = bench.zeroed(16);
    let recv = Op::Recv { fd: -1, buf: memory.start, len: memory.len };
    assert_eq!(bench.attempt(recv), Attempt::Done(-libc::EBADF));
    assert_eq!(bench.run(recv), -libc::EBADF);
}

/// A new connection, and an idle datagram socket, can be sent on.
pub(crate) fn room_is_there_at_first<D: Driver>(bench: &mut Bench<D>) {
    let (client, server) = bench.pair();
    let datagrams = bench.socket(Type::DGRAM);
    bench.bind_loopback(datagrams);
    for fd in [client, server, datagrams] {
        let bits = bench.attempt_until_done(Op::Poll { fd, interest: Interest::Write });
        assert_ne!(bits & i32::from(libc::POLLOUT), 0, "bits {bits:#x}");
    }
}
