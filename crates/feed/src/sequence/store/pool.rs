//! Slots of one size.

use super::{Store, StoreError, memory, table};

/// So many packets of so many bytes at most.
#[derive(Debug)]
pub struct Pool {
    memory: Box<[u8]>,
    /// Bytes of a slot.
    size: usize,
    /// Slots in which there is nothing.
    free: Vec<u32>,
}

/// Where something lies in a [`Pool`], and its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolKey {
    slot: u32,
    /// Bytes.
    len: u32,
}

impl Pool {
    /// For so many packets of at most so many bytes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn new(packets: usize, bytes: usize) -> Result<Self, StoreError> {
        let memory = memory(packets, bytes)?;
        // The last one that was let go is the next: its lines are still near.
        let mut free = table(packets, 0)?.into_vec();
        free.iter_mut().zip((0..packets as u32).rev()).for_each(|(free, slot)| *free = slot);
        Ok(Self { memory, size: bytes, free })
    }
}

impl Store for Pool {
    type Key = PoolKey;

    fn largest(&self) -> usize {
        self.size
    }

    #[inline]
    fn keep(&mut self, bytes: &[u8]) -> Option<PoolKey> {
        if bytes.len() > self.size {
            return None;
        }
        let slot = self.free.pop()?;
        self.memory[slot as usize * self.size..][..bytes.len()].copy_from_slice(bytes);
        Some(PoolKey { slot, len: bytes.len() as u32 })
    }

    #[inline]
    fn get(&self, PoolKey { slot, len }: PoolKey) -> &[u8] {
        &self.memory[slot as usize * self.size..][..len as usize]
    }

    #[inline]
    fn release(&mut self, PoolKey { slot, .. }: PoolKey) {
        self.free.push(slot);
    }
}
