//! What a simulated world is made from.

use std::time::Duration;

use super::{Faults, Handle};
use crate::time::Instant;

/// What a simulated world is made from.
///
/// The same configuration and the same program give the same run, event for event.
///
/// ```
/// use tautline_runtime::sim::{Config, Faults};
/// let seed = 42;
/// let config = Config { faults: Faults::draw(seed), lines: 100, ..Config::new(seed) };
/// let world = config.handle.clone();
/// // A runtime is made with the config and run; then:
/// println!("seed {seed}: trace {:016x}\n{}", world.trace_hash(), world.lines().join("\n"));
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    /// Where all chance comes from.
    pub seed: u64,
    /// What goes wrong, and how often. Default: [`Faults::none`].
    pub faults: Faults,
    /// Descriptors that may be open at a time; one more is `EMFILE`. Default 65,536.
    pub descriptors: usize,
    /// Which number a new descriptor gets. Default: the lowest free one.
    pub numbering: Numbering,
    /// `SO_SNDBUF` of a new socket, in bytes. Default 128 KiB.
    pub send_buffer: usize,
    /// `SO_RCVBUF` of a new socket, in bytes. Default 128 KiB.
    pub receive_buffer: usize,
    /// How many interfaces the host has, with the indices from 1 on; at least 1. All of
    /// them lead back to it: what is sent to a group by one of them reaches who has joined
    /// the group there. Default 1.
    pub interfaces: u32,
    /// The time when the world begins. Default: one second after the clock's zero.
    pub start: Instant,
    /// How long a turn of the loop lasts if it waits for nothing. Without it a loop
    /// that spins would stop time. At least 1 ns. Default 1 µs.
    pub turn: Duration,
    /// How long, in *real* time, a loop without anything to wait for in its world waits
    /// for another thread to wake it, before that is called a deadlock. Default 1 s.
    pub patience: Duration,
    /// How many lines of the trace are kept to be read; the oldest go first. Default 0.
    pub lines: usize,
    /// Through which a test watches the world. Keep a clone. Worlds made one after
    /// another from clones of one configuration share it, and each begins it afresh.
    pub handle: Handle,
    /// A mistake for the driver to make.
    #[cfg(test)]
    pub(crate) bug: Option<Bug>,
}

impl Config {
    /// A faultless world whose chance comes from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            faults: Faults::none(),
            descriptors: 1 << 16,
            numbering: Numbering::Lowest,
            send_buffer: 128 << 10,
            receive_buffer: 128 << 10,
            interfaces: 1,
            start: Instant::from_nanos(1_000_000_000),
            turn: Duration::from_micros(1),
            patience: Duration::from_secs(1),
            lines: 0,
            handle: Handle::default(),
            #[cfg(test)]
            bug: None,
        }
    }
}

/// Seed 0.
impl Default for Config {
    fn default() -> Self {
        Self::new(0)
    }
}

/// Which number a new descriptor gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbering {
    /// The lowest free one, as in a kernel: the number of what was just closed comes
    /// back at once, so that whoever still uses it hits the wrong descriptor.
    Lowest,
    /// The one that has been free the longest, and only once so many are free; else one
    /// that never was: whoever still uses a closed one finds no descriptor.
    Rested(usize),
}

/// A mistake for the driver to make, to see that tests find it.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// A final completion is told twice.
    CompletesTwice,
    /// A cancelled receive takes the bytes that are there, and drops them.
    CancelLosesBytes,
    /// A cancelled operation gets no final completion.
    CancelIsSilent,
}
