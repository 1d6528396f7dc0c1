//! Every buffer against a plain queue, over random sequences of operations.

mod common;

use common::{Model, Op, ops};
use proptest::collection::vec;
use proptest::prelude::*;
use tautline_buffer::{Bip, ByteBuffer, Fifo, Mirrored, SaveError, Slot};

/// Runs the operations on both; the stream stays complete and in order to its last byte.
fn behaves_like_a_queue(fifo: &mut impl Fifo, ops: Vec<Op>, all_is_contiguous: bool) {
    let mut model = Model::default();
    for op in ops {
        model.apply(fifo, op);
        if all_is_contiguous {
            assert_eq!(fifo.readable().len(), fifo.used());
            assert_eq!(fifo.used() + fifo.free(), fifo.capacity());
        }
    }
    model.drain(fifo);
}

/// An operation on a byte buffer: one of every FIFO, or one on its save area.
#[derive(Clone, Copy, Debug)]
enum ByteOp {
    Fifo(Op),
    Save(usize),
    /// Discards one of all slots ever made, chosen by this number: often a stale one.
    Discard(usize),
}

const LIMIT: usize = 500;
const SLOTS: usize = 6;

fn byte_ops() -> impl Strategy<Value = ByteOp> {
    prop_oneof![
        8 => ops(LIMIT).prop_map(ByteOp::Fifo),
        3 => common::sizes(LIMIT / 4).prop_map(ByteOp::Save),
        3 => any::<usize>().prop_map(ByteOp::Discard),
    ]
}

/// The save area's model: what each slot ever made holds, `None` once discarded.
#[derive(Default)]
struct Saved(Vec<(Slot, Option<Vec<u8>>)>);

impl Saved {
    fn live(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.0.iter().filter_map(|(_, bytes)| bytes.as_ref())
    }

    fn save(&mut self, buffer: &mut ByteBuffer, model: &mut Model, n: usize) {
        let n = n.min(model.queue.len());
        match buffer.save(n) {
            Ok(slot) => self.0.push((slot, Some(model.queue.drain(..n).collect()))),
            Err(SaveError::Empty) => assert_eq!(n, 0),
            Err(error) => {
                assert_eq!(error, SaveError::Exhausted { limit: SLOTS });
                assert_eq!(self.live().count(), SLOTS);
            }
        }
    }

    fn discard(&mut self, buffer: &mut ByteBuffer, choice: usize) {
        if self.0.is_empty() {
            return;
        }
        let index = choice % self.0.len();
        let (slot, bytes) = &mut self.0[index];
        let len = bytes.take().map_or(0, |bytes| bytes.len());
        assert_eq!(buffer.discard(*slot), len);
    }

    fn compare(&self, buffer: &ByteBuffer) {
        for (slot, bytes) in &self.0 {
            assert_eq!(buffer.saved(*slot), bytes.as_deref());
        }
        assert_eq!(buffer.saved_bytes(), self.live().map(Vec::len).sum::<usize>());
        assert_eq!(buffer.saved_bytes() + buffer.used() + buffer.free(), buffer.capacity());
        assert_eq!(buffer.readable().len(), buffer.used());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Mirrored is a queue, and all of it is always one slice.
    #[test]
    fn mirrored_behaves_like_a_queue(ops in vec(ops(4096), 1..200)) {
        behaves_like_a_queue(&mut Mirrored::new(4096).unwrap(), ops, true);
    }

    /// Bip is a queue at every capacity, down to one byte.
    #[test]
    fn bip_behaves_like_a_queue(
        (capacity, ops) in (1..300_usize).prop_flat_map(|n| (Just(n), vec(ops(n.max(8)), 1..200)))
    ) {
        behaves_like_a_queue(&mut Bip::new(capacity).unwrap(), ops, false);
    }

    /// A byte buffer without saved bytes is a queue, and all of it is always one slice.
    #[test]
    fn byte_buffer_behaves_like_a_queue(
        (limit, ops) in (1..300_usize).prop_flat_map(|n| (Just(n), vec(ops(n.max(8)), 1..200)))
    ) {
        behaves_like_a_queue(&mut ByteBuffer::new(limit).unwrap(), ops, true);
    }

    /// Saved bytes keep their contents and slots their meaning, whatever is discarded in whatever
    /// order and however often everything moves; no more is copied than was committed.
    #[test]
    fn saved_bytes_outlive_every_other_operation(ops in vec(byte_ops(), 1..400)) {
        let mut buffer = ByteBuffer::with(LIMIT, SLOTS, Default::default()).unwrap();
        let (mut model, mut saved) = (Model::default(), Saved::default());
        let mut committed = 0;
        for op in ops {
            let used = buffer.used();
            match op {
                ByteOp::Fifo(op) => model.apply(&mut buffer, op),
                ByteOp::Save(n) => saved.save(&mut buffer, &mut model, n),
                ByteOp::Discard(choice) => saved.discard(&mut buffer, choice),
            }
            committed += buffer.used().saturating_sub(used) as u64;
            model.compare(&buffer);
            saved.compare(&buffer);
            prop_assert!(buffer.copied() <= committed);
        }
        model.drain(&mut buffer);
    }

    /// A packet claimed whole is read whole, whatever was claimed and consumed before.
    #[test]
    fn bip_keeps_packets_whole(sizes in vec((1..60_usize, any::<bool>()), 1..300)) {
        let mut bip = Bip::new(150).unwrap();
        let mut sent = std::collections::VecDeque::new();
        for (i, (size, drain)) in sizes.into_iter().enumerate() {
            let claim = bip.claim(size);
            if claim.len() == size {
                claim.fill(i as u8);
                bip.commit(size);
                sent.push_back((i as u8, size));
            }
            while let Some((byte, size)) = sent.pop_front_if(|_| drain || bip.free() < 60) {
                prop_assert_eq!(&bip.readable()[..size], vec![byte; size]);
                bip.consume(size);
            }
        }
    }
}

/// The random sequences above do reach compactions with holes among saved bytes.
#[test]
fn compaction_moves_saved_bytes_over_holes() {
    let mut buffer = ByteBuffer::with(100, 8, Default::default()).unwrap();
    let mut slots = Vec::new();
    for i in 0..8 {
        buffer.put(&[i; 10]);
        slots.push(buffer.save(10).unwrap());
    }
    for i in [6, 0, 3] {
        assert_eq!(buffer.discard(slots[i]), 10);
    }
    let mut next = 0_u8;
    let before = buffer.compactions();
    while buffer.compactions() == before {
        // Never empty, so that the write area moves on.
        next += 1;
        buffer.put(&[next; 25]);
        buffer.consume(buffer.used() - 1);
    }
    for i in [1, 2, 4, 5, 7] {
        assert_eq!(buffer.saved(slots[i]), Some(&[i as u8; 10][..]));
    }
    assert_eq!(buffer.readable(), [next]);
}
