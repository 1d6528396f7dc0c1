//! Tautline as a relay of datagrams.

use super::Relay;

/// Our relays: the default configuration as [`Role::Tautline`](crate::harness::Role::Tautline),
/// other drivers and faces as variants.
pub(super) fn relays() -> Vec<Relay> {
    Vec::new()
}
