//! `timers`: arming, cancelling and firing many timers, and how late they fire.
//!
//! Anything that implements [`Timers`] takes part in all rows; what has a
//! loop of its own (tokio, our runtime) brings its own slices.

mod btree;
mod late;
mod ours;
mod slab_wheel;
mod tokio;
mod wheel;

use std::time::{Duration, Instant};

use fastrand::Rng;
use tautline_runtime::time::Wheel;

use self::{btree::Tree, slab_wheel::SlabWheel};
use crate::harness::{
    Contender, Failure, Group, Metric, Plan, Role, Sample,
    sys::{CpuClock, Stopwatch, UNDER_TEST, pin},
};

/// Nanoseconds since the start of a slice.
type Nanos = u64;

/// One microsecond: the tick of everything that has one.
const TICK: Nanos = 1_000;
/// Timers that stay armed in `arm-cancel-100k`.
const LIVE: usize = 100_000;
/// Deadlines of `arm-cancel-100k` lie this far ahead at most.
const ARM_WINDOW: Nanos = (1 << 16) * TICK;
/// Arm and cancel pairs a slice.
const PAIRS: usize = 200_000;
/// Timers of `fire-1m`.
const MANY: usize = 1_000_000;
/// Deadlines of `fire-1m` lie this far ahead at most.
const FIRE_WINDOW: Nanos = (1 << 20) * TICK;
/// Time moves on by this much a turn while `fire-1m` fires.
const TURN: Nanos = 100 * TICK;
/// Every slice draws the same numbers.
const SEED: u64 = 7;

/// A set of timers under virtual or real time.
trait Timers {
    /// Names an armed timer.
    type Key: Copy;
    /// No timers yet; at most `limit` at once, deadlines at most `window` ahead.
    fn new(limit: usize, window: Nanos) -> Self;
    /// Arms a timer.
    fn arm(&mut self, deadline: Nanos, payload: u64) -> Self::Key;
    /// Cancels an armed timer.
    fn cancel(&mut self, key: Self::Key);
    /// The payload of one timer that is due; never early.
    fn expire(&mut self, now: Nanos) -> Option<u64>;
}

/// The rows by what one slice measures.
pub(crate) fn groups(plan: &Plan) -> Vec<Group> {
    vec![
        Group {
            metrics: vec![Metric::lower("arm-cancel-100k", "ns/pair")],
            contenders: bare(arm_cancel::<SlabWheel>, arm_cancel::<Tree>)
                .chain(tokio::arm_cancel())
                .chain(ours::arm_cancel())
                .collect(),
            note: Some(
                "a random one of the live timers is cancelled and armed anew; processor time; tautline: timer::at and \
                 cancel, the default configuration but for a table of 100,001 timers",
            ),
        },
        Group {
            metrics: vec![Metric::lower("fire-1m", "ns/timer")],
            contenders: bare(fire::<SlabWheel>, fire::<Tree>)
                .chain(tokio::fire())
                .chain([ours::fire()])
                .chain(if plan.quick { Vec::new() } else { fire_variants() })
                .collect(),
            note: Some(
                "armed in random order and fired in turns of 100 us of real time; processor time of \
                 arming and of the turns; tautline: timer::at and turns of the loop, the default \
                 configuration but for a table of a million timers; churned: the table is out of order, as after a million others",
            ),
        },
        Group {
            metrics: vec![Metric::lower("late-p50", "ns"), Metric::lower("late-p99", "ns")],
            contenders: bare(late::slice::<SlabWheel>, late::slice::<Tree>)
                .chain(tokio::late())
                .chain(ours::late())
                .collect(),
            note: Some(
                "64 timers at a time; the loop never sleeps, so that its processor time is the time between two timers",
            ),
        },
    ]
}

type Slice = fn() -> Result<Sample, Failure>;

/// The slices of one row for the bare structures.
fn bare(wheel: Slice, btree: Slice) -> impl Iterator<Item = Contender> {
    [
        Contender::new("slab-wheel", Role::Limit, wheel),
        Contender::new("btreemap", Role::Peer, btree),
    ]
    .into_iter()
}

/// A structure that has been in use before.
fn churned(name: &'static str, slice: Slice) -> Contender {
    Contender::new(name, Role::Variant, slice)
}

/// A slice fires for a second of real time: these are left out where time is short.
fn fire_variants() -> Vec<Contender> {
    vec![
        churned("slab-wheel-churned", fire_churned::<SlabWheel>),
        Contender::new("tautline-wheel", Role::Variant, fire::<Wheel>),
        churned("tautline-wheel-churned", fire_churned::<Wheel>),
    ]
}

/// The moves of an `arm-cancel` slice: which timer goes, and when the new one is due.
fn moves() -> impl Iterator<Item = (usize, Nanos)> {
    let mut rng = Rng::with_seed(SEED);
    let moves: Vec<_> =
        (0..PAIRS).map(|_| (rng.usize(..LIVE), rng.u64(TICK..ARM_WINDOW))).collect();
    moves.into_iter()
}

/// `count` deadlines in random order within `window`.
fn deadlines(count: usize, window: Nanos) -> Vec<Nanos> {
    let mut rng = Rng::with_seed(SEED);
    (0..count).map(|_| rng.u64(TICK..window)).collect()
}

fn arm_cancel<T: Timers>() -> Result<Sample, Failure> {
    pin(UNDER_TEST)?;
    let mut timers = T::new(LIVE + 1, ARM_WINDOW);
    let mut keys: Vec<T::Key> =
        deadlines(LIVE, ARM_WINDOW).into_iter().map(|deadline| timers.arm(deadline, 0)).collect();
    let moves = moves();
    let watch = Stopwatch::start();
    for (victim, deadline) in moves {
        timers.cancel(keys[victim]);
        keys[victim] = timers.arm(deadline, 1);
    }
    Ok(Sample::of_work(watch.stop(), PAIRS))
}

/// A table that is in order: all memory was touched, by arming and cancelling in reverse.
fn fire<T: Timers>() -> Result<Sample, Failure> {
    fire_after::<T>(|timers, deadlines| {
        let keys: Vec<_> = deadlines.iter().map(|&deadline| timers.arm(deadline, 0)).collect();
        keys.into_iter().rev().for_each(|key| timers.cancel(key));
        Ok(())
    })
}

/// A table that is out of order: a million timers have fired before.
fn fire_churned<T: Timers>() -> Result<Sample, Failure> {
    fire_after::<T>(|timers, deadlines| fire_all(timers, deadlines, 0, Pace::AtOnce).map(drop))
}

fn fire_after<T: Timers>(
    prepare: impl FnOnce(&mut T, &[Nanos]) -> Result<(), Failure>,
) -> Result<Sample, Failure> {
    pin(UNDER_TEST)?;
    let deadlines = deadlines(MANY, FIRE_WINDOW);
    let mut timers = T::new(MANY, FIRE_WINDOW);
    prepare(&mut timers, &deadlines)?;
    let cpu = fire_all(&mut timers, &deadlines, 2 * FIRE_WINDOW, Pace::Real)?;
    Ok(Sample::of_work(cpu, MANY))
}

/// How time passes from turn to turn.
#[derive(Clone, Copy, PartialEq)]
enum Pace {
    /// As on the wall. What lies between two turns, and cools the caches, is not charged.
    Real,
    AtOnce,
}

/// Arms a timer for each of `deadlines`, counted from `now`, and fires them all.
fn fire_all(
    timers: &mut impl Timers,
    deadlines: &[Nanos],
    mut now: Nanos,
    pace: Pace,
) -> Result<Duration, Failure> {
    while timers.expire(now).is_some() {}
    let clock = CpuClock::of_this_thread();
    let start = clock.read();
    for (payload, deadline) in deadlines.iter().enumerate() {
        timers.arm(now + deadline, payload as u64);
    }
    let mut time = clock.read() - start;
    let (mut fired, mut sum) = (0, 0);
    let (before, end) = (Instant::now(), now + FIRE_WINDOW + TURN);
    let mut passed = Duration::ZERO;
    while now < end {
        now += TURN;
        passed += Duration::from_nanos(TURN);
        spin_until(|| pace == Pace::AtOnce || before.elapsed() >= passed);
        let start = clock.read();
        while let Some(payload) = timers.expire(now) {
            fired += 1;
            sum += payload;
        }
        time += clock.read() - start;
    }
    all_fired(fired, sum)?;
    Ok(time)
}

fn spin_until(mut over: impl FnMut() -> bool) {
    while !over() {
        std::hint::spin_loop();
    }
}

/// Every timer fired, each once.
fn all_fired(fired: u64, sum: u64) -> Result<(), Failure> {
    let count = MANY as u64;
    if fired == count && sum == count * (count - 1) / 2 {
        return Ok(());
    }
    Err(Failure::Miscounted { sent: count, answered: fired })
}
