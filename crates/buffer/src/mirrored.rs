//! A ring whose memory is mapped twice in a row.

use std::arch::asm;
use std::slice;

use crate::map::{File, MAX_MAPPING, Mapping, round_up};
use crate::{Error, Fifo, MapOptions, Pages};

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
    /// Keeps both mappings; never read.
    _map: Mapping,
    /// Start of the first mapping; `2 * size` bytes from here are mapped for as long as `_map` is.
    base: *mut u8,
    /// Bytes of the memory file, a multiple of the page size, above zero.
    size: usize,
    /// Offset of the oldest readable byte, below `size`.
    read: usize,
    /// Readable bytes, at most `size`.
    used: usize,
    /// Bytes of the open claim, which starts at `read + used`; at most `size - used`.
    claimed: usize,
    pages: Pages,
}

// SAFETY: `base` points into `_map`, which belongs to this value alone.
unsafe impl Send for Mirrored {}
// SAFETY: a shared `Mirrored` only reads.
unsafe impl Sync for Mirrored {}

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
        options.on_pages(|pages| Self::map(size, pages, options))
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
        self.pages
    }

    fn map(size: usize, pages: Pages, options: MapOptions) -> Result<Self, Error> {
        // A quarter leaves room for both mappings and for aligning them to a huge page.
        let limit = MAX_MAPPING / 4;
        round_up(size, 1, limit)?;
        let file = File::new(pages, size)?;
        let page = file.page_size()?;
        let size = round_up(size, page, limit)?;
        file.resize(size)?;
        let slack = if pages == Pages::Huge { page } else { 0 };
        let map = Mapping::reserve(2 * size + slack)?;
        let start = map.base().align_offset(slack.max(1));
        map.place(start, size, &file)?;
        map.place(start + size, size, &file)?;
        // The memory is locked through the first mapping; the second only needs its page table.
        map.settle(start, size, pages, options)?;
        map.settle(
            start + size,
            size,
            pages,
            options.lock(false).prefault(options.lock || options.prefault),
        )?;
        let base = map.base().as_ptr().wrapping_add(start);
        Ok(Self { _map: map, base, size, read: 0, used: 0, claimed: 0, pages })
    }

    /// Tells the compiler that the bytes may have changed at their other address, so that it moves
    /// no load or store across. Emits no instruction.
    #[inline(always)]
    fn mirror(&self) {
        // SAFETY: the block is empty. Seen from the language, where the two mappings are different
        // memory, it copies what was written in one to the other.
        unsafe { asm!("/* {0} */", in(reg) self.base, options(nostack, preserves_flags)) };
    }
}

impl Fifo for Mirrored {
    #[inline]
    fn claim(&mut self, n: usize) -> &mut [u8] {
        if self.used == 0 {
            // From the start again, where the cache and the page table are warm.
            self.read = 0;
        }
        self.claimed = n.min(self.size - self.used);
        // SAFETY: read < size and used + claimed <= size, so the claim ends before 2 * size, and
        // all of that is mapped and initialised. At most `size` bytes long, it overlaps neither
        // itself nor readable bytes. `&mut self` excludes other slices.
        unsafe { slice::from_raw_parts_mut(self.base.add(self.read + self.used), self.claimed) }
    }

    #[inline]
    fn commit(&mut self, n: usize) -> usize {
        let n = n.min(self.claimed);
        self.mirror();
        self.claimed = 0;
        self.used += n;
        n
    }

    #[inline]
    fn readable(&self) -> &[u8] {
        // SAFETY: read < size and used <= size, so the slice ends before 2 * size, and all of that
        // is mapped and initialised; writers need `&mut self`.
        unsafe { slice::from_raw_parts(self.base.add(self.read), self.used) }
    }

    #[inline]
    fn readable_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `readable`; at most `size` bytes long, the slice does not overlap itself,
        // and `&mut self` makes it the only one.
        unsafe { slice::from_raw_parts_mut(self.base.add(self.read), self.used) }
    }

    #[inline]
    fn consume(&mut self, n: usize) -> usize {
        let n = n.min(self.used);
        self.mirror();
        self.used -= n;
        self.read += n;
        if self.read >= self.size {
            self.read -= self.size;
        }
        n
    }

    #[inline]
    fn used(&self) -> usize {
        self.used
    }

    #[inline]
    fn free(&self) -> usize {
        self.size - self.used
    }

    #[inline]
    fn capacity(&self) -> usize {
        self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Mirrored {
        fn write_at(&mut self, at: usize, byte: u8) {
            assert!(at < 2 * self.size);
            // SAFETY: within the two mappings.
            unsafe { self.base.add(at).write_volatile(byte) };
        }

        fn read_at(&self, at: usize) -> u8 {
            assert!(at < 2 * self.size);
            // SAFETY: within the two mappings.
            unsafe { self.base.add(at).read_volatile() }
        }
    }

    /// Both mappings are the same memory: a byte written through either is seen through the
    /// other, at both edges of every page.
    #[test]
    fn both_mappings_are_the_same_memory() {
        let mut ring = Mirrored::new(1 << 20).unwrap();
        let (size, page) = (ring.size, rustix::param::page_size());
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
        let last = 2 * one.size - 1;
        one.write_at(last, 9);
        assert_eq!(one.read_at(one.size - 1), 9);
        assert!((0..=last).all(|at| two.read_at(at) == 0));
    }

    /// A claim across the wrap is read back whole, for every position of the wrap in it.
    #[test]
    fn claims_and_reads_are_contiguous_across_the_wrap() {
        let mut ring = Mirrored::new(4096).unwrap();
        let message: Vec<u8> = (1..=64).collect();
        for before in 0..=64 {
            ring.clear();
            ring.claim(ring.size);
            ring.commit(ring.size);
            ring.consume(ring.size - 1);
            // One byte stays readable, so that no claim starts at zero again.
            let at = ring.size - before;
            ring.read = at - 1;
            assert_eq!(ring.put(&message), 64);
            assert_eq!(&ring.readable()[1..], message);
        }
    }
}
