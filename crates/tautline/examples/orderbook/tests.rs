//! Client and exchange together.
//!
//! - `pair`: in memory, step by step, each book compared after each line.
//! - `sockets`: over real sockets.

mod pair;
mod sockets;

use crate::exchange::Faults;

/// Faults drawn from a seed: from a sound stream to one that is hardly one.
fn faults(rng: &mut fastrand::Rng) -> Faults {
    let mut chance = || [0.0, 0.001, 0.02, 0.1][rng.usize(..4)];
    Faults { drop: chance(), repeat: chance(), swap: chance() }
}
