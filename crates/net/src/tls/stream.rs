//! A connection by TLS, for tasks.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tautline_runtime::{Conn, Descriptor, Operation, Outcome};

use super::layer::{LEAST, Tls};
use super::{Facts, State, TlsConn};
use crate::address::ip;
use crate::calls::{async_read, async_write};
use crate::link::{Layer, Link, Received};
use crate::op;

/// Reads that may find something at once before others have their turn.
const STREAK: u8 = 32;

/// A connection by TLS, of which the handshake is over. All reading and writing calls take
/// `&self`: one task may read while another writes.
///
/// It is made by a [`Connector`](super::Connector) or an [`Acceptor`](super::Acceptor), of a TCP
/// stream or any other. [`shutdown`](Self::shutdown) ends it in order. Dropped without that, it is
/// closed once everything that was written has been sent, and its peer takes it for cut off.
pub struct TlsStream {
    descriptor: Descriptor,
    tls: RefCell<Tls>,
    facts: Facts,
    /// Waits for something to read.
    reading: RefCell<Option<Operation<op::Ready>>>,
    /// Reads in a row that did not wait.
    streak: Cell<u8>,
}

async_read!([] & TlsStream);
async_read!([] TlsStream);
async_write!([] & TlsStream);
async_write!([] TlsStream);

impl TlsStream {
    pub(super) fn new(descriptor: Descriptor, tls: Tls) -> Self {
        let facts = tls.facts();
        Self {
            descriptor,
            tls: RefCell::new(tls),
            facts,
            reading: RefCell::new(None),
            streak: Cell::new(0),
        }
    }

    /// What was agreed on, and what is known of the peer.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The application protocol that was agreed on (ALPN).
    pub fn alpn(&self) -> Option<&[u8]> {
        self.facts.alpn.as_deref()
    }

    /// How far it is.
    pub fn state(&self) -> State {
        self.tls.borrow().state()
    }

    /// Whether it holds part of a record in a buffer of the thread.
    pub fn holds_buffer(&self) -> bool {
        self.tls.borrow().holds_buffer()
    }

    /// Names its descriptor: what is queued, its marks, closing.
    pub fn conn(&self) -> &Conn {
        self.descriptor.conn()
    }

    /// Its own address.
    ///
    /// # Errors
    /// What the kernel says; when it has no IP address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        ip(&self.conn().local_addr()?)
    }

    /// The peer's address.
    ///
    /// # Errors
    /// As [`local_addr`](Self::local_addr).
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        ip(&self.conn().peer_addr()?)
    }

    /// Reads what is there, waiting for the first byte. Zero: the peer has ended in order, or
    /// `buf` is empty. Dropped, it loses nothing.
    ///
    /// # Errors
    /// [`Error`](super::Error), of which [`Truncated`](super::Error::Truncated) is an end that the
    /// peer has not announced; what the kernel says.
    pub async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read(cx, buf)).await
    }

    /// Reads until `buf` is full.
    ///
    /// # Errors
    /// As [`read`](Self::read); [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if the stream ends
    /// before.
    pub async fn read_exact(&self, buf: &mut [u8]) -> io::Result<()> {
        let mut at = 0;
        while at < buf.len() {
            match self.read(&mut buf[at..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => at += count,
            }
        }
        Ok(())
    }

    /// Reads what is there now.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when nothing is there; as [`read`](Self::read).
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        match self.tls.borrow_mut().receive(self.conn(), buf)? {
            Received::Bytes { count, .. } => Ok(count),
            Received::End => Ok(0),
            Received::Nothing => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Queues what there is room for, at least a byte, to leave at the end of the turn. Waits
    /// where there is none.
    ///
    /// # Errors
    /// [`Error::Finished`](super::Error::Finished) after [`shutdown`](Self::shutdown); what the
    /// kernel says, also of earlier writes.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_write(cx, bytes)).await
    }

    /// Queues all of it, waiting for room as often as needed. Dropped in its midst, a part was
    /// queued.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = self.write(bytes).await?;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// Queues now what there is room for, of parts that follow each other.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when there is none; as [`write`](Self::write).
    pub fn try_write_vectored(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.tls.borrow_mut().send(self.conn(), parts)? {
            0 if parts.iter().any(|part| !part.is_empty()) => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }

    /// Sends what was written, and waits until the kernel has taken all of it.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn flush(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Tells the peer that nothing more comes (`close_notify`), waits until everything was taken
    /// by the kernel, and ends sending. Reading goes on until the peer has done the same.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    pub async fn shutdown(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_end(cx)).await
    }

    /// Gives the stream to the loop, which calls `handler` with plain bytes; what the handler
    /// returns may be nothing, a count or a result. At its end it is closed in order.
    ///
    /// # Errors
    /// When the operation table is full.
    pub fn on_data<F, R>(self, handler: F) -> io::Result<TlsConn>
    where
        F: FnMut(&TlsConn, &[u8]) -> R + 'static,
        R: Outcome,
    {
        let Self { descriptor, tls, facts, .. } = self;
        TlsConn::start(descriptor, tls.into_inner(), facts, handler)
    }

    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.streak.get() == STREAK {
            self.streak.set(0);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            match self.try_read(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.streak.set(0);
                    ready!(self.poll_readable(cx))?;
                }
                result => {
                    self.streak.set(self.streak.get() + 1);
                    return Poll::Ready(result);
                }
            }
        }
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut reading = self.reading.borrow_mut();
        let operation = reading.get_or_insert_with(|| self.descriptor.readable());
        let done = ready!(Pin::new(operation).poll(cx));
        *reading = None;
        Poll::Ready(done.map(drop))
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    pub(crate) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            let taken = self.tls.borrow_mut().send(self.conn(), parts)?;
            if taken > 0 || parts.iter().all(|part| part.is_empty()) {
                return Poll::Ready(Ok(taken));
            }
            ready!(self.descriptor.poll_room(cx, LEAST))?;
        }
    }

    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.descriptor.poll_flush(cx)
    }

    pub(crate) fn poll_end(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let finished = self.tls.borrow_mut().finish(self.conn());
            match finished {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.descriptor.poll_room(cx, 1))?;
                }
                // One that has failed has said so already.
                Err(_) if self.state() == State::Failed => break,
                finished => {
                    finished?;
                    break;
                }
            }
        }
        ready!(self.poll_flush(cx))?;
        Poll::Ready(self.conn().shutdown_write())
    }
}

/// For the protocols that stand on a [`Link`].
impl From<TlsStream> for Link {
    fn from(stream: TlsStream) -> Self {
        let TlsStream { descriptor, tls, .. } = stream;
        Self::from(descriptor).with_layer(Box::new(tls.into_inner()))
    }
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream")
            .field("descriptor", &self.descriptor)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}
