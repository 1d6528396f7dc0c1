//! TLS for fibers.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tautline_runtime::{Conn, Descriptor};

use super::calls::{passed_on, read_timeout, std_read, std_write, view, write_timeout};
use super::timeouts::Timeouts;
use super::{wait, wait_until};
use crate::address::ToAddress;
use crate::call::Call;
use crate::tls::{Acceptor, Connector, Facts, State};
use crate::{ListenOptions, tls};

/// A TCP socket that waits for connections by TLS.
#[derive(Debug)]
pub struct TlsListener {
    inner: tls::TlsListener,
}

view!([] TlsListener, tls::TlsListener);
passed_on!(TlsListener {
    /// The address that it listens on.
    ///
    /// # Errors
    /// What the kernel says.
    fn local_addr() -> io::Result<SocketAddr>;

    /// Names it.
    fn conn() -> &Conn;
});

impl TlsListener {
    /// Listens on `addr`, with the default options. This does not wait.
    ///
    /// # Errors
    /// [`Error`](crate::Error) that names `addr` and what would help.
    pub fn bind(addr: impl ToAddress, acceptor: Acceptor) -> io::Result<Self> {
        Ok(tls::TlsListener::bind(addr, acceptor)?.into())
    }

    /// Listens on `addr` as `options` say.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_with(
        options: &ListenOptions,
        addr: impl ToAddress,
        acceptor: Acceptor,
    ) -> io::Result<Self> {
        Ok(tls::TlsListener::bind_with(options, addr, acceptor)?.into())
    }

    /// Accepts a connection, and says whose it is. The handshake is left to the fiber that is to
    /// have it, so that a slow peer does not hold up the next.
    ///
    /// # Errors
    /// As [`TcpListener::accept`](super::TcpListener::accept).
    pub fn accept(&self) -> io::Result<(TlsHandshake, SocketAddr)> {
        let (call, peer) = wait("accept", self.inner.accept())?;
        Ok((TlsHandshake { call }, peer))
    }
}

/// A handshake that has yet to be made.
#[must_use = "nothing happens until it is completed"]
pub struct TlsHandshake {
    call: Call<tls::TlsStream>,
}

impl TlsHandshake {
    /// Waits until it is over.
    ///
    /// # Errors
    /// [`tls::Error`], and what all calls say.
    pub fn complete(self) -> io::Result<TlsStream> {
        Ok(wait("handshake", self.call)?.into())
    }
}

impl fmt::Debug for TlsHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsHandshake").finish_non_exhaustive()
    }
}

/// A connection by TLS, which is [`io::Read`] and [`io::Write`].
///
/// All calls take `&self`: one fiber may read while another writes.
/// [`shutdown`](Self::shutdown) ends it in order; dropped without that, its peer takes it for cut
/// off.
///
/// ```no_run
/// # use tautline_net::fiber::TlsStream;
/// # use tautline_net::tls::Connector;
/// # use tautline_runtime::{Runtime, fiber::Stack};
/// use std::io::{BufRead, BufReader};
/// # let runtime = Runtime::new(Default::default())?;
/// # runtime.run_fiber(Stack::Medium, || {
/// let stream = TlsStream::connect(&Connector::new()?, "example.org:443")?;
/// stream.write_all(b"GET / HTTP/1.0\r\nHost: example.org\r\n\r\n")?;
/// for line in BufReader::new(&stream).lines() {
///     println!("{}", line?);
/// }
/// # std::io::Result::Ok(())
/// # })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TlsStream {
    inner: tls::TlsStream,
    timeouts: Timeouts,
}

view!([] TlsStream, tls::TlsStream, timeouts);
read_timeout!([] TlsStream);
write_timeout!([] TlsStream);
std_read!([] TlsStream, &TlsStream);
std_read!([] TlsStream, TlsStream);
std_write!([] TlsStream, &TlsStream);
std_write!([] TlsStream, TlsStream);
passed_on!(TlsStream {
    /// What was agreed on, and what is known of the peer.
    fn facts() -> &Facts;

    /// How far it is.
    fn state() -> State;

    /// Its own address.
    ///
    /// # Errors
    /// What the kernel says; when it has no IP address.
    fn local_addr() -> io::Result<SocketAddr>;

    /// The peer's address.
    ///
    /// # Errors
    /// As [`local_addr`](Self::local_addr).
    fn peer_addr() -> io::Result<SocketAddr>;

    /// Names its descriptor: what is queued, its marks, closing.
    fn conn() -> &Conn;
});

impl TlsStream {
    /// Connects to `peer` by TCP, and makes sure that it is who its name says.
    ///
    /// # Errors
    /// As [`Connector::connect`]; what all calls say.
    pub fn connect(connector: &Connector, peer: impl ToAddress) -> io::Result<Self> {
        Ok(wait("connect", connector.connect(peer))?.into())
    }

    /// Connects to `peer` by TCP, and makes sure that it is `name`, whatever its address is.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn connect_as(connector: &Connector, peer: impl ToAddress, name: &str) -> io::Result<Self> {
        Ok(wait("connect", connector.connect_as(peer, name))?.into())
    }

    /// Speaks TLS over a stream that is connected already, with a peer of that `name`.
    ///
    /// # Errors
    /// [`tls::Error`]; what all calls say.
    pub fn wrap(
        connector: &Connector,
        stream: impl Into<Descriptor>,
        name: &str,
    ) -> io::Result<Self> {
        Ok(wait("handshake", connector.wrap(stream, name))?.into())
    }

    /// Speaks TLS over a stream that was accepted.
    ///
    /// # Errors
    /// [`tls::Error`]; what all calls say.
    pub fn accept(acceptor: &Acceptor, stream: impl Into<Descriptor>) -> io::Result<Self> {
        Ok(wait("handshake", acceptor.accept(stream))?.into())
    }

    /// Reads what is there, waiting for the first byte. Zero: the peer has ended in order, or
    /// `buf` is empty.
    ///
    /// # Errors
    /// [`tls::Error`], of which [`Truncated`](tls::Error::Truncated) is an end that the peer has
    /// not announced; what the kernel says, and what all calls say.
    pub fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let deadline = self.timeouts.read.deadline()?;
        wait_until("read", deadline, poll_fn(|cx| self.inner.poll_read(cx, buf)))
    }

    /// Reads until `buf` is full.
    ///
    /// # Errors
    /// As [`read`](Self::read); [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if the stream ends
    /// before.
    pub fn read_exact(&self, buf: &mut [u8]) -> io::Result<()> {
        let deadline = self.timeouts.read.deadline()?;
        wait_until("read_exact", deadline, self.inner.read_exact(buf))
    }

    /// Reads what is there into the first of the buffers that has room.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_vectored(&self, bufs: &mut [io::IoSliceMut<'_>]) -> io::Result<usize> {
        match bufs.iter_mut().find(|buf| !buf.is_empty()) {
            Some(buf) => self.read(buf),
            None => Ok(0),
        }
    }

    /// Queues `buf` to leave in one call at the end of the turn, with everything else that this
    /// turn writes; waits where the queue is full. Returns how much it has taken, at least a byte.
    ///
    /// # Errors
    /// What the kernel says, also of earlier writes; what all calls say.
    pub fn write(&self, buf: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[io::IoSlice::new(buf)])
    }

    /// Queues all of `buf`, waiting for room as often as needed. Cancelled or timed out in its
    /// midst, a part was queued.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_all(&self, buf: &[u8]) -> io::Result<()> {
        let deadline = self.timeouts.write.deadline()?;
        wait_until("write_all", deadline, self.inner.write_all(buf))
    }

    /// Queues one buffer after the other; they share records where they fit. Returns how much was
    /// taken, at least a byte.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_vectored(&self, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let deadline = self.timeouts.write.deadline()?;
        wait_until("write", deadline, poll_fn(|cx| self.inner.poll_write_vectored(cx, bufs)))
    }

    /// Sends now what was written, and waits until the kernel has taken all of it.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn flush(&self) -> io::Result<()> {
        let deadline = self.timeouts.write.deadline()?;
        wait_until("flush", deadline, self.inner.flush())
    }

    /// Tells the peer that nothing more comes, waits until the kernel has taken everything, and
    /// ends sending. Reading goes on until the peer has done the same.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub fn shutdown(&self) -> io::Result<()> {
        let deadline = self.timeouts.write.deadline()?;
        wait_until("shutdown", deadline, self.inner.shutdown())
    }
}
