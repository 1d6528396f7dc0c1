//! A TCP listener.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use socket2::Type;
use tautline_runtime::{Conn, Descriptor, KeepAlive, Operation, Outcome, Pending, SocketOption};

use super::TcpStream;
use super::options::stream_options;
use crate::address::{ToAddress, domain, ip};
use crate::calls::{accepting, of_descriptor};
use crate::error::at;
use crate::op;

/// How a listener is to be made. What is said of streams holds for every stream that it
/// accepts, without a system call for each.
///
/// ```
/// # use tautline_net::TcpListener;
/// # let runtime = tautline_runtime::Runtime::new(Default::default())?;
/// let listener = TcpListener::options().backlog(4096).reuse_port(true).bind("[::1]:0")?;
/// assert!(listener.local_addr()?.is_ipv6());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ListenOptions {
    backlog: i32,
    reuse_address: bool,
    reuse_port: bool,
    only_v6: Option<bool>,
    streams: Vec<SocketOption>,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            backlog: 1024,
            reuse_address: true,
            reuse_port: false,
            only_v6: None,
            streams: vec![SocketOption::NoDelay(true)],
        }
    }
}

impl ListenOptions {
    /// Connections that may wait to be accepted; the kernel's own limit is
    /// `net.core.somaxconn`. Default 1,024.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = i32::try_from(connections).unwrap_or(i32::MAX);
        self
    }

    /// Whether a port can be taken of which old connections have not quite ended.
    /// Default: yes.
    pub fn reuse_address(mut self, on: bool) -> Self {
        self.reuse_address = on;
        self
    }

    /// Whether several listeners may share the port, and the kernel divides connections
    /// among them: one for each loop. Default: no.
    pub fn reuse_port(mut self, on: bool) -> Self {
        self.reuse_port = on;
        self
    }

    /// Whether an IPv6 listener refuses IPv4. Default: as the system has it
    /// (`net.ipv6.bindv6only`).
    pub fn only_v6(mut self, on: bool) -> Self {
        self.only_v6 = Some(on);
        self
    }

    /// Listens on `addr`; port 0 leaves the port to the system.
    ///
    /// # Errors
    /// [`Error`](crate::Error) that names `addr` and what would help.
    pub fn bind(&self, addr: impl ToAddress) -> io::Result<TcpListener> {
        let addr = addr.to_address()?.literal()?;
        self.listen(addr).map_err(at("bind", addr))
    }

    fn listen(&self, addr: SocketAddr) -> io::Result<TcpListener> {
        let descriptor = Descriptor::socket(domain(addr), Type::STREAM, None)?;
        let mut options = vec![
            SocketOption::ReuseAddress(self.reuse_address),
            SocketOption::ReusePort(self.reuse_port),
        ];
        options.extend(self.only_v6.filter(|_| addr.is_ipv6()).map(SocketOption::OnlyV6));
        options.extend(&self.streams);
        for option in options {
            descriptor.set_option(option)?;
        }
        descriptor.bind(&addr.into())?;
        descriptor.listen(self.backlog)?;
        Ok(TcpListener { descriptor })
    }
}

stream_options!(ListenOptions, streams);

/// A TCP socket that waits for connections.
///
/// Dropping it closes it; connections that wait to be accepted are reset.
#[derive(Debug)]
pub struct TcpListener {
    descriptor: Descriptor,
}

of_descriptor!(TcpListener);
accepting!(TcpListener, TcpStream);

impl TcpListener {
    /// Listens on `addr`, such as `"127.0.0.1:7000"` or `"[::]:7000"`, with the default
    /// options.
    ///
    /// # Errors
    /// [`Error`](crate::Error) that names `addr` and what would help.
    pub fn bind(addr: impl ToAddress) -> io::Result<Self> {
        Self::options().bind(addr)
    }

    /// The choices.
    pub fn options() -> ListenOptions {
        ListenOptions::default()
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        ip(&self.conn().local_addr()?)
    }

    /// Accepts a connection, and says whose it is. A connection that its peer has reset
    /// meanwhile is passed over. Dropped, it loses no connection.
    ///
    /// # Errors
    /// No descriptors left; what the kernel says.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            if let Some(accepted) = of_peer(self.descriptor.accept().await?) {
                return Ok(accepted);
            }
        }
    }

    /// Accepts one connection and gives it to `done`, with whose it is. If its peer has
    /// reset it meanwhile, that is the error
    /// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted).
    pub fn accept_then<F>(&self, done: F) -> Pending
    where
        F: FnOnce(io::Result<(TcpStream, SocketAddr)>) + 'static,
    {
        let aborted = || io::Error::from(io::ErrorKind::ConnectionAborted);
        self.descriptor
            .accept()
            .then(move |accepted| done(accepted.and_then(|d| of_peer(d).ok_or_else(aborted))))
    }

    /// Accepts a connection that waits, and says whose it is. One that its peer has reset
    /// meanwhile is passed over.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when none waits or another accept is
    /// before it; what the kernel says.
    pub fn try_accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            if let Some(accepted) = of_peer(self.conn().try_accept()?) {
                return Ok(accepted);
            }
        }
    }

    /// All connections, one after another; it never ends.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self, accept: None }
    }
}

/// An accepted connection and whose it is; none if it has been reset.
fn of_peer(accepted: Descriptor) -> Option<(TcpStream, SocketAddr)> {
    let stream = TcpStream::from_descriptor(accepted);
    let peer = stream.peer_addr().ok()?;
    Some((stream, peer))
}

/// The connections of a listener, as a stream of the `futures` crates.
#[must_use = "it accepts nothing until it is polled"]
pub struct Incoming<'l> {
    listener: &'l TcpListener,
    accept: Option<Operation<op::Accept>>,
}

impl Stream for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let accept = this.accept.get_or_insert_with(|| this.listener.descriptor.accept());
        let accepted = std::task::ready!(Pin::new(accept).poll(cx));
        this.accept = None;
        Poll::Ready(Some(accepted.map(TcpStream::from_descriptor)))
    }
}

impl fmt::Debug for Incoming<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").field("listener", self.listener).finish_non_exhaustive()
    }
}
