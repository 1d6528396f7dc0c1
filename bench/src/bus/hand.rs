//! The limit: rings by hand, with both indices on lines of their own and the opposite one cached.
//!
//! [`Shared`] is plain memory, which may also lie between two processes.

use std::{
    any::Any,
    cell::UnsafeCell,
    io,
    mem::MaybeUninit,
    ops::Range,
    ptr::NonNull,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::ends::{CAPACITY, Give, Message, Opened, Take, Topology};

/// Keeps its content off the lines of its neighbours: two lines, which are fetched in pairs.
#[repr(C, align(128))]
pub(super) struct Line<T>(pub(super) T);

/// The memory of a ring. Zeros are an empty one.
#[repr(C)]
pub(crate) struct Shared<M, const N: usize> {
    /// Messages given so far.
    tail: Line<AtomicUsize>,
    /// Messages taken so far.
    head: Line<AtomicUsize>,
    slots: [UnsafeCell<MaybeUninit<M>>; N],
}

// SAFETY: a slot is touched by one side at a time, as the indices have it.
unsafe impl<M: Send, const N: usize> Sync for Shared<M, N> {}

impl<M, const N: usize> Shared<M, N> {
    #[inline(always)]
    fn slot(&self, position: usize) -> *mut M {
        self.slots[position % N].get().cast()
    }
}

/// Keeps the memory.
pub(crate) type Keep = Arc<dyn Any + Send + Sync>;

/// The producer's end.
#[repr(align(128))]
pub(crate) struct Giver<M, const N: usize> {
    shared: NonNull<Shared<M, N>>,
    tail: usize,
    /// What the head was when last looked at.
    head: usize,
    _keep: Keep,
}

// SAFETY: the memory is shared, and the messages may go to another thread.
unsafe impl<M: Send, const N: usize> Send for Giver<M, N> {}

impl<M, const N: usize> Giver<M, N> {
    /// # Safety
    /// The memory is an empty ring, which `keep` keeps, and of which this is the only giver.
    pub(crate) unsafe fn new(shared: NonNull<Shared<M, N>>, keep: Keep) -> Self {
        Self { shared, tail: 0, head: 0, _keep: keep }
    }

    #[inline(always)]
    fn shared(&self) -> &Shared<M, N> {
        // SAFETY: it is kept.
        unsafe { self.shared.as_ref() }
    }

    #[inline(always)]
    fn room(&mut self) -> usize {
        if self.tail - self.head == N {
            // Acquire: the consumer has read the slots that it freed.
            self.head = self.shared().head.0.load(Ordering::Acquire);
        }
        N - (self.tail - self.head)
    }

    /// Where the next message will lie, if there is room.
    #[inline(always)]
    pub(crate) fn place(&mut self) -> Option<*mut M> {
        (self.room() > 0).then(|| self.shared().slot(self.tail))
    }

    /// Hands over the messages that were written to the next places.
    #[inline(always)]
    pub(crate) fn publish(&mut self, count: usize) {
        self.tail += count;
        // Release: publishes the slots to the consumer.
        self.shared().tail.0.store(self.tail, Ordering::Release);
    }
}

impl<M: Message, const N: usize> Give<M> for Giver<M, N> {
    #[inline(always)]
    fn give(&mut self, message: M) -> bool {
        let Some(place) = self.place() else { return false };
        // SAFETY: the slot is free.
        unsafe { place.write(message) };
        self.publish(1);
        true
    }

    #[inline(always)]
    fn give_batch(&mut self, numbers: Range<u64>) -> u64 {
        let room = self.room();
        let mut sent = 0;
        for number in numbers.take(room) {
            // SAFETY: so many slots are free.
            unsafe { self.shared().slot(self.tail + sent).write(M::of(number)) };
            sent += 1;
        }
        self.publish(sent);
        sent as u64
    }
}

/// The consumer's end.
#[repr(align(128))]
pub(crate) struct Taker<M, const N: usize> {
    shared: NonNull<Shared<M, N>>,
    head: usize,
    /// What the tail was when last looked at.
    tail: usize,
    _keep: Keep,
}

// SAFETY: as for the giver.
unsafe impl<M: Send, const N: usize> Send for Taker<M, N> {}

impl<M, const N: usize> Taker<M, N> {
    /// # Safety
    /// As for the giver; this is the only taker.
    pub(crate) unsafe fn new(shared: NonNull<Shared<M, N>>, keep: Keep) -> Self {
        Self { shared, head: 0, tail: 0, _keep: keep }
    }

    #[inline(always)]
    fn shared(&self) -> &Shared<M, N> {
        // SAFETY: it is kept.
        unsafe { self.shared.as_ref() }
    }

    #[inline(always)]
    fn there(&mut self) -> usize {
        if self.head == self.tail {
            // Acquire: the slots below the tail have been written.
            self.tail = self.shared().tail.0.load(Ordering::Acquire);
        }
        self.tail - self.head
    }

    /// The next message where it lies, if it is there.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Option<&M> {
        // SAFETY: it was published, and is not written again before it is released.
        (self.there() > 0).then(|| unsafe { &*self.shared().slot(self.head) })
    }

    /// Frees the next places.
    #[inline(always)]
    pub(crate) fn release(&mut self, count: usize) {
        self.head += count;
        // Release: the slots below the head have been read.
        self.shared().head.0.store(self.head, Ordering::Release);
    }
}

impl<M: Message, const N: usize> Take<M> for Taker<M, N> {
    #[inline(always)]
    fn take(&mut self, mut each: impl FnMut(&M)) -> bool {
        let Some(message) = self.next().copied() else { return false };
        self.release(1);
        each(&message);
        true
    }

    #[inline(always)]
    fn take_batch(&mut self, limit: usize, mut each: impl FnMut(&M)) -> bool {
        let count = self.there().min(limit);
        for at in 0..count {
            // SAFETY: as in `next`.
            each(unsafe { &*self.shared().slot(self.head + at) });
        }
        if count > 0 {
            self.release(count);
        }
        count > 0
    }
}

/// One ring on the heap.
pub(crate) struct Ring;

impl<M: Message> Topology<M> for Ring {
    type Giver = Giver<M, CAPACITY>;
    type Taker = Taker<M, CAPACITY>;

    fn open() -> io::Result<Opened<Self::Giver, Self::Taker>> {
        // SAFETY: zeros are an empty ring.
        let memory = unsafe { Arc::<Shared<M, CAPACITY>>::new_zeroed().assume_init() };
        let shared = NonNull::from(&*memory);
        // SAFETY: the ring is empty, kept, and has these two ends alone.
        let giver = unsafe { Giver::new(shared, memory.clone()) };
        // SAFETY: as above.
        let taker = unsafe { Taker::new(shared, memory) };
        Ok((vec![giver], vec![taker]))
    }
}
