//! What a runtime tells of itself.

use std::cell::Cell;

use crate::engine::Stats;

/// Counters that the loop keeps beside the engine's.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) turns: Cell<u64>,
    pub(crate) sleeps: Cell<u64>,
    pub(crate) posts: Cell<u64>,
    pub(crate) timers: Cell<u64>,
    pub(crate) polls: Cell<u64>,
    pub(crate) panics: Cell<u64>,
    /// To fibers.
    pub(crate) switches: Cell<u64>,
}

/// What the loop has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Turns of the loop.
    pub turns: u64,
    /// Turns that slept.
    pub sleeps: u64,
    /// Messages taken from other threads.
    pub posts: u64,
    /// Timers that fired, deadlines included.
    pub timers: u64,
    /// Polls of tasks.
    pub polls: u64,
    /// Panics of handlers, and of fibers whose result nobody fetches.
    pub panics: u64,
    /// Fibers that were spawned.
    pub fibers: u64,
    /// Those of them whose captures or result did not fit into `Config::fiber_room`, and cost
    /// an allocation.
    pub boxed_fibers: u64,
    /// Switches to fibers.
    pub switches: u64,
    /// Turns that took longer than `Config::stall`.
    pub offences: u64,
    /// What the completion core did.
    pub engine: Stats,
}

impl Counters {
    /// Of `fibers` that were spawned, so many boxed ones.
    pub(crate) fn metrics(
        &self,
        engine: Stats,
        offences: u64,
        (fibers, boxed_fibers): (u64, u64),
    ) -> Metrics {
        Metrics {
            turns: self.turns.get(),
            sleeps: self.sleeps.get(),
            posts: self.posts.get(),
            timers: self.timers.get(),
            polls: self.polls.get(),
            panics: self.panics.get(),
            fibers,
            boxed_fibers,
            switches: self.switches.get(),
            offences,
            engine,
        }
    }
}

/// Adds to a counter.
pub(crate) fn count(counter: &Cell<u64>, n: usize) {
    counter.set(counter.get() + n as u64);
}

/// What was chosen and what was refused when the runtime was made.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The driver in use: `uring`, `readiness` or `sim`.
    pub driver: &'static str,
    /// Why it is not the first choice, if it is not.
    pub fallback: Option<String>,
    /// Where the time comes from, and why.
    pub clock: String,
    /// Wishes that the machine refused, each with the reason and the remedy.
    pub refused: Vec<String>,
}
