//! Opening sockets: names resolved, options set, errors with what was tried.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::SockAddr;
use tautline_net::{
    Dial, TcpListener as Listener, UdpSocket, UnixAddress, UnixListener, UnixStream,
};
use tautline_runtime::{Descriptor, timer};

use crate::endpoint::{Host, HostPort, UnixName};

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
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::options().broadcast(true).bind(SocketAddr::new(any, 0))?;
    Ok((socket.into_descriptor(), address.into()))
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
