//! A thousand seeds of the scenario of fibers in a simulated world. `TAUTLINE_SEED=n` replays
//! one and prints its trace; `TAUTLINE_SEEDS=n` says how many there are.

#[path = "fiber_scenario/mod.rs"]
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
         TAUTLINE_SEED={seed} cargo test -p tautline-runtime --test fiber_scenario \
         -- --nocapture\n",
        outcome.steps,
        outcome.complaints.join("\n  "),
    )
}

/// One seed, with the last lines of its trace.
fn replay(seed: u64) {
    let outcome = play(seed, |world| world.lines = 2000);
    println!("{}", outcome.lines.join("\n"));
    println!("seed {seed}: {} events, {:?}", outcome.steps, outcome.counts);
    assert!(outcome.complaints.is_empty(), "{}", report(seed, &outcome));
}

/// What all seeds came to.
#[derive(Default)]
struct Sums {
    steps: AtomicU64,
    fibers: AtomicU64,
    cancelled: AtomicU64,
    panicked: AtomicU64,
    refused: AtomicU64,
    queued: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

impl Sums {
    fn add(&self, outcome: &Outcome) {
        let counts = outcome.counts;
        let sums = [
            (&self.steps, outcome.steps),
            (&self.fibers, counts.fibers),
            (&self.cancelled, counts.cancelled),
            (&self.panicked, counts.panicked),
            (&self.refused, counts.refused),
            (&self.queued, counts.queued),
            (&self.failed, counts.failed),
            (&self.dropped, counts.dropped),
        ];
        // Relaxed: counters that nothing else depends on.
        for (sum, n) in sums {
            sum.fetch_add(n, Ordering::Relaxed);
        }
    }

    /// Whether enough went wrong in so many seeds.
    fn check(self, seeds: u64) {
        let Self { steps, fibers, cancelled, panicked, refused, queued, failed, dropped } = self;
        println!(
            "{seeds} seeds: {steps:?} events, {fibers:?} fibers; joins say that {cancelled:?} were cancelled and {panicked:?} panicked; {refused:?} spawns were refused, {queued:?} waited for a stack, {failed:?} sessions were cut short, {dropped:?} runtimes dropped in the middle"
        );
        let rates = [(cancelled, 10), (panicked, 5), (refused, 5), (queued, 2), (failed, 2)];
        for (sum, least) in rates {
            assert!(sum.into_inner() > least * seeds, "hardly anything went wrong");
        }
        assert!(dropped.into_inner() > seeds / 8, "hardly a runtime was dropped");
    }
}

/// However fibers are cancelled, panic, wait for a stack or are refused one, each ends once, each
/// join has one answer, each stack comes back, and streams bring what was sent. Every eighth seed
/// is played twice, to the same trace.
#[test]
fn every_fiber_ends_once() {
    if let Some(seed) = variable("TAUTLINE_SEED") {
        return replay(seed);
    }
    let seeds = variable("TAUTLINE_SEEDS").unwrap_or(1000);
    let next = AtomicU64::new(0);
    let (failures, sums) = (Mutex::new(Vec::new()), Sums::default());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        loop {
            // Relaxed: a counter that nothing else depends on.
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds || failures.lock().unwrap().len() >= 3 {
                return;
            }
            let mut outcome = play(seed, |_| ());
            if seed.is_multiple_of(8) && play(seed, |_| ()) != outcome {
                outcome.complaints.push("a second run took another way".into());
            }
            sums.add(&outcome);
            if !outcome.complaints.is_empty() {
                failures.lock().unwrap().push(report(seed, &outcome));
            }
        }
    };
    std::thread::scope(|scope| (0..workers).for_each(|_| drop(scope.spawn(work))));
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    if seeds >= 100 {
        sums.check(seeds);
    }
}

/// The same seed gives the same trace, another seed another.
#[test]
fn a_seed_is_a_run() {
    let (first, second, other) = (play(7, |_| ()), play(7, |_| ()), play(8, |_| ()));
    assert_eq!(first, second);
    assert_ne!(first.hash, other.hash);
}
