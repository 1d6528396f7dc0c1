//! Operations that complete again and again.

use std::net::Shutdown;
use std::time::Duration;

use socket2::Type;

use super::bench::{Bench, CONFIG, pattern};
use super::datagrams::Message;
use crate::driver::{Completion, Driver, Op, SocketOption};

/// A stream arrives whole and in order, and its end is one final completion.
pub(crate) fn a_stream_comes_in_order_to_its_end<D: Driver>(bench: &mut Bench<D>) {
    let (client, server) = bench.pair();
    let bytes = pattern(50_000);
    bench.send_all(client, &bytes);
    bench.driver.shutdown(client, Shutdown::Write).expect("it is connected");
    let mut came = Vec::new();
    let end = gather(bench, server, &mut came, bytes.len());
    assert_eq!(came, bytes);
    assert_eq!(end.result, 0, "the end of the stream");
}

/// Receives from `fd` until a final completion that is no lack of buffers; arms anew
/// after one that is. Bounded by `most` bytes.
fn gather<D: Driver>(bench: &mut Bench<D>, fd: i32, came: &mut Vec<u8>, most: usize) -> Completion {
    loop {
        let token = bench.submit(Op::RecvMulti { fd });
        let end = loop {
            let completion = bench.next_of(token);
            if completion.result > 0 {
                came.extend(bench.take_bytes(completion));
                assert!(came.len() <= most, "more came than was sent");
            }
            if !completion.more {
                break completion;
            }
        };
        if end.result <= 0 && end.result != -libc::ENOBUFS {
            return end;
        }
    }
}

/// A pool of eight buffers serves any number of receives when each is given back.
pub(crate) fn buffers_go_round_for_ever<D: Driver>(bench: &mut Bench<D>) {
    let (client, server) = bench.pair();
    let mut token = bench.submit(Op::RecvMulti { fd: server });
    for round in 0..100_u8 {
        let bytes = [round; 700];
        bench.send_all(client, &bytes);
        let mut came = Vec::new();
        while came.len() < bytes.len() {
            let completion = bench.next_of(token);
            came.extend(bench.take_bytes(completion));
            if !completion.more {
                token = bench.submit(Op::RecvMulti { fd: server });
            }
        }
        assert_eq!(came, bytes);
    }
}

/// When no buffer is free and bytes are there, the receive ends with `ENOBUFS`; armed
/// anew once buffers are back, it goes on where it was.
pub(crate) fn an_empty_pool_ends_it_and_loses_nothing<D: Driver>(bench: &mut Bench<D>) {
    let (client, server) = bench.pair();
    let bytes = pattern(3 * usize::from(CONFIG.pool_buffers) * CONFIG.pool_buffer_size);
    bench.send_all(client, &bytes);
    bench.driver.shutdown(client, Shutdown::Write).expect("it is connected");
    let mut came = Vec::new();
    let held = take_until_empty(bench, server);
    for &completion in &held {
        came.extend(bench.take_bytes(completion));
    }
    let end = gather(bench, server, &mut came, bytes.len());
    assert_eq!(end.result, 0);
    assert_eq!(came, bytes);
}

/// Receives on `fd` without giving buffers back until it ends for want of them.
fn take_until_empty<D: Driver>(bench: &mut Bench<D>, fd: i32) -> Vec<Completion> {
    let token = bench.submit(Op::RecvMulti { fd });
    let mut held = Vec::new();
    loop {
        let completion = bench.next_of(token);
        if !completion.more {
            assert_eq!((completion.result, completion.buffer), (-libc::ENOBUFS, None));
            assert_eq!(held.len(), usize::from(CONFIG.pool_buffers), "every buffer was used");
            return held;
        }
        held.push(completion);
    }
}

/// With the pool empty, a receive on an idle descriptor waits or ends for want of a
/// buffer; once bytes come it ends, and armed anew with buffers back it brings them.
pub(crate) fn an_idle_one_outlives_an_empty_pool<D: Driver>(bench: &mut Bench<D>) {
    let (client, server) = bench.pair();
    bench.send_all(client, &[1; 16 << 10]);
    let held = take_until_empty(bench, server);
    let (other, idle) = bench.pair();
    let token = bench.submit(Op::RecvMulti { fd: idle });
    bench.settle();
    bench.send_all(other, b"now");
    assert_eq!(bench.result_of(token), -libc::ENOBUFS);
    for completion in held {
        bench.take_bytes(completion);
    }
    let token = bench.submit(Op::RecvMulti { fd: idle });
    let completion = bench.next_of(token);
    assert_eq!(bench.take_bytes(completion), b"now");
}

/// One armed operation accepts every connection, each once, and still waits after.
pub(crate) fn every_connection_is_accepted<D: Driver>(bench: &mut Bench<D>) {
    let (listener, addr) = bench.listener();
    let mut accept = bench.submit(Op::AcceptMulti { fd: listener });
    for _ in 0..3 {
        let clients: Vec<_> = (0..10).map(|_| bench.socket(Type::STREAM)).collect();
        let connects: Vec<_> = clients.iter().map(|&fd| bench.connect(fd, &addr)).collect();
        for connect in connects {
            assert_eq!(bench.result_of(connect), 0);
        }
        let mut peers = Vec::new();
        for _ in &clients {
            let completion = bench.next_of(accept);
            let server = bench.adopt(completion.result);
            peers.push(bench.driver.peer_addr(server).expect("connected").as_socket());
            if !completion.more {
                accept = bench.submit(Op::AcceptMulti { fd: listener });
            }
        }
        for client in clients {
            let name = bench.driver.local_addr(client).expect("connected").as_socket();
            assert_eq!(peers.iter().filter(|&&peer| peer == name).count(), 1);
        }
    }
    bench.settle();
    assert!(bench.is_armed(accept) && bench.seen.is_empty(), "seen: {:?}", bench.seen);
}

/// Datagrams received into the pool stay apart, those that came together too.
pub(crate) fn every_datagram_has_its_buffer<D: Driver>(bench: &mut Bench<D>) {
    let (from, to) = (bench.socket(Type::DGRAM), bench.socket(Type::DGRAM));
    let addr = bench.bind_loopback(to);
    let token = bench.submit(Op::RecvMulti { fd: to });
    for _ in 0..3 {
        bench.settle();
        for length in [1, 500, 3, 1000] {
            let memory = bench.copy(&pattern(length));
            let msg = Message::to(bench, memory, &addr).header;
            let sent = bench.attempt_until_done(Op::SendMsg { fd: from, msg });
            assert_eq!(sent, length as i32);
        }
        for length in [1, 500, 3, 1000] {
            let completion = bench.next_of(token);
            assert!(completion.more, "{completion:?}");
            assert_eq!(bench.take_bytes(completion), pattern(length));
        }
    }
}

/// A reset connection ends the receive with the error.
pub(crate) fn a_reset_ends_it<D: Driver>(bench: &mut Bench<D>) {
    let (client, server) = bench.pair();
    let token = bench.submit(Op::RecvMulti { fd: server });
    bench.settle();
    let linger = SocketOption::Linger(Some(Duration::ZERO));
    bench.driver.set_option(client, linger).expect("a TCP option");
    bench.close(client);
    assert_eq!(bench.result_of(token), -libc::ECONNRESET);
}

/// What had come before the cancel took effect is delivered before the final
/// completion, and what comes after stays in the socket.
pub(crate) fn cancelling_loses_nothing<D: Driver>(bench: &mut Bench<D>) {
    let (client, server) = bench.pair();
    let token = bench.submit(Op::RecvMulti { fd: server });
    bench.settle();
    bench.send_all(client, b"first ");
    bench.driver.cancel(token);
    bench.send_all(client, b"second");
    let mut came = Vec::new();
    loop {
        let completion = bench.next_of(token);
        if completion.result > 0 {
            came.extend(bench.take_bytes(completion));
        }
        if !completion.more {
            assert!(completion.result > 0 || completion.result == -libc::ECANCELED);
            break;
        }
    }
    if came.len() < 12 {
        let rest = bench.receive_exactly(server, 12 - came.len());
        came.extend(rest);
    }
    assert_eq!(came, b"first second");
}
