//! Cancellation: delivered once, at a suspension point, by unwinding or by an error.
//!
//! | the fiber | a call that may wait |
//! | --- | --- |
//! | was not cancelled | waits |
//! | was cancelled, and unwinds by default | throws, once |
//! | was cancelled, and takes errors alone | fails with [`Error::Cancelled`] |
//! | panics, or was thrown at before | fails with [`Error::Cancelled`] |
//!
//! In the last three, joins, locks and what the kernel holds are waited for all the same.

use std::any::Any;
use std::io;
use std::panic::resume_unwind;
use std::thread::panicking;

use crate::core::Core;
use crate::engine::outcome::Failure;
use crate::error::Error;
use crate::fiber::panics;
use crate::fiber::scheduler::Fibers;
use crate::fiber::slot::{Cancel, Slot};

/// What unwinds a cancelled fiber.
pub(super) struct Unwinding;

/// Whether what was caught is a cancellation, which met a fiber in code of the user's that must
/// not unwind any further. It comes again, at the fiber's next call that may wait.
#[cold]
pub(crate) fn put_off(core: &Core, payload: &(dyn Any + Send)) -> bool {
    let cancelled = payload.is::<Unwinding>();
    if let Some(slot) = core.fibers.current()
        && cancelled
    {
        slot.cancel.set(Cancel::Asked);
    }
    cancelled
}

/// Why a call that may wait does not. Small, for it is returned by each of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    NotInFiber,
    /// What is waited for is of a runtime that has gone.
    Closed,
    Cancelled,
}

impl From<Refusal> for Error {
    #[cold]
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotInFiber => Self::NotInFiber,
            Refusal::Closed => Self::Closed,
            Refusal::Cancelled => Self::Cancelled,
        }
    }
}

impl From<Refusal> for Failure {
    #[cold]
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotInFiber => Self::NotInFiber,
            Refusal::Closed => Self::Closed,
            Refusal::Cancelled => Self::Cancelled,
        }
    }
}

impl From<Refusal> for io::Error {
    #[cold]
    fn from(refusal: Refusal) -> Self {
        Error::from(refusal).into()
    }
}

/// After so many refused calls in a row a cancelled fiber lets the others run: one that passes
/// over its cancellation keeps nobody from the thread.
const PATIENCE: u32 = 32;

/// The fiber that runs on this thread, with its loop.
pub(crate) struct Here<'c> {
    pub(super) core: &'c Core,
    pub(super) slot: &'c Slot,
}

impl<'c> Here<'c> {
    /// The fiber of this loop that runs now.
    #[inline(always)]
    pub(crate) fn of(core: &'c Core) -> Result<Self, Refusal> {
        match core.fibers.current() {
            Some(slot) if !panics::is_in_hook() => Ok(Self { core, slot }),
            _ => Err(core.no_fiber()),
        }
    }

    pub(super) fn fibers(&self) -> &'c Fibers {
        &self.core.fibers
    }

    /// A call that may wait begins, or has been woken.
    ///
    /// # Errors
    /// [`Refusal::Cancelled`] where that is how cancellation comes. Otherwise it unwinds.
    #[inline(always)]
    pub(super) fn checkpoint(&self) -> Result<(), Refusal> {
        self.may_suspend();
        self.look()
    }

    /// The same, after it has waited.
    ///
    /// # Errors
    /// As there.
    #[inline(always)]
    pub(super) fn look(&self) -> Result<(), Refusal> {
        match self.slot.cancel.get() {
            Cancel::No => Ok(()),
            _ => self.cancelled(),
        }
    }

    /// Refuses to wait inside [`undivided`](super::undivided), before anything is lent.
    ///
    /// # Panics
    /// There.
    #[inline]
    pub(super) fn may_suspend(&self) {
        if self.slot.undivided.get() > 0 {
            self.divided();
        }
    }

    #[cold]
    fn divided(&self) {
        panic!("the fiber `{}` would wait inside `fiber::undivided`", self.slot.told_name());
    }

    #[cold]
    fn cancelled(&self) -> Result<(), Refusal> {
        if self.is_interrupted() {
            self.slot.cancel.set(Cancel::Delivered);
            resume_unwind(Box::new(Unwinding));
        }
        let refused = self.slot.refused.get() + 1;
        self.slot.refused.set(refused);
        if refused.is_multiple_of(PATIENCE) {
            self.fibers().yield_now(self.slot);
        }
        Err(Refusal::Cancelled)
    }

    /// Whether the next checkpoint unwinds.
    pub(super) fn is_interrupted(&self) -> bool {
        self.slot.cancel.get() == Cancel::Asked && self.slot.unwinds() && !panicking()
    }

    /// Lets others run until this one is woken.
    #[inline(always)]
    pub(super) fn suspend(&self, call: &'static str) {
        self.fibers().suspend(self.slot, call);
    }

    /// Waits until `over` says so, or gives up when it is cancelled.
    ///
    /// # Errors
    /// As [`checkpoint`](Self::checkpoint).
    #[inline(always)]
    pub(super) fn wait_until(
        &self,
        call: &'static str,
        mut over: impl FnMut() -> bool,
    ) -> Result<(), Refusal> {
        self.checkpoint()?;
        if over() {
            return Ok(());
        }
        loop {
            self.suspend(call);
            if over() {
                return Ok(());
            }
            self.look()?;
        }
    }
}
