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
    /// Bytes of what is in each.
    lens: Box<[u32]>,
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
        Ok(Self { memory, size: bytes, free, lens: table(packets, 0)? })
    }
}

impl Store for Pool {
    type Key = u32;

    fn largest(&self) -> usize {
        self.size
    }

    fn keep(&mut self, bytes: &[u8]) -> Option<u32> {
        if bytes.len() > self.size {
            return None;
        }
        let slot = self.free.pop()?;
        self.memory[slot as usize * self.size..][..bytes.len()].copy_from_slice(bytes);
        self.lens[slot as usize] = bytes.len() as u32;
        Some(slot)
    }

    fn get(&self, slot: u32) -> &[u8] {
        &self.memory[slot as usize * self.size..][..self.lens[slot as usize] as usize]
    }

    fn release(&mut self, slot: u32) {
        self.free.push(slot);
    }
}
