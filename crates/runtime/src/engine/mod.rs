//! The completion core: which operations are pending, who owns their memory, in which
//! order they take effect, and who is told of their end. One state machine over a
//! [`Driver`], without user code inside: what is to be called comes out as [`Event`]s,
//! which the loop dispatches when the engine is not borrowed.
//!
//! | file | what it does |
//! | --- | --- |
//! | `ops`, `io` | the tables: operations, descriptors |
//! | `start` | an operation's way in: inline attempt, lane, driver, overflow, deferral |
//! | `finish` | its way out: progress, result, the next in the lane |
//! | `stop` | cancel, deadline, abandonment, closing |
//! | `receive`, `send` | what the descriptor itself holds: inbox and pumps, outbox and flushes |
//! | `reaim` | another buffer for a pending receive |
//! | `hot` | direct probes while spinning |
//! | `outbox`, `outcome` | the memory and the results |

mod finish;
mod hot;
pub(crate) mod io;
pub(crate) mod ops;
pub(crate) mod outbox;
pub(crate) mod outcome;
mod reaim;
mod receive;
mod send;
mod start;
mod stop;

use std::collections::VecDeque;
use std::os::fd::RawFd;
use std::task::Waker;
use std::time::Duration;

use crate::Config;
use crate::Error;
use crate::driver::any::AnyDriver;
use crate::driver::{BufferId, Completion, Driver, Op, Token, Wait};
use crate::handlers::Handlers;
use crate::inline_fn::OnceFn;
use crate::parcel::Parcel;
use crate::slab::{Key, Slab};
use crate::time::{Instant, Payload, TimerKey, Wheel, WheelFull};

pub(crate) use hot::Scratch;
pub(crate) use start::{Start, Submission};

use io::{Class, Io};
use ops::{Continuation, Finished, OpSlot, Phase};
use outbox::Chunks;
use outcome::Failure;

/// Something for the loop to do outside the engine.
#[derive(Debug)]
pub(crate) enum Event {
    /// Wake a task.
    Wake(Waker),
    /// Wake a fiber.
    Fiber(Key),
    /// Call the one-shot callback of a finished operation.
    Call(Key),
    /// Give received bytes to the descriptor's data handler.
    Data(Key, Received),
    /// Give an accepted descriptor to the listener's handler.
    Accepted(Key, RawFd),
    /// Run a file operation on the offload pool.
    Offload(Key),
    /// Give what lies in the inbox to the data handler.
    Inbox(Key),
    /// Tell the readiness or datagram handler that there is something to take.
    Readable(Key),
    /// Have the readiness handler look whether there is something.
    Look(Key),
    /// The outbox fell below its low mark.
    Writable(Key),
    /// Receiving or sending ended: tell the close handler. `None`: the peer's orderly end.
    Ended(Key, Option<Failure>),
}

/// Received bytes, lent to a handler.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    pub(crate) at: ReceivedAt,
    pub(crate) len: usize,
}

/// Where they lie.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ReceivedAt {
    /// In the driver's pool.
    Pool(BufferId),
    /// In the engine's own scratch memory.
    Scratch(u16),
}

/// What belongs to users and must be dropped when the engine is not borrowed, since
/// dropping may call back into it.
pub(crate) enum Trash {
    Parcel(#[expect(dead_code, reason = "held only to be dropped")] Parcel),
    Waker(#[expect(dead_code, reason = "held only to be dropped")] Waker),
    Callback(#[expect(dead_code, reason = "held only to be dropped")] OnceFn<Finished>),
    Handlers(#[expect(dead_code, reason = "held only to be dropped")] Box<Handlers>),
}

/// Counters of what the engine did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Operations that completed without a trip through the driver.
    pub inline: u64,
    /// Completions that the driver delivered.
    pub completions: u64,
    /// Completions that named no operation: late ones of slots that had been freed.
    pub stray: u64,
    /// Operations that waited in the overflow queue.
    pub overflowed: u64,
    /// Operations put off to the next turn by the dispatch limit.
    pub deferred: u64,
    /// Bytes saved from receives whose owner had gone.
    pub saved_bytes: u64,
    /// Bytes of closed streams that were never sent.
    pub discarded_bytes: u64,
}

/// The completion core.
pub(crate) struct Engine {
    pub(crate) driver: AnyDriver,
    pub(crate) ops: Slab<OpSlot>,
    pub(crate) ios: Slab<Io>,
    pub(crate) wheel: Wheel<Alarm>,
    /// No timer is due before: a bound, exact after each look at the wheel.
    next_alarm: Instant,
    pub(crate) events: VecDeque<Event>,
    pub(crate) trash: Vec<Trash>,
    /// Descriptors whose outbox is to be sent at the end of the turn.
    dirty: Vec<Key>,
    /// Descriptors that were refused a chunk while they held none, so that nothing of
    /// their own would tell them of room.
    starved: VecDeque<Key>,
    /// Operations that the driver had no room for, in order.
    overflow: VecDeque<Key>,
    /// Readiness handlers that left something, to be called again in the next turn.
    pub(crate) again: Vec<Key>,
    /// Operations to be tried at the start of the next turn.
    deferred: VecDeque<Key>,
    /// Receives that are to get another buffer.
    reaims: Vec<reaim::Reaim>,
    /// Operations that are probed every turn while spinning.
    hot: hot::Hot,
    chunks: Chunks,
    pub(crate) scratch: Scratch,
    completions: Vec<Completion>,
    /// Immediate completions that are still allowed before the rest is put off.
    pub(crate) inline_left: u32,
    pub(crate) stats: Stats,
    /// The loop spins, so that hot operations may be kept from the driver.
    pub(crate) spinning: bool,
    /// The time of this turn.
    pub(crate) now: Instant,
    /// No new work is taken: the runtime is going.
    pub(crate) shut: bool,
    write_limit: usize,
    pub(crate) dispatch_limit: u32,
    /// How long a closed stream may go on sending what it was given.
    drain_time: Duration,
    receive_buffer_size: usize,
    limits: Limits,
}

struct Limits {
    operations: usize,
    descriptors: usize,
    timers: usize,
}

/// What a timer does. With its entry in the wheel it fills one cache line.
pub(crate) enum Alarm {
    /// Calls a user's handler, once.
    Call(TimerFn),
    /// Anything else. Apart, as a handler leaves room for one more kind, not for many.
    Other(OtherAlarm),
}

/// A closure with room for four words.
pub(crate) type TimerFn = OnceFn<(), (), 32, u64>;

#[derive(Default)]
pub(crate) enum OtherAlarm {
    /// Of a free entry, and of a repeating timer while its handler runs.
    #[default]
    None,
    /// Calls a user's handler again and again.
    Repeat(Box<Repeat>),
    /// Wakes a task.
    Wake(Waker),
    /// Wakes a fiber.
    Fiber(Key),
    /// An operation's deadline.
    Operation(Key),
    /// A closing stream has had time enough to drain.
    Linger(Key),
    /// A pump that had to stop for want of a resource may try again.
    Retry(Key),
}

/// A repeating timer.
pub(crate) struct Repeat {
    pub(crate) period: Duration,
    pub(crate) name: &'static str,
    pub(crate) call: Box<dyn FnMut()>,
}

const _: () = assert!(size_of::<Alarm>() == 40);

impl Default for Alarm {
    fn default() -> Self {
        Self::Other(OtherAlarm::None)
    }
}

impl Payload for Alarm {}

impl Alarm {
    /// Whether it is for the program, not for the engine.
    pub(crate) fn is_users(&self) -> bool {
        matches!(self, Self::Call(_) | Self::Other(OtherAlarm::Repeat(_) | OtherAlarm::Wake(_)))
    }
}

impl Engine {
    /// Reserves every table.
    pub(crate) fn new(config: &Config, driver: AnyDriver, now: Instant) -> Result<Self, Error> {
        let memory = |error: tautline_buffer::Error| Error::Refused {
            wish: "memory for send and receive buffers",
            reason: error.to_string(),
        };
        Ok(Self {
            driver,
            ops: Slab::new(config.operations),
            ios: Slab::new(config.descriptors),
            wheel: Wheel::new(config.timers, config.tick, now),
            next_alarm: Instant::MAX,
            events: VecDeque::with_capacity(2 * config.budgets.io + 64),
            trash: Vec::with_capacity(64),
            dirty: Vec::with_capacity(config.descriptors),
            starved: VecDeque::with_capacity(config.descriptors),
            overflow: VecDeque::with_capacity(config.operations),
            again: Vec::with_capacity(64),
            deferred: VecDeque::with_capacity(config.operations),
            reaims: Vec::with_capacity(16),
            hot: hot::Hot::new(config.hot),
            chunks: Chunks::new(config.send_chunks, config.send_chunk_size).map_err(memory)?,
            scratch: Scratch::new(config.receive_buffer_size).map_err(memory)?,
            completions: Vec::with_capacity(config.budgets.io),
            inline_left: config.dispatch_limit,
            stats: Stats::default(),
            spinning: false,
            now,
            shut: false,
            write_limit: config.write_limit,
            dispatch_limit: config.dispatch_limit,
            drain_time: config.drain_time,
            receive_buffer_size: config.receive_buffer_size,
            limits: Limits {
                operations: config.operations,
                descriptors: config.descriptors,
                timers: config.timers,
            },
        })
    }

    /// Takes a descriptor in; it belongs to the engine from now on, also on failure.
    pub(crate) fn register(&mut self, fd: RawFd, class: Class) -> Result<Key, Error> {
        if self.shut {
            self.driver.close(fd);
            return Err(Error::Closed);
        }
        self.ios.insert(Io::new(fd, class, self.write_limit)).map_err(|io| {
            self.driver.close(io.fd);
            let limit = self.limits.descriptors;
            Error::Exhausted { what: "descriptor", limit, knob: "descriptors" }
        })
    }

    /// The entry of an open descriptor.
    #[inline]
    pub(crate) fn io(&mut self, key: Key) -> Result<&mut Io, Failure> {
        match self.ios.get_mut(key) {
            Some(io) if io.is_open() => Ok(io),
            _ => Err(Failure::Closed),
        }
    }

    /// The failure that says that no operation is left.
    fn no_operation(&self) -> Failure {
        let limit = self.limits.operations;
        Failure::Exhausted { what: "operation", limit, knob: "operations" }
    }

    /// The failure that says that no timer is left.
    pub(crate) fn no_timer(&self) -> Failure {
        Failure::Exhausted { what: "timer", limit: self.limits.timers, knob: "timers" }
    }

    /// Lets the driver work, and turns what completed into events.
    pub(crate) fn poll_driver(&mut self, wait: Wait, limit: usize) -> std::io::Result<bool> {
        self.retry_overflow();
        // What found no room again gets it after this look: then is no time to sleep.
        let wait = if self.overflow.is_empty() { wait } else { Wait::No };
        let mut completions = std::mem::take(&mut self.completions);
        completions.clear();
        let woken = self.driver.poll(wait, limit, &mut completions);
        for &completion in &completions {
            self.complete(completion);
        }
        self.completions = completions;
        woken
    }

    /// Whether operations wait for room in the driver.
    pub(crate) fn has_overflow(&self) -> bool {
        !self.overflow.is_empty()
    }

    /// Whether something waits for the next turn, so that it must not sleep.
    pub(crate) fn is_busy(&self) -> bool {
        let idle = self.events.is_empty()
            && self.deferred.is_empty()
            && self.dirty.is_empty()
            && self.again.is_empty()
            && self.overflow.is_empty()
            && (self.starved.is_empty() || !self.chunks.has_free());
        !idle
    }

    /// Whether operations go on at the next turn, which may end the last of them.
    pub(crate) fn has_deferred(&self) -> bool {
        !self.deferred.is_empty()
    }

    /// Whether any operation or unsent byte is left: what `run_pending` waits for.
    pub(crate) fn has_pending(&self) -> bool {
        let working = |op| !self.is_idle_feed(op);
        self.is_busy() || self.ops.len() > 0 && self.ops.keys().any(working)
    }

    /// Whether an operation feeds an inbox that nobody waits for.
    fn is_idle_feed(&self, op: Key) -> bool {
        let Some(slot) = self.ops.get(op) else { return false };
        let awaited = self.ios.get(slot.io).is_some_and(|io| io.reader.is_some());
        matches!(slot.continuation, Continuation::Inbox) && !awaited
    }

    /// Arms an alarm that does nothing yet, and returns where to write what it does.
    #[inline]
    pub(crate) fn arm_empty(&mut self, at: Instant) -> Result<(TimerKey, &mut Alarm), WheelFull> {
        self.next_alarm = self.next_alarm.min(at);
        self.wheel.arm_empty(at)
    }

    /// Arms an alarm of the engine's own.
    pub(crate) fn arm_own(&mut self, at: Instant, own: OtherAlarm) -> Result<TimerKey, WheelFull> {
        let (key, place) = self.arm_empty(at)?;
        *place = Alarm::Other(own);
        Ok(key)
    }

    /// Arms an alarm for another time; false if it has gone off.
    #[inline]
    pub(crate) fn rearm_alarm(&mut self, key: TimerKey, at: Instant) -> bool {
        self.next_alarm = self.next_alarm.min(at);
        self.wheel.rearm(key, at)
    }

    /// Arms an alarm again that has just gone off, under the key that it had, to do nothing.
    pub(crate) fn revive_alarm(&mut self, key: TimerKey, at: Instant) {
        self.next_alarm = self.next_alarm.min(at);
        self.wheel.revive(key, at);
    }

    /// Whether an alarm may be due, or the wheel has something to prepare.
    #[inline]
    pub(crate) fn is_alarm_due(&self, now: Instant) -> bool {
        self.next_alarm <= now || self.wheel.works_ahead_at() <= now
    }

    /// Takes the next alarm that is due at `now`, and puts what it does into `place`.
    #[inline]
    pub(crate) fn next_expired(
        &mut self,
        now: Instant,
        place: &mut Alarm,
    ) -> Option<(TimerKey, Instant)> {
        self.refill();
        let expired = self.wheel.expire_into(now, place);
        if expired.is_none() {
            self.next_alarm = self.wheel.next_deadline().unwrap_or(Instant::MAX);
        }
        expired
    }

    /// When the loop has to look at its alarms next.
    pub(crate) fn next_alarm(&mut self) -> Option<Instant> {
        self.next_alarm = self.wheel.next_deadline().unwrap_or(Instant::MAX);
        (self.next_alarm < Instant::MAX).then_some(self.next_alarm)
    }

    /// Allows a full dispatch budget again; called before each thing that did not come
    /// from an immediate completion.
    #[inline]
    pub(crate) fn refill(&mut self) {
        self.inline_left = self.dispatch_limit;
    }

    /// Gives received bytes' memory back.
    pub(crate) fn recycle(&mut self, at: ReceivedAt) {
        match at {
            ReceivedAt::Pool(id) => self.driver.recycle(id),
            ReceivedAt::Scratch(id) => self.scratch.give(id),
        }
    }

    /// Where received bytes lie.
    pub(crate) fn received(&self, at: ReceivedAt) -> *mut u8 {
        match at {
            ReceivedAt::Pool(id) => self.driver.buffer(id),
            ReceivedAt::Scratch(id) => self.scratch.ptr(id),
        }
    }

    /// Takes a finished operation out of the table for its future or callback.
    pub(crate) fn take_finished(&mut self, key: Key) -> Option<(Finished, ops::Continuation)> {
        match self.ops.get(key)?.phase {
            Phase::Finished(outcome) => {
                let slot = self.ops.remove(key)?;
                Some((Finished { outcome, parcel: slot.parcel }, slot.continuation))
            }
            _ => None,
        }
    }
}

/// An operation's name as the driver knows it.
pub(crate) fn token(key: Key) -> Token {
    Token::new(key.index, key.generation)
}

/// An operation that owns nothing and has no memory: for placeholders.
pub(crate) const fn nothing(fd: RawFd) -> Op {
    Op::Send { fd, buf: std::ptr::null(), len: 0 }
}
