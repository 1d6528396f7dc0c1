//! A guard allocator: blocks that were freed are filled with a pattern, kept for ever, and can be
//! verified at the end.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tautline_runtime::{IoBuf, IoBufMut};

/// What freed blocks are filled with.
pub(crate) const PATTERN: u8 = 0xD5;
/// Bytes of a block.
pub(crate) const LEN: usize = 512;

/// Freed blocks. They are never used again.
#[derive(Default)]
pub(crate) struct Quarantine {
    pub(crate) blocks: RefCell<Vec<Box<[u8]>>>,
    pub(crate) alive: Cell<usize>,
}

impl Quarantine {
    /// Blocks in which something was written after they had been freed.
    pub(crate) fn violated(&self) -> usize {
        self.blocks.borrow().iter().filter(|block| block.iter().any(|&b| b != PATTERN)).count()
    }

    pub(crate) fn freed(&self) -> usize {
        self.blocks.borrow().len()
    }
}

/// A buffer from the guard allocator.
pub(crate) struct Guarded {
    pub(crate) block: Option<Box<[u8]>>,
    quarantine: Rc<Quarantine>,
}

impl Guarded {
    pub(crate) fn new(quarantine: &Rc<Quarantine>) -> Self {
        quarantine.alive.set(quarantine.alive.get() + 1);
        Self { block: Some(vec![0; LEN].into()), quarantine: quarantine.clone() }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let mut block = self.block.take().unwrap();
        block.fill(PATTERN);
        self.quarantine.alive.set(self.quarantine.alive.get() - 1);
        self.quarantine.blocks.borrow_mut().push(block);
    }
}

// SAFETY: the block lies on the heap and is not reallocated.
unsafe impl IoBuf for Guarded {
    fn bytes(&self) -> &[u8] {
        self.block.as_deref().unwrap()
    }
}

// SAFETY: as above; a unique owner.
unsafe impl IoBufMut for Guarded {
    fn bytes_mut(&mut self) -> &mut [u8] {
        self.block.as_deref_mut().unwrap()
    }
}
