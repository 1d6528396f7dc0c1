//! A ring with one giver that never waits, and any number of takers that it may overtake.
//!
//! Each slot is a sequence lock: its *version* is `2 p + 1` while the giver writes the message of
//! position `p`, and `2 p + 2` when it is there. A taker copies the message and then looks whether
//! the version is still the same. All of it goes through atomic words, so that a copy which the
//! giver interferes with is worth nothing, but no race (Boehm, "Can seqlocks get along with
//! programming language memory models?", 2012).
//!
//! A position counts without end, and lives in slot `position % capacity`.

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::slice;

use crate::error::Corrupt;
use crate::plain::Plain;
use crate::ring::Line;
use crate::ring::fan::Start;
use crate::scope::{Local, Scope, Word};
use crate::sync::{Ordering, fence};

/// The position that is given next. Written by the giver alone; read by takers that come or were
/// overtaken.
pub(crate) type Row<S> = Line<<S as Scope>::Word>;

/// Bytes of a word.
const WORD: usize = 8;

/// Bytes of a slot before the message.
#[cfg(not(loom))]
pub(crate) const MESSAGE_AT: usize = WORD;

/// Words of one slot: the version, and the message.
pub(crate) const fn slot_words<T>() -> usize {
    1 + size_of::<T>().div_ceil(WORD)
}

/// The version of a slot in which the message of `position` is being written.
const fn writing(position: u64) -> u64 {
    position.wrapping_mul(2).wrapping_add(1)
}

/// The version of a slot in which the message of `position` is.
pub(crate) const fn written(position: u64) -> u64 {
    writing(position).wrapping_add(1)
}

/// What both ends know: where the ring lies.
struct Way<T, S: Scope> {
    tail: NonNull<Row<S>>,
    /// [`slot_words`] for each slot, of which there are as many as the mask says, and one.
    words: NonNull<S::Word>,
    mask: u64,
    messages: PhantomData<fn(T) -> T>,
}

// SAFETY: the words that it points at may be used by any thread of the scope; the messages are
// copied.
unsafe impl<T: Send> Send for Way<T, Local> {}
// SAFETY: as above.
#[cfg(not(loom))]
unsafe impl<T: Send> Send for Way<T, crate::shared::Shared> {}

impl<T: Plain, S: Scope> Way<T, S> {
    /// # Safety
    /// `tail` and `words` stay where they are for as long as the way is used.
    unsafe fn new(tail: &Row<S>, words: &[S::Word]) -> Self {
        let capacity = words.len() / slot_words::<T>();
        assert!(capacity.is_power_of_two());
        Self {
            tail: tail.into(),
            words: NonNull::from(words).cast(),
            mask: capacity as u64 - 1,
            messages: PhantomData,
        }
    }

    #[inline(always)]
    fn tail(&self) -> &S::Word {
        // SAFETY: by the promise of `new` it is there.
        unsafe { &self.tail.as_ref().0 }
    }

    /// The version of a slot, and the words of its message.
    #[inline(always)]
    fn slot(&self, position: u64) -> (&S::Word, &[S::Word]) {
        let len = slot_words::<T>();
        let first = (position & self.mask) as usize * len;
        // SAFETY: by the promise of `new`; the slot is one of those of which there are as many as
        // the mask says, and one.
        let slot = unsafe { slice::from_raw_parts(self.words.add(first).as_ptr(), len) };
        (&slot[0], &slot[1..])
    }
}

// ---------------------------------------------------------------------------------- giving

/// The giving end.
pub(crate) struct Giver<T, S: Scope> {
    way: Way<T, S>,
    /// The position that is given next.
    tail: u64,
}

impl<T: Plain, S: Scope> Giver<T, S> {
    /// # Safety
    /// `tail` and `words` belong together and stay where they are for as long as this is used; it
    /// is the only giver.
    pub(crate) unsafe fn new(tail: &Row<S>, words: &[S::Word]) -> Self {
        // SAFETY: as promised.
        let way: Way<T, S> = unsafe { Way::new(tail, words) };
        // Relaxed: the seat has handed over what the last giver wrote.
        let tail = way.tail().load(Ordering::Relaxed);
        let mut giver = Self { way, tail };
        if S::MORTAL {
            giver.count_the_last();
        }
        giver
    }

    /// Counts the message of a giver that died before it could, for takers may have it already.
    fn count_the_last(&mut self) {
        // Acquire pairs with the Release in `give`.
        if self.way.slot(self.tail).0.load(Ordering::Acquire) == written(self.tail) {
            self.count();
        }
    }

    /// Counts the message at the tail.
    #[inline(always)]
    fn count(&mut self) {
        self.tail = self.tail.wrapping_add(1);
        // Release pairs with the Acquires in `Taker`: who begins there, or skips so far, sees the
        // versions of all slots before.
        self.way.tail().store(self.tail, Ordering::Release);
    }

    /// Writes a message over the oldest.
    #[inline(always)]
    pub(crate) fn give(&mut self, message: &T) {
        self.write(message);
        self.count();
    }

    /// Writes it, from when on takers may have it.
    #[inline(always)]
    fn write(&mut self, message: &T) {
        let (version, words) = self.way.slot(self.tail);
        // Relaxed: the fence keeps it before the words.
        version.store(writing(self.tail), Ordering::Relaxed);
        if S::OTHERS_RUN {
            // Pairs with the fence in `Taker::take`: who has met one of the words below meets the
            // version above, or a later one.
            fence(Ordering::Release);
        }
        for (word, bytes) in words.iter().zip(message.as_bytes().chunks(WORD)) {
            let mut whole = [0; WORD];
            whole[..bytes.len()].copy_from_slice(bytes);
            // Relaxed: the version tells when it counts.
            word.store(u64::from_ne_bytes(whole), Ordering::Relaxed);
        }
        // Release pairs with the Acquire in `Taker::take`: who sees the version sees the words.
        version.store(written(self.tail), Ordering::Release);
    }

    /// A giver that dies when it has written a message, and not yet counted it.
    #[cfg(all(test, loom))]
    pub(crate) fn write_and_die(mut self, message: &T) {
        self.write(message);
    }

    /// A giver that dies in the midst of a message.
    #[cfg(all(test, loom))]
    pub(crate) fn begin_and_die(self) {
        let (version, words) = self.way.slot(self.tail);
        version.store(writing(self.tail), Ordering::Relaxed);
        fence(Ordering::Release);
        words[0].store(u64::MAX, Ordering::Relaxed);
    }
}

// ---------------------------------------------------------------------------------- taking

/// What a taker finds.
#[derive(Debug)]
pub(crate) enum Found<T> {
    /// The next message.
    Message(T),
    /// It is not there yet.
    Nothing,
    /// It was overwritten.
    Overtaken,
}

/// The taking end.
pub(crate) struct Taker<T, S: Scope> {
    way: Way<T, S>,
    /// The position that is taken next.
    head: u64,
}

impl<T: Plain, S: Scope> Taker<T, S> {
    /// # Safety
    /// `tail` and `words` belong together and stay where they are for as long as this is used.
    pub(crate) unsafe fn new(tail: &Row<S>, words: &[S::Word], start: Start) -> Self {
        // SAFETY: as promised.
        let way: Way<T, S> = unsafe { Way::new(tail, words) };
        // Acquire pairs with the Release in `give`.
        let tail = way.tail().load(Ordering::Acquire);
        let head = match start {
            Start::Next => tail,
            Start::Oldest => tail.saturating_sub(way.mask + 1),
        };
        Self { way, head }
    }

    /// Whether there is something to be told: a message, or that some were missed.
    #[inline(always)]
    pub(crate) fn has_some(&self) -> bool {
        // Relaxed: who takes looks again.
        self.ahead(self.head, Ordering::Relaxed) >= 0
    }

    /// How far the version of that position's slot is ahead of its message; below zero, it is not
    /// there yet.
    #[inline(always)]
    fn ahead(&self, position: u64, order: Ordering) -> i64 {
        self.way.slot(position).0.load(order).wrapping_sub(written(position)) as i64
    }

    /// Copies the next message out.
    ///
    /// # Errors
    /// [`Corrupt`]: it is none. It is passed over.
    #[inline(always)]
    pub(crate) fn take(&mut self) -> Result<Found<T>, Corrupt> {
        // Acquire pairs with the Release in `give`: the words are there.
        match self.ahead(self.head, Ordering::Acquire) {
            ..0 => return Ok(Found::Nothing),
            0 => {}
            1.. => return Ok(Found::Overtaken),
        }
        let copy = self.copy();
        if S::OTHERS_RUN {
            // Pairs with the fence in `give`: if one of the words is of a later message, the look
            // below meets its version.
            fence(Ordering::Acquire);
            if self.ahead(self.head, Ordering::Relaxed) != 0 {
                return Ok(Found::Overtaken);
            }
        }
        self.head = self.head.wrapping_add(1);
        // SAFETY: all bytes of the copy were written, and nobody else sees them.
        let bytes = unsafe { slice::from_raw_parts(copy.as_ptr().cast(), size_of::<T>()) };
        T::try_read_from_bytes(bytes).map(Found::Message).map_err(|_| Corrupt)
    }

    /// The bytes of the next message, or some of it and some of later ones.
    #[inline(always)]
    fn copy(&self) -> MaybeUninit<T> {
        let mut copy = MaybeUninit::<T>::uninit();
        let start: *mut u8 = copy.as_mut_ptr().cast();
        for (index, word) in self.way.slot(self.head).1.iter().enumerate() {
            // Relaxed: the fence in `take` keeps it before the second look at the version.
            let bytes = word.load(Ordering::Relaxed).to_ne_bytes();
            let at = index * WORD;
            let len = WORD.min(size_of::<T>() - at);
            // SAFETY: there are as many words as it takes for the bytes of `T`, so `at` is below
            // their number, and `at + len` at most that.
            unsafe { start.add(at).copy_from_nonoverlapping(bytes.as_ptr(), len) };
        }
        copy
    }

    /// Goes on at the oldest message that is there, after it was overtaken. Returns how many it has
    /// passed over.
    #[cold]
    #[inline(never)]
    pub(crate) fn skip(&mut self) -> u64 {
        // Acquire pairs with the Release in `give`: all slots before have been written.
        let tail = self.way.tail().load(Ordering::Acquire);
        let oldest = tail.saturating_sub(self.way.mask + 1);
        let mut next = oldest.max(self.head.wrapping_add(1));
        // The giver may be at it already. Relaxed: who takes looks again.
        while next < tail && self.ahead(next, Ordering::Relaxed) > 0 {
            next += 1;
        }
        let missed = next.wrapping_sub(self.head);
        self.head = next;
        missed
    }
}
