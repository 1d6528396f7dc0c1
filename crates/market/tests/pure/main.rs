//! An exchange and a gateway, joined by queues, in virtual time: whatever the lines, the replay server and
//! the snapshot server do to them, the books are equal at the end, and every gap is reported once.

mod reference;
#[path = "../common/seeds.rs"]
mod seeds;
mod wires;
mod world;

use tautline_feed::format::{Compact, MoldUdp64};

use crate::seeds::play_all;
use crate::world::World;

/// A thousand seeds, each of which draws how bad everything is: losses of 0 to 20 % on each line.
#[test]
fn books_are_equal_at_the_end() {
    let mut all = world::Outcome::default();
    let play = |seed| match seed % 2 {
        0 => World::<MoldUdp64>::new(seed).run(),
        _ => World::<Compact>::new(seed).run(),
    };
    let is_all = play_all("pure", 1000, play, |outcome| all.add(&outcome));
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
