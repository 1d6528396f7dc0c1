//! The table of pending operations.

use std::os::fd::RawFd;
use std::task::Waker;

use crate::driver::Op;
use crate::engine::outcome::Outcome;
use crate::inline_fn::OnceFn;
use crate::parcel::Parcel;
use crate::slab::Key;
use crate::time::TimerKey;

/// Which order an operation keeps on its descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    /// After all earlier receiving operations.
    Read,
    /// After all earlier sending operations.
    Write,
    /// None: it names its place itself (files), or moves nothing (polls).
    Unordered,
}

/// What an operation of one sort needs, owns and yields: the buffer, the kernel's
/// description of it, and the result in the shape that the caller wants.
pub(crate) trait Kind: 'static {
    /// The order that it keeps.
    const SIDE: Side;
    /// Whether it goes on until all bytes have moved.
    const EXACT: bool = false;

    /// The kernel's operation on memory that belongs to `self`, of which the first
    /// `done` bytes have moved already. `self` stays where it is until it is over.
    fn op(&mut self, fd: RawFd, done: usize) -> Op;
}

/// Who is told of the end of an operation, and how. A further face is a further variant.
pub(crate) enum Continuation {
    /// Nobody: what it brings is saved with the descriptor.
    Detached,
    /// A future that will look at the slot when woken.
    Future(Waker),
    /// A fiber that will look at the slot when woken.
    Fiber(Key),
    /// A one-shot callback.
    Callback(OnceFn<Finished>),
    /// The persistent handlers of the descriptor: multishot receive, accept or poll.
    Pump,
    /// The descriptor's inbox and whoever waits for it.
    Inbox,
    /// The descriptor's outbox.
    Flush,
}

/// An operation that is over, taken out of the table.
pub(crate) struct Finished {
    /// What became of it.
    pub(crate) outcome: Outcome,
    /// The [`Kind`] that it owned.
    pub(crate) parcel: Parcel,
}

/// Where an operation is on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Behind others on its side, or put off to the next turn.
    Queued,
    /// In the overflow queue: the driver has no room.
    Overflow,
    /// With the driver.
    Armed,
    /// A poll stands in for it with the driver; when that is over, it is tried again.
    ArmedPoll,
    /// With nobody: tried once a turn.
    Hot,
    /// On the offload pool.
    Offloaded,
    /// Over; the result waits for its future or callback.
    Finished(Outcome),
}

/// Why an operation was asked to end before its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    /// Its deadline passed.
    TimedOut,
    /// Its owner cancelled it.
    Cancelled,
    /// Its owner is gone, or its descriptor is being closed.
    Closed,
}

/// Behind everything that was ever taken from a stream.
pub(crate) const NOWHERE: u64 = u64::MAX;

/// One pending operation.
pub(crate) struct OpSlot {
    /// What is left to do, as the kernel sees it. Points into `parcel`'s value or what it owns.
    pub(crate) op: Op,
    /// The descriptor's entry.
    pub(crate) io: Key,
    pub(crate) side: Side,
    /// It goes on until all bytes have moved.
    pub(crate) exact: bool,
    pub(crate) phase: Phase,
    /// The next in the lane. Meaningless for unordered operations.
    pub(crate) next: Option<Key>,
    pub(crate) continuation: Continuation,
    /// What the operation owns.
    pub(crate) parcel: Parcel,
    /// Armed while the operation is pending and has a deadline.
    pub(crate) deadline: Option<TimerKey>,
    /// Bytes of an exact operation that have moved.
    pub(crate) done: usize,
    /// For a read: the place in the stream of the first byte that it got, or [`NOWHERE`].
    pub(crate) place: u64,
    /// For a flush: the outbox position up to which it goes. For a write that is over: how
    /// much had been sent by then, as [`Io::sends`](crate::engine::io::Io::sends) counts.
    pub(crate) until: u64,
    /// Set once the operation was asked to end.
    pub(crate) ending: Option<Ending>,
    /// The driver was asked to give it back, so that it looks at what the descriptor holds.
    pub(crate) looks_again: bool,
    /// It found the driver's pool empty, and has not received since.
    pub(crate) parched: bool,
}

impl OpSlot {
    /// An operation that owns nothing.
    pub(crate) fn internal(op: Op, io: Key, side: Side, continuation: Continuation) -> Self {
        Self {
            op,
            io,
            side,
            exact: false,
            phase: Phase::Queued,
            next: None,
            continuation,
            parcel: Parcel::empty(),
            deadline: None,
            done: 0,
            place: NOWHERE,
            until: u64::MAX,
            ending: None,
            looks_again: false,
            parched: false,
        }
    }

    /// What it has done and is still to do, without what it owns.
    pub(crate) fn view(&self) -> Self {
        let view = Self::internal(self.op, self.io, self.side, Continuation::Detached);
        Self { exact: self.exact, done: self.done, place: self.place, ..view }
    }

    /// As if nothing of it had moved.
    pub(crate) fn rewind(&mut self) {
        match &mut self.op {
            Op::Recv { buf, len, .. } | Op::Read { buf, len, .. } => {
                (*buf, *len) = (buf.wrapping_sub(self.done), *len + self.done);
            }
            _ => {}
        }
        (self.done, self.place) = (0, NOWHERE);
    }

    /// Whether the operation gives bytes away: it goes on when its future is dropped.
    pub(crate) fn gives(&self) -> bool {
        let sends = self.side == Side::Write && !matches!(self.op, Op::Connect { .. });
        sends || matches!(self.op, Op::WriteAt { .. } | Op::Fsync { .. })
    }

    /// Bytes that are left to move, for operations that move bytes to the last.
    pub(crate) fn remaining(&self) -> usize {
        match self.op {
            Op::Recv { len, .. }
            | Op::Send { len, .. }
            | Op::Read { len, .. }
            | Op::Write { len, .. }
            | Op::ReadAt { len, .. }
            | Op::WriteAt { len, .. } => len,
            // SAFETY: the vectors are owned by the operation.
            Op::Writev { iov, count, .. } => unsafe { std::slice::from_raw_parts(iov, count) }
                .iter()
                .map(|part| part.iov_len)
                .sum(),
            _ => 0,
        }
    }

    /// Notes that `n` more bytes have moved.
    pub(crate) fn advance(&mut self, n: usize) {
        debug_assert!(n <= self.remaining(), "no more than was asked for");
        self.done += n;
        match &mut self.op {
            Op::Recv { buf, len, .. } | Op::Read { buf, len, .. } => {
                (*buf, *len) = (buf.wrapping_add(n), *len - n);
            }
            Op::Send { buf, len, .. } | Op::Write { buf, len, .. } => {
                (*buf, *len) = (buf.wrapping_add(n), *len - n);
            }
            Op::ReadAt { buf, len, offset, .. } => {
                (*buf, *len, *offset) = (buf.wrapping_add(n), *len - n, *offset + n as u64);
            }
            Op::WriteAt { buf, len, offset, .. } => {
                (*buf, *len, *offset) = (buf.wrapping_add(n), *len - n, *offset + n as u64);
            }
            Op::Writev { iov, count, .. } => {
                // SAFETY: the vectors are owned by the operation, and nobody uses them
                // between its steps.
                let parts = unsafe { std::slice::from_raw_parts_mut(iov.cast_mut(), *count) };
                let rest = skip(parts, n);
                (*iov, *count) = (rest.as_ptr(), rest.len());
            }
            _ => {}
        }
    }
}

/// The parts without their first `n` bytes.
fn skip(mut parts: &mut [libc::iovec], mut n: usize) -> &mut [libc::iovec] {
    while let Some(first) = parts.first_mut()
        && n > 0
    {
        let some = n.min(first.iov_len);
        first.iov_base = first.iov_base.cast::<u8>().wrapping_add(some).cast();
        first.iov_len -= some;
        n -= some;
        if first.iov_len == 0 {
            parts = &mut parts[1..];
        }
    }
    parts
}
