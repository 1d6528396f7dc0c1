//! The memory that all descriptors of a loop receive into.

use std::io;

use tautline_buffer::{Error, Region};

use super::BufferId;

/// Equal receive buffers, side by side in one mapping. Pages that no receive has
/// reached cost nothing.
#[derive(Debug)]
pub(crate) struct Pool {
    /// At least `count * size` bytes.
    region: Region,
    count: u16,
    size: usize,
}

impl Pool {
    /// Maps `count` buffers of `size` bytes each, both at least 1.
    ///
    /// # Errors
    /// As `mmap(2)`; `EINVAL` when either is 0, `ENOMEM` when the bytes cannot be
    /// counted.
    pub(crate) fn new(count: u16, size: usize) -> io::Result<Self> {
        if count == 0 || size == 0 {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        let bytes = size
            .checked_mul(usize::from(count))
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))?;
        let region = Region::new(bytes).map_err(|error| match error {
            Error::Map { source, .. } => source,
            other => io::Error::other(other),
        })?;
        Ok(Self { region, count, size })
    }

    /// The first byte of buffer `id`; [`Pool::size`] bytes from it are the buffer's.
    ///
    /// # Panics
    /// When the pool has no such buffer.
    #[inline]
    pub(crate) fn ptr(&self, id: BufferId) -> *mut u8 {
        assert!(id.0 < self.count, "no buffer {} in a pool of {}", id.0, self.count);
        // SAFETY: below `count`, so that the offset lies in the region.
        unsafe { self.region.as_ptr().add(usize::from(id.0) * self.size) }
    }

    /// Bytes of each buffer.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// How many buffers there are: `BufferId(0)` to `BufferId(count - 1)`.
    pub(crate) fn count(&self) -> u16 {
        self.count
    }
}

/// The free buffers of a [`Pool`], for drivers without a buffer ring in the kernel.
/// Last in, first out: the buffer whose lines are still in the cache goes next.
#[derive(Debug)]
pub(crate) struct FreeList {
    /// No buffer twice; capacity for all.
    free: Vec<BufferId>,
    /// For each buffer whether it is in `free`.
    is_free: Vec<bool>,
}

impl FreeList {
    /// All `count` buffers are free, and number 0 is the first to go.
    pub(crate) fn new(count: u16) -> Self {
        Self {
            free: (0..count).rev().map(BufferId).collect(),
            is_free: vec![true; usize::from(count)],
        }
    }

    /// A free buffer, unless all are taken.
    pub(crate) fn take(&mut self) -> Option<BufferId> {
        let id = self.free.pop()?;
        self.is_free[usize::from(id.0)] = false;
        Some(id)
    }

    /// Gives `id` back.
    ///
    /// # Panics
    /// When it is not taken: two owners would write into it.
    pub(crate) fn give(&mut self, id: BufferId) {
        let is_free = &mut self.is_free[usize::from(id.0)];
        assert!(!*is_free, "buffer {} was given back twice", id.0);
        *is_free = true;
        self.free.push(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Buffers do not overlap, and each can be written to its end.
    #[test]
    fn buffers_are_apart() {
        let pool = Pool::new(3, 5000).unwrap();
        for id in 0..pool.count() {
            // SAFETY: `size` bytes from a buffer's first are the buffer's.
            unsafe { pool.ptr(BufferId(id)).write_bytes(id as u8 + 1, pool.size()) };
        }
        for id in 0..pool.count() {
            let first = pool.ptr(BufferId(id));
            // SAFETY: written above, to its end.
            let bytes = unsafe { std::slice::from_raw_parts(first, pool.size()) };
            assert!(bytes.iter().all(|&b| b == id as u8 + 1));
        }
    }

    /// A buffer beyond the pool has no address.
    #[test]
    #[should_panic(expected = "no buffer 3 in a pool of 3")]
    fn a_buffer_beyond_the_pool_is_refused() {
        Pool::new(3, 64).unwrap().ptr(BufferId(3));
    }

    /// A pool of nothing is refused rather than mapped.
    #[test]
    fn an_empty_pool_is_refused() {
        assert_eq!(Pool::new(0, 64).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        assert_eq!(Pool::new(1, 0).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    }

    /// The buffer given back last goes first, and an empty list says so.
    #[test]
    fn the_last_buffer_back_is_the_first_to_go() {
        let mut free = FreeList::new(2);
        assert_eq!(free.take(), Some(BufferId(0)));
        assert_eq!(free.take(), Some(BufferId(1)));
        assert_eq!(free.take(), None);
        free.give(BufferId(0));
        assert_eq!(free.take(), Some(BufferId(0)));
    }

    /// A buffer given back twice would get two owners, so it is refused.
    #[test]
    #[should_panic(expected = "buffer 0 was given back twice")]
    fn a_buffer_is_given_back_once() {
        let mut free = FreeList::new(1);
        free.give(BufferId(0));
    }
}
