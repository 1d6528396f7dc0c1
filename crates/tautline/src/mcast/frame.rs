//! Frames of a capture: the datagram in one, and a frame around a datagram.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, PacketBuilder, TransportSlice};
use pcap_parser::Linktype;

/// `LINKTYPE_LINUX_SLL2`: what Linux captures on any interface.
const COOKED_2: Linktype = Linktype(276);
/// Bytes before what a frame of it carries.
const COOKED_2_HEADER: usize = 20;
/// Bytes of a UDP header.
const UDP_HEADER: usize = 8;

/// A UDP datagram of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Datagram<'a> {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    /// Time to live, or hop limit.
    pub(crate) hops: u8,
    /// The innermost VLAN.
    pub(crate) vlan: Option<u16>,
    /// What is there of its payload.
    pub(crate) payload: &'a [u8],
    /// Bytes that its payload had.
    pub(crate) len: usize,
}

/// Appends the IP packet that carried a datagram: all of its headers, though a part of the payload may
/// be missing.
///
/// # Errors
/// The datagram is longer than a packet can be.
pub(crate) fn wrap(datagram: &Datagram<'_>, packet: &mut Vec<u8>) -> Result<(), Long> {
    let Datagram { source, destination, hops, payload, .. } = datagram;
    let ip = match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            PacketBuilder::ipv4(from.octets(), to.octets(), *hops)
        }
        (from, to) => PacketBuilder::ipv6(v6(from).octets(), v6(to).octets(), *hops),
    };
    let udp = ip.udp(source.port(), destination.port());
    udp.write_to_vec(packet, payload).map_err(|_| Long)
}

/// A datagram is longer than a packet can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Long;

fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// Why there is no datagram in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoDatagram {
    /// It has something else.
    #[error("no UDP")]
    Other,
    /// It has a part of one.
    #[error("fragments of datagrams")]
    Fragment,
    /// It was captured on a medium that is not known.
    #[error("frames of link type {0}, where Ethernet, raw IP, Linux cooked and loopback are known")]
    Medium(i32),
}

/// The datagram in a frame.
pub(crate) fn datagram(medium: Linktype, frame: &[u8]) -> Result<Datagram<'_>, NoDatagram> {
    let packet = packet(medium, frame)?;
    let Some(TransportSlice::Udp(udp)) = &packet.transport else {
        let is_fragment = packet.ip_payload().is_some_and(|ip| ip.fragmented);
        return Err(if is_fragment { NoDatagram::Fragment } else { NoDatagram::Other });
    };
    let (source, destination, hops) = addresses(&packet).ok_or(NoDatagram::Other)?;
    let payload = udp.payload();
    // Of a packet above 64 KiB the length says nothing.
    let len = usize::from(udp.length()).saturating_sub(UDP_HEADER).max(payload.len());
    let vlan = packet.vlan_ids().last().map(|id| id.value());
    let source = SocketAddr::new(source, udp.source_port());
    let destination = SocketAddr::new(destination, udp.destination_port());
    Ok(Datagram { source, destination, hops, vlan, payload, len })
}

fn packet(medium: Linktype, frame: &[u8]) -> Result<LaxSlicedPacket<'_>, NoDatagram> {
    let cut = || NoDatagram::Other;
    match medium {
        Linktype::ETHERNET => LaxSlicedPacket::from_ethernet(frame).map_err(|_| cut()),
        Linktype::RAW | Linktype::IPV4 | Linktype::IPV6 => {
            LaxSlicedPacket::from_ip(frame).map_err(|_| cut())
        }
        Linktype::LINUX_SLL => {
            let header = frame.first_chunk::<16>().ok_or_else(cut)?;
            let [.., high, low] = *header;
            Ok(of_ether_type([high, low], &frame[header.len()..]))
        }
        COOKED_2 => {
            let header = frame.first_chunk::<COOKED_2_HEADER>().ok_or_else(cut)?;
            let [high, low, ..] = *header;
            Ok(of_ether_type([high, low], &frame[header.len()..]))
        }
        // A family in the order of the machine's bytes, which the version of IP tells as well.
        Linktype::NULL | Linktype::LOOP => {
            let (_, packet) = frame.split_first_chunk::<4>().ok_or_else(cut)?;
            LaxSlicedPacket::from_ip(packet).map_err(|_| cut())
        }
        Linktype(other) => Err(NoDatagram::Medium(other)),
    }
}

fn of_ether_type(kind: [u8; 2], packet: &[u8]) -> LaxSlicedPacket<'_> {
    LaxSlicedPacket::from_ether_type(EtherType(u16::from_be_bytes(kind)), packet)
}

fn addresses(packet: &LaxSlicedPacket<'_>) -> Option<(IpAddr, IpAddr, u8)> {
    match packet.net.as_ref()? {
        LaxNetSlice::Ipv4(ip) => {
            let header = ip.header();
            Some((header.source_addr().into(), header.destination_addr().into(), header.ttl()))
        }
        LaxNetSlice::Ipv6(ip) => {
            let header = ip.header();
            let (source, destination) = (header.source_addr(), header.destination_addr());
            Some((source.into(), destination.into(), header.hop_limit()))
        }
        LaxNetSlice::Arp(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use etherparse::VlanId;
    use proptest::prelude::*;

    use super::*;

    const MEDIA: [Linktype; 9] = [
        Linktype::ETHERNET,
        Linktype::RAW,
        Linktype::IPV4,
        Linktype::IPV6,
        Linktype::LINUX_SLL,
        COOKED_2,
        Linktype::NULL,
        Linktype::LOOP,
        Linktype(147),
    ];

    fn sent<'a>(source: &str, destination: &str, payload: &'a [u8]) -> Datagram<'a> {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        Datagram { source, destination, hops: 9, vlan: None, payload, len: payload.len() }
    }

    fn wrapped(datagram: &Datagram<'_>) -> Vec<u8> {
        let mut packet = Vec::new();
        wrap(datagram, &mut packet).unwrap();
        packet
    }

    /// Proves that a datagram that was wrapped comes out as it was, over both versions of IP.
    #[test]
    fn wrapped_datagrams_come_out_again() {
        for datagram in [
            sent("10.0.0.1:7", "239.1.1.1:5000", b"four"),
            sent("[fe80::1]:7", "[ff12::1]:5000", b""),
        ] {
            let packet = wrapped(&datagram);
            assert_eq!(super::datagram(Linktype::RAW, &packet), Ok(datagram));
        }
        let long = vec![0; 65_536];
        assert_eq!(wrap(&sent("10.0.0.1:7", "239.1.1.1:1", &long), &mut Vec::new()), Err(Long));
    }

    /// Proves that the datagram is found on each medium that is known, behind VLAN tags too.
    #[test]
    fn every_medium_is_read() {
        let datagram = sent("10.0.0.1:7", "239.1.1.1:5000", b"four");
        let packet = wrapped(&datagram);
        let cooked = [&[0, 0, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 8, 0], &packet[..]].concat();
        assert_eq!(super::datagram(Linktype::LINUX_SLL, &cooked), Ok(datagram));
        let cooked =
            [&[8, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0], &packet[..]].concat();
        assert_eq!(super::datagram(COOKED_2, &cooked), Ok(datagram));
        let loopback = [&[2, 0, 0, 0], &packet[..]].concat();
        assert_eq!(super::datagram(Linktype::NULL, &loopback), Ok(datagram));
        let tagged = PacketBuilder::ethernet2([1; 6], [2; 6]);
        let tagged = tagged.double_vlan(VlanId::try_new(5).unwrap(), VlanId::try_new(42).unwrap());
        let mut frame = Vec::new();
        let ip = tagged.ipv4([10, 0, 0, 1], [239, 1, 1, 1], 9).udp(7, 5000);
        ip.write_to_vec(&mut frame, b"four").unwrap();
        let vlan = Some(42);
        assert_eq!(super::datagram(Linktype::ETHERNET, &frame), Ok(Datagram { vlan, ..datagram }));
    }

    /// Proves that what is no whole datagram says what it is, and that one of which the end was not
    /// captured is known as such.
    #[test]
    fn other_frames_say_what_they_are() {
        let mut tcp = Vec::new();
        PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 9)
            .tcp(1, 2, 3, 4)
            .write_to_vec(&mut tcp, b"a")
            .unwrap();
        assert_eq!(datagram(Linktype::RAW, &tcp), Err(NoDatagram::Other));
        assert_eq!(datagram(Linktype(147), &tcp), Err(NoDatagram::Medium(147)));
        let whole = wrapped(&sent("10.0.0.1:7", "239.1.1.1:5000", &[7; 100]));
        let mut fragment = whole.clone();
        fragment[6] = 0x20; // more fragments
        assert_eq!(datagram(Linktype::RAW, &fragment), Err(NoDatagram::Fragment));
        let cut = datagram(Linktype::RAW, &whole[..60]).unwrap();
        assert_eq!((cut.payload.len(), cut.len), (32, 100));
    }

    proptest! {
        /// Proves that no bytes make it panic, on any medium.
        #[test]
        fn any_bytes_can_be_a_frame(bytes in proptest::collection::vec(any::<u8>(), 0..128)) {
            for medium in MEDIA {
                if let Ok(found) = datagram(medium, &bytes) {
                    prop_assert!(found.payload.len() <= found.len && found.len <= 65_535);
                }
            }
        }

        /// Proves that no bytes behind a sound beginning make it panic.
        #[test]
        fn any_byte_can_be_wrong(at in 0..48usize, with in any::<u8>()) {
            let mut packet = wrapped(&sent("10.0.0.1:7", "239.1.1.1:5000", &[7; 20]));
            packet[at] = with;
            if let Ok(found) = datagram(Linktype::RAW, &packet) {
                prop_assert!(found.payload.len() <= found.len && found.len <= 65_535);
            }
        }
    }
}
