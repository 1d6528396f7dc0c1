//! A table of fixed size whose entries are named by index and generation.

/// Names an entry for as long as it lives; a key that outlives its entry finds nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub(crate) struct Key {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

struct Entry<T> {
    /// Counts the tenants: grows when the entry is freed. 31 bits, so that a key packs
    /// beside one bit of a caller's own.
    generation: u32,
    /// The next free entry; meaningless while occupied.
    next_free: u32,
    value: Option<T>,
}

/// A table of fixed size. Memory is reserved at construction and touched on first use;
/// entries never move.
pub(crate) struct Slab<T> {
    /// Capacity is reserved for `limit`: pushing never moves an entry.
    entries: Vec<Entry<T>>,
    /// Most recently freed entry, or [`NONE`].
    free: u32,
    len: usize,
    limit: usize,
}

/// No entry.
pub(crate) const NONE: u32 = u32::MAX;

impl<T> Slab<T> {
    /// An empty table for at most `limit` entries.
    pub(crate) fn new(limit: usize) -> Self {
        Self { entries: Vec::with_capacity(limit), free: NONE, len: 0, limit }
    }

    /// Puts `value` in; gives it back when the table is full.
    pub(crate) fn insert(&mut self, value: T) -> Result<Key, T> {
        let index = match self.free {
            NONE if self.entries.len() == self.limit => return Err(value),
            NONE => {
                self.entries.push(Entry { generation: 0, next_free: NONE, value: None });
                (self.entries.len() - 1) as u32
            }
            index => index,
        };
        let entry = &mut self.entries[index as usize];
        if self.free == index {
            self.free = entry.next_free;
        }
        entry.value = Some(value);
        self.len += 1;
        Ok(Key { index, generation: entry.generation })
    }

    /// The entry of `key`, unless it is gone.
    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let entry = self.entries.get(key.index as usize)?;
        if entry.generation == key.generation { entry.value.as_ref() } else { None }
    }

    /// The entry of `key`, unless it is gone.
    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let entry = self.entries.get_mut(key.index as usize)?;
        if entry.generation == key.generation { entry.value.as_mut() } else { None }
    }

    /// Takes the entry of `key` out.
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let entry = self.entries.get_mut(key.index as usize)?;
        if entry.generation != key.generation {
            return None;
        }
        let value = entry.value.take()?;
        entry.generation = (entry.generation + 1) & 0x7fff_ffff;
        entry.next_free = self.free;
        self.free = key.index;
        self.len -= 1;
        Some(value)
    }

    /// The key of the entry at `index`, if there is one.
    pub(crate) fn key_at(&self, index: u32) -> Option<Key> {
        let entry = self.entries.get(index as usize)?;
        entry.value.as_ref()?;
        Some(Key { index, generation: entry.generation })
    }

    /// The keys of all entries, in order of their index.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        (0..self.entries.len() as u32).filter_map(|index| self.key_at(index))
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many there may be.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key of an earlier tenant finds nothing, though its place is taken again.
    #[test]
    fn stale_keys_find_nothing() {
        let mut slab = Slab::new(2);
        let first = slab.insert('a').unwrap();
        assert_eq!(slab.remove(first), Some('a'));
        let second = slab.insert('b').unwrap();
        assert_eq!(second.index, first.index);
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get(second), Some(&'b'));
    }

    /// A full table hands the value back, and takes one again once a place is free.
    #[test]
    fn the_limit_holds() {
        let mut slab = Slab::new(1);
        let key = slab.insert(1).unwrap();
        assert_eq!(slab.insert(2), Err(2));
        slab.remove(key);
        assert!(slab.insert(2).is_ok());
        assert_eq!((slab.len(), slab.limit()), (1, 1));
    }
}
