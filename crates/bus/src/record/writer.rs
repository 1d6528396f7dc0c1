//! The end that writes records.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;

use super::Refusal;
use super::kept::{Kept, Kind};
use crate::ring::stream::Giver;
use crate::sync::{Arc, Ordering, Parentage};

/// Writes records. One thread has it; when it is dropped, the ring is closed.
pub struct Writer {
    giver: Giver<Kind>,
    longest: usize,
    parentage: Parentage,
    kept: Arc<Kept>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("kept", &self.kept).finish_non_exhaustive()
    }
}

impl Writer {
    /// The only writer, at this moment, of what is kept there.
    pub(super) fn new(kept: Arc<Kept>) -> Self {
        // SAFETY: both stay where they are for as long as they are kept; there is no other giver.
        let giver = unsafe { Giver::new(&kept.words().stream, kept.memory()) };
        Self { giver, longest: kept.longest(), parentage: Parentage::new(), kept }
    }

    /// Room for a record of up to `len` bytes, which hold anything. It is not seen before it is
    /// committed; dropped, it never was.
    ///
    /// # Errors
    /// [`Refusal`].
    #[inline(always)]
    pub fn claim(&mut self, len: usize) -> Result<Claim<'_>, Refusal> {
        if len > self.longest {
            return Err(Refusal::TooLong);
        }
        // Before the room: a child that waited for some would wait for ever.
        if self.parentage.is_child() {
            return Err(Refusal::Forked);
        }
        if !self.giver.has_room(len) {
            return Err(Refusal::Full);
        }
        let place = self.giver.place(len);
        Ok(Claim { bytes: place.cast(), len, writer: self })
    }

    /// The longest record, in bytes.
    #[inline(always)]
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// Counts a record that was given up, where the reader sees it.
    pub fn count_dropped(&mut self) {
        if !self.parentage.is_child() {
            let dropped = &self.kept.words().standing.0.dropped;
            // Relaxed: nobody else writes it. Release, so that who reads the count has a look at
            // the records that were written before.
            dropped.store(dropped.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.parentage.is_child() {
            // Release pairs with the Acquire in `Reader::is_closed`: who sees it sees the last
            // record, if it looks after that.
            self.kept.words().standing.0.closed.store(1, Ordering::Release);
        }
    }
}

/// Room for a record: write it here, then [`commit`](Self::commit) it.
#[derive(Debug)]
pub struct Claim<'w> {
    bytes: NonNull<u8>,
    len: usize,
    writer: &'w mut Writer,
}

impl Claim<'_> {
    /// Hands its first `len` bytes over as a record.
    ///
    /// # Panics
    /// If it has not so many.
    #[inline(always)]
    pub fn commit(self, len: usize) {
        assert!(len <= self.len, "a record of {len} bytes in a claim of {}", self.len);
        self.writer.giver.stage(len);
        self.writer.giver.publish();
        self.writer.giver.fetch_next();
    }
}

impl Deref for Claim<'_> {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        // SAFETY: the bytes are mapped, and the writer's until they are committed.
        unsafe { slice::from_raw_parts(self.bytes.as_ptr(), self.len) }
    }
}

impl DerefMut for Claim<'_> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and the claim is borrowed for as long as they are.
        unsafe { slice::from_raw_parts_mut(self.bytes.as_ptr(), self.len) }
    }
}
