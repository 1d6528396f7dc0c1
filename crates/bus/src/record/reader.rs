//! The end that reads records.

use std::fmt;

use super::kept::{Kept, Kind};
use super::writer::Writer;
use crate::error::Corrupt;
use crate::ring::stream::Taker;
use crate::sync::{self, Arc, Ordering};

/// Reads records: takes a copy of each, and gives their room back when it likes.
pub struct Reader {
    taker: Taker<Kind>,
    /// Where the record begins that is taken next; the room before it may not be given back yet.
    next: u64,
    kept: Arc<Kept>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("next", &self.next).finish_non_exhaustive()
    }
}

impl Reader {
    /// The only reader of what is kept there.
    pub(super) fn new(kept: Arc<Kept>) -> Self {
        // SAFETY: both stay where they are for as long as they are kept; there is no other taker.
        let taker = unsafe { Taker::new(&kept.words().stream, kept.memory()) };
        Self { next: taker.head(), taker, kept }
    }

    /// Copies the next record to `into`, which held anything; says whether there was one. Its room
    /// stays taken until it is given back by [`release`](Self::release).
    ///
    /// # Errors
    /// [`Corrupt`]: somebody else has written to the memory. [`skip`](Self::skip) gets over it.
    pub fn take(&mut self, into: &mut Vec<u8>) -> Result<bool, Corrupt> {
        into.clear();
        if !self.taker.is_before_tail(self.next) {
            self.taker.look()?;
            if !self.taker.is_before_tail(self.next) {
                return Ok(false);
            }
        }
        let (message, next) = self.taker.message(self.next)?;
        into.reserve(message.len());
        // SAFETY: the record is within the mapping, and there is room for it. What others write
        // meanwhile is copied as it comes.
        unsafe {
            sync::load_bytes(into.as_mut_ptr(), message.cast().as_ptr(), message.len());
            into.set_len(message.len());
        }
        self.next = next;
        Ok(true)
    }

    /// Where the last record ends that is there at this moment: takes up to there find one.
    ///
    /// # Errors
    /// As those of [`take`](Self::take).
    #[cfg(not(loom))]
    pub fn published(&mut self) -> Result<u64, Corrupt> {
        self.taker.look()?;
        Ok(self.taker.tail())
    }

    /// Where the record begins that is taken next: a count of bytes.
    pub fn position(&self) -> u64 {
        self.next
    }

    /// Gives back the room of all records before `position`, which was
    /// [`position`](Self::position) at some time.
    ///
    /// # Panics
    /// If it is beyond what was taken.
    pub fn release(&mut self, position: u64) {
        let taken = self.next.wrapping_sub(self.taker.head());
        assert!(position.wrapping_sub(self.taker.head()) <= taken, "released before it was taken");
        self.taker.release(position);
    }

    /// Gives up all that is there, after somebody has scribbled over it.
    pub fn skip(&mut self) {
        self.taker.release_all();
        self.next = self.taker.head();
    }

    /// Records that the writer has given up.
    pub fn dropped(&self) -> u64 {
        // Acquire pairs with the Release in `Writer::count_dropped`.
        self.kept.words().standing.0.dropped.load(Ordering::Acquire)
    }

    /// Whether the writer has gone. What it wrote is still there: all of it is seen by takes that
    /// come after this.
    pub fn is_closed(&self) -> bool {
        // Acquire pairs with the Release in the drop of `Writer`.
        self.kept.words().standing.0.closed.load(Ordering::Acquire) == 1
    }

    /// Opens the ring for another writer, if the last has gone and all its records were taken and
    /// released.
    pub fn reopen(&mut self) -> Option<Writer> {
        let done = self.is_closed() && matches!(self.taker.look(), Ok(false));
        if !done || self.next != self.taker.head() {
            return None;
        }
        // Relaxed: who gets the writer is told of it in a way that orders this too.
        self.kept.words().standing.0.closed.store(0, Ordering::Relaxed);
        Some(Writer::new(self.kept.clone()))
    }
}
