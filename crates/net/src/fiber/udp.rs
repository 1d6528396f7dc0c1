//! UDP for fibers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tautline_runtime::{Batch, Conn, Datagram, Descriptor, SocketOption, To};

use super::calls::{passed_on, timed, view};
use super::datagrams::datagrams;
use super::timeouts::{Timed, Timeouts};
use super::wait_within;
use crate::UdpOptions;
use crate::address::ToAddress;
use crate::calls::Stands;

/// A UDP socket.
///
/// ```
/// # use tautline_net::fiber::UdpSocket;
/// # use tautline_runtime::{Runtime, fiber::Stack};
/// # let runtime = Runtime::new(Default::default())?;
/// # let all = runtime.run_fiber(Stack::Small, || {
/// let a = UdpSocket::bind("127.0.0.1:0")?;
/// let b = UdpSocket::bind("127.0.0.1:0")?;
/// a.send_to(b"hello", b.local_addr()?)?;
/// let mut buf = [0; 1500];
/// let received = b.receive_from(&mut buf)?;
/// assert_eq!(&buf[..received.len], b"hello");
/// assert_eq!(received.source(), Some(a.local_addr()?));
/// # std::io::Result::Ok(())
/// # });
/// # all??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct UdpSocket {
    inner: crate::UdpSocket,
    timeouts: Timeouts,
}

view!([] UdpSocket, crate::UdpSocket, timeouts);
timed!([] UdpSocket);
datagrams!(UdpSocket);
passed_on!(UdpSocket {
    /// Its own address.
    ///
    /// # Errors
    /// What the kernel says.
    fn local_addr() -> io::Result<SocketAddr>;

    /// The address of the peer that it is connected to.
    ///
    /// # Errors
    /// [`NotConnected`](io::ErrorKind::NotConnected) without one.
    fn peer_addr() -> io::Result<SocketAddr>;

    /// Sets an option.
    ///
    /// # Errors
    /// What the kernel says.
    fn set_option(option: SocketOption) -> io::Result<()>;

    /// Whether the kernel divides large sends into datagrams: [`Batch::push_segments`].
    ///
    /// # Errors
    /// What the kernel says.
    fn divides() -> io::Result<bool>;

    /// Names it.
    fn conn() -> &Conn;
});

impl UdpSocket {
    /// Binds to `addr`, such as `"0.0.0.0:5004"` or `"[::]:0"`. This does not wait.
    ///
    /// # Errors
    /// [`Error`](crate::Error) that names `addr` and what would help.
    pub fn bind(addr: impl ToAddress) -> io::Result<Self> {
        Self::bind_with(&UdpOptions::default(), addr)
    }

    /// Binds to `addr` as `options` say.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_with(options: &UdpOptions, addr: impl ToAddress) -> io::Result<Self> {
        Ok(options.bind(addr)?.into())
    }

    /// Sends to `peer` from now on, and receives only from there. Nothing goes over the
    /// network for that.
    ///
    /// # Errors
    /// [`Error`](crate::Error) that names `peer` and what would help.
    pub fn connect(&self, peer: impl ToAddress) -> io::Result<()> {
        self.inner.connect(peer)
    }

    /// Sends one datagram to an address.
    ///
    /// # Errors
    /// What the kernel says, and what all calls say.
    pub fn send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.to_write()?.send_to(bytes, Some(&to.into()))
    }
}
