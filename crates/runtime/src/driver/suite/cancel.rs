//! Operations that are asked to end.

use super::bench::Bench;
use super::datagrams::Message;
use crate::driver::{Driver, Interest, Op, Token};

/// Every operation that waits on an idle descriptor ends with `ECANCELED`, and the
/// descriptor serves as before.
pub(crate) fn every_kind_ends_by_cancelling<D: Driver>(bench: &mut Bench<D>) {
    let (listener, addr) = bench.listener();
    let (client, server) = bench.pair_by(listener, &addr);
    let memory = bench.zeroed(16);
    let message = Message::new(bench, memory);
    let iov = bench.keep(libc::iovec { iov_base: memory.start.cast(), iov_len: memory.len });
    let kinds = [
        Op::Recv { fd: server, buf: memory.start, len: memory.len },
        Op::RecvPool { fd: server },
        Op::RecvMulti { fd: server },
        Op::RecvMsg { fd: server, msg: message.header },
        Op::Readv { fd: server, iov, count: 1 },
        Op::Accept { fd: listener },
        Op::AcceptMulti { fd: listener },
        Op::Poll { fd: server, interest: Interest::Read },
        Op::PollMulti { fd: server, interest: Interest::Read },
    ];
    for op in kinds {
        cancel_idle(bench, op);
    }
    bench.send_all(client, b"alive");
    assert_eq!(bench.receive_exactly(server, 5), b"alive");
}

fn cancel_idle<D: Driver>(bench: &mut Bench<D>, op: Op) {
    for turns_before in [false, true] {
        let token = bench.submit(op);
        if turns_before {
            bench.settle();
            assert!(bench.is_armed(token), "{op:?} ended by itself: {:?}", bench.seen);
        }
        bench.driver.cancel(token);
        let end = bench.next_of(token);
        assert_eq!((end.result, end.more), (-libc::ECANCELED, false), "{op:?}");
    }
}

/// A send that waits for room ends, and was not partly done.
pub(crate) fn a_blocked_send_ends_by_cancelling<D: Driver>(bench: &mut Bench<D>) {
    let (client, server) = bench.pair();
    let sent = bench.stuff(client, 64 << 20);
    let memory = bench.copy(b"never");
    let token = bench.submit(Op::Send { fd: client, buf: memory.start, len: memory.len });
    bench.settle();
    bench.driver.cancel(token);
    assert_eq!(bench.result_of(token), -libc::ECANCELED);
    assert!(bench.receive_exactly(server, sent).iter().all(|&b| b == 0x55));
    bench.send_all(client, b"then");
    assert_eq!(bench.receive_exactly(server, 4), b"then");
}

/// Cancelling what has had its final completion does nothing.
pub(crate) fn an_ended_operation_cannot_be_cancelled<D: Driver>(bench: &mut Bench<D>) {
    let (client, server) = bench.pair();
    let memory = bench.zeroed(16);
    let token = bench.submit(Op::Recv { fd: server, buf: memory.start, len: memory.len });
    bench.send_all(client, b"done");
    assert_eq!(bench.result_of(token), 4);
    bench.driver.cancel(token);
    bench.settle();
    assert!(bench.seen.is_empty(), "seen: {:?}", bench.seen);
}

/// Cancelling what never was does nothing.
pub(crate) fn an_unknown_token_is_ignored<D: Driver>(bench: &mut Bench<D>) {
    let token = bench.fresh();
    bench.driver.cancel(token);
    bench.driver.cancel(Token::new(2047, 3));
    bench.settle();
    assert!(bench.seen.is_empty(), "seen: {:?}", bench.seen);
}

/// However often an operation is cancelled, it ends once.
pub(crate) fn cancelling_twice_ends_once<D: Driver>(bench: &mut Bench<D>) {
    let (_client, server) = bench.pair();
    for op in [Op::RecvMulti { fd: server }, Op::RecvPool { fd: server }] {
        let token = bench.submit(op);
        bench.settle();
        bench.driver.cancel(token);
        bench.driver.cancel(token);
        bench.turn(crate::driver::Wait::No);
        bench.driver.cancel(token);
        assert_eq!(bench.result_of(token), -libc::ECANCELED);
        bench.settle();
        assert!(bench.seen.is_empty(), "seen: {:?}", bench.seen);
    }
}

/// Cancelling a slot's former tenant leaves the present one armed.
pub(crate) fn a_late_token_spares_the_next_tenant<D: Driver>(bench: &mut Bench<D>) {
    let (client, server) = bench.pair();
    let memory = bench.zeroed(16);
    let op = Op::Recv { fd: server, buf: memory.start, len: memory.len };
    let (first, second) = (Token::new(2000, 1), Token::new(2000, 2));
    bench.submit_as(first, op);
    bench.driver.cancel(first);
    assert_eq!(bench.result_of(first), -libc::ECANCELED);
    bench.submit_as(second, op);
    bench.driver.cancel(first);
    bench.settle();
    assert!(bench.is_armed(second), "the present tenant was cancelled");
    bench.send_all(client, b"here");
    assert_eq!(bench.result_of(second), 4);
    assert_eq!(memory.first(4), b"here");
}

/// Cancelling the receive leaves the send armed on the same descriptor.
pub(crate) fn the_other_direction_goes_on<D: Driver>(bench: &mut Bench<D>) {
    let (client, server) = bench.pair();
    let sent = bench.stuff(client, 64 << 20);
    let memory = bench.copy(b"x");
    let send = bench.submit(Op::Send { fd: client, buf: memory.start, len: 1 });
    let receive = bench.submit(Op::RecvMulti { fd: client });
    bench.settle();
    bench.driver.cancel(receive);
    assert_eq!(bench.result_of(receive), -libc::ECANCELED);
    assert!(bench.is_armed(send));
    bench.receive_exactly(server, sent);
    assert_eq!(bench.result_of(send), 1);
}

/// A receive that is cancelled while bytes arrive either brings them or leaves them.
pub(crate) fn a_race_with_bytes_loses_nothing<D: Driver>(bench: &mut Bench<D>) {
    let (client, server) = bench.pair();
    let memory = bench.zeroed(16);
    for round in 0..50_u8 {
        let token = bench.submit(Op::Recv { fd: server, buf: memory.start, len: memory.len });
        if round % 2 == 0 {
            bench.turn(crate::driver::Wait::No);
        }
        bench.send_all(client, &[round; 4]);
        bench.driver.cancel(token);
        let result = bench.result_of(token);
        if result == -libc::ECANCELED {
            assert_eq!(bench.receive_exactly(server, 4), [round; 4]);
        } else {
            assert_eq!(result, 4);
            assert_eq!(memory.first(4), [round; 4]);
        }
    }
}
