//! Signals of the process, for fibers.

use std::io;
use std::time::Duration;

use super::calls::{read_timeout, view};
use super::timeouts::Timeouts;
use super::wait_within;
use crate::Signal;

/// Tells of signals, one call at a time: as [`crate::Signals`]. It is also an iterator, which
/// waits for each and never ends.
///
/// ```no_run
/// # use tautline_net::fiber::{Signal, Signals};
/// # use tautline_runtime::{Runtime, fiber::Stack};
/// # let runtime = Runtime::new(Default::default())?;
/// # let all = runtime.run_fiber(Stack::Medium, || {
/// let mut signals = Signals::new([Signal::INTERRUPT, Signal::TERMINATE])?;
/// println!("{}: good-bye", signals.recv()?);
/// # std::io::Result::Ok(())
/// # });
/// # all??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Signals {
    inner: crate::Signals,
    timeouts: Timeouts,
}

view!([] Signals, crate::Signals, timeouts);
read_timeout!([] Signals);

impl Signals {
    /// Tells of these signals from now on. This does not wait.
    ///
    /// # Errors
    /// [`Error`](crate::Error) that names a signal that no process may handle; no descriptors
    /// left.
    pub fn new(signals: impl IntoIterator<Item = Signal>) -> io::Result<Self> {
        Ok(crate::Signals::new(signals)?.into())
    }

    /// Waits for the next signal.
    ///
    /// # Errors
    /// When the runtime goes, or its operation table is full; what all calls say.
    pub fn recv(&mut self) -> io::Result<Signal> {
        wait_within("signal", self.timeouts.read.get(), self.inner.next())
    }

    /// A signal that has come, without waiting.
    pub fn try_next(&mut self) -> Option<Signal> {
        self.inner.try_next()
    }
}

impl Iterator for Signals {
    type Item = io::Result<Signal>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.recv())
    }
}
