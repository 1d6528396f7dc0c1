//! The scenario of the simulation finds mistakes: each of those that the driver can be
//! told to make is found within the first few seeds.

#[path = "../tests/fiber_scenario/mod.rs"]
mod fiber_scenario;
#[path = "../tests/scenario/mod.rs"]
mod scenario;

use crate::driver::sim::Bug;

/// Seeds that may pass before the mistake is found.
const FEW: u64 = 8;

fn is_found(bug: Bug) {
    let found = (0..FEW).find_map(|seed| {
        let outcome = scenario::play(seed, move |world| world.bug = Some(bug));
        (!outcome.complaints.is_empty()).then_some((seed, outcome.complaints))
    });
    let (seed, complaints) = found.expect("none of the first seeds finds it");
    println!("{bug:?} is found by seed {seed}: {complaints:?}");
}

/// A completion that is told twice is found.
#[test]
fn completing_twice_is_found() {
    is_found(Bug::CompletesTwice);
}

/// A cancelled receive that drops bytes is found.
#[test]
fn losing_bytes_on_cancel_is_found() {
    is_found(Bug::CancelLosesBytes);
}

/// A cancelled operation that is never told of is found.
#[test]
fn a_silent_cancel_is_found() {
    is_found(Bug::CancelIsSilent);
}

/// Without a mistake the same seeds find nothing.
#[test]
fn without_a_mistake_nothing_is_found() {
    for seed in 0..FEW {
        let outcome = scenario::play(seed, |_| ());
        assert!(outcome.complaints.is_empty(), "seed {seed}: {:?}", outcome.complaints);
        assert!(outcome.steps > 0 && outcome.hash != 0);
        assert!(outcome.lines.is_empty() && outcome.took < u64::MAX && outcome.failed < u32::MAX);
    }
}

/// The scenario of fibers finds each of these mistakes too.
#[test]
fn fibers_find_each_mistake() {
    for bug in [Bug::CompletesTwice, Bug::CancelLosesBytes, Bug::CancelIsSilent] {
        let found = (0..FEW).find_map(|seed| {
            let outcome = fiber_scenario::play(seed, move |world| world.bug = Some(bug));
            (!outcome.complaints.is_empty()).then_some((seed, outcome.complaints))
        });
        let (seed, complaints) = found.expect("none of the first seeds finds it");
        println!("{bug:?} is found by fibers with seed {seed}: {complaints:?}");
    }
}

/// Without a mistake it finds nothing in the same seeds.
#[test]
fn fibers_find_nothing_without_a_mistake() {
    for seed in 0..FEW {
        let outcome = fiber_scenario::play(seed, |_| ());
        assert!(outcome.complaints.is_empty(), "seed {seed}: {:?}", outcome.complaints);
        assert!(outcome.steps > 0 && outcome.hash != 0 && outcome.counts.fibers > 0);
        assert!(outcome.lines.is_empty());
    }
}
