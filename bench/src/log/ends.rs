//! What a log is to the benchmark, and the two ways in which it is used.

use std::{
    hint::{black_box, spin_loop},
    io, thread,
    time::{Duration, Instant},
};

use crate::harness::{
    Failure, Sample, percentile,
    sys::{GENERATOR, UNDER_TEST, pin},
    ticks::Ticks,
};

/// From one call to the next.
const STEP: Duration = Duration::from_micros(5);
/// Calls before a slice counts.
const WARM_UP: u64 = 2_000;
/// Lines of a burst.
const BURST: u64 = 1_000_000;
/// How long the last line may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A log.
pub(super) trait Log: Sized + 'static {
    /// Makes it, or finds the one that was made before: some can be made once in a process.
    /// Threads that it starts stay on the core of the one that calls.
    ///
    /// # Errors
    /// It cannot be made.
    fn open() -> io::Result<Self>;

    /// Writes a line.
    fn line(&mut self, id: u64, price: f64, name: &str);

    /// Lines that have come out, since the process began or since it was made.
    fn written(&self) -> u64;
}

fn open<L: Log>() -> Result<L, Failure> {
    pin(UNDER_TEST)?;
    let log = L::open();
    pin(GENERATOR)?;
    Ok(log?)
}

/// Waits until all lines are out.
fn settle(log: &impl Log, expected: u64) -> Result<(), Failure> {
    let since = Instant::now();
    while log.written() < expected {
        if since.elapsed() > PATIENCE {
            return Err(Failure::Miscounted { sent: expected, answered: log.written() });
        }
        thread::yield_now();
    }
    Ok(())
}

#[inline(always)]
fn line(log: &mut impl Log, id: u64) {
    log.line(black_box(id), black_box(101.25), black_box("somebody"));
}

/// A slice: the 50th, 99th and 99.9th percentile of a call.
///
/// # Errors
/// It cannot be set up, or lines are lost.
pub(super) fn calls<L: Log>(time: Duration) -> Result<Sample, Failure> {
    let mut log = open::<L>()?;
    let before = log.written();
    let clock = Ticks::start();
    let start = Instant::now();
    let most = (time.as_nanos() / STEP.as_nanos()) as usize;
    let mut times = Vec::with_capacity(most);
    let mut sent = 0;
    while times.len() < most {
        // A call that takes longer than a step puts off those that follow; none is made up for.
        let due = Instant::now() + STEP;
        while Instant::now() < due {
            spin_loop();
        }
        let begun = Ticks::now();
        line(&mut log, sent);
        let took = Ticks::now().wrapping_sub(begun);
        sent += 1;
        if sent > WARM_UP {
            times.push(took);
        }
        if start.elapsed() > 4 * time && times.len() > 1_000 {
            break;
        }
    }
    let nanos = clock.nanos();
    settle(&log, before + sent)?;
    times.iter_mut().for_each(|ticks| *ticks = (*ticks as f64 * nanos) as u64);
    let values = [0.5, 0.99, 0.999].iter().filter_map(|&share| percentile(&mut times, share));
    Ok(Sample::of(values.collect::<Vec<_>>()))
}

/// A slice: the time of a burst, in milliseconds, until its last line is out.
///
/// # Errors
/// It cannot be set up, or lines are lost.
pub(super) fn burst<L: Log>() -> Result<Sample, Failure> {
    let mut log = open::<L>()?;
    let before = log.written();
    line(&mut log, 0);
    settle(&log, before + 1)?;
    let start = Instant::now();
    for id in 0..BURST {
        line(&mut log, id);
    }
    settle(&log, before + 1 + BURST)?;
    Ok(Sample::of([start.elapsed().as_secs_f64() * 1000.0]))
}
