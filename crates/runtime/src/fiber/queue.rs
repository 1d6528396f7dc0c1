//! Queues of fibers, linked through their slots.

use std::cell::Cell;
use std::ptr;

use crate::fiber::slot::{Slot, Slots};

/// A queue of fibers of one table, linked through their slots.
pub(super) struct Queue {
    head: Cell<*const Slot>,
    /// Meaningless while there is no head.
    tail: Cell<*const Slot>,
}

impl Default for Queue {
    fn default() -> Self {
        Self { head: Cell::new(ptr::null()), tail: Cell::new(ptr::null()) }
    }
}

impl Queue {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.head.get().is_null()
    }

    /// Appends a fiber that is in no queue.
    #[inline]
    pub(super) fn push(&self, slot: &Slot) {
        slot.next.set(ptr::null());
        let before = self.tail.replace(slot);
        if self.is_empty() {
            self.head.set(slot);
        } else {
            // SAFETY: the last of a queue that is not empty; its table is there, for so is
            // that of the slot to be appended.
            unsafe { (*before).next.set(slot) };
        }
    }

    /// Takes the first. All of the queue are of this table.
    #[inline]
    pub(super) fn pop<'s>(&self, _: &'s Slots) -> Option<&'s Slot> {
        // SAFETY: null, or a slot of the table, which lives as long as that.
        let slot: &'s Slot = unsafe { self.head.get().as_ref() }?;
        self.head.set(slot.next.get());
        Some(slot)
    }
}

/// A queue that one may leave from anywhere: of fibers that wait for a stack.
#[derive(Default)]
pub(super) struct Line {
    queue: Queue,
}

impl Line {
    /// Appends a fiber that is in no queue.
    pub(super) fn push(&self, slot: &Slot) {
        let last = if self.queue.is_empty() { ptr::null() } else { self.queue.tail.get() };
        slot.before.set(last);
        self.queue.push(slot);
    }

    /// Takes the first. All of the line are of this table.
    pub(super) fn pop<'s>(&self, slots: &'s Slots) -> Option<&'s Slot> {
        let slot = self.queue.pop(slots)?;
        // SAFETY: null, or the next of the line, which is of the same table.
        if let Some(next) = unsafe { slot.next.get().as_ref() } {
            next.before.set(ptr::null());
        }
        Some(slot)
    }

    /// Takes one out that is in there.
    pub(super) fn remove(&self, slot: &Slot) {
        let (before, next) = (slot.before.get(), slot.next.get());
        // SAFETY: null, or its neighbours in the line, of the same table.
        let (before_it, next_to_it) = unsafe { (before.as_ref(), next.as_ref()) };
        match before_it {
            Some(before) => before.next.set(next),
            None => self.queue.head.set(next),
        }
        match next_to_it {
            Some(next) => next.before.set(before),
            None => self.queue.tail.set(before),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line is first in, first out; one may leave it from anywhere.
    #[test]
    fn lines_keep_their_order() {
        let slots = Slots::new(1, 3, 100).unwrap();
        let line = Line::default();
        let all: Vec<&Slot> = std::iter::from_fn(|| slots.take()).collect();
        for gone in 0..3 {
            all.iter().for_each(|slot| line.push(slot));
            line.remove(all[gone]);
            line.push(all[gone]);
            let order: Vec<u32> =
                std::iter::from_fn(|| line.pop(&slots)).map(|slot| slot.index).collect();
            let others = (0..3).filter(|&at| at != gone as u32);
            assert_eq!(order, others.chain([gone as u32]).collect::<Vec<_>>());
            assert!(line.pop(&slots).is_none());
        }
    }
}
