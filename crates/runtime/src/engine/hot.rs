//! Direct probes while spinning. On a busy descriptor a plain non-blocking receive once
//! a turn is the fastest path there is; the driver's queue carries all others. Which
//! descriptors are worth it is learned: one that received several times while no more others
//! did than may be hot becomes hot, and cools when others are busy and it is not.
//!
//! A handler that takes datagrams by itself is the probe of its descriptor, if it has said that
//! its own look is as good: it is called, and what it received tells whether that was a hit.

use tautline_buffer::Region;

use crate::config::MAX_HOT;
use crate::driver::Driver;
use crate::driver::Op;
use crate::engine::ops::{Continuation, OpSlot, Phase};
use crate::engine::outbox::Segment;
use crate::engine::{Engine, Event, ReceivedAt, token};
use crate::slab::Key;

/// Receives, undisturbed by more others than may be hot, that make a descriptor hot.
pub(super) const HOT_AFTER: u32 = 8;

/// Turns in which others received and a hot one did not, after which it cools.
const COLD_AFTER: u32 = 256;

/// The operations that are probed.
pub(super) struct Hot {
    /// At most `limit`.
    probes: Vec<Probe>,
    limit: usize,
    /// The descriptors outside the hot ones that received last, the latest first: `limit` of them,
    /// or one.
    recent: Vec<Key>,
    /// Receives outside the hot ones in this turn.
    others: bool,
    /// Turns since the driver was asked.
    turn: u32,
}

#[derive(Clone, Copy)]
struct Probe {
    op: Key,
    io: Key,
    misses: u32,
    /// The handler that is the probe received something in the last turn.
    hit: bool,
}

impl Hot {
    /// At most `limit` probes a turn.
    pub(super) fn new(limit: usize) -> Self {
        let (probes, recent) = (Vec::with_capacity(MAX_HOT), Vec::with_capacity(MAX_HOT));
        Self { probes, limit, recent, others: false, turn: 0 }
    }

    /// Forgets an operation, if it is among the hot ones.
    pub(super) fn remove(&mut self, op: Key) {
        self.probes.retain(|probe| probe.op != op);
    }

    /// Puts a descriptor first among those that received last. Returns the one that is no more
    /// among them.
    fn note_recent(&mut self, io: Key) -> Option<Key> {
        if self.recent.first() == Some(&io) {
            return None;
        }
        if let Some(at) = self.recent.iter().position(|&recent| recent == io) {
            self.recent[..=at].rotate_right(1);
            return None;
        }
        let is_full = self.recent.len() >= self.limit.max(1);
        let gone = if is_full { self.recent.pop() } else { None };
        self.recent.insert(0, io);
        gone
    }
}

impl Engine {
    /// Something was received. Whether the descriptor is hot; if its handler is the probe, that
    /// was a hit.
    #[inline]
    pub(crate) fn note_hit(&mut self, key: Key) -> bool {
        let probe = self.hot.probes.iter_mut().find(|probe| probe.io == key);
        probe.map(|probe| probe.hit = true).is_some()
    }

    /// Whether the handler of a descriptor, as its probe, has received something in this turn.
    pub(crate) fn was_hit(&self, key: Key) -> bool {
        self.hot.probes.iter().any(|probe| probe.io == key && probe.hit)
    }

    /// Counts a receive.
    #[inline]
    pub(super) fn note_receive(&mut self, key: Key) {
        if self.note_hit(key) {
            return;
        }
        self.hot.others = true;
        let gone = self.hot.note_recent(key);
        if let Some(io) = gone.and_then(|gone| self.ios.get_mut(gone)) {
            io.streak = 0;
        }
        if let Some(io) = self.ios.get_mut(key) {
            io.streak = io.streak.saturating_add(1);
            if io.streak.is_multiple_of(HOT_AFTER) {
                self.warm_up(key);
            }
        }
    }

    /// Ends the multishot receive of a descriptor that became busy, so that it comes
    /// back as one that can be hot.
    fn warm_up(&mut self, key: Key) {
        if !self.spinning || self.hot.probes.len() >= self.hot.limit {
            return;
        }
        let Some(op) = self.ios.get(key).and_then(|io| io.pump) else { return };
        let Some(slot) = self.ops.get(op) else { return };
        let multishot = matches!(slot.op, Op::RecvMulti { .. } | Op::PollMulti { .. });
        if multishot && slot.phase == Phase::Armed {
            self.driver.cancel(token(op));
        }
    }

    /// An operation is not probed any more.
    pub(super) fn unheat(&mut self, op: Key) {
        self.hot.remove(op);
    }

    /// Keeps an operation from the driver if its descriptor is hot.
    pub(super) fn keep_hot(&mut self, op: Key) -> bool {
        let probed = self.hot.probes.iter().any(|probe| probe.op == op);
        let room = probed || self.hot.probes.len() < self.hot.limit;
        let Some(slot) = self.ops.get_mut(op) else { return false };
        let streak = self.ios.get(slot.io).map_or(0, |io| io.streak);
        if !(self.spinning && room && streak >= HOT_AFTER && can_be_hot(slot)) {
            self.hot.remove(op);
            return false;
        }
        slot.phase = Phase::Hot;
        if !probed {
            self.hot.probes.push(Probe { op, io: slot.io, misses: 0, hit: false });
        }
        true
    }

    /// Probes every hot operation once. Returns whether any brought something.
    #[inline]
    pub(crate) fn probe_hot(&mut self) -> bool {
        let mut any = false;
        let mut at = 0;
        while let Some(probe) = self.hot.probes.get_mut(at) {
            let probe = Probe { hit: std::mem::take(&mut probe.hit), ..*probe };
            let hit = self.probe(probe);
            any |= hit;
            if self.hot.probes.get(at).is_some_and(|now| now.op == probe.op) {
                at += usize::from(!self.judge(at, hit));
            }
        }
        self.hot.others = false;
        any
    }

    /// Whether the driver may be left alone in this turn: where it costs a system call to
    /// ask it, and something is hot, it is asked in every fourth turn.
    #[inline]
    pub(crate) fn may_rest(&mut self) -> bool {
        const EVERY: u32 = 4;
        if self.driver.sees_memory() || self.hot.probes.is_empty() {
            return false;
        }
        self.hot.turn = (self.hot.turn + 1) % EVERY;
        self.hot.turn != 0
    }

    /// Counts a miss while others are busy; true if the probe cooled and is gone.
    fn judge(&mut self, at: usize, hit: bool) -> bool {
        let probe = &mut self.hot.probes[at];
        probe.misses = match hit {
            true => 0,
            false => probe.misses + u32::from(self.hot.others),
        };
        if probe.misses < COLD_AFTER {
            return false;
        }
        let op = probe.op;
        self.cool(op);
        true
    }

    /// Hands a hot operation to the driver.
    fn cool(&mut self, op: Key) {
        self.hot.remove(op);
        let Some(slot) = self.ops.get_mut(op) else { return };
        slot.phase = Phase::Queued;
        let key = slot.io;
        if let Some(io) = self.ios.get_mut(key) {
            io.streak = 0;
        }
        self.arm(op);
        self.look_once_more(key);
    }

    /// A handler that has looked by itself may have left something of its own, of which the kernel
    /// does not tell.
    fn look_once_more(&mut self, key: Key) {
        if self.looks_itself(key) && !self.again.contains(&key) {
            self.again.push(key);
        }
    }

    /// Hands all hot operations to the driver: the loop does not spin any more, and whatever it
    /// does instead, nothing is probed.
    pub(crate) fn cool_all(&mut self) {
        self.spinning = false;
        while let Some(probe) = self.hot.probes.pop() {
            if let Some(slot) = self.ops.get_mut(probe.op) {
                slot.phase = Phase::Queued;
                self.arm(probe.op);
                self.look_once_more(probe.io);
            }
        }
    }

    fn probe(&mut self, probe: Probe) -> bool {
        self.refill();
        let Some(slot) = self.ops.get(probe.op) else {
            self.hot.remove(probe.op);
            return false;
        };
        match (&slot.continuation, slot.op) {
            (Continuation::Pump, Op::PollMulti { .. }) if self.looks_itself(probe.io) => {
                self.events.push_back(Event::Look(probe.io));
                probe.hit
            }
            (Continuation::Pump, Op::PollMulti { fd, interest }) => {
                // SAFETY: a poll names no memory.
                let ready = unsafe { self.driver.attempt(&Op::Poll { fd, interest }) };
                let ready = ready != crate::driver::Attempt::WouldBlock;
                self.events.extend(ready.then_some(Event::Readable(probe.io)));
                ready
            }
            (Continuation::Pump, _) => self.probe_stream(probe),
            (Continuation::Inbox, _) => self.probe_inbox(probe),
            _ => self.probe_operation(probe),
        }
    }

    fn looks_itself(&self, io: Key) -> bool {
        let handlers = self.ios.get(io).and_then(|io| io.handlers.as_ref());
        handlers.is_some_and(|handlers| handlers.looks_itself)
    }

    /// Whether the readiness handler of a descriptor is its probe at the moment: called in every turn.
    pub(crate) fn is_own_probe(&self, io: Key) -> bool {
        self.hot.probes.iter().any(|probe| probe.io == io) && self.looks_itself(io)
    }

    fn probe_stream(&mut self, probe: Probe) -> bool {
        let before = self.events.len();
        if self.probe_pump(probe.op, probe.io) {
            self.hot.remove(probe.op);
            self.finish_internal(probe.op);
        }
        self.events.len() > before
    }

    /// A task waits for the inbox: receive into scratch memory and wake it.
    fn probe_inbox(&mut self, probe: Probe) -> bool {
        let Some(io) = self.ios.get(probe.io) else { return false };
        let Some(at) = self.scratch.take() else {
            self.cool(probe.op);
            return false;
        };
        let recv = Op::Recv { fd: io.fd, buf: self.scratch.ptr(at), len: self.receive_buffer_size };
        // SAFETY: the scratch buffer has that size and is lent to nobody else.
        let result = match unsafe { self.driver.attempt(&recv) } {
            crate::driver::Attempt::WouldBlock => {
                self.scratch.give(at);
                return false;
            }
            crate::driver::Attempt::Done(result) => result,
        };
        self.hot.remove(probe.op);
        if result > 0 {
            if let Some(io) = self.ios.get_mut(probe.io) {
                let at = ReceivedAt::Scratch(at);
                io.inbox.push(Segment::Lent { at, start: 0, end: result as usize });
            }
        } else {
            self.scratch.give(at);
            self.note_end(probe.io, result);
        }
        self.finish_internal(probe.op);
        true
    }

    /// An operation with a buffer of its own: it keeps its probe, and the misses of that, if it
    /// would have to wait.
    fn probe_operation(&mut self, probe: Probe) -> bool {
        let Some(slot) = self.ops.get_mut(probe.op) else { return false };
        slot.phase = Phase::Queued;
        self.kick(probe.op);
        let hit = !self.is_probed(probe.op);
        if hit {
            self.hot.remove(probe.op);
        }
        hit
    }
}

/// Whether an operation receives and can be tried without a buffer of the pool.
fn can_be_hot(slot: &OpSlot) -> bool {
    match slot.continuation {
        Continuation::Pump | Continuation::Inbox => {
            matches!(slot.op, Op::RecvMulti { .. } | Op::RecvPool { .. } | Op::PollMulti { .. })
        }
        _ => matches!(slot.op, Op::Recv { .. } | Op::RecvMsg { .. }),
    }
}

/// A few receive buffers of the engine's own, for probes.
pub(crate) struct Scratch {
    region: Region,
    size: usize,
    free: Vec<u16>,
}

impl Scratch {
    /// One for each possible probe and one more, of `size` bytes each.
    pub(crate) fn new(size: usize) -> Result<Self, tautline_buffer::Error> {
        let count = MAX_HOT + 1;
        let region = Region::new(size.saturating_mul(count))?;
        Ok(Self { region, size, free: (0..count as u16).collect() })
    }

    /// A free buffer.
    pub(crate) fn take(&mut self) -> Option<u16> {
        self.free.pop()
    }

    /// Gives a buffer back.
    pub(crate) fn give(&mut self, id: u16) {
        self.free.push(id);
    }

    /// The first byte of a buffer.
    pub(crate) fn ptr(&self, id: u16) -> *mut u8 {
        self.region.as_ptr().wrapping_add(usize::from(id) * self.size)
    }
}
