//! What streams have been given to send and the kernel has not taken: chains of equal
//! chunks from one pool, so that an idle stream holds none.

use std::collections::VecDeque;

use tautline_buffer::Region;

use crate::engine::ReceivedAt;
use crate::engine::ops::NOWHERE;
use crate::slab::NONE;

/// The pool that all outboxes draw from.
pub(crate) struct Chunks {
    region: Region,
    /// Bytes of a chunk.
    size: usize,
    /// For a chunk in use: the next of its chain. For a free one: the next free one.
    next: Vec<u32>,
    /// Most recently freed chunk, or [`NONE`].
    free: u32,
    /// Chunks never used so far start here.
    fresh: u32,
    /// Chunks in use.
    taken: u32,
    count: u32,
}

impl Chunks {
    /// `count` chunks of `size` bytes; pages are touched on first use.
    pub(crate) fn new(count: usize, size: usize) -> Result<Self, tautline_buffer::Error> {
        let bytes = count.saturating_mul(size);
        let region = Region::new(bytes)?;
        let count = count as u32;
        Ok(Self {
            region,
            size,
            next: Vec::with_capacity(count as usize),
            free: NONE,
            fresh: 0,
            taken: 0,
            count,
        })
    }

    /// Bytes of a chunk.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Whether there is one for the asking.
    pub(crate) fn has_free(&self) -> bool {
        self.taken < self.count
    }

    /// Bytes of those that nobody has.
    pub(crate) fn free_bytes(&self) -> usize {
        (self.count - self.taken) as usize * self.size
    }

    fn take(&mut self) -> Option<u32> {
        let chunk = match self.free {
            NONE if self.fresh == self.count => return None,
            NONE => {
                self.next.push(NONE);
                self.fresh += 1;
                self.fresh - 1
            }
            chunk => {
                self.free = self.next[chunk as usize];
                chunk
            }
        };
        self.next[chunk as usize] = NONE;
        self.taken += 1;
        Some(chunk)
    }

    fn give(&mut self, chunk: u32) {
        self.next[chunk as usize] = self.free;
        self.free = chunk;
        self.taken -= 1;
    }

    fn bytes(&mut self, chunk: u32) -> &mut [u8] {
        let start = chunk as usize * self.size;
        &mut self.region.as_mut_slice()[start..start + self.size]
    }
}

/// The bytes that one stream has still to send.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// First chunk of the chain, or [`NONE`].
    head: u32,
    /// Last chunk of the chain, or [`NONE`].
    tail: u32,
    /// Bytes of the first chunk that have left already.
    start: u32,
    /// Bytes of the last chunk that are filled.
    end: u32,
    /// Bytes that wait.
    len: usize,
    /// Bytes that may wait.
    limit: usize,
    /// Bytes that ever left: the position of the first waiting byte.
    sent: u64,
}

impl Outbox {
    /// Empty; may hold `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { head: NONE, tail: NONE, start: 0, end: 0, len: 0, limit, sent: 0 }
    }

    /// Bytes that wait.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes that may still be added.
    pub(crate) fn room(&self) -> usize {
        self.limit.saturating_sub(self.len)
    }

    /// Bytes that a push would take now.
    pub(crate) fn grant(&self, chunks: &Chunks) -> usize {
        let tail = if self.tail == NONE { 0 } else { chunks.size - self.end as usize };
        self.room().min(tail + chunks.free_bytes())
    }

    /// Bytes that may wait.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Sets how many bytes may wait; what waits already stays.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// The position behind the last waiting byte.
    pub(crate) fn end_position(&self) -> u64 {
        self.sent + self.len as u64
    }

    /// The position of the first waiting byte.
    pub(crate) fn position(&self) -> u64 {
        self.sent
    }

    /// Copies what fits and returns how much that was.
    pub(crate) fn push(&mut self, chunks: &mut Chunks, mut bytes: &[u8]) -> usize {
        let fits = bytes.len().min(self.room());
        bytes = &bytes[..fits];
        while !bytes.is_empty() {
            let Some(room) = self.tail_room(chunks) else { break };
            let n = room.len().min(bytes.len());
            room[..n].copy_from_slice(&bytes[..n]);
            bytes = &bytes[n..];
            self.end += n as u32;
            self.len += n;
        }
        fits - bytes.len()
    }

    /// The free part of the last chunk, which is a new one if the last is full.
    fn tail_room<'c>(&mut self, chunks: &'c mut Chunks) -> Option<&'c mut [u8]> {
        if self.tail == NONE || self.end as usize == chunks.size {
            let chunk = chunks.take()?;
            match self.tail {
                NONE => (self.head, self.start) = (chunk, 0),
                tail => chunks.next[tail as usize] = chunk,
            }
            (self.tail, self.end) = (chunk, 0);
        }
        Some(&mut chunks.bytes(self.tail)[self.end as usize..])
    }

    /// The waiting bytes of the first chunk. They stay where they are until consumed.
    #[inline]
    pub(crate) fn front<'c>(&self, chunks: &'c mut Chunks) -> &'c [u8] {
        if self.head == NONE {
            return &[];
        }
        let end = if self.head == self.tail { self.end as usize } else { chunks.size };
        &chunks.bytes(self.head)[self.start as usize..end]
    }

    /// Drops `n` bytes of the first chunk, which have left.
    pub(crate) fn consume(&mut self, chunks: &mut Chunks, n: usize) {
        debug_assert!(n <= self.front(chunks).len(), "no more than the first chunk holds");
        self.start += n as u32;
        self.len -= n;
        self.sent += n as u64;
        let end = if self.head == self.tail { self.end } else { chunks.size as u32 };
        if self.start == end {
            self.drop_head(chunks);
        }
    }

    fn drop_head(&mut self, chunks: &mut Chunks) {
        let head = self.head;
        self.head = chunks.next[head as usize];
        self.start = 0;
        if head == self.tail {
            (self.head, self.tail, self.end) = (NONE, NONE, 0);
        }
        chunks.give(head);
    }

    /// Drops everything that waits.
    pub(crate) fn clear(&mut self, chunks: &mut Chunks) {
        while self.head != NONE {
            self.drop_head(chunks);
        }
        self.len = 0;
    }
}

/// Bytes that arrived and were not taken yet.
#[derive(Default)]
pub(crate) struct Inbox {
    segments: VecDeque<Segment>,
}

/// A run of bytes in the inbox, or one datagram.
pub(crate) enum Segment {
    /// Lent receive memory, of which `start..end` is unread.
    Lent { at: ReceivedAt, start: usize, end: usize },
    /// Bytes saved from an operation whose owner had gone; `place` is that of the first
    /// unread one.
    Saved { bytes: Vec<u8>, start: usize, place: u64 },
    /// A datagram saved from such an operation.
    Datagram { bytes: Vec<u8>, from: Option<socket2::SockAddr>, truncated: bool, place: u64 },
}

impl Segment {
    /// The place in the stream of the first unread byte; what nobody has taken yet is
    /// behind all that somebody had.
    pub(crate) fn place(&self) -> u64 {
        match self {
            Self::Lent { .. } => NOWHERE,
            Self::Saved { place, .. } | Self::Datagram { place, .. } => *place,
        }
    }
}

impl Inbox {
    /// Whether there is nothing.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Segments.
    pub(crate) fn len(&self) -> usize {
        self.segments.len()
    }

    /// Adds at the end.
    pub(crate) fn push(&mut self, segment: Segment) {
        self.segments.push_back(segment);
    }

    /// The first segment.
    pub(crate) fn front(&self) -> Option<&Segment> {
        self.segments.front()
    }

    /// The first segment, to be read.
    pub(crate) fn front_mut(&mut self) -> Option<&mut Segment> {
        self.segments.front_mut()
    }

    /// Puts what was taken and saved to its place before all that comes behind it.
    pub(crate) fn put_back(&mut self, segment: Segment) {
        let before = |other: &Segment| other.place() < segment.place();
        let at = self.segments.iter().take_while(|other| before(other)).count();
        self.segments.insert(at, segment);
    }

    /// Takes the first segment.
    pub(crate) fn pop(&mut self) -> Option<Segment> {
        self.segments.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque as Model;

    use super::*;

    /// Bytes leave in the order in which they came, over any number of chunks, every chunk
    /// returns to the pool, and what would be taken is known before.
    #[test]
    fn bytes_leave_in_order() {
        let mut chunks = Chunks::new(4, 8).unwrap();
        let mut outbox = Outbox::new(30);
        let mut model: Model<u8> = Model::new();
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..10_000 {
            let bytes: Vec<u8> = (0..random.usize(..20)).map(|_| random.u8(..)).collect();
            let granted = outbox.grant(&chunks);
            let taken = outbox.push(&mut chunks, &bytes);
            assert_eq!(taken, bytes.len().min(granted), "as much as was granted");
            model.extend(&bytes[..taken]);
            let front = outbox.front(&mut chunks);
            let n = random.usize(..=front.len());
            assert!(model.iter().take(front.len()).eq(front));
            model.drain(..n);
            if n > 0 {
                outbox.consume(&mut chunks, n);
            }
            assert_eq!(outbox.len(), model.len());
        }
        outbox.clear(&mut chunks);
        assert_eq!(std::iter::from_fn(|| chunks.take()).count(), 4);
    }

    /// A full pool or a full outbox takes a part and says how much.
    #[test]
    fn a_full_outbox_takes_a_part() {
        let mut chunks = Chunks::new(2, 8).unwrap();
        let (mut first, mut second) = (Outbox::new(10), Outbox::new(100));
        assert_eq!(first.push(&mut chunks, &[1; 12]), 10);
        assert_eq!(second.push(&mut chunks, &[1; 12]), 0);
        first.clear(&mut chunks);
        assert_eq!(second.push(&mut chunks, &[1; 20]), 16);
    }
}
