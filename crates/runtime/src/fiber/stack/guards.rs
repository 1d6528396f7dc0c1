//! Guard pages: what turns a stack overflow into a fault, and what the kernel offers for it.

use std::fs;
use std::ops::Range;

use rustix::io::Errno;

use super::memory::{Region, page_size};

/// Mappings that are left for everything else in the process.
const SPARE_MAPPINGS: usize = 1024;
/// What the kernel allows where it cannot be asked.
const USUAL_MAPPINGS: usize = 65_530;

/// How guard pages are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guards {
    /// By markers in the page table, which leave the mapping whole.
    Markers,
    /// By taking access away, which divides the mapping at each guard.
    Protection,
}

/// What this kernel offers for the guard page below each fiber's stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GuardSupport {
    /// Markers in the page table (Linux 6.13 and later): any number of stacks.
    Markers,
    /// Protected pages: each stack takes two of the mappings that `vm.max_map_count`
    /// allows to a process.
    Protection {
        /// How many stacks this process has room for, besides what it has mapped now.
        stacks: usize,
    },
}

/// What this kernel offers for the guard pages of fibers' stacks. Needs no runtime.
///
/// ```
/// use tautline_runtime::fiber::{GuardSupport, stack_guards};
/// match stack_guards() {
///     GuardSupport::Markers => println!("as many fibers as memory allows"),
///     GuardSupport::Protection { stacks } => println!("{stacks} fibers at most"),
///     other => println!("{other:?}"),
/// }
/// ```
pub fn stack_guards() -> GuardSupport {
    match Guards::of_this_kernel() {
        Guards::Markers => GuardSupport::Markers,
        Guards::Protection => GuardSupport::Protection { stacks: Mappings::now().stacks() },
    }
}

impl Guards {
    /// The better way, if this kernel knows it.
    pub(crate) fn of_this_kernel() -> Self {
        let tried = Region::reserve(page_size()).and_then(|mut page| mark(&mut page, 0));
        if tried.is_ok() { Self::Markers } else { Self::Protection }
    }

    /// Makes `region` a row of stacks, each `stride` bytes with a guard page lowest.
    pub(super) fn divide(self, region: &mut Region, stride: usize) -> Result<(), Errno> {
        let len = region.range().len();
        debug_assert!(len.is_multiple_of(stride));
        let starts = (0..len).step_by(stride);
        match self {
            Self::Markers => {
                region.open(0..len)?;
                starts.into_iter().try_for_each(|start| mark(region, start))
            }
            Self::Protection => starts
                .into_iter()
                .try_for_each(|start| region.open(start + page_size()..start + stride)),
        }
    }
}

/// Marks the page at `start` as a guard. A lock on all memory, asked for by another thread
/// since the region was unlocked, is taken off once more.
fn mark(region: &mut Region, start: usize) -> Result<(), Errno> {
    let guard: Range<usize> = start..start + page_size();
    match region.mark_as_guard(guard.clone()) {
        Err(Errno::INVAL) => {
            region.unlock()?;
            region.mark_as_guard(guard)
        }
        marked => marked,
    }
}

/// The mappings of this process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mappings {
    /// How many it has.
    pub(super) used: usize,
    /// How many it may have: `vm.max_map_count`.
    pub(super) limit: usize,
}

impl Mappings {
    pub(super) fn now() -> Self {
        let limit = fs::read_to_string("/proc/sys/vm/max_map_count").ok();
        let limit = limit.and_then(|text| text.trim().parse().ok()).unwrap_or(USUAL_MAPPINGS);
        let used = fs::read_to_string("/proc/self/maps").map_or(0, |text| text.lines().count());
        Self { used, limit }
    }

    /// How many stacks there is room for, at two mappings each.
    pub(super) fn stacks(self) -> usize {
        self.limit.saturating_sub(self.used + SPARE_MAPPINGS) / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two mappings a stack, less what is in use and what is spared for the rest.
    #[test]
    fn room_for_stacks_is_half_of_what_is_left() {
        let room = |used, limit| Mappings { used, limit }.stacks();
        assert_eq!(room(30, 65_530), (65_530 - 1024 - 30) / 2);
        assert_eq!(room(70_000, 65_530), 0);
        assert!(Mappings::now().used > 0);
    }

    /// The public answer is the way that is taken.
    #[test]
    fn the_answer_is_what_is_done() {
        let markers = stack_guards() == GuardSupport::Markers;
        assert_eq!(markers, Guards::of_this_kernel() == Guards::Markers);
    }
}
