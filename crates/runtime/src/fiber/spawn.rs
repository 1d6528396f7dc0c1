//! How a fiber is made.

use std::any::type_name;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use crate::core::Core;
use crate::error::Error;
use crate::fiber::cancel::Unwinding;
use crate::fiber::join::{JoinHandle, Joiner};
use crate::fiber::slot::{Band, Cancel, End, Entry, Room};
use crate::fiber::stack::Stack;
use crate::slab::Key;

/// Runs `work` as a fiber of this thread's loop, on a stack of that class.
///
/// It begins when the scheduler reaches it, and gets its stack only then. Where no stack of the
/// class is left, it waits for one, in the order of spawning; at most `Config::stack_queue` do.
/// Captures and results of up to `Config::fiber_room` bytes lie in the table of fibers; larger
/// ones, and those aligned to more than 16, cost an allocation each, and are counted in
/// [`Metrics`](crate::Metrics). Captures are moved to the fiber's stack when it begins: those
/// that are as large as that want a `Box` of their own.
///
/// # Errors
/// [`Error::NoRuntime`]; [`Error::Exhausted`] when there are `Config::fibers`, or too many wait
/// for a stack. `work` is dropped then; [`try_spawn`] gives it back.
///
/// ```
/// # use tautline_runtime::{Config, Runtime, fiber::{self, Stack}};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Runtime::new(Config::default())?;
/// let answer = runtime.run_fiber(Stack::Small, || {
///     let handle = fiber::spawn(Stack::Small, || 6 * 7)?;
///     Ok::<_, tautline_runtime::Error>(handle.join())
/// })??;
/// assert_eq!(answer?, 42);
/// # Ok(())
/// # }
/// ```
pub fn spawn<F, T>(stack: Stack, work: F) -> Result<JoinHandle<T>, Error>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    Builder::new(stack).spawn(work)
}

/// As [`spawn`], but only if there is a stack for it now.
///
/// # Errors
/// [`Refused`] gives `work` back.
pub fn try_spawn<F, T>(stack: Stack, work: F) -> Result<JoinHandle<T>, Refused<F>>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    Builder::new(stack).try_spawn(work)
}

/// Work that was not taken on.
pub struct Refused<F> {
    /// Why.
    pub error: Error,
    /// What was to be done.
    pub work: F,
}

impl<F> fmt::Debug for Refused<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<F> fmt::Display for Refused<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<F> std::error::Error for Refused<F> {}

/// How a fiber is to be made.
///
/// ```
/// # use tautline_runtime::{Config, Runtime, fiber::{self, Band, Builder, Stack}};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Runtime::new(Config::default())?;
/// let feed = Builder::new(Stack::Medium).name("feed").band(Band::High);
/// let handle = feed.spawn(|| "ready")?;
/// # assert_eq!(runtime.block_on(handle)??, "ready");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    stack: Stack,
    band: Band,
    name: Option<Cow<'static, str>>,
    by_error: bool,
}

impl Builder {
    /// On a stack of that class, in the normal band.
    pub fn new(stack: Stack) -> Self {
        Self { stack, band: Band::Normal, name: None, by_error: false }
    }

    /// Its name, for [`list`](super::list) and messages. Without one it goes by the type of
    /// its work, which holds the path of the function that wrote it. The watch, which asks from
    /// another thread, knows names that live for ever, and of others the type of the work. A
    /// `String` costs an allocation.
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Which ready fibers it goes before.
    pub fn band(mut self, band: Band) -> Self {
        self.band = band;
        self
    }

    /// Cancellation never unwinds it: its calls fail with [`Error::Cancelled`] instead. For
    /// fibers with frames of other languages, which must not be unwound. (So it is for all
    /// fibers of programs that are built with `panic = "abort"`.)
    pub fn cancel_by_error(mut self) -> Self {
        self.by_error = true;
        self
    }

    /// As [`spawn`].
    ///
    /// # Errors
    /// As there.
    pub fn spawn<F, T>(self, work: F) -> Result<JoinHandle<T>, Error>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        let core = Core::current()?;
        self.spawn_on(core, work)
    }

    /// As [`try_spawn`].
    ///
    /// # Errors
    /// As there.
    pub fn try_spawn<F, T>(self, work: F) -> Result<JoinHandle<T>, Refused<F>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        let core = match Core::current() {
            Ok(core) => core,
            Err(error) => return Err(Refused { error, work }),
        };
        // SAFETY: work and result borrow nothing.
        let key = unsafe { launch(&core, self, work, false) }?;
        Ok(JoinHandle::new(core, key))
    }

    pub(crate) fn spawn_on<F, T>(self, core: Rc<Core>, work: F) -> Result<JoinHandle<T>, Error>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        // SAFETY: work and result borrow nothing.
        match unsafe { launch(&core, self, work, true) } {
            Ok(key) => Ok(JoinHandle::new(core, key)),
            Err(refused) => Err(refused.error),
        }
    }
}

/// What is done with work of the type `F` that yields a `T`.
struct Of<F, T>(PhantomData<(F, T)>);

impl<F: FnOnce() -> T, T> Of<F, T> {
    const ENTRY: &'static Entry =
        &Entry { run: run::<F, T>, drop_work: drop_work::<F>, drop_result: drop_result::<T> };
}

unsafe fn run<F: FnOnce() -> T, T>(room: Room) -> End {
    // SAFETY: the caller's promise: the room holds the work.
    let work = unsafe { room.take::<F>() };
    let result = catch_unwind(AssertUnwindSafe(work));
    // SAFETY: the room is empty now.
    unsafe {
        match result {
            Ok(value) => room.put(value),
            Err(payload) if payload.is::<Unwinding>() => return End::Cancelled,
            Err(payload) => {
                room.put(payload);
                return End::Panicked;
            }
        }
    }
    End::Returned
}

unsafe fn drop_work<F>(room: Room) {
    // SAFETY: the caller's promise: the room holds an `F`.
    unsafe { drop_result::<F>(room, &mut || ()) }
}

unsafe fn drop_result<T>(room: Room, freed: &mut dyn FnMut()) {
    if room.fits::<T>() {
        // SAFETY: the caller's promise: the room holds a `T`.
        let value = unsafe { room.take::<T>() };
        freed();
        drop(value);
    } else {
        // SAFETY: the same, and what does not fit lies in a box.
        let value = unsafe { room.take::<Box<T>>() };
        freed();
        drop(value);
    }
}

/// Puts a fiber into the table and its band.
///
/// # Safety
/// What the work and its result borrow lives until the fiber is over and its slot free.
#[inline]
pub(super) unsafe fn launch<F: FnOnce() -> T, T>(
    core: &Core,
    builder: Builder,
    work: F,
    may_wait: bool,
) -> Result<Key, Refused<F>> {
    let fibers = &core.fibers;
    if let Err(error) = fibers.admits(builder.stack, may_wait) {
        return Err(Refused { error, work });
    }
    let Some(slot) = fibers.slots.take() else {
        let limit = fibers.slots.limit();
        let error = Error::Exhausted { what: "fiber", limit, knob: "fibers" };
        return Err(Refused { error, work });
    };
    let room = fibers.slots.room(slot);
    if !(room.fits::<F>() && room.fits::<T>()) {
        fibers.boxed.set(fibers.boxed.get() + 1);
    }
    // SAFETY: the slot is new, and its room empty.
    unsafe { room.put(work) };
    slot.entry.set(Of::<F, T>::ENTRY);
    slot.class.set(builder.stack);
    slot.band.set(builder.band);
    slot.by_error.set(builder.by_error);
    slot.cancel.set(Cancel::No);
    slot.detached.set(false);
    slot.end.set(End::Cancelled);
    slot.undivided.set(0);
    slot.refused.set(0);
    slot.operation.set(None);
    slot.token.try_wait();
    slot.joiner.set(Joiner::None);
    let (name, label) = match builder.name {
        None => (type_name::<F>(), None),
        Some(Cow::Borrowed(name)) => (name, None),
        Some(Cow::Owned(label)) => (type_name::<F>(), Some(label.into())),
    };
    slot.name.set(name);
    if label.is_some() || slot.label.borrow().is_some() {
        slot.label.replace(label);
    }
    fibers.begin(slot);
    Ok(slot.key())
}
