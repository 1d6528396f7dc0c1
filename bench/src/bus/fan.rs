//! The limit of the broadcast rows: a ring by hand that two consumers read in place, each with a
//! cursor on a line of its own; the producer caches the slower one.

use std::{
    cell::UnsafeCell,
    io,
    mem::MaybeUninit,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{
    ends::{CAPACITY, Give, Message, Opened, Take, Topology},
    hand::Line,
};

const READERS: usize = 2;

#[repr(C)]
struct Shared<M> {
    tail: Line<AtomicUsize>,
    cursors: [Line<AtomicUsize>; READERS],
    slots: [UnsafeCell<MaybeUninit<M>>; CAPACITY],
}

// SAFETY: a slot is written by the one producer, when no cursor is below it.
unsafe impl<M: Send + Sync> Sync for Shared<M> {}

impl<M> Shared<M> {
    #[inline(always)]
    fn slot(&self, position: usize) -> *mut M {
        self.slots[position % CAPACITY].get().cast()
    }
}

/// The producer's end.
#[repr(align(128))]
pub(super) struct Giver<M> {
    shared: Arc<Shared<M>>,
    tail: usize,
    /// What the slower cursor was when last looked at.
    slowest: usize,
}

impl<M> Giver<M> {
    #[inline(always)]
    fn room(&mut self) -> usize {
        if self.tail - self.slowest == CAPACITY {
            // Acquire: the consumers have read the slots that they passed.
            let cursors = self.shared.cursors.iter().map(|cursor| cursor.0.load(Ordering::Acquire));
            self.slowest = cursors.fold(self.tail, usize::min);
        }
        CAPACITY - (self.tail - self.slowest)
    }

    #[inline(always)]
    fn publish(&mut self, count: usize) {
        self.tail += count;
        // Release: publishes the slots to the consumers.
        self.shared.tail.0.store(self.tail, Ordering::Release);
    }
}

impl<M: Message> Give<M> for Giver<M> {
    #[inline(always)]
    fn give(&mut self, message: M) -> bool {
        if self.room() == 0 {
            return false;
        }
        // SAFETY: all have passed the slot.
        unsafe { self.shared.slot(self.tail).write(message) };
        self.publish(1);
        true
    }

    #[inline(always)]
    fn give_batch(&mut self, numbers: Range<u64>) -> u64 {
        let room = self.room();
        let mut sent = 0;
        for number in numbers.take(room) {
            // SAFETY: all have passed so many slots.
            unsafe { self.shared.slot(self.tail + sent).write(M::of(number)) };
            sent += 1;
        }
        self.publish(sent);
        sent as u64
    }
}

/// The end of one of the consumers.
#[repr(align(128))]
pub(super) struct Taker<M> {
    shared: Arc<Shared<M>>,
    reader: usize,
    head: usize,
    /// What the tail was when last looked at.
    tail: usize,
}

impl<M: Message> Take<M> for Taker<M> {
    #[inline(always)]
    fn take(&mut self, each: impl FnMut(&M)) -> bool {
        self.take_batch(1, each)
    }

    #[inline(always)]
    fn take_batch(&mut self, limit: usize, mut each: impl FnMut(&M)) -> bool {
        if self.head == self.tail {
            // Acquire: the slots below the tail have been written.
            self.tail = self.shared.tail.0.load(Ordering::Acquire);
        }
        let count = (self.tail - self.head).min(limit);
        for at in 0..count {
            // SAFETY: published, and not written again before the cursor has passed.
            each(unsafe { &*self.shared.slot(self.head + at) });
        }
        if count > 0 {
            self.head += count;
            // Release: the slots below the cursor have been read.
            self.shared.cursors[self.reader].0.store(self.head, Ordering::Release);
        }
        count > 0
    }
}

/// One producer and two consumers.
pub(super) struct Fan;

impl<M: Message> Topology<M> for Fan {
    type Giver = Giver<M>;
    type Taker = Taker<M>;

    fn open() -> io::Result<Opened<Self::Giver, Self::Taker>> {
        // SAFETY: zeros are an empty ring.
        let shared = unsafe { Arc::<Shared<M>>::new_zeroed().assume_init() };
        let taker = |reader| Taker { shared: shared.clone(), reader, head: 0, tail: 0 };
        let takers = (0..READERS).map(taker).collect();
        Ok((vec![Giver { shared, tail: 0, slowest: 0 }], takers))
    }
}
