//! The poll-based face of a file: buffers of its own are lent to the operations.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tautline_runtime::Operation;

use super::File;
use crate::op;

/// What the poll-based traits have under way.
pub(super) enum Work {
    Idle,
    Reading(Operation<op::ReadAt<Vec<u8>>>),
    /// Accepted, and to end at that place of the file: the position is behind it already.
    Writing(Operation<op::WriteAt<Vec<u8>>>, u64),
    /// Read, not yet taken: from this index up to that one. The first byte is the one at
    /// the position.
    Read(Vec<u8>, usize, usize),
}

/// Bytes that a poll-based read asks for at a time, and a poll-based write takes at most.
const PIECE: usize = 64 << 10;

impl Work {
    /// Where the file is going to end at the least.
    pub(super) fn reaches(&self) -> u64 {
        match self {
            Self::Writing(_, end) => *end,
            _ => 0,
        }
    }
}

impl File {
    /// Lets go of what was read ahead, for it may not be what is read next.
    pub(super) fn forget_ahead(&mut self) {
        if !matches!(self.work, Work::Writing(..)) {
            self.work = Work::Idle;
        }
    }

    /// Waits for the piece that was accepted last, so that all that follows sees it.
    pub(super) fn poll_settle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Work::Writing(write, _) = &mut self.work {
            let (written, _) = ready!(Pin::new(write).poll(cx));
            self.work = Work::Idle;
            written?;
        }
        Poll::Ready(Ok(()))
    }

    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_settle(cx))?;
        self.fetch_position()?;
        loop {
            match &mut self.work {
                Work::Read(bytes, start, end) if *start < *end => {
                    let n = out.len().min(*end - *start);
                    out[..n].copy_from_slice(&bytes[*start..*start + n]);
                    *start += n;
                    self.move_to(self.position + n as u64)?;
                    return Poll::Ready(Ok(n));
                }
                Work::Reading(read) => {
                    let (read, bytes) = ready!(Pin::new(read).poll(cx));
                    self.work = Work::Idle;
                    match read? {
                        0 => return Poll::Ready(Ok(0)),
                        n => self.work = Work::Read(bytes, 0, n),
                    }
                }
                _ => self.begin_read(),
            }
        }
    }

    fn begin_read(&mut self) {
        let buf = match std::mem::replace(&mut self.work, Work::Idle) {
            Work::Read(bytes, ..) => bytes,
            _ => vec![0; PIECE],
        };
        self.work = Work::Reading(self.descriptor.read_at(buf, self.position));
    }

    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_settle(cx))?;
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.fetch_position()?;
        let piece = &bytes[..bytes.len().min(PIECE)];
        let (start, end) = (self.position, self.position + piece.len() as u64);
        self.move_to(end)?;
        self.work = Work::Writing(self.descriptor.write_at(piece.to_vec(), start), end);
        // This starts it; a failure that is known at once is this call's.
        if let Poll::Ready(Err(error)) = self.poll_settle(cx) {
            self.step_back(start);
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(piece.len()))
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_settle(cx)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

crate::calls::async_read!([] File);
crate::calls::async_write!([] File);
