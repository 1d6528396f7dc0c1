//! The descriptors through which the kernel finds the buffers of the receive pool.

use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;
use rustix::mm::{MapFlags, ProtFlags};

use crate::driver::BufferId;

/// Anonymous, page-aligned, zeroed memory whose pages appear at first touch.
struct Mapping {
    /// The first byte.
    start: NonNull<u8>,
    /// Bytes, more than zero.
    len: usize,
}

impl Mapping {
    /// Maps `len` bytes.
    ///
    /// # Errors
    /// As `mmap(2)`: `ENOMEM` when the address space or a limit is used up.
    fn new(len: usize) -> io::Result<Self> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let len = len.max(1);
        // SAFETY: a new mapping at an address of the kernel's choice touches no other memory.
        let start =
            unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), len, access, MapFlags::PRIVATE)? };
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, len })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, whole, and nobody can reach it after this.
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok(), "the mapping was valid");
    }
}

/// The ring of descriptors that names the free buffers to the kernel.
pub(super) struct DescriptorRing {
    /// `entries` descriptors; the tail lies in a spare field of the first one.
    memory: Mapping,
    /// A power of two, at least the number of buffers, so that it can never be overrun.
    entries: u16,
    /// Where the next descriptor goes; runs ahead of the published tail while staging.
    next: u16,
}

impl DescriptorRing {
    /// Room for the descriptors of `count` buffers.
    ///
    /// # Errors
    /// `ENOMEM` when there is no memory for it.
    pub(super) fn new(count: u16) -> io::Result<Self> {
        let entries = count.next_power_of_two();
        let bytes = usize::from(entries) * size_of::<BufRingEntry>();
        Ok(Self { memory: Mapping::new(bytes)?, entries, next: 0 })
    }

    /// Where it begins, as the kernel wants to be told.
    pub(super) fn address(&self) -> u64 {
        self.memory.start.as_ptr() as u64
    }

    /// How many descriptors it holds.
    pub(super) fn entries(&self) -> u16 {
        self.entries
    }

    /// Writes a descriptor behind the staged ones.
    pub(super) fn stage(&mut self, id: BufferId, address: *mut u8, size: u32) {
        let slot = usize::from(self.next & (self.entries - 1));
        // SAFETY: the slot lies in the mapping. The kernel does not read beyond the tail,
        // and there are at least as many slots as buffers, so this one is free. Fields are
        // written one by one: the spare field of the first descriptor is the tail.
        unsafe {
            let entry = self.memory.start.as_ptr().cast::<BufRingEntry>().add(slot);
            (*entry).set_addr(address as u64);
            (*entry).set_len(size);
            (*entry).set_bid(id.0);
        }
        self.next = self.next.wrapping_add(1);
    }

    /// Moves the tail behind the staged descriptors.
    pub(super) fn publish(&mut self) {
        // SAFETY: the mapping begins with the first descriptor, whose spare field is the
        // tail: two bytes, aligned, read by the kernel and written by nobody else.
        let tail = unsafe {
            let first = self.memory.start.as_ptr().cast::<BufRingEntry>();
            AtomicU16::from_ptr(BufRingEntry::tail(first).cast_mut())
        };
        // Publishes the descriptors to the kernel, which reads the tail with acquire.
        tail.store(self.next, Ordering::Release);
    }
}
