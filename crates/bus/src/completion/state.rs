//! The states of a completion, and who may change which.
//!
//! One word says it all: the *generation*, which counts operations, and the *phase* of the latest.
//!
//! ```text
//!          begin             claim               publish
//!   Idle ────────▶ Pending ◀───────▶ Claimed ───────────────▶ Done or Abandoned
//!    ▲                │ cancel                                     │ take
//!    └────────────────┴────────────────────────────────────────────┘
//! ```
//!
//! The owner begins, cancels and takes; the completer of that generation claims and publishes. They
//! meet at *pending* alone, where an exchange decides which of them is first: a completer that
//! comes late finds another phase or another generation, and touches nothing. A claim lasts for a
//! few instructions, in which nobody else's code runs.

use std::task::Waker;

use crate::completion::TakeError;
use crate::event::Sleeps;
use crate::policy::Wait;
use crate::scope::{Carries, Place, Scope, Word};
use crate::sync::{self, Ordering};
use crate::waker::WakerCell;

/// No operation is under way.
const IDLE: u64 = 0;
/// One is, and has no result yet.
const PENDING: u64 = 1;
/// Its completer is at the place of the result, or at its own waker.
const CLAIMED: u64 = 2;
/// The result is there.
const DONE: u64 = 3;
/// The completer is gone, and left no result.
const ABANDONED: u64 = 4;

/// Bits of a state that are its phase.
const PHASE_BITS: u32 = 3;

/// Looks at a claim before the thread gives way to the one that has it.
const CLAIM_LOOKS: u32 = 64;

/// An operation, among all those of one completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Generation(u64);

impl Generation {
    fn in_phase(self, phase: u64) -> u64 {
        self.0 << PHASE_BITS | phase
    }
}

fn phase_of(state: u64) -> u64 {
    state & ((1 << PHASE_BITS) - 1)
}

/// What owner and completer share.
pub(super) struct Core<T, S: Scope> {
    /// Generation and phase.
    state: S::Word,
    /// The result, in the phase [`DONE`]. The completer's while it has a claim.
    result: Place<T>,
    /// Whom a cancel wakes. The completer's while it has a claim; the owner's once it has
    /// cancelled.
    watcher: Place<Option<Waker>>,
    /// Where the owner sleeps.
    bell: S::Event,
    /// Where it leaves its waker.
    waker: [S::Waker; 1],
}

impl<T, S: Carries<T>> Core<T, S> {
    pub(super) fn new(wait: Wait) -> Self {
        let watcher = Place::empty();
        // SAFETY: nobody else knows of it yet.
        unsafe { watcher.write(None) };
        Self {
            state: S::Word::new(Generation(0).in_phase(IDLE)),
            result: Place::empty(),
            watcher,
            bell: S::Event::new(wait),
            waker: [S::Waker::new()],
        }
    }

    /// Puts another waker in place of the watcher's.
    ///
    /// # Safety
    /// The caller has the watcher: it is the completer in a claim, or the owner that has cancelled.
    unsafe fn replace_watcher(&self, waker: Option<Waker>) -> Option<Waker> {
        // SAFETY: there is always a value, and by the caller's promise nobody else touches it.
        unsafe {
            let before = self.watcher.read();
            self.watcher.write(waker);
            before
        }
    }

    // ------------------------------------------------------------------------- the owner's

    /// Begins an operation, unless one is under way or has left a result.
    pub(super) fn begin(&self) -> Option<Generation> {
        // Relaxed: the owner alone leaves `IDLE`.
        let state = self.state.load(Ordering::Relaxed);
        if phase_of(state) != IDLE {
            return None;
        }
        let generation = Generation((state >> PHASE_BITS) + 1);
        // Relaxed: whoever hands the completer on tells its new owner all that there is.
        self.state.store(generation.in_phase(PENDING), Ordering::Relaxed);
        Some(generation)
    }

    /// Whether there is something to take: all but an operation that is under way.
    #[inline(always)]
    pub(super) fn is_ready(&self) -> bool {
        // Acquire pairs with the Release in `publish`, for what follows a look.
        !matches!(phase_of(self.state.load(Ordering::Acquire)), PENDING | CLAIMED)
    }

    /// Whether no operation was begun, or the last one is over and its result was taken.
    pub(super) fn is_idle(&self) -> bool {
        // Relaxed: the owner alone leaves and enters this phase.
        phase_of(self.state.load(Ordering::Relaxed)) == IDLE
    }

    /// Takes the result. For the owner.
    #[inline]
    pub(super) fn take(&self) -> Result<T, TakeError> {
        // Acquire pairs with the Release in `publish`: who sees the phase sees the result.
        let state = self.state.load(Ordering::Acquire);
        let result = match phase_of(state) {
            IDLE => return Err(TakeError::Idle),
            PENDING | CLAIMED => return Err(TakeError::Pending),
            // SAFETY: the phase says that a result was published, to the owner, which makes it
            // idle here and so takes it once.
            DONE => Ok(unsafe { self.result.read() }),
            _ => Err(TakeError::Abandoned),
        };
        // Relaxed: completers of this generation are through, and those of older ones find a
        // strange generation whatever they see.
        self.state.store(Generation(state >> PHASE_BITS).in_phase(IDLE), Ordering::Relaxed);
        result
    }

    /// Ends the operation for its owner: whether it was still under way. A result is dropped.
    pub(super) fn cancel(&self) -> bool {
        let mut looks = 0_u32;
        loop {
            // Relaxed: the exchange and `take` look again.
            let state = self.state.load(Ordering::Relaxed);
            match phase_of(state) {
                PENDING if self.withdraw(Generation(state >> PHASE_BITS)) => return true,
                PENDING => {}
                CLAIMED => {
                    looks = looks.wrapping_add(1);
                    if looks.is_multiple_of(CLAIM_LOOKS) {
                        sync::yield_now()
                    } else {
                        sync::spin_loop()
                    }
                }
                _ => {
                    drop(self.take());
                    return false;
                }
            }
        }
    }

    /// Turns pending into idle and wakes the watcher, unless the completer is first.
    fn withdraw(&self, generation: Generation) -> bool {
        let (pending, idle) = (generation.in_phase(PENDING), generation.in_phase(IDLE));
        // Release pairs with the Acquire in `is_current`: who sees the cancel sees what the owner
        // did before. Acquire pairs with the Release in `watch`: the watcher's waker is there.
        let won = self.state.compare_exchange(pending, idle, Ordering::AcqRel, Ordering::Relaxed);
        if won.is_err() {
            return false;
        }
        // SAFETY: no completer of this generation gets a claim any more, and none of another has
        // begun.
        let watcher = unsafe { self.replace_watcher(None) };
        if let Some(watcher) = watcher {
            watcher.wake();
        }
        true
    }

    /// The bell at which the owner waits, and its cell.
    pub(super) fn bell(&self) -> (&S::Event, &S::Waker) {
        (&self.bell, &self.waker[0])
    }

    // --------------------------------------------------------------------- the completer's

    /// Whether the operation of that generation is still wanted.
    pub(super) fn is_current(&self, generation: Generation) -> bool {
        // Acquire pairs with the Release in `withdraw`.
        self.state.load(Ordering::Acquire) == generation.in_phase(PENDING)
    }

    /// Keeps the owner away for a few instructions; `false`: it has cancelled.
    fn claim(&self, generation: Generation) -> bool {
        let (pending, claimed) = (generation.in_phase(PENDING), generation.in_phase(CLAIMED));
        // Relaxed: what the owner did before it began has come with the completer.
        self.state.compare_exchange(pending, claimed, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Leaves a waker for a cancel to find; `false`: it is cancelled.
    pub(super) fn watch(&self, generation: Generation, waker: &Waker) -> bool {
        let waker = waker.clone();
        if !self.claim(generation) {
            return false;
        }
        // SAFETY: the claim is ours.
        let before = unsafe { self.replace_watcher(Some(waker)) };
        // Release pairs with the Acquire in `withdraw`.
        self.state.store(generation.in_phase(PENDING), Ordering::Release);
        drop(before);
        true
    }

    /// Completes the operation; the value comes back if nobody wants it any more.
    #[inline]
    pub(super) fn complete(&self, generation: Generation, value: T) -> Result<(), T> {
        if !self.claim(generation) {
            return Err(value);
        }
        // SAFETY: the claim is ours; the owner has taken the result of the operation before.
        unsafe { self.result.write(value) };
        self.publish(generation, DONE);
        Ok(())
    }

    /// Ends the operation without a result, unless nobody wants one any more.
    pub(super) fn abandon(&self, generation: Generation) {
        if self.claim(generation) {
            self.publish(generation, ABANDONED);
        }
    }

    /// Ends a claim, and with it the operation.
    #[inline]
    fn publish(&self, generation: Generation, phase: u64) {
        // SAFETY: the claim is the caller's.
        let watcher = unsafe { self.replace_watcher(None) };
        // Release pairs with the Acquire in `take`: who sees the phase sees the result, and that
        // the watcher is gone.
        self.state.store(generation.in_phase(phase), Ordering::Release);
        self.bell.notify(&self.waker);
        drop(watcher);
    }
    /// What a completer must not do: nobody is woken.
    #[cfg(all(test, loom))]
    pub(super) fn publish_in_silence(&self, generation: Generation) {
        assert!(self.claim(generation));
        self.state.store(generation.in_phase(ABANDONED), Ordering::Release);
    }
}
