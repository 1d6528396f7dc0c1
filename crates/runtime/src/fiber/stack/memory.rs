//! One mapping for all stacks of a class: address space first, memory page by page as it
//! is used, also where the process locks its memory.
//!
//! **Under locked memory** (`mlockall`) a mapping is locked from birth. Making a locked
//! mapping writable gives it all its memory at once, and a locked mapping takes no guard
//! markers. So it is born without access, which populates nothing, unlocked, made writable
//! and given its guards, and then locked again *on fault*: what is used stays in memory.

use std::ffi::c_void;
use std::ops::Range;
use std::ptr::{self, NonNull};

use rustix::io::Errno;
use rustix::mm::{self, Advice, MapFlags, MlockFlags, ProtFlags};

/// Pages that are asked about in one system call.
const BATCH: usize = 256;

/// An owned range of address space, unmapped when dropped.
#[derive(Debug)]
pub(super) struct Region {
    /// Its start, page-aligned.
    base: NonNull<u8>,
    /// Its length in bytes, a multiple of the page size.
    len: usize,
    /// It was found locked and is unlocked for now.
    unlocked: bool,
}

impl Region {
    /// Address space without access and without locks.
    pub(super) fn reserve(len: usize) -> Result<Self, Errno> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::STACK;
        // SAFETY: without MAP_FIXED the kernel picks a range that nothing else uses.
        let base = unsafe { mm::mmap_anonymous(ptr::null_mut(), len, ProtFlags::empty(), flags)? };
        let base = NonNull::new(base.cast()).ok_or(Errno::NOMEM)?;
        let mut region = Self { base, len, unlocked: false };
        if region.is_locked() {
            region.unlock()?;
        }
        region.keep_pages_small();
        Ok(region)
    }

    /// The addresses that it covers.
    pub(super) fn range(&self) -> Range<usize> {
        let start = self.base.as_ptr().expose_provenance();
        start..start + self.len
    }

    /// Whether its memory is locked. Only locked memory refuses to be given back, so one
    /// page, still without content, is given back.
    fn is_locked(&self) -> bool {
        // SAFETY: the page is ours and holds nothing yet.
        let given = unsafe { mm::madvise(self.at(0..0), page_size(), Advice::LinuxDontNeed) };
        given == Err(Errno::INVAL)
    }

    /// Unlocks it until [`relock`](Self::relock).
    pub(super) fn unlock(&mut self) -> Result<(), Errno> {
        self.unlocked = true;
        // SAFETY: the range is ours; unlocking changes no contents.
        unsafe { mm::munlock(self.at(0..0), self.len) }
    }

    /// Locks it, if it was found locked: each page from its first use on.
    pub(super) fn relock(&mut self) -> Result<(), Errno> {
        if !std::mem::take(&mut self.unlocked) {
            return Ok(());
        }
        // SAFETY: the range is ours; locking changes no contents.
        unsafe { mm::mlock_with(self.at(0..0), self.len, MlockFlags::ONFAULT) }
    }

    /// No huge pages: with them the first byte that a fiber uses would cost 2 MiB.
    fn keep_pages_small(&self) {
        // SAFETY: the range is ours; the advice changes no contents. A kernel that refuses
        // it has no huge pages.
        let _ = unsafe { mm::madvise(self.at(0..0), self.len, Advice::LinuxNoHugepage) };
    }

    /// Makes `part` readable and writable.
    pub(super) fn open(&self, part: Range<usize>) -> Result<(), Errno> {
        let access = mm::MprotectFlags::READ | mm::MprotectFlags::WRITE;
        // SAFETY: `at` checks that the part is ours; more access harms nobody.
        unsafe { mm::mprotect(self.at(part.clone()), part.len(), access) }
    }

    /// Turns `part`, which must not be in use, into a guard: every touch is a fault.
    pub(super) fn mark_as_guard(&self, part: Range<usize>) -> Result<(), Errno> {
        /// `MADV_GUARD_INSTALL`, since Linux 6.13.
        const GUARD_INSTALL: libc::c_int = 102;
        // SAFETY: `at` checks that the part is ours; by contract it holds nothing of use.
        match unsafe { libc::madvise(self.at(part.clone()), part.len(), GUARD_INSTALL) } {
            0 => Ok(()),
            _ => Err(last_error()),
        }
    }

    /// Where a part begins; `0..0` is the start of all.
    fn at(&self, part: Range<usize>) -> *mut c_void {
        assert!(part.start <= part.end && part.end <= self.len);
        self.base.as_ptr().wrapping_add(part.start).cast()
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the range is ours, and whoever hands out parts of it sees to it that it
        // outlives them.
        let unmapped = unsafe { mm::munmap(self.base.as_ptr().cast(), self.len) };
        debug_assert_eq!(unmapped, Ok(()));
    }
}

/// Bytes of a page.
pub(super) fn page_size() -> usize {
    rustix::param::page_size()
}

/// The pages of `span` that are in memory, lowest first, each cut to the span. `span`
/// begins with a page.
pub(super) fn resident(span: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let page = page_size();
    let batches = span.clone().step_by(BATCH * page);
    batches.flat_map(move |batch| {
        let bits = resident_bits(batch..span.end.min(batch + BATCH * page));
        let pages = (batch..span.end).step_by(page).zip(bits).filter(|(_, bit)| bit & 1 != 0);
        pages.map(move |(start, _)| start..span.end.min(start + page))
    })
}

/// A byte for each page; the lowest bit says whether it is in memory. What is not mapped
/// is not in memory either.
fn resident_bits(span: Range<usize>) -> [u8; BATCH] {
    let mut bits = [0; BATCH];
    assert!(span.len() <= BATCH * page_size());
    let start = ptr::without_provenance_mut(span.start);
    // SAFETY: the kernel writes a byte for each page of the span, for which there is room
    // by the assertion; it only looks at the pages.
    let told = unsafe { libc::mincore(start, span.len(), bits.as_mut_ptr()) };
    if told == 0 { bits } else { [0; BATCH] }
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
