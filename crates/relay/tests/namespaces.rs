//! Groups as sources, on a host with two networks.
//!
//! Needs root and `ip`; where they are missing the test says so, and fails if `CI` is set.

mod common;
#[path = "../../net/tests/namespaces/lab.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod lab;
#[path = "../../runtime/tests/common/skips.rs"]
mod skips;

use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::time::Instant;

use common::{DRIVERS, PATIENCE, config};
use lab::{Host, Lab};
use socket2::{Domain, Socket, Type};
use tautline_net::multicast::ToInterface;
use tautline_relay::run_until;

const GROUP: Ipv6Addr = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0x91, 2);
const PORT: u16 = 31_002;

/// A socket of a host that sends to the group by its device.
fn sender(lab: &Lab, host: Host) -> UdpSocket {
    lab.at(host, || {
        let socket = Socket::new(Domain::IPV6, Type::DGRAM, None).unwrap();
        socket.set_multicast_if_v6("eth0".to_interface().unwrap().index()).unwrap();
        socket.into()
    })
}

/// Proves that a source that has joined a group of IPv6 on one device relays nothing of what comes by
/// another, on which some other program of the host has joined it.
#[test]
fn a_group_comes_by_its_device_alone() {
    let Some(lab) = Lab::set_up() else { return };
    let (near, far) = (sender(&lab, Host::Exchange), sender(&lab, Host::Other));
    let to = SocketAddrV6::new(GROUP, PORT, 0, 0);
    let _other_program = lab.at(Host::Trader, || {
        let socket = Socket::new(Domain::IPV6, Type::DGRAM, None).unwrap();
        socket.join_multicast_v6(&GROUP, "eth0".to_interface().unwrap().index()).unwrap();
        socket
    });
    for driver in DRIVERS {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("heard");
        let from = format!("mcast://[{GROUP}]:{PORT}?iface=eth1");
        let config = config(driver, &from, &[&format!("file:{}?framing=raw", path.display())]);
        let (end, mut was_sent) = (Instant::now() + PATIENCE, false);
        let mut done = || {
            if !std::mem::replace(&mut was_sent, true) {
                for (socket, text) in [(&near, "near "), (&far, "far "), (&near, "near ")] {
                    assert_eq!(socket.send_to(text.as_bytes(), to).unwrap(), text.len());
                }
                far.send_to(b"end", to).unwrap();
            }
            let heard = std::fs::read(&path).unwrap_or_default();
            heard.ends_with(b"end") || Instant::now() > end
        };
        lab.at(Host::Trader, || run_until(&config, &mut |_| {}, &mut done)).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "far end", "{driver:?}");
    }
}
