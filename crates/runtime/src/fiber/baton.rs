//! The one primitive on which all waiting of fibers for each other stands.

use std::cell::Cell;
use std::fmt;
use std::ptr;

use crate::core::Core;
use crate::error::Error;
use crate::fiber::cancel::{Here, Refusal};
use crate::fiber::slot::Slot;
use crate::fiber::wait::Wakeup;
use crate::time::Instant;

/// One fiber waits for it, anyone on the loop posts it: other fibers, callbacks, tasks.
///
/// A post that comes first is not lost: the next wait returns at once, and takes it. Posts do
/// not add up.
///
/// ```
/// # use std::rc::Rc;
/// # use tautline_runtime::{Config, Runtime, fiber::{self, Baton, Stack}};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Runtime::new(Config::default())?;
/// runtime.run_fiber(Stack::Small, || {
///     let baton = Rc::new(Baton::new());
///     let theirs = baton.clone();
///     fiber::spawn(Stack::Small, move || theirs.post())?;
///     baton.wait()
/// })??;
/// # Ok(())
/// # }
/// ```
pub struct Baton {
    /// Nobody's: null. Posted: [`POSTED`]. Else the fiber that waits. One word, so that it is
    /// read as it was written.
    state: Cell<*const Slot>,
}

/// Never looked behind.
const POSTED: *const Slot = ptr::without_provenance(1);

impl Default for Baton {
    fn default() -> Self {
        Self::new()
    }
}

impl Baton {
    /// Not posted.
    pub const fn new() -> Self {
        Self { state: Cell::new(ptr::null()) }
    }

    /// Wakes the fiber that waits, or lets the next wait pass.
    #[inline]
    pub fn post(&self) {
        let before = self.state.replace(POSTED);
        if before != POSTED && !before.is_null() {
            // SAFETY: it waits, and takes its name from here before it goes; slots live longer
            // than that.
            let slot = unsafe { &*before };
            Core::try_current(|core| core.fibers.rouse(slot));
        }
    }

    /// Takes a post that is there.
    #[inline]
    pub fn try_wait(&self) -> bool {
        let posted = self.is_posted();
        if posted {
            self.state.set(ptr::null());
        }
        posted
    }

    /// Whether a wait would pass.
    #[inline]
    pub fn is_posted(&self) -> bool {
        self.state.get() == POSTED
    }

    /// Waits for a post, and takes it.
    ///
    /// # Errors
    /// [`Error::NotInFiber`], [`Error::NoRuntime`]; [`Error::Cancelled`].
    ///
    /// # Panics
    /// If another fiber waits for it already.
    #[inline(always)] // a return that was not inlined is mispredicted after each switch
    pub fn wait(&self) -> Result<(), Error> {
        // SAFETY: a runtime outlives its fibers, and this waits in a fiber or not at all.
        let Some(core) = (unsafe { Core::borrow_current() }) else { return Err(Error::NoRuntime) };
        Ok(self.wait_in(&Here::of(&core)?, "Baton::wait")?)
    }

    /// Waits for a post until `deadline`. False: none has come.
    ///
    /// # Errors
    /// As [`wait`](Self::wait); [`Error::Exhausted`] when `Config::timers` are armed.
    ///
    /// # Panics
    /// As [`wait`](Self::wait).
    pub fn wait_until(&self, deadline: Instant) -> Result<bool, Error> {
        let core = Core::current_or_going()?;
        self.wait_until_in(&Here::of(&core)?, Some(deadline), "Baton::wait_until")
    }

    #[inline(always)]
    pub(super) fn wait_in(&self, here: &Here<'_>, call: &'static str) -> Result<(), Refusal> {
        here.checkpoint()?;
        if self.try_wait() {
            return Ok(());
        }
        let awaited = self.announce(here);
        here.wait_until(call, || awaited.try_end())
    }

    pub(super) fn wait_until_in(
        &self,
        here: &Here<'_>,
        deadline: Option<Instant>,
        call: &'static str,
    ) -> Result<bool, Error> {
        let Some(deadline) = deadline else { return Ok(self.wait_in(here, call).map(|()| true)?) };
        here.checkpoint()?;
        if self.try_wait() {
            return Ok(true);
        }
        let alarm = Wakeup::new(here, deadline)?;
        let awaited = self.announce(here);
        let mut posted = false;
        here.wait_until(call, || {
            posted = awaited.try_end();
            posted || alarm.has_rung()
        })?;
        Ok(posted)
    }

    /// From now on a post wakes the fiber that runs.
    #[inline(always)]
    pub(super) fn announce(&self, here: &Here<'_>) -> Awaited<'_> {
        let awaited = Awaited { baton: self, fiber: here.slot };
        awaited.renew();
        awaited
    }
}

/// While it lives, a fiber waits; afterwards nobody does.
pub(super) struct Awaited<'b> {
    baton: &'b Baton,
    fiber: *const Slot,
}

impl Awaited<'_> {
    /// Takes a post that has come. Otherwise the next one wakes the fiber, also if there was
    /// one that somebody else was faster to take.
    #[inline(always)]
    fn try_end(&self) -> bool {
        let posted = self.baton.try_wait();
        if !posted {
            self.renew();
        }
        posted
    }

    /// The next post wakes the fiber, if none is there.
    #[inline(always)]
    pub(super) fn renew(&self) {
        let state = self.baton.state.get();
        if state.is_null() {
            self.baton.state.set(self.fiber);
        } else if state != POSTED && state != self.fiber {
            two_wait();
        }
    }
}

#[cold]
fn two_wait() {
    panic!("two fibers wait for one baton: give each its own");
}

impl Drop for Awaited<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.baton.state.get() == self.fiber {
            self.baton.state.set(ptr::null());
        }
    }
}

impl fmt::Debug for Baton {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Baton").field("posted", &self.is_posted()).finish_non_exhaustive()
    }
}
