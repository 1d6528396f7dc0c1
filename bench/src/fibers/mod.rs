//! `fibers`: what stackful code costs: a switch, a fiber's life, a hand-over between two, and the
//! echo of a message by code that waits for it in the midst of a function.
//!
//! All but the echo is work of one thread on core 0. What has fibers implements [`Stackful`], and
//! does the same work line by line; what has none (bare coroutines, tasks) is written to match it.

mod bare;
mod generator;
mod may;
mod ours;
mod threads;
mod tokio;

use std::{
    hint::black_box,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

pub(crate) use self::may::echo as may_echo;
use self::{
    may::{Coroutines, InPlace},
    ours::Fibers,
};
use crate::{
    echo::rtt,
    harness::{Contender, Failure, Group, Metric, Plan, Role, Sample, sys::Stopwatch},
};

/// Turns that each of the two takes before a slice counts.
const WARM_UP: u64 = 2_000;
/// Turns that each of the two takes in a slice: of those who are quick at it, and of the others.
const TURNS: u64 = 1_000_000;
const FEWER_TURNS: u64 = TURNS / 5;
/// Lives in a slice, one after another, likewise.
const LIVES: u64 = 1_000_000;
const FEWER_LIVES: u64 = LIVES / 5;
const FEWEST_LIVES: u64 = LIVES / 20;

/// What a slice gives.
type Measured = Result<Sample, Failure>;

/// Straight-line code that waits, many pieces of it on one thread.
trait Stackful: 'static {
    /// A piece that is under way.
    type Handle;
    /// Runs `main` as a piece, to its end.
    ///
    /// # Errors
    /// `main`'s, or why it cannot be run.
    fn run(main: fn() -> Measured) -> Measured;
    /// Starts another piece.
    ///
    /// # Errors
    /// There are too many.
    fn spawn(work: impl FnOnce() -> u64 + Send + 'static) -> io::Result<Self::Handle>;
    /// Waits for a piece's result.
    ///
    /// # Errors
    /// It has none.
    fn join(handle: Self::Handle) -> io::Result<u64>;
    /// Lets the others run first.
    ///
    /// # Errors
    /// It is not called by a piece.
    fn yield_now() -> io::Result<()>;
}

/// A group each row: they differ in who takes part.
pub(crate) fn groups(_: &Plan) -> Vec<Group> {
    vec![
        group("switch", switches(), SWITCH_NOTE),
        group("spawn-join", lives(), LIVES_NOTE),
        rtt::fibers(),
        group("baton", hand_overs(), BATON_NOTE),
    ]
}

fn group(name: &str, contenders: Vec<Contender>, note: &'static str) -> Group {
    Group { metrics: vec![Metric::lower(name, "ns")], contenders, note: Some(note) }
}

const SWITCH_NOTE: &str = "\
    time for one of two that yield in turn to yield, and for the other to go on; processor \
    time; tautline: the default configuration; limit: a hand loop that resumes each of a \
    row, without a scheduler, as in generator-bare; corosensei-unrolled: the loop names \
    both, so that it is known beforehand who is next; may: one worker; tokio: yield_now, \
    without drivers, tokio-wake: a task wakes itself";

fn switches() -> Vec<Contender> {
    vec![
        Contender::new("tautline", Role::Tautline, || Fibers::run(switch::<Fibers, TURNS>)),
        Contender::new("corosensei", Role::Limit, bare::switch),
        Contender::new("corosensei-unrolled", Role::Variant, bare::switch_unrolled),
        Contender::new("may", Role::Peer, || {
            // Spawned through the queue, the partner would not begin before the first ends.
            InPlace::run(switch::<InPlace, FEWER_TURNS>)
        }),
        Contender::new("generator-bare", Role::Peer, generator::switch),
        Contender::new("tokio", Role::Peer, tokio::switch),
        Contender::new("tokio-wake", Role::Peer, tokio::switch_by_waking),
    ]
}

const LIVES_NOTE: &str = "\
    an empty closure that returns a number; processor time; tautline: the default \
    configuration; limit: a coroutine made on a stack that is used again, resumed once; \
    bare-pair: the limit of the row switch; may: one worker, each spawn wakes it by a system \
    call; may-in-place: spawn_local, which runs it before it returns; tokio: without drivers";

fn lives() -> Vec<Contender> {
    vec![
        Contender::new("tautline", Role::Tautline, || Fibers::run(live::<Fibers, FEWER_LIVES>)),
        Contender::new("corosensei", Role::Limit, bare::live),
        Contender::new("bare-pair", Role::Variant, bare::switch),
        Contender::new("may", Role::Peer, || Coroutines::run(live::<Coroutines, FEWEST_LIVES>)),
        Contender::new("may-in-place", Role::Peer, || InPlace::run(live::<InPlace, FEWEST_LIVES>)),
        Contender::new("tokio", Role::Peer, tokio::live),
    ]
}

const BATON_NOTE: &str = "\
    two that hand the turn to each other by a pair of batons, time of one hand-over; \
    processor time; tautline: the default configuration; limit: a pair of flags and a hand \
    loop without a scheduler; may: one worker, Blocker; tokio: Notify, without drivers; \
    threads: park and unpark, both threads on the core";

fn hand_overs() -> Vec<Contender> {
    vec![
        Contender::new("tautline", Role::Tautline, ours::hand_over),
        Contender::new("corosensei", Role::Limit, bare::hand_over),
        Contender::new("may", Role::Peer, may::hand_over),
        Contender::new("tokio", Role::Peer, tokio::hand_over),
        Contender::new("threads", Role::Peer, threads::hand_over),
    ]
}

/// Yields in turn with a partner. To be run as a piece.
fn switch<S: Stackful, const TURNS: u64>() -> Measured {
    let over = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&over);
    let partner = S::spawn(move || {
        let mut turns = 0;
        while !is_over.load(Ordering::Relaxed) && S::yield_now().is_ok() {
            turns += 1;
        }
        turns
    })?;
    for _ in 0..WARM_UP {
        S::yield_now()?;
    }
    let watch = Stopwatch::start();
    for _ in 0..TURNS {
        S::yield_now()?;
    }
    let cpu = watch.stop();
    over.store(true, Ordering::Relaxed);
    in_turn(TURNS, S::join(partner)?)?;
    Ok(Sample::of_work(cpu, 2 * TURNS as usize))
}

/// Spawns and joins, one after another. To be run as a piece.
fn live<S: Stackful, const LIVES: u64>() -> Measured {
    let sum_of = |lives: u64| -> io::Result<u64> {
        let mut sum = 0;
        for number in 0..lives {
            let number = black_box(number);
            sum += S::join(S::spawn(move || number)?)?;
        }
        Ok(sum)
    };
    sum_of(WARM_UP)?;
    let watch = Stopwatch::start();
    let sum = sum_of(LIVES)?;
    let cpu = watch.stop();
    same(LIVES * (LIVES - 1) / 2, sum)?;
    Ok(Sample::of_work(cpu, LIVES as usize))
}

/// The partner of a whole slice has had as many turns, but for those at the ends.
fn in_turn(expected: u64, turns: u64) -> Result<(), Failure> {
    let expected = WARM_UP + expected;
    if turns.abs_diff(expected) <= 2 { Ok(()) } else { same(expected, turns) }
}

fn same(sent: u64, answered: u64) -> Result<(), Failure> {
    if sent == answered { Ok(()) } else { Err(Failure::Miscounted { sent, answered }) }
}
