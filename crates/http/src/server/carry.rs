//! A stream of HTTP/2 as a stream of the loop, by way of a pair of sockets.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBuf, Write};
use hyper::upgrade::{OnUpgrade, Upgraded};
use tautline_net::UnixStream;
use tautline_runtime::Descriptor;

use super::way::Taker;
use crate::BoxError;
use crate::rt::with_piece;

/// Waits for the stream, lets `taker` have one end of a pair, and carries bytes between the other
/// end and the stream until both ways have ended or one has failed. Nothing is read that the next
/// has no room for, so that each side is held up by the other.
pub(super) async fn carry(granted: OnUpgrade, taker: Taker) -> Result<(), BoxError> {
    let stream = granted.await?;
    let (near, far) = UnixStream::pair()?;
    taker(far.into(), &[])?;
    let between = Between { stream: RefCell::new(stream), near: near.into_descriptor() };
    let (mut inward, mut outward) = (pin!(between.inward()), pin!(between.outward()));
    let (mut heard, mut said) = (false, false);
    poll_fn(|cx| {
        if !heard && let Poll::Ready(ended) = inward.as_mut().poll(cx) {
            ended?;
            heard = true;
        }
        if !said && let Poll::Ready(ended) = outward.as_mut().poll(cx) {
            ended?;
            said = true;
        }
        if heard && said { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

/// Both ends.
struct Between {
    stream: RefCell<Upgraded>,
    near: Descriptor,
}

impl Between {
    async fn inward(&self) -> Result<(), BoxError> {
        loop {
            let (count, rest) = poll_fn(|cx| self.poll_inward(cx)).await?;
            if count == 0 {
                return Ok(self.near.conn().shutdown_write()?);
            }
            let mut rest = &rest[..];
            while !rest.is_empty() {
                let taken = poll_fn(|cx| self.near.poll_write(cx, rest)).await?;
                rest = &rest[taken..];
            }
        }
    }

    /// Takes a piece of the stream, as large as there is room for; how much that was, and what
    /// the room was not enough for after all.
    fn poll_inward(&self, cx: &mut Context<'_>) -> Poll<io::Result<(usize, Vec<u8>)>> {
        let room = ready!(self.near.poll_room(cx, 1))?;
        with_piece(|piece| {
            let most = piece.len();
            let mut buf = ReadBuf::new(&mut piece[..room.min(most)]);
            ready!(Pin::new(&mut *self.stream.borrow_mut()).poll_read(cx, buf.unfilled()))?;
            let came = buf.filled();
            if came.is_empty() {
                return Poll::Ready(Ok((0, Vec::new())));
            }
            let taken = match self.near.poll_write(cx, came) {
                Poll::Ready(taken) => taken?,
                Poll::Pending => 0,
            };
            Poll::Ready(Ok((came.len(), came[taken..].to_vec())))
        })
    }

    async fn outward(&self) -> Result<(), BoxError> {
        loop {
            let (count, rest) = poll_fn(|cx| self.poll_outward(cx)).await?;
            if count == 0 {
                poll_fn(|cx| self.with(|stream| stream.poll_shutdown(cx))).await?;
                return Ok(());
            }
            let mut rest = &rest[..];
            while !rest.is_empty() {
                let taken = poll_fn(|cx| self.with(|stream| stream.poll_write(cx, rest))).await?;
                rest = &rest[taken..];
            }
        }
    }

    /// The same the other way. A stream that has been flushed takes a piece whole.
    fn poll_outward(&self, cx: &mut Context<'_>) -> Poll<io::Result<(usize, Vec<u8>)>> {
        ready!(self.with(|stream| stream.poll_flush(cx)))?;
        with_piece(|piece| {
            let count = ready!(self.near.poll_read(cx, piece))?;
            let came = &piece[..count];
            let taken = match self.with(|stream| stream.poll_write(cx, came)) {
                Poll::Ready(taken) => taken?,
                Poll::Pending => 0,
            };
            Poll::Ready(Ok((count, came[taken..].to_vec())))
        })
    }

    fn with<T>(&self, call: impl FnOnce(Pin<&mut Upgraded>) -> T) -> T {
        call(Pin::new(&mut *self.stream.borrow_mut()))
    }
}
