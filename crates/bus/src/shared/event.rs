//! How users of several processes sleep until something happens, and are woken.
//!
//! As in one process (`event.rs`), with two differences. The sleeper's fence runs in all threads of
//! all processes that have asked for it (`membarrier(2)`, global expedited), which each does when it
//! opens an object; a publisher to which the kernel has refused it has a full fence of its own. And
//! nobody sleeps for longer than [`SLICE`], for the one who would wake it may be killed first. That
//! also bounds what is left: a sleeper to which the kernel has refused the barrier may miss a
//! wake-up of a publisher who trusts in it.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::thread::futex;

use crate::event::{Fence, Next, Patience, Sleeps};
use crate::policy::Wait;
use crate::sync::{self, AtomicU32, AtomicU64, Ordering};
use crate::waker::LocalWaker;

/// So long does a sleeper sleep before it looks whether somebody has died.
const SLICE: Duration = Duration::from_millis(5);

/// Nobody sleeps, and nobody was woken yet.
const AWAKE: u32 = 0;
/// Set: somebody sleeps, or is about to. The other bits count wake-ups.
const ASLEEP: u32 = 1;

/// So often does somebody try to be the one who wakes.
const ATTEMPTS: usize = 64;

const SPIN: u32 = 0;
const YIELD: u32 = 1;
const PARK: u32 = 2;

/// Users in any process. Words alone: it lies in the segment.
#[doc(hidden)]
#[derive(Debug)]
#[repr(C, align(128))]
pub struct SharedEvent {
    /// [`ASLEEP`] and a count, or anything that another process has written.
    asleep: AtomicU32,
    /// How users wait; what is unknown counts as [`PARK`].
    wait: AtomicU32,
    /// Nanoseconds.
    spin_for: AtomicU64,
}

impl SharedEvent {
    fn wait_mode(&self) -> Wait {
        // Relaxed: written before the segment was handed out.
        match self.wait.load(Ordering::Relaxed) {
            SPIN => Wait::Spin,
            YIELD => Wait::Yield,
            _ => Wait::Park {
                spin_for: Duration::from_nanos(self.spin_for.load(Ordering::Relaxed)).min(SLICE),
            },
        }
    }

    /// Says that somebody is about to sleep. Returns what the word is until somebody is woken.
    fn announce(&self) -> u32 {
        // Relaxed: ordered by the fence, which pairs with the one in `notify`.
        let before = self.asleep.fetch_or(ASLEEP, Ordering::Relaxed);
        sync::heavy_fence_for_processes(sync::barrier_in_all_processes());
        before | ASLEEP
    }

    fn sleep(&self, announced: u32, limit: Duration) {
        let limit = futex::Timespec { tv_sec: 0, tv_nsec: limit.subsec_nanos().into() };
        let slept = futex::wait(&self.asleep, futex::Flags::empty(), announced, Some(&limit));
        debug_assert!(matches!(slept, Ok(()) | Err(Errno::AGAIN | Errno::INTR | Errno::TIMEDOUT)));
    }
}

impl Sleeps for SharedEvent {
    type Waker = LocalWaker;

    fn new(wait: Wait) -> Self {
        let (mode, spin_for) = match wait {
            Wait::Spin => (SPIN, Duration::ZERO),
            Wait::Yield => (YIELD, Duration::ZERO),
            Wait::Park { spin_for } => (PARK, spin_for),
        };
        Self {
            asleep: AtomicU32::new(AWAKE),
            wait: AtomicU32::new(mode),
            spin_for: AtomicU64::new(u64::try_from(spin_for.as_nanos()).unwrap_or(u64::MAX)),
        }
    }

    #[inline(always)]
    fn fence(&self) -> Fence {
        // Relaxed: see `wait_mode`.
        if self.wait.load(Ordering::Relaxed) < PARK {
            Fence::NoLook
        } else if sync::barrier_in_all_processes() {
            Fence::Light
        } else {
            Fence::Full
        }
    }

    #[inline(always)]
    fn has_sleeper(&self, fence: Fence) -> bool {
        // Pairs with the fence in `announce`: either the sleeper sees what was published, or this
        // sees that it sleeps. Relaxed: ordered by the fence.
        fence.stand() && self.asleep.load(Ordering::Relaxed) & ASLEEP != 0
    }

    #[cold]
    #[inline(never)]
    fn wake(&self, _: &[LocalWaker]) {
        // Relaxed: an exchange always meets the latest value, so that one of several wakes; what
        // was published was made visible by the fence. A bounded number of times, for another
        // process may write to the word without end.
        let mut now = self.asleep.load(Ordering::Relaxed);
        for _ in 0..ATTEMPTS {
            if now & ASLEEP == 0 {
                return;
            }
            // One more clears the bit and counts: who was about to sleep on the old value does not.
            let next = now.wrapping_add(1);
            match self.asleep.compare_exchange(now, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => break,
                Err(other) => now = other,
            }
        }
        // Nothing to be done about a failure: sleepers look again by themselves.
        _ = futex::wake(&self.asleep, futex::Flags::empty(), i32::MAX as u32);
    }

    fn wait(&self, deadline: Option<Instant>, mut ready: impl FnMut() -> bool) -> bool {
        let mut patience = Patience::new(self.wait_mode(), deadline);
        loop {
            if ready() {
                return true;
            }
            match patience.next() {
                Next::Again => {}
                Next::Sleep(limit) => {
                    let announced = self.announce();
                    if ready() {
                        return true;
                    }
                    self.sleep(announced, limit.map_or(SLICE, |limit| limit.min(SLICE)));
                }
                Next::Late => return ready(),
            }
        }
    }

    /// Nobody in another process can run a waker of this one: the task is polled again and again.
    fn poll(
        &self,
        _: &LocalWaker,
        context: &mut Context<'_>,
        mut ready: impl FnMut() -> bool,
    ) -> Poll<()> {
        if ready() {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
