//! When a tool ends: at Ctrl-C, when its time is over, or after so many packets.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use signal_hook::flag;
use tautline_net::{Signal, Signals};
use tautline_runtime::{task, timer};

/// Whether it is time to end; clones are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ending(Rc<Cell<bool>>);

impl Ending {
    /// Ends at SIGINT, SIGTERM, and after that time. On a thread with a loop. A second signal ends the
    /// process where it stands: it may wait for somebody who does not read what it prints.
    ///
    /// # Errors
    /// If there is no room for it in the loop.
    pub(crate) fn after(time: Option<Duration>) -> io::Result<Self> {
        let ending = Self::default();
        let told = Arc::new(AtomicBool::new(false));
        for signal in [Signal::INTERRUPT, Signal::TERMINATE].map(Signal::as_raw) {
            // As a shell tells of a process that a signal has ended.
            flag::register_conditional_shutdown(signal, 128 + signal, told.clone())?;
            flag::register(signal, told.clone())?;
        }
        let mut signals = Signals::new([Signal::INTERRUPT, Signal::TERMINATE])?;
        let at_signal = ending.clone();
        task::spawn(async move {
            if signals.next().await.is_ok() {
                at_signal.now();
            }
        })?;
        if let Some(time) = time {
            let at_time = ending.clone();
            timer::after(time, move || at_time.now())?;
        }
        Ok(ending)
    }

    /// It is time.
    pub(crate) fn now(&self) {
        self.0.set(true);
    }

    /// Whether it is time.
    pub(crate) fn has_come(&self) -> bool {
        self.0.get()
    }
}

/// Counts down to an end after so many packets.
#[derive(Debug)]
pub(crate) struct Countdown {
    left: Option<u64>,
    ending: Ending,
}

impl Countdown {
    /// Ends after so many; never, if no number is given.
    pub(crate) fn of(count: Option<u64>, ending: &Ending) -> Self {
        Self { left: count, ending: ending.clone() }
    }

    /// It is time, however many are left.
    pub(crate) fn end(&self) {
        self.ending.now();
    }

    /// Another packet is to be handled; false: there were enough, or it is time to end.
    pub(crate) fn take(&mut self) -> bool {
        if self.ending.has_come() || self.left == Some(0) {
            return false;
        }
        if let Some(left) = &mut self.left {
            *left -= 1;
            if *left == 0 {
                self.ending.now();
            }
        }
        true
    }
}
