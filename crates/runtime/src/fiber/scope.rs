//! Fibers that may borrow from the fiber that spawns them.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use crate::core::Core;
use crate::error::Error;
use crate::fiber::cancel::{Here, put_off};
use crate::fiber::join::{Fiber, JoinError, JoinHandle, let_go};
use crate::fiber::scheduler::Fibers;
use crate::fiber::slot::{Cancel, Slot};
use crate::fiber::stack::Stack;
use crate::fiber::{Builder, spawn};
use crate::slab::{Key, NONE};
use crate::task::discard;

/// Runs `work`, which may spawn fibers that borrow what lives outside this call. Returns when
/// all of them have ended. If `work` panics, or this fiber is cancelled, they are cancelled and
/// waited for before it unwinds. They are not if it returns, with an error or without: call
/// [`Scope::cancel`] then where they would not end by themselves.
///
/// # Errors
/// [`Error::NotInFiber`], [`Error::NoRuntime`]; [`Error::Cancelled`].
///
/// # Panics
/// If a fiber of the scope has panicked and nobody has joined it.
///
/// ```
/// # use tautline_runtime::{Config, Runtime, fiber::{self, Stack}};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Runtime::new(Config::default())?;
/// let sum = runtime.run_fiber(Stack::Small, || {
///     let numbers = [1, 2, 3, 4];
///     fiber::scope(|scope| {
///         let (low, high) = numbers.split_at(2);
///         let low = scope.spawn(Stack::Small, || low.iter().sum::<i32>())?;
///         let high = scope.spawn(Stack::Small, || high.iter().sum::<i32>())?;
///         Ok::<_, tautline_runtime::Error>(low.join().unwrap() + high.join().unwrap())
///     })
/// })???;
/// assert_eq!(sum, 10);
/// # Ok(())
/// # }
/// ```
pub fn scope<'env, F, T>(work: F) -> Result<T, Error>
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let core = Core::current_or_going()?;
    let here = Here::of(&core)?;
    here.checkpoint()?;
    let scope = Scope {
        children: Children::of(here.slot),
        core: core.clone(),
        scope: PhantomData,
        env: PhantomData,
    };
    here.slot.innermost.set(&raw const scope.children);
    let result = catch_unwind(AssertUnwindSafe(|| work(&scope)));
    // Nothing from here to the end of the wait unwinds: what the children borrow stays.
    scope.children.await_end(&here, result.is_err());
    here.slot.innermost.set(scope.children.outer);
    match result {
        Err(payload) => resume_unwind(payload),
        Ok(value) => {
            if here.is_interrupted() {
                here.checkpoint()?;
            }
            assert!(!scope.children.panicked.get(), "a fiber of the scope panicked");
            Ok(value)
        }
    }
}

/// Spawns fibers that end before [`scope`] returns.
pub struct Scope<'scope, 'env: 'scope> {
    children: Children,
    core: Rc<Core>,
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

impl<'scope> Scope<'scope, '_> {
    /// As [`fiber::spawn`](super::spawn()), but `work` may borrow.
    ///
    /// # Errors
    /// As there.
    pub fn spawn<F, T>(
        &'scope self,
        stack: Stack,
        work: F,
    ) -> Result<ScopedJoinHandle<'scope, T>, Error>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        self.spawn_by(Builder::new(stack), work)
    }

    /// As [`Builder::spawn`], but `work` may borrow.
    ///
    /// # Errors
    /// As there.
    pub fn spawn_by<F, T>(
        &'scope self,
        builder: Builder,
        work: F,
    ) -> Result<ScopedJoinHandle<'scope, T>, Error>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        // One that is spawned while the runtime goes would not be asked to end.
        Core::current()?;
        // SAFETY: the fiber is a child of this scope, which does not return before it has ended
        // and its result has been taken or dropped: all that it borrows lives longer.
        let spawned = unsafe { spawn::launch(&self.core, builder, work, true) };
        let key = spawned.map_err(|refused| refused.error)?;
        if let Some(slot) = self.core.fibers.slots.get(key) {
            self.children.link(&self.core.fibers, slot);
        }
        if self.children.over.get() {
            self.core.fibers.cancel(&self.core, key);
        }
        Ok(ScopedJoinHandle { handle: JoinHandle::new(self.core.clone(), key), scope: PhantomData })
    }

    /// Asks all fibers of the scope to end.
    pub fn cancel(&self) {
        self.children.cancel(&self.core);
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("alive", &self.children.alive).finish_non_exhaustive()
    }
}

/// Waits for the result of a fiber of a [`Scope`]. Dropping it leaves that to the scope.
pub struct ScopedJoinHandle<'scope, T> {
    handle: JoinHandle<T>,
    scope: PhantomData<&'scope ()>,
}

impl<T> ScopedJoinHandle<'_, T> {
    /// Waits for the result.
    ///
    /// # Errors
    /// As [`JoinHandle::join`].
    pub fn join(self) -> Result<T, JoinError> {
        self.handle.join()
    }

    /// Whether the result is there.
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// Asks the fiber to end: see [`Fiber::cancel`].
    pub fn cancel(&self) {
        self.handle.cancel();
    }

    /// Names the fiber.
    pub fn fiber(&self) -> &Fiber {
        self.handle.fiber()
    }
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ScopedJoinHandle").field(self.fiber()).finish()
    }
}

/// The fibers of a scope whose slots are not free yet, linked through these.
pub(super) struct Children {
    parent: Key,
    /// The parent's scope around this one, or null. It is open for longer.
    outer: *const Self,
    first: Cell<u32>,
    /// Those that have not ended.
    alive: Cell<usize>,
    /// They were asked to end: further ones end at once.
    over: Cell<bool>,
    /// One has panicked, and nobody has joined it.
    pub(super) panicked: Cell<bool>,
}

impl Children {
    fn of(parent: &Slot) -> Self {
        Self {
            parent: parent.key(),
            outer: parent.innermost.get(),
            first: Cell::new(NONE),
            alive: Cell::new(0),
            over: Cell::new(false),
            panicked: Cell::new(false),
        }
    }

    fn link(&self, fibers: &Fibers, slot: &Slot) {
        let next = self.first.replace(slot.index);
        if next != NONE {
            let (_, after) = fibers.slots.slot(next).siblings.get();
            fibers.slots.slot(next).siblings.set((slot.index, after));
        }
        slot.siblings.set((NONE, next));
        slot.scope.set(self);
        self.alive.set(self.alive.get() + 1);
    }

    /// The slot of a child that has ended is about to be freed.
    pub(super) fn unlink(&self, fibers: &Fibers, slot: &Slot) {
        let (before, after) = slot.siblings.get();
        match before {
            NONE => self.first.set(after),
            before => {
                let other = fibers.slots.slot(before);
                other.siblings.set((other.siblings.get().0, after));
            }
        }
        if after != NONE {
            let other = fibers.slots.slot(after);
            other.siblings.set((before, other.siblings.get().1));
        }
        slot.scope.set(std::ptr::null());
    }

    /// A child has ended, but its result is still to be dropped.
    pub(super) fn child_lingers(&self) {
        self.alive.set(self.alive.get() + 1);
    }

    /// A child has ended: with the last one the parent goes on.
    pub(super) fn child_ended(&self, fibers: &Fibers) {
        self.alive.set(self.alive.get() - 1);
        if self.alive.get() == 0 {
            fibers.wake(self.parent);
        }
    }

    fn cancel(&self, core: &Core) {
        self.over.set(true);
        let mut at = self.first.get();
        while at != NONE {
            let slot = core.fibers.slots.slot(at);
            core.fibers.cancel(core, slot.key());
            at = slot.siblings.get().1;
        }
    }

    /// Waits until all have ended, and drops what nobody has fetched of them, which may spawn
    /// further ones; cancels them if the parent is `over` or cancelled meanwhile.
    fn await_end(&self, here: &Here<'_>, over: bool) {
        let no_way_out = NoWayOut;
        self.await_all(here, over);
        std::mem::forget(no_way_out);
    }

    /// The same, where it may not unwind.
    fn await_all(&self, here: &Here<'_>, over: bool) {
        loop {
            self.await_last(here, over);
            if self.first.get() == NONE {
                return;
            }
            let slot = here.fibers().slots.slot(self.first.get());
            // It would unwind past children that are alive: a cancellation comes again later.
            let dropped = catch_unwind(AssertUnwindSafe(|| {
                let_go(here.fibers(), here.core, slot, &slot.take_name());
            }));
            match dropped {
                Ok(()) => {}
                Err(payload) if put_off(here.core, payload.as_ref()) => {}
                Err(payload) => {
                    self.panicked.set(true);
                    discard(payload);
                }
            }
        }
    }

    fn await_last(&self, here: &Here<'_>, over: bool) {
        while self.alive.get() > 0 {
            let over = over || here.slot.cancel.get() != Cancel::No;
            if over && !self.over.get() {
                self.cancel(here.core);
            }
            here.suspend("scope");
        }
    }
}

/// Asks the children of all scopes that a fiber has open to end.
pub(super) fn cancel_open(core: &Core, parent: &Slot) {
    let mut at = parent.innermost.get();
    // SAFETY: null, or a scope that its parent has open, which lies in the parent's frames until
    // it is closed, and is taken from here then. Those around it are open for longer.
    while let Some(children) = unsafe { at.as_ref() } {
        children.cancel(core);
        at = children.outer;
    }
}

/// Nothing may unwind past this: children are alive that borrow from the frames below.
struct NoWayOut;

impl Drop for NoWayOut {
    fn drop(&mut self) {
        log::error!("a panic would leave a scope whose fibers have not ended: the process ends");
        std::process::abort();
    }
}
