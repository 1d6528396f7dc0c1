//! An exchange and a gateway, joined by queues, in virtual time: whatever the lines, the replay server and
//! the snapshot server do to them, the books are equal at the end, and every gap is reported once.
//! `TAUTLINE_SEED=n` replays one seed, `TAUTLINE_SEEDS=n` says how many there are.

mod reference;
mod wires;
mod world;

use tautline_feed::format::{Compact, MoldUdp64};

use crate::world::World;

/// One seed, as many as were asked for, or the usual.
fn seeds(usual: u64) -> std::ops::Range<u64> {
    let variable = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    match variable("TAUTLINE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..variable("TAUTLINE_SEEDS").unwrap_or(usual),
    }
}

/// A thousand seeds, each of which draws how bad everything is: losses of 0 to 20 % on each line.
#[test]
fn books_are_equal_at_the_end() {
    let seeds = seeds(1000);
    let is_all = seeds.start == 0 && seeds.end >= 1000;
    let mut all = world::Outcome::default();
    for seed in seeds {
        let run = std::panic::catch_unwind(|| match seed % 2 {
            0 => World::<MoldUdp64>::new(seed).run(),
            _ => World::<Compact>::new(seed).run(),
        });
        match run {
            Ok(outcome) => all.add(&outcome),
            Err(panic) => {
                eprintln!("\n  TAUTLINE_SEED={seed} cargo test -p tautline-market --test pure\n");
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{all:?}");
    // What is to be survived has happened.
    let world::Outcome { gaps, repaired, lost, doubts, snapshots, broken, sessions, messages } =
        all;
    let counts = [gaps, repaired, lost, doubts, snapshots, broken, sessions, messages];
    assert!(!is_all || counts.into_iter().all(|count| count > 50), "{all:?}");
}

/// The same seed repeats a run: what failed can be looked into.
#[test]
fn seeds_repeat_a_run() {
    let run = |seed| World::<Compact>::new(seed).run();
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}
