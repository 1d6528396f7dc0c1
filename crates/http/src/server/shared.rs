//! What all connections of a server know of each other: how many there are, and whether it ends.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// How far a server is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Phase {
    Running,
    /// What is under way is finished, nothing else is begun.
    Draining,
    /// Everything is cut off.
    Cut,
}

pub(super) struct Shared {
    phase: Cell<Phase>,
    open: Cell<usize>,
    next: Cell<u64>,
    /// Those who want to know of another phase.
    phases: Waiting,
    /// Those who want to know that a connection has ended.
    ends: Waiting,
}

/// Wakers by the number of their part.
#[derive(Default)]
struct Waiting(RefCell<HashMap<u64, Waker>>);

impl Waiting {
    fn join(&self, number: u64, waker: &Waker) {
        match self.0.borrow_mut().entry(number) {
            Entry::Occupied(mut held) => held.get_mut().clone_from(waker),
            Entry::Vacant(place) => drop(place.insert(waker.clone())),
        }
    }

    fn leave(&self, number: u64) {
        let held = self.0.borrow_mut().remove(&number);
        drop(held);
    }

    /// Wakes all of them, unborrowed: a waker may do anything.
    fn tell(&self) {
        let waiting = std::mem::take(&mut *self.0.borrow_mut());
        waiting.into_values().for_each(Waker::wake);
    }
}

/// A part in a server that is told of changes.
pub(super) struct Part {
    number: u64,
    shared: Rc<Shared>,
    /// It counts as a connection.
    counted: bool,
}

impl Shared {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            phase: Cell::new(Phase::Running),
            open: Cell::new(0),
            next: Cell::new(0),
            phases: Waiting::default(),
            ends: Waiting::default(),
        })
    }

    pub(super) fn open(&self) -> usize {
        self.open.get()
    }

    /// Goes on to `phase`, never back.
    pub(super) fn advance(&self, phase: Phase) {
        if phase > self.phase.get() {
            self.phase.set(phase);
            self.phases.tell();
        }
    }

    pub(super) fn watch(self: &Rc<Self>) -> Part {
        self.part(false)
    }

    pub(super) fn connection(self: &Rc<Self>) -> Part {
        self.open.set(self.open.get() + 1);
        self.part(true)
    }

    fn part(self: &Rc<Self>, counted: bool) -> Part {
        let number = self.next.get();
        self.next.set(number + 1);
        Part { number, shared: self.clone(), counted }
    }
}

impl Part {
    /// How far it is; whoever asks is woken at the next change.
    pub(super) fn poll_phase(&self, cx: &Context<'_>) -> Phase {
        self.shared.phases.join(self.number, cx.waker());
        self.shared.phase.get()
    }

    /// Waits until it is as far as `phase`.
    pub(super) async fn reached(&self, phase: Phase) {
        poll_fn(|cx| match self.poll_phase(cx) >= phase {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }

    /// Waits until fewer than `most` connections are open.
    pub(super) async fn fewer_than(&self, most: usize) {
        poll_fn(|cx| {
            self.shared.ends.join(self.number, cx.waker());
            if self.shared.open.get() < most { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.shared.phases.leave(self.number);
        self.shared.ends.leave(self.number);
        if self.counted {
            self.shared.open.set(self.shared.open.get() - 1);
            self.shared.ends.tell();
        }
    }
}

/// Waits for `future`, unless `end` comes before.
pub(super) async fn unless<T>(
    end: impl Future<Output = ()>,
    future: impl Future<Output = T>,
) -> Option<T> {
    let (mut end, mut future) = (std::pin::pin!(end), std::pin::pin!(future));
    poll_fn(|cx| {
        if let Poll::Ready(value) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(value));
        }
        end.as_mut().poll(cx).map(|()| None)
    })
    .await
}
