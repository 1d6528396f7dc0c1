//! A fixed piece of memory to carve pools from.

use std::slice;

use crate::map::{MAX_MAPPING, Mapping, page_size_of, round_up};
use crate::{Error, MapOptions, Pages};

/// A fixed piece of zeroed memory, mapped apart from the heap; pages that are never touched cost
/// nothing but address space. Receive pools and send chunks are carved from it.
///
/// The size asked for is rounded up to whole pages; [`len`](Self::len) says what it became.
///
/// ```
/// use tautline_buffer::Region;
///
/// let mut region = Region::new(10_000)?;
/// region.slice_mut(100, 5).copy_from_slice(b"hello");
/// assert_eq!(region.slice(100, 5), b"hello");
/// # Ok::<(), tautline_buffer::Error>(())
/// ```
#[derive(Debug)]
pub struct Region {
    map: Mapping,
    /// Bytes, a multiple of the page size; the whole of `map`.
    len: usize,
    pages: Pages,
}

impl Region {
    /// At least `size` bytes on ordinary pages, which get their memory at first touch.
    ///
    /// # Errors
    /// [`Error::ZeroSize`], [`Error::TooLarge`], [`Error::Map`].
    ///
    /// ```
    /// use tautline_buffer::Region;
    /// assert!(Region::new(1)?.len() >= 1);
    /// # Ok::<(), tautline_buffer::Error>(())
    /// ```
    pub fn new(size: usize) -> Result<Self, Error> {
        Self::with(size, MapOptions::new())
    }

    /// As [`new`](Self::new), with options.
    ///
    /// # Errors
    /// Those of [`new`](Self::new); [`Error::HugePages`], [`Error::Prefault`], [`Error::Lock`]
    /// for the option that could not be granted.
    ///
    /// ```
    /// use tautline_buffer::{MapOptions, Region};
    /// let region = Region::with(1 << 20, MapOptions::new().prefault(true))?;
    /// assert_eq!(region.len(), 1 << 20);
    /// # Ok::<(), tautline_buffer::Error>(())
    /// ```
    pub fn with(size: usize, options: MapOptions) -> Result<Self, Error> {
        options.on_pages(|pages| Self::map(size, pages, options))
    }

    fn map(size: usize, pages: Pages, options: MapOptions) -> Result<Self, Error> {
        let len = round_up(size, page_size_of(pages, size)?, MAX_MAPPING)?;
        let map = Mapping::memory(len, pages)?;
        map.settle(0, len, pages, options)?;
        Ok(Self { map, len, pages })
    }

    /// Bytes: the size asked for, rounded up to whole pages; never zero.
    ///
    /// ```
    /// use tautline_buffer::Region;
    /// assert_eq!(Region::new(65_536)?.len(), 65_536);
    /// # Ok::<(), tautline_buffer::Error>(())
    /// ```
    #[inline]
    #[allow(clippy::len_without_is_empty, reason = "a region is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The pages that it stands on.
    ///
    /// ```
    /// use tautline_buffer::{Pages, Region};
    /// assert_eq!(Region::new(1)?.pages(), Pages::Ordinary);
    /// # Ok::<(), tautline_buffer::Error>(())
    /// ```
    pub fn pages(&self) -> Pages {
        self.pages
    }

    /// The first byte's address, page-aligned; it stays while the region lives. For system calls:
    /// whoever writes through it sees to it that no slice of the same bytes is held meanwhile.
    ///
    /// ```
    /// use tautline_buffer::Region;
    /// let region = Region::new(4096)?;
    /// assert_eq!(region.as_ptr() as *const u8, region.as_slice().as_ptr());
    /// # Ok::<(), tautline_buffer::Error>(())
    /// ```
    #[inline]
    pub fn as_ptr(&self) -> *mut u8 {
        self.map.base().as_ptr()
    }

    /// All bytes.
    ///
    /// ```
    /// use tautline_buffer::Region;
    /// assert!(Region::new(4096)?.as_slice().iter().all(|&byte| byte == 0));
    /// # Ok::<(), tautline_buffer::Error>(())
    /// ```
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: `len` bytes are mapped, initialised and live as long as `self`; writers need
        // `&mut self`.
        unsafe { slice::from_raw_parts(self.as_ptr(), self.len) }
    }

    /// All bytes, to be written.
    ///
    /// ```
    /// use tautline_buffer::Region;
    /// let mut region = Region::new(4096)?;
    /// region.as_mut_slice().fill(7);
    /// assert_eq!(region.as_slice()[4095], 7);
    /// # Ok::<(), tautline_buffer::Error>(())
    /// ```
    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_slice`, and `&mut self` makes this the only slice.
        unsafe { slice::from_raw_parts_mut(self.as_ptr(), self.len) }
    }

    /// `len` bytes from `offset`.
    ///
    /// # Panics
    /// If they do not lie within the region.
    ///
    /// ```
    /// use tautline_buffer::Region;
    /// assert_eq!(Region::new(4096)?.slice(4000, 2), [0, 0]);
    /// # Ok::<(), tautline_buffer::Error>(())
    /// ```
    #[inline]
    pub fn slice(&self, offset: usize, len: usize) -> &[u8] {
        &self.as_slice()[offset..][..len]
    }

    /// `len` bytes from `offset`, to be written.
    ///
    /// # Panics
    /// If they do not lie within the region.
    ///
    /// ```
    /// use tautline_buffer::Region;
    /// let mut region = Region::new(4096)?;
    /// region.slice_mut(8, 2).copy_from_slice(&[1, 2]);
    /// assert_eq!(region.slice(7, 4), [0, 1, 2, 0]);
    /// # Ok::<(), tautline_buffer::Error>(())
    /// ```
    #[inline]
    pub fn slice_mut(&mut self, offset: usize, len: usize) -> &mut [u8] {
        &mut self.as_mut_slice()[offset..][..len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A slice that leaves the region, even by overflow, is refused and not given out.
    #[test]
    fn slices_beyond_the_end_panic() {
        let region = Region::new(4096).unwrap();
        let len = region.len();
        assert_eq!(region.slice(len, 0), []);
        for (offset, count) in [(len, 1), (len + 1, 0), (1, len), (1, usize::MAX)] {
            let slice = std::panic::catch_unwind(|| region.slice(offset, count).len());
            assert!(slice.is_err(), "{offset} {count}");
        }
    }
}
