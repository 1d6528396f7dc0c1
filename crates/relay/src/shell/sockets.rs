//! Opening sockets: names resolved, options set, errors with what was tried.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, SockAddr, Type};
use tautline_net::{Dial, TcpListener as Listener};
use tautline_runtime::{Descriptor, SocketOption, timer};

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
    insist(|| {
        let socket = Descriptor::socket(domain(address), Type::DGRAM, None)?;
        socket.bind(&address.into())?;
        Ok(socket)
    })
    .await
}

/// A UDP socket to send to `address` with.
pub(super) async fn udp_to(address: &HostPort) -> io::Result<(Descriptor, SockAddr)> {
    let address = resolve(address).await?;
    let socket = Descriptor::socket(domain(address), Type::DGRAM, None)?;
    socket.set_option(SocketOption::Broadcast(true))?;
    Ok((socket, address.into()))
}

fn domain(address: SocketAddr) -> Domain {
    if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 }
}

/// Connects to a Unix stream socket.
pub(super) async fn connect_unix(name: &UnixName) -> io::Result<Descriptor> {
    let socket = Descriptor::socket(Domain::UNIX, Type::STREAM, None)?;
    socket.connect(unix_address(name)?).timeout(PATIENCE).await?;
    Ok(socket)
}

/// Listens on a Unix stream socket; a path behind which nobody listens any more is taken over.
pub(super) fn listen_unix(name: &UnixName) -> io::Result<Descriptor> {
    let address = unix_address(name)?;
    if let UnixName::Path(path) = name {
        remove_stale(path, &address);
    }
    let socket = Descriptor::socket(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&address)?;
    socket.listen(BACKLOG as i32)?;
    Ok(socket)
}

fn unix_address(name: &UnixName) -> io::Result<SockAddr> {
    match name {
        UnixName::Path(path) => SockAddr::unix(path),
        UnixName::Abstract(name) => {
            use std::os::unix::ffi::OsStringExt;
            let name = [&[0], name.as_slice()].concat();
            SockAddr::unix(std::ffi::OsString::from_vec(name))
        }
    }
}

/// Removes the socket that a dead process has left. Whoever lives accepts, or has a full queue.
fn remove_stale(path: &Path, address: &SockAddr) {
    let is_socket = fs::metadata(path).is_ok_and(|data| data.file_type().is_socket());
    if !is_socket {
        return;
    }
    let probe = socket2::Socket::new(Domain::UNIX, Type::STREAM, None);
    let refused = probe.and_then(|probe| probe.connect(address));
    if refused.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
        // If it cannot be removed, binding says why.
        let _ = fs::remove_file(path);
    }
}
