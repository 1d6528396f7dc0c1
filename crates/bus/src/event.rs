//! How users sleep until something happens, and are woken: no wake-up is lost, and each sleep is
//! ended at most once.
//!
//! ```text
//! sleeper                              the other side
//! asleep is set                        publishes
//! heavy fence                          light fence
//! looks: if nothing, sleeps            looks whether asleep is set: clears it, wakes all
//! ```
//!
//! Of two fences, one comes first: either the sleeper sees what was published, or the other side
//! sees that it sleeps. Publishing is frequent and sleeping is rare, so where the kernel grants it
//! the sleeper's fence is a barrier that it runs in every thread of the process
//! (`membarrier(2)`, private expedited), and the publisher's only keeps the compiler from moving
//! its look before its store:
//!
//! - If the barrier comes after the look of the publisher, it comes after its store too, which is
//!   then visible to the sleeper's look, for that follows the barrier.
//! - If it comes before the look, the look sees `asleep`, for that was set before the barrier.
//! - The barrier comes somewhere: the kernel interrupts those threads that run, and those that do
//!   not have passed a full barrier when they were switched out.
//!
//! Several users may sleep on one event; all of them are woken, and those who find nothing sleep
//! again. The word that says that somebody sleeps counts the wake-ups besides, and a sleep ends when
//! it is no longer what its sleeper has set: one that was woken before it slept must not sleep on
//! what another has announced since.

use std::cell::Cell;
use std::fmt;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::policy::Wait;
use crate::sync::{self, AtomicU32, Bed, Ordering};
use crate::waker::{LocalWaker, PrivateWaker, WakerCell};

/// Set: somebody sleeps, or is about to, and nobody has set out to wake it yet. The bits above
/// count wake-ups.
const ASLEEP: u32 = 1;

/// Where the users of one side of an object sleep.
#[doc(hidden)]
pub trait Sleeps: fmt::Debug {
    /// Where a user leaves its waker.
    type Waker: WakerCell;

    /// An event on which nobody sleeps yet.
    fn new(wait: Wait) -> Self;

    /// What a publisher of this process has to do before it looks for sleepers. Stays as it is.
    fn fence(&self) -> Fence;

    /// Whether somebody sleeps who may not have seen what the caller has just published.
    fn has_sleeper(&self, fence: Fence) -> bool;

    /// Wakes those who sleep.
    fn wake(&self, wakers: &[Self::Waker]);

    /// Something was published: wakes those who sleep.
    #[inline(always)]
    fn notify(&self, wakers: &[Self::Waker]) {
        if self.has_sleeper(self.fence()) {
            self.wake(wakers);
        }
    }

    /// Waits until `ready`, for which another user must do something; `false`: the deadline has
    /// passed, or there is nobody who could.
    fn wait(&self, deadline: Option<Instant>, ready: impl FnMut() -> bool) -> bool;

    /// Pending until `ready`; then `waker` has been left in `cell`.
    fn poll(
        &self,
        cell: &Self::Waker,
        context: &mut Context<'_>,
        ready: impl FnMut() -> bool,
    ) -> Poll<()>;
}

/// What stands between a publication and the look for sleepers.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fence {
    /// Nothing for the processor to do: the sleeper's fence is one in this thread too.
    Light,
    /// Nobody ever sleeps.
    NoLook,
    /// A fence of its own.
    Full,
}

impl Fence {
    /// Stands between what was published and the look that follows; `false`: there is nothing to
    /// look at.
    #[inline(always)]
    pub(crate) fn stand(self) -> bool {
        match self {
            Self::Light => sync::light_fence(true),
            Self::NoLook => return false,
            Self::Full => sync::light_fence(false),
        }
        true
    }
}

/// Users of one thread: nobody can be woken but by a waker.
#[doc(hidden)]
#[derive(Debug)]
pub struct PrivateEvent {
    asleep: Cell<bool>,
}

impl Sleeps for PrivateEvent {
    type Waker = PrivateWaker;

    fn new(_: Wait) -> Self {
        Self { asleep: Cell::new(false) }
    }

    #[inline(always)]
    fn fence(&self) -> Fence {
        Fence::Light
    }

    #[inline(always)]
    fn has_sleeper(&self, _: Fence) -> bool {
        self.asleep.get()
    }

    #[cold]
    fn wake(&self, wakers: &[PrivateWaker]) {
        self.asleep.set(false);
        wakers.iter().for_each(WakerCell::wake);
    }

    fn wait(&self, _: Option<Instant>, mut ready: impl FnMut() -> bool) -> bool {
        ready()
    }

    fn poll(
        &self,
        cell: &PrivateWaker,
        context: &mut Context<'_>,
        mut ready: impl FnMut() -> bool,
    ) -> Poll<()> {
        if ready() {
            return Poll::Ready(());
        }
        cell.register(context.waker());
        self.asleep.set(true);
        Poll::Pending
    }
}

/// Users on any thread of the process. Away from its neighbours, for every publish reads it.
#[doc(hidden)]
#[repr(align(128))]
#[derive(Debug)]
pub struct LocalEvent {
    /// [`ASLEEP`], and a count of wake-ups. Changed by exchanges alone, so that its values are one
    /// chain.
    asleep: AtomicU32,
    bed: Bed,
    wait: Wait,
    /// The sleeper's fence is one for all threads.
    asymmetric: bool,
}

impl Sleeps for LocalEvent {
    type Waker = LocalWaker;

    fn new(wait: Wait) -> Self {
        let asymmetric = wait.sleeps() && sync::barrier_in_all_threads();
        Self { asleep: AtomicU32::new(0), bed: Bed::new(), wait, asymmetric }
    }

    #[inline(always)]
    fn fence(&self) -> Fence {
        match (self.wait.sleeps(), self.asymmetric) {
            (false, _) => Fence::NoLook,
            (true, true) => Fence::Light,
            (true, false) => Fence::Full,
        }
    }

    #[inline(always)]
    fn has_sleeper(&self, fence: Fence) -> bool {
        // Pairs with the heavy fence in `announce`: see the module.
        fence.stand() && self.is_slept_on()
    }

    #[cold]
    #[inline(never)]
    fn wake(&self, wakers: &[LocalWaker]) {
        // Relaxed: the exchange looks again.
        let mut now = self.asleep.load(Ordering::Relaxed);
        while now & ASLEEP != 0 {
            // One more clears the bit and counts. Acquire pairs with the Release in `announce`. An
            // exchange always meets the latest value, so that one of several wakes.
            let next = now.wrapping_add(1);
            match self.asleep.compare_exchange(now, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => {
                    self.bed.wake_all(&self.asleep);
                    return wakers.iter().for_each(WakerCell::wake);
                }
                Err(other) => now = other,
            }
        }
    }

    fn wait(&self, deadline: Option<Instant>, ready: impl FnMut() -> bool) -> bool {
        Patience::new(self.wait, deadline).wait(
            ready,
            || self.announce(),
            |announced, limit| self.bed.sleep(&self.asleep, announced, limit),
        )
    }

    fn poll(
        &self,
        cell: &LocalWaker,
        context: &mut Context<'_>,
        mut ready: impl FnMut() -> bool,
    ) -> Poll<()> {
        if ready() {
            return Poll::Ready(());
        }
        if !self.wait.sleeps() {
            // Nobody looks for sleepers: whoever polls must come back by itself.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        cell.register(context.waker());
        self.announce();
        if ready() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl LocalEvent {
    /// Says that somebody is about to sleep; what was published before is seen by the caller's
    /// next look, and what is published after sees this. Returns what the word is until somebody
    /// is woken.
    fn announce(&self) -> u32 {
        // Release pairs with the exchange in `wake`: it sees the waker that was left before.
        let before = self.asleep.fetch_or(ASLEEP, Ordering::Release);
        // Pairs with the light fence in `notify`: see the module.
        sync::heavy_fence(self.asymmetric);
        before | ASLEEP
    }

    /// Whether somebody sleeps; worth nothing to a publisher without the fence before it.
    #[inline(always)]
    pub(crate) fn is_slept_on(&self) -> bool {
        // Relaxed: the fence orders it after what was published.
        self.asleep.load(Ordering::Relaxed) & ASLEEP != 0
    }
}

/// What somebody does who finds nothing.
enum Next {
    /// Looks again.
    Again,
    /// Sleeps, at most for so long.
    Sleep(Option<Duration>),
    /// Gives up.
    Late,
}

/// How somebody waits: spins, yields or sleeps, up to a deadline.
pub(crate) struct Patience {
    wait: Wait,
    deadline: Option<Instant>,
    looks: u32,
    /// When it began, once it asked.
    began: Option<Instant>,
}

impl Patience {
    /// So many looks go without asking what time it is.
    const UNTIMED: u32 = 64;
    /// From one question to the next.
    const BETWEEN: u32 = 16;

    pub(crate) fn new(wait: Wait, deadline: Option<Instant>) -> Self {
        Self { wait, deadline, looks: 0, began: None }
    }

    /// Looks until it is `ready`; `false`: it was not in time. Who sleeps announces it first, looks
    /// once more, and sleeps then: unless what was announced has been ended meanwhile, and for so
    /// long at most.
    pub(crate) fn wait(
        mut self,
        mut ready: impl FnMut() -> bool,
        announce: impl Fn() -> u32,
        sleep: impl Fn(u32, Option<Duration>),
    ) -> bool {
        loop {
            if ready() {
                return true;
            }
            match self.next() {
                Next::Again => {}
                Next::Sleep(limit) => {
                    let announced = announce();
                    if ready() {
                        return true;
                    }
                    sleep(announced, limit);
                }
                Next::Late => return ready(),
            }
        }
    }

    fn next(&mut self) -> Next {
        self.looks += 1;
        if self.looks < Self::UNTIMED && !cfg!(loom) {
            sync::spin_loop();
            return Next::Again;
        }
        match self.wait {
            Wait::Spin | Wait::Yield => self.stay_awake(),
            Wait::Park { spin_for } => self.go_to_sleep(spin_for),
        }
    }

    fn stay_awake(&mut self) -> Next {
        match self.wait {
            Wait::Yield => sync::yield_now(),
            _ => sync::spin_loop(),
        }
        let asks = self.deadline.is_some() && self.looks.is_multiple_of(Self::BETWEEN);
        if asks && self.deadline <= Some(Instant::now()) { Next::Late } else { Next::Again }
    }

    fn go_to_sleep(&mut self, spin_for: Duration) -> Next {
        if !spin_for.is_zero() && !self.looks.is_multiple_of(Self::BETWEEN) {
            sync::spin_loop();
            return Next::Again;
        }
        let now = Instant::now();
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            return Next::Late;
        }
        let began = *self.began.get_or_insert(now);
        if now - began < spin_for {
            return Next::Again;
        }
        // Woken for nothing: spin again before the next sleep.
        self.began = None;
        Next::Sleep(self.deadline.map(|deadline| deadline - now))
    }
}
