//! Unix sockets for fibers.

use std::io;
use std::net::Shutdown;
use std::time::Duration;

use tautline_runtime::time::Instant;
use tautline_runtime::{Batch, Conn, Datagram, Descriptor, Packet, To};

use super::calls::{passed_on, reading, timed, view, writing};
use super::datagrams::datagrams;
use super::split::{ReadHalf, WriteHalf, split};
use super::timeouts::{Timed, Timeouts, not_zero};
use super::{wait, wait_within};
use crate::calls::Stands;
use crate::{Credentials, UnixAddress, UnixListenOptions};

/// A Unix socket that waits for connections. Its path stays when it is dropped.
///
/// ```
/// # use tautline_net::fiber::{UnixListener, UnixStream};
/// # use tautline_runtime::{Runtime, fiber::Stack};
/// # let runtime = Runtime::new(Default::default())?;
/// # let all = runtime.run_fiber(Stack::Small, || {
/// # let name = format!("@tautline-fiber-{}", std::process::id());
/// let listener = UnixListener::bind(&name)?;
/// let near = UnixStream::connect(&name)?;
/// let far = listener.accept()?;
/// near.write_all(b"hello")?;
/// far.read_exact(&mut [0; 5])
/// # });
/// # all??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct UnixListener {
    inner: crate::UnixListener,
}

view!([] UnixListener, crate::UnixListener);
passed_on!(UnixListener {
    /// The name that it listens on.
    ///
    /// # Errors
    /// What the kernel says.
    fn local_addr() -> io::Result<UnixAddress>;

    /// Names it.
    fn conn() -> &Conn;
});

impl UnixListener {
    /// Listens on `addr`, a path or an abstract name such as `"@feed"`. This does not wait.
    ///
    /// # Errors
    /// [`Error`](crate::Error) that names `addr` and what would help.
    pub fn bind(addr: impl Into<UnixAddress>) -> io::Result<Self> {
        Self::bind_with(&UnixListenOptions::default(), addr)
    }

    /// Listens on `addr` as `options` say.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_with(
        options: &UnixListenOptions,
        addr: impl Into<UnixAddress>,
    ) -> io::Result<Self> {
        Ok(options.bind(addr)?.into())
    }

    /// Accepts a connection.
    ///
    /// # Errors
    /// No descriptors left; what the kernel says, and what all calls say.
    pub fn accept(&self) -> io::Result<UnixStream> {
        self.next(None)
    }

    /// Accepts a connection that comes before `deadline`.
    ///
    /// # Errors
    /// As [`accept`](Self::accept); [`TimedOut`](io::ErrorKind::TimedOut).
    pub fn accept_until(&self, deadline: Instant) -> io::Result<UnixStream> {
        self.next(Some(deadline))
    }

    fn next(&self, deadline: Option<Instant>) -> io::Result<UnixStream> {
        let accepted = self.inner.stands().blocking().deadline(deadline).accept()?;
        Ok(crate::UnixStream::from_descriptor(accepted).into())
    }

    /// All connections, one after another; it never ends.
    pub fn incoming(&self) -> impl Iterator<Item = io::Result<UnixStream>> {
        std::iter::repeat_with(|| self.accept())
    }
}

/// A connection between two processes of one machine, which is [`io::Read`] and [`io::Write`].
///
/// All calls take `&self`: one fiber may read while another writes.
#[derive(Debug)]
pub struct UnixStream {
    inner: crate::UnixStream,
    timeouts: Timeouts,
}

view!([] UnixStream, crate::UnixStream, timeouts);
timed!([] UnixStream);
reading!([] UnixStream);
writing!([] UnixStream);
passed_on!(UnixStream {
    /// Its own name.
    ///
    /// # Errors
    /// What the kernel says.
    fn local_addr() -> io::Result<UnixAddress>;

    /// The peer's name.
    ///
    /// # Errors
    /// What the kernel says.
    fn peer_addr() -> io::Result<UnixAddress>;

    /// Who is at the other end, as the kernel knows it.
    ///
    /// # Errors
    /// What the kernel says.
    fn peer_credentials() -> io::Result<Credentials>;

    /// Ends one or both directions; sending once everything that was written has left.
    ///
    /// # Errors
    /// What the kernel says.
    fn shutdown(how: Shutdown) -> io::Result<()>;

    /// Names it, for the calls that handlers have: queued writes, marks, pausing.
    fn conn() -> &Conn;
});

impl UnixStream {
    /// Connects to a listener, within 30 s: one whose backlog is full is tried again.
    ///
    /// # Errors
    /// [`Error`](crate::Error) that names `peer` and what would help; what all calls say.
    pub fn connect(peer: impl Into<UnixAddress>) -> io::Result<Self> {
        Ok(wait("connect", crate::UnixStream::connect(peer))?.into())
    }

    /// As [`connect`](Self::connect), within another time.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); [`InvalidInput`](io::ErrorKind::InvalidInput) for a time of
    /// zero.
    pub fn connect_timeout(peer: impl Into<UnixAddress>, within: Duration) -> io::Result<Self> {
        not_zero(within)?;
        Ok(wait("connect", crate::UnixStream::connect_timeout(peer, within))?.into())
    }

    /// Two streams, connected to each other.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = crate::UnixStream::pair()?;
        Ok((a.into(), b.into()))
    }

    /// Its two directions, each with an owner of its own, for two fibers of which neither
    /// outlives the other. Each keeps its timeout.
    pub fn split(self) -> (ReadHalf<crate::UnixStream>, WriteHalf<crate::UnixStream>) {
        split(self.inner.split(), self.timeouts)
    }
}

/// Datagrams between processes of one machine; none is lost or reordered, and a sender waits for
/// a receiver that is behind.
///
/// ```
/// # use tautline_net::fiber::UnixDatagram;
/// # use tautline_runtime::{Runtime, fiber::Stack};
/// # let runtime = Runtime::new(Default::default())?;
/// # let all = runtime.run_fiber(Stack::Small, || {
/// let (a, b) = UnixDatagram::pair()?;
/// a.send(b"hello")?;
/// assert_eq!(b.receive(&mut [0; 64])?, 5);
/// # std::io::Result::Ok(())
/// # });
/// # all??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct UnixDatagram {
    inner: crate::UnixDatagram,
    timeouts: Timeouts,
}

view!([] UnixDatagram, crate::UnixDatagram, timeouts);
timed!([] UnixDatagram);
datagrams!(UnixDatagram);
passed_on!(UnixDatagram {
    /// Its own name.
    ///
    /// # Errors
    /// What the kernel says.
    fn local_addr() -> io::Result<UnixAddress>;

    /// Names it.
    fn conn() -> &Conn;
});

impl UnixDatagram {
    /// A socket without a name: it can send, and receive once it is connected to one that is
    /// connected to it.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn unbound() -> io::Result<Self> {
        Ok(crate::UnixDatagram::unbound()?.into())
    }

    /// A socket with a name.
    ///
    /// # Errors
    /// [`Error`](crate::Error) that names `addr` and what would help.
    pub fn bind(addr: impl Into<UnixAddress>) -> io::Result<Self> {
        Ok(crate::UnixDatagram::bind(addr)?.into())
    }

    /// The same, taking over a path that an earlier process has left.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_over_stale(addr: impl Into<UnixAddress>) -> io::Result<Self> {
        Ok(crate::UnixDatagram::bind_over_stale(addr)?.into())
    }

    /// Two sockets, connected to each other.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = crate::UnixDatagram::pair()?;
        Ok((a.into(), b.into()))
    }

    /// Sends to `peer` from now on.
    ///
    /// # Errors
    /// [`Error`](crate::Error) that names `peer` and what would help.
    pub fn connect(&self, peer: impl Into<UnixAddress>) -> io::Result<()> {
        self.inner.connect(peer)
    }

    /// Sends one datagram to a name.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a name that is too long; what the
    /// kernel says, and what all calls say.
    pub fn send_to(&self, bytes: &[u8], to: impl Into<UnixAddress>) -> io::Result<usize> {
        self.to_write()?.send_to(bytes, Some(&to.into().to_socket()?))
    }

    /// Whom a datagram came from.
    pub fn source(received: &Datagram) -> Option<UnixAddress> {
        crate::UnixDatagram::source(received)
    }

    /// Whom a datagram of a batch came from.
    pub fn packet_source(packet: &Packet<'_>) -> Option<UnixAddress> {
        crate::UnixDatagram::packet_source(packet)
    }
}
