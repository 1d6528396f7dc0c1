//! A value that one fiber has at a time, also while it waits for something else.

use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::core::Core;
use crate::error::Error;
use crate::fiber::cancel::Here;
use crate::fiber::sync::permits::{Permits, Taken};
use crate::fiber::sync::{Heeds, Wait, in_fiber};
use crate::slab::Key;
use crate::time::Instant;

/// A value that one fiber has at a time, also while it waits for something else.
///
/// That is the point of it: nothing else runs between two calls that wait, so a value that is
/// never held across one needs no more than a [`Cell`] or a [`RefCell`](std::cell::RefCell).
///
/// Those who wait get it in their order. Unlocking hands it to the first of them: nobody
/// snatches it away in between.
///
/// A lock is waited for also in a fiber that was cancelled by error, or unwinds: destructors
/// may take locks. Only a fiber that is to be unwound is not kept: it unwinds instead.
///
/// There is no poisoning: a fiber that unwinds drops its guard, and others find the value as it
/// is. Where that could be half done, say so in the value: a flag that is set before the first
/// step and cleared after the last tells the next holder that one in between was cut short.
///
/// ```
/// # use std::rc::Rc;
/// # use tautline_runtime::{Config, Runtime, fiber::{self, Mutex, Stack}};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Runtime::new(Config::default())?;
/// let total = Rc::new(Mutex::new(0));
/// let theirs = total.clone();
/// let sum = runtime.run_fiber(Stack::Small, move || {
///     let other = fiber::spawn(Stack::Small, move || *theirs.lock().unwrap() += 1)?;
///     let mut held = total.lock()?;
///     let before = *held;
///     fiber::yield_now()?; // the other one waits
///     *held = before + 1;
///     drop(held);
///     other.join().unwrap();
///     total.lock().map(|total| *total)
/// })??;
/// assert_eq!(sum, 2);
/// # Ok(())
/// # }
/// ```
pub struct Mutex<T: ?Sized> {
    lock: Lock,
    value: UnsafeCell<T>,
}

/// The right to a mutex's value, until it is dropped.
#[must_use = "the mutex is unlocked when this is dropped"]
pub struct MutexGuard<'m, T: ?Sized> {
    mutex: &'m Mutex<T>,
}

/// A mutex without a value.
pub(super) struct Lock {
    /// One: who has it may look at the value.
    pub(super) permits: Permits,
    /// The fiber that has locked it; none if it was something else, or it is free.
    holder: Cell<Option<Key>>,
}

impl Lock {
    const fn new() -> Self {
        Self { permits: Permits::new(1), holder: Cell::new(None) }
    }

    /// False: the deadline has passed.
    ///
    /// # Panics
    /// If this fiber has it.
    #[inline]
    fn lock(&self, here: &Here<'_>, wait: &Wait) -> Result<bool, Error> {
        let me = Some(here.slot.key());
        if self.holder.get() == me {
            waits_for_itself(here);
        }
        let taken = self.permits.take(here, 1, wait)? == Taken::All;
        if taken {
            self.holder.set(me);
        }
        Ok(taken)
    }

    /// Locks it again, come what may.
    pub(super) fn lock_again(&self, here: &Here<'_>, call: &'static str) {
        let wait = Wait { call, deadline: None, heeds: Heeds::Nothing };
        let locked = self.lock(here, &wait);
        assert!(matches!(locked, Ok(true)), "nothing ends a wait that heeds nothing");
    }

    fn try_lock(&self) -> bool {
        let locked = self.permits.try_take(1);
        if locked {
            let me = |core: &_| Here::of(core).ok().map(|here| here.slot.key());
            self.holder.set(Core::try_current(|core| me(core)).flatten());
        }
        locked
    }

    /// Hands it to the first who waits.
    #[inline]
    pub(super) fn unlock(&self) {
        self.holder.set(None);
        self.permits.give(1);
    }
}

#[cold]
fn waits_for_itself(here: &Here<'_>) -> ! {
    let name = here.slot.told_name();
    panic!("the fiber `{name}` would wait for a mutex that it has locked: drop the guard first");
}

impl<T> Mutex<T> {
    /// Unlocked.
    pub const fn new(value: T) -> Self {
        Self { lock: Lock::new(), value: UnsafeCell::new(value) }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits until it is this fiber's.
    ///
    /// # Errors
    /// [`Error::NotInFiber`], [`Error::NoRuntime`]. Never [`Error::Cancelled`].
    ///
    /// # Panics
    /// If this fiber has locked it: it would wait for itself. (The fiber that has locked it
    /// counts, also if it has given the guard to another one.)
    #[inline]
    pub fn lock(&self) -> Result<MutexGuard<'_, T>, Error> {
        let wait = Wait { call: "Mutex::lock", deadline: None, heeds: Heeds::Unwinding };
        in_fiber(|here| self.lock.lock(here, &wait))?;
        Ok(MutexGuard { mutex: self })
    }

    /// As [`lock`](Self::lock), but waits no longer than until `deadline`. `None`: others had it
    /// all the time.
    ///
    /// # Errors
    /// As there; [`Error::Exhausted`] when `Config::timers` are armed.
    ///
    /// # Panics
    /// As there.
    pub fn lock_until(&self, deadline: Instant) -> Result<Option<MutexGuard<'_, T>>, Error> {
        let deadline = Some(deadline);
        let wait = Wait { call: "Mutex::lock_until", deadline, heeds: Heeds::Unwinding };
        let locked = in_fiber(|here| self.lock.lock(here, &wait))?;
        Ok(locked.then(|| MutexGuard { mutex: self }))
    }

    /// Locks it if it is free and nobody waits for it. In callbacks and tasks too.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.lock.try_lock().then(|| MutexGuard { mutex: self })
    }

    /// Whether somebody has it, or is about to.
    pub fn is_locked(&self) -> bool {
        !self.lock.permits.is_ready()
    }

    /// The value, which nobody else can have.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    pub(super) fn permits(&self) -> &Permits {
        &self.lock.permits
    }
}

impl<'m, T: ?Sized> MutexGuard<'m, T> {
    pub(super) fn held(&self) -> &'m Lock {
        &self.mutex.lock
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: there is one guard at a time, and whoever has it has this reference from it.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`; the guard is borrowed mutably.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.mutex.lock.unlock();
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Mutex");
        match self.try_lock() {
            Some(value) => shown.field("value", &&*value),
            None => shown.field("value", &format_args!("<locked>")),
        };
        shown.finish()
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
