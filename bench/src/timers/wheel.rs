//! The wheel inside our runtime, by itself: no callbacks, no loop, no clock.

use std::time::Duration;

use tautline_runtime::time::{Instant, TimerKey, Wheel};

use super::{Nanos, Timers};

/// The tick of our wheel in the runtime's default configuration.
const DEFAULT_TICK: Duration = Duration::from_nanos(512);

impl Timers for Wheel {
    type Key = TimerKey;

    fn new(limit: usize, _: Nanos) -> Self {
        Wheel::new(limit, DEFAULT_TICK, Instant::from_nanos(0))
    }

    fn arm(&mut self, deadline: Nanos, payload: u64) -> TimerKey {
        match Wheel::arm(self, Instant::from_nanos(deadline), payload) {
            Ok(key) => key,
            Err(full) => unreachable!("the benchmark stays within its limit: {full}"),
        }
    }

    fn cancel(&mut self, key: TimerKey) {
        Wheel::cancel(self, key);
    }

    fn expire(&mut self, now: Nanos) -> Option<u64> {
        Wheel::expire(self, Instant::from_nanos(now)).map(|expired| expired.payload)
    }
}
