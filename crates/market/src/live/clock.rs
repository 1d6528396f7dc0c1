//! The loop's time, as the pure parts have it.

use std::time::Instant;

use tautline_runtime::time::Instant as LoopInstant;

/// Translates between the two. Nothing depends on when it was made: only differences are told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    epoch: Instant,
    zero: LoopInstant,
}

impl Clock {
    pub(super) fn new() -> Self {
        Self { epoch: Instant::now(), zero: tautline_runtime::now().unwrap_or_default() }
    }

    /// The time of this turn.
    pub(super) fn now(&self) -> Instant {
        // Handlers only run on a thread with a runtime.
        let now = tautline_runtime::now().unwrap_or(self.zero);
        self.epoch + now.saturating_since(self.zero)
    }

    /// When a timer has to go off.
    pub(super) fn on_the_loop(&self, at: Instant) -> LoopInstant {
        self.zero + at.saturating_duration_since(self.epoch)
    }
}
