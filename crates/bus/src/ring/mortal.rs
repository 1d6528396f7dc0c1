//! The shared ring where its users may die at any step: each slot says who has it.
//!
//! As in [`many`](super::many) positions count up and wrap around the slots. But a claim is not
//! made by moving an index on, which would not tell whose it is: it is made in the slot's word,
//!
//! ```text
//!  63        19 18      3 2     0
//! ┌────────────┬─────────┬───────┐
//! │ lap        │ seat    │ phase │
//! └────────────┴─────────┴───────┘
//! ```
//!
//! and the indices are hints, which anybody moves on who finds them behind. Of one lap, a slot goes
//! through the phases
//!
//! ```text
//!  FREE ── giver claims ──▶ WRITING ── gives ──▶ FULL ── taker claims ──▶ READING ── frees ──▶ FREE
//!                             │ dies                                        │ dies      of the next
//!                             ▼                                             ▼
//!                            VOID ── takers pass over it                  AGAIN ── taker claims it
//! ```
//!
//! Whoever clears the seat of a dead user puts its slots into the phases below. A slot in phase
//! `AGAIN` lies behind the head, so that takers look for it by a flag that says that there may be
//! one.

use crate::ring::many::{Claim, Ring};
use crate::scope::{Scope, Word};
use crate::sync::Ordering;

const PHASE: u64 = 0b111;
pub(crate) const FREE: u64 = 0;
pub(crate) const WRITING: u64 = 1;
pub(crate) const FULL: u64 = 2;
pub(crate) const READING: u64 = 3;
pub(crate) const VOID: u64 = 4;
pub(crate) const AGAIN: u64 = 5;

const SEAT_SHIFT: u32 = 3;
const LAP_SHIFT: u32 = 19;

/// The most users of both kinds together.
pub(crate) const MAX_SEATS: usize = 1 << (LAP_SHIFT - SEAT_SHIFT);

/// What a slot's word says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct State(pub(crate) u64);

impl State {
    pub(crate) fn new(lap: u64, seat: usize, phase: u64) -> Self {
        Self(lap << LAP_SHIFT | (seat as u64) << SEAT_SHIFT | phase)
    }

    pub(crate) fn phase(self) -> u64 {
        self.0 & PHASE
    }

    pub(crate) fn seat(self) -> usize {
        (self.0 >> SEAT_SHIFT) as usize & (MAX_SEATS - 1)
    }

    pub(crate) fn is_of(self, seat: usize) -> bool {
        self.seat() == seat
    }

    pub(crate) fn lap(self) -> u64 {
        self.0 >> LAP_SHIFT
    }

    /// Laps from `lap` to that of the slot: below zero, the slot is behind. Laps wrap around.
    pub(crate) fn ahead_of(self, lap: u64) -> i64 {
        (self.lap().wrapping_sub(lap) << LAP_SHIFT) as i64 >> LAP_SHIFT
    }

    /// The same lap in another phase.
    pub(crate) fn to(self, seat: usize, phase: u64) -> Self {
        Self::new(self.lap(), seat, phase)
    }

    /// What becomes of the slot when the user in that seat is found dead; `None`: it stays.
    pub(crate) fn without(self, seat: usize, redeliver: bool) -> Option<Self> {
        match self.phase() {
            _ if !self.is_of(seat) => None,
            WRITING => Some(self.to(0, VOID)),
            READING if redeliver => Some(self.to(0, AGAIN)),
            READING => Some(self.freed()),
            _ => None,
        }
    }

    /// Free, of the next lap.
    pub(crate) fn freed(self) -> Self {
        Self::new(self.lap().wrapping_add(1), 0, FREE)
    }
}

impl<T, S: Scope> Ring<T, S> {
    fn state(&self, claim: &Claim<T, S>) -> State {
        // Acquire pairs with the Releases in `move_on` and `exchange`: what was done to the slot
        // before is done.
        State(claim.stamp().load(Ordering::Acquire))
    }

    fn lap_of(&self, position: u64) -> u64 {
        position >> self.capacity().trailing_zeros()
    }

    /// Puts a slot from one state into another, if it is in that.
    fn exchange(&self, claim: &Claim<T, S>, from: State, to: State) -> bool {
        // AcqRel: who claims sees what the user before did; who clears hands on what it found.
        claim.stamp().compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Moves an index on from `position`, unless somebody has.
    fn help(index: &S::Word, position: u64) {
        // Relaxed: the index is a hint.
        let next = position.wrapping_add(1);
        _ = index.compare_exchange(position, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Looks at the slots from the index on, as many as an honest index can be behind, until
    /// `decide` has an answer.
    fn search<R>(
        &self,
        index: &S::Word,
        decide: impl Fn(&Claim<T, S>, State, i64) -> Verdict<R>,
    ) -> Option<R> {
        for _ in 0..self.capacity().saturating_mul(2).saturating_add(64) {
            // Relaxed: the index is a hint.
            let position = index.load(Ordering::Relaxed);
            let claim = self.claimed(position);
            let state = self.state(&claim);
            match decide(&claim, state, state.ahead_of(self.lap_of(position))) {
                Verdict::Answer(answer) => {
                    return answer;
                }
                Verdict::Behind => Self::help(index, position),
                Verdict::Lost => {}
            }
        }
        None // the words make no sense: another process has scribbled over them
    }

    /// As [`Ring::claim_to_give`].
    pub(super) fn mortal_claim_to_give(&self) -> Option<Claim<T, S>> {
        let index = self.tail();
        let claim = self.search(index, |claim, state, ahead| match (ahead, state.phase()) {
            (0, FREE) => {
                let claimed = self.exchange(claim, state, state.to(self.seat(), WRITING));
                if claimed { Verdict::Answer(Some(claim.again())) } else { Verdict::Lost }
            }
            (..0, _) => Verdict::Answer(None),
            _ => Verdict::Behind,
        })?;
        Self::help(index, claim.position());
        Some(claim)
    }

    /// As [`Ring::claim_to_take`].
    pub(super) fn mortal_claim_to_take(&self, passed: impl Fn()) -> Option<Claim<T, S>> {
        if let Some(claim) = self.claim_again() {
            return Some(claim);
        }
        let index = self.head();
        let claim = self.search(index, |claim, state, ahead| match (ahead, state.phase()) {
            (0, FULL) => {
                let claimed = self.exchange(claim, state, state.to(self.seat(), READING));
                if claimed { Verdict::Answer(Some(claim.again())) } else { Verdict::Lost }
            }
            (0, VOID) => {
                if self.exchange(claim, state, state.freed()) {
                    passed();
                }
                Verdict::Behind
            }
            (0, FREE | WRITING) | (..0, _) => Verdict::Answer(None),
            _ => Verdict::Behind,
        })?;
        Self::help(index, claim.position());
        Some(claim)
    }

    /// Claims a message that somebody had who has died.
    fn claim_again(&self) -> Option<Claim<T, S>> {
        // Relaxed: a flag for the slots' own words.
        if self.again().load(Ordering::Relaxed) == 0 {
            return None;
        }
        // Acquire pairs with the Release in `clear`: the slots are in their phase.
        self.again().swap(0, Ordering::Acquire);
        for position in 0..self.capacity() {
            let claim = self.claimed(position);
            let state = self.state(&claim);
            if state.phase() == AGAIN
                && self.exchange(&claim, state, state.to(self.seat(), READING))
            {
                // There may be more of them.
                self.again().store(1, Ordering::Release);
                return Some(claim.lent_before());
            }
        }
        None
    }

    /// As [`Ring::has_room`].
    pub(super) fn mortal_has_room(&self) -> bool {
        self.is_turn_of(self.tail(), |phase| phase == FREE)
    }

    /// As [`Ring::has_some`].
    pub(super) fn mortal_has_some(&self) -> bool {
        // Relaxed: who claims looks again.
        self.again().load(Ordering::Relaxed) != 0
            || self.is_turn_of(self.head(), |phase| phase == FULL || phase == VOID)
    }

    fn is_turn_of(&self, index: &S::Word, turn: impl Fn(u64) -> bool) -> bool {
        let found = self.search(index, |_, state, ahead| match ahead {
            0 if turn(state.phase()) => Verdict::Answer(Some(true)),
            0 if matches!(state.phase(), FREE | WRITING) => Verdict::Answer(Some(false)),
            ..0 => Verdict::Answer(Some(false)),
            _ => Verdict::Behind,
        });
        found == Some(true)
    }

    /// Moves a slot that this user has claimed on to its next phase.
    pub(super) fn move_on(&self, claim: &Claim<T, S>, step: Step) {
        // Relaxed: nobody else changes the word of a slot that is claimed.
        let state = State(claim.stamp().load(Ordering::Relaxed));
        let next = match step {
            Step::Given => state.to(0, FULL),
            Step::GivenVoid => {
                claim.note_void(state.lap());
                state.to(0, VOID)
            }
            Step::Freed => state.freed(),
        };
        // Release pairs with the Acquire in `state`: who sees the phase sees what was done before.
        claim.stamp().store(next.0, Ordering::Release);
    }

    /// Puts the slots that this user had when it died in order: what it had not given is void, what
    /// it had on loan comes again, or is given up. Returns how many messages are given up.
    pub(crate) fn clear(&self, redeliver: bool) -> u64 {
        let mut given_up = 0;
        for position in 0..self.capacity() {
            let claim = self.claimed(position);
            let state = self.state(&claim);
            let Some(next) = state.without(self.seat(), redeliver) else { continue };
            if next.phase() == VOID {
                claim.note_void(state.lap());
            }
            let cleared = self.exchange(&claim, state, next);
            given_up += u64::from(cleared && next.phase() == FREE);
        }
        if redeliver {
            // Release pairs with the Acquire in `claim_again`.
            self.again().store(1, Ordering::Release);
        }
        given_up
    }
}

/// What a look at a slot has found.
enum Verdict<R> {
    /// The answer to the search.
    Answer(Option<R>),
    /// The index is behind: help it on, and look again.
    Behind,
    /// Somebody was faster: look again.
    Lost,
}

/// What becomes of a slot that was claimed.
#[derive(Clone, Copy)]
pub(super) enum Step {
    Given,
    GivenVoid,
    Freed,
}
