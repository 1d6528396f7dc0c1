//! What the objects have in common through which messages go: where their users sleep, and when
//! they end.

use std::time::{Duration, Instant};

use crate::event::Sleeps;
use crate::object::{Object, Parts, Role};
use crate::policy::Wait;
use crate::scope::{Scope, Word};
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
            dropped: S::Word::new(0),
            lost: S::Word::new(0),
        }
    }
}

/// An object through which messages go.
pub(crate) trait Rings<S: Scope>: Object<S, Head = Bells<S>> {
    /// Wakes who waits for the users of a kind of which none is left.
    fn tell(parts: &Parts<Self, S>, role: Role) {
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
        // Release pairs with the Acquire in `gives`.
        parts.head.closed.store(1, Ordering::Release);
        Self::tell(parts, Role::Giver);
        Self::tell(parts, Role::Taker);
    }
}

/// When somebody gives up who waits for so long.
pub(crate) fn due(limit: Option<Duration>) -> Option<Instant> {
    // Too far away to be counted is for ever.
    limit.and_then(|limit| Instant::now().checked_add(limit))
}
