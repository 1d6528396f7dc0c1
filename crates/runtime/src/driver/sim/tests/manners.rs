//! The world behaves as Linux does, in what the suite of all drivers leaves out.

use std::net::SocketAddr;

use socket2::{Domain, SockAddr, Type};

use super::super::{Config, SimDriver};
use super::bench;
use crate::driver::suite::bench::{Bench, Memory, loopback, pattern};
use crate::driver::suite::datagrams::Message;
use crate::driver::{Attempt, Driver, Op, Wait};

fn recv(fd: i32, memory: Memory) -> Op {
    Op::Recv { fd, buf: memory.start, len: memory.len }
}

fn socket(bench: &mut Bench<SimDriver>, domain: Domain, kind: Type) -> i32 {
    let fd = bench.driver.socket(domain, kind, None).expect("a socket");
    bench.adopt(fd)
}

/// A connection over `domain` to `addr`: the two ends.
fn connected(bench: &mut Bench<SimDriver>, domain: Domain, addr: &SockAddr) -> (i32, i32) {
    let listener = socket(bench, domain, Type::STREAM);
    bench.driver.bind(listener, addr).expect("the name is free");
    bench.driver.listen(listener, 8).expect("it listens");
    let client = socket(bench, domain, Type::STREAM);
    let addr = bench.driver.local_addr(listener).expect("it is bound");
    let connect = bench.connect(client, &addr);
    assert_eq!(bench.result_of(connect), 0);
    let server = bench.run(Op::Accept { fd: listener });
    (client, bench.adopt(server))
}

fn exchange(bench: &mut Bench<SimDriver>, (client, server): (i32, i32)) {
    let bytes = pattern(3000);
    bench.send_all(client, &bytes);
    assert_eq!(bench.receive_exactly(server, bytes.len()), bytes);
    bench.send_all(server, &bytes);
    assert_eq!(bench.receive_exactly(client, bytes.len()), bytes);
}

fn v6(text: &str) -> SockAddr {
    text.parse::<SocketAddr>().unwrap().into()
}

/// IPv6 serves as IPv4 does, and its wildcard takes both unless told otherwise.
#[test]
fn both_families_connect() {
    let mut bench = bench(&Config::new(1));
    let pair = connected(&mut bench, Domain::IPV6, &v6("[::1]:0"));
    exchange(&mut bench, pair);
    let listener = socket(&mut bench, Domain::IPV6, Type::STREAM);
    bench.driver.bind(listener, &v6("[::]:700")).unwrap();
    bench.driver.listen(listener, 1).unwrap();
    let client = bench.socket(Type::STREAM);
    let connect = bench.connect(client, &loopback(700));
    assert_eq!(bench.result_of(connect), 0);
    let server = bench.run(Op::Accept { fd: listener });
    let server = bench.adopt(server);
    let peer = bench.driver.peer_addr(server).unwrap().as_socket().unwrap();
    assert!(peer.to_string().starts_with("[::ffff:127.0.0.1]:"), "{peer}");
    bench.finish();
}

/// Unix streams connect by path and by abstract name, and refuse what Linux refuses.
#[test]
fn unix_streams_connect_by_name() {
    let mut bench = bench(&Config::new(1));
    for name in ["/run/feed", "\0feed"] {
        let name = SockAddr::unix(name).unwrap();
        let pair = connected(&mut bench, Domain::UNIX, &name);
        exchange(&mut bench, pair);
        assert_eq!(bench.driver.peer_addr(pair.0).unwrap(), name);
    }
    let other = socket(&mut bench, Domain::UNIX, Type::STREAM);
    for (name, errno) in [("/never", libc::ENOENT), ("\0never", libc::ECONNREFUSED)] {
        let connect = bench.connect(other, &SockAddr::unix(name).unwrap());
        assert_eq!(bench.result_of(connect), -errno, "{name:?}");
    }
    let taken = bench.driver.bind(other, &SockAddr::unix("/run/feed").unwrap()).unwrap_err();
    assert_eq!(taken.raw_os_error(), Some(libc::EADDRINUSE));
    bench.finish();
}

/// A Unix datagram socket loses nothing: a sender waits until the receiver has room.
#[test]
fn unix_datagrams_wait_for_room() {
    let mut bench = bench(&Config { receive_buffer: 4096, ..Config::new(1) });
    let to = socket(&mut bench, Domain::UNIX, Type::DGRAM);
    let name = SockAddr::unix("\0inbox").unwrap();
    bench.driver.bind(to, &name).unwrap();
    let from = socket(&mut bench, Domain::UNIX, Type::DGRAM);
    let memory = bench.copy(&pattern(1000));
    let message = Message::to(&mut bench, memory, &name);
    let send = Op::SendMsg { fd: from, msg: message.header };
    let mut sent = 0;
    while bench.attempt(send) == Attempt::Done(1000) {
        sent += 1;
        assert!(sent < 100, "a buffer without end");
    }
    let token = bench.submit(send);
    bench.settle();
    assert!(bench.is_armed(token), "there is no room");
    assert_eq!(bench.receive_exactly(to, 1000), pattern(1000));
    assert_eq!(bench.result_of(token), 1000);
    bench.finish();
}

/// Closing with bytes unread resets the connection, as does sending to a closed end.
#[test]
fn unread_bytes_reset_the_connection() {
    let mut bench = bench(&Config::new(1));
    let (client, server) = bench.pair();
    bench.send_all(client, b"unread");
    bench.settle();
    bench.close(server);
    let memory = bench.zeroed(8);
    assert_eq!(bench.run(recv(client, memory)), -libc::ECONNRESET);
    assert_eq!(bench.run(recv(client, memory)), 0);
    let (client, server) = bench.pair();
    bench.close(server);
    bench.settle();
    bench.send_all(client, b"into the void");
    bench.settle();
    let send = Op::Send { fd: client, buf: memory.start, len: 1 };
    assert_eq!(bench.attempt(send), Attempt::Done(-libc::EPIPE));
    bench.finish();
}

/// A full backlog makes clients wait until somebody accepts.
#[test]
fn a_full_backlog_delays_a_connect() {
    let mut bench = bench(&Config::new(1));
    let listener = bench.socket(Type::STREAM);
    let addr = bench.bind_loopback(listener);
    bench.driver.listen(listener, 0).unwrap();
    let connects = [(); 2].map(|()| {
        let client = bench.socket(Type::STREAM);
        let token = bench.connect(client, &addr);
        bench.settle();
        token
    });
    assert_eq!(bench.result_of(connects[0]), 0);
    assert!(bench.is_armed(connects[1]), "the backlog is full");
    let first = bench.run(Op::Accept { fd: listener });
    bench.adopt(first);
    bench.turn(Wait::AtMost(std::time::Duration::from_secs(2)));
    assert_eq!(bench.result_of(connects[1]), 0);
    bench.finish();
}

/// A listener that closes resets those whom nobody accepted.
#[test]
fn a_closed_listener_resets_its_queue() {
    let mut bench = bench(&Config::new(1));
    let (listener, addr) = bench.listener();
    let client = bench.socket(Type::STREAM);
    let connect = bench.connect(client, &addr);
    assert_eq!(bench.result_of(connect), 0);
    let memory = bench.zeroed(8);
    let receive = bench.submit(recv(client, memory));
    bench.settle();
    bench.close(listener);
    assert_eq!(bench.result_of(receive), -libc::ECONNRESET);
    bench.finish();
}

/// A connected datagram socket learns that nobody is there, and hears its peer alone.
#[test]
fn a_connected_datagram_socket_is_particular() {
    let mut bench = bench(&Config::new(1));
    let [a, b, c] = [(); 3].map(|()| bench.socket(Type::DGRAM));
    let [a_addr, b_addr] = [a, b].map(|fd| bench.bind_loopback(fd));
    let connect = bench.connect(a, &b_addr);
    assert_eq!(bench.result_of(connect), 0);
    let memory = bench.copy(b"stranger");
    let stranger = Message::to(&mut bench, memory, &a_addr);
    bench.attempt_until_done(Op::SendMsg { fd: c, msg: stranger.header });
    bench.settle();
    let into = bench.zeroed(16);
    assert_eq!(bench.attempt(recv(a, into)), Attempt::WouldBlock);
    bench.close(b);
    let receive = bench.submit(recv(a, into));
    bench.send_all(a, b"hello?");
    assert_eq!(bench.result_of(receive), -libc::ECONNREFUSED);
    bench.finish();
}

/// A message with a segment size leaves as datagrams of that size.
#[test]
fn segments_arrive_as_datagrams() {
    let mut bench = bench(&Config::new(1));
    let [from, to] = [(); 2].map(|()| bench.socket(Type::DGRAM));
    let addr = bench.bind_loopback(to);
    let memory = bench.copy(&pattern(250));
    let message = Message::to(&mut bench, memory, &addr);
    let control = bench.keep([0_u64; 4]);
    // SAFETY: the bench keeps header and control, which is large and aligned enough.
    unsafe {
        (*message.header).msg_control = control.cast();
        (*message.header).msg_controllen = libc::CMSG_SPACE(2) as usize;
        let first = libc::CMSG_FIRSTHDR(message.header);
        (*first).cmsg_level = libc::SOL_UDP;
        (*first).cmsg_type = libc::UDP_SEGMENT;
        (*first).cmsg_len = libc::CMSG_LEN(2) as usize;
        libc::CMSG_DATA(first).cast::<u16>().write_unaligned(100);
    }
    assert_eq!(bench.run(Op::SendMsg { fd: from, msg: message.header }), 250);
    let into = bench.zeroed(1000);
    for expected in pattern(250).chunks(100) {
        assert_eq!(bench.run(recv(to, into)), expected.len() as i32);
        assert_eq!(into.first(expected.len()), expected);
    }
    bench.finish();
}

/// Datagrams that are too long, go nowhere or to everybody unasked are refused.
#[test]
fn impossible_datagrams_are_refused() {
    let mut bench = bench(&Config::new(1));
    let fd = bench.socket(Type::DGRAM);
    let memory = bench.copy(&[0; 70_000]);
    let small = Memory { len: 1, ..memory };
    let everybody = v6("255.255.255.255:9");
    for (memory, to, errno) in [
        (memory, loopback(9), libc::EMSGSIZE),
        (small, loopback(0), libc::EINVAL),
        (small, everybody, libc::EACCES),
        (small, v6("[::1]:9"), libc::EAFNOSUPPORT),
    ] {
        let message = Message::to(&mut bench, memory, &to);
        assert_eq!(bench.run(Op::SendMsg { fd, msg: message.header }), -errno, "{to:?}");
    }
    let unaddressed = Op::Send { fd, buf: small.start, len: 1 };
    assert_eq!(bench.attempt(unaddressed), Attempt::Done(-libc::EDESTADDRREQ));
    bench.finish();
}
