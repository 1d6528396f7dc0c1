//! A ring of provided buffers in anonymous memory.

use std::{
    io, ptr, slice,
    sync::atomic::{AtomicU16, Ordering},
};

use io_uring::{IoUring, types::BufRingEntry};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use super::super::RECEIVE_BUFFER;

/// The buffer group that receives select from.
pub(super) const GROUP: u16 = 0;
/// Number of buffers; a power of two.
const COUNT: u16 = 256;
const RING_BYTES: usize = COUNT as usize * size_of::<BufRingEntry>();
const ALL_BYTES: usize = RING_BYTES + COUNT as usize * RECEIVE_BUFFER;

/// Buffers that the kernel fills; each is the kernel's or ours, never both.
pub(super) struct Buffers {
    /// The entries, then the buffers; page-aligned.
    memory: *mut u8,
    /// Entries handed over so far; published by [`Buffers::publish`].
    tail: u16,
}

impl Buffers {
    /// Maps and registers the buffers, all of them the kernel's at first.
    ///
    /// # Errors
    /// Memory or the registration is refused.
    pub(super) fn register(ring: &IoUring) -> io::Result<Self> {
        // SAFETY: a fresh private mapping; nothing else refers to it.
        let memory = unsafe {
            mmap_anonymous(
                ptr::null_mut(),
                ALL_BYTES,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )?
        };
        let mut buffers = Self { memory: memory.cast(), tail: 0 };
        // SAFETY: the entries are page-aligned and outlive the ring, which is dropped first.
        unsafe { ring.submitter().register_buf_ring_with_flags(memory as u64, COUNT, GROUP, 0)? };
        (0..COUNT).for_each(|buffer| buffers.give_back(buffer));
        buffers.publish();
        Ok(buffers)
    }

    fn start(&self, buffer: u16) -> *mut u8 {
        assert!(buffer < COUNT);
        // SAFETY: within the mapping, as `buffer` is below COUNT.
        unsafe { self.memory.add(RING_BYTES + buffer as usize * RECEIVE_BUFFER) }
    }

    /// The first `count` bytes of a buffer that is ours.
    pub(super) fn bytes(&self, buffer: u16, count: u32) -> &[u8] {
        assert!(count as usize <= RECEIVE_BUFFER);
        // SAFETY: within the mapping and initialised (zeroed by the kernel at first); the kernel
        // writes only to buffers that were given back.
        unsafe { slice::from_raw_parts(self.start(buffer), count as usize) }
    }

    /// Hands a buffer to the kernel with the next [`Buffers::publish`].
    pub(super) fn give_back(&mut self, buffer: u16) {
        let address = self.start(buffer) as u64;
        let place = (self.tail % COUNT) as usize;
        // SAFETY: `place` is within the entries; the kernel reads it only after publication. The
        // setters leave the tail, which overlaps the first entry, untouched.
        let entry = unsafe { &mut *self.memory.cast::<BufRingEntry>().add(place) };
        entry.set_addr(address);
        entry.set_len(RECEIVE_BUFFER as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Makes everything given back visible to the kernel.
    pub(super) fn publish(&mut self) {
        // SAFETY: the tail lies in the first entry of the registered ring and is 2-byte aligned.
        let tail = unsafe { &*BufRingEntry::tail(self.memory.cast()).cast::<AtomicU16>() };
        // Release: the entries written before are visible to the kernel that acquires the tail.
        tail.store(self.tail, Ordering::Release);
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and the ring that referred to it is gone. A failure would
        // only leave memory mapped.
        let _ = unsafe { munmap(self.memory.cast(), ALL_BYTES) };
    }
}
