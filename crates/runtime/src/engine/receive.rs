//! What a descriptor receives on its own account: the inbox that no read has taken yet,
//! and the pump that feeds persistent handlers.

use std::os::fd::RawFd;
use std::task::{Poll, Waker};

use crate::driver::{Attempt, Completion, Driver, Interest, Op};
use crate::engine::io::{Class, Closing, Feeding, Io};
use crate::engine::ops::{Continuation, Ending, NOWHERE, OpSlot, Phase, Side};
use crate::engine::outbox::Segment;
use crate::engine::outcome::{Failure, Outcome, outcome};
use crate::engine::{Engine, Event, OtherAlarm, Received, ReceivedAt, Trash};
use crate::slab::Key;

/// Receives in a stream's inbox above which no more are asked for.
const MOST_UNTAKEN: usize = 2;

/// How long a listener rests when descriptors or memory are exhausted.
const ACCEPT_REST: std::time::Duration = std::time::Duration::from_millis(10);

impl Engine {
    /// What the descriptor holds already, for an operation that would take it from the kernel.
    pub(super) fn take_from_inbox(&mut self, slot: &OpSlot) -> Option<Outcome> {
        let io = self.ios.get_mut(slot.io)?;
        match slot.op {
            Op::Accept { .. } => Some(Ok(io.accepted.pop_front()? as usize)),
            Op::Recv { buf, len, .. } | Op::Read { buf, len, .. } if !io.inbox.is_empty() => {
                // SAFETY: the operation's buffer is valid for `len` bytes and not
                // aliased while the operation is being tried.
                let buf = unsafe { std::slice::from_raw_parts_mut(buf, len) };
                Some(Ok(self.read_inbox(slot.io, buf)))
            }
            Op::Readv { iov, count, .. } if !io.inbox.is_empty() => {
                // SAFETY: the vectors and what they name are owned by the operation.
                let bufs = unsafe { std::slice::from_raw_parts(iov, count) };
                Some(Ok(self.read_inbox_vectored(slot.io, bufs)))
            }
            Op::RecvMsg { msg, .. } if !io.inbox.is_empty() => match io.inbox.pop()? {
                Segment::Datagram { bytes, from, truncated, .. } => {
                    // SAFETY: the header and what it names are owned by the operation.
                    let len = unsafe { crate::kinds::fill_message(msg, &bytes, from, truncated) };
                    Some(Ok(len))
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// The place of what a read is to get next.
    pub(super) fn next_place(&self, key: Key) -> u64 {
        let Some(io) = self.ios.get(key) else { return NOWHERE };
        io.inbox.front().map_or(NOWHERE, Segment::place).min(io.place)
    }

    /// A read with a buffer of its own got `n` bytes, or a datagram, from `place` on.
    pub(super) fn note_taken(&mut self, slot: &mut OpSlot, place: u64, n: usize) {
        if slot.side == Side::Read {
            slot.place = slot.place.min(place);
            self.pass_place(slot.io, n);
        }
    }

    /// So many more bytes were taken.
    pub(super) fn pass_place(&mut self, key: Key, n: usize) {
        if let Some(io) = self.ios.get_mut(key) {
            io.place += n.max(1) as u64;
        }
    }

    /// Copies from the inbox; returns how much.
    pub(crate) fn read_inbox(&mut self, key: Key, buf: &mut [u8]) -> usize {
        let mut filled = 0;
        while filled < buf.len() {
            let Some(part) = self.inbox_front(key) else { break };
            let n = part.len().min(buf.len() - filled);
            // SAFETY: `part` lies in receive memory or a saved vector, neither of
            // which is touched or freed before `inbox_consume`.
            unsafe { part.cast::<u8>().copy_to_nonoverlapping(buf[filled..].as_mut_ptr(), n) };
            self.inbox_consume(key, n);
            filled += n;
        }
        filled
    }

    /// Copies from the inbox into several buffers, each valid and not aliased.
    fn read_inbox_vectored(&mut self, key: Key, bufs: &[libc::iovec]) -> usize {
        let mut filled = 0;
        for buf in bufs {
            // SAFETY: as the caller promises.
            let buf = unsafe { std::slice::from_raw_parts_mut(buf.iov_base.cast(), buf.iov_len) };
            let n = self.read_inbox(key, buf);
            filled += n;
            if n < buf.len() {
                break;
            }
        }
        filled
    }

    /// The unread bytes of the first segment.
    pub(crate) fn inbox_front(&mut self, key: Key) -> Option<*const [u8]> {
        let front = self.ios.get(key)?.inbox.front()?;
        Some(self.bytes_of(front))
    }

    /// The unread bytes of a segment.
    pub(crate) fn bytes_of(&self, segment: &Segment) -> *const [u8] {
        match segment {
            &Segment::Lent { at, start, end } => {
                let first = self.received(at).wrapping_add(start);
                std::ptr::slice_from_raw_parts(first, end - start)
            }
            Segment::Saved { bytes, start, .. } => &raw const bytes[*start..],
            Segment::Datagram { bytes, .. } => &raw const bytes[..],
        }
    }

    /// A segment that was taken out of the inbox is used up.
    pub(crate) fn give_back(&mut self, segment: Segment) {
        if let Segment::Lent { at, .. } = segment {
            self.recycle(at);
        }
    }

    /// Sees to it that the data handler is given what lies in the inbox, unless it rests.
    pub(crate) fn tell_inbox(&mut self, key: Key) {
        if self.ios.get(key).is_some_and(|io| io.is_open() && !io.paused && !io.inbox.is_empty()) {
            self.events.push_back(Event::Inbox(key));
        }
    }

    /// Drops `n` bytes of the first segment, and the segment when it is used up.
    pub(crate) fn inbox_consume(&mut self, key: Key, n: usize) {
        let Some(io) = self.ios.get_mut(key) else { return };
        let left = match io.inbox.front_mut() {
            Some(Segment::Lent { start, end, .. }) => {
                *start += n;
                *end - *start
            }
            Some(Segment::Saved { bytes, start, place }) => {
                *start += n;
                *place += n as u64;
                bytes.len() - *start
            }
            Some(Segment::Datagram { .. }) | None => 0,
        };
        if left == 0
            && let Some(Segment::Lent { at, .. }) = io.inbox.pop()
        {
            self.recycle(at);
        }
    }

    /// Drops everything that was received and not taken.
    pub(super) fn empty_inbox(&mut self, key: Key) {
        while let Some(segment) = self.ios.get_mut(key).and_then(|io| io.inbox.pop()) {
            self.give_back(segment);
        }
    }

    /// Reads for a task: from the inbox, or at once, or later through the inbox.
    pub(crate) fn poll_read(&mut self, key: Key, buf: &mut [u8], waker: &Waker) -> Poll<Outcome> {
        let io = match self.io(key) {
            Ok(io) => io,
            Err(failure) => return Poll::Ready(Err(failure)),
        };
        if !io.inbox.is_empty() {
            return Poll::Ready(Ok(self.read_inbox(key, buf)));
        }
        if let Some(end) = io.ended {
            return Poll::Ready(take_end(io, end));
        }
        let drained = io.class == Class::Stream && std::mem::take(&mut io.drained);
        if self.inline_left == 0 {
            self.events.push_back(Event::Wake(waker.clone()));
            return Poll::Pending;
        }
        if !drained && let Some(outcome) = self.try_read(key, buf) {
            self.inline_left -= 1;
            self.note_drained(key, outcome, buf.len());
            return Poll::Ready(outcome);
        }
        self.await_inbox(key, waker)
    }

    /// Remembers whether a receive into `room` bytes took all that was there.
    fn note_drained(&mut self, key: Key, outcome: Outcome, room: usize) {
        if let (Some(io), Ok(n)) = (self.ios.get_mut(key), outcome) {
            io.drained = n > 0 && n < room;
        }
    }

    /// Remembers that a receive of this turn did not fill its buffer: a stream has nothing more,
    /// and the next one need not try before it waits.
    #[inline]
    pub(super) fn note_room(&mut self, key: Key, op: &Op, result: i32) {
        if let Op::Recv { len, .. } = *op
            && (1..len).contains(&(result.max(0) as usize))
            && let Some(io) = self.ios.get_mut(key)
            && io.class == Class::Stream
        {
            io.drained_in = Some(self.now);
        }
    }

    /// Reads now, if nothing is before it. `None`: it would block.
    pub(crate) fn try_read(&mut self, key: Key, buf: &mut [u8]) -> Option<Outcome> {
        let io = match self.io(key) {
            Ok(io) => io,
            Err(failure) => return Some(Err(failure)),
        };
        if !io.inbox.is_empty() {
            return Some(Ok(self.read_inbox(key, buf)));
        }
        if !io.read.is_idle() {
            return None;
        }
        let op = receive_op(io, buf.as_mut_ptr(), buf.len());
        // SAFETY: the memory is `buf`, borrowed for this call.
        match unsafe { self.driver.attempt(&op) } {
            Attempt::WouldBlock => None,
            Attempt::Done(result) => {
                if result > 0 {
                    self.note_receive(key);
                }
                Some(outcome(self.hear_end(key, &op, result)))
            }
        }
    }

    fn await_inbox(&mut self, key: Key, waker: &Waker) -> Poll<Outcome> {
        let Some(io) = self.ios.get_mut(key) else { return Poll::Ready(Err(Failure::Closed)) };
        replace_waker(&mut io.reader, waker, &mut self.trash);
        if io.pump.is_some() {
            return Poll::Pending;
        }
        let op = match io.class {
            Class::Stream => stream_feed(io),
            _ => Op::Poll { fd: io.fd, interest: Interest::Read },
        };
        match self.start_internal(key, op, Side::Read, Continuation::Inbox) {
            Some(op) => {
                if let Some(io) = self.ios.get_mut(key)
                    && self.ops.get(op).is_some()
                {
                    io.pump = Some(op);
                }
                Poll::Pending
            }
            None => Poll::Ready(Err(self.no_operation())),
        }
    }

    /// A completion for the inbox.
    pub(super) fn inbox_step(&mut self, op: Key, key: Key, completion: Completion) {
        let ending = self.ops.get(op).is_some_and(|slot| slot.ending.is_some());
        let result = completion.result;
        match completion.buffer.map(ReceivedAt::Pool) {
            Some(at) if result > 0 => self.keep(key, Received { at, len: result as usize }),
            Some(at) => self.recycle(at),
            None => {}
        }
        if result == -libc::ENOBUFS && !ending {
            if !self.retry_receive(op) {
                self.await_readiness(op);
            }
            return;
        }
        if result > 0 {
            self.note_receive(key);
            self.note_buffer(op);
        }
        // Readiness is no receive: it says nothing of what is left.
        if result > 0 && completion.buffer.is_some() {
            self.note_drained(key, outcome(result), self.receive_buffer_size);
        }
        let received = self.ops.get(op).is_some_and(|slot| !matches!(slot.op, Op::Poll { .. }));
        let passing =
            matches!(-result, libc::EINTR | libc::EAGAIN | libc::ECANCELED | libc::ENOBUFS);
        // Also of a receive that was asked to end: the kernel names a broken connection once.
        if received && !passing && result <= 0 {
            self.note_end(key, result);
        }
        match completion.more {
            true => self.fill_inbox(op, key),
            false => self.finish_internal(op),
        }
    }

    /// A receive that goes on has brought something. It ends if nobody takes that: what
    /// comes then is the kernel's to hold.
    fn fill_inbox(&mut self, op: Key, key: Key) {
        let Some(io) = self.ios.get_mut(key) else { return };
        self.events.extend(io.reader.take().map(Event::Wake));
        if io.inbox.len() > MOST_UNTAKEN {
            self.cancel(op, Ending::Cancelled);
        }
    }

    /// A read waits behind the receive that feeds the inbox: that one ends.
    pub(super) fn end_inbox_feed(&mut self, key: Key) {
        let Some(op) = self.ios.get(key).and_then(|io| io.read.head) else { return };
        let Some(slot) = self.ops.get(op) else { return };
        if matches!(slot.continuation, Continuation::Inbox) && slot.ending.is_none() {
            self.cancel(op, Ending::Cancelled);
        }
    }

    /// The pool was empty. What this turn had of it is back by the next: the first time the
    /// receive is then asked for again. False: that did not help.
    fn retry_receive(&mut self, op: Key) -> bool {
        let Some(slot) = self.ops.get_mut(op) else { return false };
        if std::mem::replace(&mut slot.parched, true) {
            return false;
        }
        self.defer(op);
        true
    }

    /// A receive got a buffer of the pool.
    fn note_buffer(&mut self, op: Key) {
        if let Some(slot) = self.ops.get_mut(op) {
            slot.parched = false;
        }
    }

    /// The pool was empty: wait for readiness instead, which needs no buffer.
    fn await_readiness(&mut self, op: Key) {
        let Some(slot) = self.ops.get_mut(op) else { return };
        if let Some(io) = self.ios.get(slot.io) {
            slot.op = Op::Poll { fd: io.fd, interest: Interest::Read };
            self.arm(op);
        }
    }

    /// Puts received bytes into the inbox, unless nobody will read them.
    pub(crate) fn keep(&mut self, key: Key, received: Received) {
        match self.ios.get_mut(key) {
            Some(io) if io.closing == Closing::No => {
                io.inbox.push(Segment::Lent { at: received.at, start: 0, end: received.len });
            }
            _ => self.recycle(received.at),
        }
    }

    /// Why the connection broke was told to nobody who reads: keep it for who does.
    pub(super) fn note_unheard(&mut self, key: Key, failure: Failure) {
        let broke = [libc::ECONNRESET, libc::ECONNABORTED, libc::ETIMEDOUT];
        if let Failure::Errno(errno) = failure
            && broke.contains(&errno)
            && let Some(io) = self.ios.get_mut(key)
        {
            io.unheard.get_or_insert(errno);
        }
    }

    /// What a receive is told: an end that follows an unheard failure is that failure.
    pub(super) fn hear_end(&mut self, key: Key, op: &Op, result: i32) -> i32 {
        let ends = match *op {
            Op::Recv { len, .. } | Op::Read { len, .. } => len > 0,
            Op::Readv { .. } | Op::RecvPool { .. } | Op::RecvMulti { .. } => true,
            _ => false,
        };
        if result != 0 || !ends {
            return result;
        }
        let unheard = self.ios.get_mut(key).and_then(|io| io.unheard.take());
        unheard.map_or(0, |errno| -errno)
    }

    /// Receiving ended by this result. Returns why, if not in order.
    pub(super) fn note_end(&mut self, key: Key, result: i32) -> Option<Failure> {
        let fd = self.ios.get(key)?.fd;
        let result = self.hear_end(key, &Op::RecvPool { fd }, result);
        let failure = (result < 0).then_some(Failure::Errno(-result));
        self.ios.get_mut(key)?.ended = Some(failure);
        // For reads with a buffer of their own, which ask the kernel.
        self.note_unheard(key, failure?);
        failure
    }

    /// An operation of the descriptor itself is over: its lane goes on, its reader looks.
    pub(super) fn finish_internal(&mut self, op: Key) {
        self.leave_lane(op);
        let Some(slot) = self.ops.remove(op) else { return };
        let key = slot.io;
        if let Some(io) = self.ios.get_mut(key) {
            if io.pump == Some(op) {
                io.pump = None;
                self.events.extend(io.reader.take().map(Event::Wake));
                // An end that came to the inbox is still to be told to the handlers.
                let untold = matches!(slot.continuation, Continuation::Inbox);
                if io.wants_pump() && !io.stands_still() && (untold || io.ended.is_none()) {
                    self.start_pump(key);
                }
            } else if io.flush == Some(op) {
                io.flush = None;
            }
        }
        self.next_in_lane(key, slot.side);
    }

    /// Gives the accept handler the connections that no accept has taken.
    pub(crate) fn tell_accepted(&mut self, key: Key) {
        let Some(io) = self.ios.get_mut(key) else { return };
        let wanted = io.handlers.as_ref().is_some_and(|handlers| handlers.accept.is_some());
        if wanted && !io.paused {
            self.events.extend(io.accepted.drain(..).map(|fd| Event::Accepted(key, fd)));
        }
    }

    /// Starts to feed the persistent handlers.
    pub(crate) fn start_pump(&mut self, key: Key) -> Option<Failure> {
        let io = match self.io(key) {
            Ok(io) => io,
            Err(failure) => return Some(failure),
        };
        if !io.inbox.is_empty() {
            self.events.push_back(Event::Inbox(key));
        }
        self.tell_accepted(key);
        let io = self.ios.get_mut(key)?;
        if let Some(failure) = io.ended
            && io.inbox.is_empty()
        {
            self.events.push_back(Event::Ended(key, failure));
        }
        if let Some(op) = io.pump {
            // One that feeds the inbox makes room; a pump of the handlers' own goes on.
            if self.ops.get(op).is_some_and(|slot| matches!(slot.continuation, Continuation::Inbox))
            {
                self.cancel(op, Ending::Cancelled);
            }
            return None;
        }
        if io.ended.is_some() {
            return None;
        }
        let op = pump_op(io);
        let Some(op) = self.start_internal(key, op, Side::Read, Continuation::Pump) else {
            return Some(self.no_operation());
        };
        if let Some(io) = self.ios.get_mut(key) {
            io.pump = Some(op);
        }
        None
    }

    /// A completion for the persistent handlers.
    pub(super) fn pump_step(&mut self, op: Key, key: Key, completion: Completion) {
        let result = completion.result;
        let lent = completion.buffer.map(ReceivedAt::Pool);
        if let Some(at) = lent {
            if result > 0 {
                self.note_buffer(op);
                self.pumped(key, Received { at, len: result as usize });
            } else {
                self.recycle(at);
            }
        }
        let ending = self.ops.get(op).is_some_and(|slot| slot.ending.is_some());
        let bytes = self.ios.get(key).is_some_and(|io| io.feeding() == Feeding::Bytes);
        if bytes && result == -libc::ENOBUFS && !ending && self.retry_receive(op) {
            return;
        }
        let over = match self.ios.get(key).map(Io::feeding) {
            Some(Feeding::Bytes) => lent.is_none() && self.stream_pump_end(op, key, result),
            Some(Feeding::Connections) => self.listener_pump(key, result),
            Some(Feeding::Readiness) => self.readiness_pump(key, result),
            None => true,
        };
        if !completion.more {
            if over || ending {
                self.finish_internal(op);
            } else {
                self.rearm_pump(op);
            }
        }
    }

    /// Bytes for the data handler, or for the inbox while it is paused.
    fn pumped(&mut self, key: Key, received: Received) {
        self.note_receive(key);
        match self.ios.get(key) {
            Some(io) if io.is_open() && !io.paused && io.inbox.is_empty() => {
                self.events.push_back(Event::Data(key, received));
            }
            _ => {
                self.keep(key, received);
                self.tell_inbox(key);
            }
        }
    }

    /// A completion without bytes. Returns whether receiving is over.
    fn stream_pump_end(&mut self, op: Key, key: Key, result: i32) -> bool {
        match -result {
            libc::ENOBUFS => {
                let fd = self.ios.get(key).map_or(-1, |io| io.fd);
                if let Some(slot) = self.ops.get_mut(op) {
                    slot.op = Op::Poll { fd, interest: Interest::Read };
                }
                false
            }
            libc::ECANCELED | libc::EINTR | libc::EAGAIN => false,
            _ if self.ops.get(op).is_some_and(|s| matches!(s.op, Op::Poll { .. })) => {
                self.probe_pump(op, key)
            }
            _ => {
                let failure = self.note_end(key, result);
                self.events.push_back(Event::Ended(key, failure));
                true
            }
        }
    }

    /// Receives into the engine's own memory, for a pump that is hot or found the pool
    /// empty. Returns whether receiving is over.
    pub(super) fn probe_pump(&mut self, op: Key, key: Key) -> bool {
        let Some(io) = self.ios.get(key) else { return true };
        let Some(at) = self.scratch.take() else { return false };
        let recv = Op::Recv { fd: io.fd, buf: self.scratch.ptr(at), len: self.receive_buffer_size };
        // SAFETY: the scratch buffer has that size and is lent to nobody else.
        let attempt = unsafe { self.driver.attempt(&recv) };
        if let Some(slot) = self.ops.get_mut(op)
            && matches!(slot.op, Op::Poll { .. })
        {
            slot.op = Op::RecvMulti { fd: io.fd };
        }
        match attempt {
            Attempt::Done(n) if n > 0 => {
                let at = ReceivedAt::Scratch(at);
                self.pumped(key, Received { at, len: n as usize });
                false
            }
            Attempt::WouldBlock => {
                self.scratch.give(at);
                false
            }
            Attempt::Done(result) => {
                self.scratch.give(at);
                self.stream_pump_end(op, key, result)
            }
        }
    }

    fn listener_pump(&mut self, key: Key, result: i32) -> bool {
        if result >= 0 {
            let open = self.ios.get(key).is_some_and(|io| io.is_open());
            if open {
                self.events.push_back(Event::Accepted(key, result as RawFd));
            } else {
                self.driver.close(result as RawFd);
            }
            return false;
        }
        let scarce = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
        if scarce.contains(&-result) {
            // Without a timer left it cannot rest, and tries again at once.
            let resting = self.arm_own(self.now + ACCEPT_REST, OtherAlarm::Retry(key)).is_ok();
            if let Some(io) = self.ios.get_mut(key) {
                io.resting = resting;
            }
            self.events.push_back(Event::Ended(key, Some(Failure::Errno(-result))));
            return resting;
        }
        let over = matches!(-result, libc::EBADF | libc::EINVAL | libc::ENOTSOCK);
        if over {
            self.note_end(key, result);
            self.events.push_back(Event::Ended(key, Some(Failure::Errno(-result))));
        }
        over
    }

    fn readiness_pump(&mut self, key: Key, result: i32) -> bool {
        if result >= 0 && self.ios.get(key).is_some_and(Io::is_open) {
            self.note_receive(key);
            self.events.push_back(Event::Readable(key));
        }
        false
    }

    fn rearm_pump(&mut self, op: Key) {
        let Some(slot) = self.ops.get_mut(op) else { return };
        let Some(io) = self.ios.get_mut(slot.io) else { return };
        if !io.is_open() || io.stands_still() {
            return self.finish_internal(op);
        }
        if !matches!(slot.op, Op::Poll { .. }) || io.feeding() != Feeding::Bytes {
            slot.op = pump_op(io);
        }
        self.arm(op);
    }

    /// Stops feeding the handlers; what arrives meanwhile goes to the inbox.
    pub(crate) fn pause(&mut self, key: Key) {
        let Some(io) = self.ios.get_mut(key) else { return };
        io.paused = true;
        if let Some(op) = io.pump {
            self.cancel(op, Ending::Cancelled);
        }
    }

    /// Feeds the handlers again.
    pub(crate) fn resume(&mut self, key: Key) -> Option<Failure> {
        let io = self.ios.get_mut(key)?;
        io.paused = false;
        if io.class == Class::File {
            // A task feeds its handler.
            self.events.extend(io.reader.take().map(Event::Wake));
            return None;
        }
        if io.feeding() == Feeding::Readiness && !self.again.contains(&key) {
            // It may hold something itself, of which the kernel does not tell.
            self.again.push(key);
        }
        let io = self.ios.get_mut(key)?;
        if io.pump.is_none() && !io.resting {
            return self.start_pump(key);
        }
        self.tell_inbox(key);
        None
    }

    /// Whether the descriptor is open, once it is not paused; until then its task waits.
    pub(crate) fn poll_resumed(&mut self, key: Key, waker: &Waker) -> Poll<bool> {
        match self.ios.get_mut(key).filter(|io| io.is_open()) {
            Some(io) if io.paused => {
                replace_waker(&mut io.reader, waker, &mut self.trash);
                Poll::Pending
            }
            io => Poll::Ready(io.is_some()),
        }
    }

    /// A listener that had to rest goes on.
    pub(super) fn retry_pump(&mut self, key: Key) {
        let Some(io) = self.ios.get_mut(key) else { return };
        io.resting = false;
        if io.paused || io.pump.is_some() {
            return;
        }
        if let Some(failure) = self.start_pump(key) {
            self.events.push_back(Event::Ended(key, Some(failure)));
        }
    }

    /// Whether an operation is being probed rather than armed.
    pub(super) fn is_probed(&self, op: Key) -> bool {
        self.ops.get(op).is_some_and(|slot| slot.phase == Phase::Hot)
    }
}

/// The receive that fits the descriptor.
fn receive_op(io: &Io, buf: *mut u8, len: usize) -> Op {
    let fd = io.fd;
    if io.class.is_socket() { Op::Recv { fd, buf, len } } else { Op::Read { fd, buf, len } }
}

/// The receive that feeds a stream's handlers or its inbox. A descriptor that is busy while
/// the loop spins takes one at a time, so that it can become hot without a cancel.
fn stream_feed(io: &Io) -> Op {
    let fd = io.fd;
    if io.streak >= super::hot::HOT_AFTER { Op::RecvPool { fd } } else { Op::RecvMulti { fd } }
}

/// The operation that feeds persistent handlers.
fn pump_op(io: &Io) -> Op {
    let fd = io.fd;
    match io.feeding() {
        Feeding::Bytes => stream_feed(io),
        Feeding::Connections => Op::AcceptMulti { fd },
        Feeding::Readiness => Op::PollMulti { fd, interest: Interest::Read },
    }
}

/// What a read after the end gets: zero bytes, or once the error.
fn take_end(io: &mut Io, end: Option<Failure>) -> Outcome {
    io.ended = Some(None);
    io.unheard = None;
    match end {
        None => Ok(0),
        Some(failure) => Err(failure),
    }
}

/// Keeps the waker that will be called; the old one is dropped outside.
pub(super) fn replace_waker(place: &mut Option<Waker>, waker: &Waker, trash: &mut Vec<Trash>) {
    if place.as_ref().is_some_and(|held| held.will_wake(waker)) {
        return;
    }
    trash.extend(place.replace(waker.clone()).map(Trash::Waker));
}
