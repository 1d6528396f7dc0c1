//! The half of a framed stream that sends.

use std::fmt;
use std::future::poll_fn;
use std::io;

use tautline_runtime::Conn;

use super::outlet::{Hold, Outlet};
use super::{Encode, SendError};

/// The half of a [`Framed`](super::Framed) that sends. Cheap to clone where its codec is; all clones
/// send on one stream, each item whole.
///
/// What is sent lies in a buffer, encoded in place, until it leaves: see [`Flush`](super::Flush).
/// The stream is closed when both halves are gone; what was sent before still leaves.
#[derive(Clone)]
pub struct Writer<E> {
    outlet: Outlet,
    encoder: E,
}

impl<E> Writer<E> {
    pub(super) fn new(outlet: Outlet, encoder: E) -> Self {
        Self { outlet, encoder }
    }

    pub(super) fn outlet(&self) -> &Outlet {
        &self.outlet
    }

    /// Sends an item: encodes it behind those that wait to leave. Never waits.
    ///
    /// # Errors
    /// [`SendError`]: the item was not sent, nor a part of it.
    #[inline]
    pub fn send<I>(&mut self, item: I) -> Result<(), SendError<E::Error>>
    where
        E: Encode<I>,
    {
        self.outlet.send(&mut self.encoder, item)
    }

    /// Waits until at least half of the buffer is free: at once, unless the peer takes less than was
    /// sent. For whoever sends more than he receives, before each item or batch that takes no more than
    /// that; then nothing is refused, and memory is bounded by the buffer and the [high-water
    /// mark](super::Options::high_water).
    ///
    /// One task waits at a time: of several with clones of one writer, the last that asks is woken.
    ///
    /// # Errors
    /// What the stream says. When the stream was given to the loop: there, handlers wait by themselves.
    pub async fn ready(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.outlet.poll_ready(cx)).await
    }

    /// Everything that was sent leaves now, in one call.
    ///
    /// # Errors
    /// What the stream says.
    pub fn push(&mut self) -> io::Result<()> {
        self.outlet.get().push()
    }

    /// The same, and waits until the kernel has taken all of it: one task at a time.
    ///
    /// # Errors
    /// As [`ready`](Self::ready).
    pub async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.outlet.get().poll_flush(cx)).await
    }

    /// Nothing more will be sent: the peer is told so behind all that was. Receiving goes on.
    ///
    /// # Errors
    /// What the stream says.
    pub fn finish(&mut self) -> io::Result<()> {
        self.outlet.get().finish()
    }

    /// Bytes that wait to leave.
    pub fn waiting(&self) -> usize {
        self.outlet.get().waiting()
    }

    /// Whether as much waits as may: the next item may be refused.
    pub fn is_full(&self) -> bool {
        self.outlet.get().is_full()
    }

    /// Hands no more items to the stream's handler, until [`resume`](Self::resume). Nothing that
    /// arrives meanwhile is lost, and no more of it is read than the buffer holds.
    pub fn pause(&self) {
        self.outlet.get().hold(Hold::User);
    }

    /// Goes on.
    ///
    /// # Errors
    /// When the stream is closed.
    pub fn resume(&self) -> io::Result<()> {
        self.outlet.get().release(Hold::User)
    }

    /// Closes the stream, for both halves; what was sent still leaves, within
    /// `Config::drain_time`. The close handler is not called.
    pub fn close(&self) {
        self.outlet.close();
    }

    /// Names the stream's descriptor.
    pub fn conn(&self) -> Conn {
        self.outlet.conn()
    }
}

impl<E> fmt::Debug for Writer<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}
