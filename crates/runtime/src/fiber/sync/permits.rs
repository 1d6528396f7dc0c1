//! Permits that are handed out in the order of asking: what all objects of this folder stand on.
//!
//! Whoever gives permits back hands them to those who wait, as far as they go and as long as
//! the first can be satisfied: nobody overtakes, and nobody who comes later snatches them away.
//! What is left when nobody waits is *ready*: the next who asks gets it, and one who
//! [selects](super::select()) is told.
//!
//! Two rules keep anything from getting lost:
//! - One who goes away with permits that it was granted gives them back; one who goes away
//!   without lets those behind it be looked at, as it may have stood in their way.
//! - One who selects and was told tells the next, if it is still ready when it goes away.

use std::cell::Cell;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use crate::error::Error;
use crate::fiber::cancel::Here;
use crate::fiber::sync::Wait;
use crate::fiber::sync::waiters::{Answer, Waiter, Waiters};

/// A number of permits, and who waits for them.
pub(super) struct Permits {
    /// Those that nobody has.
    free: Cell<usize>,
    closed: Cell<bool>,
    /// After closing, those that are left may still be taken.
    drains: bool,
    /// Who waits for permits.
    waiters: Waiters,
    /// Who selects, and was not told.
    pub(super) watchers: Waiters,
}

/// What came of asking for permits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Taken {
    /// All that were wanted.
    All,
    /// None until the deadline.
    TooLate,
    /// None, and there never will be.
    Closed,
}

impl Permits {
    /// So many. After closing none can be had.
    pub(super) const fn new(free: usize) -> Self {
        Self::with(free, false)
    }

    /// None yet. After closing those that are left can be had.
    pub(super) const fn draining() -> Self {
        Self::with(0, true)
    }

    const fn with(free: usize, drains: bool) -> Self {
        let (waiters, watchers) = (Waiters::new(), Waiters::new());
        Self { free: Cell::new(free), closed: Cell::new(false), drains, waiters, watchers }
    }

    /// How many nobody has.
    #[inline]
    pub(super) fn free(&self) -> usize {
        self.free.get()
    }

    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Whether so many can be had without waiting.
    #[inline]
    fn has(&self, wants: usize) -> bool {
        let open = self.drains || !self.closed.get();
        open && self.waiters.is_empty() && self.free.get() >= wants
    }

    /// Whether asking for one has an answer now.
    #[inline]
    pub(super) fn is_ready(&self) -> bool {
        self.closed.get() || self.has(1)
    }

    /// Takes them if nobody is before.
    #[inline]
    pub(super) fn try_take(&self, wants: usize) -> bool {
        let has = self.has(wants);
        if has {
            self.free.set(self.free.get() - wants);
        }
        has
    }

    /// Takes them, or waits for them.
    ///
    /// # Errors
    /// [`Error::Cancelled`], unless that is not heeded; [`Error::Exhausted`].
    #[inline]
    pub(super) fn take(&self, here: &Here<'_>, wants: usize, wait: &Wait) -> Result<Taken, Error> {
        wait.heeds.check(here)?;
        if self.try_take(wants) {
            return Ok(Taken::All);
        }
        self.await_turn(here, wants, wait)
    }

    #[cold]
    fn await_turn(&self, here: &Here<'_>, wants: usize, wait: &Wait) -> Result<Taken, Error> {
        if self.closed.get() {
            return Ok(Taken::Closed);
        }
        let turn = pin!(Turn::new(self, wants));
        let turn = turn.as_ref();
        let waited = turn.waiter().wait(&self.waiters, here, wait);
        match turn.take_answer() {
            Answer::Granted => Ok(Taken::All),
            Answer::Dismissed => Ok(Taken::Closed),
            Answer::Awaited | Answer::None => waited.map(|()| Taken::TooLate),
        }
    }

    /// Adds permits: they go to those who wait.
    ///
    /// # Panics
    /// If there are more than can be counted.
    #[inline]
    pub(super) fn give(&self, more: usize) {
        let free = self.free.get().checked_add(more);
        self.free.set(free.expect("fewer permits than `usize::MAX`"));
        if !(self.waiters.is_empty() && self.watchers.is_empty()) {
            self.settle();
        }
    }

    /// Satisfies those who wait, in their order, as far as that goes.
    fn settle(&self) {
        while let Some(wants) = self.waiters.first_wants()
            && wants <= self.free.get()
        {
            self.free.set(self.free.get() - wants);
            self.waiters.answer_first(Answer::Granted);
        }
        self.tell();
    }

    /// Tells one who selects, if there is something to be had.
    pub(super) fn tell(&self) {
        if self.is_ready() {
            self.watchers.answer_first(Answer::Granted);
        }
    }

    /// From now on there are no more permits. Who waits is told so.
    pub(super) fn close(&self) {
        if self.closed.replace(true) {
            return;
        }
        while self.waiters.answer_first(Answer::Dismissed) {}
        while self.watchers.answer_first(Answer::Granted) {}
    }
}

/// One who asks for permits. If it goes away, nobody waits for it.
pub(super) struct Turn<'p> {
    permits: &'p Permits,
    waiter: Waiter<'p>,
}

impl<'p> Turn<'p> {
    /// It has not asked yet.
    pub(super) fn new(permits: &'p Permits, wants: usize) -> Self {
        Self { permits, waiter: Waiter::new(wants) }
    }

    fn waiter(self: Pin<&Self>) -> Pin<&Waiter<'p>> {
        // SAFETY: the waiter is pinned whenever this is: nothing moves it out, and `Drop` does
        // not either.
        unsafe { self.map_unchecked(|turn| &turn.waiter) }
    }

    /// Takes the answer. If there is none it stands in nobody's way any more.
    fn take_answer(&self) -> Answer {
        let answer = self.waiter.take_answer();
        if answer == Answer::Awaited {
            self.permits.settle();
        }
        answer
    }

    /// Asks for the permits, or how that stands, for a task.
    pub(super) fn poll(self: Pin<&Self>, cx: &Context<'_>) -> Poll<Taken> {
        let (permits, waiter) = (self.permits, self.waiter());
        match waiter.answer() {
            Answer::None if permits.try_take(waiter.wants()) => return Poll::Ready(Taken::All),
            Answer::None if permits.is_closed() => return Poll::Ready(Taken::Closed),
            Answer::None => permits.waiters.push(waiter),
            Answer::Awaited => {}
            Answer::Granted | Answer::Dismissed => {
                let all = self.take_answer() == Answer::Granted;
                return Poll::Ready(if all { Taken::All } else { Taken::Closed });
            }
        }
        waiter.set_waker(cx.waker());
        Poll::Pending
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.take_answer() == Answer::Granted {
            self.permits.give(self.waiter.wants());
        }
    }
}
