//! Groups in the world: as the kernel of this machine has them, and what only a world can
//! show.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::RawFd;

use fastrand::Rng;
use socket2::{Domain, Type};

use super::super::{Config, Faults, Rate, SimDriver};
use super::bench;
use crate::batch::{Envelope, Told};
use crate::driver::readiness::ReadinessDriver;
use crate::driver::suite::bench::{Bench, CONFIG};
use crate::driver::suite::datagrams::Message;
use crate::driver::suite::groups::{
    drain, join, port_of, receiver, send, sender, set, shared, take_all,
};
use crate::driver::{Driver, Op, SocketOption, Stamp};

/// Requests and bursts that one game consists of.
const MOVES: usize = 48;

fn group(n: u8) -> IpAddr {
    Ipv4Addr::new(239, 255, 78, n).into()
}

fn group_of_v6(n: u8) -> IpAddr {
    Ipv6Addr::new(0xff12, 0, 0, 0, 0, 0, 0x7d, n.into()).into()
}

fn host(n: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, n).into()
}

/// A request of a socket that is drawn from `rng`.
fn draw(rng: &mut Rng) -> SocketOption {
    let (n, m) = (rng.u8(0..2), rng.u8(1..4));
    let (group, source) = match rng.u8(0..4) {
        0 => (group_of_v6(n), Ipv6Addr::from(u128::from(m)).into()),
        _ => (group(n), host(m)),
    };
    let interface = if rng.u8(0..20) == 0 { 9_999 } else { 1 };
    match rng.u8(0..14) {
        0..3 => SocketOption::JoinGroup { group, interface },
        3 => SocketOption::LeaveGroup { group, interface },
        4..7 => SocketOption::JoinSource { group, source, interface },
        7..9 => SocketOption::LeaveSource { group, source, interface },
        9..11 => SocketOption::BlockSource { group, source, interface },
        11..13 => SocketOption::UnblockSource { group, source, interface },
        _ => SocketOption::AllGroups(rng.bool()),
    }
}

/// What a random game on a driver comes to: each answer, and who got what.
fn play<D: Driver>(bench: &mut Bench<D>, seed: u64) -> Vec<String> {
    let mut rng = Rng::with_seed(seed);
    let (first, port) = receiver(bench);
    let dual = bench.driver.socket(Domain::IPV6, Type::DGRAM, None).expect("a socket");
    bench.adopt(dual);
    set(bench, dual, SocketOption::ReuseAddress(true));
    set(bench, dual, SocketOption::OnlyV6(false));
    bench.driver.bind(dual, &SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into()).expect("it");
    let members = [first, shared(bench, (group(0), port).into()), dual];
    let senders = [1, 2, 3].map(|n| sender(bench, host(n)));
    let mut log = Vec::new();
    for at in 1..=MOVES {
        let (member, option) = (rng.usize(0..members.len()), draw(&mut rng));
        let answer = bench.driver.set_option(members[member], option);
        let errno = answer.map_or_else(|error| error.raw_os_error().unwrap_or(-1), |()| 0);
        log.push(format!("{member} {option:?}: {errno}"));
        if at % 8 > 0 {
            continue;
        }
        for (n, from) in senders.into_iter().enumerate() {
            for g in 0..2 {
                send(bench, from, &[n as u8 + 1, g], (group(g), port).into());
            }
        }
        bench.settle();
        for (index, member) in members.into_iter().enumerate() {
            log.push(format!("{index} got {:?}", take_all(bench, member)));
        }
    }
    log
}

/// Whatever is asked of three sockets that share groups, the world answers and delivers as
/// the kernel does, sources mixed with their opposite included.
#[test]
fn the_world_has_groups_as_the_kernel_does() {
    for seed in 0..12 {
        let mut world = bench(&Config::new(seed));
        let mut kernel = Bench::new(ReadinessDriver::new(&CONFIG).expect("epoll is there"));
        let (simulated, real) = (play(&mut world, seed), play(&mut kernel, seed));
        let game = &simulated;
        for (at, (simulated, real)) in simulated.iter().zip(&real).enumerate() {
            assert_eq!(simulated, real, "seed {seed}, move {at} of {game:#?}");
        }
        assert_eq!(simulated.len(), real.len());
        world.finish();
        kernel.finish();
    }
}

/// A member that gets what `count` sends brought; each begins with its number.
fn shower(bench: &mut Bench<SimDriver>, members: &[RawFd], port: u16, count: u8) -> Vec<Vec<u8>> {
    let from = sender(bench, host(1));
    for n in 0..count {
        send(bench, from, &[n], (group(0), port).into());
    }
    members.iter().map(|&fd| drain(bench, fd).into_iter().flatten().collect()).collect()
}

fn two_members(config: &Config) -> (Bench<SimDriver>, [RawFd; 2], u16) {
    let mut bench = bench(config);
    let (one, port) = receiver(&mut bench);
    let two = shared(&mut bench, (Ipv4Addr::UNSPECIFIED, port).into());
    for fd in [one, two] {
        join(&mut bench, fd, group(0));
    }
    (bench, [one, two], port)
}

/// Each member's copy is lost, doubled or overtaken for itself: one has what the other
/// lacks.
#[test]
fn members_lose_different_datagrams() {
    let half = Rate::percent(50);
    let come = |faults| {
        let (mut bench, members, port) = two_members(&Config { faults, ..Config::new(4) });
        let came = shower(&mut bench, &members, port, 200);
        bench.finish();
        (came[0].clone(), came[1].clone())
    };
    let (one, two) = come(Faults { loss: half, ..Faults::none() });
    let only = |a: &[u8], b: &[u8]| a.iter().filter(|n| !b.contains(n)).count();
    assert!(one.is_sorted() && two.is_sorted());
    assert!(only(&one, &two) > 25 && only(&two, &one) > 25, "{one:?}\n{two:?}");
    assert!((60..140).contains(&one.len()) && (60..140).contains(&two.len()));
    let (one, two) = come(Faults { duplication: half, ..Faults::none() });
    assert!((250..350).contains(&one.len()) && (250..350).contains(&two.len()) && one != two);
    let (one, two) = come(Faults { reordering: half, ..Faults::none() });
    assert!(one.len() == 200 && two.len() == 200 && !one.is_sorted() && one != two);
}

/// A group that was joined on one of several interfaces comes from that one alone.
#[test]
fn interfaces_lead_to_who_has_joined_there() {
    let (mut bench, [one, two], port) = {
        let mut bench = bench(&Config { interfaces: 3, ..Config::new(1) });
        let (one, port) = receiver(&mut bench);
        let two = shared(&mut bench, (Ipv4Addr::UNSPECIFIED, port).into());
        (bench, [one, two], port)
    };
    set(&mut bench, one, SocketOption::JoinGroup { group: group(0), interface: 2 });
    set(&mut bench, two, SocketOption::JoinGroup { group: group(0), interface: 3 });
    set(&mut bench, two, SocketOption::PacketInfo(true));
    let from = sender(&mut bench, host(1));
    for index in [1, 2, 3, 0] {
        set(&mut bench, from, SocketOption::MulticastInterface(index));
        send(&mut bench, from, &[index as u8], (group(0), port).into());
    }
    assert_eq!(drain(&mut bench, one), [[2]]);
    let memory = bench.zeroed(8);
    let message = Message::with_control(&mut bench, memory, 128);
    assert_eq!(bench.run(Op::RecvMsg { fd: two, msg: message.header }), 1);
    let control = message.control();
    assert_eq!(Envelope::nameless(&Told::by(&control)).interface(), Some(3));
    assert_eq!(drain(&mut bench, two), [[0; 0]; 0]);
    let nowhere = SocketOption::MulticastInterface(4);
    let error = bench.driver.set_option(from, nowhere).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EADDRNOTAVAIL));
    bench.finish();
}

/// A group of the link is bound with one of the interfaces there are, and told with it.
#[test]
fn a_group_of_the_link_needs_its_interface() {
    let mut bench = bench(&Config { interfaces: 2, ..Config::new(1) });
    let link = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x99);
    for (scope, errno) in [(0, Some(libc::EINVAL)), (3, Some(libc::ENODEV)), (2, None)] {
        let fd = bench.driver.socket(Domain::IPV6, Type::DGRAM, None).unwrap();
        bench.adopt(fd);
        let addr = SocketAddr::from(SocketAddrV6::new(link, 5000, 0, scope));
        let bound = bench.driver.bind(fd, &addr.into());
        assert_eq!(bound.err().and_then(|error| error.raw_os_error()), errno);
        let name = bench.driver.local_addr(fd).unwrap().as_socket();
        assert_eq!(name == Some(addr), errno.is_none());
    }
    bench.finish();
}

/// What a socket that is bound to a group sends comes from an address of the host, also
/// once it is connected; then it takes its peer's datagrams alone.
#[test]
fn a_socket_bound_to_a_group_sends_from_the_host() {
    let mut bench = bench(&Config::new(1));
    let (plain, port) = receiver(&mut bench);
    let at_group = shared(&mut bench, (group(0), port).into());
    join(&mut bench, at_group, group(0));
    let [peer, other] = [1, 2].map(|n| sender(&mut bench, host(n)));
    let to = bench.driver.local_addr(peer).unwrap();
    let connect = bench.connect(at_group, &to);
    assert_eq!(bench.result_of(connect), 0);
    let memory = bench.copy(b"from");
    let result = bench.run(Op::Send { fd: at_group, buf: memory.start, len: memory.len });
    assert_eq!(result, 4);
    let into = bench.zeroed(8);
    let message = Message::from_anybody(&mut bench, into);
    assert_eq!(bench.run(Op::RecvMsg { fd: peer, msg: message.header }), 4);
    assert_eq!(message.source(), Some((host(1), port).into()));
    assert_eq!(port_of(&bench, plain), port);
    send(&mut bench, other, b"no", (group(0), port).into());
    send(&mut bench, peer, b"yes", (group(0), port).into());
    assert_eq!(drain(&mut bench, at_group), [b"yes"]);
    bench.finish();
}

/// With loopback off a group's members on the same host get nothing, and all members are.
#[test]
fn without_loopback_nobody_is_reached() {
    let (mut bench, [one, _], port) = two_members(&Config::new(1));
    let from = sender(&mut bench, host(1));
    for (on, bytes) in [(false, b"a"), (true, b"b")] {
        set(&mut bench, from, SocketOption::MulticastLoop(on));
        send(&mut bench, from, bytes, (group(0), port).into());
    }
    assert_eq!(drain(&mut bench, one), [b"b"]);
    bench.finish();
}

/// Arrivals are stamped with the world's time: when the datagram landed, not when it was
/// received.
#[test]
fn arrivals_have_the_time_of_the_world() {
    let (mut bench, [one, _], port) = two_members(&Config::new(1));
    let from = sender(&mut bench, host(1));
    let before = bench.driver.virtual_now().unwrap();
    for stamp in [Stamp::Kernel, Stamp::Hardware] {
        set(&mut bench, one, SocketOption::ArrivalTime(Some(stamp)));
        send(&mut bench, from, b"when", (group(0), port).into());
        bench.settle();
        let after = bench.driver.virtual_now().unwrap();
        let memory = bench.zeroed(8);
        let message = Message::with_control(&mut bench, memory, 128);
        assert_eq!(bench.run(Op::RecvMsg { fd: one, msg: message.header }), 4);
        let control = message.control();
        let arrival = Envelope::nameless(&Told::by(&control)).arrival().unwrap();
        let at = arrival.kernel.unwrap().as_nanos() as u64;
        assert!(before.as_nanos() < at && at < after.as_nanos(), "{at}");
        assert_eq!(arrival.hardware, None);
    }
    bench.finish();
}
