//! Streams of the loop as `hyper` reads and writes them.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_io::{AsyncRead, AsyncWrite};
use hyper::rt::{Read, ReadBufCursor, Write};
use tautline_runtime::time::Instant;

/// Bytes that one read takes in.
const PIECE: usize = 16 << 10;

/// Lends where all reads of the thread land. `hyper` lends memory that may hold nothing yet, which
/// safe code can only copy into; what one read brings goes on before the next is made.
pub(crate) fn with_piece<T>(call: impl FnOnce(&mut [u8]) -> T) -> T {
    thread_local! {
        static PIECES: RefCell<Box<[u8]>> = RefCell::new(vec![0; PIECE].into_boxed_slice());
    }
    PIECES.with_borrow_mut(|piece| call(piece))
}

/// A stream with the traits of `futures-io`, with those of `hyper`.
///
/// Flushing is over at once: whatever a turn of the loop writes leaves at its end in one call, so
/// that many answers to one receive cost one send. Where the queue is full, writing waits.
#[derive(Debug)]
pub struct Io<S> {
    stream: S,
    /// Was read before `hyper` had the stream.
    ahead: Bytes,
    ledger: Rc<Ledger>,
}

/// What has happened on a stream, for those who keep deadlines.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The peer has ended its side.
    pub(crate) ended: Cell<bool>,
    /// Since when a write waits for room.
    pub(crate) stalled: Cell<Option<Instant>>,
    /// When the first bytes came since this was cleared.
    pub(crate) heard: Cell<Option<Instant>>,
    /// A request was answered before all of it was read.
    pub(crate) refused: Cell<bool>,
}

impl<S> Io<S> {
    /// For `hyper`.
    pub fn new(stream: S) -> Self {
        Self { stream, ahead: Bytes::new(), ledger: Rc::default() }
    }

    /// With bytes that were read already: they come first.
    #[must_use]
    pub fn with_ahead(mut self, ahead: Bytes) -> Self {
        self.ahead = ahead;
        self
    }

    pub(crate) fn ledger(&self) -> &Rc<Ledger> {
        &self.ledger
    }

    /// The stream.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The stream, and what was read of it that nobody has taken.
    pub fn into_parts(self) -> (S, Bytes) {
        (self.stream, self.ahead)
    }
}

/// The time of this turn.
fn now() -> Option<Instant> {
    tautline_runtime::now().ok()
}

impl<S: AsyncRead + Unpin> Io<S> {
    /// Reads a piece and hands it to `take`, which is not called at the end.
    pub(crate) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
        take: impl FnOnce(&[u8]),
    ) -> Poll<io::Result<usize>> {
        with_piece(|piece| {
            let most = most.min(piece.len());
            let read = Pin::new(&mut self.stream).poll_read(cx, &mut piece[..most]);
            let count = ready!(read)?;
            if count == 0 {
                self.ledger.ended.set(true);
                return Poll::Ready(Ok(0));
            }
            if self.ledger.heard.get().is_none() {
                self.ledger.heard.set(now());
            }
            take(&piece[..count]);
            Poll::Ready(Ok(count))
        })
    }
}

impl<S: AsyncRead + Unpin> Read for Io<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let room = buf.remaining();
        if !this.ahead.is_empty() {
            let count = room.min(this.ahead.len());
            buf.put_slice(&this.ahead[..count]);
            this.ahead.advance(count);
            return Poll::Ready(Ok(()));
        }
        if room == 0 {
            return Poll::Ready(Ok(()));
        }
        this.poll_piece(cx, room, |piece| buf.put_slice(piece)).map_ok(drop)
    }
}

impl<S: AsyncWrite + Unpin> Io<S> {
    /// Notes whether a write waits.
    fn noted<T>(&self, written: Poll<T>) -> Poll<T> {
        match written {
            Poll::Ready(_) => self.ledger.stalled.set(None),
            Poll::Pending if self.ledger.stalled.get().is_none() => self.ledger.stalled.set(now()),
            Poll::Pending => {}
        }
        written
    }
}

impl<S: AsyncWrite + Unpin> Write for Io<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.noted(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.noted(written)
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = Pin::new(&mut self.stream).poll_close(cx);
        self.noted(closed)
    }
}
