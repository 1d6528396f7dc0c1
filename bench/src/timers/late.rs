//! How late timers fire in a loop that never sleeps.

use std::time::{Duration, Instant};

use fastrand::Rng;

use super::{Nanos, SEED, TICK, Timers};
use crate::harness::{
    Failure, Sample, percentile,
    sys::{Stopwatch, UNDER_TEST, pin},
};

/// Timers armed at a time.
pub(super) const AT_ONCE: usize = 64;
/// Firings a slice.
pub(super) const FIRINGS: usize = 2_000;
/// Longest delay of a timer.
const LONGEST: Nanos = 1_050 * TICK;

/// The delays of a slice.
pub(super) struct Delays(Rng);

impl Delays {
    /// The same delays for everybody who passes the same `lane`.
    pub(super) fn new(lane: usize) -> Self {
        Self(Rng::with_seed(SEED + lane as u64))
    }

    /// 50 to 1,050 microseconds.
    pub(super) fn next(&mut self) -> Nanos {
        self.0.u64(50 * TICK..LONGEST)
    }
}

/// Median and 99th percentile of a slice's lateness.
pub(super) fn sample(mut late: Vec<Nanos>, cpu: Duration) -> Sample {
    let values: Vec<f64> =
        [0.5, 0.99].iter().filter_map(|&share| percentile(&mut late, share)).collect();
    Sample::of(values).with_cpu(cpu, FIRINGS)
}

/// A bare spinning loop around a set of timers.
pub(super) fn slice<T: Timers>() -> Result<Sample, Failure> {
    pin(UNDER_TEST)?;
    let watch = Stopwatch::start();
    let start = Instant::now();
    let clock = || start.elapsed().as_nanos() as Nanos;
    // The loop runs for a while: a window far above one delay keeps the buckets apart.
    let mut timers = T::new(AT_ONCE, 64 * LONGEST);
    let (mut due, mut delays) = ([0; AT_ONCE], Delays::new(0));
    let mut late = Vec::with_capacity(FIRINGS);
    for (lane, due) in due.iter_mut().enumerate() {
        *due = clock() + delays.next();
        timers.arm(*due, lane as u64);
    }
    while late.len() < FIRINGS {
        while let Some(lane) = timers.expire(clock()) {
            let lane = lane as usize;
            late.push(clock().saturating_sub(due[lane]));
            due[lane] = clock() + delays.next();
            timers.arm(due[lane], lane as u64);
        }
    }
    Ok(sample(late, watch.stop()))
}
