//! The seam: what the driver needs of a ring, and the kernel's.

use std::io;
use std::time::Duration;

use io_uring::squeue::Entry;
use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring};

use super::provided::DescriptorRing;
use crate::driver::pool::Pool;
use crate::driver::{BufferId, Full, Wait};

/// A completion as the ring carries it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cqe {
    /// What the entry was pushed with.
    pub(super) user_data: u64,
    /// A count, descriptor or readiness if not negative, else `-errno`.
    pub(super) result: i32,
    /// `IORING_CQE_F_*`.
    pub(super) flags: u32,
}

/// A submission queue, a completion queue, and a group of provided buffers.
pub(crate) trait Ring {
    /// Entries of the submission queue.
    fn capacity(&self) -> u32;

    /// Entries pushed that the kernel has not taken yet.
    fn unsubmitted(&self) -> u32;

    /// Pushes an entry.
    ///
    /// # Errors
    /// [`Full`] when the submission queue is full.
    ///
    /// # Safety
    /// The memory that `entry` names stays valid until the entry's last completion.
    unsafe fn push(&mut self, entry: &Entry) -> Result<(), Full>;

    /// Enters the kernel: hands over `submit` entries, runs deferred work, moves
    /// overflowed completions into the queue, and waits as told for one completion.
    /// Returns how many entries the kernel took.
    ///
    /// # Errors
    /// As `io_uring_enter(2)`; entries that were not taken stay in the queue.
    fn enter(&mut self, submit: u32, wait: Wait) -> io::Result<u32>;

    /// Hands completions to `each`, oldest first, until it says `false` or none is left.
    fn reap(&mut self, each: impl FnMut(Cqe) -> bool);

    /// Whether the completion queue holds something.
    fn has_completions(&self) -> bool;

    /// Whether completions wait inside the kernel for an [`enter`](Ring::enter):
    /// deferred work, or an overflow.
    fn wants_enter(&self) -> bool;

    /// Whether the completion queue has overflowed into the kernel's own list.
    fn overflowed(&self) -> bool;

    /// Makes `pool` the buffers that receives choose from.
    ///
    /// # Errors
    /// As `io_uring_register(2)`.
    ///
    /// # Safety
    /// The pool's memory stays valid until the ring is gone and nothing is in flight.
    unsafe fn register(&mut self, pool: &Pool) -> io::Result<()>;

    /// Stages a buffer of the pool for the kernel; it is seen after
    /// [`publish`](Ring::publish).
    fn provide(&mut self, id: BufferId, address: *mut u8, size: u32);

    /// Shows the kernel all staged buffers.
    fn publish(&mut self);
}

/// A year; longer times do not fit everywhere, and nobody notices.
const LONGEST_WAIT: Duration = Duration::from_secs(365 * 24 * 3600);

/// The group of the receive pool.
pub(super) const POOL_GROUP: u16 = 0;

/// The kernel's ring.
pub(crate) struct KernelRing {
    /// The ring. Declared before `provided`, which its registration names.
    ring: IoUring,
    /// Where the kernel finds the pool's buffers; `None` before registration.
    provided: Option<DescriptorRing>,
}

impl KernelRing {
    /// Wraps a ring that has been set up.
    pub(super) fn new(ring: IoUring) -> Self {
        Self { ring, provided: None }
    }

    /// The ring itself, for set-up.
    pub(super) fn inner(&self) -> &IoUring {
        &self.ring
    }

    /// The submission queue, seen without owning it.
    #[inline]
    fn submission(&self) -> io_uring::SubmissionQueue<'_> {
        // SAFETY: `KernelRing` belongs to one thread, and no method keeps a queue while
        // it calls another, so this is the only one.
        unsafe { self.ring.submission_shared() }
    }
}

impl Ring for KernelRing {
    fn capacity(&self) -> u32 {
        self.ring.params().sq_entries()
    }

    #[inline]
    fn unsubmitted(&self) -> u32 {
        // At most `sq_entries`, which is a u32.
        self.submission().len() as u32
    }

    #[inline]
    unsafe fn push(&mut self, entry: &Entry) -> Result<(), Full> {
        // SAFETY: the caller keeps what the entry names valid.
        unsafe { self.ring.submission().push(entry) }.map_err(|_| Full)
    }

    fn enter(&mut self, submit: u32, wait: Wait) -> io::Result<u32> {
        let submitter = self.ring.submitter();
        let events = EnterFlags::GETEVENTS.bits();
        let taken = match wait {
            // SAFETY: no argument is passed; `submit` entries are in the queue.
            Wait::No => unsafe { submitter.enter::<libc::sigset_t>(submit, 0, events, None) },
            // SAFETY: as above.
            Wait::Forever => unsafe { submitter.enter::<libc::sigset_t>(submit, 1, events, None) },
            Wait::AtMost(time) => {
                let time = Timespec::from(time.min(LONGEST_WAIT));
                let args = SubmitArgs::new().timespec(&time);
                let flags = events | EnterFlags::EXT_ARG.bits();
                // SAFETY: with EXT_ARG the argument is the structure that `args` is, and
                // it and the time live through the call.
                unsafe { submitter.enter(submit, 1, flags, Some(&args)) }
            }
        };
        taken.map(|count| count as u32)
    }

    #[inline]
    fn reap(&mut self, mut each: impl FnMut(Cqe) -> bool) {
        for entry in self.ring.completion() {
            let cqe =
                Cqe { user_data: entry.user_data(), result: entry.result(), flags: entry.flags() };
            if !each(cqe) {
                break;
            }
        }
    }

    #[inline]
    fn has_completions(&self) -> bool {
        // SAFETY: as in `submission`.
        !unsafe { self.ring.completion_shared() }.is_empty()
    }

    #[inline]
    fn wants_enter(&self) -> bool {
        let queue = self.submission();
        queue.taskrun() || queue.cq_overflow()
    }

    #[inline]
    fn overflowed(&self) -> bool {
        self.submission().cq_overflow()
    }

    unsafe fn register(&mut self, pool: &Pool) -> io::Result<()> {
        let provided = DescriptorRing::new(pool.count())?;
        // SAFETY: the descriptor ring lives as long as the ring (see the field order),
        // and the caller vouches for the buffers.
        unsafe {
            self.ring.submitter().register_buf_ring_with_flags(
                provided.address(),
                provided.entries(),
                POOL_GROUP,
                0,
            )?;
        }
        self.provided = Some(provided);
        Ok(())
    }

    fn provide(&mut self, id: BufferId, address: *mut u8, size: u32) {
        if let Some(provided) = &mut self.provided {
            provided.stage(id, address, size);
        }
    }

    fn publish(&mut self) {
        if let Some(provided) = &mut self.provided {
            provided.publish();
        }
    }
}
