//! Tautline's timers.

use crate::harness::Contender;

/// Our wheel in `arm-cancel-100k`.
pub(super) fn arm_cancel() -> Vec<Contender> {
    Vec::new()
}

/// Our wheel in `fire-1m`.
pub(super) fn fire() -> Vec<Contender> {
    Vec::new()
}

/// Our loop in `late-p50` and `late-p99`.
pub(super) fn late() -> Vec<Contender> {
    Vec::new()
}
