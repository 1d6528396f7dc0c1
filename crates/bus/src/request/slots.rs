//! Where replies lie: some slots for each client, each for one call at a time.
//!
//! ```text
//!   the client's word                        the server's word, and the reply
//!   asked = generation, live      ──request──▶
//!                                 ◀──────────  answered = generation, value
//!   asked = generation, idle
//! ```
//!
//! Each side has a word of its own, on a line of its own, so that neither ever waits for the other
//! and each way costs one store. A slot is *idle* when its last call was answered and the reply was
//! taken out. A call that is cancelled leaves it as *cancelled*; since each request is answered
//! once, be it by being dropped, an answer will come that meets nobody, and then the client drops
//! it and uses the slot again.
//!
//! Where users may die the client's word says too who has the request: see [`heirs`].
//!
//! What the server knows of a call is a [`Correlation`]: it comes through the memory of the object,
//! so its index is checked before it is used, and its generation where it is compared.

mod heirs;

pub(super) use self::heirs::Met;

use std::fmt;
use std::marker::PhantomData;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::completion::TakeError;
use crate::error::Corrupt;
use crate::event::Sleeps;
use crate::object::{Attachment, Object, Parts, Role};
use crate::request::Config;
use crate::ring::Line;
use crate::scope::{Carries, Place, Scope, Word};
use crate::sync::{self, LOOKS, Ordering};

/// Which call a request belongs to: the slot for its reply, and how often that was used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Correlation {
    slot: u32,
    generation: u32,
}

impl Correlation {
    /// Its words, as they lie in memory.
    #[cfg(not(loom))]
    pub(super) fn words(self) -> [u32; 2] {
        [self.slot, self.generation]
    }

    /// Out of words, which may be any.
    #[cfg(not(loom))]
    pub(super) fn of_words([slot, generation]: [u32; 2]) -> Self {
        Self { slot, generation }
    }

    /// Nobody waits for a reply.
    pub(super) const NONE: Self = Self { slot: u32::MAX, generation: 0 };
    /// So many slots can be told apart.
    pub(super) const MAX_SLOTS: usize = u32::MAX as usize;
}

/// The client's states of a slot.
const IDLE: u64 = 0;
const LIVE: u64 = 1;
const CANCELLED: u64 = 2;

/// Where users may die: a server is about to keep the request, which the channel still has.
const TAKING: u64 = 3;
/// A server has the request, and has kept it.
const TAKEN: u64 = 4;
/// The server that had it has died.
const AGAIN: u64 = 5;
/// The same, and the client has given it up.
const UNWANTED: u64 = 6;
/// Given up before any server took it: as good as idle.
const RETIRED: u64 = 7;

/// The server's answers; zero is none.
const VALUE: u64 = 1;
const ABANDONED: u64 = 2;
const PANICKED: u64 = 3;

/// Bits of a word that are a state or an answer.
const KIND_BITS: u32 = 8;
/// Above the generation: the seat of the server that has the request, where servers may die.
const SEAT_SHIFT: u32 = KIND_BITS + u32::BITS;

/// The most servers that can be told apart.
#[cfg(not(loom))]
pub(super) const MAX_SERVERS: usize = 1 << 16;

fn word(generation: u32, kind: u64) -> u64 {
    u64::from(generation) << KIND_BITS | kind
}

fn kind_of(word: u64) -> u64 {
    word & ((1 << KIND_BITS) - 1)
}

fn generation_of(word: u64) -> u32 {
    (word >> KIND_BITS) as u32
}

/// Why there is an answer without a reply.
#[derive(Clone, Copy, Debug)]
pub(super) enum NoReply {
    Abandoned,
    Panicked,
}

/// The place of one reply.
pub(super) struct Slot<R, S: Scope> {
    /// Where the client sleeps until there is an answer. Written when somebody sleeps alone.
    bell: S::Event,
    /// Generation and state. Written by the client alone, and by calls it has made.
    asked: Line<S::Word>,
    answer: Line<Answer<R, S>>,
}

struct Answer<R, S: Scope> {
    /// Generation and answer. Written by the one who has the request alone.
    word: S::Word,
    /// The reply, where the answer is [`VALUE`].
    reply: Place<R>,
}

impl<R, S: Carries<R>> Slot<R, S> {
    fn new(config: &Config) -> Self {
        let answer = Answer { word: S::Word::new(0), reply: Place::zeroed() };
        Self {
            bell: S::Event::new(config.wait),
            asked: Line(S::Word::new(word(0, IDLE))),
            answer: Line(answer),
        }
    }

    // ------------------------------------------------------------------------ the client's

    /// The last generation, if the slot is free. Drops a reply that has met nobody.
    #[inline]
    fn sweep(&self) -> Option<u32> {
        // Acquire pairs with the Release in `give_back`, by a call on another thread: the last
        // reply was moved out before the next is written.
        let asked = self.asked.0.load(Ordering::Acquire);
        let last = generation_of(asked);
        match kind_of(asked) {
            IDLE => {}
            RETIRED if S::MORTAL => {}
            CANCELLED => drop(self.take(last)?),
            _ => return None,
        }
        Some(last)
    }

    /// Begins a call, if the slot is free.
    #[inline]
    fn issue(&self) -> Option<u32> {
        let generation = self.sweep()?.wrapping_add(1);
        // Relaxed: the request takes it along.
        self.asked.0.store(word(generation, LIVE), Ordering::Relaxed);
        Some(generation)
    }

    /// Whether a call was cancelled here whose answer has not come.
    fn owes(&self) -> bool {
        // Relaxed: the client itself has seen to it.
        let asked = self.asked.0.load(Ordering::Relaxed);
        if S::MORTAL && kind_of(asked) == UNWANTED {
            return true;
        }
        kind_of(asked) == CANCELLED && self.answer(generation_of(asked)).is_none()
    }

    /// Whether a call could begin here.
    fn is_free(&self) -> bool {
        // Relaxed: a hint; `issue` looks again.
        let asked = self.asked.0.load(Ordering::Relaxed);
        match kind_of(asked) {
            IDLE => true,
            RETIRED if S::MORTAL => true,
            CANCELLED => self.answer(generation_of(asked)).is_some(),
            _ => false,
        }
    }

    /// The answer to the call of that generation, if it has come.
    #[inline(always)]
    fn answer(&self, generation: u32) -> Option<u64> {
        // Acquire pairs with the Release in `put`: who sees the answer sees the reply.
        let answer = self.answer.0.word.load(Ordering::Acquire);
        (generation_of(answer) == generation && kind_of(answer) != 0).then(|| kind_of(answer))
    }

    /// Takes the answer, if it has come, and frees the slot.
    #[inline(always)]
    fn take(&self, generation: u32) -> Option<Result<R, TakeError>> {
        let taken = match self.answer(generation)? {
            // SAFETY: the answer says that there is a reply, to this call, which ends here.
            VALUE => unsafe { <S as Carries<R>>::get::<Corrupt>(&self.answer.0.reply) }
                .map_err(|_| TakeError::Corrupt),
            PANICKED => Err(TakeError::Panicked),
            _ => Err(TakeError::Abandoned),
        };
        self.give_back(generation);
        Some(taken)
    }

    /// The slot is free for the next call.
    #[inline(always)]
    fn give_back(&self, generation: u32) {
        // Release pairs with the Acquire in `sweep`.
        self.asked.0.store(word(generation, IDLE), Ordering::Release);
    }

    /// The client does not wait any more: an answer that has come is dropped, one that comes later
    /// will be.
    fn cancel(&self, generation: u32) {
        match self.take(generation) {
            Some(taken) => drop(taken),
            None if S::MORTAL => self.forsake(generation),
            // Release pairs with the Acquire in `is_wanted`: who sees the cancel sees what the
            // client did before.
            None => self.asked.0.store(word(generation, CANCELLED), Ordering::Release),
        }
    }

    // ------------------------------------------------------------------------ the server's

    /// Whether the client waits for the answer.
    fn is_wanted(&self, generation: u32) -> bool {
        // Acquire pairs with the Release in `cancel`.
        let asked = self.asked.0.load(Ordering::Acquire);
        if S::MORTAL {
            let waits = matches!(kind_of(asked), LIVE | TAKING | TAKEN | AGAIN);
            return waits && generation_of(asked) == generation;
        }
        asked == word(generation, LIVE)
    }

    /// Answers the call of that generation.
    #[inline(always)]
    fn put(&self, generation: u32, answer: Result<R, NoReply>) {
        let kind = match answer {
            Ok(reply) => {
                // SAFETY: the client has moved the last reply out before it asked again, and this
                // is the only answer to the call.
                unsafe { <S as Carries<R>>::put(&self.answer.0.reply, reply) };
                VALUE
            }
            Err(NoReply::Abandoned) => ABANDONED,
            Err(NoReply::Panicked) => PANICKED,
        };
        // Release pairs with the Acquire in `answer`.
        self.answer.0.word.store(word(generation, kind), Ordering::Release);
    }
}

/// What all users share.
pub(super) struct Head<S: Scope> {
    /// Clients sleep here that have no free slot.
    freed: S::Event,
    /// Where servers can die: not zero if there may be requests that the dead had.
    again: S::Word,
    /// Not zero: nothing is asked any more, and no server is waited for.
    closed: S::Word32,
}

/// The slots of all clients, as a bus object.
pub(super) struct Replies<R> {
    config: Config,
    /// Words in which a request is kept, where servers may die.
    kept_words: usize,
    replies: PhantomData<fn(R)>,
}

impl<R: 'static> Replies<R> {
    pub(super) fn new(config: Config, kept_words: usize) -> Self {
        Self { config, kept_words, replies: PhantomData }
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// Nothing is asked any more. A request that was sent while servers saw that it is closed, and went,
    /// is for nobody: who waits for its answer hears so.
    pub(super) fn close<S: Carries<R>>(&self, parts: &Parts<Self, S>) {
        // Release: who finds it set sees what was done before.
        parts.head.closed.store(1, Ordering::Release);
        // Pairs with the one in `left`: either that finds it closed, or those who are woken here find
        // the seat free.
        sync::fence(Ordering::SeqCst);
        self.wake_all(parts);
    }

    /// Wakes all clients, for nobody may be left who answers.
    fn wake_all<S: Carries<R>>(&self, parts: &Parts<Self, S>) {
        for (at, slot) in parts.slots.iter().enumerate() {
            slot.bell.notify(self.cell(parts, at as u32));
        }
        parts.head.freed.notify(parts.wakers(Role::Giver));
    }

    /// The cell of a client's waker for that slot: they lie behind those of the seats.
    fn cell<'p, S: Carries<R>>(&self, parts: &'p Parts<Self, S>, slot: u32) -> &'p [S::Waker] {
        &parts.wakers(Role::Giver)[self.config.clients + slot as usize..][..1]
    }
}

impl<R: 'static, S: Carries<R>> Object<S> for Replies<R> {
    const KIND: &'static str = "request/response";
    const USERS: [&'static str; 2] = ["client", "server"];
    type Head = Head<S>;
    type Row = S::Word;
    type Slot = Slot<R, S>;

    fn limits(&self) -> [usize; 2] {
        [self.config.clients, self.config.servers]
    }

    fn wakers(&self) -> [usize; 2] {
        let slots = <Self as Object<S>>::slots(self);
        [self.config.clients.saturating_add(slots), self.config.servers]
    }

    fn head(&self) -> Head<S> {
        let freed = S::Event::new(self.config.wait);
        Head { freed, again: S::Word::new(0), closed: S::Word32::new(0) }
    }

    fn rows(&self) -> usize {
        if S::MORTAL { <Self as Object<S>>::slots(self).saturating_mul(self.kept_words) } else { 0 }
    }

    fn row(&self, _: usize) -> S::Word {
        S::Word::new(0)
    }

    fn slots(&self) -> usize {
        self.config.clients.saturating_mul(self.config.outstanding)
    }

    fn slot(&self, _: usize) -> Slot<R, S> {
        Slot::new(&self.config)
    }

    fn died(&self, parts: &Parts<Self, S>, role: Role, seat: usize) {
        match role {
            Role::Giver => self.client_died(parts, seat),
            Role::Taker => self.server_died(parts, seat),
        }
    }

    fn left(&self, parts: &Parts<Self, S>, role: Role) {
        if role == Role::Taker {
            // Pairs with the one in `close`.
            sync::fence(Ordering::SeqCst);
            // Relaxed: ordered by the fence.
            if parts.head.closed.load(Ordering::Relaxed) != 0 {
                self.wake_all(parts);
            }
        }
    }

    fn gone(&self, parts: &Parts<Self, S>, role: Role) {
        if role == Role::Taker {
            self.wake_all(parts);
        }
    }

    fn teardown(&self, parts: &Parts<Self, S>) {
        for slot in parts.slots.iter() {
            slot.sweep();
        }
    }
}

impl<R> fmt::Debug for Replies<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}

/// A seat at the slots: of a client and the calls that it has made, or of a server and the requests
/// that it has taken.
pub(super) type Seat<R, S> = Attachment<Replies<R>, S>;

impl<R: 'static, S: Carries<R>> Seat<R, S> {
    /// The slot of a call; `None`: it is none of this object.
    #[inline(always)]
    fn slot(&self, to: Correlation) -> Option<&Slot<R, S>> {
        self.parts().slots.get(to.slot as usize)
    }

    /// The slots of this client, and the index of the first.
    fn own(&self) -> (&[Slot<R, S>], usize) {
        let outstanding = self.shape().config.outstanding;
        let first = self.seat() * outstanding;
        (&self.parts().slots[first..][..outstanding], first)
    }

    /// Begins a call in a free slot of this client; looks at the one at `hint` first.
    #[inline]
    pub(super) fn issue(&self, hint: &mut usize) -> Option<Correlation> {
        let (own, first) = self.own();
        for at in (*hint..own.len()).chain(0..*hint) {
            if let Some(generation) = own[at].issue() {
                *hint = at;
                return Some(Correlation { slot: (first + at) as u32, generation });
            }
        }
        None
    }

    /// Whether this client could begin a call.
    fn has_free(&self) -> bool {
        self.own().0.iter().any(Slot::is_free)
    }

    /// Ready when this client could begin a call; leaves a waker otherwise: with all who could free
    /// a slot.
    pub(super) fn poll_free(&self, context: &mut Context<'_>) -> Poll<()> {
        self.attend_in_wait();
        if self.has_free() {
            return Poll::Ready(());
        }
        let (parts, (own, first)) = (self.parts(), self.own());
        for (at, slot) in own.iter().enumerate().filter(|(_, slot)| slot.owes()) {
            let cell = &self.shape().cell(parts, (first + at) as u32)[0];
            if slot.bell.poll(cell, context, || slot.is_free()).is_ready() {
                return Poll::Ready(());
            }
        }
        let cell = &parts.wakers(Role::Giver)[self.seat()];
        parts.head.freed.poll(cell, context, || self.has_free() || self.is_forsaken())
    }

    /// Whether nobody is left who could answer: none can come, or none is there and nothing is asked
    /// any more.
    #[inline(always)]
    pub(super) fn is_forsaken(&self) -> bool {
        let parts = self.parts();
        // Acquire pairs with the Release in `close`.
        let closed = parts.head.closed.load(Ordering::Acquire) != 0;
        !parts.can_come(Role::Taker) || closed && !parts.has_user(Role::Taker)
    }

    /// Whether there is something to take: an answer, or that there will be none.
    #[inline(always)]
    pub(super) fn is_answered(&self, to: Correlation) -> bool {
        self.slot(to).is_none_or(|slot| slot.answer(to.generation).is_some()) || self.is_forsaken()
    }

    /// Takes the answer to a call, and frees its slot.
    #[inline(always)]
    pub(super) fn take(&self, to: Correlation) -> Result<R, TakeError> {
        let slot = self.slot(to).ok_or(TakeError::Abandoned)?;
        match slot.take(to.generation) {
            Some(answer) => {
                self.tell_freed();
                answer
            }
            None if !self.is_forsaken() => Err(TakeError::Pending),
            None => self.take_the_last(slot, to),
        }
    }

    /// What may have come before the last server went.
    #[cold]
    #[inline(never)]
    fn take_the_last(&self, slot: &Slot<R, S>, to: Correlation) -> Result<R, TakeError> {
        slot.take(to.generation).unwrap_or_else(|| {
            slot.cancel(to.generation);
            Err(TakeError::Abandoned)
        })
    }

    /// Gives a call up.
    pub(super) fn cancel(&self, to: Correlation) {
        if let Some(slot) = self.slot(to) {
            slot.cancel(to.generation);
            self.tell_freed();
        }
    }

    /// Ends a call whose request was not sent.
    pub(super) fn take_back(&self, to: Correlation) {
        if let Some(slot) = self.slot(to) {
            slot.give_back(to.generation);
        }
    }

    #[inline(always)]
    fn tell_freed(&self) {
        let parts = self.parts();
        // All clients sleep on one event: whoever clears its mark wakes all.
        parts.head.freed.notify(&parts.wakers(Role::Giver)[..self.shape().config.clients]);
    }

    /// Waits for the answer to a call; `false`: it was not there in time.
    #[inline(always)]
    pub(super) fn wait(&self, to: Correlation, due: Option<Instant>) -> bool {
        let Some(slot) = self.slot(to) else { return true };
        for _ in 0..LOOKS {
            if slot.answer(to.generation).is_some() {
                return true;
            }
            sync::spin_loop();
        }
        let ready = || {
            self.attend_in_wait();
            self.is_answered(to)
        };
        slot.bell.wait(due, ready)
    }

    pub(super) fn poll(&self, to: Correlation, context: &mut Context<'_>) -> Poll<()> {
        let Some(slot) = self.slot(to) else { return Poll::Ready(()) };
        self.attend_in_wait();
        let cell = &self.shape().cell(self.parts(), to.slot)[0];
        slot.bell.poll(cell, context, || self.is_answered(to))
    }

    /// Whether somebody waits for the answer to a call.
    pub(super) fn is_wanted(&self, to: Correlation) -> bool {
        self.slot(to).is_some_and(|slot| slot.is_wanted(to.generation))
    }

    /// Answers a call, and wakes who waits.
    #[inline(always)]
    pub(super) fn answer(&self, to: Correlation, answer: Result<R, NoReply>) {
        if let Some(slot) = self.slot(to) {
            slot.put(to.generation, answer);
            slot.bell.notify(self.shape().cell(self.parts(), to.slot));
        }
    }
}
