//! The gate at which a receiver stands while its queues are filled.

use std::{
    hint::black_box,
    ops::AddAssign,
    sync::mpsc::{self, Receiver, Sender},
    time::{Duration, Instant},
};

use super::{Seen, Watcher};
use crate::harness::sys::{CpuClock, Usage};

/// What a receiver did with full queues.
#[derive(Clone, Copy, Default)]
pub(super) struct Lap {
    pub(super) packets: u64,
    /// Of the numbers that the datagrams begin with.
    pub(super) sum: u64,
    pub(super) usage: Usage,
    pub(super) time: Duration,
}

impl AddAssign for Lap {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.sum += other.sum;
        self.usage.cpu += other.usage.cpu;
        self.usage.delayed += other.usage.delayed;
        self.time += other.time;
    }
}

/// The receiver's side.
pub(super) struct Gate {
    work: Receiver<u64>,
    done: Sender<Lap>,
    clock: Option<CpuClock>,
    from: (Instant, Usage),
    packets: u64,
    left: u64,
    sum: u64,
}

/// The side of who fills the queues. When it is dropped, the gate ends the receiver.
pub(super) struct Keeper {
    work: Sender<u64>,
    done: Receiver<Lap>,
}

/// Both sides.
pub(super) fn pair() -> (Gate, Keeper) {
    let (to_gate, work) = mpsc::channel();
    let (done, from_gate) = mpsc::channel();
    let from = (Instant::now(), Usage::default());
    let gate = Gate { work, done, clock: None, from, packets: 0, left: 0, sum: 0 };
    (gate, Keeper { work: to_gate, done: from_gate })
}

impl Keeper {
    /// Lets the receiver take so many datagrams; what it needed for that, unless it lacks some.
    pub(super) fn lap(&self, packets: u64, patience: Duration) -> Option<Lap> {
        self.work.send(packets).ok()?;
        self.done.recv_timeout(patience).ok()
    }
}

impl Watcher for Gate {
    #[cold]
    fn open(&mut self) -> bool {
        let Ok(packets) = self.work.recv() else { return false };
        (self.packets, self.left, self.sum) = (packets, packets, 0);
        let clock = *self.clock.get_or_insert_with(CpuClock::of_this_thread);
        self.from = (Instant::now(), clock.usage());
        true
    }

    #[inline]
    fn take(&mut self, seen: Seen<'_>) -> bool {
        self.sum += seen.number();
        black_box(seen);
        // Behind the last there is only what wakes the receiver.
        self.left = self.left.saturating_sub(1);
        self.left > 0 || self.pass_on()
    }
}

impl Gate {
    #[cold]
    fn pass_on(&mut self) -> bool {
        let (start, before) = self.from;
        let usage = self.clock.map_or_else(Usage::default, CpuClock::usage) - before;
        let lap = Lap { packets: self.packets, sum: self.sum, usage, time: start.elapsed() };
        let _ = self.done.send(lap);
        self.open()
    }
}
