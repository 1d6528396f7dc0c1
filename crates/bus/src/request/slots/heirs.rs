//! What becomes of calls whose client or server dies.
//!
//! Where users may die the client's word says too who has the request, for a server that dies leaves
//! it to another, and a client leaves its slot to the next:
//!
//! ```text
//!  IDLE ── client asks ──▶ LIVE ── server meets it ──▶ TAKING ── has kept it ──▶ TAKEN ── answered ──▶ IDLE
//!                           │ ▲                          │ dies                    │ dies
//!                   gives up│ └──────────────────────────┘                         ▼
//!                           ▼                                   TAKEN ◀── next ── AGAIN
//!                        RETIRED
//! ```
//!
//! A server keeps the request in the object before it lets the channel have its place; while it has
//! not (TAKING), the channel brings the request again. Who gives up a call that was taken makes it
//! CANCELLED, or UNWANTED while nobody has it, and the slot is free when it was answered; one that was
//! not taken is RETIRED, its slot is free at once, and its request is served as one that was told. If
//! the channel brings such a request again when its slot has gone on to another call, nobody can tell
//! whether it was answered, and it is passed over: what is not waited for is rather lost than done
//! twice.

use super::{
    AGAIN, CANCELLED, Correlation, LIVE, NoReply, RETIRED, Replies, SEAT_SHIFT, Seat, Slot, TAKEN,
    TAKING, UNWANTED, generation_of, kind_of, word,
};
use crate::channel::Orphans;
use crate::event::Sleeps;
use crate::object::{Parts, Role};
use crate::scope::{Carries, Word};
use crate::sync::Ordering;

/// So often does somebody try to change a word that others change too.
const ATTEMPTS: usize = 64;

/// A state in which the server in that seat has the request.
fn word_of(seat: usize, generation: u32, kind: u64) -> u64 {
    (seat as u64) << SEAT_SHIFT | word(generation, kind)
}

fn seat_of(word: u64) -> usize {
    (word >> SEAT_SHIFT) as usize
}

/// What a request is to a server that meets it, where users may die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::request) enum Met {
    /// New: it must be kept before the channel lets go of it.
    New,
    /// Of a server that has died, which has kept it.
    Again,
    /// Nobody waits for an answer, which would come to another call.
    Told,
    /// Another server has it, or had, and has answered, or may have.
    Served,
}

impl<R, S: Carries<R>> Slot<R, S> {
    /// Changes the client's word, as `change` has it of what it is; `false`: it is to be left as it
    /// is.
    fn change(&self, change: impl Fn(u64) -> Option<u64>) -> Option<u64> {
        for _ in 0..ATTEMPTS {
            // Acquire: what those did who had the request before is done.
            let asked = self.asked.0.load(Ordering::Acquire);
            let next = change(asked)?;
            // AcqRel: the same, and who takes the request over sees what was kept.
            let done =
                self.asked.0.compare_exchange(asked, next, Ordering::AcqRel, Ordering::Relaxed);
            if done.is_ok() {
                return Some(asked);
            }
        }
        None
    }

    /// The client of that call waits no more.
    pub(super) fn forsake(&self, generation: u32) {
        self.change(|asked| {
            let kind = match kind_of(asked) {
                LIVE => RETIRED,
                TAKING | TAKEN => CANCELLED,
                AGAIN => UNWANTED,
                _ => return None,
            };
            let seat = if kind == CANCELLED { seat_of(asked) } else { 0 };
            (generation_of(asked) == generation).then(|| word_of(seat, generation, kind))
        });
    }

    /// The server in that seat meets a request; `redelivered`: one has died that had it on loan.
    fn meet(&self, generation: u32, seat: usize, redelivered: bool) -> Met {
        let before = self.change(|asked| {
            let kind = match kind_of(asked) {
                // The channel has it with one server at a time: who was taking it has died, be its
                // seat cleared or not.
                LIVE | TAKING => TAKING,
                AGAIN => TAKEN,
                UNWANTED => CANCELLED,
                _ => return None,
            };
            (generation_of(asked) == generation).then(|| word_of(seat, generation, kind))
        });
        if let Some(before) = before {
            return if matches!(kind_of(before), LIVE | TAKING) { Met::New } else { Met::Again };
        }
        // Relaxed: it was looked at just now.
        let asked = self.asked.0.load(Ordering::Relaxed);
        match generation_of(asked) == generation {
            true if kind_of(asked) == RETIRED => Met::Told,
            true => Met::Served,
            // The slot has gone on to another call: the client has given this one up before anybody
            // had it, or the one who died may have left it to another, who has answered.
            false if redelivered => Met::Served,
            false => Met::Told,
        }
    }

    /// Takes what a server had that has died: the generation.
    fn take_over(&self, seat: usize) -> Option<u32> {
        let before = self.change(|asked| match kind_of(asked) {
            AGAIN => Some(word_of(seat, generation_of(asked), TAKEN)),
            UNWANTED => Some(word_of(seat, generation_of(asked), CANCELLED)),
            _ => None,
        });
        before.map(generation_of)
    }

    /// The server in that seat has kept the request.
    fn kept(&self, generation: u32, seat: usize) {
        // Cancelled meanwhile, it stays so.
        let taking = word_of(seat, generation, TAKING);
        self.change(|asked| (asked == taking).then(|| word_of(seat, generation, TAKEN)));
    }

    /// The server in that seat has died. Returns the generation of a call that must be answered for
    /// it, if it is not to be served again.
    fn bereave(&self, seat: usize, redeliver: bool) -> Option<u32> {
        let before = self.change(|asked| {
            let generation = generation_of(asked);
            if seat_of(asked) != seat {
                return None;
            }
            match kind_of(asked) {
                // The channel brings it again.
                TAKING => Some(word(generation, LIVE)),
                TAKEN | CANCELLED if self.answer(generation).is_some() => None,
                TAKEN if redeliver => Some(word(generation, AGAIN)),
                TAKEN => Some(asked),
                CANCELLED => Some(word(generation, RETIRED)),
                _ => None,
            }
        })?;
        (kind_of(before) == TAKEN && !redeliver).then(|| generation_of(before))
    }
}

impl<R: 'static> Replies<R> {
    /// The answers to its calls will meet nobody.
    pub(super) fn client_died<S: Carries<R>>(&self, parts: &Parts<Self, S>, seat: usize) {
        let outstanding = self.config.outstanding;
        for slot in &parts.slots[seat * outstanding..][..outstanding] {
            // Relaxed: `forsake` looks again.
            slot.forsake(generation_of(slot.asked.0.load(Ordering::Relaxed)));
        }
        parts.head.freed.notify(&parts.wakers(Role::Giver)[..self.config.clients]);
    }

    /// What it had not answered is for others to serve, or is answered for it.
    pub(super) fn server_died<S: Carries<R>>(&self, parts: &Parts<Self, S>, seat: usize) {
        let redeliver = self.config.orphans == Orphans::Redeliver;
        for (at, slot) in parts.slots.iter().enumerate() {
            if let Some(generation) = slot.bereave(seat, redeliver) {
                slot.put(generation, Err(NoReply::Abandoned));
                slot.bell.notify(self.cell(parts, at as u32));
            }
        }
        // Release pairs with the Acquire in `take_over`.
        parts.head.again.store(1, Ordering::Release);
        parts.head.freed.notify(&parts.wakers(Role::Giver)[..self.config.clients]);
    }
}

impl<R: 'static, S: Carries<R>> Seat<R, S> {
    /// What a request is to this server that comes through the channel, where users may die; it is
    /// `redelivered` if it comes again.
    pub(in crate::request) fn meet(&self, to: Correlation, redelivered: bool) -> Met {
        let Some(slot) = self.slot(to) else { return Met::Told };
        match slot.meet(to.generation, self.seat(), redelivered) {
            // It comes again, for the one who had it has died: its seat may not be cleared yet. If
            // somebody else is at that just now, what was kept is found by `take_over`.
            Met::Served => {
                self.look_after_the_dead();
                slot.meet(to.generation, self.seat(), redelivered)
            }
            met => met,
        }
    }

    /// Where the request of a call is kept, where users may die.
    pub(in crate::request) fn keeping(&self, to: Correlation) -> &[S::Word] {
        let words = self.shape().kept_words;
        &self.parts().rows[to.slot as usize * words..][..words]
    }

    /// The request of a call was kept.
    pub(in crate::request) fn has_kept(&self, to: Correlation) {
        if let Some(slot) = self.slot(to) {
            slot.kept(to.generation, self.seat());
        }
    }

    /// Whether there may be something to be taken over.
    pub(in crate::request) fn may_take_over(&self) -> bool {
        // Relaxed: who takes over looks again.
        self.parts().head.again.load(Ordering::Relaxed) != 0
    }

    /// Takes a request over that a server had that has died.
    pub(in crate::request) fn take_over(&self) -> Option<Correlation> {
        let again = &self.parts().head.again;
        // A flag for the slots' own words.
        if !self.may_take_over() {
            return None;
        }
        // Acquire pairs with the Release in `server_died`. Should this server die here, whoever
        // clears its seat sets the flag again.
        again.swap(0, Ordering::Acquire);
        let slots = self.parts().slots.iter().enumerate();
        let mut taken = slots.filter_map(|(at, slot)| Some((at, slot.take_over(self.seat())?)));
        let (at, generation) = taken.next()?;
        // There may be more of them.
        again.store(1, Ordering::Release);
        Some(Correlation { slot: at as u32, generation })
    }
}
