//! tokio's timers: sleep futures, made and dropped as programs do; reset in place as a variant.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use tokio::{
    runtime::{Builder, Runtime},
    time::{Instant, Sleep, sleep_until},
};

use super::{
    ARM_WINDOW, FIRE_WINDOW, LIVE, MANY, Nanos, PAIRS, deadlines,
    late::{self, AT_ONCE, Delays, FIRINGS},
    moves,
};
use crate::harness::{
    Contender, Failure, Role, Sample,
    sys::{CpuClock, Stopwatch, UNDER_TEST, pin},
};

/// Far enough ahead that nothing fires while a slice only arms.
const AHEAD: Duration = Duration::from_secs(30);

/// Sleeps made and dropped, and (variant) reset in place.
pub(super) fn arm_cancel() -> Vec<Contender> {
    vec![
        Contender::new("tokio", Role::Peer, || arm_cancel_slice(replace)),
        Contender::new("tokio-reset", Role::Variant, || arm_cancel_slice(reset)),
    ]
}

/// A million sleeps that wake one counting waker.
pub(super) fn fire() -> Vec<Contender> {
    vec![Contender::new("tokio", Role::Peer, fire_slice)]
}

/// Tasks that sleep, in a runtime that is kept awake.
pub(super) fn late() -> Vec<Contender> {
    vec![Contender::new("tokio", Role::Peer, late_slice)]
}

type Armed = Pin<Box<Sleep>>;

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_time().build()
}

/// A sleep that is registered: polled once.
fn arm(deadline: Instant, waker: &Waker) -> Armed {
    let mut sleep = Box::pin(sleep_until(deadline));
    let _: Poll<()> = sleep.as_mut().poll(&mut Context::from_waker(waker));
    sleep
}

fn replace(armed: &mut Armed, deadline: Instant) {
    *armed = arm(deadline, Waker::noop());
}

fn reset(armed: &mut Armed, deadline: Instant) {
    armed.as_mut().reset(deadline);
    let _: Poll<()> = armed.as_mut().poll(&mut Context::from_waker(Waker::noop()));
}

fn arm_cancel_slice(change: fn(&mut Armed, Instant)) -> Result<Sample, Failure> {
    pin(UNDER_TEST)?;
    let runtime = runtime()?;
    let _context = runtime.enter();
    let base = Instant::now() + AHEAD;
    let at = |deadline: Nanos| base + Duration::from_nanos(deadline);
    let mut sleeps: Vec<Armed> = deadlines(LIVE, ARM_WINDOW)
        .into_iter()
        .map(|deadline| arm(at(deadline), Waker::noop()))
        .collect();
    let moves = moves();
    let watch = Stopwatch::start();
    for (victim, deadline) in moves {
        change(&mut sleeps[victim], at(deadline));
    }
    Ok(Sample::of_work(watch.stop(), PAIRS))
}

/// Counts its wake-ups.
#[derive(Default)]
struct Fired(AtomicU64);

impl Wake for Fired {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Longest time that arming a million sleeps may take before the first of them is due.
const HEAD_START: Duration = Duration::from_millis(1_200);

fn fire_slice() -> Result<Sample, Failure> {
    pin(UNDER_TEST)?;
    let runtime = runtime()?;
    let fired = Arc::new(Fired::default());
    let waker = Waker::from(Arc::clone(&fired));
    let deadlines = deadlines(MANY, FIRE_WINDOW);
    let clock = CpuClock::of_this_thread();
    let start = clock.read();
    let base = Instant::now() + HEAD_START;
    let sleeps: Vec<Armed> = {
        let _context = runtime.enter();
        deadlines
            .into_iter()
            .map(|deadline| arm(base + Duration::from_nanos(deadline), &waker))
            .collect()
    };
    let end = base + Duration::from_nanos(FIRE_WINDOW) + Duration::from_millis(10);
    runtime.block_on(async { sleep_until(end).await });
    let time = clock.read() - start;
    drop(sleeps);
    match fired.0.load(Ordering::Relaxed) {
        count if count == MANY as u64 => Ok(Sample::of_work(time, MANY)),
        answered => Err(Failure::Miscounted { sent: MANY as u64, answered }),
    }
}

fn late_slice() -> Result<Sample, Failure> {
    pin(UNDER_TEST)?;
    let watch = Stopwatch::start();
    let late = runtime()?.block_on(async {
        let awake = tokio::spawn(async {
            loop {
                tokio::task::yield_now().await;
            }
        });
        let lanes: Vec<_> = (0..AT_ONCE).map(|lane| tokio::spawn(sleeps(lane))).collect();
        let mut late = Vec::with_capacity(FIRINGS);
        for lane in lanes {
            late.extend(lane.await.map_err(io::Error::other)?);
        }
        awake.abort();
        Ok::<_, io::Error>(late)
    })?;
    Ok(late::sample(late, watch.stop()))
}

async fn sleeps(lane: usize) -> Vec<Nanos> {
    let mut delays = Delays::new(lane);
    let mut late = Vec::with_capacity(FIRINGS / AT_ONCE);
    for _ in 0..FIRINGS / AT_ONCE {
        let due = Instant::now() + Duration::from_nanos(delays.next());
        sleep_until(due).await;
        late.push((Instant::now() - due).as_nanos() as Nanos);
    }
    late
}
