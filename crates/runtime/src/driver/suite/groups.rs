//! Groups: who gets what is sent to them, and what is told with it.
//!
//! The real drivers play over the loopback interface, on which Linux joins groups of IPv4
//! whether or not it is flagged for multicast.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::RawFd;

use socket2::{Domain, Type};

use super::bench::Bench;
use super::datagrams::Message;
use crate::batch::{Envelope, Told};
use crate::driver::{Attempt, Driver, Op, SocketOption, Stamp};

/// The index of the loopback interface; in a simulated world there is no other.
const LOOPBACK: u32 = 1;

fn v4(last: u8) -> IpAddr {
    Ipv4Addr::new(239, 255, 77, last).into()
}

fn host(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

pub(crate) fn set<D: Driver>(bench: &mut Bench<D>, fd: RawFd, option: SocketOption) {
    bench.driver.set_option(fd, option).unwrap_or_else(|e| panic!("{option:?}: {e}"));
}

/// A socket bound to `addr` that lets others be bound there too.
pub(crate) fn shared<D: Driver>(bench: &mut Bench<D>, addr: SocketAddr) -> RawFd {
    let fd = bench.driver.socket(Domain::for_address(addr), Type::DGRAM, None).expect("a socket");
    bench.adopt(fd);
    set(bench, fd, SocketOption::ReuseAddress(true));
    set(bench, fd, SocketOption::AllGroups(false));
    bench.driver.bind(fd, &addr.into()).unwrap_or_else(|e| panic!("{addr}: {e}"));
    fd
}

pub(crate) fn port_of<D: Driver>(bench: &Bench<D>, fd: RawFd) -> u16 {
    let addr = bench.driver.local_addr(fd).expect("it is bound");
    addr.as_socket().expect("an IP address").port()
}

/// A socket on all addresses of IPv4 and a port of its own, and that port.
pub(crate) fn receiver<D: Driver>(bench: &mut Bench<D>) -> (RawFd, u16) {
    let fd = shared(bench, (Ipv4Addr::UNSPECIFIED, 0).into());
    (fd, port_of(bench, fd))
}

/// A socket that sends from `ip` to groups on the loopback interface.
pub(crate) fn sender<D: Driver>(bench: &mut Bench<D>, ip: IpAddr) -> RawFd {
    let fd = bench.socket(Type::DGRAM);
    bench.driver.bind(fd, &SocketAddr::new(ip, 0).into()).expect("an address of loopback");
    set(bench, fd, SocketOption::MulticastInterface(LOOPBACK));
    fd
}

pub(crate) fn join<D: Driver>(bench: &mut Bench<D>, fd: RawFd, group: IpAddr) {
    set(bench, fd, SocketOption::JoinGroup { group, interface: LOOPBACK });
}

pub(crate) fn send<D: Driver>(bench: &mut Bench<D>, fd: RawFd, bytes: &[u8], to: SocketAddr) {
    let memory = bench.copy(bytes);
    let message = Message::to(bench, memory, &to.into());
    let result = bench.attempt_until_done(Op::SendMsg { fd, msg: message.header });
    assert_eq!(result, bytes.len() as i32, "sent to {to}");
}

/// All that has come to `fd`, in order.
pub(crate) fn drain<D: Driver>(bench: &mut Bench<D>, fd: RawFd) -> Vec<Vec<u8>> {
    bench.settle();
    take_all(bench, fd)
}

/// All that is there for `fd` now.
pub(crate) fn take_all<D: Driver>(bench: &mut Bench<D>, fd: RawFd) -> Vec<Vec<u8>> {
    let memory = bench.zeroed(2048);
    let mut came = Vec::new();
    for _ in 0..10_000 {
        match bench.attempt(Op::Recv { fd, buf: memory.start, len: memory.len }) {
            Attempt::Done(count) if count >= 0 => came.push(memory.first(count as usize)),
            Attempt::Done(error) => panic!("receive: {error}"),
            Attempt::WouldBlock => return came,
        }
    }
    panic!("it never ends");
}

/// Every member gets a copy, bound to all addresses or to the group; who is bound to an
/// address of the host gets none, nor who has left.
pub(crate) fn each_member_gets_a_copy<D: Driver>(bench: &mut Bench<D>) {
    let (any, port) = receiver(bench);
    let at_group = shared(bench, (v4(1), port).into());
    let at_host = shared(bench, (host(1), port).into());
    for fd in [any, at_group, at_host] {
        join(bench, fd, v4(1));
    }
    let from = sender(bench, host(1));
    send(bench, from, b"first", (v4(1), port).into());
    assert_eq!(drain(bench, any), [b"first"]);
    assert_eq!(drain(bench, at_group), [b"first"]);
    assert_eq!(drain(bench, at_host), [[0; 0]; 0]);
    set(bench, any, SocketOption::LeaveGroup { group: v4(1), interface: LOOPBACK });
    send(bench, from, b"second", (v4(1), port).into());
    assert_eq!(drain(bench, any), [[0; 0]; 0]);
    assert_eq!(drain(bench, at_group), [b"second"]);
}

/// What is sent to a group that another socket has joined comes only to those that take
/// all groups; to a group that nobody has joined, nothing comes.
pub(crate) fn other_groups_are_for_others<D: Driver>(bench: &mut Bench<D>) {
    let (one, port) = receiver(bench);
    let two = shared(bench, (Ipv4Addr::UNSPECIFIED, port).into());
    let all = shared(bench, (Ipv4Addr::UNSPECIFIED, port).into());
    set(bench, all, SocketOption::AllGroups(true));
    join(bench, one, v4(1));
    join(bench, two, v4(2));
    let from = sender(bench, host(1));
    for (group, bytes) in [(1, "one"), (2, "two"), (3, "three")] {
        send(bench, from, bytes.as_bytes(), (v4(group), port).into());
    }
    assert_eq!(drain(bench, one), [b"one"]);
    assert_eq!(drain(bench, two), [b"two"]);
    assert_eq!(drain(bench, all), [b"one", b"two"]);
}

/// Sources are blocked, taken again, joined one by one and left while datagrams come.
pub(crate) fn sources_are_chosen_while_it_runs<D: Driver>(bench: &mut Bench<D>) {
    let (fd, port) = receiver(bench);
    let (group, interface) = (v4(4), LOOPBACK);
    let senders = [sender(bench, host(1)), sender(bench, host(2))];
    let mut after = |option, expected: &[&str]| {
        set(bench, fd, option);
        for (from, bytes) in senders.into_iter().zip(["one", "two"]) {
            send(bench, from, bytes.as_bytes(), (group, port).into());
        }
        let came = drain(bench, fd);
        let came: Vec<_> = came.iter().map(|bytes| String::from_utf8_lossy(bytes)).collect();
        assert_eq!(came, expected, "after {option:?}");
    };
    let source = host(2);
    after(SocketOption::JoinGroup { group, interface }, &["one", "two"]);
    after(SocketOption::BlockSource { group, source, interface }, &["one"]);
    after(SocketOption::UnblockSource { group, source, interface }, &["one", "two"]);
    after(SocketOption::LeaveGroup { group, interface }, &[]);
    after(SocketOption::JoinSource { group, source, interface }, &["two"]);
    after(SocketOption::JoinSource { group, source: host(1), interface }, &["one", "two"]);
    after(SocketOption::LeaveSource { group, source, interface }, &["one"]);
    after(SocketOption::LeaveSource { group, source: host(1), interface }, &[]);
    after(SocketOption::JoinGroup { group, interface }, &["one", "two"]);
}

/// The answer to each of a long list of requests is the same everywhere.
pub(crate) fn memberships_answer_alike<D: Driver>(bench: &mut Bench<D>) {
    let fd = bench.socket(Type::DGRAM);
    let (group, source, interface) = (v4(5), host(9), LOOPBACK);
    let nowhere = 9_999;
    let answers = [
        (SocketOption::LeaveGroup { group, interface }, libc::EADDRNOTAVAIL),
        (SocketOption::BlockSource { group, source, interface }, libc::EINVAL),
        (SocketOption::JoinGroup { group: source, interface }, libc::EINVAL),
        (SocketOption::JoinGroup { group, interface: nowhere }, libc::ENODEV),
        (
            SocketOption::JoinGroup { group: Ipv6Addr::LOCALHOST.into(), interface },
            libc::ENOPROTOOPT,
        ),
        (SocketOption::JoinGroup { group, interface }, 0),
        (SocketOption::JoinGroup { group, interface }, libc::EADDRINUSE),
        (SocketOption::UnblockSource { group, source, interface }, libc::EADDRNOTAVAIL),
        (SocketOption::BlockSource { group, source, interface }, 0),
        (SocketOption::BlockSource { group, source, interface }, libc::EADDRNOTAVAIL),
        (SocketOption::JoinSource { group, source, interface }, libc::EINVAL),
        (SocketOption::BlockSource { group, source, interface: nowhere }, libc::ENODEV),
        (SocketOption::LeaveGroup { group, interface }, 0),
        (SocketOption::JoinSource { group, source, interface }, 0),
        (SocketOption::JoinSource { group, source, interface }, libc::EADDRNOTAVAIL),
        (SocketOption::JoinGroup { group, interface }, libc::EADDRINUSE),
        (SocketOption::BlockSource { group, source, interface }, libc::EINVAL),
        (SocketOption::LeaveSource { group, source, interface }, 0),
        (SocketOption::LeaveSource { group, source, interface }, libc::EINVAL),
        (
            SocketOption::JoinSource { group, source: group_of_v6(1), interface },
            libc::EADDRNOTAVAIL,
        ),
        (SocketOption::MulticastInterface(nowhere), libc::EADDRNOTAVAIL),
        (SocketOption::MulticastInterface(0), 0),
    ];
    for (at, (option, errno)) in answers.into_iter().enumerate() {
        let answer = bench.driver.set_option(fd, option);
        let answer = answer.map_or_else(|error| error.raw_os_error().unwrap_or(-1), |()| 0);
        assert_eq!(answer, errno, "{at}: {option:?}");
    }
}

/// Every option that has to do with groups or ancillary data is taken on a socket of
/// either family, and buffers tell their size.
pub(crate) fn options_of_groups_are_taken<D: Driver>(bench: &mut Bench<D>) {
    for domain in [Domain::IPV4, Domain::IPV6] {
        let fd = bench.driver.socket(domain, Type::DGRAM, None).expect("a socket");
        bench.adopt(fd);
        let options = [
            SocketOption::AllGroups(false),
            SocketOption::MulticastInterface(LOOPBACK),
            SocketOption::MulticastLoop(true),
            SocketOption::MulticastHops(16),
            SocketOption::TrafficClass(0xb8),
            SocketOption::Priority(6),
            SocketOption::PacketInfo(true),
            SocketOption::HopCount(true),
            SocketOption::ArrivalTime(Some(Stamp::Hardware)),
            SocketOption::ArrivalTime(None),
            SocketOption::DropCount(true),
            SocketOption::ReceiveBuffer(1 << 15),
            SocketOption::SendBuffer(1 << 15),
        ];
        options.into_iter().for_each(|option| set(bench, fd, option));
        assert!(bench.driver.receive_buffer(fd).expect("its size") >= 1 << 15);
        assert!(bench.driver.send_buffer(fd).expect("its size") >= 1 << 15);
    }
}

/// With a datagram come its group, its interface and the time of its arrival, in the
/// order of arrival; without the option, nothing does.
pub(crate) fn what_is_asked_for_comes_along<D: Driver>(bench: &mut Bench<D>) {
    let (fd, port) = receiver(bench);
    let from = sender(bench, host(1));
    for last in [6, 7] {
        join(bench, fd, v4(last));
    }
    let (first, ..) = receive(bench, fd, from, (v4(6), port).into());
    assert!(first.is_empty(), "nothing was asked for");
    set(bench, fd, SocketOption::PacketInfo(true));
    set(bench, fd, SocketOption::ArrivalTime(Some(Stamp::Kernel)));
    set(bench, fd, SocketOption::HopCount(true));
    let mut times = Vec::new();
    for (last, hops) in [(6, 1), (7, 0), (6, 32)] {
        set(bench, from, SocketOption::MulticastHops(hops));
        let (control, source) = receive(bench, fd, from, (v4(last), port).into());
        let told = Told::by(&control);
        let envelope = Envelope::nameless(&told);
        assert_eq!(envelope.destination(), Some(v4(last)));
        assert_eq!(envelope.interface(), Some(LOOPBACK));
        assert_eq!(envelope.hops(), Some(hops));
        assert_eq!(source.map(|source| source.ip()), Some(host(1)));
        times.extend(envelope.arrival().and_then(|arrival| arrival.kernel));
    }
    assert!(times.len() == 3 && times.is_sorted(), "{times:?}");
}

/// Sends a datagram and receives it: its control messages and its source.
fn receive<D: Driver>(
    bench: &mut Bench<D>,
    fd: RawFd,
    from: RawFd,
    to: SocketAddr,
) -> (Vec<u8>, Option<SocketAddr>) {
    send(bench, from, b"bytes", to);
    let memory = bench.zeroed(64);
    let message = Message::with_control(bench, memory, 256);
    assert_eq!(bench.run(Op::RecvMsg { fd, msg: message.header }), 5);
    (message.control(), message.source())
}

/// What a full buffer dropped is told by the next datagram that finds room.
pub(crate) fn drops_are_counted_exactly<D: Driver>(bench: &mut Bench<D>) {
    const SENT: usize = 300;
    let (fd, port) = receiver(bench);
    let from = sender(bench, host(1));
    join(bench, fd, v4(8));
    set(bench, fd, SocketOption::DropCount(true));
    set(bench, fd, SocketOption::ReceiveBuffer(8 << 10));
    for _ in 0..SENT {
        send(bench, from, &[8; 400], (v4(8), port).into());
    }
    let came = drain(bench, fd).len();
    assert!(0 < came && came < SENT, "{came} of {SENT} came");
    let (control, _) = receive(bench, fd, from, (v4(8), port).into());
    let dropped = Envelope::nameless(&Told::by(&control)).dropped();
    assert_eq!(dropped, Some((SENT - came) as u32));
    assert_eq!(bench.driver.dropped(fd).unwrap(), (SENT - came) as u32);
}

/// What is divided on sending reaches a group as single datagrams.
pub(crate) fn divided_datagrams_reach_a_group<D: Driver>(bench: &mut Bench<D>) {
    let (fd, port) = receiver(bench);
    let from = sender(bench, host(1));
    join(bench, fd, v4(9));
    let memory = bench.copy(&[9; 250]);
    let message = Message::to(bench, memory, &SocketAddr::new(v4(9), port).into());
    let control = bench.keep([0_u64; 3]);
    // SAFETY: the bench keeps header and control, which has room for the message.
    unsafe {
        let header = &mut *message.header;
        (header.msg_control, header.msg_controllen) = (control.cast(), 24);
        let segment = &mut *libc::CMSG_FIRSTHDR(header);
        (segment.cmsg_level, segment.cmsg_type) = (libc::SOL_UDP, libc::UDP_SEGMENT);
        segment.cmsg_len = libc::CMSG_LEN(2) as _;
        libc::CMSG_DATA(segment).cast::<u16>().write_unaligned(100);
    }
    assert_eq!(bench.attempt_until_done(Op::SendMsg { fd: from, msg: message.header }), 250);
    let lengths: Vec<usize> = drain(bench, fd).iter().map(Vec::len).collect();
    assert_eq!(lengths, [100, 100, 50]);
}

fn group_of_v6(last: u16) -> IpAddr {
    Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0, 0x7c, last).into()
}

/// An interface over which this host reaches its own groups of IPv6: Linux routes none over
/// loopback unless told to. What the cases send goes no further than the host.
fn interface_of_v6<D: Driver>(bench: &mut Bench<D>) -> Option<u32> {
    let fd = sender_v6(bench);
    let memory = bench.copy(b"probe");
    (1..64).find(|&index| {
        let to = SocketAddrV6::new(Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0, 0x7c, 0xff), 9, 0, index);
        let message = Message::to(bench, memory, &SocketAddr::V6(to).into());
        let sent = bench.attempt(Op::SendMsg { fd, msg: message.header });
        sent == Attempt::Done(5)
    })
}

fn sender_v6<D: Driver>(bench: &mut Bench<D>) -> RawFd {
    let fd = bench.driver.socket(Domain::IPV6, Type::DGRAM, None).expect("a socket");
    bench.adopt(fd);
    set(bench, fd, SocketOption::MulticastHops(0));
    fd
}

/// Groups of IPv6 have members, filters and ancillary data as those of IPv4 do; a group of
/// the link (ff02) is bound and sent to with its interface.
pub(crate) fn groups_of_ipv6_have_members_too<D: Driver>(bench: &mut Bench<D>) {
    let Some(interface) = interface_of_v6(bench) else {
        return crate::skips::skip_in_part("groups of IPv6: no interface here reaches them");
    };
    let any = shared(bench, (Ipv6Addr::UNSPECIFIED, 0).into());
    let port = port_of(bench, any);
    let link = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0x7c, 2);
    let at_link = SocketAddrV6::new(link, port, 0, interface).into();
    let bound = shared(bench, at_link);
    set(bench, bound, SocketOption::JoinGroup { group: link.into(), interface });
    for group in [group_of_v6(1), link.into()] {
        set(bench, any, SocketOption::JoinGroup { group, interface });
    }
    let from = sender_v6(bench);
    set(bench, from, SocketOption::MulticastInterface(interface));
    set(bench, any, SocketOption::PacketInfo(true));
    let (control, source) = receive(bench, any, from, (group_of_v6(1), port).into());
    let told = Told::by(&control);
    let envelope = Envelope::nameless(&told);
    assert_eq!(envelope.destination(), Some(group_of_v6(1)));
    assert_eq!(envelope.interface(), Some(interface));
    send(bench, from, b"link", at_link);
    assert_eq!(drain(bench, bound), [b"link"]);
    assert_eq!(drain(bench, any), [b"link"]);
    let source = source.expect("it has a source").ip();
    set(bench, any, SocketOption::BlockSource { group: group_of_v6(1), source, interface });
    send(bench, from, b"blocked", (group_of_v6(1), port).into());
    assert_eq!(drain(bench, any), [[0; 0]; 0]);
    set(bench, any, SocketOption::UnblockSource { group: group_of_v6(1), source, interface });
    send(bench, from, b"again", (group_of_v6(1), port).into());
    assert_eq!(drain(bench, any), [b"again"]);
    let again = SocketOption::JoinGroup { group: link.into(), interface };
    let error = bench.driver.set_option(any, again).expect_err("it is joined");
    assert_eq!(error.raw_os_error(), Some(libc::EADDRINUSE));
}

/// A socket of IPv6 that takes IPv4 too joins groups of IPv4, and tells of them as such.
pub(crate) fn a_dual_socket_joins_both_families<D: Driver>(bench: &mut Bench<D>) {
    let fd = bench.driver.socket(Domain::IPV6, Type::DGRAM, None).expect("a socket");
    bench.adopt(fd);
    set(bench, fd, SocketOption::OnlyV6(false));
    set(bench, fd, SocketOption::AllGroups(false));
    set(bench, fd, SocketOption::PacketInfo(true));
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    bench.driver.bind(fd, &any.into()).expect("a free port");
    let port = port_of(bench, fd);
    join(bench, fd, v4(10));
    join(bench, fd, group_of_v6(3));
    let from = sender(bench, host(1));
    let (control, source) = receive(bench, fd, from, (v4(10), port).into());
    let told = Told::by(&control);
    let envelope = Envelope::nameless(&told);
    assert_eq!(envelope.destination(), Some(v4(10)));
    assert_eq!(envelope.interface(), Some(LOOPBACK));
    assert_eq!(source.map(|source| source.ip().to_canonical()), Some(host(1)));
    send(bench, from, b"other", (v4(11), port).into());
    assert_eq!(drain(bench, fd), [[0; 0]; 0]);
}
