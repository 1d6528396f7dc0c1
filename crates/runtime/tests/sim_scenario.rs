//! A thousand seeds of the scenario in a simulated world. `TAUTLINE_SEED=n` replays one
//! and prints its trace; `TAUTLINE_SEEDS=n` says how many there are.

mod scenario;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use scenario::{Outcome, play};

/// The number in an environment variable.
fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| {
        text.parse().unwrap_or_else(|_| panic!("{name} is `{text}`: it must be a number"))
    })
}

/// What failed, and how to see it again.
fn report(seed: u64, outcome: &Outcome) -> String {
    format!(
        "seed {seed} failed after {} events:\n  {}\nreplay it with:\n  \
         TAUTLINE_SEED={seed} cargo test -p tautline-runtime --test sim_scenario -- --nocapture\n",
        outcome.steps,
        outcome.complaints.join("\n  "),
    )
}

/// One seed, with the last lines of its trace.
fn replay(seed: u64) {
    let outcome = play(seed, |world| world.lines = 2000);
    println!("{}", outcome.lines.join("\n"));
    println!("seed {seed}: {} events, trace {:016x}", outcome.steps, outcome.hash);
    assert!(outcome.complaints.is_empty(), "{}", report(seed, &outcome));
}

/// Whatever goes wrong in the world, streams bring what was sent, once and in order,
/// and after the faults everybody is served within a bound. Every eighth seed is played
/// twice, to the same trace.
#[test]
fn every_seed_converges() {
    if let Some(seed) = variable("TAUTLINE_SEED") {
        return replay(seed);
    }
    let seeds = variable("TAUTLINE_SEEDS").unwrap_or(1000);
    let next = AtomicU64::new(0);
    let failures = Mutex::new(Vec::new());
    let (failed, steps, longest) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        loop {
            // Relaxed: counters that nothing else depends on.
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds || failures.lock().unwrap().len() >= 3 {
                return;
            }
            let mut outcome = play(seed, |_| ());
            if seed.is_multiple_of(8) && play(seed, |_| ()) != outcome {
                outcome.complaints.push("a second run took another way".into());
            }
            failed.fetch_add(outcome.failed.into(), Ordering::Relaxed);
            steps.fetch_add(outcome.steps, Ordering::Relaxed);
            longest.fetch_max(outcome.took, Ordering::Relaxed);
            if !outcome.complaints.is_empty() {
                failures.lock().unwrap().push(report(seed, &outcome));
            }
        }
    };
    std::thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
    let failures = failures.into_inner().unwrap();
    println!(
        "{seeds} seeds: {steps:?} events, {failed:?} sessions cut short, {longest:?} ns at most from the last fault to the last session"
    );
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(seeds < 100 || failed.into_inner() > seeds, "hardly anything went wrong");
}

/// The same seed gives the same trace, another seed another.
#[test]
fn a_seed_is_a_run() {
    let (first, second, other) = (play(7, |_| ()), play(7, |_| ()), play(8, |_| ()));
    assert_eq!(first, second);
    assert_ne!(first.hash, other.hash);
}
