//! Blocks of sizes that are powers of two.

use super::{Store, StoreError, memory, table};

/// The smallest block, in bytes: a line.
const UNIT: usize = 64;

/// Packets of all sizes, each in a block of 64 bytes times a power of two, which is split off a larger
/// one and joined with its buddy when it is let go (K. C. Knowlton, "A fast storage allocator", 1965).
/// Both take O(log n) steps, most times a few; nothing that stays keeps others.
#[derive(Debug)]
pub struct Slots {
    memory: Box<[u8]>,
    /// By order, a block of which has `UNIT << order` bytes: the free block that is taken next.
    free: Box<[Link]>,
    /// Bits of the orders of which there are free blocks.
    orders: u32,
    /// By the unit with which a block begins. Within a block nothing is free.
    blocks: Box<[Block]>,
}

/// The first unit of a free block, if there is one.
type Link = Option<u32>;

#[derive(Clone, Copy, Debug, Default)]
struct Block {
    /// Bytes of what lies in it.
    len: u32,
    order: u8,
    is_free: bool,
    /// While it is free: the others of its order.
    before: Link,
    behind: Link,
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
        let free = table(usize::from(order) + 1, None)?;
        let mut slots = Self { memory, free, orders: 0, blocks: table(units, Block::default())? };
        slots.add_free(0, order);
        Ok(slots)
    }

    /// Puts a block before the free ones of its order.
    fn add_free(&mut self, first: u32, order: u8) {
        let behind = self.free[usize::from(order)].replace(first);
        if let Some(behind) = behind {
            self.blocks[behind as usize].before = Some(first);
        }
        let block = Block { len: 0, order, is_free: true, before: None, behind };
        self.blocks[first as usize] = block;
        self.orders |= 1 << order;
    }

    /// Takes a block out of the free ones of its order.
    fn take_free(&mut self, first: u32) {
        let Block { order, before, behind, .. } = self.blocks[first as usize];
        self.blocks[first as usize].is_free = false;
        if let Some(behind) = behind {
            self.blocks[behind as usize].before = before;
        }
        let link = match before {
            Some(before) => &mut self.blocks[before as usize].behind,
            None => &mut self.free[usize::from(order)],
        };
        *link = behind;
        if self.free[usize::from(order)].is_none() {
            self.orders &= !(1 << order);
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
        let units = bytes.len().div_ceil(UNIT).max(1).checked_next_power_of_two()?;
        let wanted = units.trailing_zeros();
        // The smallest that is enough: large blocks stay whole.
        let large_enough = self.orders.checked_shr(wanted)?;
        let mut order = wanted + large_enough.trailing_zeros();
        let first = (*self.free.get(order as usize)?)?;
        self.take_free(first);
        while order > wanted {
            order -= 1;
            self.add_free(first + (1 << order), order as u8);
        }
        let block = &mut self.blocks[first as usize];
        (block.len, block.order) = (bytes.len() as u32, wanted as u8);
        self.memory[first as usize * UNIT..][..bytes.len()].copy_from_slice(bytes);
        Some(first)
    }

    fn get(&self, first: u32) -> &[u8] {
        &self.memory[first as usize * UNIT..][..self.blocks[first as usize].len as usize]
    }

    fn release(&mut self, mut first: u32) {
        let Block { mut order, is_free, .. } = self.blocks[first as usize];
        debug_assert!(!is_free, "let go twice");
        while 1 << order < self.blocks.len() {
            let buddy = first ^ (1 << order);
            let block = self.blocks[buddy as usize];
            if !block.is_free || block.order != order {
                break;
            }
            self.take_free(buddy);
            first &= !(1 << order);
            order += 1;
        }
        self.add_free(first, order);
    }
}
