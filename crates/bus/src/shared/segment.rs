//! A piece of memory that several processes map: a sealed memory file without a name.
//!
//! It vanishes with the last process that has it open, however that ends. Seals keep anybody from
//! making it shorter, which would turn a look at it into a signal.

use std::ffi::CString;
use std::fs;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::{self, NonNull};

use rustix::fs::{FallocateFlags, MemfdFlags, Mode, SealFlags};
use rustix::io::Errno;
use rustix::mm::{self, MapFlags, ProtFlags};
use rustix::process::{Resource, getrlimit};

use crate::bells::Bells;
use crate::shared::Shared;
use crate::shared::error::OpenError;
use crate::shared::event::SharedEvent;
use crate::shared::header::HEADER_BYTES;
use crate::sync::{AtomicU32, AtomicU64};
use crate::view::View;

/// What a segment must be sealed against.
const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);

/// What a process may do with a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Look at it.
    Read,
    /// Use it.
    Write,
}

/// Memory that other processes may have mapped too.
#[derive(Debug)]
pub(crate) struct Segment {
    /// Kept open by those who use it for others, who find it through the process's table of
    /// descriptors, or get it at its door. Those who only look close it: a segment that is no more must not be found with
    /// them.
    file: Option<OwnedFd>,
    /// The inode of the file.
    number: u64,
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to this value, whichever thread holds it; what lies in it is
// reached by atomic words and by places whose users agree.
unsafe impl Send for Segment {}
// SAFETY: as above.
unsafe impl Sync for Segment {}

/// What consists of atomic words alone, at most a page of them.
///
/// # Safety
/// Any bytes are one, and it is changed by its words' own methods alone.
pub(crate) unsafe trait Words {}

// SAFETY: a word is.
unsafe impl Words for AtomicU64 {}
// SAFETY: as above.
unsafe impl Words for AtomicU32 {}
// SAFETY: these are words alone.
unsafe impl Words for SharedEvent {}
// SAFETY: these are events and words.
unsafe impl Words for Bells<Shared> {}

impl Segment {
    /// A new one of so many bytes, zeroed and reserved, under that label.
    ///
    /// # Errors
    /// [`OpenError::NoRoom`], naming the limit; [`OpenError::System`].
    pub(crate) fn create(label: &str, len: usize) -> Result<Self, OpenError> {
        check_headroom(len)?;
        let file = memory_file(label).map_err(|errno| system("create a memory file", errno))?;
        rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| system("restrict a memory file to its owner", errno))?;
        rustix::fs::ftruncate(&file, len as u64)
            .map_err(|errno| system("size a memory file", errno))?;
        // Reserved now: memory that is not there when it is first touched would be a signal. The first
        // pages before all, and then the seals: reserving much takes seconds, in which others see what
        // it is, and wait.
        let head = HEADER_BYTES.min(len);
        reserve(&file, 0..head)?;
        rustix::fs::fcntl_add_seals(&file, SEALS)
            .map_err(|errno| system("seal a memory file", errno))?;
        reserve(&file, head..len)?;
        Self::map(file, len, Access::Write)
    }

    /// One that another process has made, which must be of that user.
    ///
    /// # Errors
    /// [`OpenError::NotSealed`], [`OpenError::Owner`], [`OpenError::System`].
    pub(crate) fn adopt(file: OwnedFd, access: Access, owner: u32) -> Result<Self, OpenError> {
        let seals = rustix::fs::fcntl_get_seals(&file)
            .map_err(|errno| system("read the seals of a segment", errno))?;
        if !seals.contains(SEALS) {
            return Err(OpenError::NotSealed { seals: seals.bits() });
        }
        let stat = rustix::fs::fstat(&file).map_err(|errno| system("look at a segment", errno))?;
        if stat.st_uid != owner {
            return Err(OpenError::Owner { owner: stat.st_uid, own: owner });
        }
        Self::map(file, stat.st_size as usize, access)
    }

    fn map(file: OwnedFd, len: usize, access: Access) -> Result<Self, OpenError> {
        if len == 0 {
            return Err(OpenError::Damaged { what: "it is empty" });
        }
        let number =
            rustix::fs::fstat(&file).map_err(|errno| system("look at a segment", errno))?;
        let number = number.st_ino;
        let prot = match access {
            Access::Read => ProtFlags::READ,
            Access::Write => ProtFlags::READ | ProtFlags::WRITE,
        };
        // SAFETY: the kernel picks a range that nothing else uses; the file cannot become shorter.
        let base = unsafe { mm::mmap(ptr::null_mut(), len, prot, MapFlags::SHARED, &file, 0) };
        let base = base.map_err(|errno| system("map a segment", errno))?;
        let base = NonNull::new(base.cast()).expect("the kernel never maps page zero unasked");
        let file = (access == Access::Write).then_some(file);
        Ok(Self { file, number, base, len })
    }

    /// Its bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Its bytes, which others write.
    pub(crate) fn view(&self) -> View<'_> {
        // SAFETY: all of it is mapped for as long as this is borrowed, and whoever writes it does so
        // by atomic words or is another process.
        unsafe { View::new(NonNull::slice_from_raw_parts(self.base, self.len)) }
    }

    /// Words at that place, a multiple of their alignment; `None`: they are none of the segment's. Those
    /// of one that was opened to be read must not be written to: that would end the process.
    pub(crate) fn words<T: Words>(&self, at: usize) -> Option<&T> {
        let is_within = at.checked_add(size_of::<T>()).is_some_and(|end| end <= self.len);
        (is_within && at.is_multiple_of(align_of::<T>())).then(|| {
            // SAFETY: within the segment, and aligned, for that begins at a page's boundary; all
            // bytes are such words.
            unsafe { self.base.add(at).cast::<T>().as_ref() }
        })
    }

    /// A number that no other segment has which is there at the same time.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The memory file, for those who use it.
    pub(crate) fn file(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(AsFd::as_fd)
    }

    /// Where it begins: a page's boundary.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: the range is ours, and what points into it keeps this value.
        let unmapped = unsafe { mm::munmap(self.base.as_ptr().cast(), self.len) };
        debug_assert_eq!(unmapped, Ok(()));
    }
}

/// Has memory for these bytes of a file.
fn reserve(file: &OwnedFd, bytes: Range<usize>) -> Result<(), OpenError> {
    let (at, len) = (bytes.start as u64, bytes.len() as u64);
    if len == 0 {
        return Ok(());
    }
    let reserved = rustix::fs::fallocate(file, FallocateFlags::empty(), at, len);
    reserved.map_err(|errno| match errno {
        Errno::NOSPC | Errno::NOMEM => no_room(bytes.len(), 0, "the system's memory"),
        _ => system("reserve memory", errno),
    })
}

/// A memory file that can be sealed.
fn memory_file(label: &str) -> Result<OwnedFd, Errno> {
    let label = CString::new(label).map_err(|_| Errno::INVAL)?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels before 6.3 do not know that a file can be marked as never executable.
    match rustix::fs::memfd_create(&label, flags | MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => rustix::fs::memfd_create(&label, flags),
        other => other,
    }
}

fn system(what: &'static str, errno: Errno) -> OpenError {
    OpenError::System { what, source: errno.into() }
}

// -------------------------------------------------------------------------------- headroom

fn no_room(wanted: usize, left: u64, limit: impl Into<String>) -> OpenError {
    OpenError::NoRoom { wanted, left, limit: limit.into() }
}

/// Refuses what would not fit, before anything is touched: a process that goes beyond a limit of
/// its control group is killed, not told.
fn check_headroom(len: usize) -> Result<(), OpenError> {
    let wanted = len as u64;
    for (left, limit) in headrooms() {
        if wanted > left {
            return Err(no_room(len, left, limit));
        }
    }
    Ok(())
}

/// What each limit leaves, and its name.
fn headrooms() -> Vec<(u64, String)> {
    let mut found = Vec::new();
    if let Some(most) = getrlimit(Resource::Fsize).current {
        found.push((most, "RLIMIT_FSIZE (ulimit -f)".to_owned()));
    }
    if let Some(free) = available_memory() {
        found.push((free, "the system's memory (MemAvailable)".to_owned()));
    }
    found.extend(control_group_headrooms());
    found
}

/// `MemAvailable`, in bytes (`proc_meminfo(5)`).
fn available_memory() -> Option<u64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// What the memory limits of this process's control group, and of those above it, leave
/// (`cgroups(7)`, both versions).
fn control_group_headrooms() -> Vec<(u64, String)> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut found = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        if controllers.is_empty() {
            found.extend(headrooms_up(
                &["/sys/fs/cgroup", "/sys/fs/cgroup/unified"],
                path,
                ["memory.max", "memory.current"],
            ));
        } else if controllers.split(',').any(|name| name == "memory") {
            found.extend(headrooms_up(
                &["/sys/fs/cgroup/memory"],
                path,
                ["memory.limit_in_bytes", "memory.usage_in_bytes"],
            ));
        }
    }
    found
}

fn headrooms_up(roots: &[&str], path: &str, [limit, usage]: [&str; 2]) -> Vec<(u64, String)> {
    let number = |path: String| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let mut found = Vec::new();
    for root in roots {
        let mut path = path.trim_end_matches('/');
        loop {
            let folder = format!("{root}{path}");
            let limits = number(format!("{folder}/{limit}"));
            if let (Some(most), Some(used)) = (limits, number(format!("{folder}/{usage}"))) {
                found.push((most.saturating_sub(used), format!("{folder}/{limit}")));
            }
            let Some((above, _)) = path.rsplit_once('/') else { break };
            path = above;
        }
    }
    found
}

impl From<io::Error> for OpenError {
    fn from(source: io::Error) -> Self {
        Self::System { what: "tell who this process is, by /proc/self", source }
    }
}
