//! A ring of bytes with one giver and one taker: messages of any length, each in one piece.
//!
//! The memory is mapped twice in a row, so that a message which begins before the end goes on
//! behind it. A *record* is a header of 8 bytes, which says how long the message is and where the
//! record lies, and the message, filled up to a multiple of 8. Positions count bytes, without end,
//! and lie at `position % capacity`. The indices work as in [`lane`](crate::ring::lane).

use std::ptr::NonNull;
use std::slice;

use tautline_buffer::{Error, MapOptions, Mirror};

use crate::error::Corrupt;
use crate::ring::MAX_CAPACITY;
use crate::ring::indices::{self, Indices};
use crate::scope::{Local, Scope, Word};
use crate::sync::{self, Ordering, Witness};

/// The indices of a stream; they count bytes, headers included.
pub(crate) type Stream<S> = Indices<S>;

/// Where the bytes lie.
#[derive(Debug)]
#[doc(hidden)]
pub struct Memory {
    mirror: Mirror,
    witness: Witness,
}

impl Memory {
    /// Room for `capacity` bytes, a power of two not below the size of a page.
    pub(crate) fn new(capacity: usize, options: MapOptions) -> Result<Self, Error> {
        if capacity > MAX_CAPACITY {
            return Err(Error::TooLarge { requested: capacity, limit: MAX_CAPACITY });
        }
        Ok(Self::of(Mirror::with(capacity.next_power_of_two(), options)?))
    }

    /// The same in memory that is mapped already; its size is a power of two.
    pub(crate) fn of(mirror: Mirror) -> Self {
        assert!(mirror.size().is_power_of_two() && mirror.size() <= MAX_CAPACITY);
        let witness = Witness::new(mirror.size());
        Self { mirror, witness }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.mirror.size()
    }
}

/// Bytes of a header.
pub(crate) const HEADER: u64 = 8;

/// The header of a record: in its lower half how long the message is; in its upper half where the
/// record lies, so that one who comes upon the bytes of a ring can tell where records begin.
#[inline(always)]
pub(crate) const fn header(position: u64, len: u64) -> u64 {
    len | ((position / HEADER) ^ STAMP) << 32
}

/// Keeps zeros from being a header.
const STAMP: u64 = 0x7a7e_11e5;

/// How long the message is of which this is the header, if a record begins there.
#[inline(always)]
pub(crate) const fn length(header_word: u64, position: u64) -> Option<u64> {
    let len = header_word & 0xffff_ffff;
    if header_word == header(position, len) { Some(len) } else { None }
}

/// The longest message that such a ring takes: half of it with its header, so that the giver can
/// write one while the taker reads another.
pub(crate) const fn limit(capacity: usize) -> usize {
    capacity / 2 - HEADER as usize
}

/// Bytes of a record with a message of that length, which is at most the limit.
pub(crate) const fn record(len: u64) -> u64 {
    HEADER + len.next_multiple_of(8)
}

/// What both ends know: where the ring lies.
struct Way<S: Scope> {
    stream: NonNull<Stream<S>>,
    memory: NonNull<Memory>,
    /// The first byte of as many as the mask says, and one; and of the same once more.
    base: NonNull<u8>,
    mask: u64,
}

// SAFETY: the memory that it points at may be used by any thread of the scope.
unsafe impl Send for Way<Local> {}
// SAFETY: as above.
#[cfg(not(loom))]
unsafe impl Send for Way<crate::shared::Shared> {}

impl<S: Scope> Way<S> {
    /// # Safety
    /// `stream` and `memory` stay where they are for as long as the way is used.
    unsafe fn new(stream: &Stream<S>, memory: &Memory) -> Self {
        let size = memory.capacity();
        assert!(size.is_power_of_two() && size > 2 * HEADER as usize);
        let base = NonNull::new(memory.mirror.as_ptr()).expect("page zero is never mapped");
        Self { stream: stream.into(), memory: memory.into(), base, mask: size as u64 - 1 }
    }

    #[inline(always)]
    fn stream(&self) -> &Stream<S> {
        // SAFETY: by the promise of `new` it is there.
        unsafe { self.stream.as_ref() }
    }

    #[inline(always)]
    fn memory(&self) -> &Memory {
        // SAFETY: by the promise of `new` it is there.
        unsafe { self.memory.as_ref() }
    }

    #[inline(always)]
    fn capacity(&self) -> u64 {
        self.mask + 1
    }

    /// The header of a record; its message lies behind it.
    #[inline(always)]
    fn at(&self, position: u64) -> NonNull<u64> {
        // SAFETY: the offset is below the capacity. Positions are multiples of 8, and the base is
        // aligned to a page.
        unsafe { self.base.add((position & self.mask) as usize).cast() }
    }

    /// The bytes of a record are written, as a model sees it.
    #[inline(always)]
    fn writes(&self, position: u64, len: u64) {
        self.memory().witness.writes((position & self.mask) as usize, record(len) as usize);
    }

    /// The bytes of a record are read.
    #[inline(always)]
    fn reads(&self, position: u64, len: u64) {
        self.memory().witness.reads((position & self.mask) as usize, record(len) as usize);
    }
}

// ---------------------------------------------------------------------------------- giving

/// The giving end.
pub(crate) struct Giver<S: Scope> {
    way: Way<S>,
    /// The position that is given next; ahead of the published one within a batch.
    tail: u64,
    /// What the head was when it was last looked at.
    head: u64,
}

impl<S: Scope> Giver<S> {
    /// # Safety
    /// `stream` and `memory` belong together and stay where they are for as long as this is used;
    /// it is the only giver.
    pub(crate) unsafe fn new(stream: &Stream<S>, memory: &Memory) -> Self {
        // Relaxed: the seat has handed over what the last giver wrote.
        let tail = stream.tail.0.load(Ordering::Relaxed) & !(HEADER - 1);
        // Acquire pairs with the Release in `Taker::release`.
        let head = stream.head.0.released.load(Ordering::Acquire);
        // SAFETY: as promised.
        Self { way: unsafe { Way::new(stream, memory) }, tail, head }
    }

    /// Whether there is room for a message of that length, which is at most the limit.
    #[inline(always)]
    pub(crate) fn has_room(&mut self, len: usize) -> bool {
        self.fits(len) || self.look(len)
    }

    #[inline(always)]
    fn fits(&self, len: usize) -> bool {
        let used = self.tail.wrapping_sub(self.head);
        used.saturating_add(record(len as u64)) <= self.way.capacity()
    }

    /// Looks how far the taker has got.
    #[inline(never)]
    fn look(&mut self, len: usize) -> bool {
        // Acquire pairs with the Release in `Taker::release`: the taker has read the messages of
        // the last lap before anybody writes over them.
        self.head = self.way.stream().head.0.released.load(Ordering::Acquire);
        self.fits(len)
    }

    /// Where a message of that length goes, for which there is room.
    #[inline(always)]
    pub(crate) fn place(&self, len: usize) -> NonNull<[u8]> {
        debug_assert!(self.fits(len) && len <= limit(self.way.memory().capacity()));
        self.way.writes(self.tail, len as u64);
        self.way.memory().mirror.settle();
        // SAFETY: the header begins within the first mapping, and the record is not longer than
        // half the capacity: it ends within the second.
        let first = unsafe { self.way.at(self.tail).add(1).cast() };
        NonNull::slice_from_raw_parts(first, len)
    }

    /// Counts a message of that length, which was written to its place; the taker does not see it
    /// before [`Giver::publish`].
    #[inline(always)]
    pub(crate) fn stage(&mut self, len: usize) {
        debug_assert!(self.fits(len) && len <= limit(self.way.memory().capacity()));
        // SAFETY: a header is within the mapping, aligned, and the giver's, for there is room.
        unsafe { self.way.at(self.tail).write_volatile(header(self.tail, len as u64)) };
        self.tail = self.tail.wrapping_add(record(len as u64));
    }

    /// Whether something was staged that the taker does not see yet.
    pub(crate) fn has_staged(&self) -> bool {
        // Relaxed: this is who writes it.
        self.way.stream().tail.0.load(Ordering::Relaxed) != self.tail
    }

    /// Hands all that was staged to the taker.
    #[inline(always)]
    pub(crate) fn publish(&self) {
        self.way.memory().mirror.settle();
        // Release pairs with the Acquire in `Taker::look`: who sees the tail sees the messages.
        self.way.stream().tail.0.store(self.tail, Ordering::Release);
    }

    /// Has the lines fetched where the next message goes, and the address of their page: for one who
    /// gives now and then, and wants none of its calls to wait for that. Where there may be no room the
    /// taker is reading there, and is left alone.
    #[inline(always)]
    pub(crate) fn fetch_next(&self) {
        if !self.fits(2 * 64) {
            return;
        }
        let next = self.way.at(self.tail).cast::<[u8; 64]>().as_ptr();
        sync::prefetch_to_write(next);
        sync::prefetch_to_write(next.wrapping_add(1));
    }
}

// ---------------------------------------------------------------------------------- taking

/// The taking end.
pub(crate) struct Taker<S: Scope> {
    way: Way<S>,
    /// The position that is taken next.
    head: u64,
    /// What the tail was when it was last looked at.
    tail: u64,
    /// Messages below this position were lent to a taker that has died.
    lent_before: u64,
}

impl<S: Scope> Taker<S> {
    /// # Safety
    /// `stream` and `memory` belong together and stay where they are for as long as this is used;
    /// it is the only taker.
    pub(crate) unsafe fn new(stream: &Stream<S>, memory: &Memory) -> Self {
        // Relaxed: the seat has handed over what the last taker wrote.
        let head = stream.head.0.released.load(Ordering::Relaxed) & !(HEADER - 1);
        let lent_before = stream.head.0.lent_before(head, memory.capacity() as u64);
        // SAFETY: as promised.
        Self { way: unsafe { Way::new(stream, memory) }, head, tail: head, lent_before }
    }

    /// Whether the message at `position` was lent to a taker that has died.
    #[inline(always)]
    pub(crate) fn was_lent(&self, position: u64) -> bool {
        S::MORTAL && indices::is_below(position, self.lent_before)
    }

    /// Says that what lies below `end` is about to be lent.
    #[inline(always)]
    pub(crate) fn lend(&self, end: u64) {
        self.way.stream().head.0.lend(end, self.lent_before);
    }

    /// Passes over what was lent to takers that have died; returns how many messages that are.
    pub(crate) fn give_up_lent(&mut self) -> u64 {
        let mut lost = 0;
        let mut position = self.head;
        // What is corrupt is told by the next look.
        if self.was_lent(position) && self.look().is_ok() {
            while self.was_lent(position)
                && self.is_before_tail(position)
                && let Ok((_, next)) = self.message(position)
            {
                (position, lost) = (next, lost + 1);
            }
            self.release(position);
        }
        self.lent_before = self.head;
        lost
    }

    /// Whether it knows of a message, without a look.
    #[inline(always)]
    pub(crate) fn knows_of_some(&self) -> bool {
        self.head != self.tail
    }

    /// Where the next message lies.
    #[inline(always)]
    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    /// Where the last message ends of which it knows.
    #[cfg(not(loom))]
    pub(crate) fn tail(&self) -> u64 {
        self.tail
    }

    /// Whether a message begins there of which it knows.
    #[inline(always)]
    pub(crate) fn is_before_tail(&self, position: u64) -> bool {
        position != self.tail
    }

    /// Looks how far the giver has got: whether there is a message.
    ///
    /// # Errors
    /// [`Corrupt`]: it says that there is more than there is room for.
    #[inline(always)]
    pub(crate) fn look(&mut self) -> Result<bool, Corrupt> {
        // Acquire pairs with the Release in `Giver::publish`: the messages are there.
        let tail = self.way.stream().tail.0.load(Ordering::Acquire);
        let more = tail.wrapping_sub(self.head);
        if S::MORTAL && (more > self.way.capacity() || !more.is_multiple_of(HEADER)) {
            return Err(Corrupt);
        }
        self.tail = tail;
        Ok(self.head != tail)
    }

    /// The message at `position`, between the head and the tail, and where the next begins.
    ///
    /// # Errors
    /// [`Corrupt`]: it would go beyond what was published.
    #[inline(always)]
    pub(crate) fn message(&self, position: u64) -> Result<(NonNull<[u8]>, u64), Corrupt> {
        self.way.memory().mirror.settle();
        let header = self.way.at(position);
        // SAFETY: a header is within the mapping, and aligned. Read once: nothing that happens to
        // it later changes what was checked.
        let len = length(unsafe { header.read_volatile() }, position);
        let left = self.tail.wrapping_sub(position);
        let Some(len) = len.filter(|len| record(*len) <= left) else {
            debug_assert!(S::MORTAL);
            return Err(Corrupt);
        };
        self.way.reads(position, len);
        // SAFETY: the header begins within the first mapping, and the record ends before the tail,
        // which is at most the capacity ahead: within the second.
        let first = unsafe { header.add(1).cast() };
        let next = position.wrapping_add(record(len));
        Ok((NonNull::slice_from_raw_parts(first, len as usize), next))
    }

    /// Passes over what lies before `position`, and lets the giver have it.
    #[inline(always)]
    pub(crate) fn release(&mut self, position: u64) {
        debug_assert!(position.wrapping_sub(self.head) <= self.tail.wrapping_sub(self.head));
        self.head = position;
        self.way.memory().mirror.settle();
        // Release pairs with the Acquire in `Giver::look`: bytes are written again only after
        // they were read.
        self.way.stream().head.0.released.store(position, Ordering::Release);
    }

    /// Passes over all that it knows of, for what it cannot make out.
    #[cold]
    pub(crate) fn release_all(&mut self) {
        self.release(self.tail);
    }
}

/// Borrows the bytes of a message.
///
/// # Safety
/// They were published, and are not released for as long as they are borrowed.
#[inline(always)]
pub(crate) unsafe fn borrow<'a>(message: NonNull<[u8]>) -> &'a [u8] {
    // SAFETY: as promised; mapped bytes have a value always.
    unsafe { slice::from_raw_parts(message.as_ptr().cast(), message.len()) }
}
