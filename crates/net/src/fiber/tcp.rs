//! TCP for fibers.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use tautline_runtime::time::Instant;
use tautline_runtime::{Conn, Descriptor, KeepAlive};

use super::calls::{passed_on, reading, timed, view, writing};
use super::split::{ReadHalf, WriteHalf, split};
use super::timeouts::{Timed, Timeouts, not_zero};
use super::wait;
use crate::address::ToAddress;
use crate::calls::Stands;
use crate::{Dial, ListenOptions};

/// A TCP socket that waits for connections.
///
/// Dropping it closes it; connections that wait to be accepted are reset.
///
/// ```
/// # use tautline_net::fiber::{TcpListener, TcpStream};
/// # use tautline_runtime::{Runtime, fiber::{self, Stack}};
/// # let runtime = Runtime::new(Default::default())?;
/// # let all = runtime.run_fiber(Stack::Small, || {
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let addr = listener.local_addr()?;
/// let near = fiber::spawn(Stack::Small, move || TcpStream::connect(addr))?;
/// let far = listener.accept()?;
/// # let near = near.join().unwrap()?;
/// assert_eq!(far.peer_addr()?, near.local_addr()?);
/// # std::io::Result::Ok(())
/// # });
/// # all??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TcpListener {
    inner: crate::TcpListener,
}

view!([] TcpListener, crate::TcpListener);
passed_on!(TcpListener {
    /// The address that it listens on.
    ///
    /// # Errors
    /// What the kernel says.
    fn local_addr() -> io::Result<SocketAddr>;

    /// Names it.
    fn conn() -> &Conn;
});

impl TcpListener {
    /// Listens on `addr`, such as `"127.0.0.1:7000"` or `"[::]:7000"`, with the default
    /// options. This does not wait.
    ///
    /// # Errors
    /// [`Error`](crate::Error) that names `addr` and what would help.
    pub fn bind(addr: impl ToAddress) -> io::Result<Self> {
        Self::bind_with(&ListenOptions::default(), addr)
    }

    /// Listens on `addr` as `options` say.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_with(options: &ListenOptions, addr: impl ToAddress) -> io::Result<Self> {
        Ok(options.bind(addr)?.into())
    }

    /// Accepts a connection. One that its peer has reset meanwhile is passed over.
    ///
    /// # Errors
    /// No descriptors left; what the kernel says, and what all calls say.
    pub fn accept(&self) -> io::Result<TcpStream> {
        Ok(self.next(None)?.0)
    }

    /// Accepts a connection, and says whose it is.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    pub fn accept_from(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.next(None)
    }

    /// Accepts a connection that comes before `deadline`.
    ///
    /// # Errors
    /// As [`accept`](Self::accept); [`TimedOut`](io::ErrorKind::TimedOut).
    pub fn accept_until(&self, deadline: Instant) -> io::Result<TcpStream> {
        Ok(self.next(Some(deadline))?.0)
    }

    fn next(&self, deadline: Option<Instant>) -> io::Result<(TcpStream, SocketAddr)> {
        let calls = self.inner.stands().blocking().deadline(deadline);
        loop {
            let stream = crate::TcpStream::from_descriptor(calls.accept()?);
            // One that was reset has no peer any more.
            if let Ok(peer) = stream.peer_addr() {
                return Ok((stream.into(), peer));
            }
        }
    }

    /// All connections, one after another; it never ends.
    pub fn incoming(&self) -> impl Iterator<Item = io::Result<TcpStream>> {
        std::iter::repeat_with(|| self.accept())
    }
}

/// A TCP connection, which is [`io::Read`] and [`io::Write`].
///
/// All calls take `&self`: one fiber may read while another writes. Dropping it closes it; what
/// was written is still sent.
///
/// ```
/// # use tautline_net::fiber::{TcpListener, TcpStream};
/// # use tautline_runtime::{Runtime, fiber::{self, Stack}};
/// use std::io::{BufRead, BufReader};
/// # let runtime = Runtime::new(Default::default())?;
/// # let all = runtime.run_fiber(Stack::Small, || {
/// # let listener = TcpListener::bind("127.0.0.1:0")?;
/// # let addr = listener.local_addr()?;
/// # let _ = fiber::spawn(Stack::Small, move || {
/// #     listener.accept().and_then(|stream| stream.write_all(b"one\ntwo\n"))
/// # })?;
/// let stream = TcpStream::connect(addr)?;
/// let lines: Vec<String> = BufReader::new(&stream).lines().collect::<Result<_, _>>()?;
/// assert_eq!(lines, ["one", "two"]);
/// # std::io::Result::Ok(())
/// # });
/// # all??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TcpStream {
    inner: crate::TcpStream,
    timeouts: Timeouts,
}

view!([] TcpStream, crate::TcpStream, timeouts);
timed!([] TcpStream);
reading!([] TcpStream);
writing!([] TcpStream);
passed_on!(TcpStream {
    /// Its own address.
    ///
    /// # Errors
    /// What the kernel says.
    fn local_addr() -> io::Result<SocketAddr>;

    /// The peer's address.
    ///
    /// # Errors
    /// [`NotConnected`](io::ErrorKind::NotConnected) once the peer has reset it; what the
    /// kernel says.
    fn peer_addr() -> io::Result<SocketAddr>;

    /// Whether small segments leave at once (`TCP_NODELAY`). It is on unless switched off.
    ///
    /// # Errors
    /// What the kernel says.
    fn set_nodelay(on: bool) -> io::Result<()>;

    /// Whether small segments leave at once.
    ///
    /// # Errors
    /// What the kernel says.
    fn nodelay() -> io::Result<bool>;

    /// Probes a silent peer, or no longer.
    ///
    /// # Errors
    /// What the kernel says.
    fn set_keepalive(probes: Option<KeepAlive>) -> io::Result<()>;

    /// What closing does with unsent bytes: see [`crate::TcpStream::set_linger`].
    ///
    /// # Errors
    /// What the kernel says.
    fn set_linger(time: Option<Duration>) -> io::Result<()>;

    /// Bytes of the kernel's receive buffer.
    ///
    /// # Errors
    /// What the kernel says.
    fn set_receive_buffer(bytes: usize) -> io::Result<()>;

    /// Bytes of the kernel's send buffer.
    ///
    /// # Errors
    /// What the kernel says.
    fn set_send_buffer(bytes: usize) -> io::Result<()>;

    /// Ends one or both directions; sending once everything that was written has left.
    ///
    /// # Errors
    /// What the kernel says.
    fn shutdown(how: Shutdown) -> io::Result<()>;

    /// Names it, for the calls that handlers have: queued writes, marks, pausing.
    fn conn() -> &Conn;
});

impl TcpStream {
    /// Connects to the first address of `peer` that answers, within 30 s; small segments leave
    /// at once.
    ///
    /// # Errors
    /// [`Error`](crate::Error) that names `peer`, and what happened with the last of its
    /// addresses; what all calls say.
    pub fn connect(peer: impl ToAddress) -> io::Result<Self> {
        Self::dial(Dial::new(), peer)
    }

    /// The same, `within` another time.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); [`InvalidInput`](io::ErrorKind::InvalidInput) for a time
    /// of zero.
    pub fn connect_timeout(peer: impl ToAddress, within: Duration) -> io::Result<Self> {
        not_zero(within)?;
        Self::dial(Dial::new().timeout(within), peer)
    }

    /// Connects to `peer` as `dial` says.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn dial(dial: Dial, peer: impl ToAddress) -> io::Result<Self> {
        Ok(wait("connect", dial.connect(peer))?.into())
    }

    /// Drops it with a reset: the peer sees an error, what was not sent is lost.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn reset(self) -> io::Result<()> {
        self.inner.reset()
    }

    /// Its two directions, each with an owner of its own, for two fibers of which neither
    /// outlives the other. Each keeps its timeout.
    pub fn split(self) -> (ReadHalf<crate::TcpStream>, WriteHalf<crate::TcpStream>) {
        split(self.inner.split(), self.timeouts)
    }
}
