//! Operations on a [`Fifo`] beside a plain model of it.

use std::collections::VecDeque;

use proptest::prelude::*;
use tautline_buffer::Fifo;

/// One call, with its size.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    /// Claims that many bytes and fills them all.
    Claim(usize),
    /// Commits that many, perhaps more than were claimed.
    Commit(usize),
    /// Consumes that many, perhaps more than are readable.
    Consume(usize),
    /// Changes all readable bytes in place.
    Change,
}

/// Sizes around `capacity`: mostly small, sometimes beyond it, sometimes absurd.
pub(crate) fn sizes(capacity: usize) -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => 0..capacity / 8,
        4 => 0..capacity,
        2 => capacity - 2..capacity + 3,
        1 => Just(usize::MAX),
    ]
}

/// Any operation, sized for `capacity`.
pub(crate) fn ops(capacity: usize) -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => sizes(capacity).prop_map(Op::Claim),
        3 => sizes(capacity).prop_map(Op::Commit),
        3 => sizes(capacity).prop_map(Op::Consume),
        1 => Just(Op::Change),
    ]
}

/// A plain queue that does what the buffer under test should do.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) queue: VecDeque<u8>,
    /// What was written into the open claim.
    claim: Vec<u8>,
    /// The next byte to write; counts on, so that a byte out of place is seen.
    next: u8,
}

impl Model {
    /// Does `op` to both and compares the answers.
    pub(crate) fn apply(&mut self, fifo: &mut impl Fifo, op: Op) {
        match op {
            Op::Claim(n) => self.claim(fifo, n),
            Op::Commit(n) => {
                let claim = std::mem::take(&mut self.claim);
                let expected = n.min(claim.len());
                assert_eq!(fifo.commit(n), expected);
                self.queue.extend(&claim[..expected]);
            }
            Op::Consume(n) => {
                let expected = n.min(fifo.readable().len());
                assert_eq!(fifo.consume(n), expected);
                self.queue.drain(..expected);
            }
            Op::Change => {
                let len = fifo.readable_mut().len();
                fifo.readable_mut().iter_mut().for_each(|byte| *byte = byte.wrapping_add(1));
                self.queue.iter_mut().take(len).for_each(|byte| *byte = byte.wrapping_add(1));
            }
        }
        self.compare(fifo);
    }

    fn claim(&mut self, fifo: &mut impl Fifo, n: usize) {
        let free = fifo.free();
        let claim = fifo.claim(n);
        assert_eq!(
            claim.len(),
            n.min(free),
            "a claim is as long as asked for, or all that is free"
        );
        for byte in claim.iter_mut() {
            self.next = self.next.wrapping_add(1);
            *byte = self.next;
        }
        self.claim = claim.to_vec();
    }

    /// What is readable is the model's front, and the counts agree.
    pub(crate) fn compare(&self, fifo: &impl Fifo) {
        assert_eq!(fifo.used(), self.queue.len());
        assert!(fifo.used() + fifo.free() <= fifo.capacity());
        assert_eq!(fifo.readable().is_empty(), self.queue.is_empty());
        let readable = fifo.readable();
        assert!(readable.len() <= self.queue.len());
        assert!(readable.iter().eq(self.queue.iter().take(readable.len())));
    }

    /// Consumes all that is left, comparing it.
    pub(crate) fn drain(&mut self, fifo: &mut impl Fifo) {
        while !self.queue.is_empty() {
            self.apply(fifo, Op::Consume(usize::MAX));
        }
        assert!(fifo.is_empty());
    }
}
