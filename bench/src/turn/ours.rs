//! Turns of Tautline's loop.

use crate::harness::Contender;

/// A turn in `Spin` with one quiet hot connection.
pub(super) fn idle_turn() -> Vec<Contender> {
    Vec::new()
}

/// The same turn with the watch, minus the turn without it.
pub(super) fn watch_cost() -> Vec<Contender> {
    Vec::new()
}
