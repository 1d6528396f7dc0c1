//! Who waits for an object, in the order of coming.
//!
//! ```text
//!   Waiters          a fiber's frame     another's
//!   first ─────────▶ Waiter ───────────▶ Waiter ◀── last
//!                      baton               baton
//! ```
//!
//! A waiter lies, pinned, in the frame of whoever waits, and leaves the list when that frame is
//! left, in whichever way. It is taken out by whoever answers it, which posts its baton.

use std::cell::Cell;
use std::marker::PhantomPinned;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::Waker;

use crate::error::Error;
use crate::fiber::baton::Baton;
use crate::fiber::cancel::Here;
use crate::fiber::sync::Wait;
use crate::fiber::wait::Wakeup;

/// A list of those who wait.
#[derive(Default)]
pub(super) struct Waiters {
    first: Cell<Option<NonNull<Seat>>>,
    last: Cell<Option<NonNull<Seat>>>,
}

/// What became of a waiter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// It is in no list, and has no answer that was not taken.
    None,
    /// It is in its list.
    Awaited,
    /// What it waits for has come.
    Granted,
    /// What it waits for will never come.
    Dismissed,
}

/// A place in a list.
struct Seat {
    before: Cell<Option<NonNull<Seat>>>,
    after: Cell<Option<NonNull<Seat>>>,
    answer: Cell<Answer>,
    /// How much it waits for.
    wants: usize,
    /// Posted with the answer.
    baton: Baton,
    /// Woken with the answer, if it is a task that waits.
    waker: Cell<Option<Waker>>,
}

/// One who waits: a place in a list that is left when it is dropped.
pub(super) struct Waiter<'l> {
    seat: Seat,
    /// The list that it was last put into.
    list: Cell<Option<&'l Waiters>>,
    _pinned: PhantomPinned,
}

impl Waiters {
    /// Nobody.
    pub(super) const fn new() -> Self {
        Self { first: Cell::new(None), last: Cell::new(None) }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.first.get().is_none()
    }

    /// How much the first waits for.
    #[inline]
    pub(super) fn first_wants(&self) -> Option<usize> {
        // SAFETY: it is in the list.
        self.first.get().map(|first| unsafe { first.as_ref() }.wants)
    }

    /// Lets someone wait behind all others.
    pub(super) fn push<'l>(&'l self, waiter: Pin<&Waiter<'l>>) {
        self.take_in(waiter, self.last.get(), None);
    }

    /// Lets someone wait before all others, as it did before.
    pub(super) fn push_back_in<'l>(&'l self, waiter: Pin<&Waiter<'l>>) {
        self.take_in(waiter, None, self.first.get());
    }

    /// Takes the first out, and tells it. False: there is none.
    pub(super) fn answer_first(&self, answer: Answer) -> bool {
        let Some(first) = self.first.get() else { return false };
        // SAFETY: it is in the list.
        let seat = unsafe { first.as_ref() };
        // SAFETY: likewise.
        unsafe { self.unlink(seat) };
        seat.answer.set(answer);
        let waker = seat.waker.take();
        seat.baton.post();
        // From here on the waiter may be gone: wakers may do anything.
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    fn take_in<'l>(
        &'l self,
        waiter: Pin<&Waiter<'l>>,
        before: Option<NonNull<Seat>>,
        after: Option<NonNull<Seat>>,
    ) {
        let waiter = waiter.get_ref();
        let seat = &waiter.seat;
        assert!(seat.answer.get() == Answer::None, "a waiter waits for one thing");
        seat.answer.set(Answer::Awaited);
        seat.before.set(before);
        seat.after.set(after);
        // SAFETY: the neighbours are in this list. So is the new one from here on: it is pinned,
        // so that it stays where it is until it is dropped, when it leaves.
        unsafe { self.join(before, Some(seat.into()), after) };
        waiter.list.set(Some(self));
    }

    /// Takes a seat out.
    ///
    /// # Safety
    /// It is in this list.
    unsafe fn unlink(&self, seat: &Seat) {
        let (before, after) = (seat.before.get(), seat.after.get());
        // SAFETY: whoever is in the list has neighbours that are, too.
        unsafe { self.join(before, None, after) };
    }

    /// Makes `seat`, or nobody, stand between two neighbours.
    ///
    /// # Safety
    /// The neighbours are in this list, or absent where it ends.
    unsafe fn join(
        &self,
        before: Option<NonNull<Seat>>,
        seat: Option<NonNull<Seat>>,
        after: Option<NonNull<Seat>>,
    ) {
        match before {
            // SAFETY: who is in a list is alive: its memory is not used otherwise before it is
            // dropped, and when it is dropped it leaves.
            Some(before) => unsafe { before.as_ref() }.after.set(seat.or(after)),
            None => self.first.set(seat.or(after)),
        }
        match after {
            // SAFETY: likewise.
            Some(after) => unsafe { after.as_ref() }.before.set(seat.or(before)),
            None => self.last.set(seat.or(before)),
        }
    }
}

impl<'l> Waiter<'l> {
    /// In no list.
    pub(super) fn new(wants: usize) -> Self {
        let seat = Seat {
            before: Cell::new(None),
            after: Cell::new(None),
            answer: Cell::new(Answer::None),
            wants,
            baton: Baton::new(),
            waker: Cell::new(None),
        };
        Self { seat, list: Cell::new(None), _pinned: PhantomPinned }
    }

    pub(super) fn wants(&self) -> usize {
        self.seat.wants
    }

    /// What is posted with the answer.
    pub(super) fn baton(&self) -> &Baton {
        &self.seat.baton
    }

    /// Has a task woken with the answer.
    pub(super) fn set_waker(&self, waker: &Waker) {
        drop(self.seat.waker.replace(Some(waker.clone())));
    }

    /// What has become of it.
    pub(super) fn answer(&self) -> Answer {
        self.seat.answer.get()
    }

    /// Takes the answer, and leaves the list if there is none.
    pub(super) fn take_answer(&self) -> Answer {
        let answer = self.seat.answer.replace(Answer::None);
        if answer == Answer::Awaited
            && let Some(list) = self.list.get()
        {
            // SAFETY: it is awaited, so it is in the list that it was last put into.
            unsafe { list.unlink(&self.seat) };
        }
        answer
    }

    /// Waits in `list` until there is an answer, the deadline has passed, or the fiber is
    /// cancelled, whichever it finds first in this order. It is in the list afterwards if there
    /// is no answer.
    ///
    /// # Errors
    /// [`Error::Cancelled`]; [`Error::Exhausted`], before it is in the list.
    pub(super) fn wait(
        self: Pin<&Self>,
        list: &'l Waiters,
        here: &Here<'_>,
        wait: &Wait,
    ) -> Result<(), Error> {
        let alarm = wait.deadline.map(|due| Wakeup::new(here, due)).transpose()?;
        list.push(self);
        let _awaited = self.get_ref().baton().announce(here);
        loop {
            here.suspend(wait.call);
            let rings = alarm.as_ref().is_some_and(Wakeup::has_rung);
            if self.answer() != Answer::Awaited || rings {
                return Ok(());
            }
            wait.heeds.check(here)?;
        }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.take_answer();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;

    /// Waiters are answered in their order; one may leave from anywhere, by being dropped.
    #[test]
    fn waiters_keep_their_order() {
        for gone in 0..3 {
            let list = Waiters::new();
            let mut all = [0, 1, 2].map(|wants| Box::pin(Waiter::new(wants)).into());
            for waiter in &all {
                list.push(Option::as_ref(waiter).map(Pin::as_ref).expect("it is there"));
            }
            all[gone] = None::<Pin<Box<Waiter<'_>>>>;
            let mut left = Vec::new();
            while let Some(wants) = list.first_wants() {
                left.push(wants);
                list.answer_first(Answer::Granted);
            }
            let expected: Vec<usize> = (0..3).filter(|&at| at != gone).collect();
            assert_eq!(left, expected);
            assert!(list.is_empty() && list.last.get().is_none());
        }
    }

    /// One who waits again does so in its old place, and an answer is taken once.
    #[test]
    fn a_place_is_kept() {
        let list = Waiters::new();
        let (a, b) = (pin!(Waiter::new(1)), pin!(Waiter::new(2)));
        list.push(a.as_ref());
        list.push(b.as_ref());
        list.answer_first(Answer::Dismissed);
        assert_eq!([a.take_answer(), a.take_answer()], [Answer::Dismissed, Answer::None]);
        list.push_back_in(a.as_ref());
        assert_eq!(list.first_wants(), Some(1));
        assert_eq!((a.take_answer(), list.first_wants()), (Answer::Awaited, Some(2)));
    }
}
