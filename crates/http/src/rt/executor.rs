//! Futures of `hyper` become tasks.

use std::future::Future;

use tautline_runtime::task;

/// Spawns on the loop of this thread. When its task table is full the future is dropped, which
/// for a stream of HTTP/2 is a reset, and that is logged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Executor;

impl<F: Future + 'static> hyper::rt::Executor<F> for Executor {
    fn execute(&self, future: F) {
        if let Err(error) = task::spawn(future) {
            log::warn!("a stream of HTTP/2 was reset: {error}");
        }
    }
}
