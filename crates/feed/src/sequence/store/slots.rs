//! Blocks of sizes that are powers of two.

use super::{Store, StoreError, memory, table};

/// The smallest block, in bytes: a line.
const UNIT: usize = 64;

/// Packets of all sizes, each in a block of 64 bytes times a power of two, which is split off a larger
/// one and joined with its buddy when it is let go (K. C. Knowlton, "A fast storage allocator", 1965).
/// Both take O(log n) steps; nothing that stays keeps others.
#[derive(Debug)]
pub struct Slots {
    memory: Box<[u8]>,
    /// For each block of the tree, a heap with the whole at 1: the order of the largest free block in
    /// it, and one; 0: none.
    largest: Box<[u8]>,
    /// The order of the whole: it has `UNIT << order` bytes.
    order: u8,
    /// Bytes of what lies in the block that begins with a unit, and its order.
    blocks: Box<[Block]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Block {
    len: u32,
    order: u8,
}

impl Slots {
    /// For so many bytes: rounded up to 64 times a power of two.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn new(bytes: usize) -> Result<Self, StoreError> {
        let too_much = StoreError::Memory { bytes };
        let units = bytes.div_ceil(UNIT).checked_next_power_of_two().ok_or(too_much)?;
        let memory = memory(units.min(bytes), UNIT)?;
        let order = units.trailing_zeros() as u8;
        let depth = |node: usize| node.ilog2() as u8;
        let mut largest = table(2 * units, 0)?;
        let nodes = largest.iter_mut().enumerate().skip(1);
        nodes.for_each(|(node, largest)| *largest = order - depth(node) + 1);
        Ok(Self { memory, largest, order, blocks: table(units, Block::default())? })
    }

    /// What is free below a node follows from its halves.
    fn mend(&mut self, mut node: usize) {
        while node > 1 {
            node /= 2;
            let (left, right) = (self.largest[2 * node], self.largest[2 * node + 1]);
            let half = self.order - node.ilog2() as u8;
            let is_whole = left == half && right == half;
            let now = if is_whole { half + 1 } else { left.max(right) };
            if std::mem::replace(&mut self.largest[node], now) == now {
                return; // nothing changes above
            }
        }
    }
}

impl Store for Slots {
    /// The unit with which the block begins.
    type Key = u32;

    fn largest(&self) -> usize {
        self.memory.len()
    }

    fn keep(&mut self, bytes: &[u8]) -> Option<u32> {
        let units = bytes.len().div_ceil(UNIT).max(1).next_power_of_two();
        let wanted = units.trailing_zeros() as u8;
        if self.largest[1] <= wanted {
            return None;
        }
        let mut node = 1;
        for _ in wanted..self.order {
            node *= 2;
            // The half that has less, if it is enough: large blocks stay whole.
            let (left, right) = (self.largest[node], self.largest[node + 1]);
            let is_left = left > wanted && (right <= wanted || left <= right);
            node += usize::from(!is_left);
        }
        self.largest[node] = 0;
        self.mend(node);
        let first = (node - (1 << node.ilog2())) * units;
        self.memory[first * UNIT..][..bytes.len()].copy_from_slice(bytes);
        self.blocks[first] = Block { len: bytes.len() as u32, order: wanted };
        Some(first as u32)
    }

    fn get(&self, first: u32) -> &[u8] {
        &self.memory[first as usize * UNIT..][..self.blocks[first as usize].len as usize]
    }

    fn release(&mut self, first: u32) {
        let order = self.blocks[first as usize].order;
        let node = (1 << (self.order - order)) + (first as usize >> order);
        debug_assert_eq!(self.largest[node], 0, "let go twice");
        self.largest[node] = order + 1;
        self.mend(node);
    }
}
