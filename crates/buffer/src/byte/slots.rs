//! The table of saved pieces: a list in address order, threaded through a fixed array, so that
//! saving, finding and discarding each take constant time.

use crate::Error;

/// No entry.
const NONE: u32 = u32::MAX;

/// Names bytes kept in the save area of a [`ByteBuffer`](crate::ByteBuffer). Stays valid, whatever
/// else is discarded and wherever the bytes move, until it is itself discarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    index: u32,
    /// The entry's at the time of saving: a discarded slot does not name its entry's next use.
    generation: u32,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Offset of the first byte. Without meaning in a free entry.
    start: usize,
    /// Bytes; zero in a free entry and only there.
    len: usize,
    /// The live entry before this one in address order, or [`NONE`].
    prev: u32,
    /// The live entry behind this one, or of a free entry the next free one, or [`NONE`].
    next: u32,
    /// Times that the entry was freed, wrapping.
    generation: u32,
}

/// The table. Entries in the list are live, in ascending order of address, and do not overlap.
#[derive(Debug)]
pub(super) struct Slots {
    entries: Box<[Entry]>,
    first: u32,
    last: u32,
    /// Head of the free entries.
    free: u32,
}

impl Slots {
    /// A table of `count` free entries.
    pub(super) fn new(count: usize) -> Result<Self, Error> {
        let limit = NONE as usize;
        if count > limit {
            return Err(Error::TooLarge { requested: count, limit });
        }
        let mut entries = Vec::new();
        let size = count.saturating_mul(size_of::<Entry>());
        entries.try_reserve_exact(count).map_err(|_| Error::Heap { size })?;
        entries.extend((1..=count).map(|next| Entry {
            start: 0,
            len: 0,
            prev: NONE,
            next: if next < count { next as u32 } else { NONE },
            generation: 0,
        }));
        let free = if count > 0 { 0 } else { NONE };
        Ok(Self { entries: entries.into_boxed_slice(), first: NONE, last: NONE, free })
    }

    /// Entries, free and live.
    pub(super) fn capacity(&self) -> usize {
        self.entries.len()
    }

    /// Offset behind the last live entry, 0 if there is none.
    #[inline]
    pub(super) fn end(&self) -> usize {
        self.get(self.last).map_or(0, |entry| entry.start + entry.len)
    }

    /// Appends `len > 0` bytes at `start`, which lies at or behind [`end`](Self::end). `None` if
    /// no entry is free.
    #[inline]
    pub(super) fn push(&mut self, start: usize, len: usize) -> Option<Slot> {
        debug_assert!(len > 0 && start >= self.end());
        let index = self.free;
        let prev = self.last;
        let entry = self.entries.get_mut(index as usize)?;
        self.free = entry.next;
        *entry = Entry { start, len, prev, next: NONE, ..*entry };
        let slot = Slot { index, generation: entry.generation };
        self.link(prev, index);
        self.last = index;
        Some(slot)
    }

    /// Takes a live entry out. Returns its length, 0 if the slot names none.
    #[inline]
    pub(super) fn remove(&mut self, slot: Slot) -> usize {
        let Some(Entry { len, prev, next, .. }) = self.find(slot).copied() else {
            return 0;
        };
        self.link(prev, next);
        match self.entries.get_mut(next as usize) {
            Some(entry) => entry.prev = prev,
            None => self.last = prev,
        }
        let entry = &mut self.entries[slot.index as usize];
        entry.len = 0;
        entry.next = self.free;
        entry.generation = entry.generation.wrapping_add(1);
        self.free = slot.index;
        len
    }

    /// Where the saved bytes are: offset and length.
    #[inline]
    pub(super) fn place(&self, slot: Slot) -> Option<(usize, usize)> {
        self.find(slot).map(|entry| (entry.start, entry.len))
    }

    /// Moves all live entries together from offset 0 on, in order, calling `shift(from, len, to)`
    /// for each that changes its place. Returns the offset behind the last.
    pub(super) fn pack(&mut self, mut shift: impl FnMut(usize, usize, usize)) -> usize {
        let mut to = 0;
        let mut index = self.first;
        while let Some(entry) = self.entries.get_mut(index as usize) {
            if entry.start != to {
                shift(entry.start, entry.len, to);
                entry.start = to;
            }
            to += entry.len;
            index = entry.next;
        }
        to
    }

    /// Makes `next` follow `prev`, or come first if there is no `prev`.
    #[inline]
    fn link(&mut self, prev: u32, next: u32) {
        match self.entries.get_mut(prev as usize) {
            Some(entry) => entry.next = next,
            None => self.first = next,
        }
    }

    #[inline]
    fn get(&self, index: u32) -> Option<&Entry> {
        self.entries.get(index as usize)
    }

    #[inline]
    fn find(&self, slot: Slot) -> Option<&Entry> {
        self.get(slot.index).filter(|entry| entry.generation == slot.generation && entry.len > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A discarded slot names nothing, also when its entry is in use again.
    #[test]
    fn a_stale_slot_names_nothing() {
        let mut slots = Slots::new(1).unwrap();
        let old = slots.push(0, 3).unwrap();
        assert_eq!(slots.push(3, 1), None);
        assert_eq!((slots.remove(old), slots.remove(old)), (3, 0));
        let new = slots.push(5, 2).unwrap();
        assert_ne!(old, new);
        assert_eq!((slots.place(old), slots.place(new)), (None, Some((5, 2))));
    }

    /// A slot of another table does not name a free entry.
    #[test]
    fn a_foreign_slot_names_no_free_entry() {
        let foreign = Slots::new(2).unwrap().push(0, 1).unwrap();
        let mut slots = Slots::new(2).unwrap();
        assert_eq!((slots.place(foreign), slots.remove(foreign)), (None, 0));
    }

    /// Packing keeps the order, moves only what lies behind a hole, and says where it ends.
    #[test]
    fn packing_closes_holes_in_order() {
        let mut slots = Slots::new(4).unwrap();
        let places = [(0, 2), (2, 3), (7, 4), (11, 1)];
        let made = places.map(|(start, len)| slots.push(start, len).unwrap());
        slots.remove(made[1]);
        let mut moves = Vec::new();
        assert_eq!(slots.pack(|from, len, to| moves.push((from, len, to))), 7);
        assert_eq!(moves, [(7, 4, 2), (11, 1, 6)]);
        assert_eq!(slots.end(), 7);
    }

    /// A table without entries saves nothing; one too large to number is refused by name.
    #[test]
    fn sizes_at_both_ends() {
        assert_eq!(Slots::new(0).unwrap().push(0, 1), None);
        assert!(matches!(Slots::new(usize::MAX), Err(Error::TooLarge { .. })));
    }
}
