//! What is armed: how many operations the kernel still holds, and what must be known
//! of each when it ends.

use crate::driver::Token;

/// What is noted of the operation in a slot.
#[derive(Clone, Copy, Default)]
struct Note {
    /// The generation of the slot's latest operation.
    generation: u32,
    /// [`ARMED`], [`CANCELLED`], [`DESCRIPTOR`].
    marks: u8,
}

/// The final completion has not come yet.
const ARMED: u8 = 1;
/// A cancel has been asked for.
const CANCELLED: u8 = 2;
/// Its results are descriptors, which someone must close.
const DESCRIPTOR: u8 = 4;

/// What a completion belonged to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Past {
    /// A cancel had been asked for.
    pub(super) cancelled: bool,
    /// A result that is not negative is a descriptor.
    pub(super) descriptor: bool,
}

/// The operations in flight.
pub(super) struct Ledger {
    /// One a slot of the engine's table. The engine compares generations; notes of a
    /// slot's earlier tenant give way to the next one's.
    notes: Vec<Note>,
    /// Armed operations whose final completion has not been reaped: exact.
    in_flight: usize,
}

impl Ledger {
    /// Room for notes on `operations` slots.
    pub(super) fn new(operations: usize) -> Self {
        Self { notes: vec![Note::default(); operations], in_flight: 0 }
    }

    /// How many operations the kernel holds.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// An operation was pushed; `descriptor` if its results are descriptors.
    pub(super) fn arm(&mut self, token: Token, descriptor: bool) {
        self.in_flight += 1;
        if let Some(note) = self.notes.get_mut(token.index() as usize) {
            debug_assert!(
                note.marks & ARMED == 0 || note.generation != token.generation(),
                "{token:?} is armed already"
            );
            let marks = if descriptor { ARMED | DESCRIPTOR } else { ARMED };
            *note = Note { generation: token.generation(), marks };
        }
    }

    /// Whether a cancel of `token` needs to be sent: not if one was, nor if it is known
    /// to have ended.
    pub(super) fn cancel(&mut self, token: Token) -> bool {
        let Some(note) = self.note(token) else { return true };
        let open = note.marks & (ARMED | CANCELLED) == ARMED;
        note.marks |= CANCELLED;
        open
    }

    /// A completion of `token` came; the last one unless `more`. `None` if `token` is
    /// known to have ended before: such a completion belongs to nobody.
    pub(super) fn complete(&mut self, token: Token, more: bool) -> Option<Past> {
        let mut past = Past { cancelled: false, descriptor: false };
        if let Some(note) = self.note(token) {
            if note.marks & ARMED == 0 {
                return None;
            }
            past.cancelled = note.marks & CANCELLED != 0;
            past.descriptor = note.marks & DESCRIPTOR != 0;
            if !more {
                note.marks &= !ARMED;
            }
        }
        if !more {
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        Some(past)
    }

    /// The note on `token`, unless another has its slot by now.
    fn note(&mut self, token: Token) -> Option<&mut Note> {
        let note = self.notes.get_mut(token.index() as usize)?;
        (note.generation == token.generation()).then_some(note)
    }
}
