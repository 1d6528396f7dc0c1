//! Opening sockets: names resolved, options set, errors with what was tried.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use socket2::SockAddr;
use tautline_net::multicast::{Groups, Interface, Options, Peer, ToInterface};
use tautline_net::{
    Dial, LessGranted, TcpListener as Listener, UdpSocket, UnixAddress, UnixListener, UnixStream,
};
use tautline_runtime::{Descriptor, Details, SocketOption, timer};

use super::report::Tally;
use crate::endpoint::{Host, HostPort, MulticastDestination, MulticastSource, UnixName};

/// How long a name may take to resolve, and a connection to be made.
const PATIENCE: Duration = Duration::from_secs(5);
/// Connections that may wait to be accepted; the kernel's own limit is `net.core.somaxconn`.
const BACKLOG: u32 = 4096;
/// How often, and after which pause each, an address in use is tried again.
const INSIST: u32 = 25;
const PAUSE: Duration = Duration::from_millis(20);

/// The first address of a host.
async fn resolve(address: &HostPort) -> io::Result<SocketAddr> {
    match &address.host {
        Host::Ip(ip) => Ok(SocketAddr::new(*ip, address.port)),
        Host::Name(name) => {
            let found = tautline_net::resolve(name, address.port, PATIENCE).await?;
            found.first().copied().ok_or_else(|| io::ErrorKind::NotFound.into())
        }
    }
}

/// Listens on TCP.
pub(super) async fn listen_tcp(address: &HostPort) -> io::Result<Descriptor> {
    let address = resolve(address).await?;
    let options = Listener::options().backlog(BACKLOG);
    insist(|| Ok(options.bind(address)?.into_descriptor())).await
}

/// Opens, and opens again for a while as long as the address is in use: the kernel takes a moment
/// to close the sockets of a process that was killed, and its successor shall not fail for that.
async fn insist(open: impl Fn() -> io::Result<Descriptor>) -> io::Result<Descriptor> {
    for _ in 0..INSIST {
        match open() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                timer::sleep(PAUSE).await?;
            }
            result => return result,
        }
    }
    open()
}

/// Connects over TCP, to each address of the name in turn.
pub(super) async fn connect_tcp(address: &HostPort) -> io::Result<Descriptor> {
    let peer = address.to_string();
    Ok(Dial::new().timeout(PATIENCE).connect(peer).await?.into_descriptor())
}

/// A bound UDP socket.
pub(super) async fn bind_udp(address: &HostPort) -> io::Result<Descriptor> {
    let address = resolve(address).await?;
    insist(|| Ok(UdpSocket::bind(address)?.into_descriptor())).await
}

/// A UDP socket to send to `address` with.
pub(super) async fn udp_to(address: &HostPort) -> io::Result<(Descriptor, SockAddr)> {
    let address = resolve(address).await?;
    let socket = UdpSocket::options().broadcast(true).bind(SocketAddr::new(any(address), 0))?;
    Ok((socket.into_descriptor(), address.into()))
}

/// A socket that has joined a group and receives what is sent to it. With its memberships if it has
/// to be asked whether it has joined where a datagram came by, as Linux does not for IPv6.
pub(super) fn join(from: &MulticastSource) -> io::Result<(Descriptor, Option<Groups>)> {
    // Else nothing but the bytes is of interest here.
    let details = Details { destination: from.group.is_ipv6(), ..Details::default() };
    let peer = join_group(from, &Peer::options().details(details))?;
    let groups = details.destination.then(|| peer.groups());
    Ok((peer.into_descriptor(), groups))
}

/// A peer that has joined a group of a `mcast:` endpoint, and gets nothing but what is sent there.
///
/// # Errors
/// An interface that there is not, what the kernel says.
pub fn join_group(from: &MulticastSource, options: &Options) -> io::Result<Peer> {
    let MulticastSource { group, interfaces, sources } = from;
    let found = interfaces.iter().map(|name| name.to_string().to_interface());
    let mut interfaces = found.collect::<Result<Vec<_>, _>>()?;
    let address = own_address(*group, &interfaces);
    let peer = options.bind(address)?;
    if interfaces.is_empty() {
        interfaces.push(Interface::ANY);
    }
    for interface in interfaces {
        if sources.is_empty() {
            peer.join_on(group.ip(), interface)?;
        }
        for source in sources {
            peer.join_source_on(group.ip(), *source, interface)?;
        }
    }
    Ok(peer)
}

/// What to bind to for a group: the group itself, so that nothing else comes. One of IPv6 that is
/// not known beyond its network has to name an interface for that; where there is none or more than
/// one it has to be any address.
fn own_address(group: SocketAddr, interfaces: &[Interface]) -> SocketAddr {
    let SocketAddr::V6(group) = group else { return group };
    // Scopes 1 and 2: RFC 4291, section 2.7.
    let is_wide = group.ip().octets()[1] & 0x0f > 2;
    match interfaces {
        _ if is_wide => group.into(),
        [one] => SocketAddrV6::new(*group.ip(), group.port(), 0, one.index()).into(),
        _ => (Ipv6Addr::UNSPECIFIED, group.port()).into(),
    }
}

/// A peer that sends to the group of a `mcast:` endpoint as that says.
///
/// # Errors
/// An interface that there is not, what the kernel says.
pub fn open_group(to: &MulticastDestination) -> io::Result<Peer> {
    let mut options = Peer::options().reuse(false).hops(to.hops).loopback(to.loopback);
    if let Some(interface) = &to.interface {
        options = options.interface(interface.to_string());
    }
    options.bind(SocketAddr::new(any(to.group), 0))
}

/// Has the kernel hold so many bytes that were not received yet, and notes if it grants less.
pub(super) fn hold_received(socket: &Descriptor, bytes: u32, tally: &Tally) -> io::Result<()> {
    socket.set_option(SocketOption::ReceiveBuffer(bytes as usize))?;
    note(LessGranted::of_receive_buffer(socket.conn(), bytes as usize)?, tally);
    Ok(())
}

/// The same for what was not sent yet.
pub(super) fn hold_unsent(socket: &Descriptor, bytes: u32, tally: &Tally) -> io::Result<()> {
    socket.set_option(SocketOption::SendBuffer(bytes as usize))?;
    note(LessGranted::of_send_buffer(socket.conn(), bytes as usize)?, tally);
    Ok(())
}

fn note(less: Option<LessGranted>, tally: &Tally) {
    if let Some(less) = less {
        tally.note(&format_args!("buffer: {less}"));
    }
}

/// The address that stands for all of a family.
fn any(address: SocketAddr) -> IpAddr {
    match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// Connects to a Unix stream socket.
pub(super) async fn connect_unix(name: &UnixName) -> io::Result<Descriptor> {
    Ok(UnixStream::connect(unix_address(name)).timeout(PATIENCE).await?.into_descriptor())
}

/// Listens on a Unix stream socket; a path behind which nobody listens any more is taken over.
pub(super) fn listen_unix(name: &UnixName) -> io::Result<Descriptor> {
    let options = UnixListener::options().backlog(BACKLOG).remove_stale(true);
    Ok(options.bind(unix_address(name))?.into_descriptor())
}

fn unix_address(name: &UnixName) -> UnixAddress {
    match name {
        UnixName::Path(path) => UnixAddress::path(path),
        UnixName::Abstract(name) => UnixAddress::abstract_name(name),
    }
}
