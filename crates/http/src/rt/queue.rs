//! What waits in the queue of a stream, of which `hyper` knows nothing any more.

use std::time::Duration;

use tautline_runtime::Conn;
use tautline_runtime::time::Instant;

/// Whether a peer goes on taking what waits in the queue of its stream. It is looked at when a
/// deadline is over, so that whoever is in time costs nothing.
pub(crate) struct Queue {
    held: Conn,
    /// What it held when it was last looked at, and until when it must hold less.
    seen: Option<(usize, Instant)>,
}

impl Queue {
    pub(crate) fn new(held: Conn) -> Self {
        Self { held, seen: None }
    }

    /// Bytes that wait.
    pub(crate) fn queued(&self) -> usize {
        self.held.queued()
    }

    /// When what is `due` is due indeed.
    pub(crate) fn until(&mut self, due: Instant) -> Instant {
        match self.seen {
            Some((_, until)) if until > due => until,
            _ => {
                self.seen = None;
                due
            }
        }
    }

    /// Whether something has been taken since the last look. Then there is time `within` again.
    pub(crate) fn is_taken(&mut self, due: Instant, within: Duration) -> bool {
        let queued = self.queued();
        let before = self.seen.take().map(|(queued, _)| queued);
        if queued == 0 || before.is_some_and(|before| before <= queued) {
            return false;
        }
        self.seen = Some((queued, due + within));
        true
    }

    /// Closes the stream at once.
    pub(crate) fn abort(&self) {
        self.held.abort();
    }
}
