//! Runs that are drawn from seeds: `TAUTLINE_SEED=n` replays one, `TAUTLINE_SEEDS=n` says how many there are.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Plays one seed, as many as were asked for, or the usual, and hands each outcome to `take`. A seed that
/// fails is named, with the `test` that plays it. Whether there were so many that all that is to be survived
/// must have happened.
pub(crate) fn play_all<T>(
    test: &str,
    usual: u64,
    play: impl Fn(u64) -> T,
    mut take: impl FnMut(T),
) -> bool {
    let seeds = seeds(usual);
    for seed in seeds.clone() {
        match catch_unwind(AssertUnwindSafe(|| play(seed))) {
            Ok(outcome) => take(outcome),
            Err(panic) => {
                eprintln!("\n  TAUTLINE_SEED={seed} cargo test -p tautline-market --test {test}\n");
                resume_unwind(panic);
            }
        }
    }
    seeds.start == 0 && seeds.end >= usual
}

fn seeds(usual: u64) -> Range<u64> {
    let variable = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    match variable("TAUTLINE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..variable("TAUTLINE_SEEDS").unwrap_or(usual),
    }
}
