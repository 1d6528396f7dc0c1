//! The limit: one level of buckets, intrusive lists in a slab, no generations, no checks.

use super::{Nanos, TICK, Timers};

const NONE: u32 = u32::MAX;

struct Entry {
    next: u32,
    /// The one before, or [`NONE`] for the first of its bucket.
    previous: u32,
    tick: u64,
    payload: u64,
}

/// A wheel whose buckets cover the whole window, one tick each.
pub(super) struct SlabWheel {
    entries: Vec<Entry>,
    /// Head of the list of unused entries.
    free: u32,
    buckets: Vec<u32>,
    mask: u64,
    /// The tick that fires next.
    cursor: u64,
}

impl SlabWheel {
    fn bucket(&self, tick: u64) -> usize {
        (tick & self.mask) as usize
    }

    fn release(&mut self, index: u32) {
        self.entries[index as usize].next = self.free;
        self.free = index;
    }
}

impl Timers for SlabWheel {
    type Key = u32;

    fn new(limit: usize, window: Nanos) -> Self {
        let buckets = (window / TICK + 1).next_power_of_two();
        let entry = |index| Entry { next: index + 1, previous: NONE, tick: 0, payload: 0 };
        let mut entries: Vec<_> = (0..limit as u32).map(entry).collect();
        if let Some(last) = entries.last_mut() {
            last.next = NONE;
        }
        Self {
            entries,
            free: 0,
            buckets: vec![NONE; buckets as usize],
            mask: buckets - 1,
            cursor: 0,
        }
    }

    fn arm(&mut self, deadline: Nanos, payload: u64) -> u32 {
        let tick = deadline.div_ceil(TICK);
        let (index, bucket) = (self.free, self.bucket(tick));
        let next = std::mem::replace(&mut self.buckets[bucket], index);
        let entry = &mut self.entries[index as usize];
        self.free = entry.next;
        *entry = Entry { next, previous: NONE, tick, payload };
        if next != NONE {
            self.entries[next as usize].previous = index;
        }
        index
    }

    fn cancel(&mut self, key: u32) {
        let Entry { next, previous, tick, .. } = self.entries[key as usize];
        match previous {
            NONE => {
                let bucket = self.bucket(tick);
                self.buckets[bucket] = next;
            }
            previous => self.entries[previous as usize].next = next,
        }
        if next != NONE {
            self.entries[next as usize].previous = previous;
        }
        self.release(key);
    }

    fn expire(&mut self, now: Nanos) -> Option<u64> {
        while self.cursor * TICK <= now {
            let bucket = self.bucket(self.cursor);
            match self.buckets[bucket] {
                NONE => self.cursor += 1,
                index => {
                    let Entry { next, payload, .. } = self.entries[index as usize];
                    self.buckets[bucket] = next;
                    if next != NONE {
                        self.entries[next as usize].previous = NONE;
                    }
                    self.release(index);
                    return Some(payload);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bare wheel fires every timer that was not cancelled, once, in order, never early.
    #[test]
    fn fires_what_was_armed_and_not_cancelled() {
        let mut wheel = SlabWheel::new(4, 16 * TICK);
        let cancelled = wheel.arm(2 * TICK, 2);
        wheel.arm(2 * TICK, 22);
        wheel.arm(5 * TICK - 1, 5);
        wheel.cancel(cancelled);
        assert_eq!(wheel.expire(2 * TICK - 1), None);
        assert_eq!(wheel.expire(2 * TICK), Some(22));
        assert_eq!(wheel.expire(5 * TICK - 1), None);
        assert_eq!(wheel.expire(5 * TICK), Some(5));
        assert_eq!(wheel.expire(16 * TICK), None);
    }
}
