//! How long the calls of a view wait.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use tautline_runtime::fiber::Blocking;
use tautline_runtime::time::Instant;
use tautline_runtime::{Descriptor, now_precise};

use crate::error::invalid;

/// The timeouts of a view, for its calls in either direction. None: they wait for ever.
#[derive(Clone, Debug, Default)]
pub(super) struct Timeouts {
    pub(super) read: Timeout,
    pub(super) write: Timeout,
}

/// How long a call waits; never zero.
#[derive(Clone, Debug, Default)]
pub(super) struct Timeout(Cell<Option<Duration>>);

impl Timeout {
    pub(super) fn set(&self, time: Option<Duration>) -> io::Result<()> {
        if let Some(time) = time {
            not_zero(time)?;
        }
        self.0.set(time);
        Ok(())
    }

    pub(super) fn get(&self) -> Option<Duration> {
        self.0.get()
    }

    /// When a call that begins now is given up.
    #[inline]
    pub(super) fn deadline(&self) -> io::Result<Option<Instant>> {
        match self.get() {
            // Not the turn's time: this fiber may have worked since that began.
            Some(time) => Ok(Some(now_precise()? + time)),
            None => Ok(None),
        }
    }
}

/// As `std` has it: no call can be done in no time, and none is meant to wait for ever.
pub(super) fn not_zero(time: Duration) -> io::Result<()> {
    if time.is_zero() {
        return Err(invalid(
            "a timeout of zero: that is no time for any call; to wait for ever, set none"
                .to_owned(),
        ));
    }
    Ok(())
}

/// A view of one descriptor, whose calls have timeouts.
pub(super) trait Timed {
    fn descriptor(&self) -> &Descriptor;

    fn timeouts(&self) -> &Timeouts;

    /// The calls that receive.
    #[inline]
    fn to_read(&self) -> io::Result<Blocking<'_>> {
        let deadline = self.timeouts().read.deadline()?;
        Ok(self.descriptor().blocking().deadline(deadline))
    }

    /// The calls that send.
    #[inline]
    fn to_write(&self) -> io::Result<Blocking<'_>> {
        let deadline = self.timeouts().write.deadline()?;
        Ok(self.descriptor().blocking().deadline(deadline))
    }
}
