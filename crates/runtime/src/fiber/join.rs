//! Waiting for a fiber's end, by whichever face.

use std::fmt;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::ptr::NonNull;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::core::Core;
use crate::engine::ops::Finished;
use crate::fiber::cancel::Here;
use crate::fiber::scheduler::Fibers;
use crate::fiber::scope::Children;
use crate::fiber::slot::{End, Slot, State};
use crate::inline_fn::OnceFn;
use crate::parcel::Parcel;
use crate::report::count;
use crate::slab::Key;
use crate::task::{Panic, discard, panic_message};

/// Who is told of a fiber's end.
#[derive(Default)]
pub(super) enum Joiner {
    #[default]
    None,
    /// A fiber that waits.
    Fiber(Key),
    /// A task that waits.
    Task(Waker),
    /// A callback.
    Call(OnceFn<Finished>),
}

/// A fiber is over: its joiner is told. If nobody will ever ask, its slot is free again.
#[inline]
pub(super) fn tell(fibers: &Fibers, core: &Core, slot: &Slot) {
    if slot.detached.get() {
        // Nobody is there to unwind.
        let name = slot.take_name();
        core.guard_as(|| name.clone(), || let_go(fibers, core, slot, &name));
        return;
    }
    match slot.joiner.take() {
        Joiner::None => {}
        Joiner::Fiber(key) => fibers.wake(key),
        outside => tell_outside(core, outside),
    }
}

/// Tells a task or a callback. Either is code of the user's, and does not unwind into the loop:
/// a callback is dropped there where its runtime goes.
fn tell_outside(core: &Core, joiner: Joiner) {
    match joiner {
        Joiner::None | Joiner::Fiber(_) => {}
        Joiner::Task(waker) => {
            core.guard("a waker", || waker.wake());
        }
        Joiner::Call(call) => {
            let finished = Finished { outcome: Ok(0), parcel: Parcel::empty() };
            core.guard(call.name(), || core.later(call, finished));
        }
    }
}

/// Frees the slot of a fiber that is over, and drops its result, which nobody fetches. The slot
/// is free before the result is dropped: that may do anything, and finds nothing here. `name` is
/// what the fiber was called, taken out of the slot.
///
/// The result's drop may unwind, and wait where this is called by a fiber. A scope waits for it.
pub(super) fn let_go(fibers: &Fibers, core: &Core, slot: &Slot, name: &str) {
    let (entry, room) = (slot.entry.get(), fibers.slots.room(slot));
    let scope = NonNull::new(slot.scope.get().cast_mut());
    if let Some(scope) = scope {
        // SAFETY: a scope outlives its children, and this is one until it is done below.
        unsafe { scope.as_ref() }.child_lingers();
    }
    let _done = scope.map(|scope| Lingering { scope, fibers });
    let freed = &mut || fibers.free(slot);
    match slot.end.get() {
        End::Cancelled => freed(),
        // SAFETY: the result lies in the room, and nobody takes it any more.
        End::Returned => unsafe { (entry.drop_result)(room, freed) },
        End::Panicked => {
            // SAFETY: that is how it ended, and the slot is freed at once.
            let payload = unsafe { Slot::payload(room) };
            freed();
            log::error!("the fiber `{name}` panicked: {}", panic_message(payload.as_ref()));
            count(&core.counters.panics, 1);
            if let Some(scope) = scope {
                // SAFETY: as above.
                unsafe { scope.as_ref() }.panicked.set(true);
            }
            discard(payload);
        }
    }
}

/// The result of a child is being dropped; its scope waits for that.
struct Lingering<'f> {
    scope: NonNull<Children>,
    fibers: &'f Fibers,
}

impl Drop for Lingering<'_> {
    fn drop(&mut self) {
        // SAFETY: the scope waits for this.
        unsafe { self.scope.as_ref() }.child_ended(self.fibers);
    }
}

impl Fibers {
    /// Ends the tenancy of a fiber that is over and has an empty room.
    #[inline]
    pub(super) fn free(&self, slot: &Slot) {
        if let Some(scope) = slot.scope() {
            scope.unlink(self, slot);
        }
        self.slots.give(slot);
    }
}

/// Waits for a fiber's result: [`join`](Self::join) from a fiber, `.await` from a task,
/// [`then`](Self::then) from a callback. Dropping it lets the fiber go on by itself.
#[must_use = "dropping it lets the fiber go on by itself; `detach` says that this is meant"]
pub struct JoinHandle<T> {
    fiber: Fiber,
    result: PhantomData<T>,
}

/// Why a fiber has no result.
pub enum JoinError {
    /// It panicked; this is what it panicked with.
    Panicked(Panic),
    /// It was cancelled, or its runtime dropped.
    Cancelled,
    /// `join` was called outside a fiber. The fiber goes on.
    NotInFiber,
}

impl JoinError {
    /// The panic's message, if it was text.
    pub fn message(&self) -> Option<&str> {
        match self {
            Self::Panicked(panic) => Some(panic.message()),
            Self::Cancelled | Self::NotInFiber => None,
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(panic) => write!(f, "the fiber panicked: {}", panic.message()),
            Self::Cancelled => f.write_str("the fiber was cancelled"),
            Self::NotInFiber => crate::Error::NotInFiber.fmt(f),
        }
    }
}

impl std::error::Error for JoinError {}

impl From<JoinError> for io::Error {
    fn from(error: JoinError) -> Self {
        Self::other(error)
    }
}

impl<T> JoinHandle<T> {
    /// Takes over the end of a fiber that was just spawned.
    pub(super) fn new(core: Rc<Core>, key: Key) -> Self {
        Self { fiber: Fiber { core, key }, result: PhantomData }
    }

    /// Waits for the result, also in a fiber that was cancelled: a join is always waited for.
    /// (One that is to unwind does that first, and the handle is dropped.)
    ///
    /// # Errors
    /// [`JoinError`].
    ///
    /// # Panics
    /// If the fiber joins itself.
    pub fn join(self) -> Result<T, JoinError> {
        let core = self.fiber.core.clone();
        let Ok(here) = Here::of(&core) else {
            return if self.is_finished() { self.result() } else { Err(JoinError::NotInFiber) };
        };
        here.may_suspend();
        assert!(self.fiber.key != here.slot.key(), "a fiber that joins itself waits for ever");
        if here.is_interrupted() {
            // It unwinds.
            let _ = here.checkpoint();
        }
        if !self.is_finished() {
            self.set_joiner(Joiner::Fiber(here.slot.key()));
            while !self.is_finished() {
                here.suspend("join");
                if here.is_interrupted() {
                    let _ = here.checkpoint();
                }
            }
        }
        self.result()
    }

    /// Lets the fiber go on by itself. A panic in it is logged.
    pub fn detach(self) {}

    /// Has `done` called on the loop with the result, never before this returns. If the
    /// runtime is dropped first, `done` is dropped uncalled.
    pub fn then<F>(self, done: F)
    where
        F: FnOnce(Result<T, JoinError>) + 'static,
        T: 'static,
    {
        let (core, key) = (self.fiber.core.clone(), self.fiber.key);
        let call = OnceFn::named_after::<F, _>(move |_: Finished| done(self.result()));
        match core.fibers.slots.get(key) {
            Some(slot) if slot.state.get() != State::Over => slot.joiner.set(Joiner::Call(call)),
            _ => core.later(call, Finished { outcome: Ok(0), parcel: Parcel::empty() }),
        }
    }

    /// Whether the result is there.
    pub fn is_finished(&self) -> bool {
        let core = &self.fiber.core;
        let slot = core.fibers.slots.get(self.fiber.key);
        slot.is_none_or(|slot| slot.state.get() == State::Over)
    }

    /// Asks the fiber to end: see [`Fiber::cancel`].
    pub fn cancel(&self) {
        self.fiber.cancel();
    }

    /// Names the fiber.
    pub fn fiber(&self) -> &Fiber {
        &self.fiber
    }

    fn set_joiner(&self, joiner: Joiner) {
        if let Some(slot) = self.fiber.core.fibers.slots.get(self.fiber.key) {
            drop(slot.joiner.replace(joiner));
        }
    }

    /// The result of a fiber that is over. Its slot is free then.
    fn result(self) -> Result<T, JoinError> {
        let Fiber { core, key } = &self.fiber;
        let Some(slot) = core.fibers.slots.get(*key) else { return Err(JoinError::Cancelled) };
        let room = core.fibers.slots.room(slot);
        // SAFETY: the fiber is over and ended like that; its slot is freed at once, so that
        // what the room held has one owner.
        let result = unsafe {
            match slot.end.get() {
                End::Returned => Ok(room.take::<T>()),
                End::Panicked => Err(JoinError::Panicked(Panic::new(Slot::payload(room)))),
                End::Cancelled => Err(JoinError::Cancelled),
            }
        };
        core.fibers.free(slot);
        result
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        let Fiber { core, key } = &self.fiber;
        let Some(slot) = core.fibers.slots.get(*key) else { return };
        if slot.state.get() == State::Over {
            let_go(&core.fibers, core, slot, &slot.take_name());
        } else {
            slot.detached.set(true);
            drop(slot.joiner.take());
        }
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    /// # Panics
    /// If it is polled again after it was ready.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.is_finished() {
            self.set_joiner(Joiner::Task(cx.waker().clone()));
            return Poll::Pending;
        }
        // A handle to nothing stays behind: the result is taken once.
        let nothing = Key { index: crate::slab::NONE, generation: 0 };
        let this = self.get_mut();
        assert!(this.fiber.key != nothing, "a fiber's result was polled after it was taken");
        let empty = Self::new(this.fiber.core.clone(), nothing);
        Poll::Ready(std::mem::replace(this, empty).result())
    }
}

impl<T> Unpin for JoinHandle<T> {}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("fiber", &self.fiber).finish_non_exhaustive()
    }
}

/// Names a fiber.
#[derive(Clone)]
pub struct Fiber {
    pub(super) core: Rc<Core>,
    pub(super) key: Key,
}

impl Fiber {
    /// Asks the fiber to end. Where it waits, or at the next call of it that may wait, it is
    /// unwound once the kernel has given back what the fiber has lent it; destructors run.
    /// A fiber that was made to [take errors](super::Builder::cancel_by_error) is not unwound:
    /// its calls fail with [`Error::Cancelled`](crate::Error::Cancelled), and the fibers of the
    /// [scopes](super::scope()) that it has open are asked to end with it.
    ///
    /// It is delivered once. Afterwards, in destructors and where the fiber has caught the
    /// unwinding, joins, locks and what the kernel holds are waited for, and all other calls
    /// that may wait fail at once. A fiber that has not begun never begins.
    pub fn cancel(&self) {
        self.core.fibers.cancel(&self.core, self.key);
    }

    /// Whether it was asked to end, and has not ended.
    pub fn is_cancelled(&self) -> bool {
        let slot = self.core.fibers.slots.get(self.key);
        slot.is_some_and(|slot| slot.cancel.get() != super::slot::Cancel::No)
    }

    /// Ends its [`park`](super::park), or its next one.
    pub fn unpark(&self) {
        if let Some(slot) = self.core.fibers.slots.get(self.key) {
            slot.token.post();
        }
    }
}

impl PartialEq for Fiber {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && Rc::ptr_eq(&self.core, &other.core)
    }
}

impl Eq for Fiber {}

impl fmt::Debug for Fiber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fiber(#{}.{})", self.key.index, self.key.generation)
    }
}
