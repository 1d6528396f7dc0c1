//! The scope itself.

use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::error::Corrupt;
use crate::layout::Layout;
use crate::plain::{self, Plain};
use crate::scope::{Attention, Carries, Place, Scope};
use crate::shared::event::SharedEvent;
use crate::shared::identity::Identity;
use crate::shared::store::{Kept, Mapped, MappedOne, SegmentStore};
use crate::sync::{self, Arc, AtomicU32, AtomicU64, Ordering};
use crate::waker::LocalWaker;

/// Any process of the user, and of those it lets in: objects are opened by a name. Carries [`Plain`] data with a [`Layout`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Shared;

impl Scope for Shared {
    const NAME: &'static str = "shared";
    const OTHERS_RUN: bool = true;
    const MORTAL: bool = true;
    type Word = AtomicU64;
    type Word32 = AtomicU32;
    type Shared<T> = Arc<T>;
    type Shelf<T> = Mutex<T>;
    type One<T> = MappedOne<T>;
    type Array<T> = Mapped<T>;
    type Store = SegmentStore;
    type Keep = Kept;
    type Attention = Watchful;
    type Event = SharedEvent;
    type Waker = LocalWaker;

    fn share<T>(value: T) -> Arc<T> {
        Arc::new(value)
    }

    fn user() -> u64 {
        // Opening has asked before, and fails if this cannot be told.
        Identity::own().expect("/proc told this process's start time when it opened").word()
    }
}

// SAFETY: plain data is copied in and out, and checked when it comes out.
unsafe impl<T: Plain + Layout> Carries<T> for Shared {
    #[inline(always)]
    unsafe fn put(place: &Place<T>, value: T) {
        // SAFETY: the place lies in a segment, is valid and aligned.
        unsafe { plain::store(place.to_write(), &value) };
    }

    #[inline(always)]
    unsafe fn get<E: From<Corrupt>>(place: &Place<T>) -> Result<T, E> {
        // SAFETY: as above.
        unsafe { plain::load_told(place.to_read()) }
    }

    #[inline(always)]
    unsafe fn discard(_: &Place<T>) {}
}

/// How often somebody who sends or waits looks whether another has died.
const INTERVAL: Duration = Duration::from_millis(5);

/// Ticks up to the first look, when it is not yet known how long one takes.
const FIRST: u64 = 1 << 20;

/// Reading the processor's counter costs as much as half a message (11.6 ns of 28.7, on an EPYC). Of
/// calls that follow each other fast one in so many reads it.
const STRIDE: u32 = 8;
/// They do if so many of them take no longer than this part of [`INTERVAL`].
const FAST: u64 = 1 << 10;

/// Tells when it is time to look again, by a counter of the processor, which costs no call. Several
/// threads of a process may share one.
pub struct Watchful {
    /// The count at the last look.
    looked: AtomicU64,
    /// The time then, or of a look before: nanoseconds since the origin.
    when: AtomicU64,
    /// Ticks from one look to the next.
    step: AtomicU64,
    /// Calls in passing that do not read the counter.
    left: AtomicU32,
    /// What the last of them read that did.
    passed: AtomicU64,
    origin: Instant,
}

impl fmt::Debug for Watchful {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watchful")
    }
}

impl Attention for Watchful {
    fn new() -> Self {
        Self {
            looked: AtomicU64::new(sync::ticks()),
            when: AtomicU64::new(0),
            step: AtomicU64::new(FIRST),
            left: AtomicU32::new(0),
            passed: AtomicU64::new(0),
            origin: Instant::now(),
        }
    }

    #[inline(always)]
    fn is_due(&self) -> bool {
        self.is_due_at(sync::ticks())
    }

    #[inline(always)]
    fn is_due_in_passing(&self) -> bool {
        // Of threads that share this one's step may be lost, which is no harm.
        let left = self.left.load(Ordering::Relaxed);
        if left != 0 {
            self.left.store(left - 1, Ordering::Relaxed);
            return false;
        }
        let ticks = sync::ticks();
        let since = ticks.wrapping_sub(self.passed.load(Ordering::Relaxed));
        self.passed.store(ticks, Ordering::Relaxed);
        if since < self.step.load(Ordering::Relaxed) / FAST {
            self.left.store(STRIDE - 1, Ordering::Relaxed);
        }
        self.is_due_at(ticks)
    }
}

impl Watchful {
    #[inline(always)]
    fn is_due_at(&self, ticks: u64) -> bool {
        // Relaxed, in all of this: numbers of this process alone, which order nothing.
        let looked = self.looked.load(Ordering::Relaxed);
        ticks.wrapping_sub(looked) >= self.step.load(Ordering::Relaxed) && self.look(looked)
    }

    /// Counts as a look, and learns how fast the counter is. Of several threads one looks.
    #[cold]
    fn look(&self, then: u64) -> bool {
        let ticks = sync::ticks();
        let first = self.looked.compare_exchange(then, ticks, Ordering::Relaxed, Ordering::Relaxed);
        if first.is_err() {
            return false;
        }
        let now = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        // Of this look or of one before: then the step is too short, which is no harm.
        let nanos = now.saturating_sub(self.when.swap(now, Ordering::Relaxed)).max(1);
        let passed = u128::from(ticks.wrapping_sub(then));
        let step = passed * INTERVAL.as_nanos() / u128::from(nanos);
        self.step.store(u64::try_from(step).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
        true
    }
}
