//! Ending before the end: cancel, deadline, abandonment; closing of descriptors.

use crate::driver::{Driver, Op};
use crate::engine::io::{Closing, Lane, NO_FD};
use crate::engine::ops::{Continuation, Ending, OpSlot, Phase, Side};
use crate::engine::outcome::Failure;
use crate::engine::{Engine, Event, OtherAlarm, Trash, token};
use crate::slab::Key;

impl Engine {
    /// Asks an operation to end. One that is over already stays as it is.
    pub(crate) fn cancel(&mut self, key: Key, ending: Ending) {
        let Some(slot) = self.ops.get_mut(key) else { return };
        match slot.phase {
            Phase::Finished(_) => {}
            Phase::Armed | Phase::ArmedPoll => {
                slot.ending.get_or_insert(ending);
                self.driver.cancel(token(key));
            }
            Phase::Offloaded => {
                slot.ending.get_or_insert(ending);
            }
            Phase::Queued | Phase::Overflow | Phase::Hot => {
                slot.ending.get_or_insert(ending);
                self.end_unarmed(key);
            }
        }
    }

    /// Ends an operation that is not with the driver.
    fn end_unarmed(&mut self, key: Key) {
        self.unheat(key);
        let Some(slot) = self.ops.get_mut(key) else { return };
        match slot.continuation {
            Continuation::Pump | Continuation::Inbox | Continuation::Flush => {
                self.finish_internal(key);
            }
            _ => self.finish(key, Err(Failure::Cancelled)),
        }
    }

    /// The future of an operation was dropped. Sending goes on in the background;
    /// everything else is cancelled, and what it may still bring is kept.
    pub(crate) fn abandon(&mut self, key: Key) {
        let Some(slot) = self.ops.get_mut(key) else { return };
        match std::mem::replace(&mut slot.continuation, Continuation::Detached) {
            Continuation::Future(waker) => self.trash.push(Trash::Waker(waker)),
            Continuation::Callback(callback) => self.trash.push(Trash::Callback(callback)),
            _ => {}
        }
        match slot.phase {
            Phase::Finished(Ok(n)) if slot.side == Side::Write && n < slot.remaining() => {
                self.go_on(key, n);
            }
            Phase::Finished(outcome) => self.discard(key, outcome),
            // Nobody would hear how much of it has left.
            _ if slot.gives() => slot.exact |= slot.remaining() > 0,
            _ => self.cancel(key, Ending::Closed),
        }
    }

    /// Nobody has looked at a write that was over with a part of its bytes: the rest follows,
    /// unless something else was sent behind that part.
    fn go_on(&mut self, key: Key, sent: usize) {
        let Some(slot) = self.ops.get_mut(key) else { return };
        slot.advance(sent);
        let (io, until) = (slot.io, slot.until);
        let torn = Failure::Torn { written: slot.done, of: slot.done + slot.remaining() };
        match self.io(io) {
            Ok(entry) if entry.write.is_idle() && entry.sends == until => {}
            _ => {
                self.break_sending(io, torn);
                return self.discard(key, Ok(sent));
            }
        }
        let Some(slot) = self.ops.get_mut(key) else { return };
        (slot.exact, slot.phase, slot.ending) = (true, Phase::Queued, None);
        self.join_lane(key, io, Side::Write);
        self.schedule_flush(io);
        self.kick(key);
    }

    /// What an alarm of the engine's own asks for.
    pub(crate) fn alarm(&mut self, alarm: OtherAlarm) {
        match alarm {
            OtherAlarm::Operation(key) => {
                if let Some(slot) = self.ops.get_mut(key) {
                    slot.deadline = None;
                }
                self.cancel(key, Ending::TimedOut);
            }
            OtherAlarm::Linger(key) => {
                if self.ios.get(key).is_some_and(|io| io.closing == Closing::Draining) {
                    self.abort(key);
                }
            }
            OtherAlarm::Retry(key) => self.retry_pump(key),
            OtherAlarm::None
            | OtherAlarm::Repeat(_)
            | OtherAlarm::Wake(_)
            | OtherAlarm::Fiber(_) => {}
        }
    }

    /// Closes a descriptor: receiving ends now; what was given for sending is sent
    /// first, within the drain time.
    pub(crate) fn close(&mut self, key: Key) {
        let Some(io) = self.ios.get_mut(key) else { return };
        if io.closing != Closing::No {
            return;
        }
        io.closing = Closing::Draining;
        self.drop_waiters(key);
        self.empty_inbox(key);
        self.cancel_lane(key, Side::Read);
        self.cancel_others(key, Giving::GoesOn);
        self.cancel_connect(key);
        self.flush_inline(key);
        self.close_if_done(key);
        if self.ios.get(key).is_some_and(|io| io.closing == Closing::Draining) {
            let until = self.now + self.drain_time;
            let armed = self.arm_own(until, OtherAlarm::Linger(key)).ok();
            match self.ios.get_mut(key) {
                Some(io) if armed.is_some() => io.linger = armed,
                _ => self.abort(key),
            }
        }
    }

    /// Closes a descriptor without sending what waits.
    pub(crate) fn abort(&mut self, key: Key) {
        let Some(io) = self.ios.get_mut(key) else { return };
        let first = io.closing == Closing::No;
        io.closing = Closing::Ending;
        io.broken.get_or_insert(Failure::Closed);
        if first {
            self.drop_waiters(key);
            self.empty_inbox(key);
        }
        self.cancel_lane(key, Side::Read);
        self.cancel_lane(key, Side::Write);
        self.cancel_others(key, Giving::Ends);
        self.close_if_done(key);
    }

    /// Handlers go; tasks that wait are told.
    fn drop_waiters(&mut self, key: Key) {
        let Some(io) = self.ios.get_mut(key) else { return };
        let waiting = [io.reader.take(), io.writer.take()];
        if let Some(handlers) = io.handlers.take() {
            self.trash.push(Trash::Handlers(handlers));
        }
        self.events.extend(waiting.into_iter().flatten().map(Event::Wake));
    }

    fn cancel_lane(&mut self, key: Key, side: Side) {
        let mut at = self.ios.get(key).and_then(|io| lane(io, side).head);
        while let Some(op) = at {
            at = self.ops.get(op).and_then(|slot| slot.next);
            self.cancel(op, Ending::Closed);
        }
    }

    /// A connection that nobody waits for any more has nothing to drain.
    fn cancel_connect(&mut self, key: Key) {
        let Some(op) = self.ios.get(key).and_then(|io| io.write.head) else { return };
        if self.ops.get(op).is_some_and(|slot| matches!(slot.op, Op::Connect { .. })) {
            self.cancel_lane(key, Side::Write);
        }
    }

    fn cancel_others(&mut self, key: Key, giving: Giving) {
        let others = self.ios.get_mut(key).map(|io| std::mem::take(&mut io.others));
        for op in others.into_iter().flatten() {
            let gives = self.ops.get(op).is_some_and(OpSlot::gives);
            match self.ios.get_mut(key) {
                Some(io) if gives && giving == Giving::GoesOn => io.others.push(op),
                _ => self.cancel(op, Ending::Closed),
            }
        }
    }

    /// Goes on with a closing as far as it can.
    pub(super) fn close_if_done(&mut self, key: Key) {
        let Some(io) = self.ios.get_mut(key) else { return };
        let sent = io.outbox.len() == 0 || io.broken.is_some();
        let given = io.write.is_idle() && io.others.is_empty();
        if io.closing == Closing::Draining && sent && given {
            io.closing = Closing::Ending;
        }
        let over = io.closing == Closing::Ending
            && io.armed == 0
            && io.read.is_idle()
            && io.write.is_idle();
        if over {
            self.close_now(key);
        }
    }

    fn close_now(&mut self, key: Key) {
        self.empty_inbox(key);
        let Some(mut io) = self.ios.remove(key) else { return };
        if let Some(timer) = io.linger.take() {
            self.wheel.cancel(timer);
        }
        self.stats.discarded_bytes += io.outbox.len() as u64;
        io.outbox.clear(&mut self.chunks);
        for fd in io.accepted.drain(..) {
            self.driver.close(fd);
        }
        if io.fd != NO_FD {
            self.driver.close(io.fd);
        }
    }

    /// Ends everything: nothing new is taken, all operations are cancelled, all
    /// descriptors closed as soon as the driver lets go of them.
    pub(crate) fn shut_down(&mut self) {
        self.shut = true;
        self.spinning = false;
        let ios: Vec<Key> = self.ios.keys().collect();
        for key in ios {
            self.abort(key);
        }
    }
}

/// What becomes of operations that write to a file or make it durable.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Giving {
    GoesOn,
    Ends,
}

fn lane(io: &super::io::Io, side: Side) -> &Lane {
    match side {
        Side::Write => &io.write,
        _ => &io.read,
    }
}
