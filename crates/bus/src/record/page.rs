//! The file under a ring: its first page, and how it is made.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::ptr::{self, NonNull};

use rustix::fs::FallocateFlags;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::param::page_size;
use tautline_buffer::{Error, Mirror};

use super::kept::Words;
use super::{Config, MakeError};
use crate::ring::MAX_CAPACITY;

/// What such a file begins with.
pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"TLrecord");
/// Of the layout of the file.
pub(super) const VERSION: u64 = 1;
/// Where the words of the ends lie; what the file is stands before them.
pub(super) const WORDS_AT: usize = 128;

/// What a file says of itself, in words of 8 bytes from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Intro {
    pub(super) magic: u64,
    pub(super) version: u64,
    /// Bytes before the records.
    pub(super) head: u64,
    /// Bytes of records.
    pub(super) capacity: u64,
    /// Bytes of the longest record.
    pub(super) longest: u64,
}

impl Intro {
    fn words(self) -> [u64; 5] {
        [self.magic, self.version, self.head, self.capacity, self.longest]
    }

    pub(super) fn of([magic, version, head, capacity, longest]: [u64; 5]) -> Self {
        Self { magic, version, head, capacity, longest }
    }
}

const _: () = assert!(size_of::<Intro>() <= WORDS_AT);
const _: () = assert!(WORDS_AT + size_of::<Words>() <= 4096, "pages have at least 4096 bytes");

/// Bytes that a ring gets that was asked for with so many.
pub(super) fn capacity_of(asked: usize) -> Result<usize, Error> {
    match asked {
        0 => Err(Error::ZeroSize),
        _ if asked > MAX_CAPACITY => Err(Error::TooLarge { requested: asked, limit: MAX_CAPACITY }),
        _ => Ok(asked.next_power_of_two().max(page_size())),
    }
}

/// Makes the file, maps it, and writes what it is. It is removed if that fails.
pub(super) fn create(
    path: &Path,
    capacity: usize,
    config: Config,
) -> Result<(Mirror, Page), MakeError> {
    let fail = |what| move |source| MakeError::File { what, path: path.to_owned(), source };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    let file = options.open(path).map_err(fail("make the file"))?;
    let made = fill(&file, capacity, config).map_err(|error| match error {
        Failure::Room(source) => fail("reserve room in the file")(source),
        Failure::Page(source) => fail("map the file")(source),
        Failure::Records(error) => MakeError::Memory(error),
    });
    if made.is_err() {
        // If that fails too, what failed first tells more.
        drop(std::fs::remove_file(path));
    }
    made
}

enum Failure {
    Room(io::Error),
    Page(io::Error),
    Records(Error),
}

fn fill(file: &File, capacity: usize, config: Config) -> Result<(Mirror, Page), Failure> {
    let head = page_size() as u64;
    // Reserved now: room that is missing when it is first touched would be a signal.
    rustix::fs::fallocate(file, FallocateFlags::empty(), 0, head + capacity as u64)
        .map_err(|errno| Failure::Room(errno.into()))?;
    let mirror = Mirror::of_file(file.as_fd(), head, capacity, config.memory);
    let mirror = mirror.map_err(Failure::Records)?;
    let page = Page::map(file).map_err(Failure::Page)?;
    page.write(Intro {
        magic: MAGIC,
        version: VERSION,
        head,
        capacity: capacity as u64,
        longest: config.longest as u64,
    });
    Ok((mirror, page))
}

/// The first page of the file, mapped.
#[derive(Debug)]
pub(super) struct Page {
    base: NonNull<u8>,
    len: usize,
}

impl Page {
    fn map(file: &File) -> io::Result<Self> {
        let (len, prot) = (page_size(), ProtFlags::READ | ProtFlags::WRITE);
        // SAFETY: the kernel picks a range that nothing else uses.
        let base = unsafe { mmap(ptr::null_mut(), len, prot, MapFlags::SHARED, file, 0)? };
        let base = NonNull::new(base.cast()).expect("the kernel never maps page zero unasked");
        Ok(Self { base, len })
    }

    fn write(&self, intro: Intro) {
        // SAFETY: all lies within the page, which is mapped and aligned, and which nobody else
        // knows of yet.
        unsafe {
            self.words().write(Words::new());
            // The magic last: a file that begins with it is whole.
            for (index, word) in intro.words().into_iter().enumerate().rev() {
                self.base.cast::<u64>().add(index).write_volatile(word);
            }
        }
    }

    /// Where the words of the ends lie.
    pub(super) fn words(&self) -> NonNull<Words> {
        // SAFETY: within the page.
        unsafe { self.base.add(WORDS_AT) }.cast()
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: the range is ours, and what points into it keeps this value.
        let unmapped = unsafe { munmap(self.base.as_ptr().cast(), self.len) };
        debug_assert_eq!(unmapped, Ok(()));
    }
}
