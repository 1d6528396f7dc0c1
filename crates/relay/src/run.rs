//! The doors through which the program starts a relay.

use crate::config::{DemoConfig, RelayConfig};
use crate::stats::{Snapshot, Summary};

/// Why a relay could not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The loop that drives the endpoints is not part of this build.
    #[error("this build cannot run a relay yet: its loop is not joined to the endpoints")]
    NoLoop,
}

/// Runs a relay until it is told to end, and hands `report` a snapshot each second.
///
/// # Errors
/// [`RunError`] names the endpoint or resource that failed.
pub fn run(_config: &RelayConfig, _report: &mut dyn FnMut(&Snapshot)) -> Result<Summary, RunError> {
    Err(RunError::NoLoop)
}

/// Runs the built-in demonstration: feed, relay and checking subscribers over loopback.
///
/// # Errors
/// [`RunError`] names the endpoint or resource that failed.
pub fn run_demo(
    _config: &DemoConfig,
    _report: &mut dyn FnMut(&Snapshot),
) -> Result<Summary, RunError> {
    Err(RunError::NoLoop)
}
