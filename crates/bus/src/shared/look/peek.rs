//! A segment as somebody sees it who does not take part: its parts, found by what its header says,
//! and words and bytes out of them.
//!
//! All of it may be anything. Each part is held against the segment's length when it is read, and
//! each place again when it is looked at.

use crate::shared::access::Stance;
use crate::shared::around::Seeker;
use crate::shared::error::OpenError;
use crate::shared::header::{Description, Heading, Kind, Part, part_name};
use crate::shared::identity::Identity;
use crate::shared::names::Name;
use crate::shared::presence::Around;
use crate::shared::segment::{Access, Segment, Words};
use crate::sync::{AtomicU64, Ordering, fence};

/// A segment and where its parts lie.
#[derive(Debug)]
pub(super) struct Peek {
    segment: Segment,
    access: Access,
    pub(super) kind: Kind,
    pub(super) said: Description,
    parts: Vec<Part>,
}

/// The five parts of an object; what is not there has no items.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Group {
    pub(super) heads: Part,
    pub(super) rows: Part,
    pub(super) slots: Part,
    pub(super) seats: Part,
}

const NO_SENSE: OpenError = OpenError::Damaged { what: "what it says of its parts makes no sense" };

impl Peek {
    /// The segment of that name, through whoever has it.
    ///
    /// # Errors
    /// [`OpenError::NotFound`] when nobody has it, and what is wrong with it.
    pub(super) fn at(name: &Name) -> Result<Self, OpenError> {
        Self::at_as(name, Access::Read)
    }

    /// The same, to be written to if need be.
    ///
    /// # Errors
    /// As [`Peek::at`].
    pub(super) fn at_as(name: &Name, access: Access) -> Result<Self, OpenError> {
        // As a guest, who may be anybody: of the owner's processes too each may look.
        let stance = &Stance::Guest(name.owner());
        match (Seeker { name, stance, own: None, access }).look()? {
            Around::Segment(segment) => Self::of(name, segment, access),
            Around::Unreachable(why) => Err(why),
            Around::Joining => Err(OpenError::Joining { name: name.to_string() }),
            Around::Nobody => Err(OpenError::NotFound { name: name.to_string() }),
        }
    }

    /// # Errors
    /// What is wrong with it.
    fn of(name: &Name, segment: Segment, access: Access) -> Result<Self, OpenError> {
        let heading = Heading::of(&segment)?;
        if !heading.is_ready() {
            let (name, pid) = (name.to_string(), heading.maker().map(Identity::pid));
            return Err(OpenError::Unfinished { name, pid });
        }
        let said = heading.read()?;
        let kind = Kind::of_word(said.shape[0])
            .ok_or(OpenError::Damaged { what: "it is of no kind that is known" })?;
        let told = heading.parts();
        let parts: Vec<_> = told.into_iter().take_while(|part| part.what != 0).collect();
        if !parts.iter().all(|part| is_within(part, segment.len())) {
            return Err(NO_SENSE);
        }
        Ok(Self { segment, access, kind, said, parts })
    }

    pub(super) fn bytes(&self) -> usize {
        self.segment.len()
    }

    /// Tells it from others of the same name.
    pub(super) fn number(&self) -> u64 {
        self.segment.number()
    }

    /// The parts of the objects that it is made of, one or several.
    pub(super) fn groups(&self) -> Vec<Group> {
        let mut groups = Vec::new();
        for part in &self.parts {
            if part.what == part_name("heads") {
                groups.push(Group::default());
            }
            let Some(group) = groups.last_mut() else { continue };
            match part.what {
                what if what == part_name("heads") => group.heads = *part,
                what if what == part_name("rows") => group.rows = *part,
                what if what == part_name("slots") => group.slots = *part,
                what if what == part_name("seats") => group.seats = *part,
                _ => {}
            }
        }
        groups
    }

    /// The first and the last of them, which are the same but for requests: those who use it, and
    /// what messages go through.
    ///
    /// # Errors
    /// [`OpenError::Damaged`]: there is none.
    pub(super) fn ends(&self) -> Result<[Group; 2], OpenError> {
        let groups = self.groups();
        match (groups.first(), groups.last()) {
            (Some(first), Some(last)) => Ok([*first, *last]),
            _ => Err(NO_SENSE),
        }
    }

    /// Memory that is mapped twice, of a byte channel.
    pub(super) fn streams(&self) -> Result<Part, OpenError> {
        let streams = self.parts.iter().find(|part| part.what == part_name("streams"));
        streams.copied().ok_or(NO_SENSE)
    }

    /// Where a piece of so many bytes lies in an item of a part.
    fn place(&self, part: &Part, index: u64, at: usize, len: usize) -> Result<usize, OpenError> {
        if index >= part.count || (at + len) as u64 > part.size {
            return Err(NO_SENSE);
        }
        Ok((part.at + index * part.size) as usize + at)
    }

    /// A word in an item of a part, read.
    ///
    /// # Errors
    /// [`OpenError::Damaged`]: there is no such place.
    pub(super) fn word(&self, part: &Part, index: u64, at: usize) -> Result<u64, OpenError> {
        let word: &AtomicU64 =
            self.segment.words(self.place(part, index, at, 8)?).ok_or(NO_SENSE)?;
        // Acquire pairs with the Release of whoever published by this word.
        Ok(word.load(Ordering::Acquire))
    }

    /// Words in an item of a part, to be written to.
    ///
    /// # Errors
    /// As [`Peek::word`].
    ///
    /// # Panics
    /// If the segment was opened to be read.
    pub(super) fn to_write<T: Words>(
        &self,
        part: &Part,
        index: u64,
        at: usize,
    ) -> Result<&T, OpenError> {
        assert_eq!(self.access, Access::Write);
        self.segment.words(self.place(part, index, at, size_of::<T>())?).ok_or(NO_SENSE)
    }

    /// A copy of bytes of the segment, made before whatever is read next.
    ///
    /// # Errors
    /// [`OpenError::Damaged`]: there are not so many.
    pub(super) fn copy(&self, at: u64, len: u64) -> Result<Vec<u8>, OpenError> {
        let range = at as usize..at.checked_add(len).ok_or(NO_SENSE)? as usize;
        let bytes = self.segment.view().part(range).ok_or(NO_SENSE)?.to_vec();
        // Acquire keeps the look at the positions that follows behind the copy. It is as good as the
        // writer's order is; a look is never the ground for anything.
        fence(Ordering::Acquire);
        Ok(bytes)
    }
}

/// Whether all items lie within so many bytes.
fn is_within(part: &Part, len: usize) -> bool {
    let end = part.count.checked_mul(part.size).and_then(|bytes| bytes.checked_add(part.at));
    end.is_some_and(|end| end <= len as u64)
}
