//! The system calls under every mapped buffer. Whatever a call returns is owned at once, so that
//! each early return gives everything back.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};

use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::mm::{self, Advice, MapFlags, ProtFlags};

use crate::Error;
use crate::options::{MapOptions, Pages};

/// The most bytes of one mapping; offsets within it must fit into `isize`.
pub(crate) const MAX_MAPPING: usize = isize::MAX as usize;

/// An owned range of address space, unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    /// Start of the range, page-aligned.
    base: NonNull<u8>,
    /// Length as it was mapped, in bytes; at most [`MAX_MAPPING`].
    len: usize,
}

// SAFETY: the range belongs to this value alone, whichever thread holds it.
unsafe impl Send for Mapping {}
// SAFETY: a shared `Mapping` gives nothing but its address away.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Address space without memory behind it: any touch is a fault.
    pub(crate) fn reserve(len: usize) -> Result<Self, Error> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        Self::anonymous(len, ProtFlags::empty(), flags)
            .map_err(|e| map_error("reserve address space", len, e))
    }

    /// Zeroed memory; `len` must be a multiple of the size of `pages`.
    pub(crate) fn memory(len: usize, pages: Pages) -> Result<Self, Error> {
        let flags = match pages {
            Pages::Ordinary => MapFlags::PRIVATE | MapFlags::NORESERVE,
            Pages::Huge => MapFlags::PRIVATE | MapFlags::HUGETLB,
        };
        Self::anonymous(len, ProtFlags::READ | ProtFlags::WRITE, flags)
            .map_err(|e| refused(pages, "map memory", len, e))
    }

    fn anonymous(len: usize, prot: ProtFlags, flags: MapFlags) -> Result<Self, Errno> {
        assert!(len <= MAX_MAPPING);
        // SAFETY: without MAP_FIXED the kernel picks a range that nothing else uses.
        let base = unsafe { mm::mmap_anonymous(ptr::null_mut(), len, prot, flags)? };
        let base = NonNull::new(base.cast()).expect("the kernel never maps page zero unasked");
        Ok(Self { base, len })
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Lays `len` bytes of `file` from there on over this range at `offset`.
    pub(crate) fn place(&self, offset: usize, len: usize, file: Part<'_>) -> Result<(), Error> {
        assert!(offset <= self.len && len <= self.len - offset);
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::SHARED | MapFlags::FIXED;
        // SAFETY: the target lies within this range by the assertion, and nobody holds a
        // reference into a range that is being built.
        let placed = unsafe {
            let at = self.base.as_ptr().add(offset).cast();
            mm::mmap(at, len, prot, flags, file.fd, file.from)
        };
        placed.map(drop).map_err(|e| refused(file.pages, "map a memory file", len, e))
    }

    /// Gives memory to the pages of a mapped part of this range, as far as `options` ask for it.
    pub(crate) fn settle(
        &self,
        offset: usize,
        len: usize,
        pages: Pages,
        options: MapOptions,
    ) -> Result<(), Error> {
        if options.lock && pages == Pages::Ordinary {
            self.lock(offset, len)?;
        }
        if options.prefault || options.lock || pages == Pages::Huge {
            self.prefault(offset, len, pages)?;
        }
        Ok(())
    }

    fn prefault(&self, offset: usize, len: usize, pages: Pages) -> Result<(), Error> {
        assert!(offset <= self.len && len <= self.len - offset);
        // SAFETY: the part lies within this range; populating changes no contents.
        let result = unsafe {
            let at = self.base.as_ptr().add(offset).cast();
            mm::madvise(at, len, Advice::LinuxPopulateWrite)
        };
        match result {
            Ok(()) => Ok(()),
            Err(Errno::INVAL) => {
                self.touch(offset, len);
                Ok(())
            }
            Err(e) if pages == Pages::Huge => Err(refused(pages, "", len, e)),
            Err(e) => Err(Error::Prefault { size: len, source: e.into() }),
        }
    }

    /// Prefaults by hand, for kernels before 5.14.
    fn touch(&self, offset: usize, len: usize) {
        for at in (offset..offset + len).step_by(page_size()) {
            // SAFETY: `at` lies within this range, which is mapped and not yet lent to anybody;
            // writing back what was read keeps the contents.
            unsafe {
                let byte = self.base.as_ptr().add(at);
                byte.write_volatile(byte.read_volatile());
            }
        }
    }

    /// Makes the pages of a part ready in this process that have their memory already; without it,
    /// the first touch of each costs a fault. Never writes: others may.
    pub(crate) fn warm(&self, offset: usize, len: usize) {
        assert!(offset <= self.len && len <= self.len - offset);
        // SAFETY: the part lies within this range; populating changes no contents. Kernels before
        // 5.14 refuse it, and then it is not done.
        _ = unsafe {
            let at = self.base.as_ptr().add(offset).cast();
            mm::madvise(at, len, Advice::LinuxPopulateWrite)
        };
    }

    /// Locks the pages of a part in memory.
    pub(crate) fn lock(&self, offset: usize, len: usize) -> Result<(), Error> {
        assert!(offset <= self.len && len <= self.len - offset);
        // SAFETY: the part lies within this range; locking changes no contents.
        let locked = unsafe { mm::mlock(self.base.as_ptr().add(offset).cast(), len) };
        locked.map_err(|e| Error::Lock { size: len, limit: memlock_limit(), source: e.into() })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is ours, and references into it cannot outlive its owner.
        let result = unsafe { mm::munmap(self.base.as_ptr().cast(), self.len) };
        debug_assert_eq!(result, Ok(()));
    }
}

/// A file from some byte on, and the pages on which it stands.
#[derive(Clone, Copy)]
pub(crate) struct Part<'f> {
    pub(crate) fd: BorrowedFd<'f>,
    pub(crate) from: u64,
    pub(crate) pages: Pages,
}

/// A memory file without a name in any file system, so it works where /dev/shm is absent.
pub(crate) struct File {
    fd: OwnedFd,
    pages: Pages,
}

impl File {
    /// An empty file on such pages. `size` is only for the error's text.
    pub(crate) fn new(pages: Pages, size: usize) -> Result<Self, Error> {
        let huge = match pages {
            Pages::Ordinary => MemfdFlags::empty(),
            Pages::Huge => MemfdFlags::HUGETLB,
        };
        let open = |flags| rustix::fs::memfd_create(c"tautline-buffer", flags);
        let flags = MemfdFlags::CLOEXEC | huge;
        // Kernels before 6.3 do not know that a file can be marked as never executable.
        let fd = match open(flags | MemfdFlags::NOEXEC_SEAL) {
            Err(Errno::INVAL) => open(flags),
            other => other,
        };
        let fd = fd.map_err(|e| refused(pages, "create a memory file", size, e))?;
        Ok(Self { fd, pages })
    }

    /// Bytes of one of the file's pages.
    pub(crate) fn page_size(&self) -> Result<usize, Error> {
        match self.pages {
            Pages::Ordinary => Ok(page_size()),
            Pages::Huge => rustix::fs::fstat(&self.fd)
                .map(|stat| stat.st_blksize as usize)
                .map_err(|e| refused(self.pages, "", 0, e)),
        }
    }

    /// All of it.
    pub(crate) fn whole(&self) -> Part<'_> {
        Part { fd: self.fd.as_fd(), from: 0, pages: self.pages }
    }

    /// Sets the length; new bytes are zero.
    pub(crate) fn resize(&self, len: usize) -> Result<(), Error> {
        rustix::fs::ftruncate(&self.fd, len as u64)
            .map_err(|e| refused(self.pages, "size a memory file", len, e))
    }
}

/// Bytes of one of the system's pages of that kind. `size` is only for the error's text.
pub(crate) fn page_size_of(pages: Pages, size: usize) -> Result<usize, Error> {
    match pages {
        Pages::Ordinary => Ok(page_size()),
        Pages::Huge => File::new(pages, size)?.page_size(),
    }
}

/// `size` rounded up to whole pages, or why that cannot be: it is zero, or above `limit`.
pub(crate) fn round_up(size: usize, page: usize, limit: usize) -> Result<usize, Error> {
    assert!(page.is_power_of_two());
    if size == 0 {
        return Err(Error::ZeroSize);
    }
    let limit = limit & !(page - 1);
    if size > limit {
        return Err(Error::TooLarge { requested: size, limit });
    }
    Ok((size + page - 1) & !(page - 1))
}

fn page_size() -> usize {
    rustix::param::page_size()
}

fn memlock_limit() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::Memlock).current
}

/// The error for a step that may have failed for want of huge pages.
fn refused(pages: Pages, what: &'static str, size: usize, errno: Errno) -> Error {
    match pages {
        Pages::Ordinary => map_error(what, size, errno),
        Pages::Huge => Error::HugePages { size, source: errno.into() },
    }
}

fn map_error(what: &'static str, size: usize, errno: Errno) -> Error {
    Error::Map { what, size, source: io::Error::from(errno) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounding gives whole pages, and names zero and overflow.
    #[test]
    fn sizes_round_up_to_whole_pages() {
        assert_eq!(round_up(1, 4096, MAX_MAPPING).unwrap(), 4096);
        assert_eq!(round_up(4096, 4096, MAX_MAPPING).unwrap(), 4096);
        assert_eq!(round_up(4097, 4096, MAX_MAPPING).unwrap(), 8192);
        assert!(matches!(round_up(0, 4096, MAX_MAPPING), Err(Error::ZeroSize)));
        let largest = MAX_MAPPING & !4095;
        assert_eq!(round_up(largest, 4096, MAX_MAPPING).unwrap(), largest);
        for size in [largest + 1, usize::MAX] {
            let error = round_up(size, 4096, MAX_MAPPING).unwrap_err();
            assert!(matches!(error, Error::TooLarge { requested, limit }
                if requested == size && limit == largest));
        }
    }

    /// The way for old kernels touches every page and changes none.
    #[test]
    fn touching_by_hand_keeps_the_contents() {
        let page = page_size();
        let map = Mapping::memory(3 * page, Pages::Ordinary).unwrap();
        // SAFETY: the byte lies within the mapping.
        unsafe { map.base().as_ptr().add(page).write(7) };
        map.touch(0, 3 * page);
        // SAFETY: as above.
        assert_eq!(unsafe { map.base().as_ptr().add(page).read() }, 7);
    }
}
