//! What a datagram tells of itself in control messages, in the order in which Linux does.

use std::net::{IpAddr, Ipv4Addr};

use super::super::Stamp;
use super::names;
use super::options::Options;
use super::udp::Arrived;

/// A control message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Message {
    pub(super) level: i32,
    pub(super) kind: i32,
    pub(super) value: Vec<u8>,
}

/// What a socket of IPv6 (`v6`) or IPv4 with these options tells of a datagram.
pub(super) fn messages(options: &Options, v6: bool, arrived: &Arrived) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut tell = |level, kind, value| messages.push(Message { level, kind, value });
    let time = timespec(arrived.at.as_nanos());
    match options.arrival_time {
        None => {}
        Some(Stamp::Kernel) => tell(libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, time),
        Some(Stamp::Hardware) => {
            // There is no card that could tell.
            let stamps = [time, timespec(0), timespec(0)].concat();
            tell(libc::SOL_SOCKET, libc::SCM_TIMESTAMPING, stamps);
        }
    }
    if options.drop_count && arrived.dropped > 0 {
        let count = arrived.dropped.to_ne_bytes().to_vec();
        tell(libc::SOL_SOCKET, libc::SO_RXQ_OVFL, count);
    }
    if options.packet_info {
        route(v6, arrived, &mut tell);
    }
    if options.hop_count {
        let hops = i32::from(arrived.hops).to_ne_bytes().to_vec();
        match arrived.destination {
            IpAddr::V4(_) => tell(libc::IPPROTO_IP, libc::IP_TTL, hops),
            IpAddr::V6(_) => tell(libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT, hops),
        }
    }
    messages
}

/// Whom it was sent to, and where it came in.
fn route(v6: bool, arrived: &Arrived, mut tell: impl FnMut(i32, i32, Vec<u8>)) {
    let index = arrived.interface.to_ne_bytes();
    if v6 {
        let ip = match arrived.destination {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        tell(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, [&ip.octets()[..], &index].concat());
    }
    if let IpAddr::V4(ip) = arrived.destination {
        let local = match names::source_for(ip.into()) {
            IpAddr::V4(local) => local,
            IpAddr::V6(_) => Ipv4Addr::LOCALHOST,
        };
        let info = [index, local.octets(), ip.octets()].concat();
        tell(libc::IPPROTO_IP, libc::IP_PKTINFO, info);
    }
}

/// A `timespec`, byte for byte.
fn timespec(nanos: u64) -> Vec<u8> {
    let mut bytes = vec![0; size_of::<libc::timespec>()];
    let (seconds, rest) =
        ((nanos / 1_000_000_000) as libc::time_t, (nanos % 1_000_000_000) as libc::c_long);
    let seconds_at = std::mem::offset_of!(libc::timespec, tv_sec);
    let rest_at = std::mem::offset_of!(libc::timespec, tv_nsec);
    bytes[seconds_at..][..size_of_val(&seconds)].copy_from_slice(&seconds.to_ne_bytes());
    bytes[rest_at..][..size_of_val(&rest)].copy_from_slice(&rest.to_ne_bytes());
    bytes
}
