//! The stacks of one class: a row of equal slots in one mapping.
//!
//! ```text
//!   low                  a slot is `stride` bytes                        high
//!   ┌───────┬─────────┬──────────────────┬────────┬───────┬─────────┬──── ─ ─
//!   │ guard │ reserve │ usable, as told  │ colour │ guard │ reserve │
//!   └───────┴─────────┴──────────────────┴────────┴───────┴─────────┴──── ─ ─
//!   ▲ limit                              ▲ base: a fiber begins here and goes down
//! ```

use std::num::NonZeroUsize;
use std::ops::Range;

use super::classes::StackClass;
use super::guards::Guards;
use super::memory::{Region, page_size};
use rustix::io::Errno;

/// Bytes below what a stack is said to have: a panic with a full backtrace needs 22 KiB
/// without optimisation, and must not be what overflows.
const RESERVE: usize = 32 << 10;

/// Stacks begin on pages, so their hottest lines would share the same few sets of every
/// cache. Each is moved by a line against its neighbour, at the reserve's cost: resuming
/// 1,024 fibers in turn takes 5 ns each instead of 18 ns, measured. More colours, or wider
/// ones, gain nothing and cost a second page for fibers that need only one.
const COLOURS: usize = 16;
/// Bytes from one colour to the next: a line of the cache.
const COLOUR_STEP: usize = 64;

const _: () = assert!(RESERVE - COLOURS * COLOUR_STEP >= 24 << 10);
const _: () = assert!(COLOUR_STEP.is_multiple_of(corosensei::stack::STACK_ALIGNMENT));

/// All stacks of one class.
pub(super) struct Pool {
    /// Their memory; none if the class is not used.
    region: Option<Region>,
    /// Where the lowest slot begins; 0 without a region.
    low: usize,
    layout: Layout,
    count: u32,
    /// Slots below were in use at some time, those from here on never.
    fresh: u32,
    /// Slots that came back, the latest last; room for all.
    free: Vec<u32>,
}

/// The measures of a slot, in bytes.
#[derive(Clone, Copy, Debug)]
struct Layout {
    /// What a fiber may use: whole pages.
    size: usize,
    /// From one slot to the next.
    stride: usize,
}

impl Layout {
    fn of(size: usize) -> Self {
        let page = page_size();
        let size = size.next_multiple_of(page);
        Self { size, stride: page + RESERVE.next_multiple_of(page) + size }
    }
}

impl Pool {
    /// `class` has been checked.
    pub(super) fn new(class: StackClass, guards: Guards) -> Result<Self, Errno> {
        let layout = Layout::of(class.size);
        let count = u32::try_from(class.count).map_err(|_| Errno::NOMEM)?;
        let len = layout.stride.checked_mul(class.count).ok_or(Errno::NOMEM)?;
        let region = (count > 0).then(|| row(len, layout.stride, guards)).transpose()?;
        let low = region.as_ref().map_or(0, |region| region.range().start);
        Ok(Self { region, low, layout, count, fresh: 0, free: Vec::with_capacity(class.count) })
    }

    /// A slot: the one that came back last, whose memory is warm, else a fresh one.
    #[inline]
    pub(super) fn take(&mut self) -> Option<u32> {
        if let Some(index) = self.free.pop() {
            return Some(index);
        }
        let index = self.fresh;
        if index == self.count {
            return None;
        }
        self.fresh += 1;
        Some(index)
    }

    /// Takes a slot back. `limit` proves that it is one of these.
    #[inline]
    pub(super) fn give(&mut self, index: u32, limit: NonZeroUsize) {
        // Two slots never begin at one address, and none is given back twice, because
        // `FiberStack` cannot be copied.
        assert!(index < self.fresh && self.limit(index) == limit, "a stack of another pool");
        debug_assert!(self.free.len() < self.fresh as usize);
        self.free.push(index);
    }

    /// The lowest address of a slot, its guard page.
    #[inline]
    pub(super) fn limit(&self, index: u32) -> NonZeroUsize {
        debug_assert!(index < self.count);
        let limit = self.low + index as usize * self.layout.stride;
        NonZeroUsize::new(limit).expect("a region is never at 0")
    }

    /// Where the fiber in a slot begins.
    #[inline]
    pub(super) fn base(&self, index: u32) -> NonZeroUsize {
        let colour = index as usize % COLOURS * COLOUR_STEP;
        let below_top = self.layout.stride - colour;
        self.limit(index).checked_add(below_top).expect("a region ends below the last address")
    }

    /// What a fiber in a slot can ever write to: from above its guard to its base.
    pub(super) fn span(&self, index: u32) -> Range<usize> {
        assert!(index < self.count);
        self.limit(index).get() + page_size()..self.base(index).get()
    }

    /// Bytes that a fiber may use.
    pub(super) fn size(&self) -> usize {
        self.layout.size
    }

    pub(super) fn stride(&self) -> usize {
        self.layout.stride
    }

    /// All addresses of all slots.
    pub(super) fn range(&self) -> Range<usize> {
        self.region.as_ref().map_or(0..0, Region::range)
    }

    pub(super) fn count(&self) -> usize {
        self.count as usize
    }

    pub(super) fn in_use(&self) -> usize {
        self.most_in_use() - self.free.len()
    }

    /// A fresh slot is only taken when all others are in use.
    pub(super) fn most_in_use(&self) -> usize {
        self.fresh as usize
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if self.in_use() > 0 {
            // A fiber that was forgotten may still be on its stack: rather lose the
            // address space than have it reused.
            std::mem::forget(self.region.take());
        }
    }
}

/// A row of stacks, each with its guard.
fn row(len: usize, stride: usize, guards: Guards) -> Result<Region, Errno> {
    let mut region = Region::reserve(len)?;
    guards.divide(&mut region, stride)?;
    region.relock()?;
    Ok(region)
}
