//! A ring whose memory is mapped twice in a row.

use std::slice;

use crate::{Error, Fifo, MapOptions, Mirror, Pages};

/// A ring in which every claim and every read is contiguous across the wrap, without a copy.
///
/// One memory file is mapped twice in a row, so that the byte behind the last is the first again:
///
/// ```text
///   address  base           base + size          base + 2 size
///            |  first mapping  |  second mapping  |
///   file     0 ............ size ............. size
///                       [ readable ][  claim  ]
/// ```
///
/// Right for streams: all free space is always one claim, all readable bytes are always one
/// slice. Costs two map entries of the process (`vm.max_map_count`). The size is rounded up to
/// whole pages; [`capacity`](Fifo::capacity) says what it became. The memory is shared with a
/// child made by a bare `fork`, so do not use the buffer on both sides of one.
///
/// ```
/// use tautline_buffer::{Fifo, Mirrored};
///
/// let mut ring = Mirrored::new(4096)?;
/// let size = ring.capacity();
/// ring.claim(size);
/// ring.commit(size);
/// ring.consume(size - 3);                  // three bytes before the wrap
/// assert_eq!(ring.put(b"across the wrap"), 15);
/// assert_eq!(&ring.readable()[3..], b"across the wrap");
/// # Ok::<(), tautline_buffer::Error>(())
/// ```
#[derive(Debug)]
pub struct Mirrored {
    memory: Mirror,
    /// Offset of the oldest readable byte, below the size.
    read: usize,
    /// Readable bytes, at most the size.
    used: usize,
    /// Bytes of the open claim, which starts at `read + used`; at most the size less `used`.
    claimed: usize,
}

impl Mirrored {
    /// A ring of at least `size` bytes on ordinary pages, which get their memory at first touch.
    ///
    /// # Errors
    /// [`Error::ZeroSize`], [`Error::TooLarge`], [`Error::Map`].
    ///
    /// ```
    /// use tautline_buffer::{Fifo, Mirrored};
    /// assert_eq!(Mirrored::new(65_536)?.capacity(), 65_536);
    /// # Ok::<(), tautline_buffer::Error>(())
    /// ```
    pub fn new(size: usize) -> Result<Self, Error> {
        Self::with(size, MapOptions::new())
    }

    /// As [`new`](Self::new), with options. A lock counts once against the limit, not twice.
    ///
    /// # Errors
    /// Those of [`new`](Self::new); [`Error::HugePages`], [`Error::Prefault`], [`Error::Lock`]
    /// for the option that could not be granted.
    ///
    /// ```
    /// use tautline_buffer::{Fifo, MapOptions, Mirrored};
    /// let ring = Mirrored::with(65_536, MapOptions::new().prefault(true))?;
    /// assert_eq!(ring.free(), 65_536);
    /// # Ok::<(), tautline_buffer::Error>(())
    /// ```
    pub fn with(size: usize, options: MapOptions) -> Result<Self, Error> {
        Ok(Self { memory: Mirror::with(size, options)?, read: 0, used: 0, claimed: 0 })
    }

    /// The pages that it stands on: what became of [`HugePages::Try`](crate::HugePages::Try).
    ///
    /// ```
    /// use tautline_buffer::{HugePages, MapOptions, Mirrored, Pages};
    /// let ring = Mirrored::with(4096, MapOptions::new().huge_pages(HugePages::Try))?;
    /// assert!(matches!(ring.pages(), Pages::Huge | Pages::Ordinary));
    /// # Ok::<(), tautline_buffer::Error>(())
    /// ```
    pub fn pages(&self) -> Pages {
        self.memory.pages()
    }
}

impl Fifo for Mirrored {
    #[inline]
    fn claim(&mut self, n: usize) -> &mut [u8] {
        if self.used == 0 {
            // From the start again, where the cache and the page table are warm.
            self.read = 0;
        }
        self.claimed = n.min(self.memory.size() - self.used);
        // SAFETY: read < size and used + claimed <= size, so the claim ends before 2 * size, and
        // all of that is mapped and initialised. At most `size` bytes long, it overlaps neither
        // itself nor readable bytes. `&mut self` excludes other slices.
        unsafe {
            slice::from_raw_parts_mut(self.memory.as_ptr().add(self.read + self.used), self.claimed)
        }
    }

    #[inline]
    fn commit(&mut self, n: usize) -> usize {
        let n = n.min(self.claimed);
        self.memory.settle();
        self.claimed = 0;
        self.used += n;
        n
    }

    #[inline]
    fn readable(&self) -> &[u8] {
        // SAFETY: read < size and used <= size, so the slice ends before 2 * size, and all of that
        // is mapped and initialised; writers need `&mut self`.
        unsafe { slice::from_raw_parts(self.memory.as_ptr().add(self.read), self.used) }
    }

    #[inline]
    fn readable_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `readable`; at most `size` bytes long, the slice does not overlap itself,
        // and `&mut self` makes it the only one.
        unsafe { slice::from_raw_parts_mut(self.memory.as_ptr().add(self.read), self.used) }
    }

    #[inline]
    fn consume(&mut self, n: usize) -> usize {
        let n = n.min(self.used);
        self.memory.settle();
        self.used -= n;
        self.read += n;
        if self.read >= self.memory.size() {
            self.read -= self.memory.size();
        }
        n
    }

    #[inline]
    fn used(&self) -> usize {
        self.used
    }

    #[inline]
    fn free(&self) -> usize {
        self.memory.size() - self.used
    }

    #[inline]
    fn capacity(&self) -> usize {
        self.memory.size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Mirrored {
        fn write_at(&mut self, at: usize, byte: u8) {
            assert!(at < 2 * self.memory.size());
            // SAFETY: within the two mappings.
            unsafe { self.memory.as_ptr().add(at).write_volatile(byte) };
        }

        fn read_at(&self, at: usize) -> u8 {
            assert!(at < 2 * self.memory.size());
            // SAFETY: within the two mappings.
            unsafe { self.memory.as_ptr().add(at).read_volatile() }
        }
    }

    /// Both mappings are the same memory: a byte written through either is seen through the
    /// other, at both edges of every page.
    #[test]
    fn both_mappings_are_the_same_memory() {
        let mut ring = Mirrored::new(1 << 20).unwrap();
        let (size, page) = (ring.memory.size(), rustix::param::page_size());
        for (i, start) in (0..size).step_by(page).enumerate() {
            for at in [start, start + page - 1] {
                let byte = (i % 250) as u8;
                ring.write_at(at, byte + 1);
                assert_eq!(ring.read_at(at + size), byte + 1, "first to second at {at}");
                ring.write_at(at + size, byte + 2);
                assert_eq!(ring.read_at(at), byte + 2, "second to first at {at}");
            }
        }
    }

    /// The memory is zero and writable up to the last byte of the second mapping, and belongs to
    /// this ring alone.
    #[test]
    fn two_rings_share_nothing() {
        let mut one = Mirrored::new(4096).unwrap();
        let two = Mirrored::new(4096).unwrap();
        let last = 2 * one.memory.size() - 1;
        one.write_at(last, 9);
        assert_eq!(one.read_at(one.memory.size() - 1), 9);
        assert!((0..=last).all(|at| two.read_at(at) == 0));
    }

    /// A claim across the wrap is read back whole, for every position of the wrap in it.
    #[test]
    fn claims_and_reads_are_contiguous_across_the_wrap() {
        let mut ring = Mirrored::new(4096).unwrap();
        let message: Vec<u8> = (1..=64).collect();
        for before in 0..=64 {
            ring.clear();
            ring.claim(ring.memory.size());
            ring.commit(ring.memory.size());
            ring.consume(ring.memory.size() - 1);
            // One byte stays readable, so that no claim starts at zero again.
            let at = ring.memory.size() - before;
            ring.read = at - 1;
            assert_eq!(ring.put(&message), 64);
            assert_eq!(&ring.readable()[1..], message);
        }
    }
}
