//! Tautline's timers.

use std::time::Duration;

use tautline_runtime::time::{Instant, TimerKey, Wheel};

use super::{
    Nanos, Timers, arm_cancel as arm_cancel_slice, churned, fire as fire_slice, fire_churned,
    late as lateness,
};
use crate::harness::{Contender, Role};

/// The tick of our wheel in the runtime's default configuration.
const DEFAULT_TICK: Duration = Duration::from_nanos(512);

/// Our wheel in `arm-cancel-100k`.
pub(super) fn arm_cancel() -> Vec<Contender> {
    vec![Contender::new("tautline", Role::Tautline, arm_cancel_slice::<Wheel>)]
}

/// Our wheel in `fire-1m`.
pub(super) fn fire() -> Vec<Contender> {
    vec![
        Contender::new("tautline", Role::Tautline, fire_slice::<Wheel>),
        churned("tautline-churned", fire_churned::<Wheel>),
    ]
}

/// Our loop in `late-p50` and `late-p99`; the bare wheel as a variant.
pub(super) fn late() -> Vec<Contender> {
    vec![Contender::new("tautline-wheel", Role::Variant, lateness::slice::<Wheel>)]
}

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
