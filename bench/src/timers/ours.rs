//! Tautline's timers: the public calls of a runtime in its default configuration but for the size
//! of its table. The wheel by itself is a variant.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    time::Duration,
};

use tautline_runtime::{
    Config, Error, Runtime, WaitMode, now_precise,
    time::{Instant, Wheel},
    timer::{self, Timer},
};

use super::{
    ARM_WINDOW, FIRE_WINDOW, LIVE, MANY, Nanos, PAIRS, TURN, all_fired,
    arm_cancel as arm_cancel_slice, deadlines,
    late::{self as lateness, AT_ONCE, Delays, FIRINGS, sample},
    moves, spin_until,
};
use crate::harness::{
    Contender, Failure, Role, Sample,
    sys::{CpuClock, Stopwatch, UNDER_TEST, pin},
};

/// `timer::at` and `cancel`; `rearm` in their place, and the bare wheel, as variants.
pub(super) fn arm_cancel() -> Vec<Contender> {
    vec![
        Contender::new("tautline", Role::Tautline, || arm_cancel_in_the_loop(replace)),
        Contender::new("tautline-rearm", Role::Variant, || arm_cancel_in_the_loop(rearm)),
        Contender::new("tautline-shared", Role::Variant, || arm_cancel_in_the_loop(replace_shared)),
        Contender::new("tautline-wheel", Role::Variant, arm_cancel_slice::<Wheel>),
    ]
}

/// `timer::at` and turns of the loop.
pub(super) fn fire() -> Contender {
    Contender::new("tautline", Role::Tautline, fire_in_the_loop)
}

/// Our loop in `late-p50` and `late-p99`; the bare wheel as a variant.
pub(super) fn late() -> Vec<Contender> {
    vec![
        Contender::new("tautline", Role::Tautline, late_in_the_loop),
        Contender::new("tautline-wheel", Role::Variant, lateness::slice::<Wheel>),
    ]
}

/// The default configuration with a table for `timers`.
fn runtime(timers: usize) -> Result<Runtime, Failure> {
    Runtime::new(Config { timers, ..Config::default() }).map_err(failure)
}

fn failure(error: Error) -> Failure {
    Failure::Io(io::Error::other(error))
}

/// What fired: how many timers, and the sum of their payloads. A few bytes that stay: a
/// callback then captures plain data, as the payloads of everybody else are.
#[derive(Clone, Copy)]
struct Fired(&'static Cell<(u64, u64)>);

impl Fired {
    fn new() -> Self {
        Self(Box::leak(Box::default()))
    }

    fn add(self, payload: u64) {
        let (count, sum) = self.0.get();
        self.0.set((count + 1, sum + payload));
    }

    fn arm(self, due: Instant, payload: u64) -> Result<Timer, Error> {
        timer::at(due, move || self.add(payload))
    }
}

type Change = fn(&Rc<Fired>, &mut Timer, Instant) -> Result<(), Error>;

fn replace(fired: &Rc<Fired>, timer: &mut Timer, due: Instant) -> Result<(), Error> {
    timer.cancel();
    *timer = fired.arm(due, 1)?;
    Ok(())
}

/// With a count that all callbacks share: what is counted down where the cancelled timer
/// lies has to be counted up again at once.
fn replace_shared(fired: &Rc<Fired>, timer: &mut Timer, due: Instant) -> Result<(), Error> {
    timer.cancel();
    let fired = fired.clone();
    *timer = timer::at(due, move || fired.add(1))?;
    Ok(())
}

fn rearm(_: &Rc<Fired>, timer: &mut Timer, due: Instant) -> Result<(), Error> {
    timer.rearm(due);
    Ok(())
}

fn arm_cancel_in_the_loop(change: Change) -> Result<Sample, Failure> {
    pin(UNDER_TEST)?;
    let runtime = runtime(LIVE + 1)?;
    let (base, fired) = (runtime.now(), Rc::new(Fired::new()));
    let at = |deadline: Nanos| base + Duration::from_nanos(deadline);
    let mut timers = deadlines(LIVE, ARM_WINDOW)
        .into_iter()
        .map(|deadline| fired.arm(at(deadline), 0))
        .collect::<Result<Vec<Timer>, Error>>()
        .map_err(failure)?;
    let moves = moves();
    let watch = Stopwatch::start();
    for (victim, deadline) in moves {
        change(&fired, &mut timers[victim], at(deadline)).map_err(failure)?;
    }
    Ok(Sample::of_work(watch.stop(), PAIRS))
}

/// Longest time that arming a million timers may take before the first of them is due.
const HEAD_START: Duration = Duration::from_millis(400);

/// Arming, and then a turn of the loop every 100 microseconds of real time. What passes
/// between two turns is not charged.
fn fire_in_the_loop() -> Result<Sample, Failure> {
    pin(UNDER_TEST)?;
    let runtime = runtime(MANY)?;
    let deadlines = deadlines(MANY, FIRE_WINDOW);
    touch(&runtime, deadlines.len())?;
    let (clock, fired) = (CpuClock::of_this_thread(), Fired::new());
    let start = clock.read();
    let base = runtime.now() + HEAD_START;
    for (payload, &deadline) in deadlines.iter().enumerate() {
        fired.arm(base + Duration::from_nanos(deadline), payload as u64).map_err(failure)?;
    }
    let mut time = clock.read() - start;
    let (before, ahead) = (std::time::Instant::now(), base.saturating_since(runtime.now()));
    let (mut passed, end) = (ahead, ahead + 2 * Duration::from_nanos(FIRE_WINDOW));
    while fired.0.get().0 < MANY as u64 && passed < end {
        passed += Duration::from_nanos(TURN);
        spin_until(|| before.elapsed() >= passed);
        let start = clock.read();
        runtime.poll_once().map_err(failure)?;
        time += clock.read() - start;
    }
    let (count, sum) = fired.0.get();
    all_fired(count, sum)?;
    Ok(Sample::of_work(time, MANY))
}

/// Brings a table in the state that everybody starts from: all memory touched, and in order.
fn touch(runtime: &Runtime, count: usize) -> Result<(), Failure> {
    let (far, fired) = (runtime.now() + Duration::from_secs(3600), Fired::new());
    let armed: Result<Vec<_>, _> = (0..count).map(|_| fired.arm(far, 0)).collect();
    armed.map_err(failure)?.iter().rev().for_each(|timer| {
        timer.cancel();
    });
    Ok(())
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
    let runtime = Runtime::new(config).map_err(failure)?;
    let shared = Rc::new(Lateness {
        late: RefCell::new(Vec::with_capacity(2 * FIRINGS)),
        delays: RefCell::new(Delays::new(0)),
    });
    for _ in 0..AT_ONCE {
        arm_again(&shared);
    }
    let watch = Stopwatch::start();
    runtime.run_until(|| shared.late.borrow().len() >= FIRINGS).map_err(failure)?;
    let cpu = watch.stop();
    drop(runtime);
    Ok(sample(shared.late.take(), cpu))
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
