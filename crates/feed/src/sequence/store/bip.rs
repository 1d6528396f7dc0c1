//! One ring, in which everything lies in a row.

use std::collections::VecDeque;

use super::{Store, StoreError, memory, too_much};

/// A ring in which each packet lies in one piece, as in [Simon Cooke's bip
/// buffer](https://www.codeproject.com/articles/3479/the-bip-buffer-the-circular-buffer-with-a-twist),
/// one behind the other in the order in which they come. Room comes back when the oldest is let go:
/// one that stays keeps all that came after it.
#[derive(Debug)]
pub struct Bip {
    memory: Box<[u8]>,
    /// What is in it, oldest first.
    kept: VecDeque<Kept>,
    most: usize,
    /// The key of the oldest.
    oldest: u64,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    start: u32,
    /// Behind its bytes, of which each has one at least, so that no two begin at one place.
    end: u32,
    len: u32,
    is_released: bool,
}

impl Bip {
    /// For so many bytes, in so many packets at most.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn new(bytes: usize, packets: usize) -> Result<Self, StoreError> {
        if packets == 0 {
            return Err(StoreError::Empty { packets, bytes });
        }
        let memory = memory(1, bytes)?;
        let mut kept = VecDeque::new();
        kept.try_reserve_exact(packets).map_err(|_| too_much::<Kept>(packets))?;
        Ok(Self { memory, kept, most: packets, oldest: 0 })
    }

    /// Where so many bytes, at least one, go in one piece.
    fn room(&self, len: u32) -> Option<u32> {
        let size = self.memory.len() as u32;
        let (Some(oldest), Some(newest)) = (self.kept.front(), self.kept.back()) else {
            return (len <= size).then_some(0);
        };
        if oldest.start <= newest.start {
            // Behind the newest, or before the oldest.
            let is_behind = size - newest.end >= len;
            let is_before = oldest.start >= len;
            return is_behind.then_some(newest.end).or(is_before.then_some(0));
        }
        (oldest.start - newest.end >= len).then_some(newest.end)
    }
}

impl Store for Bip {
    /// A count of what was kept.
    type Key = u64;

    fn largest(&self) -> usize {
        self.memory.len()
    }

    fn keep(&mut self, bytes: &[u8]) -> Option<u64> {
        if self.kept.len() == self.most {
            return None;
        }
        let len = u32::try_from(bytes.len()).ok()?;
        let start = self.room(len.max(1))?;
        self.memory[start as usize..][..bytes.len()].copy_from_slice(bytes);
        self.kept.push_back(Kept { start, end: start + len.max(1), len, is_released: false });
        Some(self.oldest + self.kept.len() as u64 - 1)
    }

    fn get(&self, key: u64) -> &[u8] {
        let kept = self.kept[(key - self.oldest) as usize];
        &self.memory[kept.start as usize..][..kept.len as usize]
    }

    fn release(&mut self, key: u64) {
        self.kept[(key - self.oldest) as usize].is_released = true;
        while self.kept.front().is_some_and(|kept| kept.is_released) {
            self.kept.pop_front();
            self.oldest += 1;
        }
    }
}
