//! An operation's way out: what the driver delivers, what is still to be done, who is
//! told, and the next in the lane.

use std::os::fd::RawFd;

use crate::driver::{Completion, Driver, Op};
use crate::engine::io::Closing;
use crate::engine::ops::{Continuation, Ending, NOWHERE, OpSlot, Phase, Side};
use crate::engine::outbox::Segment;
use crate::engine::outcome::{Failure, Outcome, outcome};
use crate::engine::start::progress;
use crate::engine::{Engine, Event, Trash, token};
use crate::slab::Key;

impl Engine {
    /// Takes in what the driver delivered.
    pub(super) fn complete(&mut self, completion: Completion) {
        let token = completion.token;
        let key = Key { index: token.index(), generation: token.generation() };
        self.stats.completions += 1;
        self.refill();
        let Some(slot) = self.ops.get_mut(key) else { return self.stray(completion) };
        let io = slot.io;
        let stood_in = slot.phase == Phase::ArmedPoll;
        if !completion.more {
            slot.phase = Phase::Queued;
            self.disarmed(io);
        }
        match self.ops.get(key).map(|slot| &slot.continuation) {
            Some(Continuation::Pump) => self.pump_step(key, io, completion),
            Some(Continuation::Inbox) => self.inbox_step(key, io, completion),
            Some(Continuation::Flush) => self.flush_step(key, completion.result),
            _ if stood_in => self.stood_in_step(key, completion.result),
            _ => self.step(key, completion.result),
        }
        self.close_if_done(io);
    }

    /// A file operation came back from the offload pool.
    pub(crate) fn offloaded(&mut self, key: Key, result: i32) {
        let Some(slot) = self.ops.get_mut(key) else { return };
        slot.phase = Phase::Queued;
        let io = slot.io;
        self.disarmed(io);
        self.step(key, result);
        self.close_if_done(io);
    }

    fn disarmed(&mut self, io: Key) {
        if let Some(io) = self.ios.get_mut(io) {
            io.armed -= 1;
        }
    }

    /// A completion that no operation waits for: its resources are freed.
    fn stray(&mut self, completion: Completion) {
        self.stats.stray += 1;
        if let Some(buffer) = completion.buffer {
            self.driver.recycle(buffer);
        }
    }

    /// The poll that stood in for an operation is over: try the operation itself.
    fn stood_in_step(&mut self, key: Key, result: i32) {
        match self.ops.get(key).and_then(|slot| slot.ending) {
            None if result >= 0 => self.kick(key),
            _ if result < 0 => self.step(key, result),
            _ => self.step(key, -libc::ECANCELED),
        }
    }

    /// A step of an ordinary operation.
    fn step(&mut self, key: Key, result: i32) {
        let Some(slot) = self.ops.get_mut(key) else { return };
        let unasked = slot.ending.is_none();
        if unasked && matches!(-result, libc::EINTR | libc::EAGAIN) {
            return if self.take_aim(key) { self.kick(key) } else { self.arm(key) };
        }
        let looks_again = std::mem::take(&mut slot.looks_again);
        if unasked && result == -libc::ECANCELED && (self.take_aim(key) || looks_again) {
            return self.kick(key);
        }
        let result = self.heed(key, result);
        if self.step_back(key, result) {
            return self.kick(key);
        }
        let Some(slot) = self.ops.get_mut(key) else { return };
        match progress(slot, outcome(result)) {
            Some(outcome) => self.finish(key, outcome),
            None if slot.ending.is_some() => self.finish(key, Err(Failure::Cancelled)),
            None => {
                // It has bytes in the buffer that it has: it keeps that one.
                self.forget_reaim(key);
                self.kick(key);
            }
        }
    }

    /// Notes what the kernel gave to a read, and says what that is told.
    fn heed(&mut self, key: Key, result: i32) -> i32 {
        let Some(slot) = self.ops.get_mut(key) else { return result };
        let (io, side, op) = (slot.io, slot.side, slot.op);
        if result <= 0 || side != Side::Read {
            return self.hear_end(io, &op, result);
        }
        slot.place = slot.place.min(self.ios.get(io).map_or(NOWHERE, |io| io.place));
        self.note_room(io, &op, result);
        self.pass_place(io, result as usize);
        if matches!(op, Op::Recv { .. } | Op::RecvMsg { .. }) {
            self.note_receive(io);
        }
        result
    }

    /// A read got `result` bytes, or none yet, while bytes that come before its own were put
    /// back: it puts its own back too. True: it has to begin again.
    pub(super) fn step_back(&mut self, key: Key, result: i32) -> bool {
        let Some(slot) = self.ops.get(key) else { return false };
        let got = slot.done + usize::try_from(result).unwrap_or(0);
        let before = self.ios.get(slot.io).and_then(|io| io.inbox.front()).map(Segment::place);
        let overtook = before.is_some_and(|place| place < slot.place);
        if slot.side != Side::Read || slot.ending.is_some() || got == 0 || !overtook {
            return false;
        }
        let view = slot.view();
        match (slot.op, usize::try_from(result)) {
            (Op::RecvMsg { msg, .. }, Ok(len)) => self.salvage_datagram(&view, msg, len),
            (_, last) => self.salvage(&view, last.unwrap_or(0)),
        }
        if let Some(slot) = self.ops.get_mut(key) {
            slot.rewind();
        }
        true
    }

    /// Ends an operation: leaves its lane, tells its continuation, starts the next.
    pub(super) fn finish(&mut self, key: Key, outcome: Outcome) {
        let Some(slot) = self.ops.get_mut(key) else { return };
        let outcome = outcome.map_err(|failure| reason(failure, slot.ending));
        let (io, side) = (slot.io, slot.side);
        if let Some(timer) = slot.deadline.take() {
            self.wheel.cancel(timer);
        }
        self.forget_reaim(key);
        self.note_torn(key, outcome);
        if let (Some(slot), Err(failure)) = (self.ops.get(key), outcome)
            && slot.gives()
        {
            self.note_unheard(io, failure);
        }
        self.leave_lane(key);
        if side == Side::Write {
            self.note_sent(io);
            self.stamp(key);
        }
        self.tell(key, outcome);
        self.next_in_lane(io, side);
    }

    /// Remembers how much had been sent when a write ended.
    fn stamp(&mut self, key: Key) {
        if let Some(slot) = self.ops.get_mut(key)
            && let Some(io) = self.ios.get(slot.io)
        {
            slot.until = io.sends;
        }
    }

    /// A write that is stopped in its midst breaks the sending side.
    fn note_torn(&mut self, key: Key, outcome: Outcome) {
        if let (Some(slot), Err(failure)) = (self.ops.get(key), outcome)
            && let (io, Some(torn)) = (slot.io, torn(slot))
        {
            let broke = matches!(failure, Failure::Errno(_));
            self.break_sending(io, if broke { failure } else { torn });
        }
    }

    fn tell(&mut self, key: Key, outcome: Outcome) {
        let Some(slot) = self.ops.get_mut(key) else { return };
        slot.phase = Phase::Finished(outcome);
        match std::mem::replace(&mut slot.continuation, Continuation::Detached) {
            Continuation::Future(waker) => {
                slot.continuation = Continuation::Future(std::task::Waker::noop().clone());
                if outcome.is_err() {
                    self.salvage_failed(key);
                }
                self.events.push_back(Event::Wake(waker));
            }
            Continuation::Fiber(fiber) => {
                slot.continuation = Continuation::Fiber(fiber);
                if outcome.is_err() {
                    self.salvage_failed(key);
                }
                self.events.push_back(Event::Fiber(fiber));
            }
            Continuation::Callback(callback) => {
                slot.continuation = Continuation::Callback(callback);
                if outcome.is_err() {
                    self.salvage_failed(key);
                }
                self.events.push_back(Event::Call(key));
            }
            _ => self.discard(key, outcome),
        }
    }

    /// An exact read failed: what had arrived goes back to the stream.
    fn salvage_failed(&mut self, key: Key) {
        let Some(slot) = self.ops.get(key) else { return };
        let view = slot.view();
        self.salvage(&view, 0);
        // So that it is not saved again if its future never looks.
        if let Some(slot) = self.ops.get_mut(key)
            && slot.side == Side::Read
        {
            slot.done = 0;
        }
    }

    /// Nobody waits for the result: what it brought is kept with the descriptor.
    pub(super) fn discard(&mut self, key: Key, outcome: Outcome) {
        let Some(mut slot) = self.ops.remove(key) else { return };
        match (slot.op, outcome) {
            (Op::Accept { .. }, Ok(fd)) => self.keep_accepted(slot.io, fd as RawFd),
            (Op::Open { .. }, Ok(fd)) => self.driver.close(fd as RawFd),
            (Op::RecvMsg { msg, .. }, Ok(len)) => self.salvage_datagram(&slot, msg, len),
            (_, Ok(n)) if !slot.exact => self.salvage(&slot, n),
            (_, Err(failure)) => {
                self.salvage(&slot, 0);
                self.note_unheard(slot.io, failure);
            }
            _ => self.salvage(&slot, 0),
        }
        self.trash.push(Trash::Parcel(slot.parcel.move_out()));
    }

    /// Keeps a connection for the next accept, by whichever face.
    pub(crate) fn keep_accepted(&mut self, key: Key, fd: RawFd) {
        match self.ios.get_mut(key) {
            Some(io) if io.is_open() => io.accepted.push_back(fd),
            _ => return self.driver.close(fd),
        }
        self.tell_accepted(key);
        self.recall_reader(key);
    }

    /// Saves the bytes that a receive got into a buffer nobody will look at: those of
    /// earlier steps and `last` more.
    pub(super) fn salvage(&mut self, slot: &OpSlot, last: usize) {
        let got = slot.done + last;
        if got == 0 {
            return;
        }
        let bytes = match slot.op {
            Op::Recv { buf, .. } | Op::Read { buf, .. } => {
                let start = buf.wrapping_sub(slot.done);
                // SAFETY: the operation's buffer starts `done` bytes before what is left
                // of it, is owned by the caller, and its first `got` bytes were written.
                unsafe { std::slice::from_raw_parts(start, got) }.to_vec()
            }
            // SAFETY: the vectors and what they name are owned by the caller.
            Op::Readv { iov, count, .. } => unsafe { gather(iov, count, got) },
            _ => return,
        };
        self.stats.saved_bytes += got as u64;
        if let Some(io) = self.ios.get_mut(slot.io) {
            io.inbox.put_back(Segment::Saved { bytes, start: 0, place: slot.place });
            self.announce_inbox(slot.io);
        }
    }

    fn salvage_datagram(&mut self, slot: &OpSlot, msg: *mut libc::msghdr, len: usize) {
        let Some(io) = self.ios.get_mut(slot.io) else { return };
        // SAFETY: the header and what it names are owned by the operation, which is over.
        let segment = unsafe {
            let header = &*msg;
            let buffer = &*header.msg_iov;
            let len = len.min(buffer.iov_len);
            Segment::Datagram {
                bytes: std::slice::from_raw_parts(buffer.iov_base.cast::<u8>(), len).to_vec(),
                from: crate::kinds::source_address(header),
                truncated: header.msg_flags & libc::MSG_TRUNC != 0,
                place: slot.place,
            }
        };
        io.inbox.put_back(segment);
        self.announce_inbox(slot.io);
    }

    /// The inbox has got what a given-up operation brought: whoever waits behind that
    /// operation looks again.
    fn announce_inbox(&mut self, key: Key) {
        let Some(io) = self.ios.get_mut(key) else { return };
        self.events.extend(io.reader.take().map(Event::Wake));
        if io.handlers.is_some() {
            self.tell_inbox(key);
        }
        self.recall_reader(key);
    }

    /// The first receive of the lane may wait in the kernel for what the descriptor holds
    /// now: it is taken back to look.
    fn recall_reader(&mut self, key: Key) {
        let Some(op) = self.ios.get(key).and_then(|io| io.read.head) else { return };
        let Some(slot) = self.ops.get_mut(op) else { return };
        match (slot.phase, &slot.continuation) {
            (_, Continuation::Pump) => {}
            (_, Continuation::Inbox) => self.cancel(op, Ending::Cancelled),
            (Phase::Armed | Phase::ArmedPoll, _) => {
                slot.looks_again = true;
                self.driver.cancel(token(op));
            }
            (Phase::Overflow | Phase::Hot, _) => {
                slot.phase = Phase::Queued;
                self.unheat(op);
                self.kick(op);
            }
            _ => {}
        }
    }

    /// Takes an operation out of its lane, wherever it stands.
    pub(super) fn leave_lane(&mut self, key: Key) {
        let Some(slot) = self.ops.get_mut(key) else { return };
        let (io, side, after) = (slot.io, slot.side, slot.next.take());
        let Some(io) = self.ios.get_mut(io) else { return };
        let lane = match side {
            Side::Read => &mut io.read,
            Side::Write => &mut io.write,
            Side::Unordered => return io.others.retain(|&other| other != key),
        };
        if lane.head == Some(key) {
            lane.head = after;
            if after.is_none() {
                lane.tail = None;
            }
            return;
        }
        let mut at = lane.head;
        while let Some(before) = at {
            let slot = self.ops.get_mut(before).expect("lanes hold pending operations");
            if slot.next == Some(key) {
                slot.next = after;
                if lane.tail == Some(key) {
                    lane.tail = Some(before);
                }
                return;
            }
            at = slot.next;
        }
    }

    /// The first of the lane, if it waits for its turn, gets it.
    pub(super) fn next_in_lane(&mut self, io: Key, side: Side) {
        let Some(entry) = self.ios.get(io) else { return };
        let (head, goes_on) = match side {
            Side::Read => (entry.read.head, entry.is_open()),
            Side::Write => (entry.write.head, entry.closing != Closing::Ending),
            Side::Unordered => return,
        };
        let Some(key) = head else {
            if side == Side::Write {
                self.sending_rests(io);
            }
            return;
        };
        // Where it does not go on, whoever closes ends the rest of the lane.
        if goes_on && self.ops.get(key).is_some_and(|slot| slot.phase == Phase::Queued) {
            self.kick(key);
        }
    }
}

/// What is to be said of a write that ends now: a part of it has left.
pub(super) fn torn(slot: &OpSlot) -> Option<Failure> {
    let torn = slot.exact && slot.side == Side::Write && slot.done > 0;
    torn.then(|| Failure::Torn { written: slot.done, of: slot.done + slot.remaining() })
}

/// The first `got` bytes of several buffers.
///
/// # Safety
/// `iov` names `count` buffers that are valid for reading.
unsafe fn gather(iov: *const libc::iovec, count: usize, got: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(got);
    // SAFETY: the caller's promise.
    for buf in unsafe { std::slice::from_raw_parts(iov, count) } {
        let n = buf.iov_len.min(got - bytes.len());
        // SAFETY: the caller's promise; `n` is no more than the buffer's length.
        bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(buf.iov_base.cast(), n) });
    }
    bytes
}

/// What to tell: an operation that was asked to end says why.
fn reason(failure: Failure, ending: Option<Ending>) -> Failure {
    let stopped = matches!(failure, Failure::Errno(libc::ECANCELED) | Failure::Cancelled);
    match ending {
        Some(Ending::TimedOut) if stopped => Failure::TimedOut,
        Some(Ending::Cancelled) if stopped => Failure::Cancelled,
        Some(Ending::Closed) if stopped => Failure::Closed,
        _ => failure,
    }
}
