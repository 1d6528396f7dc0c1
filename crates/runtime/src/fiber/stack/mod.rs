//! The memory of fibers' stacks: three pools, sized at the start, that neither allocate nor
//! make a system call afterwards.
//!
//! - [`classes`]: what a configuration says.
//! - [`memory`]: one mapping a class, as it must be made under locked memory.
//! - [`guards`]: the page below each stack, any touch of which is a fault.
//! - [`pool`]: which stacks of a class are free, and where each lies.
//! - [`mark`]: how deep a stack has been used.
//! - [`overflow`]: the fault in a guard page, told in words.

mod classes;
mod guards;
mod mark;
mod memory;
pub(crate) mod overflow;
mod pool;
#[cfg(test)]
mod tests;

use std::num::NonZeroUsize;

use rustix::io::Errno;

use crate::Error;
pub(crate) use guards::Guards;
use guards::Mappings;
use pool::Pool;

pub use classes::{Stack, StackClass, StackSizes};
pub use guards::{GuardSupport, stack_guards};

/// The stacks of one runtime.
///
/// Their memory goes when all of them have come back; a stack that never does keeps the
/// address space of its class for the life of the process.
pub(crate) struct Stacks {
    /// By class.
    pools: [Pool; 3],
}

/// A stack for one fiber. It goes back by [`Stacks::give`]; one that is dropped is lost to
/// its pool.
#[derive(Debug)]
#[must_use = "a stack that is dropped is lost to its pool"]
pub(crate) struct FiberStack {
    base: NonZeroUsize,
    limit: NonZeroUsize,
    id: StackId,
}

/// Names a stack, also while a fiber is on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StackId {
    class: Stack,
    /// Its slot in the pool.
    index: u32,
}

/// What is in use of one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClassUsage {
    /// Bytes that a fiber may use of a stack.
    pub(crate) size: usize,
    /// How many stacks there are.
    pub(crate) total: usize,
    /// How many are in use now.
    pub(crate) in_use: usize,
    /// The most that were in use at a time.
    pub(crate) most_in_use: usize,
}

impl Stacks {
    /// Reserves all address space and sets all guards: 0.3 µs a stack. Memory is spent
    /// when stacks are used.
    ///
    /// # Errors
    /// [`Error::Config`] for sizes that make no sense; [`Error::Refused`] with the limit
    /// and the remedy where the machine does not grant them.
    pub(crate) fn new(sizes: &StackSizes) -> Result<Self, Error> {
        Self::with_guards(sizes, Guards::of_this_kernel())
    }

    /// As [`new`](Self::new), with guards made in the given way.
    pub(crate) fn with_guards(sizes: &StackSizes, guards: Guards) -> Result<Self, Error> {
        sizes.check()?;
        let pool = |class| make_pool(class, sizes.class(class), guards);
        let pools = [pool(Stack::Small)?, pool(Stack::Medium)?, pool(Stack::Large)?];
        Ok(Self { pools })
    }

    /// A stack, the one that came back last if any did; `None` if all are in use.
    #[inline]
    pub(crate) fn take(&mut self, class: Stack) -> Option<FiberStack> {
        let pool = &mut self.pools[class as usize];
        let index = pool.take()?;
        let (base, limit) = (pool.base(index), pool.limit(index));
        Some(FiberStack { base, limit, id: StackId { class, index } })
    }

    /// Takes a stack back.
    #[inline]
    pub(crate) fn give(&mut self, stack: FiberStack) {
        self.pools[stack.id.class as usize].give(stack.id.index, stack.limit);
    }

    pub(crate) fn usage(&self, class: Stack) -> ClassUsage {
        let pool = &self.pools[class as usize];
        ClassUsage {
            size: pool.size(),
            total: pool.count(),
            in_use: pool.in_use(),
            most_in_use: pool.most_in_use(),
        }
    }

    /// Bytes of this stack that were ever used, since it was made or [`clean`](Self::clean)ed,
    /// counted from its base. A fiber may be suspended on it. Memory that was never used is
    /// not touched. What lay deepest and was left zero is not seen.
    pub(crate) fn mark(&self, id: StackId) -> usize {
        let span = self.pools[id.class as usize].span(id.index);
        // SAFETY: the span of a slot is mapped for as long as the pool is, begins behind
        // the guard page, and is written to by this thread's fibers only, none of which
        // runs in here below its own frames.
        unsafe { mark::depth(span) }
    }

    /// Makes what was used of a stack zero, so that its next mark is its next fiber's own.
    pub(crate) fn clean(&self, stack: &mut FiberStack) {
        let StackId { class, index } = stack.id;
        let pool = &self.pools[class as usize];
        assert!(pool.limit(index) == stack.limit, "a stack of another pool");
        // SAFETY: as in `mark`; and no fiber is on a stack that is borrowed to be changed.
        unsafe { mark::clear(pool.span(index)) };
    }
}

impl FiberStack {
    /// Its name, by which [`Stacks::mark`] finds it while a fiber is on it.
    #[inline]
    pub(crate) fn id(&self) -> StackId {
        self.id
    }
}

// SAFETY: from `base` down to the guard page above `limit` lie more than MIN_STACK_SIZE
// bytes, writable and aligned, which belong to this value alone; its pool keeps them mapped
// until it has come back.
unsafe impl corosensei::stack::Stack for FiberStack {
    #[inline]
    fn base(&self) -> NonZeroUsize {
        self.base
    }

    #[inline]
    fn limit(&self) -> NonZeroUsize {
        self.limit
    }
}

fn make_pool(class: Stack, size: StackClass, guards: Guards) -> Result<Pool, Error> {
    if guards == Guards::Protection {
        room_for_guards(class, size.count, Mappings::now())?;
    }
    Pool::new(size, guards).map_err(|errno| refused(class, explain(class, size.count, errno)))
}

/// Refuses more stacks than there can be guards by protection.
fn room_for_guards(class: Stack, count: usize, mappings: Mappings) -> Result<(), Error> {
    if count <= mappings.stacks() {
        return Ok(());
    }
    let Mappings { used, limit } = mappings;
    Err(refused(
        class,
        format!(
            "{count} stacks with guard pages need {} mappings, vm.max_map_count is {limit} and {used} are in use: use Linux 6.13 or later, which needs none for guards, or raise it (`sysctl -w vm.max_map_count={}`), or lower `Config::stacks.{class}.count` to {}",
            2 * count,
            (limit + 2 * count).next_power_of_two(),
            mappings.stacks(),
        ),
    ))
}

/// Why the system refused a mapping, and what would help.
fn explain(class: Stack, count: usize, errno: Errno) -> String {
    let lower = format!("lower `Config::stacks.{class}.count`, which is {count}");
    match errno {
        Errno::AGAIN => {
            let limit = rustix::process::getrlimit(rustix::process::Resource::Memlock).current;
            let limit = limit.map_or("no limit".into(), |bytes| format!("{bytes} bytes"));
            format!(
                "all memory of this process is locked, which RLIMIT_MEMLOCK allows for {limit}: raise it (`ulimit -l unlimited`), or {lower}"
            )
        }
        Errno::NOMEM => format!(
            "{errno}: {lower}, or raise RLIMIT_AS (`ulimit -v unlimited`); or vm.max_map_count is reached, or vm.overcommit_memory is 2"
        ),
        _ => format!("{errno}: {lower}"),
    }
}

fn refused(class: Stack, reason: String) -> Error {
    let wish = match class {
        Stack::Small => "memory for small fiber stacks",
        Stack::Medium => "memory for medium fiber stacks",
        Stack::Large => "memory for large fiber stacks",
    };
    Error::Refused { wish, reason }
}
