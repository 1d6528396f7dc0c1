//! Timers as fibers: work that may wait, at every beat.

use std::time::Duration;

use crate::core::Core;
use crate::error::Error;
use crate::fiber::join::JoinHandle;
use crate::fiber::spawn::Builder;
use crate::fiber::stack::Stack;
use crate::fiber::wait::sleep_until;
use crate::timer::next_beat;

/// What becomes of the beats that pass while the work is still at an earlier one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Overrun {
    /// They are left out; the beat is kept.
    #[default]
    Skip,
    /// They follow at once, one after another.
    CatchUp,
}

/// Calls `work` every `interval`, first an interval from now, on a fiber with a small stack.
/// It may wait; beats that it overruns are left out. Cancel the handle to end it; dropping that
/// lets it go on. Its result is the error that has ended it.
///
/// # Errors
/// As [`spawn`](super::spawn()).
///
/// ```
/// # use std::{cell::Cell, rc::Rc, time::Duration};
/// # use tautline_runtime::{Config, Runtime, fiber};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Runtime::new(Config::default())?;
/// let beats = Rc::new(Cell::new(0));
/// let counted = beats.clone();
/// let ticker = fiber::every(Duration::from_millis(1), move || counted.set(counted.get() + 1))?;
/// runtime.run_until(|| beats.get() == 3)?;
/// ticker.cancel();
/// # Ok(())
/// # }
/// ```
pub fn every<F>(interval: Duration, work: F) -> Result<JoinHandle<Error>, Error>
where
    F: FnMut() + 'static,
{
    every_by(Builder::new(Stack::Small), interval, Overrun::Skip, work)
}

/// As [`every`], on a fiber of the caller's choice, with a choice of what overrun beats do.
///
/// # Errors
/// As [`spawn`](super::spawn()).
pub fn every_by<F>(
    builder: Builder,
    interval: Duration,
    overrun: Overrun,
    mut work: F,
) -> Result<JoinHandle<Error>, Error>
where
    F: FnMut() + 'static,
{
    let interval = interval.max(Duration::from_nanos(1));
    let core = Core::current()?;
    let mut beat = core.clock.borrow().now() + interval;
    builder.spawn_on(core, move || {
        loop {
            if let Err(error) = sleep_until(beat) {
                return error;
            }
            work();
            let now = match crate::now_precise() {
                Ok(now) => now,
                Err(error) => return error,
            };
            beat = match overrun {
                Overrun::Skip => next_beat(beat, interval, now),
                Overrun::CatchUp => beat + interval,
            };
        }
    })
}
