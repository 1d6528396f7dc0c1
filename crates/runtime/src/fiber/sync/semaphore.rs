//! So many at a time.

use std::fmt;

use crate::error::Error;
use crate::fiber::sync::permits::{Permits, Taken};
use crate::fiber::sync::{Wait, in_fiber};
use crate::time::Instant;

/// So many at a time: a number of permits, and who waits for them.
///
/// They are handed out in the order of asking: one who wants many is not overtaken by those who
/// want few.
///
/// ```
/// # use std::rc::Rc;
/// # use tautline_runtime::{Config, Runtime, fiber::{self, Semaphore, Stack}};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Runtime::new(Config::default())?;
/// let connections = Semaphore::new(2);
/// runtime.run_fiber(Stack::Small, move || {
///     let first = connections.acquire()?;
///     let second = connections.acquire()?;
///     assert!(connections.try_acquire().is_none());
///     drop(first);
///     assert_eq!(connections.available(), 1);
///     drop(second);
///     connections.acquire_many(2).map(drop)
/// })??;
/// # Ok(())
/// # }
/// ```
pub struct Semaphore {
    permits: Permits,
}

/// Permits of a [`Semaphore`], which go back when this is dropped.
#[must_use = "the permits go back when this is dropped"]
pub struct Permit<'s> {
    semaphore: &'s Semaphore,
    count: usize,
}

/// Why there is no permit.
#[derive(Debug, thiserror::Error)]
pub enum AcquireError {
    /// The semaphore was closed.
    #[error("the semaphore is closed: it gives no more permits")]
    Closed,
    /// It could not be waited for, or no longer.
    #[error(transparent)]
    Wait(#[from] Error),
}

impl Semaphore {
    /// With so many permits.
    pub const fn new(permits: usize) -> Self {
        Self { permits: Permits::new(permits) }
    }

    /// Waits for a permit.
    ///
    /// # Errors
    /// [`AcquireError`].
    #[inline]
    pub fn acquire(&self) -> Result<Permit<'_>, AcquireError> {
        self.acquire_many(1)
    }

    /// Waits for `count` permits, and gets them all at once. If there are never so many, it
    /// waits until the semaphore is closed, and so do those behind it.
    ///
    /// # Errors
    /// [`AcquireError`].
    #[inline]
    pub fn acquire_many(&self, count: usize) -> Result<Permit<'_>, AcquireError> {
        let permit = self.take(count, &Wait::new("Semaphore::acquire", None))?;
        Ok(permit.expect("a wait without a deadline is not late"))
    }

    /// As [`acquire`](Self::acquire), but no longer than until `deadline`. `None`: there was
    /// none.
    ///
    /// # Errors
    /// [`AcquireError`].
    pub fn acquire_until(&self, deadline: Instant) -> Result<Option<Permit<'_>>, AcquireError> {
        self.acquire_many_until(1, deadline)
    }

    /// As [`acquire_many`](Self::acquire_many), but no longer than until `deadline`. `None`:
    /// there were not so many.
    ///
    /// # Errors
    /// [`AcquireError`].
    pub fn acquire_many_until(
        &self,
        count: usize,
        deadline: Instant,
    ) -> Result<Option<Permit<'_>>, AcquireError> {
        self.take(count, &Wait::new("Semaphore::acquire_until", Some(deadline)))
    }

    /// Takes a permit if there is one and nobody waits. In callbacks and tasks too.
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        self.try_acquire_many(1)
    }

    /// Takes `count` permits if there are so many and nobody waits.
    pub fn try_acquire_many(&self, count: usize) -> Option<Permit<'_>> {
        self.permits.try_take(count).then(|| Permit { semaphore: self, count })
    }

    /// Adds permits: new ones, or those of a [`Permit`] that was
    /// [forgotten](Permit::forget).
    ///
    /// # Panics
    /// If there are more than `usize::MAX`.
    pub fn release(&self, count: usize) {
        self.permits.give(count);
    }

    /// From now on there are no permits: who waits, and who asks later, gets
    /// [`AcquireError::Closed`].
    pub fn close(&self) {
        self.permits.close();
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.permits.is_closed()
    }

    /// How many permits nobody has.
    pub fn available(&self) -> usize {
        self.permits.free()
    }

    #[inline]
    fn take(&self, count: usize, wait: &Wait) -> Result<Option<Permit<'_>>, AcquireError> {
        match in_fiber(|here| self.permits.take(here, count, wait))? {
            Taken::All => Ok(Some(Permit { semaphore: self, count })),
            Taken::TooLate => Ok(None),
            Taken::Closed => Err(AcquireError::Closed),
        }
    }

    pub(super) fn permits(&self) -> &Permits {
        &self.permits
    }
}

impl Permit<'_> {
    /// How many it is.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The permits do not go back by themselves. For one that goes with work to another fiber,
    /// which [releases](Semaphore::release) as many.
    pub fn forget(mut self) {
        self.count = 0;
    }
}

impl Drop for Permit<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.count > 0 {
            self.semaphore.release(self.count);
        }
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("available", &self.available())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("count", &self.count).finish_non_exhaustive()
    }
}
