//! Waiting until what a mutex holds has changed.

use std::fmt;
use std::pin::pin;

use crate::error::Error;
use crate::fiber::cancel::Here;
use crate::fiber::sync::mutex::{Lock, MutexGuard};
use crate::fiber::sync::waiters::{Answer, Waiter, Waiters};
use crate::fiber::sync::{Wait, in_fiber};
use crate::time::Instant;

/// Waiting until what a [`Mutex`](super::Mutex) holds has changed.
///
/// Whoever waits lends the mutex to others meanwhile, and has it again when the call returns,
/// with or without an error, and when it unwinds. Whoever has changed the value
/// [notifies](Self::notify_one), with or without the mutex.
///
/// No notification is made up, and none is lost on the way: a fiber that goes away gets none,
/// and one that was notified before it was cancelled goes on as if it had not been, until the
/// next call that may wait. But others may have had the mutex before the one that was notified,
/// so look at the value again; [`wait_while`](Self::wait_while) does.
///
/// A condition remembers nothing, so it cannot be [selected](super::select()) on; a
/// [`Baton`](crate::fiber::Baton) or a [`Semaphore`](super::Semaphore) can.
///
/// ```
/// # use std::rc::Rc;
/// # use tautline_runtime::{Config, Runtime, fiber::{self, Condition, Mutex, Stack}};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Runtime::new(Config::default())?;
/// let shared = Rc::new((Mutex::new(Vec::new()), Condition::new()));
/// let theirs = shared.clone();
/// let first = runtime.run_fiber(Stack::Small, move || {
///     let other = fiber::spawn(Stack::Small, move || {
///         theirs.0.lock().unwrap().push(7);
///         theirs.1.notify_one();
///     })?;
///     let mut items = shared.0.lock()?;
///     shared.1.wait_while(&mut items, |items| items.is_empty())?;
///     drop(other);
///     Ok::<_, tautline_runtime::Error>(items[0])
/// })??;
/// assert_eq!(first, 7);
/// # Ok(())
/// # }
/// ```
#[derive(Default)]
pub struct Condition {
    waiters: Waiters,
}

impl Condition {
    /// Nobody waits.
    pub const fn new() -> Self {
        Self { waiters: Waiters::new() }
    }

    /// Waits for a notification, without the mutex, which this fiber has again afterwards.
    ///
    /// # Errors
    /// [`Error::NotInFiber`], [`Error::NoRuntime`]; [`Error::Cancelled`].
    pub fn wait<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>) -> Result<(), Error> {
        self.wait_on(guard.held(), &Wait::new("Condition::wait", None)).map(drop)
    }

    /// Waits as long as `holds` says so of the value; not at all if it does not.
    ///
    /// # Errors
    /// As [`wait`](Self::wait), also if it would not have to wait.
    pub fn wait_while<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        mut holds: impl FnMut(&mut T) -> bool,
    ) -> Result<(), Error> {
        in_fiber(|here| Ok::<_, Error>(here.checkpoint()?))?;
        while holds(guard) {
            self.wait(guard)?;
        }
        Ok(())
    }

    /// As [`wait`](Self::wait), but no longer than until `deadline`, and then for the mutex.
    /// False: there was no notification.
    ///
    /// # Errors
    /// As there; [`Error::Exhausted`] when `Config::timers` are armed.
    pub fn wait_until<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        deadline: Instant,
    ) -> Result<bool, Error> {
        self.wait_on(guard.held(), &Wait::new("Condition::wait_until", Some(deadline)))
    }

    /// Lets the one go on that has waited longest.
    pub fn notify_one(&self) {
        self.waiters.answer_first(Answer::Granted);
    }

    /// Lets all go on that wait now.
    pub fn notify_all(&self) {
        while self.waiters.answer_first(Answer::Granted) {}
    }

    fn wait_on(&self, lock: &Lock, wait: &Wait) -> Result<bool, Error> {
        in_fiber(|here| {
            here.checkpoint()?;
            let _lent = Lent::new(lock, here, wait.call);
            let waiter = pin!(Waiter::new(1));
            let waited = waiter.as_ref().wait(&self.waiters, here, wait);
            // An answer is looked at before anything else that ends the wait: whoever was
            // notified says so, and none is lost with one that goes away.
            match waiter.take_answer() {
                Answer::Granted => Ok(true),
                _ => waited.map(|()| false),
            }
        })
    }
}

/// A mutex that its holder has unlocked. It is locked again when this is dropped.
struct Lent<'l> {
    lock: &'l Lock,
    here: &'l Here<'l>,
    call: &'static str,
}

impl<'l> Lent<'l> {
    fn new(lock: &'l Lock, here: &'l Here<'l>, call: &'static str) -> Self {
        lock.unlock();
        Self { lock, here, call }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.lock.lock_again(self.here, self.call);
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let awaited = !self.waiters.is_empty();
        f.debug_struct("Condition").field("awaited", &awaited).finish_non_exhaustive()
    }
}
