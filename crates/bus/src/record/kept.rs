//! What both ends keep: the memory, and the words at its head.
//!
//! ```text
//!   file   0 ........ 128 ............ page ............... page + capacity
//!          |  what it  |  indices, and  |  records            |
//!          |  is       |  how it stands |
//! ```

use std::ptr::NonNull;

use crate::record::{Config, MakeError};
use crate::ring::Line;
use crate::ring::stream::{self, Memory, Stream};
use crate::scope::Scope;

/// How words are shared. What lies in a file may be changed by whoever may write it.
#[cfg(not(loom))]
pub(super) type Kind = crate::shared::Shared;
#[cfg(loom)]
pub(super) type Kind = crate::scope::Local;

/// What the ends tell each other.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Words {
    pub(super) stream: Stream<Kind>,
    pub(super) standing: Line<Standing>,
}

/// Words that are seldom written.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Standing {
    /// 1 after the writer has gone.
    pub(super) closed: <Kind as Scope>::Word,
    /// Records that were given up, by the writer's count.
    pub(super) dropped: <Kind as Scope>::Word,
}

impl Words {
    pub(super) fn new() -> Self {
        let word = <Kind as Scope>::Word::new;
        let standing = Line(Standing { closed: word(0), dropped: word(0) });
        Self { stream: Stream::new(), standing }
    }
}

/// Memory and words of a ring.
#[derive(Debug)]
pub(super) struct Kept {
    memory: Memory,
    /// In their home.
    words: NonNull<Words>,
    home: Home,
    longest: usize,
}

/// Where the words lie.
#[derive(Debug)]
enum Home {
    /// In a box, which [`Kept::words`] points into.
    Heap,
    /// In the first page of the file, which is never read.
    #[cfg(not(loom))]
    File { _page: super::page::Page },
}

// SAFETY: the words are atomic, and the records are reached by the one writer and the one reader,
// who agree by them.
unsafe impl Send for Kept {}
// SAFETY: as above.
unsafe impl Sync for Kept {}

impl Kept {
    pub(super) fn in_memory(config: Config) -> Result<Self, MakeError> {
        let memory = Memory::new(config.capacity, config.memory)?;
        check(config, memory.capacity())?;
        let words = NonNull::from(Box::leak(Box::new(Words::new())));
        Ok(Self { memory, words, home: Home::Heap, longest: config.longest })
    }

    #[cfg(not(loom))]
    pub(super) fn in_file(path: &std::path::Path, config: Config) -> Result<Self, MakeError> {
        let capacity = super::page::capacity_of(config.capacity)?;
        check(config, capacity)?;
        let (mirror, page) = super::page::create(path, capacity, config)?;
        let (memory, words) = (Memory::of(mirror), page.words());
        Ok(Self { memory, words, home: Home::File { _page: page }, longest: config.longest })
    }

    #[inline(always)]
    pub(super) fn words(&self) -> &Words {
        // SAFETY: they are there for as long as this is, and made of atomics.
        unsafe { self.words.as_ref() }
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(super) fn longest(&self) -> usize {
        self.longest
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if matches!(self.home, Home::Heap) {
            // SAFETY: it came out of a box, and nobody else has it.
            drop(unsafe { Box::from_raw(self.words.as_ptr()) });
        }
    }
}

fn check(config: Config, capacity: usize) -> Result<(), MakeError> {
    let limit = stream::limit(capacity);
    if config.longest > limit {
        return Err(MakeError::TooLong { longest: config.longest, limit });
    }
    Ok(())
}
