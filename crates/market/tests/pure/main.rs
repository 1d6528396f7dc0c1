//! An exchange and a gateway, joined by queues, in virtual time: whatever the lines, the replay server and
//! the snapshot server do to them, the books are equal at the end, and every gap is reported once.

mod reference;
mod wires;
mod world;

use tautline_feed::format::{Compact, MoldUdp64};

use crate::world::World;

/// A thousand seeds, each of which draws how bad everything is: losses of 0 to 20 % on each line.
#[test]
fn books_are_equal_at_the_end() {
    let seeds = std::env::var("TAUTLINE_SEEDS").map_or(1000, |seeds| seeds.parse().unwrap());
    let mut all = world::Outcome::default();
    for seed in 0..seeds {
        let run = std::panic::catch_unwind(|| match seed % 2 {
            0 => World::<MoldUdp64>::new(seed).run(),
            _ => World::<Compact>::new(seed).run(),
        });
        match run {
            Ok(outcome) => all.add(&outcome),
            Err(panic) => {
                eprintln!("seed {seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{all:?}");
    // What is to be survived has happened.
    let world::Outcome { gaps, repaired, lost, doubts, snapshots, broken, sessions, messages } =
        all;
    let counts = [gaps, repaired, lost, doubts, snapshots, broken, sessions, messages];
    assert!(seeds < 100 || counts.into_iter().all(|count| count > 50), "{all:?}");
}

/// The same seed repeats a run: what failed can be looked into.
#[test]
fn seeds_repeat_a_run() {
    let run = |seed| World::<Compact>::new(seed).run();
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}
