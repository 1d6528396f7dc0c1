//! The usual answer: an ordered map.

use std::collections::BTreeMap;

use super::{Nanos, Timers};

/// Timers by deadline; the number keeps equal deadlines apart.
pub(super) struct Tree {
    timers: BTreeMap<(Nanos, u64), u64>,
    next: u64,
}

impl Timers for Tree {
    type Key = (Nanos, u64);

    fn new(_: usize, _: Nanos) -> Self {
        Self { timers: BTreeMap::new(), next: 0 }
    }

    fn arm(&mut self, deadline: Nanos, payload: u64) -> Self::Key {
        self.next += 1;
        self.timers.insert((deadline, self.next), payload);
        (deadline, self.next)
    }

    fn cancel(&mut self, key: Self::Key) {
        self.timers.remove(&key);
    }

    fn expire(&mut self, now: Nanos) -> Option<u64> {
        let first = self.timers.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}
