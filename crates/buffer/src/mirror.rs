//! Memory that is mapped twice in a row.

use std::arch::asm;
use std::io;
use std::os::fd::BorrowedFd;

use crate::map::{File, MAX_MAPPING, Mapping, Part, page_size_of, round_up};
use crate::{Error, MapOptions, Pages};

/// Memory that is mapped twice in a row: what rings with contiguous pieces stand on.
///
/// ```text
///   address  base           base + size          base + 2 size
///            |  first mapping  |  second mapping  |
///   file     0 ............ size ............. size
/// ```
///
/// It owns the mappings and no more: who may touch which bytes, through [`as_ptr`](Self::as_ptr),
/// is for its owner to say. For a ring of one thread there is [`Mirrored`](crate::Mirrored).
///
/// The size asked for is rounded up to whole pages; [`size`](Self::size) says what it became. Costs
/// two map entries of the process (`vm.max_map_count`). The memory is shared with a child made by
/// a bare `fork`, so do not use it on both sides of one.
///
/// ```
/// use tautline_buffer::Mirror;
///
/// let memory = Mirror::new(4096)?;
/// let last = memory.size() - 1;
/// // SAFETY: both addresses are within the mappings, and nobody else uses the memory.
/// unsafe {
///     memory.as_ptr().add(last).cast::<[u8; 2]>().write_unaligned([1, 2]);
///     memory.settle();
///     assert_eq!(memory.as_ptr().read(), 2); // what lay behind the end lies at the start
/// }
/// # Ok::<(), tautline_buffer::Error>(())
/// ```
#[derive(Debug)]
pub struct Mirror {
    /// Keeps both mappings; never read.
    _map: Mapping,
    /// Start of the first mapping; `2 * size` bytes from here are mapped for as long as `_map` is.
    base: *mut u8,
    /// Bytes of the memory file, a multiple of the page size, above zero.
    size: usize,
    pages: Pages,
}

// SAFETY: `base` points into `_map`, which belongs to this value alone.
unsafe impl Send for Mirror {}
// SAFETY: a shared `Mirror` gives nothing but its address away.
unsafe impl Sync for Mirror {}

impl Mirror {
    /// At least `size` zeroed bytes on ordinary pages, which get their memory at first touch.
    ///
    /// # Errors
    /// [`Error::ZeroSize`], [`Error::TooLarge`], [`Error::Map`].
    pub fn new(size: usize) -> Result<Self, Error> {
        Self::with(size, MapOptions::new())
    }

    /// As [`new`](Self::new), with options. A lock counts once against the limit, not twice.
    ///
    /// # Errors
    /// Those of [`new`](Self::new); [`Error::HugePages`], [`Error::Prefault`], [`Error::Lock`]
    /// for the option that could not be granted.
    pub fn with(size: usize, options: MapOptions) -> Result<Self, Error> {
        options.on_pages(|pages| Self::map(size, pages, options))
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
        map.place(start, size, file.whole())?;
        map.place(start + size, size, file.whole())?;
        // The memory is locked through the first mapping; the second only needs its page table.
        map.settle(start, size, pages, options)?;
        map.settle(
            start + size,
            size,
            pages,
            options.lock(false).prefault(options.lock || options.prefault),
        )?;
        let base = map.base().as_ptr().wrapping_add(start);
        Ok(Self { _map: map, base, size, pages })
    }

    /// `size` bytes of a file that others may have mapped too, from the byte `from` on; both are
    /// multiples of the page size. Of the options, prefaulting makes this process's page tables
    /// ready and touches no byte, and huge pages cannot be had.
    ///
    /// The file must be that long, and stay so (`F_SEAL_SHRINK`): a touch beyond its end ends the
    /// process by a signal. What the others write may change at any time, so that references into
    /// it are out of the question unless they are trusted not to.
    ///
    /// # Errors
    /// [`Error::ZeroSize`], [`Error::TooLarge`], [`Error::Map`], [`Error::Lock`]; and
    /// [`Error::HugePages`] if these are required.
    pub fn of_file(
        file: BorrowedFd<'_>,
        from: u64,
        size: usize,
        options: MapOptions,
    ) -> Result<Self, Error> {
        options.on_pages(|pages| match pages {
            Pages::Huge => {
                Err(Error::HugePages { size, source: io::ErrorKind::Unsupported.into() })
            }
            Pages::Ordinary => Self::map_part(Part { fd: file, from, pages }, size, options),
        })
    }

    fn map_part(file: Part<'_>, size: usize, options: MapOptions) -> Result<Self, Error> {
        let page = page_size_of(file.pages, size)?;
        let whole = round_up(size, page, MAX_MAPPING / 4)?;
        if whole != size {
            let source = io::ErrorKind::InvalidInput.into();
            return Err(Error::Map { what: "map a part of a page", size, source });
        }
        let map = Mapping::reserve(2 * size)?;
        map.place(0, size, file)?;
        map.place(size, size, file)?;
        if options.lock {
            map.lock(0, size)?;
        }
        if options.prefault || options.lock {
            map.warm(0, 2 * size);
        }
        let base = map.base().as_ptr();
        Ok(Self { _map: map, base, size, pages: file.pages })
    }

    /// The first byte, page-aligned: twice [`size`](Self::size) bytes from here are readable and
    /// writable for as long as this lives.
    #[inline(always)]
    pub fn as_ptr(&self) -> *mut u8 {
        self.base
    }

    /// Bytes of the memory, which is half of what is mapped: the size asked for, rounded up to
    /// whole pages.
    #[inline(always)]
    pub fn size(&self) -> usize {
        self.size
    }

    /// The pages that it stands on.
    pub fn pages(&self) -> Pages {
        self.pages
    }

    /// Tells the compiler that the bytes may have changed at their other address, so that it moves
    /// no load or store across. Emits no instruction. Whoever reads through one address what the
    /// same thread has written through the other calls it in between.
    #[inline(always)]
    pub fn settle(&self) {
        // SAFETY: the block is empty. Seen from the language, where the two mappings are different
        // memory, it copies what was written in one to the other.
        unsafe { asm!("/* {0} */", in(reg) self.base, options(nostack, preserves_flags)) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HugePages;

    /// Two mirrors of one part of a file show the same bytes, at both places, and no others.
    #[test]
    fn mirrors_of_a_file_share_its_bytes() {
        let page = page_size_of(Pages::Ordinary, 0).unwrap();
        let file = File::new(Pages::Ordinary, 3 * page).unwrap();
        file.resize(3 * page).unwrap();
        let fd = file.whole().fd;
        let of = |from| Mirror::of_file(fd, from, page, MapOptions::new().prefault(true)).unwrap();
        let (one, two, other) = (of(page as u64), of(page as u64), of(2 * page as u64));
        // SAFETY: all within the mappings, which nobody else uses.
        unsafe {
            one.as_ptr().add(page - 1).cast::<[u8; 2]>().write_unaligned([1, 2]);
            one.settle();
            assert_eq!((two.as_ptr().read(), two.as_ptr().add(page - 1).read()), (2, 1));
            assert_eq!(two.as_ptr().add(page).read(), 2);
            assert_eq!(other.as_ptr().read(), 0);
        }
    }

    /// What cannot be mapped is told: parts of pages, and huge pages.
    #[test]
    fn parts_that_cannot_be_mapped_are_refused() {
        let file = File::new(Pages::Ordinary, 4096).unwrap();
        let fd = file.whole().fd;
        let error = Mirror::of_file(fd, 0, 100, MapOptions::new()).unwrap_err();
        assert!(matches!(error, Error::Map { size: 100, .. }), "{error}");
        let huge = MapOptions::new().huge_pages(HugePages::Require);
        let error = Mirror::of_file(fd, 0, 4096, huge).unwrap_err();
        assert!(matches!(error, Error::HugePages { .. }), "{error}");
    }
}
