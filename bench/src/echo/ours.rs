//! Tautline as an echo server.

use super::Server;

/// Our servers: the default configuration as [`Role::Tautline`](crate::harness::Role::Tautline),
/// other drivers and faces as variants.
pub(super) fn servers() -> Vec<Server> {
    Vec::new()
}
