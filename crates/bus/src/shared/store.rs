//! The memory of an object in a segment: the same layout in every process, computed from its shape
//! and never read from the segment.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Mutex;

use tautline_buffer::{MapOptions, Mirror};

use crate::error::CreateError;
use crate::ring::Line;
use crate::ring::stream::Memory;
use crate::scope::{Keep, Store};
use crate::shared::Shared;
use crate::shared::header::{HEADER_BYTES, Heading, Part, part_name};
use crate::shared::identity::{Identity, Watcher};
use crate::shared::names::Standing;
use crate::shared::segment::Segment;
use crate::sync::Arc;

/// The most bytes of a segment.
const MAX_BYTES: usize = 1 << 46;

/// Lays the parts of an object out, one after the other.
///
/// Without a segment it only measures: what it gives then is empty.
#[doc(hidden)]
#[derive(Debug)]
pub struct SegmentStore {
    segment: Option<Arc<Segment>>,
    standing: Option<Arc<Standing>>,
    /// Where the next part begins, in bytes.
    at: usize,
    /// The segment is new: parts are made, not found.
    fresh: bool,
    /// Parts so far.
    parts: usize,
}

impl SegmentStore {
    /// Measures.
    pub(super) fn measure() -> Self {
        Self { segment: None, standing: None, at: HEADER_BYTES, fresh: false, parts: 0 }
    }

    /// Lays out in a segment.
    pub(super) fn of(segment: Arc<Segment>, standing: Arc<Standing>, fresh: bool) -> Self {
        let standing = Some(standing);
        Self { segment: Some(segment), standing, at: HEADER_BYTES, fresh, parts: 0 }
    }

    /// Bytes up to the end of the last part.
    pub(super) fn bytes(&self) -> usize {
        self.at
    }

    /// Room for so many items: where they begin.
    fn place<T>(
        &mut self,
        kind: &'static str,
        what: &'static str,
        count: usize,
    ) -> Result<usize, CreateError> {
        // Each part begins a line: an item of the size of one lies in one.
        let (bytes, align) = (size_of::<T>(), align_of::<Line<T>>());
        let no_memory = CreateError::NoMemory { kind, what, count, bytes };
        let at = self.room(bytes, align, count).ok_or(no_memory)?;
        self.note(what, at, count, bytes);
        Ok(at)
    }

    /// Says in the header of a new segment where a part lies, for those who only look.
    fn note(&mut self, what: &str, at: usize, count: usize, size: usize) {
        let part =
            Part { what: part_name(what), at: at as u64, count: count as u64, size: size as u64 };
        if self.fresh
            && let Some(heading) = self.segment.as_deref().and_then(|on| Heading::of(on).ok())
        {
            heading.note_part(self.parts, part);
        }
        self.parts += 1;
    }

    /// Room for so many times so many bytes: where they begin.
    fn room(&mut self, bytes: usize, align: usize, count: usize) -> Option<usize> {
        let at = self.at.next_multiple_of(align);
        let end = bytes.checked_mul(count).and_then(|bytes| at.checked_add(bytes))?;
        let most = self.segment.as_ref().map_or(MAX_BYTES, |segment| segment.len());
        (end <= most).then(|| {
            self.at = end;
            at
        })
    }
}

impl Store<Shared> for SegmentStore {
    fn keep(&mut self) -> Kept {
        Kept { _standing: self.standing.clone(), watcher: Mutex::default() }
    }

    fn one<T>(&mut self, make: impl FnOnce() -> T) -> Result<MappedOne<T>, CreateError> {
        let mut make = Some(make);
        let made = |_| make.take().expect("one item is made once")();
        self.array("object", "heads", 1, made).map(MappedOne)
    }

    fn array<T>(
        &mut self,
        kind: &'static str,
        what: &'static str,
        count: usize,
        mut make: impl FnMut(usize) -> T,
    ) -> Result<Mapped<T>, CreateError> {
        let mapped = self.blanks(kind, what, count, &mut make)?;
        if self.fresh {
            for index in 0..mapped.count {
                // SAFETY: the items lie there; nobody else looks before the segment is declared
                // ready.
                unsafe { mapped.items.add(index).write(make(index)) };
            }
        }
        Ok(mapped)
    }

    /// Nothing is written: a move of what holds no value may carry bytes of the stack along, which
    /// are nobody else's business.
    fn blanks<T>(
        &mut self,
        kind: &'static str,
        what: &'static str,
        count: usize,
        _: impl FnMut(usize) -> T,
    ) -> Result<Mapped<T>, CreateError> {
        let at = self.place::<T>(kind, what, count)?;
        let Some(segment) = &self.segment else { return Ok(Mapped::empty()) };
        // SAFETY: `place` found that the items lie within the segment, aligned, for it begins at a
        // page's boundary.
        let items: NonNull<T> = unsafe { segment.base().add(at) }.cast();
        Ok(Mapped { items, count, _segment: Some(segment.clone()), parts: PhantomData })
    }

    fn mirrors(
        &mut self,
        kind: &'static str,
        count: usize,
        size: usize,
        options: MapOptions,
    ) -> Result<Box<[Memory]>, CreateError> {
        let (bytes, align) = (mirror_size(size), rustix::param::page_size());
        let no_memory = CreateError::NoMemory { kind, what: "streams", count, bytes };
        let at = self.room(bytes, align, count).ok_or(no_memory)?;
        self.note("streams", at, count, bytes);
        let Some(segment) = &self.segment else { return Ok(Box::default()) };
        let file = segment.file().expect("who makes or opens an object keeps its file open");
        let starts = (0..count).map(|index| (at + index * bytes) as u64);
        starts
            .map(|start| Mirror::of_file(file, start, bytes, options).map(Memory::of))
            .collect::<Result<_, _>>()
            .map_err(|error| CreateError::Refused { kind, why: error.to_string() })
    }
}

/// Bytes of a piece of memory that has room for so many, and is mapped twice in a row.
pub(crate) fn mirror_size(size: usize) -> usize {
    size.next_power_of_two().max(rustix::param::page_size())
}

/// Items in a segment. They consist of words and places alone, which may hold anything.
pub struct Mapped<T> {
    items: NonNull<T>,
    count: usize,
    /// Keeps it mapped.
    _segment: Option<Arc<Segment>>,
    parts: PhantomData<T>,
}

// SAFETY: it only lends what lies in the segment.
unsafe impl<T: Sync> Send for Mapped<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Mapped<T> {}

impl<T> Mapped<T> {
    fn empty() -> Self {
        Self { items: NonNull::dangling(), count: 0, _segment: None, parts: PhantomData }
    }
}

impl<T> Deref for Mapped<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: the items lie in the segment, which is mapped for as long as this is there; all
        // bytes are items, for these consist of words and places.
        unsafe { std::slice::from_raw_parts(self.items.as_ptr(), self.count) }
    }
}

impl<T> fmt::Debug for Mapped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mapped({})", self.count)
    }
}

/// One item in a segment.
#[derive(Debug)]
pub struct MappedOne<T>(Mapped<T>);

impl<T> Deref for MappedOne<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.0[0]
    }
}

/// What a process keeps for as long as it uses an object.
#[doc(hidden)]
#[derive(Debug)]
pub struct Kept {
    /// Lets others find the segment.
    _standing: Option<Arc<Standing>>,
    watcher: Mutex<Watcher>,
}

impl Keep for Kept {
    fn has_ended(&self, user: u64) -> bool {
        let who = Identity::of_word(user);
        if Identity::own().is_ok_and(|own| own == who) {
            return false;
        }
        let mut watcher = self.watcher.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        watcher.has_ended(who)
    }
}
