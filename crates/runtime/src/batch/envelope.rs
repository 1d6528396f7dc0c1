//! What came with a datagram besides its bytes.

use std::fmt;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::ptr;
use std::time::Duration;

use socket2::SockAddr;

use crate::kinds::source_address;

/// What came with a datagram besides its bytes, as far as it was asked for: see
/// [`Details`](super::Details).
#[derive(Clone, Copy)]
pub struct Envelope<'b> {
    name: &'b libc::sockaddr_storage,
    /// Bytes of its address; 0: it has none.
    name_len: libc::socklen_t,
    told: &'b Told,
}

/// What the control messages of a datagram say, read once.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Told {
    /// To which address it was sent, and by which interface it came.
    route: Option<(IpAddr, u32)>,
    hops: Option<u8>,
    arrival: Option<Arrival>,
    dropped: Option<u32>,
    /// The size of the datagrams that the kernel joined; 0 if it did not.
    pub(super) segment: u16,
}

/// When a datagram arrived. Times count from the first of January 1970, in UTC where the
/// clock knows it; in a simulated world from the clock's zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// By the clock of the system, when the kernel was handed the datagram.
    pub kernel: Option<Duration>,
    /// By the card's own clock, when it was on the wire; `None` unless the card has one
    /// and was told to use it.
    pub hardware: Option<Duration>,
}

impl<'b> Envelope<'b> {
    /// `name` holds an address of `name_len` bytes, unless that is 0.
    #[inline]
    pub(crate) fn new(
        name: &'b libc::sockaddr_storage,
        name_len: libc::socklen_t,
        told: &'b Told,
    ) -> Self {
        Self { name, name_len, told }
    }

    /// Without an address.
    pub(crate) fn nameless(told: &'b Told) -> Self {
        Self::new(&NO_NAME, 0, told)
    }

    /// Who sent it, where that is an IP address. A socket of IPv6 sees addresses of IPv4
    /// in their mapped form.
    #[inline]
    pub fn source(&self) -> Option<SocketAddr> {
        socket_addr(self.name, self.name_len)
    }

    /// The same for any sort of address.
    pub fn address(&self) -> Option<SockAddr> {
        // SAFETY: zeroes are a valid empty header; `name` holds an address of that
        // length, or the length is 0.
        unsafe {
            let mut header: libc::msghdr = mem::zeroed();
            header.msg_name = ptr::from_ref(self.name).cast_mut().cast();
            header.msg_namelen = self.name_len;
            source_address(&header)
        }
    }

    /// To which address it was sent: the group, if it was sent to one. IPv4 is told as
    /// such, whatever the family of the socket.
    #[inline]
    pub fn destination(&self) -> Option<IpAddr> {
        self.told.route.map(|(ip, _)| ip)
    }

    /// The index of the interface that it came by.
    #[inline]
    pub fn interface(&self) -> Option<u32> {
        self.told.route.map(|(_, interface)| interface)
    }

    /// How many networks it might still have crossed: its time to live, or hop limit.
    #[inline]
    pub fn hops(&self) -> Option<u8> {
        self.told.hops
    }

    /// When it arrived.
    #[inline]
    pub fn arrival(&self) -> Option<Arrival> {
        self.told.arrival
    }

    /// How many datagrams the socket had dropped when this one was taken in, since it was
    /// made. Linux says nothing as long as there are none.
    #[inline]
    pub fn dropped(&self) -> Option<u32> {
        self.told.dropped
    }

    /// The size of the datagrams that the kernel joined; 0 if it did not.
    #[inline]
    pub(super) fn segment(&self) -> u16 {
        self.told.segment
    }
}

impl Told {
    /// By control messages as they came, the last one maybe cut off.
    pub(crate) fn by(control: &[u8]) -> Self {
        let mut told = Self::default();
        told.read(control);
        told
    }

    /// The same, in place of what was told before.
    pub(super) fn read(&mut self, control: &[u8]) {
        (self.route, self.hops, self.arrival) = (None, None, None);
        (self.dropped, self.segment) = (None, 0);
        for Message { level, kind, value } in Messages(control) {
            match (level, kind) {
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                    self.arrival = Some(Arrival { kernel: time_at(value, 0), hardware: None });
                }
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPING) => {
                    let (kernel, hardware) = (time_at(value, 0), time_at(value, 2));
                    self.arrival = Some(Arrival { kernel, hardware });
                }
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => {
                    self.dropped = value.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes));
                }
                // A socket of IPv6 tells of a datagram of IPv4 in both ways.
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => self.route = v4_route(value).or(self.route),
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    self.route = self.route.or_else(|| v6_route(value));
                }
                (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => {
                    self.hops = int(value).and_then(|hops| hops.try_into().ok());
                }
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    self.segment = int(value).and_then(|size| size.try_into().ok()).unwrap_or(0);
                }
                _ => {}
            }
        }
    }
}

impl fmt::Debug for Envelope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("source", &self.source())
            .field("destination", &self.destination())
            .field("interface", &self.interface())
            .field("hops", &self.hops())
            .field("arrival", &self.arrival())
            .field("dropped", &self.dropped())
            .finish()
    }
}

/// For an [`Envelope`] without an address.
// SAFETY: zeroes are a valid storage.
static NO_NAME: libc::sockaddr_storage = unsafe { mem::zeroed() };

/// An IP address with its port.
#[inline]
fn socket_addr(name: &libc::sockaddr_storage, len: libc::socklen_t) -> Option<SocketAddr> {
    let (place, len) = (ptr::from_ref(name), len as usize);
    match libc::c_int::from(name.ss_family) {
        libc::AF_INET if len >= size_of::<libc::sockaddr_in>() => {
            // SAFETY: a storage is as large and as aligned as any address, all plain numbers.
            let v4 = unsafe { &*place.cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddr::from((ip, u16::from_be(v4.sin_port))))
        }
        libc::AF_INET6 if len >= size_of::<libc::sockaddr_in6>() => {
            // SAFETY: the same.
            let v6 = unsafe { &*place.cast::<libc::sockaddr_in6>() };
            let (ip, port) = (Ipv6Addr::from(v6.sin6_addr.s6_addr), u16::from_be(v6.sin6_port));
            Some(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// An `int`.
#[inline]
fn int(value: &[u8]) -> Option<i32> {
    value.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes))
}

/// Of an `in_pktinfo`: the interface, a local address, and what the header names.
#[inline]
fn v4_route(value: &[u8]) -> Option<(IpAddr, u32)> {
    let (index, ip) = (value.first_chunk::<4>()?, value.get(8..)?.first_chunk::<4>()?);
    Some((Ipv4Addr::from(*ip).into(), u32::from_ne_bytes(*index)))
}

/// Of an `in6_pktinfo`: what the header names, and the interface.
#[inline]
fn v6_route(value: &[u8]) -> Option<(IpAddr, u32)> {
    let (ip, rest) = value.split_first_chunk::<16>()?;
    let index = rest.first_chunk::<4>()?;
    Some((IpAddr::from(Ipv6Addr::from(*ip)).to_canonical(), u32::from_ne_bytes(*index)))
}

/// The `index`th of some `timespec`s; all zeroes stand for none.
#[inline]
fn time_at(value: &[u8], index: usize) -> Option<Duration> {
    const SIZE: usize = size_of::<libc::timespec>();
    let bytes = value.get(index * SIZE..)?.first_chunk::<SIZE>()?;
    // SAFETY: as many bytes as the structure has, which is plain numbers.
    let time = unsafe { bytes.as_ptr().cast::<libc::timespec>().read_unaligned() };
    let (seconds, nanos) = (u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?);
    let valid = nanos < 1_000_000_000 && (seconds, nanos) != (0, 0);
    valid.then(|| Duration::new(seconds, nanos))
}

/// One control message.
struct Message<'b> {
    level: i32,
    kind: i32,
    value: &'b [u8],
}

/// Control messages one behind the other. One that was cut off ends them.
struct Messages<'b>(&'b [u8]);

impl<'b> Iterator for Messages<'b> {
    type Item = Message<'b>;

    #[inline]
    fn next(&mut self) -> Option<Message<'b>> {
        let bytes = self.0.first_chunk::<{ size_of::<libc::cmsghdr>() }>()?;
        // SAFETY: as many bytes as the structure has, which is plain numbers.
        let header = unsafe { bytes.as_ptr().cast::<libc::cmsghdr>().read_unaligned() };
        let len: usize = header.cmsg_len as _;
        let value = self.0.get(VALUE_AT..len)?;
        self.0 = self.0.get(len.next_multiple_of(ALIGNMENT)..).unwrap_or(&[]);
        Some(Message { level: header.cmsg_level, kind: header.cmsg_type, value })
    }
}

/// Where the value of a control message begins.
// SAFETY: plain arithmetic.
const VALUE_AT: usize = unsafe { libc::CMSG_LEN(0) as usize };
/// Of control messages among each other: `CMSG_ALIGN`.
const ALIGNMENT: usize = size_of::<usize>();

#[cfg(test)]
mod tests {
    use super::*;

    /// A control message as the kernel writes it.
    fn message(level: i32, kind: i32, value: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; VALUE_AT];
        // SAFETY: zeroes are a valid header; the vector has room for it.
        unsafe {
            let mut header: libc::cmsghdr = mem::zeroed();
            header.cmsg_len = (VALUE_AT + value.len()) as _;
            (header.cmsg_level, header.cmsg_type) = (level, kind);
            bytes.as_mut_ptr().cast::<libc::cmsghdr>().write_unaligned(header);
        }
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0xee);
        bytes
    }

    fn times(times: &[(i64, i64)]) -> Vec<u8> {
        let bytes = |&(s, n): &(i64, i64)| [s.to_ne_bytes(), n.to_ne_bytes()].concat();
        times.iter().flat_map(bytes).collect()
    }

    /// Every detail, each in a message.
    fn details() -> [Vec<u8>; 5] {
        let stamps = times(&[(5, 6), (0, 0), (7, 8)]);
        let route = [&3u32.to_ne_bytes()[..], &[127, 0, 0, 1], &[239, 1, 2, 3]].concat();
        [
            message(libc::SOL_SOCKET, libc::SCM_TIMESTAMPING, &stamps),
            message(libc::SOL_SOCKET, libc::SO_RXQ_OVFL, &9u32.to_ne_bytes()),
            message(libc::SOL_UDP, libc::UDP_GRO, &1200i32.to_ne_bytes()),
            message(libc::IPPROTO_IP, libc::IP_PKTINFO, &route),
            message(libc::IPPROTO_IP, libc::IP_TTL, &7i32.to_ne_bytes()),
        ]
    }

    fn look<R>(control: &[u8], look: impl FnOnce(Envelope<'_>) -> R) -> R {
        look(Envelope::nameless(&Told::by(control)))
    }

    /// Each detail is found wherever it stands among the others.
    #[test]
    fn details_are_found_among_others() {
        look(&details().concat(), |envelope| {
            let seconds = |s, n| Some(Duration::new(s, n));
            let arrival = Arrival { kernel: seconds(5, 6), hardware: seconds(7, 8) };
            assert_eq!(envelope.arrival(), Some(arrival));
            assert_eq!(envelope.dropped(), Some(9));
            assert_eq!(envelope.segment(), 1200);
            assert_eq!(envelope.destination(), Some([239, 1, 2, 3].into()));
            assert_eq!(envelope.interface(), Some(3));
            assert_eq!(envelope.hops(), Some(7));
            assert_eq!(envelope.source(), None);
        });
        look(&[], |envelope| {
            assert_eq!((envelope.arrival(), envelope.dropped()), (None, None));
            assert_eq!((envelope.destination(), envelope.segment()), (None, 0));
            assert_eq!(envelope.hops(), None);
        });
    }

    /// Wherever the kernel cuts the messages off for want of room, what is told is right or
    /// not told, and what stands before is told.
    #[test]
    fn what_was_cut_off_is_not_misread() {
        let (kernel, hardware) = (Duration::new(5, 6), Duration::new(7, 8));
        let all = details();
        for (index, message) in all.iter().enumerate() {
            for room in 0..message.len() {
                let mut cut = message[..room].to_vec();
                // The kernel writes how much of the message there is.
                if let Some(len) = cut.first_chunk_mut() {
                    *len = room.min(usize::from_ne_bytes(*len)).to_ne_bytes();
                }
                look(&[&all[..index].concat()[..], &cut].concat(), |envelope| {
                    let arrival = envelope.arrival();
                    let (by_kernel, by_card) =
                        (arrival.and_then(|a| a.kernel), arrival.and_then(|a| a.hardware));
                    assert!(by_kernel.is_none_or(|time| time == kernel));
                    assert!(by_card.is_none_or(|time| time == hardware));
                    assert!(by_card.is_some() || index == 0, "it stands first");
                    assert!(envelope.dropped().map_or(index < 2, |count| count == 9));
                    assert!(envelope.segment() == 1200 || (envelope.segment() == 0 && index < 3));
                    assert!(envelope.hops().is_none_or(|hops| hops == 7));
                    let group = Some((IpAddr::from([239, 1, 2, 3]), 3));
                    assert!(envelope.told.route.is_none() || envelope.told.route == group);
                });
            }
        }
    }

    /// Of a datagram of IPv4, a socket of IPv6 tells the address as such; lengths that make
    /// no sense end the messages.
    #[test]
    fn mapped_addresses_are_told_as_ipv4() {
        let mapped = Ipv4Addr::new(239, 9, 9, 9).to_ipv6_mapped().octets();
        let info = [&mapped[..], &2u32.to_ne_bytes()].concat();
        let control = message(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
        look(&control, |e| assert_eq!(e.told.route, Some(([239, 9, 9, 9].into(), 2))));
        for len in [0usize, 3, VALUE_AT - 1, control.len() + 1, usize::MAX] {
            let mut wrong = control.clone();
            wrong[..size_of::<usize>()].copy_from_slice(&len.to_ne_bytes());
            look(&wrong, |e| assert_eq!(e.told.route, None, "length {len}"));
        }
    }
}
