//! What comes with a datagram besides its bytes: asked for, it is right; not asked for, it
//! is not there.

mod common;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{REAL, small};
use socket2::{Domain, SockAddr, Type};
use tautline_runtime::{
    Batch, Config, Conn, Descriptor, Details, DriverChoice, Envelope, Runtime, Scatter,
    SocketOption, Stamp, To, sim,
};

/// Everything that can be asked for.
const ALL: Details = Details {
    source: true,
    destination: true,
    hops: true,
    time: Some(Stamp::Kernel),
    drops: true,
    offload: true,
};

/// Runs `test` on a fresh runtime for each driver.
fn everywhere(test: impl Fn(&Runtime)) {
    let world = DriverChoice::Sim(Box::new(sim::Config::new(1)));
    for driver in REAL.into_iter().chain([world]) {
        test(&Runtime::new(Config { driver, ..small() }).unwrap());
    }
}

/// The time since the clock's zero, by which arrivals are stamped.
fn clock(runtime: &Runtime) -> Duration {
    if is_real(runtime) {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
    } else {
        Duration::from_nanos(runtime.now().as_nanos())
    }
}

/// A socket bound to `ip`, and its address.
fn bound(ip: &str) -> (Descriptor, SockAddr) {
    let ip: IpAddr = ip.parse().unwrap();
    let socket =
        Descriptor::socket(Domain::for_address((ip, 0).into()), Type::DGRAM, None).unwrap();
    socket.bind(&SocketAddr::from((ip, 0)).into()).unwrap();
    let addr = socket.conn().local_addr().unwrap();
    (socket, addr)
}

fn ask(socket: &Descriptor, details: Details) {
    for option in details.options() {
        socket.set_option(option).unwrap();
    }
}

/// Receives by `receive` until something came; loopback is quick, but promises nothing.
fn until_some(runtime: &Runtime, mut receive: impl FnMut() -> std::io::Result<usize>) -> usize {
    for _ in 0..1000 {
        match receive() {
            Ok(count) => return count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                turn(runtime);
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("nothing came");
}

fn is_real(runtime: &Runtime) -> bool {
    runtime.report().driver != "sim"
}

/// Lets what is under way arrive.
fn turn(runtime: &Runtime) {
    runtime.run_for(Duration::from_millis(1)).unwrap();
}

fn port_of(addr: &SockAddr) -> u16 {
    addr.as_socket().unwrap().port()
}

/// `to`'s port at another of the addresses that it is bound to.
fn at(ip: &str, to: &SockAddr) -> SockAddr {
    SocketAddr::new(ip.parse().unwrap(), port_of(to)).into()
}

fn send(runtime: &Runtime, from: &Descriptor, bytes: &[u8], to: &SockAddr) {
    until_some(runtime, || from.conn().try_send_to(bytes, Some(to)));
}

fn check(runtime: &Runtime, envelope: Envelope<'_>, from: &SockAddr, to: &str) {
    assert_eq!(envelope.source(), from.as_socket());
    assert_eq!(envelope.destination(), Some(to.parse().unwrap()));
    assert_eq!(envelope.interface(), Some(1), "of loopback");
    assert_eq!(envelope.hops(), Some(64), "of what is sent to one host");
    let now = clock(runtime);
    let kernel = envelope.arrival().and_then(|arrival| arrival.kernel).expect("it was asked for");
    assert!(now.abs_diff(kernel) < Duration::from_secs(10), "{kernel:?} is not {now:?}");
    assert_eq!(envelope.arrival().and_then(|arrival| arrival.hardware), None);
    assert_eq!(envelope.dropped().unwrap_or(0), 0);
}

/// Each datagram tells to which of a socket's addresses it was sent, by which interface and
/// when it came, in a batch of its own memory as in places that are lent.
#[test]
fn each_datagram_tells_where_it_was_sent() {
    everywhere(|runtime| {
        let (a, source) = bound("127.0.0.1");
        let (b, addr) = bound("0.0.0.0");
        ask(&b, ALL);
        let mut batch = Batch::with_details(4, 100, ALL);
        let mut scatter = Scatter::with_details(4, ALL);
        let mut places = [[0; 100]; 4];
        for ip in ["127.0.0.1", "127.0.0.2", "127.8.9.10"] {
            send(runtime, &a, ip.as_bytes(), &at(ip, &addr));
            assert_eq!(until_some(runtime, || batch.receive(b.conn())), 1);
            let packet = batch.get(0).unwrap();
            assert_eq!(packet.bytes, ip.as_bytes());
            check(runtime, packet.envelope(), &source, ip);
            assert_eq!(packet.destination(), packet.envelope().destination());
            send(runtime, &a, ip.as_bytes(), &at(ip, &addr));
            let count = until_some(runtime, || {
                scatter.receive(b.conn(), places.iter_mut().map(|place| &mut place[..]))
            });
            assert_eq!(count, 1);
            check(runtime, scatter.envelope(0).unwrap(), &source, ip);
            assert!(scatter.envelope(1).is_none());
        }
    });
}

/// A socket of IPv6 that takes IPv4 as well tells of either, and of IPv4 as such.
#[test]
fn a_dual_socket_tells_of_both_families() {
    everywhere(|runtime| {
        let (v4, _) = bound("127.0.0.1");
        let (v6, _) = bound("::1");
        let (b, addr) = bound("::");
        ask(&b, ALL);
        let mut batch = Batch::with_details(4, 100, ALL);
        for (from, ip) in [(&v4, "127.0.0.1"), (&v6, "::1"), (&v4, "127.0.0.5")] {
            send(runtime, from, b"hello", &at(ip, &addr));
            assert_eq!(until_some(runtime, || batch.receive(b.conn())), 1);
            let packet = batch.get(0).unwrap();
            assert_eq!(packet.destination(), Some(ip.parse().unwrap()));
            assert_eq!(packet.interface(), Some(1));
            assert!(packet.arrival().is_some());
        }
    });
}

/// What is not asked for is not told, although the socket would tell it.
#[test]
fn what_is_not_asked_for_is_not_told() {
    everywhere(|runtime| {
        let (a, _) = bound("127.0.0.1");
        let (b, addr) = bound("127.0.0.1");
        ask(&b, ALL);
        let mut batch = Batch::with_details(4, 100, Details::NONE);
        let mut scatter = Scatter::with_details(4, Details::NONE);
        let mut place = [0; 100];
        send(runtime, &a, b"bare", &addr);
        until_some(runtime, || batch.receive(b.conn()));
        send(runtime, &a, b"bare", &addr);
        until_some(runtime, || scatter.receive(b.conn(), [&mut place[..]]));
        assert_eq!(batch.get(0).unwrap().bytes, b"bare");
        for envelope in [batch.get(0).unwrap().envelope(), scatter.envelope(0).unwrap()] {
            assert_eq!((envelope.source(), envelope.destination()), (None, None));
            assert_eq!((envelope.arrival(), envelope.dropped()), (None, None));
            assert_eq!(envelope.hops(), None);
        }
        assert_eq!(&place[..4], b"bare");
    });
}

/// Of more than there is room for, what fits is told, and nothing is misread.
#[test]
fn what_does_not_fit_is_left_out() {
    everywhere(|runtime| {
        let (a, _) = bound("127.0.0.1");
        let (b, addr) = bound("127.0.0.1");
        ask(&b, ALL);
        let asked = [
            Details { drops: true, ..Details::NONE },
            Details { time: Some(Stamp::Kernel), ..Details::NONE },
            Details { destination: true, ..Details::NONE },
        ];
        for details in asked {
            let mut batch = Batch::with_details(1, 100, details);
            send(runtime, &a, b"tight", &addr);
            until_some(runtime, || batch.receive(b.conn()));
            let packet = batch.get(0).unwrap();
            let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
            assert_eq!(packet.bytes, b"tight");
            assert!(!packet.truncated(), "of the bytes nothing is missing");
            assert!(packet.destination().is_none_or(|ip| ip == loopback));
            assert!(
                packet
                    .arrival()
                    .and_then(|a| a.kernel)
                    .is_none_or(|t| clock(runtime).abs_diff(t) < Duration::from_secs(10))
            );
            assert!(packet.segments().eq([b"tight"]));
        }
    });
}

/// The count of what a full socket dropped is exact: it and what came make up what was sent.
#[test]
fn drops_are_counted() {
    const SENT: usize = 400;
    everywhere(|runtime| {
        let (a, _) = bound("127.0.0.1");
        let (b, addr) = bound("127.0.0.1");
        ask(&b, ALL);
        b.set_option(SocketOption::ReceiveBuffer(8 << 10)).unwrap();
        assert!(b.conn().receive_buffer().unwrap() >= 8 << 10);
        assert!(a.conn().send_buffer().unwrap() > 0);
        for _ in 0..SENT {
            send(runtime, &a, &[7; 500], &addr);
        }
        let mut batch = Batch::with_details(64, 500, ALL);
        turn(runtime);
        let came = drain(&mut batch, b.conn());
        assert!(0 < came && came < SENT, "{came}");
        // The count is as of a datagram's arrival: one more tells of all before it.
        send(runtime, &a, b"last", &addr);
        until_some(runtime, || batch.receive(b.conn()));
        let dropped = batch.get(0).unwrap().dropped().expect("some were dropped");
        assert_eq!(came + dropped as usize, SENT);
    });
}

/// Receives until nothing is there; how many came.
fn drain(batch: &mut Batch, from: &Conn) -> usize {
    let mut came = 0;
    for _ in 0..1000 {
        match batch.receive(from) {
            Ok(count) => came += count,
            Err(_) => return came,
        }
    }
    panic!("it never ends");
}

/// With the card's time asked for where the card has none, the kernel's is told.
#[test]
fn without_a_clock_in_the_card_the_kernel_tells() {
    everywhere(|runtime| {
        let details = Details { time: Some(Stamp::Hardware), ..Details::default() };
        let (a, _) = bound("127.0.0.1");
        let (b, addr) = bound("127.0.0.1");
        ask(&b, details);
        let mut batch = Batch::with_details(1, 100, details);
        send(runtime, &a, b"when", &addr);
        until_some(runtime, || batch.receive(b.conn()));
        let arrival = batch.get(0).unwrap().arrival().expect("the kernel has a clock");
        assert!(arrival.kernel.is_some());
        assert_eq!(arrival.hardware, None);
    });
}

/// A batch that was received and is sent on leaves what came with it untouched, and
/// datagrams that came joined are divided again.
#[test]
fn sending_on_leaves_the_details_alone() {
    everywhere(|runtime| {
        let (a, source) = bound("127.0.0.1");
        let (b, addr) = bound("127.0.0.1");
        let (c, sink) = bound("127.0.0.1");
        ask(&b, ALL);
        b.set_option(SocketOption::ReceiveOffload(true)).unwrap();
        let mut batch = Batch::with_details(4, 1 << 16, ALL);
        batch.push_segments(&[1; 3000], 1000, None).unwrap();
        batch.send(a.conn(), 0, To::All(&addr)).unwrap();
        let came = until_some(runtime, || batch.receive(b.conn()));
        // Loopback joins what left as one; a simulated world joins nothing.
        assert_eq!(came, if is_real(runtime) { 1 } else { 3 });
        assert_eq!(batch.iter().map(|packet| packet.segments().len()).sum::<usize>(), 3);
        batch.send(b.conn(), 0, To::All(&sink)).unwrap();
        check(runtime, batch.get(0).unwrap().envelope(), &source, "127.0.0.1");
        let mut after = Batch::new(8, 2000);
        turn(runtime);
        assert_eq!(until_some(runtime, || after.receive(c.conn())), 3);
        assert!(after.iter().all(|packet| packet.bytes == [1; 1000]));
    });
}

/// A batch that has sent receives to its own memory again: all of what comes, with who sent it, and
/// nothing is written to the address that it was sent to.
#[test]
fn a_batch_that_has_sent_receives_as_before() {
    everywhere(|runtime| {
        let ((a, source), (b, addr)) = (bound("127.0.0.1"), bound("127.0.0.1"));
        let (_c, sink) = bound("127.0.0.1");
        for details in [Details::NONE, Details::default()] {
            let mut batch = Batch::with_details(4, 64, details);
            for len in [3, 64, 1, 40] {
                let bytes = vec![len as u8; len];
                let to = Box::new(sink.clone());
                send(runtime, &a, &bytes, &addr);
                assert_eq!(until_some(runtime, || batch.receive(b.conn())), 1);
                let packet = batch.get(0).unwrap();
                assert_eq!((packet.bytes, packet.truncated()), (&bytes[..], false));
                assert_eq!(packet.source(), source.as_socket().filter(|_| details.source));
                batch.clear();
                batch.push(b"on", None).unwrap();
                batch.send(b.conn(), 0, To::All(&to)).unwrap();
                send(runtime, &a, b"next", &addr);
                assert_eq!(until_some(runtime, || batch.receive(b.conn())), 1);
                assert_eq!(batch.get(0).unwrap().bytes, b"next");
                assert_eq!(std::hint::black_box(&to).as_socket(), sink.as_socket());
            }
        }
    });
}

/// A batch has as much room for what comes with a datagram after one with which nothing came.
#[test]
fn room_for_details_comes_back() {
    everywhere(|runtime| {
        let ((from, source), (silent, quiet)) = (bound("127.0.0.1"), bound("127.0.0.1"));
        let (told, addr) = bound("127.0.0.1");
        ask(&told, ALL);
        let mut batch = Batch::with_details(4, 64, ALL);
        for _ in 0..3 {
            send(runtime, &from, b"1", &quiet);
            assert_eq!(until_some(runtime, || batch.receive(silent.conn())), 1);
            assert_eq!(batch.get(0).unwrap().hops(), None);
            send(runtime, &from, b"2", &addr);
            assert_eq!(until_some(runtime, || batch.receive(told.conn())), 1);
            check(runtime, batch.get(0).unwrap().envelope(), &source, "127.0.0.1");
        }
    });
}

/// What was received for someone who has gone comes first, and by the same call what the kernel has:
/// a batch that is not full has taken all.
#[test]
fn a_batch_takes_what_was_saved_and_what_is_there() {
    everywhere(|runtime| {
        if !is_real(runtime) {
            return;
        }
        let ((from, _), (to, addr)) = (bound("127.0.0.1"), bound("127.0.0.1"));
        let mut gone = Box::pin(to.receive_from(vec![0; 8]));
        let polled = runtime.block_on(async { futures::poll!(&mut gone).is_pending() });
        assert!(polled.unwrap());
        (0..3).for_each(|_| assert!(runtime.poll_once().is_ok()));
        for bytes in [b"1", b"2", b"3"] {
            assert_eq!(from.conn().try_send_to(bytes, Some(&addr)).unwrap(), 1);
        }
        drop(gone);
        (0..3).for_each(|_| assert!(runtime.poll_once().is_ok()));
        let mut batch = Batch::new(8, 8);
        assert_eq!(batch.receive(to.conn()).unwrap(), 3);
        let bytes: Vec<_> = batch.iter().map(|packet| packet.bytes).collect();
        assert_eq!(bytes, [b"1", b"2", b"3"]);
    });
}

/// A datagram that comes alone is received by another call than several are: what is told of it is
/// the same, and what was cut off is told, whether anything was asked for or not.
#[test]
fn one_datagram_is_told_of_as_several_are() {
    everywhere(|runtime| {
        let ((from, source), (to, addr)) = (bound("127.0.0.1"), bound("127.0.0.1"));
        ask(&to, ALL);
        for details in [Details::NONE, Details { source: true, ..Details::NONE }, ALL] {
            let mut batch = Batch::with_details(4, 8, details);
            for (bytes, most) in [("12345678", 1), ("123456789", 1), ("", 1), ("123456789", 4)] {
                from.conn().try_send_to(bytes.as_bytes(), Some(&addr)).unwrap();
                let count = until_some(runtime, || batch.receive_at_most(to.conn(), most));
                let packet = batch.get(0).unwrap();
                let kept = &bytes.as_bytes()[..bytes.len().min(8)];
                assert_eq!((count, packet.bytes), (1, kept), "{bytes:?} {most} {details:?}");
                assert_eq!(packet.truncated(), bytes.len() > 8, "{bytes:?} {most} {details:?}");
                let wanted = source.as_socket().filter(|_| details.source);
                assert_eq!(packet.source(), wanted);
                assert_eq!(packet.destination().is_some(), details.destination);
                assert_eq!(packet.hops().is_some(), details.hops);
                assert_eq!(packet.arrival().is_some(), details.time.is_some());
            }
        }
    });
}

/// A batch does not read from a stream, of which it would lose bytes.
#[test]
fn streams_have_no_batches() {
    everywhere(|runtime| {
        if !is_real(runtime) {
            return;
        }
        let (a, b) = Descriptor::pair().unwrap();
        a.conn().write_now(b"bytes").unwrap();
        let error = Batch::new(1, 2).receive(b.conn()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EPROTOTYPE));
    });
}

/// What was saved, however much it is, comes before what the kernel has, all by one call.
#[test]
fn all_that_was_saved_comes_first() {
    for driver in REAL {
        let runtime = Runtime::new(Config { driver, ..small() }).unwrap();
        let ((from, _), (to, addr)) = (bound("127.0.0.1"), bound("127.0.0.1"));
        let mut gone = [0; 2].map(|_| Box::pin(to.receive_from(vec![0; 8])));
        let polled = runtime.block_on(async {
            let [one, two] = &mut gone;
            futures::poll!(one).is_pending() && futures::poll!(two).is_pending()
        });
        assert!(polled.unwrap());
        turns(&runtime, 3);
        for bytes in [b"1", b"2"] {
            from.conn().try_send_to(bytes, Some(&addr)).unwrap();
        }
        turns(&runtime, 5);
        drop(gone);
        turns(&runtime, 5);
        from.conn().try_send_to(b"3", Some(&addr)).unwrap();
        let mut batch = Batch::new(8, 8);
        assert_eq!(batch.receive(to.conn()).unwrap(), 3);
        let bytes: Vec<_> = batch.iter().map(|packet| packet.bytes).collect();
        assert_eq!(bytes, [b"1", b"2", b"3"]);
    }
}

/// A stream that was made with flags in its type is a stream all the same.
#[test]
fn streams_with_flags_have_no_batches() {
    for driver in REAL {
        let _runtime = Runtime::new(Config { driver, ..small() }).unwrap();
        for kind in [Type::STREAM.cloexec(), Type::STREAM.nonblocking()] {
            let socket = Descriptor::socket(Domain::IPV4, kind, None).unwrap();
            let error = Batch::new(1, 2).receive(socket.conn()).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EPROTOTYPE));
        }
    }
}

fn turns(runtime: &Runtime, turns: usize) {
    for _ in 0..turns {
        runtime.poll_once().unwrap();
    }
}
