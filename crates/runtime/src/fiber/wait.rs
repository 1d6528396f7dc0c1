//! What a fiber can wait for beside the objects of this module: time, operations, futures.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use crate::core::Core;
use crate::engine::ops::Continuation;
use crate::engine::outcome::Failure;
use crate::engine::{OtherAlarm, Start, Submission};
use crate::error::Error;
use crate::fiber::cancel::{Here, Refusal};
use crate::fiber::slot::Cancel;
use crate::kinds::Yield;
use crate::slab::Key;
use crate::sync::{Arc, AtomicBool, Ordering};
use crate::time::{Instant, TimerKey};
use crate::wake_list::{Link, Linked, WakeSender};

/// Lets the other fibers that are ready run first.
///
/// # Errors
/// [`Error::NotInFiber`], [`Error::NoRuntime`]; [`Error::Cancelled`].
#[inline(always)] // a return that was not inlined is mispredicted after each switch
pub fn yield_now() -> Result<(), Error> {
    // SAFETY: a runtime outlives its fibers, and this waits in a fiber or not at all.
    let Some(core) = (unsafe { Core::borrow_current() }) else { return Err(Error::NoRuntime) };
    Ok(Here::of(&core)?.yield_now()?)
}

/// Waits for a time.
///
/// # Errors
/// [`Error::NotInFiber`], [`Error::NoRuntime`]; [`Error::Cancelled`]; [`Error::Exhausted`] when
/// `Config::timers` are armed.
pub fn sleep(time: Duration) -> Result<(), Error> {
    let core = Core::current_or_going()?;
    // Not the turn's: this fiber may have worked since that began.
    let due = core.clock.borrow().now() + time;
    sleep_on(&core, due)
}

/// Waits until `due`. It is not early.
///
/// # Errors
/// As [`sleep`].
pub fn sleep_until(due: Instant) -> Result<(), Error> {
    let core = Core::current_or_going()?;
    sleep_on(&core, due)
}

fn sleep_on(core: &Core, due: Instant) -> Result<(), Error> {
    let here = Here::of(core)?;
    here.checkpoint()?;
    let alarm = Wakeup::new(&here, due)?;
    Ok(here.wait_until("sleep", || alarm.has_rung())?)
}

/// Wakes a fiber at a time, unless dropped before.
pub(super) struct Wakeup<'c> {
    core: &'c Core,
    timer: TimerKey,
}

impl<'c> Wakeup<'c> {
    /// Wakes the fiber that runs.
    pub(super) fn new(here: &Here<'c>, due: Instant) -> Result<Self, Error> {
        let alarm = OtherAlarm::Fiber(here.slot.key());
        match here.core.with(|engine| engine.arm_own(due, alarm)) {
            Ok(timer) => {
                let alarms = &here.fibers().alarms;
                alarms.set(alarms.get() + 1);
                Ok(Self { core: here.core, timer })
            }
            Err(_) => {
                let limit = here.core.config.timers;
                Err(Error::Exhausted { what: "timer", limit, knob: "timers" })
            }
        }
    }

    /// Whether its time has come.
    pub(super) fn has_rung(&self) -> bool {
        !self.core.with(|engine| engine.wheel.is_armed(self.timer))
    }
}

impl Drop for Wakeup<'_> {
    fn drop(&mut self) {
        let alarms = &self.core.fibers.alarms;
        alarms.set(alarms.get() - 1);
        self.core.with(|engine| engine.wheel.cancel(self.timer));
    }
}

/// Waits for a future: everything that can be awaited can be waited for. It is polled on this
/// fiber's stack, and dropped if the fiber is cancelled.
///
/// # Errors
/// [`Error::NotInFiber`], [`Error::NoRuntime`]; [`Error::Cancelled`].
///
/// ```
/// # use tautline_runtime::{Config, Runtime, fiber::{self, Stack}, offload};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let runtime = Runtime::new(Config::default())?;
/// let sum = runtime.run_fiber(Stack::Small, || fiber::wait(offload(|| 6 * 7)))???;
/// assert_eq!(sum, 42);
/// # Ok(())
/// # }
/// ```
pub fn wait<F: Future>(future: F) -> Result<F::Output, Error> {
    wait_as("wait", future)
}

/// As [`wait()`], under the name of a call that [`list`](super::list) then shows.
///
/// # Errors
/// As there.
pub fn wait_as<F: Future>(call: &'static str, future: F) -> Result<F::Output, Error> {
    let core = Core::current_or_going()?;
    let here = Here::of(&core)?;
    here.checkpoint()?;
    let waker = here.slot.waker.get(&here);
    let task = Waker::from(waker.clone());
    let mut future = pin!(future);
    // This may be a wait within the poll of another.
    let takes = TakesWakes { waker: &waker, taken: Cell::new(false) };
    loop {
        takes.begin();
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&task)) {
            return Ok(output);
        }
        if waker.is_woken() {
            // It has woken itself: what it waits for may need a turn of this loop.
            here.yield_now()?;
        } else {
            here.wait_until(call, || waker.is_woken())?;
        }
    }
}

/// A wait that takes wakes, one of which may have been for a future that is waited for further
/// out: that one looks again afterwards, however this ends. If there was none, it need not.
struct TakesWakes<'w> {
    waker: &'w FiberWaker,
    taken: Cell<bool>,
}

impl TakesWakes<'_> {
    /// The future is about to be polled: wakes count from now on.
    fn begin(&self) {
        if self.waker.begin() {
            self.taken.set(true);
        }
    }
}

impl Drop for TakesWakes<'_> {
    fn drop(&mut self) {
        if self.taken.get() {
            self.waker.rouse();
        }
    }
}

/// What wakers that a fiber gives to futures point at.
pub(crate) struct FiberWaker {
    fiber: Key,
    /// The loop that the fiber is of.
    core: u64,
    woken: AtomicBool,
    link: Link<Self>,
    remote: WakeSender<Self>,
}

// SAFETY: `link` is a field of the node, and no other node returns it.
unsafe impl Linked for FiberWaker {
    fn link(&self) -> &Link<Self> {
        &self.link
    }
}

impl FiberWaker {
    pub(super) fn fiber(&self) -> Key {
        self.fiber
    }

    /// Wakes count from now on. Returns whether there was one.
    fn begin(&self) -> bool {
        // AcqRel pairs with the swap in `wake_by_ref`: the poll sees what was done before the
        // wake, also where that found the flag set.
        self.woken.swap(false, Ordering::AcqRel)
    }

    /// As if it had been woken just now.
    fn rouse(&self) {
        // Relaxed: seen by this thread's `begin` alone.
        self.woken.store(true, Ordering::Relaxed);
    }

    fn is_woken(&self) -> bool {
        // Relaxed: `begin` synchronises before anything is looked at.
        self.woken.load(Ordering::Relaxed)
    }
}

impl Wake for FiberWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // AcqRel pairs with the swap in `begin`.
        if self.woken.swap(true, Ordering::AcqRel) {
            return;
        }
        let local = Core::try_current(|core| {
            let here = core.id == self.core;
            if here {
                core.fibers.wake(self.fiber);
            }
            here
        });
        if local != Some(true) {
            self.remote.push(self);
        }
    }
}

/// The waker of a slot, kept for as long as nobody else holds one of an earlier tenant.
#[derive(Default)]
pub(super) struct WakerCell(RefCell<Option<Arc<FiberWaker>>>);

impl WakerCell {
    fn get(&self, here: &Here<'_>) -> Arc<FiberWaker> {
        let mut kept = self.0.borrow_mut();
        let fiber = here.slot.key();
        if let Some(waker) = &mut *kept {
            if waker.fiber == fiber {
                return waker.clone();
            }
            if let Some(unused) = Arc::get_mut(waker) {
                unused.fiber = fiber;
                return waker.clone();
            }
        }
        let fibers = here.fibers();
        let waker = Arc::new(FiberWaker {
            fiber,
            core: fibers.core,
            woken: AtomicBool::new(false),
            link: Link::new(),
            remote: fibers.remote.clone(),
        });
        *kept = Some(waker.clone());
        waker
    }
}

impl Core {
    /// Does an operation for the fiber that runs, and returns when it is over: what it borrows
    /// is the kernel's until then, whatever happens.
    #[inline]
    pub(crate) fn perform<K: Yield>(
        self: &Rc<Self>,
        io: Key,
        deadline: Option<Instant>,
        kind: K,
        call: &'static str,
    ) -> K::Output {
        let here = match Here::of(self).and_then(|here| here.checkpoint().map(|()| here)) {
            Ok(here) => here,
            Err(refusal) => return kind.output(self, Err(refusal.into())),
        };
        here.refill();
        let fiber = here.slot.key();
        let submission = Submission { io, deadline, inline: true };
        // What this leaves to be dropped waits: no code of the user's may unwind from here on.
        let started =
            self.hold(|engine| engine.start(kind, &submission, || Continuation::Fiber(fiber)));
        match started {
            Start::Done(kind, outcome, _) => kind.output(self, outcome),
            Start::Pending(key) => self.await_operation::<K>(&here, key, call),
        }
    }

    /// The same for an operation that was started before, by a poll. In a fiber that was asked to
    /// end it is taken back from the kernel.
    ///
    /// # Panics
    /// Where it may not wait, unless it is over. It is as it was then.
    pub(crate) fn await_started<K: Yield>(self: &Rc<Self>, key: Key) -> K::Output {
        let here = Here::of(self);
        here.iter().for_each(Here::may_suspend);
        if let Some((finished, _)) = self.with(|engine| engine.take_finished(key)) {
            return finished.parcel.take::<K>().output(self, finished.outcome);
        }
        let Ok(here) = here else {
            panic!("an operation that was polled, and is pending, was waited for outside a fiber");
        };
        // No code of the user's runs from here on: it might take the wake.
        self.hold(|engine| engine.tell_fiber(key, here.slot.key()));
        if here.slot.cancel.get() != Cancel::No {
            self.cancel_operation(key);
        }
        self.await_operation::<K>(&here, key, "wait")
    }

    /// Waits for an operation. It is out of the table before this returns or unwinds.
    fn await_operation<K: Yield>(
        self: &Rc<Self>,
        here: &Here<'_>,
        key: Key,
        call: &'static str,
    ) -> K::Output {
        here.slot.operation.set(Some(key));
        let finished = loop {
            here.suspend(call);
            if let Some((finished, _)) = self.hold(|engine| engine.take_finished(key)) {
                break finished;
            }
        };
        here.slot.operation.set(None);
        if finished.outcome == Err(Failure::Cancelled) {
            // The frame is the fiber's own again: it may be unwound. Any other error was there
            // before the cancellation, and nobody else will be told.
            let _ = here.checkpoint();
        }
        finished.parcel.take::<K>().output(self, finished.outcome)
    }
}

impl Here<'_> {
    #[inline(always)]
    fn yield_now(&self) -> Result<(), Refusal> {
        self.checkpoint()?;
        self.fibers().yield_now(self.slot);
        self.look()
    }

    /// A fiber that was switched to gets a dispatch budget of its own.
    #[inline]
    pub(super) fn refill(&self) {
        if self.core.unfilled.take() {
            self.core.with(crate::engine::Engine::refill);
        }
    }
}
