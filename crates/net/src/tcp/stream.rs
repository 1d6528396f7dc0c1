//! A TCP connection.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tautline_runtime::{
    Conn, Descriptor, IoBuf, IoBufMut, KeepAlive, Operation, Outcome, SocketOption,
};

use super::Dial;
use crate::address::{ToAddress, ip};
use crate::call::Call;
use crate::calls::{handing_over, of_descriptor, reading, stands, writing};
use crate::op;
use crate::split::{Duplex, ReadHalf, WriteHalf, split};

/// A TCP connection. All reading and writing calls take `&self`: one task may read
/// while another writes.
///
/// Dropping it closes it; what was written is still sent.
///
/// ```
/// # use tautline_net::{TcpListener, TcpStream};
/// # let runtime = tautline_runtime::Runtime::new(Default::default())?;
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let addr = listener.local_addr()?;
/// listener.on_accept(|stream| stream.on_data(|stream, bytes| stream.write(bytes)))?;
/// let echoed = runtime.block_on(async {
///     let stream = TcpStream::connect(addr).await?;
///     stream.write_all("hello").await.0?;
///     let (read, buf) = stream.read_exact(vec![0; 5]).await;
///     read.map(|_| buf)
/// })??;
/// assert_eq!(echoed, b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TcpStream {
    descriptor: Descriptor,
}

of_descriptor!(TcpStream);
stands!(TcpStream);
reading!([] TcpStream);
writing!([] TcpStream);
handing_over!(TcpStream);

impl Duplex for TcpStream {}

impl From<TcpStream> for Descriptor {
    fn from(stream: TcpStream) -> Self {
        stream.into_descriptor()
    }
}

impl TcpStream {
    /// Connects to the first address of `peer` that answers, within 30 s; small segments
    /// leave at once. [`Dial`] has the choices.
    pub fn connect(peer: impl ToAddress) -> Call<Self> {
        Dial::new().connect(peer)
    }

    /// Its own address.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        ip(&self.conn().local_addr()?)
    }

    /// The peer's address.
    ///
    /// # Errors
    /// [`NotConnected`](io::ErrorKind::NotConnected) once the peer has reset it; what the
    /// kernel says.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        ip(&self.conn().peer_addr()?)
    }

    /// Whether small segments leave at once (`TCP_NODELAY`). It is on unless switched off.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.conn().set_option(SocketOption::NoDelay(on))
    }

    /// Whether small segments leave at once.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.conn().with_fd(|fd| Ok(rustix::net::sockopt::tcp_nodelay(fd)?))
    }

    /// Probes a silent peer, or no longer.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_keepalive(&self, probes: Option<KeepAlive>) -> io::Result<()> {
        self.conn().set_option(SocketOption::KeepAlive(probes))
    }

    /// What closing does with unsent bytes: `None` leaves them to the kernel; zero drops
    /// them and resets the connection; any other time makes the kernel's `close` wait,
    /// which holds the loop up, so leave that alone.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_linger(&self, time: Option<Duration>) -> io::Result<()> {
        self.conn().set_option(SocketOption::Linger(time))
    }

    /// Bytes of the kernel's receive buffer.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_receive_buffer(&self, bytes: usize) -> io::Result<()> {
        self.conn().set_option(SocketOption::ReceiveBuffer(bytes))
    }

    /// Bytes of the kernel's send buffer.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_send_buffer(&self, bytes: usize) -> io::Result<()> {
        self.conn().set_option(SocketOption::SendBuffer(bytes))
    }

    /// Ends one or both directions; sending once everything that was written has left.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.descriptor.shutdown(how)
    }

    /// Drops it with a reset: the peer sees an error, what was not sent is lost.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn reset(self) -> io::Result<()> {
        self.set_linger(Some(Duration::ZERO))?;
        self.conn().abort();
        Ok(())
    }

    /// Its two directions, each with an owner of its own.
    pub fn split(self) -> (ReadHalf<Self>, WriteHalf<Self>) {
        split(self)
    }

    fn end(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}
