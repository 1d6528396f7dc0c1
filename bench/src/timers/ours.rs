//! Tautline's timers.

use std::{cell::RefCell, io, rc::Rc, time::Duration};

use tautline_runtime::{
    Config, Runtime, WaitMode, now_precise,
    time::{Instant, TimerKey, Wheel},
    timer,
};

use super::{
    Nanos, Timers, arm_cancel as arm_cancel_slice, churned, fire as fire_slice, fire_churned,
    late::{self as lateness, AT_ONCE, Delays, FIRINGS, sample},
};
use crate::harness::{
    Contender, Failure, Role, Sample,
    sys::{UNDER_TEST, pin},
};

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
    vec![
        Contender::new("tautline", Role::Tautline, late_in_the_loop),
        Contender::new("tautline-wheel", Role::Variant, lateness::slice::<Wheel>),
    ]
}

/// What the timers of a slice share.
struct Lateness {
    late: RefCell<Vec<Nanos>>,
    delays: RefCell<Delays>,
}

/// One-shot timers that arm themselves again, on the spinning loop.
fn late_in_the_loop() -> Result<Sample, Failure> {
    pin(UNDER_TEST)?;
    let config = Config { wait: WaitMode::Spin, ..Config::default() };
    let runtime = Runtime::new(config).map_err(io::Error::other)?;
    let shared = Rc::new(Lateness {
        late: RefCell::new(Vec::with_capacity(2 * FIRINGS)),
        delays: RefCell::new(Delays::new(0)),
    });
    for _ in 0..AT_ONCE {
        arm_again(&shared);
    }
    runtime.run_until(|| shared.late.borrow().len() >= FIRINGS).map_err(io::Error::other)?;
    drop(runtime);
    Ok(sample(shared.late.take()))
}

fn arm_again(shared: &Rc<Lateness>) {
    let Ok(now) = now_precise() else { return };
    let due = now + Duration::from_nanos(shared.delays.borrow_mut().next());
    let again = Rc::clone(shared);
    let armed = timer::at(due, move || {
        let now = now_precise().map_or(0, Instant::as_nanos);
        again.late.borrow_mut().push(now.saturating_sub(due.as_nanos()));
        arm_again(&again);
    });
    debug_assert!(armed.is_ok(), "the default configuration has room for so few");
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
