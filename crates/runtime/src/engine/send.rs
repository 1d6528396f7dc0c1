//! What a descriptor sends on its own account: the outbox, which leaves in one call at
//! the end of the turn, and the flush that empties it when the kernel takes no more.

use std::io::IoSlice;
use std::net::Shutdown;
use std::task::{Poll, Waker};

use crate::driver::{Attempt, Driver, Interest, Op};
use crate::engine::io::Io;
use crate::engine::ops::{Continuation, Phase, Side};
use crate::engine::outcome::{Failure, Outcome};
use crate::engine::receive::replace_waker;
use crate::engine::{Engine, Event};
use crate::slab::Key;

/// Parts of a write that the kernel takes in one call (`IOV_MAX`).
const MOST_PARTS: usize = 1024;

impl Engine {
    /// Queues bytes for the end of the turn; a large run with nothing before it goes to
    /// the kernel at once. Returns how many were taken.
    pub(crate) fn write(&mut self, key: Key, bytes: &[u8]) -> Result<usize, Failure> {
        let chunk = self.chunks.size();
        let io = self.writable(key)?;
        let mut taken = 0;
        if bytes.len() >= chunk && io.write.is_idle() && io.outbox.len() == 0 {
            taken = self.send_some(key, bytes)?;
        }
        Ok(taken + self.write_rest(key, &bytes[taken..]))
    }

    /// The same for parts in a row. Returns how many bytes were taken, and how many there were.
    pub(crate) fn write_vectored(
        &mut self,
        key: Key,
        parts: &[IoSlice<'_>],
    ) -> Result<(usize, usize), Failure> {
        let of = parts.iter().map(|part| part.len()).sum();
        let chunk = self.chunks.size();
        let io = self.writable(key)?;
        let at_once = of >= chunk && io.write.is_idle() && io.outbox.len() == 0;
        let mut taken = if at_once { self.send_parts(key, parts)? } else { 0 };
        let mut before = taken;
        for part in parts {
            // What has left already of this part.
            let rest = &part[before.min(part.len())..];
            before = before.saturating_sub(part.len());
            let queued = self.write_rest(key, rest);
            taken += queued;
            if queued < rest.len() {
                break;
            }
        }
        Ok((taken, of))
    }

    /// The same for a fiber, of whose immediate completions what goes to the kernel at once is
    /// one.
    pub(crate) fn write_in_turn(&mut self, key: Key, bytes: &[u8]) -> Result<usize, Failure> {
        let before = self.io(key)?.sends;
        let taken = self.write(key, bytes);
        if self.ios.get(key).is_some_and(|io| io.sends != before) {
            self.inline_left = self.inline_left.saturating_sub(1);
        }
        taken
    }

    /// Sends what is queued and then these bytes at once; queues what the kernel does
    /// not take. Returns how many were taken.
    pub(crate) fn write_now(&mut self, key: Key, bytes: &[u8]) -> Result<usize, Failure> {
        self.writable(key)?;
        self.flush_inline(key);
        let io = self.writable(key)?;
        let mut taken = 0;
        if io.write.is_idle() && io.outbox.len() == 0 {
            taken = self.send_some(key, bytes)?;
        }
        if taken < bytes.len() {
            taken += self.write_rest(key, &bytes[taken..]);
        }
        Ok(taken)
    }

    /// Queues what fits. If it is the chunks of all streams that are used up, what this
    /// turn has queued leaves now.
    fn write_rest(&mut self, key: Key, bytes: &[u8]) -> usize {
        let mut taken = self.queue(key, bytes);
        let room = self.ios.get(key).map_or(0, |io| io.outbox.room());
        if taken < bytes.len() && room > 0 {
            self.send_dirty();
            taken += self.queue(key, &bytes[taken..]);
        }
        if taken < bytes.len() {
            self.want_room(key);
        }
        taken
    }

    /// Somebody has more to write than is taken, and is told when there is room.
    pub(crate) fn want_room(&mut self, key: Key) {
        let Some(io) = self.ios.get_mut(key) else { return };
        io.congested = true;
        if io.outbox.len() == 0 && !std::mem::replace(&mut io.starved, true) {
            self.starved.push_back(key);
        }
    }

    /// How many bytes a write would take now. If it is the chunks of all streams that are used
    /// up, what this turn has queued leaves now.
    pub(crate) fn room(&mut self, key: Key) -> Result<usize, Failure> {
        self.writable(key)?;
        if !self.chunks.has_free() {
            self.send_dirty();
        }
        self.writable(key)?;
        Ok(self.ios.get(key).map_or(0, |io| io.outbox.grant(&self.chunks)))
    }

    /// Waits for a task until a write would take at least so many bytes.
    pub(crate) fn poll_room(&mut self, key: Key, least: usize, waker: &Waker) -> Poll<Outcome> {
        match self.room(key) {
            Err(failure) => return Poll::Ready(Err(failure)),
            Ok(room) if room >= least => return Poll::Ready(Ok(room)),
            Ok(_) => self.want_room(key),
        }
        if let Some(io) = self.ios.get_mut(key) {
            replace_waker(&mut io.writer, waker, &mut self.trash);
        }
        Poll::Pending
    }

    /// Queues bytes whatever the limit of the stream is, as long as there are chunks.
    pub(crate) fn write_beyond(&mut self, key: Key, bytes: &[u8]) -> Result<usize, Failure> {
        let outbox = &mut self.writable(key)?.outbox;
        let limit = outbox.limit();
        outbox.set_limit(limit.max(outbox.len() + bytes.len()));
        let taken = self.write_rest(key, bytes);
        if let Some(io) = self.ios.get_mut(key) {
            io.outbox.set_limit(limit);
        }
        Ok(taken)
    }

    /// Tells those who were refused a chunk, first come first served, that there are some.
    fn feed_starved(&mut self) -> usize {
        if self.starved.is_empty() || !self.chunks.has_free() {
            return 0;
        }
        for key in self.starved.drain(..) {
            let Some(io) = self.ios.get_mut(key) else { continue };
            (io.starved, io.congested) = (false, false);
            self.events.extend(io.writer.take().map(Event::Wake));
            self.events.push_back(Event::Writable(key));
        }
        self.events.len()
    }

    fn queue(&mut self, key: Key, bytes: &[u8]) -> usize {
        let Some(io) = self.ios.get_mut(key) else { return 0 };
        let taken = io.outbox.push(&mut self.chunks, bytes);
        self.schedule_flush(key);
        taken
    }

    /// Sends at once what the kernel takes, queueing nothing. `Ok(0)`: it would block,
    /// or something is before it.
    pub(crate) fn try_write(&mut self, key: Key, bytes: &[u8]) -> Result<usize, Failure> {
        self.writable(key)?;
        self.flush_inline(key);
        let io = self.writable(key)?;
        if io.write.is_idle() && io.outbox.len() == 0 { self.send_some(key, bytes) } else { Ok(0) }
    }

    fn writable(&mut self, key: Key) -> Result<&mut Io, Failure> {
        let io = self.io(key)?;
        match io.broken {
            Some(failure) => Err(failure),
            None if io.shut_write => Err(Failure::Errno(libc::EPIPE)),
            None => Ok(io),
        }
    }

    /// One attempt to send. `Ok(0)`: it would block.
    fn send_some(&mut self, key: Key, bytes: &[u8]) -> Result<usize, Failure> {
        let Some(io) = self.ios.get(key) else { return Err(Failure::Closed) };
        let op = send_op(io, bytes);
        // SAFETY: the memory is `bytes`, borrowed for this call.
        let attempt = unsafe { self.driver.attempt(&op) };
        self.note_attempt(key, attempt)
    }

    /// The same for parts in a row, as many of them as the kernel takes in one call.
    fn send_parts(&mut self, key: Key, parts: &[IoSlice<'_>]) -> Result<usize, Failure> {
        let Some(io) = self.ios.get(key) else { return Err(Failure::Closed) };
        let count = parts.len().min(MOST_PARTS);
        let op = Op::Writev { fd: io.fd, iov: parts.as_ptr().cast(), count };
        // SAFETY: `IoSlice` is laid out as `iovec`; the parts are borrowed for this call.
        let attempt = unsafe { self.driver.attempt(&op) };
        self.note_attempt(key, attempt)
    }

    /// What came of an attempt to send.
    fn note_attempt(&mut self, key: Key, attempt: Attempt) -> Result<usize, Failure> {
        match attempt {
            Attempt::WouldBlock => Ok(0),
            Attempt::Done(n) if n >= 0 => {
                self.note_sent(key);
                Ok(n as usize)
            }
            Attempt::Done(errno) => {
                let failure = Failure::Errno(-errno);
                self.break_sending(key, failure);
                Err(failure)
            }
        }
    }

    /// Sending is over for good: what waits is not sent any more, and everybody is told.
    pub(crate) fn break_sending(&mut self, key: Key, failure: Failure) {
        self.note_unheard(key, failure);
        let Some(io) = self.ios.get_mut(key) else { return };
        if io.broken.is_some() {
            return;
        }
        io.broken = Some(failure);
        self.events.extend(io.writer.take().map(Event::Wake));
        // One that its user holds stays open: what was received can still be read.
        if io.handlers.is_some() {
            self.events.push_back(Event::Ended(key, Some(failure)));
        }
        if io.write.is_idle() {
            self.discard_outbox(key);
        }
    }

    /// Nothing of the outbox is sent any more.
    fn discard_outbox(&mut self, key: Key) {
        if let Some(io) = self.ios.get_mut(key) {
            self.stats.discarded_bytes += io.outbox.len() as u64;
            io.outbox.clear(&mut self.chunks);
        }
    }

    /// Sees to it that the outbox will be sent: at the end of the turn, or by a flush
    /// behind the operations that are pending.
    pub(super) fn schedule_flush(&mut self, key: Key) {
        let Some(io) = self.ios.get_mut(key) else { return };
        if io.outbox.len() == 0 {
            return;
        }
        if io.write.is_idle() {
            if !io.dirty {
                io.dirty = true;
                self.dirty.push(key);
            }
        } else if io.flush.is_none() || io.flush != io.write.tail {
            self.append_flush(key);
        }
    }

    /// A new flush at the end of the lane. If the table is full, the next turn tries again.
    fn append_flush(&mut self, key: Key) {
        let Some(fd) = self.ios.get(key).map(|io| io.fd) else { return };
        let slot =
            super::OpSlot::internal(super::nothing(fd), key, Side::Write, Continuation::Flush);
        let Ok(op) = self.ops.insert(slot) else {
            if let Some(io) = self.ios.get_mut(key)
                && !io.dirty
            {
                io.dirty = true;
                self.dirty.push(key);
            }
            return;
        };
        let first = self.join_lane(op, key, Side::Write);
        if let Some(io) = self.ios.get_mut(key) {
            io.flush = Some(op);
        }
        if first {
            self.await_room(op);
        }
    }

    /// Sees to it that what waits in the outbox is sent before an operation that comes
    /// now. False: there is no operation left to do that.
    pub(super) fn cover_outbox(&mut self, key: Key) -> bool {
        let Some(io) = self.ios.get(key) else { return true };
        if !io.dirty || io.outbox.len() == 0 || io.flush.is_some() {
            return true;
        }
        self.append_flush(key);
        self.ios.get(key).is_some_and(|io| io.flush.is_some())
    }

    /// Fixes how far the flush at the end of the lane goes, since an operation with
    /// bytes of its own comes behind it.
    pub(super) fn seal_flush(&mut self, key: Key) {
        let Some(io) = self.ios.get_mut(key) else { return };
        if let Some(op) = io.flush.take()
            && let Some(slot) = self.ops.get_mut(op)
        {
            slot.until = io.outbox.end_position();
        }
    }

    /// Sends the outboxes that were written to in this turn. Returns how many.
    pub(crate) fn flush_dirty(&mut self) -> usize {
        let sent = self.send_dirty();
        sent + self.feed_starved()
    }

    fn send_dirty(&mut self) -> usize {
        let done = self.dirty.len();
        for at in 0..done {
            let key = self.dirty[at];
            if let Some(io) = self.ios.get_mut(key) {
                io.dirty = false;
                self.flush_inline(key);
                self.close_if_done(key);
            }
        }
        // What could not be sent for want of an operation has come in behind them.
        self.dirty.drain(..done.min(self.dirty.len()));
        done
    }

    /// Sends the outbox now, if nothing is before it; arms a flush for what is left.
    pub(crate) fn flush_inline(&mut self, key: Key) {
        let Some(io) = self.ios.get(key) else { return };
        if !io.write.is_idle() || io.outbox.len() == 0 || io.broken.is_some() {
            return;
        }
        match self.send_outbox(key, u64::MAX) {
            true => self.shut_if_sent(key),
            false => self.append_flush(key),
        }
    }

    /// Sends the outbox up to a position. True: that is done, or sending broke.
    fn send_outbox(&mut self, key: Key, until: u64) -> bool {
        loop {
            let Some(io) = self.ios.get(key) else { return true };
            let front = front(io, &mut self.chunks, until);
            if front.is_empty() {
                return true;
            }
            let op = send_op(io, front);
            // SAFETY: the bytes lie in the outbox's first chunk, which stays.
            match unsafe { self.driver.attempt(&op) } {
                Attempt::WouldBlock => return false,
                Attempt::Done(n) if n >= 0 => self.sent(key, n as usize),
                Attempt::Done(errno) => {
                    self.break_sending(key, Failure::Errno(-errno));
                    return true;
                }
            }
        }
    }

    /// Something has been sent.
    pub(crate) fn note_sent(&mut self, key: Key) {
        if let Some(io) = self.ios.get_mut(key) {
            io.sends += 1;
        }
    }

    /// `n` bytes of the outbox have left.
    fn sent(&mut self, key: Key, n: usize) {
        self.note_sent(key);
        let Some(io) = self.ios.get_mut(key) else { return };
        if n > 0 {
            io.outbox.consume(&mut self.chunks, n);
        }
        if io.congested && io.outbox.len() <= io.outbox.limit() / 4 {
            io.congested = false;
            self.events.push_back(Event::Writable(key));
        }
        if let Some(io) = self.ios.get_mut(key)
            && io.outbox.room() > 0
        {
            self.events.extend(io.writer.take().map(Event::Wake));
        }
    }

    /// The last of the sending operations is over.
    pub(super) fn sending_rests(&mut self, key: Key) {
        if self.ios.get(key).is_some_and(|io| io.broken.is_some()) {
            self.discard_outbox(key);
        }
        self.shut_if_sent(key);
    }

    /// A half-close that waited for what was given before happens now, if all of it has
    /// left: the outbox is empty, and no operation or flush is in the lane.
    fn shut_if_sent(&mut self, key: Key) {
        let Some(io) = self.ios.get_mut(key) else { return };
        if io.shut_write && io.outbox.len() == 0 && io.write.is_idle() {
            let fd = io.fd;
            let _ = self.driver.shutdown(fd, Shutdown::Write);
        }
    }

    /// A flush is first in its lane: send, and wait for room if that does not do.
    pub(super) fn continue_flush(&mut self, op: Key) {
        let Some(slot) = self.ops.get(op) else { return };
        let (key, until) = (slot.io, slot.until);
        let broken = self.ios.get(key).is_some_and(|io| io.broken.is_some());
        if broken || slot.ending.is_some() || self.send_outbox(key, until) {
            self.finish_internal(op);
        } else {
            self.await_room(op);
        }
    }

    fn await_room(&mut self, op: Key) {
        let Some(slot) = self.ops.get_mut(op) else { return };
        let Some(io) = self.ios.get(slot.io) else { return };
        slot.op = Op::Poll { fd: io.fd, interest: Interest::Write };
        slot.phase = Phase::Queued;
        self.arm(op);
    }

    /// The kernel has room again.
    pub(super) fn flush_step(&mut self, op: Key, result: i32) {
        if result == -libc::ECANCELED
            && let Some(slot) = self.ops.get_mut(op)
        {
            slot.ending.get_or_insert(crate::engine::ops::Ending::Closed);
        }
        self.continue_flush(op);
    }

    /// Writes for a task: as much as the outbox takes, at least a byte or later.
    pub(crate) fn poll_write(&mut self, key: Key, bytes: &[u8], waker: &Waker) -> Poll<Outcome> {
        match self.write(key, bytes) {
            Err(failure) => Poll::Ready(Err(failure)),
            Ok(0) if !bytes.is_empty() => {
                if let Some(io) = self.ios.get_mut(key) {
                    replace_waker(&mut io.writer, waker, &mut self.trash);
                }
                Poll::Pending
            }
            Ok(n) => Poll::Ready(Ok(n)),
        }
    }

    /// Waits until everything that was written has been taken by the kernel.
    pub(crate) fn poll_flush(&mut self, key: Key, waker: &Waker) -> Poll<Outcome> {
        self.flush_inline(key);
        let io = match self.io(key) {
            Ok(io) => io,
            Err(failure) => return Poll::Ready(Err(failure)),
        };
        match io.broken {
            Some(failure) => Poll::Ready(Err(failure)),
            None if io.outbox.len() == 0 => Poll::Ready(Ok(0)),
            None => {
                let Some(io) = self.ios.get_mut(key) else { return Poll::Pending };
                replace_waker(&mut io.writer, waker, &mut self.trash);
                Poll::Pending
            }
        }
    }

    /// Ends sending once everything that was given has left.
    pub(crate) fn shut_write(&mut self, key: Key) -> Result<(), Failure> {
        self.flush_inline(key);
        let io = self.io(key)?;
        io.shut_write = true;
        self.shut_if_sent(key);
        Ok(())
    }
}

/// The bytes of the first chunk, up to a position.
fn front<'c>(io: &Io, chunks: &'c mut super::Chunks, until: u64) -> &'c [u8] {
    let most = until.saturating_sub(io.outbox.position());
    let front = io.outbox.front(chunks);
    &front[..front.len().min(usize::try_from(most).unwrap_or(usize::MAX))]
}

/// The send that fits the descriptor.
fn send_op(io: &Io, bytes: &[u8]) -> Op {
    let (fd, buf, len) = (io.fd, bytes.as_ptr(), bytes.len());
    if io.class.is_socket() { Op::Send { fd, buf, len } } else { Op::Write { fd, buf, len } }
}
