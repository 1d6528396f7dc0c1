//! A buffer for codecs, which must hold a partial message and may keep bytes for later.

mod slots;

use crate::map::{MAX_MAPPING, round_up};
use crate::{Error, Fifo, MapOptions, Pages, Region, SaveError};

pub use slots::Slot;
use slots::Slots;

/// Pieces that [`ByteBuffer::new`] can save at once.
pub const DEFAULT_SLOTS: usize = 64;

/// A buffer for codecs: a read area and a write area as in every [`Fifo`], and a save area of
/// bytes kept aside, addressed by [`Slot`]s that are discarded in any order.
///
/// ```text
///   0     save area           read area     write area        2 * limit
///   | [slot] hole [slot] hole [ readable ][ claim, tail ...      |
/// ```
///
/// Saving and consuming move a boundary, never a byte. The only copy is a compaction: when the
/// tail is shorter than a claim that the limit allows, what is kept moves to the front. The address
/// space is twice the limit, so that each compaction copies at most as many bytes as were committed
/// since the one before: **never more than one byte copied per byte committed**, and nothing at
/// all for a codec that often consumes everything. [`compactions`](Self::compactions) and
/// [`copied`](Self::copied) count.
///
/// Saved bytes count against the limit. Saving, finding and discarding take constant time.
///
/// ```
/// use tautline_buffer::{ByteBuffer, Fifo};
///
/// let mut buffer = ByteBuffer::new(4096)?;
/// buffer.put(b"head body tail");
/// let head = buffer.save(4).unwrap();
/// buffer.consume(1);
/// let body = buffer.save(4).unwrap();
/// assert_eq!(buffer.readable(), b" tail");
/// buffer.discard(head);
/// assert_eq!(buffer.saved(body), Some(&b"body"[..]));
/// # Ok::<(), tautline_buffer::Error>(())
/// ```
#[derive(Debug)]
pub struct ByteBuffer {
    /// At least twice the limit. In order: live slots, perhaps with holes; then `read..write`.
    region: Region,
    /// The most bytes that are saved and readable together.
    limit: usize,
    /// Offset of the oldest readable byte; at least the end of the last slot.
    read: usize,
    /// Offset behind the youngest readable byte; at least `read`.
    write: usize,
    /// Bytes in live slots; `saved + (write - read) <= limit`.
    saved: usize,
    /// Bytes of the open claim, which starts at `write`; within the limit and the region.
    claimed: usize,
    slots: Slots,
    compactions: u64,
    copied: u64,
}

impl ByteBuffer {
    /// A buffer that holds up to `limit` bytes, with [`DEFAULT_SLOTS`], on ordinary pages, which
    /// get their memory at first touch.
    ///
    /// # Errors
    /// [`Error::ZeroSize`], [`Error::TooLarge`], [`Error::Map`], [`Error::Heap`].
    ///
    /// ```
    /// use tautline_buffer::{ByteBuffer, Fifo};
    /// assert_eq!(ByteBuffer::new(100_000)?.capacity(), 100_000);
    /// # Ok::<(), tautline_buffer::Error>(())
    /// ```
    pub fn new(limit: usize) -> Result<Self, Error> {
        Self::with(limit, DEFAULT_SLOTS, MapOptions::new())
    }

    /// As [`new`](Self::new), for up to `slots` saved pieces at once and with options, which hold
    /// for all of the address space: twice the limit.
    ///
    /// # Errors
    /// Those of [`new`](Self::new); [`Error::HugePages`], [`Error::Prefault`], [`Error::Lock`]
    /// for the option that could not be granted.
    ///
    /// ```
    /// use tautline_buffer::{ByteBuffer, Fifo, MapOptions};
    /// let mut buffer = ByteBuffer::with(4096, 1, MapOptions::new().prefault(true))?;
    /// buffer.put(b"ab");
    /// assert!(buffer.save(1).is_ok());
    /// assert!(buffer.save(1).is_err());
    /// # Ok::<(), tautline_buffer::Error>(())
    /// ```
    pub fn with(limit: usize, slots: usize, options: MapOptions) -> Result<Self, Error> {
        let limit_bytes = round_up(limit, 1, MAX_MAPPING / 4)?;
        let slots = Slots::new(slots)?;
        Ok(Self {
            region: Region::with(2 * limit_bytes, options)?,
            limit,
            read: 0,
            write: 0,
            saved: 0,
            claimed: 0,
            slots,
            compactions: 0,
            copied: 0,
        })
    }

    /// Keeps the oldest `n` readable bytes aside (all, if there are fewer) without copying them;
    /// they are then consumed.
    ///
    /// # Errors
    /// [`SaveError::Empty`] if that is no byte; [`SaveError::Exhausted`] if all slots are in use.
    ///
    /// ```
    /// use tautline_buffer::{ByteBuffer, Fifo, SaveError};
    /// let mut buffer = ByteBuffer::new(4096)?;
    /// assert_eq!(buffer.save(1), Err(SaveError::Empty));
    /// buffer.put(b"abc");
    /// let slot = buffer.save(2).unwrap();
    /// assert_eq!((buffer.saved(slot), buffer.readable()), (Some(&b"ab"[..]), &b"c"[..]));
    /// # Ok::<(), tautline_buffer::Error>(())
    /// ```
    #[inline]
    pub fn save(&mut self, n: usize) -> Result<Slot, SaveError> {
        let n = n.min(self.used());
        if n == 0 {
            return Err(SaveError::Empty);
        }
        let exhausted = SaveError::Exhausted { limit: self.slots.capacity() };
        let slot = self.slots.push(self.read, n).ok_or(exhausted)?;
        self.read += n;
        self.saved += n;
        Ok(slot)
    }

    /// The bytes kept under `slot`; `None` if it was discarded.
    ///
    /// ```
    /// use tautline_buffer::{ByteBuffer, Fifo};
    /// let mut buffer = ByteBuffer::new(4096)?;
    /// buffer.put(b"abc");
    /// let slot = buffer.save(3).unwrap();
    /// assert_eq!(buffer.saved(slot), Some(&b"abc"[..]));
    /// buffer.discard(slot);
    /// assert_eq!(buffer.saved(slot), None);
    /// # Ok::<(), tautline_buffer::Error>(())
    /// ```
    #[inline]
    pub fn saved(&self, slot: Slot) -> Option<&[u8]> {
        let (start, len) = self.slots.place(slot)?;
        Some(self.region.slice(start, len))
    }

    /// Gives up the bytes kept under `slot`. Returns how many: 0 if it was discarded before.
    ///
    /// ```
    /// use tautline_buffer::{ByteBuffer, Fifo};
    /// let mut buffer = ByteBuffer::new(4096)?;
    /// buffer.put(b"abc");
    /// let slot = buffer.save(3).unwrap();
    /// assert_eq!((buffer.discard(slot), buffer.discard(slot)), (3, 0));
    /// # Ok::<(), tautline_buffer::Error>(())
    /// ```
    #[inline]
    pub fn discard(&mut self, slot: Slot) -> usize {
        let len = self.slots.remove(slot);
        self.saved -= len;
        len
    }

    /// Bytes in the save area, those of discarded slots not counted.
    ///
    /// ```
    /// use tautline_buffer::{ByteBuffer, Fifo};
    /// let mut buffer = ByteBuffer::new(4096)?;
    /// buffer.put(b"abc");
    /// buffer.save(2).unwrap();
    /// assert_eq!((buffer.saved_bytes(), buffer.used(), buffer.free()), (2, 1, 4093));
    /// # Ok::<(), tautline_buffer::Error>(())
    /// ```
    #[inline]
    pub fn saved_bytes(&self) -> usize {
        self.saved
    }

    /// Compactions so far.
    ///
    /// ```
    /// use tautline_buffer::{ByteBuffer, Fifo};
    /// let mut buffer = ByteBuffer::new(4096)?;
    /// for _ in 0..1000 {
    ///     buffer.put(&[0; 4096]);
    ///     buffer.consume(4096);
    /// }
    /// assert_eq!(buffer.compactions(), 0); // always emptied, so there is nothing to move
    /// # Ok::<(), tautline_buffer::Error>(())
    /// ```
    pub fn compactions(&self) -> u64 {
        self.compactions
    }

    /// Bytes copied by compactions so far; never more than were committed so far.
    ///
    /// ```
    /// use tautline_buffer::{ByteBuffer, Fifo};
    /// let mut buffer = ByteBuffer::new(4096)?;
    /// let mut committed = buffer.put(&[0; 4096]) as u64;
    /// for _ in 0..100_000 {
    ///     buffer.consume(1);
    ///     committed += buffer.put(&[0]) as u64;
    /// }
    /// assert!(buffer.copied() > 0 && buffer.copied() <= committed);
    /// # Ok::<(), tautline_buffer::Error>(())
    /// ```
    pub fn copied(&self) -> u64 {
        self.copied
    }

    /// The pages that it stands on.
    ///
    /// ```
    /// use tautline_buffer::{ByteBuffer, Pages};
    /// assert_eq!(ByteBuffer::new(4096)?.pages(), Pages::Ordinary);
    /// # Ok::<(), tautline_buffer::Error>(())
    /// ```
    pub fn pages(&self) -> Pages {
        self.region.pages()
    }

    /// Moves all that is kept to the front.
    ///
    /// Let `live` be the bytes saved and readable. A claim comes here only if the tail is shorter
    /// than `limit - live`, that is `write > limit + live`. The compaction before left `write` at
    /// its own `live`, at most `limit`, and only commits advance it: so more than `live` bytes
    /// were committed since, and at most `live` are copied now.
    #[cold]
    #[inline(never)]
    fn compact(&mut self) {
        let memory = self.region.as_mut_slice();
        let mut copied = 0;
        let end = self.slots.pack(|from, len, to| {
            memory.copy_within(from..from + len, to);
            copied += len;
        });
        let used = self.write - self.read;
        if self.read != end {
            memory.copy_within(self.read..self.write, end);
            copied += used;
        }
        (self.read, self.write) = (end, end + used);
        self.compactions += 1;
        self.copied += copied as u64;
    }
}

impl Fifo for ByteBuffer {
    #[inline]
    fn claim(&mut self, n: usize) -> &mut [u8] {
        if self.read == self.write {
            let end = self.slots.end();
            (self.read, self.write) = (end, end);
        }
        let n = n.min(self.free());
        if n > 2 * self.limit - self.write {
            self.compact();
        }
        self.claimed = n;
        self.region.slice_mut(self.write, n)
    }

    #[inline]
    fn commit(&mut self, n: usize) -> usize {
        let n = n.min(self.claimed);
        self.claimed = 0;
        self.write += n;
        n
    }

    #[inline]
    fn readable(&self) -> &[u8] {
        self.region.slice(self.read, self.write - self.read)
    }

    #[inline]
    fn readable_mut(&mut self) -> &mut [u8] {
        self.region.slice_mut(self.read, self.write - self.read)
    }

    #[inline]
    fn consume(&mut self, n: usize) -> usize {
        let n = n.min(self.used());
        self.read += n;
        n
    }

    #[inline]
    fn used(&self) -> usize {
        self.write - self.read
    }

    #[inline]
    fn free(&self) -> usize {
        self.limit - self.saved - self.used()
    }

    #[inline]
    fn capacity(&self) -> usize {
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each single compaction copies at most what was committed since the one before, under the
    /// worst use: nearly full all the time, one byte at a time, with saved bytes among the kept.
    #[test]
    fn each_compaction_is_paid_for_by_commits_since_the_last() {
        const LIMIT: usize = 1000;
        for kept in [0, 1, 300, 998] {
            let mut buffer = ByteBuffer::with(LIMIT, 8, MapOptions::new()).unwrap();
            let (mut committed, mut before) = (buffer.put(&[1; LIMIT]), (0, 0));
            let mut slot = (kept > 0).then(|| buffer.save(kept).unwrap());
            for _ in 0..20 * LIMIT {
                buffer.consume(1);
                committed += buffer.put(&[1]);
                if buffer.compactions() > before.0 {
                    assert!(buffer.copied() - before.1 < committed as u64, "{kept} kept");
                    (committed, before) = (1, (buffer.compactions(), buffer.copied()));
                    if let Some(old) = slot.take() {
                        // The oldest saved bytes go, so that all others lie behind a hole.
                        buffer.discard(old);
                        slot = Some(buffer.save(kept.min(buffer.used() - 1)).unwrap());
                        committed += buffer.put(&[1; LIMIT]);
                    }
                }
            }
            assert!(buffer.compactions() >= 2, "{kept} kept: the bound was put to the test");
        }
    }
}
