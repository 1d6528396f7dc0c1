//! Groups as source and destination, on the loopback interface.

mod common;
#[path = "../../runtime/tests/common/skips.rs"]
mod skips;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use common::{DRIVERS, PATIENCE, Running, config};
use skips::skip_in_part;
use socket2::{Domain, InterfaceIndexOrAddress, Socket, Type};
use tautline_net::multicast::{Interface, ToInterface};
use tautline_runtime::{Batch, Config, Descriptor, DriverChoice, Runtime, To};

/// A group of this test's own, at a port that nobody has.
fn group(ip: &str) -> SocketAddr {
    let free = UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
    SocketAddr::new(ip.parse().unwrap(), free)
}

/// The loopback interface.
fn lo() -> Interface {
    "lo".to_interface().unwrap()
}

/// An interface by which groups of IPv6 can be sent to, which the loopback interface seldom is.
fn six() -> Option<Interface> {
    let leads =
        |interface: &Interface| sender(*interface, "::").send_to(b"", "[ff12::8101]:9").is_ok();
    let found = Interface::all().into_iter().find(leads);
    if found.is_none() {
        skip_in_part(
            "no interface has a route to IPv6 groups (`ip -6 route add ff00::/8 dev ...`)",
        );
    }
    found
}

/// A socket that has joined a group.
fn member(group: SocketAddr, interface: Interface) -> UdpSocket {
    let socket = Socket::new(Domain::for_address(group), Type::DGRAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    let index = interface.index();
    let any: IpAddr = match group.ip() {
        IpAddr::V4(ip) => {
            socket.join_multicast_v4_n(&ip, &InterfaceIndexOrAddress::Index(index)).unwrap();
            Ipv4Addr::UNSPECIFIED.into()
        }
        IpAddr::V6(ip) => {
            socket.join_multicast_v6(&ip, index).unwrap();
            Ipv6Addr::UNSPECIFIED.into()
        }
    };
    socket.bind(&SocketAddr::new(any, group.port()).into()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.into()
}

/// A socket that sends to groups by that interface, from that address.
fn sender(by: Interface, from: &str) -> UdpSocket {
    let from = SocketAddr::new(from.parse().unwrap(), 0);
    let socket = Socket::new(Domain::for_address(from), Type::DGRAM, None).unwrap();
    match from {
        SocketAddr::V4(_) => socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap(),
        SocketAddr::V6(_) => {
            socket.set_multicast_if_v6(by.index()).unwrap();
            socket.set_multicast_hops_v6(0).unwrap();
        }
    }
    socket.bind(&from.into()).unwrap();
    socket.into()
}

fn url(group: SocketAddr, options: &str) -> String {
    format!("mcast://{group}?iface=lo{options}")
}

fn url_on(interface: Interface, group: SocketAddr) -> String {
    format!("mcast://{group}?iface={interface}")
}

/// Proves that what is sent to one group comes out at another with its boundaries and in order, over
/// IPv4 and IPv6, also within the narrowest scope, and from one to the other.
#[test]
fn groups_are_relayed_to_groups() {
    let lo = lo();
    let mut ways = vec![(lo, "239.255.81.1", lo, "239.255.81.2")];
    if let Some(six) = six() {
        ways.extend([
            (six, "ff15::8101", six, "ff15::8102"),
            (six, "ff12::8101", lo, "239.255.81.3"),
        ]);
    }
    for driver in DRIVERS {
        for &(by, from, on, to) in &ways {
            let (from, to) = (group(from), group(to));
            let receivers = [member(to, on), member(to, on)];
            let to = format!("{}&hops=0", url_on(on, to));
            let relay = Running::start(config(driver, &url_on(by, from), &[&to]));
            let sender = sender(by, if from.is_ipv4() { "127.0.0.1" } else { "::" });
            for number in 0..200_u32 {
                let packet = vec![number as u8; number as usize];
                sender.send_to(&packet, from).unwrap();
                for receiver in &receivers {
                    let mut got = [0; 2048];
                    let len = receiver.recv(&mut got).unwrap();
                    assert_eq!(&got[..len], packet);
                }
            }
            let summary = relay.finish();
            assert!(summary.is_lossless());
            assert!(summary.endpoints.iter().all(|endpoint| endpoint.rates.packets == 200));
        }
    }
}

/// Proves that a group to which no route leads is told with the command that adds one. The loopback
/// interface has no route to groups of IPv6 unless somebody added it.
#[test]
fn a_group_without_a_route_is_told_with_the_remedy() {
    let to = group("ff12::8105");
    let probe = UdpSocket::bind("[::]:0").unwrap();
    socket2::SockRef::from(&probe).set_multicast_if_v6(lo().index()).unwrap();
    if probe.send_to(b"", to).is_ok() {
        return skip_in_part("a route leads to groups of IPv6 by the loopback interface");
    }
    let from = group("239.255.81.4");
    for driver in DRIVERS {
        let relay = Running::start(config(driver, &url(from, ""), &[&url(to, "")]));
        sender(lo(), "127.0.0.1").send_to(b"nobody's", from).unwrap();
        relay.until(|report| report.endpoints[1].error.is_some());
        let failure = relay.end().expect_err("nothing could ever be sent there");
        let told = failure.to_string();
        assert!(told.contains("no route leads to ff12::8105 by lo: add one"), "{told}");
    }
}

/// Proves that a buffer that is not granted in full is told, with the limit that is in the way.
#[test]
fn a_smaller_buffer_than_was_asked_for_is_told() {
    for driver in DRIVERS {
        let (from, to) = (group("239.255.81.5"), group("239.255.81.6"));
        let more = "&buffer=1GiB";
        let relay = Running::start(config(driver, &url(from, more), &[&url(to, more)]));
        let summary = relay.finish();
        for (end, limit) in summary.endpoints.iter().zip(["rmem_max", "wmem_max"]) {
            let told = end.error.as_deref().unwrap_or_default();
            assert!(told.starts_with("buffer: 1073741824 bytes were asked for"), "{told}");
            assert!(told.ends_with(&format!("granted: raise net.core.{limit}")), "{told}");
        }
    }
}

/// Proves that datagrams that come joined are sent to a group joined, and that its members get each
/// as it was.
#[test]
fn joined_datagrams_reach_groups_one_by_one() {
    for driver in DRIVERS {
        let (from, to) = (group("239.255.81.11"), group("239.255.81.12"));
        let receiver = member(to, lo());
        let relay = Running::start(config(driver, &url(from, ""), &[&url(to, "")]));
        let bytes: Vec<u8> = (0..20_300_u32).map(|at| (at / 100) as u8).collect();
        {
            let config = Config { driver: DriverChoice::Readiness, ..Config::default() };
            let _runtime = Runtime::new(config).unwrap();
            let socket = Descriptor::new(sender(lo(), "127.0.0.1").into()).unwrap();
            let mut batch = Batch::new(1, bytes.len());
            batch.push_segments(&bytes, 1_200, None).unwrap();
            assert_eq!(batch.send(socket.conn(), 0, To::All(&from.into())).unwrap(), 1);
        }
        for datagram in bytes.chunks(1_200) {
            let mut got = [0; 2048];
            let len = receiver.recv(&mut got).unwrap();
            assert_eq!(&got[..len], datagram);
        }
        assert!(relay.finish().is_lossless());
    }
}

/// Proves that of a group joined for some senders nothing of others comes, nor of other groups at the
/// same port, nor what is sent to this machine alone.
#[test]
fn only_chosen_senders_are_heard() {
    for driver in DRIVERS {
        let from = group("239.255.81.21");
        let other = SocketAddr::new("239.255.81.22".parse().unwrap(), from.port());
        let _others = member(other, lo());
        let receiver = common::udp();
        let to = common::url("udp", receiver.local_addr().unwrap().port());
        let options = "&source=127.0.0.2&source=127.0.0.3";
        let relay = Running::start(config(driver, &url(from, options), &[&to]));
        for number in 0..20_u8 {
            sender(lo(), "127.0.0.1").send_to(b"a stranger", from).unwrap();
            sender(lo(), "127.0.0.2").send_to(b"another group", other).unwrap();
            let alone = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), from.port());
            sender(lo(), "127.0.0.2").send_to(b"no group", alone).unwrap();
            let chosen = if number % 2 == 0 { "127.0.0.2" } else { "127.0.0.3" };
            sender(lo(), chosen).send_to(&[number], from).unwrap();
            let mut got = [0; 64];
            let len = receiver.recv(&mut got).unwrap();
            assert_eq!(&got[..len], [number]);
        }
        assert_eq!(relay.finish().endpoints[0].rates.packets, 20);
    }
}

/// Proves that an interface that is not there ends the relay with a line that names the endpoint and
/// those that there are.
#[test]
fn unknown_interfaces_are_named() {
    for url in ["mcast://239.255.81.41:9?iface=none0", "mcast://239.255.81.41:9?iface=203.0.113.7"]
    {
        for (from, to) in [(url, "udp://127.0.0.1:9"), ("demo:", url)] {
            let message = Running::refused(config(DRIVERS[1], from, &[to])).to_string();
            assert!(message.starts_with(url) && message.contains("lo"), "{message}");
            assert!(!message.contains('\n'), "{message}");
        }
    }
}
