//! Who has which address.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use socket2::SockAddr;

use super::world::SocketId;

/// The address of a socket. IPv4 addresses are such, whatever the socket's family.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Name {
    Inet(SocketAddr),
    /// A path; an abstract name, whose first byte is NUL; or nothing at all.
    Unix(Vec<u8>),
}

impl Name {
    pub(super) const UNNAMED: Self = Self::Unix(Vec::new());

    /// `None` for families that the world does not have.
    pub(super) fn of(addr: &SockAddr) -> Option<Self> {
        if let Some(inet) = addr.as_socket() {
            return Some(Self::Inet(canonical(inet)));
        }
        let unix = addr.is_unix().then(|| addr.as_pathname())?;
        let path = unix.map(|path| path.as_os_str().to_os_string().into_vec());
        let name = path.or_else(|| {
            let bytes = addr.as_abstract_namespace()?;
            Some([&[0], bytes].concat())
        });
        Some(Self::Unix(name.unwrap_or_default()))
    }

    /// As a socket of IPv6 sees it (`v6`), or one of its own family.
    pub(super) fn to_addr(&self, v6: bool) -> SockAddr {
        match self {
            Self::Inet(SocketAddr::V4(addr)) if v6 => {
                let ip = addr.ip();
                let ip =
                    if ip.is_unspecified() { Ipv6Addr::UNSPECIFIED } else { ip.to_ipv6_mapped() };
                SocketAddr::new(ip.into(), addr.port()).into()
            }
            Self::Inet(addr) => (*addr).into(),
            // The bytes came out of an address, so that they fit into one.
            Self::Unix(bytes) => {
                SockAddr::unix(Path::new(OsStr::from_bytes(bytes))).unwrap_or_else(|_| unnamed())
            }
        }
    }
}

fn unnamed() -> SockAddr {
    SockAddr::unix("").expect("an empty name fits")
}

/// Without flow label, and IPv4 as such; with a scope only where it makes a difference: of
/// groups of a link.
fn canonical(addr: SocketAddr) -> SocketAddr {
    let plain = SocketAddr::new(addr.ip().to_canonical(), addr.port());
    match (addr, scope_of(plain)) {
        (SocketAddr::V6(addr), Some(_)) => {
            SocketAddrV6::new(*addr.ip(), addr.port(), 0, addr.scope_id()).into()
        }
        _ => plain,
    }
}

/// The interface on which a group of a link is meant, 0 for none; `None` for other addresses.
pub(super) fn scope_of(addr: SocketAddr) -> Option<u32> {
    let SocketAddr::V6(addr) = addr else { return None };
    let [first, second, ..] = addr.ip().octets();
    (first == 0xff && matches!(second & 0xf, 1 | 2)).then(|| addr.scope_id())
}

/// The two protocols that have ports of their own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Transport {
    Tcp,
    Udp,
}

/// A socket's claim to a port.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    pub(super) socket: SocketId,
    pub(super) ip: IpAddr,
    /// The IPv6 wildcard that takes IPv4 as well.
    pub(super) dual: bool,
    pub(super) reuse_address: bool,
    pub(super) reuse_port: bool,
    pub(super) listening: bool,
}

impl Claim {
    /// Whether what is sent to `ip` comes here.
    fn covers(&self, ip: IpAddr) -> bool {
        let wildcard = self.ip.is_unspecified() && self.ip.is_ipv4() == ip.is_ipv4();
        self.ip == ip || wildcard || (self.dual && ip.is_ipv4())
    }

    /// Whether both may hold one port.
    fn agrees_with(&self, other: &Self) -> bool {
        let apart = !self.covers(other.ip) && !other.covers(self.ip);
        let addresses = self.reuse_address && other.reuse_address;
        apart || (self.reuse_port && other.reuse_port) || (addresses && !other.listening)
    }
}

/// Ports that are given to those who ask for any, as on Linux.
const EPHEMERAL: std::ops::RangeInclusive<u16> = 32_768..=60_999;

/// Who has which address.
#[derive(Debug)]
pub(super) struct Names {
    inet: BTreeMap<(Transport, u16), Vec<Claim>>,
    unix: BTreeMap<Vec<u8>, SocketId>,
    /// Paths that were bound at some time: they exist, though nobody may be there.
    paths: BTreeSet<Vec<u8>>,
    next_port: u16,
}

impl Names {
    pub(super) fn new() -> Self {
        let next_port = *EPHEMERAL.start();
        Self { inet: BTreeMap::new(), unix: BTreeMap::new(), paths: BTreeSet::new(), next_port }
    }

    /// Gives `claim` the port, or a free one if it is 0.
    ///
    /// # Errors
    /// `EADDRINUSE`: another socket has it, or none is free.
    pub(super) fn claim(&mut self, kind: Transport, port: u16, claim: Claim) -> Result<u16, i32> {
        let port = match port {
            0 => self.free_port(kind, &claim).ok_or(libc::EADDRINUSE)?,
            port if self.is_free(kind, port, &claim) => port,
            _ => return Err(libc::EADDRINUSE),
        };
        self.inet.entry((kind, port)).or_default().push(claim);
        Ok(port)
    }

    fn is_free(&self, kind: Transport, port: u16, claim: &Claim) -> bool {
        let others = self.inet.get(&(kind, port)).map_or(&[][..], Vec::as_slice);
        others.iter().all(|other| claim.agrees_with(other))
    }

    fn free_port(&mut self, kind: Transport, claim: &Claim) -> Option<u16> {
        // Nobody who asks for any port is given one that is shared.
        let alone = Claim { reuse_address: false, reuse_port: false, ..*claim };
        for _ in EPHEMERAL {
            let port = self.next_port;
            self.next_port = if port == *EPHEMERAL.end() { *EPHEMERAL.start() } else { port + 1 };
            if self.is_free(kind, port, &alone) {
                return Some(port);
            }
        }
        None
    }

    /// `socket`, which has `port`, listens there from now on.
    ///
    /// # Errors
    /// `EADDRINUSE`: another socket does.
    pub(super) fn listen(&mut self, port: u16, socket: SocketId) -> Result<(), i32> {
        let Some(claims) = self.inet.get_mut(&(Transport::Tcp, port)) else {
            return Ok(());
        };
        let Some(index) = claims.iter().position(|claim| claim.socket == socket) else {
            return Ok(());
        };
        let mut others = claims.iter().filter(|other| other.socket != socket);
        if !others.all(|other| !other.listening || claims[index].agrees_with(other)) {
            return Err(libc::EADDRINUSE);
        }
        claims[index].listening = true;
        Ok(())
    }

    /// Changes the claim of `socket`: whether it shares its address with others that do.
    pub(super) fn share(&mut self, kind: Transport, port: u16, socket: SocketId, on: bool) {
        let claims = self.inet.get_mut(&(kind, port)).into_iter().flatten();
        claims.filter(|claim| claim.socket == socket).for_each(|claim| claim.reuse_address = on);
    }

    /// Changes the claim of `socket`: it is bound to one address now.
    pub(super) fn narrow(&mut self, kind: Transport, port: u16, socket: SocketId, ip: IpAddr) {
        let claims = self.inet.get_mut(&(kind, port)).into_iter().flatten();
        for claim in claims.filter(|claim| claim.socket == socket) {
            (claim.ip, claim.dual) = (ip, false);
        }
    }

    /// Who may be meant by `to`: those bound to that very address if there are any, else
    /// those bound to all.
    pub(super) fn candidates(&self, kind: Transport, to: SocketAddr) -> Vec<Claim> {
        let claims = self.inet.get(&(kind, to.port())).into_iter().flatten();
        let covering: Vec<Claim> = claims.filter(|c| c.covers(to.ip())).copied().collect();
        let exact: Vec<Claim> = covering.iter().filter(|c| c.ip == to.ip()).copied().collect();
        if exact.is_empty() { covering } else { exact }
    }

    /// Who is bound to the group `to` or to all addresses: each of them may be meant.
    pub(super) fn covering(&self, to: SocketAddr) -> impl Iterator<Item = SocketId> {
        let claims = self.inet.get(&(Transport::Udp, to.port())).into_iter().flatten();
        claims.filter(move |claim| claim.covers(to.ip())).map(|claim| claim.socket)
    }

    /// Gives `socket` the Unix name `name`.
    ///
    /// # Errors
    /// `EADDRINUSE`: another socket has it.
    pub(super) fn claim_unix(&mut self, name: &[u8], socket: SocketId) -> Result<(), i32> {
        if self.unix.contains_key(name) {
            return Err(libc::EADDRINUSE);
        }
        if name.first() != Some(&0) {
            self.paths.insert(name.to_vec());
        }
        self.unix.insert(name.to_vec(), socket);
        Ok(())
    }

    /// Who has the Unix name `name`.
    ///
    /// # Errors
    /// `ENOENT` for a path that never was, `ECONNREFUSED` if nobody is there.
    pub(super) fn find_unix(&self, name: &[u8]) -> Result<SocketId, i32> {
        let is_there = name.first() == Some(&0) || self.paths.contains(name);
        let errno = if is_there { libc::ECONNREFUSED } else { libc::ENOENT };
        self.unix.get(name).copied().ok_or(errno)
    }

    /// `socket` has gone, and with it its claim to `name`.
    pub(super) fn release(&mut self, kind: Transport, name: &Name, socket: SocketId) {
        match name {
            Name::Inet(addr) => {
                if let Some(claims) = self.inet.get_mut(&(kind, addr.port())) {
                    claims.retain(|claim| claim.socket != socket);
                }
            }
            Name::Unix(bytes) if self.unix.get(bytes) == Some(&socket) => {
                self.unix.remove(bytes);
            }
            Name::Unix(_) => {}
        }
    }
}

/// Where what is sent to `to` really goes: the wildcard is loopback.
pub(super) fn destination(mut to: SocketAddr) -> SocketAddr {
    match to.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => to.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => to.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    to
}

/// From which address a socket bound to none sends to `to`: all of the world's hosts
/// are one.
pub(super) fn source_for(to: IpAddr) -> IpAddr {
    match to {
        IpAddr::V4(ip) if ip.is_loopback() || ip.is_broadcast() || ip.is_multicast() => {
            Ipv4Addr::LOCALHOST.into()
        }
        IpAddr::V6(ip) if ip.is_multicast() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(socket: u64, ip: &str) -> Claim {
        Claim {
            socket: SocketId(socket),
            ip: ip.parse().unwrap(),
            dual: false,
            reuse_address: false,
            reuse_port: false,
            listening: false,
        }
    }

    /// An address and the wildcard of its family cannot share a port; families can,
    /// unless the wildcard of IPv6 takes both.
    #[test]
    fn overlapping_claims_conflict() {
        let mut names = Names::new();
        assert_eq!(names.claim(Transport::Tcp, 80, claim(1, "127.0.0.1")), Ok(80));
        assert_eq!(names.claim(Transport::Udp, 80, claim(2, "127.0.0.1")), Ok(80));
        assert_eq!(names.claim(Transport::Tcp, 80, claim(3, "0.0.0.0")), Err(libc::EADDRINUSE));
        assert_eq!(names.claim(Transport::Tcp, 80, claim(4, "127.0.0.2")), Ok(80));
        let dual = Claim { dual: true, ..claim(5, "::") };
        assert_eq!(names.claim(Transport::Tcp, 80, dual), Err(libc::EADDRINUSE));
        assert_eq!(names.claim(Transport::Tcp, 80, claim(5, "::")), Ok(80));
    }

    /// The most exact claim gets what is sent, and a port is free again in the end.
    #[test]
    fn the_exact_claim_wins() {
        let mut names = Names::new();
        let shared = |id, ip| Claim { reuse_port: true, ..claim(id, ip) };
        names.claim(Transport::Udp, 9, shared(1, "0.0.0.0")).unwrap();
        names.claim(Transport::Udp, 9, shared(2, "127.0.0.1")).unwrap();
        let to = |addr: &str| {
            let found = names.candidates(Transport::Udp, addr.parse().unwrap());
            found.iter().map(|claim| claim.socket.0).collect::<Vec<_>>()
        };
        assert_eq!(to("127.0.0.1:9"), [2]);
        assert_eq!(to("10.0.0.1:9"), [1]);
        assert_eq!(to("[::1]:9"), []);
        assert_eq!(to("127.0.0.1:10"), []);
    }

    /// Ports that nobody named are all different until there are no more.
    #[test]
    fn free_ports_run_out() {
        let mut names = Names::new();
        let mut ports = BTreeSet::new();
        for id in 0..EPHEMERAL.len() as u64 {
            ports.insert(names.claim(Transport::Tcp, 0, claim(id, "127.0.0.1")).unwrap());
        }
        assert_eq!(ports.len(), EPHEMERAL.len());
        let one_more = claim(99_999, "127.0.0.1");
        assert_eq!(names.claim(Transport::Tcp, 0, one_more), Err(libc::EADDRINUSE));
        let port = Name::Inet("127.0.0.1:40000".parse().unwrap());
        names.release(Transport::Tcp, &port, SocketId(40_000 - 32_768));
        assert_eq!(names.claim(Transport::Tcp, 0, one_more), Ok(40_000));
    }

    /// Addresses survive the way there and back, as each family of socket sees them.
    #[test]
    fn addresses_survive_both_ways() {
        for text in ["127.0.0.1:5", "[::1]:6"] {
            let addr: SocketAddr = text.parse().unwrap();
            let name = Name::of(&addr.into()).unwrap();
            assert_eq!(name.to_addr(false).as_socket(), Some(addr));
            assert_eq!(Name::of(&name.to_addr(true)), Some(name));
        }
        for bytes in [&b""[..], b"/a/path", b"\0abstract"] {
            let name = Name::Unix(bytes.to_vec());
            assert_eq!(Name::of(&name.to_addr(false)), Some(name));
        }
    }
}
