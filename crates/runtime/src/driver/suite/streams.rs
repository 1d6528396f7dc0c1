//! One-shot operations on TCP.

use std::net::Shutdown;
use std::time::Duration;

use socket2::Type;

use super::bench::{Bench, Memory, loopback};
use crate::driver::{Attempt, Driver, KeepAlive, Op, SocketOption};

fn recv(fd: i32, memory: Memory) -> Op {
    Op::Recv { fd, buf: memory.start, len: memory.len }
}

/// A receive armed on an idle socket ends once, with the bytes, when they come.
pub(crate) fn a_receive_waits_for_bytes<D: Driver>(bench: &mut Bench<D>) {
    let (client, server) = bench.pair();
    let memory = bench.zeroed(64);
    let token = bench.submit(recv(server, memory));
    bench.settle();
    assert!(bench.is_armed(token), "there is nothing to receive yet");
    bench.send_all(client, b"hello");
    assert_eq!(bench.result_of(token), 5);
    assert_eq!(memory.first(5), b"hello");
    bench.settle();
    assert!(bench.seen.is_empty(), "it ended once: {:?}", bench.seen);
}

/// A receive armed when bytes are there already ends as well.
pub(crate) fn bytes_may_be_there_before<D: Driver>(bench: &mut Bench<D>) {
    let (client, server) = bench.pair();
    bench.send_all(client, b"early");
    bench.settle();
    let memory = bench.zeroed(64);
    assert_eq!(bench.run(recv(server, memory)), 5);
    assert_eq!(memory.first(5), b"early");
}

/// Bytes that a receive had no room for go to the next ones, although nothing new comes.
pub(crate) fn what_one_receive_leaves_the_next_one_gets<D: Driver>(bench: &mut Bench<D>) {
    let (client, server) = bench.pair();
    let memory = bench.zeroed(1);
    let first = bench.submit(recv(server, memory));
    bench.settle();
    bench.send_all(client, b"0123456789");
    assert_eq!(bench.result_of(first), 1);
    assert_eq!(memory.first(1), b"0");
    for expected in b"123456789" {
        assert_eq!(bench.run(recv(server, memory)), 1);
        assert_eq!(memory.first(1), [*expected]);
    }
    assert_eq!(bench.attempt(recv(server, memory)), Attempt::WouldBlock);
}

/// An end that came together with the last bytes is seen by the receive after them.
pub(crate) fn an_end_behind_bytes_is_seen<D: Driver>(bench: &mut Bench<D>) {
    let (client, server) = bench.pair();
    let memory = bench.zeroed(64);
    let first = bench.submit(recv(server, memory));
    bench.settle();
    bench.send_all(client, b"abc");
    bench.driver.shutdown(client, Shutdown::Write).expect("it is connected");
    assert_eq!(bench.result_of(first), 3);
    assert_eq!(bench.run(recv(server, memory)), 0);
    assert_eq!(bench.run(recv(server, memory)), 0);
}

/// A pool receive takes a buffer only for what came, and ends with it.
pub(crate) fn a_pool_receive_brings_its_buffer<D: Driver>(bench: &mut Bench<D>) {
    let (client, server) = bench.pair();
    for round in 0..20 {
        let token = bench.submit(Op::RecvPool { fd: server });
        let bytes = [round; 3];
        bench.send_all(client, &bytes);
        let completion = bench.next_of(token);
        assert!(!completion.more, "one receive, one completion");
        assert_eq!(bench.take_bytes(completion), bytes);
    }
    let token = bench.submit(Op::RecvPool { fd: server });
    bench.driver.shutdown(client, Shutdown::Write).expect("it is connected");
    let end = bench.next_of(token);
    assert_eq!((end.result, end.more), (0, false));
    if let Some(buffer) = end.buffer {
        bench.driver.recycle(buffer);
    }
}

/// A send on a full socket ends when the peer has made room; nothing sent is lost.
pub(crate) fn a_send_waits_for_room<D: Driver>(bench: &mut Bench<D>) {
    let (client, server) = bench.pair();
    let mut sent = bench.stuff(client, 64 << 20);
    let memory = bench.copy(&[0x55; 100]);
    let token = bench.submit(Op::Send { fd: client, buf: memory.start, len: memory.len });
    let mut drained = 0;
    while bench.is_armed(token) {
        let step = (sent - drained).min(1 << 16);
        assert!(step > 0, "all was drained, and there is still no room");
        assert!(bench.receive_exactly(server, step).iter().all(|&b| b == 0x55));
        drained += step;
        bench.settle();
    }
    let last = bench.result_of(token);
    assert!((1..=100).contains(&last), "sent {last}");
    sent += last as usize;
    bench.receive_exactly(server, sent - drained);
}

/// A vector is sent from, and received into, its parts in order.
pub(crate) fn vectors_are_filled_in_order<D: Driver>(bench: &mut Bench<D>) {
    let (client, server) = bench.pair();
    let parts = [bench.copy(b"abc"), bench.copy(b""), bench.copy(b"defgh")];
    let out = parts.map(|m| libc::iovec { iov_base: m.start.cast(), iov_len: m.len });
    let into = [bench.zeroed(2), bench.zeroed(32)];
    let room = into.map(|m| libc::iovec { iov_base: m.start.cast(), iov_len: m.len });
    let (out, room) = (bench.keep(out), bench.keep(room));
    let read = bench.submit(Op::Readv { fd: server, iov: room.cast(), count: 2 });
    assert_eq!(bench.run(Op::Writev { fd: client, iov: out.cast(), count: 3 }), 8);
    assert_eq!(bench.result_of(read), 8);
    assert_eq!((into[0].first(2), into[1].first(6)), (b"ab".to_vec(), b"cdefgh".to_vec()));
    let again = Op::Readv { fd: server, iov: room.cast(), count: 2 };
    assert_eq!(bench.attempt(again), Attempt::WouldBlock);
    assert_eq!(
        bench.attempt(Op::Writev { fd: client, iov: out.cast(), count: 1 }),
        Attempt::Done(3)
    );
    assert_eq!(bench.attempt_until_done(again), 3);
}

/// Messages without address carry a stream's bytes.
pub(crate) fn messages_go_through_streams<D: Driver>(bench: &mut Bench<D>) {
    let (client, server) = bench.pair();
    let (from, into) = (bench.copy(b"message"), bench.zeroed(32));
    let out = super::datagrams::Message::new(bench, from);
    let room = super::datagrams::Message::new(bench, into);
    let token = bench.submit(Op::RecvMsg { fd: server, msg: room.header });
    assert_eq!(bench.run(Op::SendMsg { fd: client, msg: out.header }), 7);
    assert_eq!(bench.result_of(token), 7);
    assert_eq!(into.first(7), b"message");
}

/// A connect to a port where nobody listens ends with the refusal.
pub(crate) fn a_refused_connect_says_so<D: Driver>(bench: &mut Bench<D>) {
    let (listener, addr) = bench.listener();
    bench.close(listener);
    let client = bench.socket(Type::STREAM);
    let token = bench.connect(client, &addr);
    assert_eq!(bench.result_of(token), -libc::ECONNREFUSED);
}

/// Both ends of a connection name it alike, and only connections have a peer.
pub(crate) fn addresses_agree<D: Driver>(bench: &mut Bench<D>) {
    let (listener, addr) = bench.listener();
    assert_ne!(addr.as_socket().map(|a| a.port()), Some(0), "a free port was chosen");
    let (client, server) = bench.pair_by(listener, &addr);
    let name = |result: std::io::Result<socket2::SockAddr>| result.ok().and_then(|a| a.as_socket());
    assert_eq!(name(bench.driver.peer_addr(client)), addr.as_socket());
    assert_eq!(name(bench.driver.local_addr(server)), addr.as_socket());
    assert_eq!(name(bench.driver.peer_addr(server)), name(bench.driver.local_addr(client)));
    assert!(bench.driver.peer_addr(listener).is_err());
    let other = bench.socket(Type::STREAM);
    let taken = bench.driver.bind(other, &addr).expect_err("somebody listens there");
    assert_eq!(taken.raw_os_error(), Some(libc::EADDRINUSE));
    assert!(bench.driver.bind(other, &loopback(0)).is_ok());
}

/// A receive and a send wait on one descriptor at the same time, and neither hides the
/// other.
pub(crate) fn both_directions_at_once<D: Driver>(bench: &mut Bench<D>) {
    let (client, server) = bench.pair();
    let sent = bench.stuff(client, 64 << 20);
    let (out, into) = (bench.copy(b"x"), bench.zeroed(16));
    let send = bench.submit(Op::Send { fd: client, buf: out.start, len: 1 });
    let receive = bench.submit(recv(client, into));
    bench.settle();
    assert!(bench.is_armed(send) && bench.is_armed(receive));
    bench.send_all(server, b"back");
    assert_eq!(bench.result_of(receive), 4);
    assert_eq!(into.first(4), b"back");
    assert!(bench.is_armed(send), "there is no room yet");
    bench.receive_exactly(server, sent);
    assert_eq!(bench.result_of(send), 1);
}

/// After one end said all, the other may still speak.
pub(crate) fn half_a_connection_goes_on<D: Driver>(bench: &mut Bench<D>) {
    let (client, server) = bench.pair();
    let memory = bench.zeroed(16);
    let end = bench.submit(recv(server, memory));
    bench.driver.shutdown(client, Shutdown::Write).expect("it is connected");
    assert_eq!(bench.result_of(end), 0);
    let reply = bench.submit(recv(client, memory));
    bench.send_all(server, b"reply");
    assert_eq!(bench.result_of(reply), 5);
    let late = Op::Send { fd: client, buf: memory.start, len: 1 };
    assert_eq!(bench.attempt(late), Attempt::Done(-libc::EPIPE));
}

/// A peer that closes with linger 0 resets the connection: an armed receive fails, and
/// so does sending.
pub(crate) fn a_reset_is_an_error<D: Driver>(bench: &mut Bench<D>) {
    let (client, server) = bench.pair();
    let memory = bench.zeroed(16);
    let token = bench.submit(recv(server, memory));
    let linger = SocketOption::Linger(Some(Duration::ZERO));
    bench.driver.set_option(client, linger).expect("a TCP option");
    bench.close(client);
    assert_eq!(bench.result_of(token), -libc::ECONNRESET);
    let send = Op::Send { fd: server, buf: memory.start, len: 1 };
    assert_eq!(bench.attempt(send), Attempt::Done(-libc::EPIPE));
}

/// Every option that has a meaning on a socket is taken there.
pub(crate) fn options_are_accepted<D: Driver>(bench: &mut Bench<D>) {
    let second = Duration::from_secs(1);
    let probes = KeepAlive { idle: second, interval: second, count: 3 };
    let (stream, datagrams) = (bench.socket(Type::STREAM), bench.socket(Type::DGRAM));
    let on_streams = [
        SocketOption::NoDelay(true),
        SocketOption::KeepAlive(Some(probes)),
        SocketOption::KeepAlive(None),
        SocketOption::ReuseAddress(true),
        SocketOption::ReusePort(true),
        SocketOption::Linger(None),
        SocketOption::ReceiveBuffer(1 << 16),
        SocketOption::SendBuffer(1 << 16),
    ];
    for option in on_streams {
        bench.driver.set_option(stream, option).unwrap_or_else(|e| panic!("{option:?}: {e}"));
    }
    for option in [SocketOption::Broadcast(true), SocketOption::ReceiveOffload(true)] {
        bench.driver.set_option(datagrams, option).unwrap_or_else(|e| panic!("{option:?}: {e}"));
    }
}

/// Bytes whose arrival the driver learnt of while nothing was armed, after an attempt
/// had found nothing, still end a receive armed later.
pub(crate) fn an_edge_taken_before_arming_is_not_lost<D: Driver>(bench: &mut Bench<D>) {
    let (client, server) = bench.pair();
    let memory = bench.zeroed(16);
    let first = bench.submit(recv(server, memory));
    bench.send_all(client, b"1");
    assert_eq!(bench.result_of(first), 1);
    assert_eq!(bench.attempt(recv(server, memory)), Attempt::WouldBlock);
    bench.send_all(client, b"2");
    bench.settle();
    assert_eq!(bench.run(recv(server, memory)), 1);
    assert_eq!(memory.first(1), b"2");
}
