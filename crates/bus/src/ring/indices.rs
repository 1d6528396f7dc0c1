//! The two indices of a ring with one giver and one taker.

use crate::ring::Line;
use crate::scope::{Scope, Word};
use crate::sync::Ordering;

/// The two indices. Where they lie in memory others know who look at it: `shared/look`, `record`.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Indices<S: Scope> {
    /// The position that is given next. Written by the giver alone.
    pub(crate) tail: Line<S::Word>,
    /// Written by the taker alone.
    pub(crate) head: Line<Head<S>>,
}

/// How far the taker has got.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Head<S: Scope> {
    /// The position that is taken next: all below is free.
    pub(crate) released: S::Word,
    /// Where takers can die: what lies below this position has been lent.
    lent: S::Word,
}

impl<S: Scope> Indices<S> {
    pub(crate) fn new() -> Self {
        let head = Head { released: S::Word::new(0), lent: S::Word::new(0) };
        Self { tail: Line(S::Word::new(0)), head: Line(head) }
    }

    /// How much is in the ring, at this moment; at most `capacity`, whatever the words say.
    pub(crate) fn len(&self, capacity: usize) -> usize {
        // Relaxed: a hint, old by the time that it is used. The head first: it never passes a
        // tail that was read after it.
        let head = self.head.0.released.load(Ordering::Relaxed);
        let len = self.tail.0.load(Ordering::Relaxed).wrapping_sub(head);
        len.min(capacity as u64) as usize
    }
}

impl<S: Scope> Head<S> {
    /// For a taker that begins at `head`: what lies below this position was lent to one that has
    /// died.
    pub(super) fn lent_before(&self, head: u64, capacity: u64) -> u64 {
        // Relaxed: the seat has handed over what the last taker wrote.
        let lent = self.lent.load(Ordering::Relaxed);
        // What cannot be was written by another process.
        if lent.wrapping_sub(head) <= capacity { lent } else { head }
    }

    /// Says that what lies below `end` is about to be lent, by a taker that has found what was
    /// `lent_before`.
    #[inline(always)]
    pub(super) fn lend(&self, end: u64, lent_before: u64) {
        // What was lent to a taker before may reach further, and is said to be already.
        if S::MORTAL && is_below(lent_before, end) {
            // Release: who finds it after this taker has died finds it before anything that was
            // done with what was lent.
            self.lent.store(end, Ordering::Release);
        }
    }
}

/// Whether a position lies below another: by less than half of all positions.
#[inline(always)]
pub(super) fn is_below(position: u64, other: u64) -> bool {
    other.wrapping_sub(position).cast_signed() > 0
}
