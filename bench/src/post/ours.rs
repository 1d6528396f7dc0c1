//! Tautline's mailbox.

use super::Row;
use crate::harness::Contender;

/// Our mailboxes: `contender::<M>("tautline", Role::Tautline, row)` for a [`super::Mailbox`] `M`.
pub(super) fn contenders(_row: Row) -> Vec<Contender> {
    Vec::new()
}
