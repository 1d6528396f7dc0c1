//! An operation's way in: tried at once if nothing is before it, else put into its
//! lane; armed with the driver when it is first and cannot be done now.

use crate::driver::{Attempt, Driver, Full, Interest, Op};
use crate::engine::finish::torn;
use crate::engine::io::{Class, Closing};
use crate::engine::ops::{Continuation, Kind, NOWHERE, OpSlot, Phase, Side};
use crate::engine::outcome::{Failure, Outcome, outcome};
use crate::engine::{Engine, Event, OtherAlarm, token};
use crate::slab::Key;
use crate::time::Instant;

/// What becomes of a submission at once.
pub(crate) enum Start<K> {
    /// It is over, without a slot; the continuation comes back if it was made.
    Done(K, Outcome, Option<Continuation>),
    /// It is pending under this key, and owns its kind.
    Pending(Key),
}

/// How an operation is to be started.
pub(crate) struct Submission {
    /// The descriptor.
    pub(crate) io: Key,
    /// When it is given up.
    pub(crate) deadline: Option<Instant>,
    /// Whether it may complete at once, without a slot. One that may not gets its
    /// continuation told by an event in any case.
    pub(crate) inline: bool,
}

impl Engine {
    /// Starts an operation. `continuation` is made only if it does not complete at once.
    pub(crate) fn start<K: Kind>(
        &mut self,
        mut kind: K,
        submission: &Submission,
        continuation: impl FnOnce() -> Continuation,
    ) -> Start<K> {
        if let Err(failure) = self.admit(submission.io, K::SIDE) {
            return Start::Done(kind, Err(failure), None);
        }
        if K::SIDE == Side::Write {
            // What was queued before goes first, at once or by a flush before this.
            self.flush_inline(submission.io);
            // That may have shown that sending is over.
            if let Err(failure) = self.admit(submission.io, K::SIDE) {
                return Start::Done(kind, Err(failure), None);
            }
        }
        let mut moved = Moved { done: 0, place: NOWHERE };
        if submission.inline && self.may_go_inline(submission.io, K::SIDE) {
            match self.run_inline(&mut kind, submission.io) {
                Inline::Over(outcome) => return Start::Done(kind, outcome, None),
                Inline::Left(so_far) => moved = so_far,
            }
        }
        self.enqueue(kind, moved, submission, continuation())
    }

    /// Refuses what cannot be started at all.
    fn admit(&mut self, key: Key, side: Side) -> Result<(), Failure> {
        let io = self.io(key)?;
        match (side, io.broken) {
            (Side::Write, Some(failure)) => Err(failure),
            _ => Ok(()),
        }
    }

    /// Whether nothing is before a new operation, and the dispatch budget allows it.
    fn may_go_inline(&mut self, key: Key, side: Side) -> bool {
        if self.inline_left == 0 {
            return false;
        }
        match side {
            Side::Write => {
                self.ios.get(key).is_some_and(|io| io.write.is_idle() && io.outbox.len() == 0)
            }
            Side::Read => {
                let now = Some(self.now);
                self.ios.get(key).is_some_and(|io| {
                    io.read.is_idle() && (io.drained_in != now || !io.inbox.is_empty())
                })
            }
            Side::Unordered => true,
        }
    }

    /// Tries a fresh operation on the memory of a kind that is not in a slot yet.
    fn run_inline<K: Kind>(&mut self, kind: &mut K, key: Key) -> Inline {
        let Some(io) = self.ios.get(key) else { return Inline::Over(Err(Failure::Closed)) };
        let mut probe = OpSlot::internal(kind.op(io.fd, 0), key, K::SIDE, Continuation::Detached);
        probe.exact = K::EXACT;
        match self.try_slot(&mut probe) {
            Some(outcome) => {
                self.inline_left -= 1;
                self.stats.inline += 1;
                if K::SIDE == Side::Write {
                    self.note_sent(key);
                }
                if let Err(failure) = outcome {
                    self.salvage(&probe, 0);
                    if probe.gives() {
                        self.note_unheard(key, failure);
                    }
                }
                Inline::Over(outcome)
            }
            None => Inline::Left(Moved { done: probe.done, place: probe.place }),
        }
    }

    /// Puts an operation into the table and its lane.
    fn enqueue<K: Kind>(
        &mut self,
        kind: K,
        moved: Moved,
        submission: &Submission,
        continuation: Continuation,
    ) -> Start<K> {
        let Some(fd) = self.ios.get(submission.io).map(|io| io.fd) else {
            return Start::Done(kind, Err(Failure::Closed), Some(continuation));
        };
        if K::SIDE == Side::Write && !self.cover_outbox(submission.io) {
            return Start::Done(kind, Err(self.no_operation()), Some(continuation));
        }
        let mut slot = OpSlot::internal(super::nothing(fd), submission.io, K::SIDE, continuation);
        slot.exact = K::EXACT;
        (slot.done, slot.place) = (moved.done, moved.place);
        slot.parcel.put(kind);
        let key = match self.ops.insert(slot) {
            Ok(key) => key,
            Err(mut slot) => {
                slot.op = slot.parcel.get_mut::<K>().op(fd, moved.done);
                return self.refuse(slot, self.no_operation());
            }
        };
        let placed = self.ops.get_mut(key).expect("just inserted");
        placed.op = placed.parcel.get_mut::<K>().op(fd, moved.done);
        if let Some(failure) = self.arm_deadline(key, submission.deadline) {
            let slot = self.ops.remove(key).expect("just inserted");
            return self.refuse(slot, failure);
        }
        if K::SIDE == Side::Write {
            self.seal_flush(submission.io);
        }
        if self.join_lane(key, submission.io, K::SIDE) {
            self.first_step(key, submission.inline);
        } else if K::SIDE == Side::Read {
            self.end_inbox_feed(submission.io);
        }
        Start::Pending(key)
    }

    /// There is no room for an operation to wait. What it got at once goes back to the
    /// stream; a write of which a part has left breaks the sending side.
    fn refuse<K: Kind>(&mut self, slot: OpSlot, failure: Failure) -> Start<K> {
        self.salvage(&slot, 0);
        if let Some(torn) = torn(&slot) {
            self.break_sending(slot.io, torn);
        }
        Start::Done(slot.parcel.take(), Err(failure), Some(slot.continuation))
    }

    fn arm_deadline(&mut self, key: Key, deadline: Option<Instant>) -> Option<Failure> {
        let deadline = deadline?;
        match self.arm_own(deadline, OtherAlarm::Operation(key)) {
            Ok(timer) => {
                self.ops.get_mut(key)?.deadline = Some(timer);
                None
            }
            Err(_) => Some(self.no_timer()),
        }
    }

    /// Appends to the lane; true if the operation is now the first.
    pub(super) fn join_lane(&mut self, key: Key, io: Key, side: Side) -> bool {
        let Some(io) = self.ios.get_mut(io) else { return false };
        let lane = match side {
            Side::Read => &mut io.read,
            Side::Write => &mut io.write,
            Side::Unordered => {
                io.others.push(key);
                return true;
            }
        };
        let before = lane.tail.replace(key);
        match before {
            None => lane.head = Some(key),
            Some(before) => {
                self.ops.get_mut(before).expect("the lane's last is pending").next = Some(key);
            }
        }
        before.is_none()
    }

    /// The first operation of its lane: armed if it was tried just now, else tried, or
    /// put off when the dispatch budget is used up.
    fn first_step(&mut self, key: Key, tried: bool) {
        if self.inline_left == 0 {
            self.defer(key);
        } else if tried {
            self.arm(key);
        } else {
            self.kick(key);
        }
    }

    pub(super) fn defer(&mut self, key: Key) {
        self.stats.deferred += 1;
        self.deferred.push_back(key);
    }

    /// Goes on with what the last turn put off.
    pub(crate) fn run_deferred(&mut self) {
        for _ in 0..self.deferred.len() {
            let Some(key) = self.deferred.pop_front() else { break };
            self.refill();
            if self.ops.get(key).is_some_and(|slot| slot.phase == Phase::Queued) {
                self.kick(key);
            }
        }
    }

    /// Tries the first operation of a lane and arms it if it cannot be done now.
    pub(super) fn kick(&mut self, key: Key) {
        if self.inline_left == 0 {
            return self.defer(key);
        }
        if let Some(failure) = self.broken_before(key) {
            self.inline_left -= 1;
            return self.finish(key, Err(failure));
        }
        self.step_back(key, 0);
        let Some(slot) = self.ops.get_mut(key) else { return };
        match slot.continuation {
            Continuation::Pump | Continuation::Inbox => return self.arm(key),
            Continuation::Flush => return self.continue_flush(key),
            _ => {}
        }
        // The view is tried in place of the slot, so that the engine can be borrowed.
        let mut probe = slot.view();
        let over = self.try_slot(&mut probe);
        let Some(slot) = self.ops.get_mut(key) else { return };
        (slot.op, slot.done, slot.place) = (probe.op, probe.done, probe.place);
        match over {
            Some(outcome) => {
                self.inline_left -= 1;
                self.stats.inline += 1;
                self.finish(key, outcome);
            }
            None => self.arm(key),
        }
    }

    /// Why a write that waited for its turn must not be sent: one before it was cut short.
    fn broken_before(&self, key: Key) -> Option<Failure> {
        let slot = self.ops.get(key)?;
        let stopped = slot.gives()
            && slot.side == Side::Write
            && !matches!(slot.continuation, Continuation::Flush);
        if stopped { self.ios.get(slot.io)?.broken } else { None }
    }

    /// Moves as much as can be moved now. `None`: more is left, and would block.
    fn try_slot(&mut self, slot: &mut OpSlot) -> Option<Outcome> {
        if slot.exact && slot.remaining() == 0 {
            return Some(Ok(slot.done));
        }
        loop {
            let place = self.next_place(slot.io);
            let result = match self.take_from_inbox(slot) {
                Some(outcome) => outcome,
                None if !attemptable(&slot.op) => return None,
                // SAFETY: the operation's memory is owned by its kind, which lives in
                // its slot or in our caller's hands.
                None => match unsafe { self.driver.attempt(&slot.op) } {
                    Attempt::WouldBlock => return None,
                    Attempt::Done(result) => {
                        self.note_room(slot.io, &slot.op, result);
                        outcome(self.hear_end(slot.io, &slot.op, result))
                    }
                },
            };
            if let Ok(n) = result {
                self.note_taken(slot, place, n);
            }
            if let Some(outcome) = progress(slot, result) {
                return Some(outcome);
            }
        }
    }

    /// Gives an operation to the driver, or puts it behind those that the driver had
    /// no room for; a hot one is kept back.
    pub(super) fn arm(&mut self, key: Key) {
        if self.keep_hot(key) {
            return;
        }
        if self.overflow.is_empty() && self.hand_over(key).is_ok() {
            return;
        }
        if let Some(slot) = self.ops.get_mut(key) {
            slot.phase = Phase::Overflow;
            self.stats.overflowed += 1;
            self.overflow.push_back(key);
        }
    }

    /// Submits what did not fit before, in order, as far as there is room now.
    pub(super) fn retry_overflow(&mut self) {
        while let Some(&key) = self.overflow.front() {
            let waiting = self.ops.get(key).is_some_and(|slot| slot.phase == Phase::Overflow);
            if waiting && self.hand_over(key).is_err() {
                return;
            }
            self.overflow.pop_front();
        }
    }

    /// Submits an operation: as it is, by a poll that stands in for it, or as work for
    /// the offload pool where the driver serves no files.
    fn hand_over(&mut self, key: Key) -> Result<(), Full> {
        let Some(slot) = self.ops.get_mut(key) else { return Ok(()) };
        let Some(io) = self.ios.get_mut(slot.io) else { return Ok(()) };
        if is_file_operation(&slot.op) && !self.driver.files() {
            slot.phase = Phase::Offloaded;
            io.armed += 1;
            self.events.push_back(Event::Offload(key));
            return Ok(());
        }
        let (op, phase) = match stand_in(&slot.op, io.class, io.fd) {
            Some(poll) => (poll, Phase::ArmedPoll),
            None => (slot.op, Phase::Armed),
        };
        // SAFETY: the slot owns the memory (or the descriptor's outbox does) and is
        // not freed before the final completion; entries of the table never move.
        unsafe { self.driver.submit(token(key), &op)? };
        slot.phase = phase;
        io.armed += 1;
        Ok(())
    }

    /// Arms an operation of the descriptor itself. False: the table is full.
    pub(super) fn start_internal(
        &mut self,
        io: Key,
        op: Op,
        side: Side,
        continuation: Continuation,
    ) -> Option<Key> {
        let open = self.ios.get(io).is_some_and(|io| io.closing != Closing::Ending);
        if !open {
            return None;
        }
        let key = self.ops.insert(OpSlot::internal(op, io, side, continuation)).ok()?;
        if self.join_lane(key, io, side) {
            self.arm(key);
        }
        Some(key)
    }
}

/// What an operation got done before it had to wait.
#[derive(Clone, Copy)]
struct Moved {
    /// Bytes.
    done: usize,
    /// Where the first of them stands in the stream.
    place: u64,
}

/// How an inline run ended.
enum Inline {
    Over(Outcome),
    /// The rest would block; so much has moved.
    Left(Moved),
}

/// Whether the driver can try the operation without waiting.
fn attemptable(op: &Op) -> bool {
    let multishot = matches!(
        op,
        Op::RecvPool { .. } | Op::RecvMulti { .. } | Op::AcceptMulti { .. } | Op::PollMulti { .. }
    );
    !multishot && !is_file_operation(op)
}

/// Whether the operation is on a regular file, which is never waited for but may block.
fn is_file_operation(op: &Op) -> bool {
    matches!(op, Op::ReadAt { .. } | Op::WriteAt { .. } | Op::Fsync { .. } | Op::Open { .. })
}

/// The poll that stands in for an operation on a descriptor that is no socket: the
/// kernel's ring answers `EAGAIN` there instead of waiting.
fn stand_in(op: &Op, class: Class, fd: std::os::fd::RawFd) -> Option<Op> {
    let interest = match op {
        Op::Read { .. } | Op::Readv { .. } => Interest::Read,
        Op::Write { .. } | Op::Writev { .. } => Interest::Write,
        _ => return None,
    };
    (class != Class::File).then_some(Op::Poll { fd, interest })
}

/// Notes what an operation's step brought. `None`: it is not over.
pub(super) fn progress(slot: &mut OpSlot, step: Outcome) -> Option<Outcome> {
    if !slot.exact {
        return Some(step);
    }
    let reading = slot.side == Side::Read || matches!(slot.op, Op::ReadAt { .. });
    match step {
        Err(failure) => Some(Err(failure)),
        Ok(0) if slot.remaining() == 0 => Some(Ok(slot.done)),
        Ok(0) if reading => Some(Err(Failure::UnexpectedEof)),
        Ok(0) => Some(Err(Failure::WriteZero)),
        Ok(n) => {
            slot.advance(n);
            (slot.remaining() == 0).then_some(Ok(slot.done))
        }
    }
}
