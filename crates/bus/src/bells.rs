//! What the objects have in common through which messages go: where their users sleep, and when
//! they end.

use std::ptr::NonNull;
use std::time::{Duration, Instant};

use crate::event::{Fence, Sleeps};
use crate::object::{Object, Parts, Role};
use crate::policy::Wait;
use crate::scope::{Local, Scope, Word};
use crate::sync::Ordering;

/// What all users of an object share through which messages go.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Bells<S: Scope> {
    /// Takers sleep here until there is a message.
    pub(crate) filled: S::Event,
    /// Givers sleep here until there is room.
    pub(crate) freed: S::Event,
    /// Not zero: nothing is sent any more.
    closed: S::Word32,
    /// For each role; not zero: it is closed, or at some time nobody was there of the other role.
    /// One word to look at on the way of a message; what is true is asked when it is set.
    doubt: [S::Word32; 2],
    /// Messages that were overwritten.
    pub(crate) dropped: S::Word,
    /// Messages that were given up with the user who had them on loan.
    pub(crate) lost: S::Word,
}

impl<S: Scope> Bells<S> {
    pub(crate) fn new(wait: Wait) -> Self {
        Self {
            filled: S::Event::new(wait),
            freed: S::Event::new(wait),
            closed: S::Word32::new(0),
            doubt: [S::Word32::new(0), S::Word32::new(0)],
            dropped: S::Word::new(0),
            lost: S::Word::new(0),
        }
    }
}

impl<S: Scope> Bells<S> {
    /// The slots were put in order of a user of that kind who has died: counts the messages that were
    /// given up, and wakes whoever sleeps, for whom a message or a place may have come of it.
    pub(crate) fn put_in_order(&self, role: Role, given_up: u64, wakers: [&[S::Waker]; 2]) {
        let counter = match role {
            Role::Giver => &self.dropped,
            Role::Taker => &self.lost,
        };
        // Relaxed: a count, which orders nothing.
        counter.fetch_add(given_up, Ordering::Relaxed);
        self.filled.notify(wakers[Role::Taker as usize]);
        self.freed.notify(wakers[Role::Giver as usize]);
    }
}

/// An object through which messages go.
pub(crate) trait Rings<S: Scope>: Object<S, Head = Bells<S>> {
    /// Nobody is left of that kind: says so, and wakes who waits for them.
    fn tell(parts: &Parts<Self, S>, role: Role) {
        // Release pairs with the Acquire in `Ringer::is_shut`: who finds it set sees that nobody
        // is left, and all that they have done.
        parts.head.doubt[role.other() as usize].store(1, Ordering::Release);
        Self::stir(parts, role);
    }

    /// Wakes who waits for something that users of that kind do.
    fn stir(parts: &Parts<Self, S>, role: Role) {
        match role {
            Role::Giver => Self::filled(parts),
            Role::Taker => Self::freed(parts),
        }
    }

    /// Wakes who waits for a message.
    #[inline(always)]
    fn filled(parts: &Parts<Self, S>) {
        parts.head.filled.notify(parts.wakers(Role::Taker));
    }

    /// Wakes who waits for room.
    #[inline(always)]
    fn freed(parts: &Parts<Self, S>) {
        parts.head.freed.notify(parts.wakers(Role::Giver));
    }

    /// Whether what was sent could still be received.
    #[inline(always)]
    fn takes(parts: &Parts<Self, S>) -> bool {
        // Relaxed: who closes waits for nobody.
        parts.can_come(Role::Taker) && parts.head.closed.load(Ordering::Relaxed) == 0
    }

    /// Whether something may still be sent.
    fn gives(parts: &Parts<Self, S>) -> bool {
        // Acquire pairs with the Release in `close`.
        parts.can_come(Role::Giver) && parts.head.closed.load(Ordering::Acquire) == 0
    }

    /// Nothing is sent any more.
    fn close(parts: &Parts<Self, S>) {
        // Release pairs with the Acquire in `gives`; the doubt comes after, by `tell`.
        parts.head.closed.store(1, Ordering::Release);
        Self::tell(parts, Role::Giver);
        Self::tell(parts, Role::Taker);
    }
}

/// What a user has at hand of the bells on the way of a message: two words, without a detour.
pub(crate) struct Ringer<S: Scope> {
    bells: NonNull<Bells<S>>,
    /// What stands before the look for sleepers.
    fence: Fence,
}

// SAFETY: bells are made of words that any thread may use.
unsafe impl Send for Ringer<Local> {}
// SAFETY: as above.
#[cfg(not(loom))]
unsafe impl Send for Ringer<crate::shared::Shared> {}

impl<S: Scope> Ringer<S> {
    /// # Safety
    /// The bells stay where they are for as long as this is used.
    pub(crate) unsafe fn new(bells: &Bells<S>) -> Self {
        // Both events were made with the same way to wait.
        Self { bells: bells.into(), fence: bells.filled.fence() }
    }

    #[inline(always)]
    fn bells(&self) -> &Bells<S> {
        // SAFETY: by the promise of `new`.
        unsafe { self.bells.as_ref() }
    }

    /// Where those wait who wait for something that users in `role` do.
    #[inline(always)]
    fn event(&self, role: Role) -> &S::Event {
        match role {
            Role::Giver => &self.bells().filled,
            Role::Taker => &self.bells().freed,
        }
    }

    /// Whether nothing can be sent any more, asked by a giver, or nothing will come, asked by a taker:
    /// what there is was published before.
    #[inline(always)]
    pub(crate) fn is_shut<O: Rings<S>>(&self, parts: &Parts<O, S>, role: Role) -> bool {
        // Acquire pairs with the Release in `Rings::tell`.
        self.bells().doubt[role as usize].load(Ordering::Acquire) != 0
            && is_really_shut(parts, role)
    }

    /// Whether somebody sleeps who may not have seen what a user in `role` has just published.
    #[inline(always)]
    pub(crate) fn has_sleeper(&self, role: Role) -> bool {
        self.event(role).has_sleeper(self.fence)
    }

    /// Wakes those who wait for what a user in `role` does.
    #[cold]
    #[inline(never)]
    pub(crate) fn wake(&self, role: Role, wakers: &[S::Waker]) {
        self.event(role).wake(wakers);
    }
}

#[cold]
#[inline(never)]
fn is_really_shut<O: Rings<S>, S: Scope>(parts: &Parts<O, S>, role: Role) -> bool {
    match role {
        Role::Giver => !O::takes(parts),
        Role::Taker => !O::gives(parts),
    }
}

/// When somebody gives up who waits for so long.
pub(crate) fn due(limit: Option<Duration>) -> Option<Instant> {
    // Too far away to be counted is for ever.
    limit.and_then(|limit| Instant::now().checked_add(limit))
}
