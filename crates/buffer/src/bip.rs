//! A ring of contiguous packets.

use crate::{Error, Fifo};

/// A ring for packets: each claim is contiguous, and what was committed at once is read
/// contiguous, without a copy and without a mapping of its own.
///
/// A claim is taken behind the readable bytes while it fits there, else before them, once reading
/// has made room at the head; the bytes skipped at the end come back when reading wraps. After
/// Simon Cooke's bip buffer.
///
/// ```text
///   not wrapped   |  head room  [ read .. write )  tail room  |
///   wrapped       [ 0 .. write )  room  [ read .. mark )  skipped  |
/// ```
///
/// [`free`](Fifo::free) is the longer of the two rooms: if it is less than a packet, wait for the
/// reader. [`readable`](Fifo::readable) ends where writing wrapped; the rest follows when that is
/// consumed.
///
/// ```
/// use tautline_buffer::{Bip, Fifo};
///
/// let mut packets = Bip::new(100)?;
/// packets.put(&[1; 60]);
/// packets.put(&[2; 30]);
/// packets.consume(60);
/// assert_eq!(packets.claim(50).len(), 50); // 10 left at the end, so it wraps
/// packets.commit(50);
/// assert_eq!(packets.readable(), [2; 30]);
/// # Ok::<(), tautline_buffer::Error>(())
/// ```
#[derive(Debug)]
pub struct Bip {
    memory: Box<[u8]>,
    /// Offset of the oldest readable byte.
    read: usize,
    /// Offset behind the youngest readable byte. At least `read` if not wrapped; else above zero
    /// and at most `read`.
    write: usize,
    /// Where reading wraps; above `read` if wrapped, else without meaning.
    mark: usize,
    wrapped: bool,
    /// The open claim: `write` or, if it is the one that wraps, 0.
    claim: usize,
    /// Bytes of the open claim.
    claimed: usize,
}

/// Rooms that a claim may be taken from, in bytes.
struct Rooms {
    /// From `write` on.
    behind: usize,
    /// From offset 0 on.
    head: usize,
}

impl Bip {
    /// A ring of exactly `size` bytes on the heap.
    ///
    /// # Errors
    /// [`Error::ZeroSize`], [`Error::TooLarge`], [`Error::Heap`].
    ///
    /// ```
    /// use tautline_buffer::{Bip, Fifo};
    /// assert_eq!(Bip::new(1500)?.capacity(), 1500);
    /// # Ok::<(), tautline_buffer::Error>(())
    /// ```
    pub fn new(size: usize) -> Result<Self, Error> {
        let limit = isize::MAX as usize;
        match size {
            0 => return Err(Error::ZeroSize),
            _ if size > limit => {
                return Err(Error::TooLarge { requested: size, limit });
            }
            _ => {}
        }
        let mut memory = Vec::new();
        memory.try_reserve_exact(size).map_err(|_| Error::Heap { size })?;
        memory.resize(size, 0);
        let memory = memory.into_boxed_slice();
        Ok(Self { memory, read: 0, write: 0, mark: 0, wrapped: false, claim: 0, claimed: 0 })
    }

    #[inline]
    fn rooms(&self) -> Rooms {
        if self.wrapped {
            Rooms { behind: self.read - self.write, head: 0 }
        } else if self.read == self.write {
            // Empty: the next claim starts at zero and has everything.
            Rooms { behind: 0, head: self.memory.len() }
        } else {
            Rooms { behind: self.memory.len() - self.write, head: self.read }
        }
    }

    /// End of the oldest contiguous bytes.
    #[inline]
    fn end(&self) -> usize {
        if self.wrapped { self.mark } else { self.write }
    }

    /// Lets reading wrap once it has come to the mark.
    #[inline]
    fn unwrap_at_mark(&mut self) {
        if self.wrapped && self.read == self.mark {
            self.read = 0;
            self.wrapped = false;
        }
    }
}

impl Fifo for Bip {
    #[inline]
    fn claim(&mut self, n: usize) -> &mut [u8] {
        let rooms = self.rooms();
        if !self.wrapped && self.read == self.write {
            (self.read, self.write) = (0, 0);
        }
        let behind = n <= rooms.behind || rooms.behind >= rooms.head;
        let (at, room) = if behind { (self.write, rooms.behind) } else { (0, rooms.head) };
        self.claim = at;
        self.claimed = n.min(room);
        &mut self.memory[at..at + self.claimed]
    }

    #[inline]
    fn commit(&mut self, n: usize) -> usize {
        let n = n.min(self.claimed);
        self.claimed = 0;
        if n == 0 {
            return 0;
        }
        if self.claim != self.write {
            self.mark = self.write;
            self.wrapped = true;
            self.write = 0;
        }
        self.write += n;
        self.unwrap_at_mark();
        n
    }

    #[inline]
    fn readable(&self) -> &[u8] {
        &self.memory[self.read..self.end()]
    }

    #[inline]
    fn readable_mut(&mut self) -> &mut [u8] {
        let end = self.end();
        &mut self.memory[self.read..end]
    }

    #[inline]
    fn consume(&mut self, n: usize) -> usize {
        let n = n.min(self.end() - self.read);
        self.read += n;
        self.unwrap_at_mark();
        n
    }

    #[inline]
    fn used(&self) -> usize {
        let behind_the_wrap = if self.wrapped { self.write } else { 0 };
        self.end() - self.read + behind_the_wrap
    }

    #[inline]
    fn free(&self) -> usize {
        let rooms = self.rooms();
        rooms.behind.max(rooms.head)
    }

    #[inline]
    fn capacity(&self) -> usize {
        self.memory.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A claim that fits neither behind nor at the head gets the longer room, and wasting it costs
    /// nothing.
    #[test]
    fn an_uncommitted_wrap_changes_nothing() {
        let mut bip = Bip::new(10).unwrap();
        bip.put(&[1; 8]);
        bip.consume(5);
        assert_eq!(bip.claim(9).len(), 5);
        assert_eq!(bip.commit(0), 0);
        assert_eq!(bip.claim(2).len(), 2);
        assert_eq!(bip.commit(2), 2);
        assert_eq!(bip.readable().len(), 5, "the two went behind the three that were left");
    }

    /// A full, wrapped ring is told from an empty one.
    #[test]
    fn full_after_the_wrap_is_not_empty() {
        let mut bip = Bip::new(8).unwrap();
        bip.put(&[1; 8]);
        bip.consume(5);
        assert_eq!(bip.put(&[2; 5]), 5);
        assert_eq!((bip.used(), bip.free()), (8, 0));
        assert_eq!(bip.claim(1), []);
        assert_eq!(bip.consume(8), 3);
        assert_eq!(bip.readable(), [2; 5]);
    }

    /// A claim at the head survives that everything behind it is consumed before the commit.
    #[test]
    fn wrap_commits_after_the_reader_has_caught_up() {
        let mut bip = Bip::new(8).unwrap();
        bip.put(&[1; 6]);
        bip.consume(5);
        bip.claim(4).copy_from_slice(&[2; 4]);
        bip.consume(1);
        assert_eq!(bip.commit(4), 4);
        assert_eq!(bip.readable(), [2; 4]);
        assert_eq!(bip.used(), 4);
    }
}
