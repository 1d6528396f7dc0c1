//! Slots that are lent in any order, where those who have them may die: each says who has it.
//!
//! The word of a slot is that of [`mortal`](super::mortal): a lap, which counts how often it was
//! lent, a seat and a phase.
//!
//! ```text
//!  FREE ── lend ──▶ WRITING ── offer ──▶ SENDING ── sent ──▶ FULL ── redeem ──▶ READING ── free ──▶ FREE
//!                      │ dies               │ dies  ╲__________________________▲   │ dies    of the next
//!                      ▼                    ▼                 redeem               ▼
//!                    FREE of the next     AGAIN ◀──────────────────────────────────┘
//! ```
//!
//! What is on its way belongs to nobody: who takes its *ticket*, which tells the slot and the lap,
//! redeems it. Whether the ticket of a slot in phase `AGAIN` is still on its way nobody knows. So it
//! can be redeemed, by whoever gets the ticket (again), and it can be lent anew when nothing is free
//! otherwise; its lap moves on then, and a ticket that comes later is told from a current one.
//! Whoever gets the ticket of a slot that one has who has died, and whose seat somebody is just
//! clearing, need not wait for that, and inherits it.

use crate::ring::many::Stamped;
use crate::ring::mortal::{AGAIN, FREE, FULL, READING, State, WRITING};
use crate::scope::{Scope, Word};
use crate::sync::Ordering;

/// On its way, or about to be: its giver has not yet said that it is.
const SENDING: u64 = 6;

/// The slots, as the user in a seat sees them.
pub(crate) struct Lot<'l, T, S: Scope> {
    slots: &'l [Stamped<T, S>],
    seat: usize,
}

impl<'l, T, S: Scope> Lot<'l, T, S> {
    pub(crate) fn new(slots: &'l [Stamped<T, S>], seat: usize) -> Self {
        Self { slots, seat }
    }

    fn state(&self, index: u32) -> Option<State> {
        let slot = self.slots.get(index as usize)?;
        // Acquire pairs with the Release in `exchange`: what was done to the slot before is done.
        Some(State(slot.stamp().load(Ordering::Acquire)))
    }

    /// Puts a slot from one state into another, if it is in that.
    fn exchange(&self, index: u32, from: State, to: State) -> bool {
        let stamp = self.slots[index as usize].stamp();
        // AcqRel: who gets it sees what the one before did; who gives it hands on what it found.
        stamp.compare_exchange(from.0, to.0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Takes a slot, looking from `hint` on: one that is free, or else one whose ticket may have
    /// gone with somebody who has died.
    pub(crate) fn lend(&self, hint: &mut usize) -> Option<u32> {
        let found = self.claim(*hint, FREE, |state| state.to(self.seat, WRITING));
        let anew = |state: State| state.freed().to(self.seat, WRITING);
        let index = found.or_else(|| self.claim(*hint, AGAIN, anew))?;
        *hint = index as usize + 1;
        Some(index)
    }

    fn claim(&self, hint: usize, phase: u64, to: impl Fn(State) -> State) -> Option<u32> {
        let len = self.slots.len();
        (0..len).map(|at| ((hint + at) % len) as u32).find(|index| {
            let state = self.state(*index).filter(|state| state.phase() == phase);
            state.is_some_and(|state| self.exchange(*index, state, to(state)))
        })
    }

    /// Whether a slot could be lent.
    pub(crate) fn has_some(&self) -> bool {
        self.free_ones().next().is_some()
    }

    /// How many could be, at this moment.
    pub(crate) fn available(&self) -> usize {
        self.free_ones().count()
    }

    fn free_ones(&self) -> impl Iterator<Item = State> {
        let states = (0..self.slots.len() as u32).filter_map(|index| self.state(index));
        states.filter(|state| matches!(state.phase(), FREE | AGAIN))
    }

    /// A slot that this user has is about to be sent: what its ticket tells besides its number.
    pub(crate) fn offer(&self, index: u32) -> u64 {
        let state = self.state(index).unwrap_or(State(0));
        self.exchange(index, state, state.to(self.seat, SENDING));
        state.lap()
    }

    /// The ticket is on its way. Whoever was faster has redeemed it already.
    pub(crate) fn sent(&self, index: u32, lap: u64) {
        let (from, to) = (State::new(lap, self.seat, SENDING), State::new(lap, 0, FULL));
        self.exchange(index, from, to);
    }

    /// The ticket was not sent after all.
    #[cfg(not(loom))]
    pub(crate) fn not_sent(&self, index: u32, lap: u64) {
        let from = State::new(lap, self.seat, SENDING);
        self.exchange(index, from, from.to(self.seat, WRITING));
    }

    /// Takes the slot of a ticket.
    pub(crate) fn redeem(&self, index: u32, lap: u64) -> Redeemed {
        // A ticket is of one. Its giver may move the slot on meanwhile, once.
        for _ in 0..3 {
            let Some(state) = self.state(index).filter(|state| state.ahead_of(lap) == 0) else {
                break;
            };
            match state.phase() {
                SENDING | FULL | AGAIN => {}
                READING => return Redeemed::By(state.seat()),
                _ => break,
            }
            if self.exchange(index, state, state.to(self.seat, READING)) {
                return Redeemed::Now;
            }
        }
        Redeemed::Before
    }

    /// Takes the slot of a ticket that the user in that seat has redeemed, who has died: the caller
    /// has found its seat being cleared after it has found the slot with it. Whether it was still so:
    /// it is as if the slot had been put in order first, and redeemed then.
    pub(crate) fn inherit(&self, index: u32, lap: u64, from: usize) -> bool {
        let from = State::new(lap, from, READING);
        self.exchange(index, from, from.to(self.seat, READING))
    }

    /// Gives a slot back that this user has.
    pub(crate) fn free(&self, index: u32) {
        if let Some(state) = self.state(index)
            && state.is_of(self.seat)
            && matches!(state.phase(), WRITING | READING)
        {
            self.exchange(index, state, state.freed());
        }
    }

    /// Puts the slots in order that this user had when it died.
    pub(crate) fn clear(&self) {
        for index in 0..self.slots.len() as u32 {
            let Some(state) = self.state(index) else { continue };
            let Some(next) = without(state, self.seat) else { continue };
            self.exchange(index, state, next);
        }
    }
}

/// What became of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Redeemed {
    /// Its slot is the caller's.
    Now,
    /// The user in that seat has redeemed it, and has the slot.
    By(usize),
    /// It was redeemed before, or there is no such slot.
    Before,
}

/// What becomes of a slot when the user in that seat is found dead; `None`: it stays.
pub(crate) fn without(state: State, seat: usize) -> Option<State> {
    match state.phase() {
        _ if !state.is_of(seat) => None,
        WRITING => Some(state.freed()),
        SENDING | READING => Some(state.to(0, AGAIN)),
        _ => None,
    }
}
