//! `sequence`: packets of numbered messages come on two lines, and every message is handed on once
//! and in order. One thread, no sockets: the packets lie in memory, one behind the other, as they come.
//!
//! Anything that implements [`Order`] takes part through [`contender`].

mod hand;
mod maps;
mod ours;
mod stream;

use std::time::Duration;

use tautline_feed::format::{Compact, MoldUdp64};
use tautline_feed::sequence::{Bip, Pool, Slots};

use self::hand::Bare;
use self::stream::Stream;
use crate::harness::{
    Contender, Failure, Group, Metric, Plan, Role, Sample,
    sys::{Stopwatch, UNDER_TEST, pin},
};

/// What brings packets into order.
trait Order: Sized {
    /// One that waits for that number, and has room for what a stream of that shape holds back.
    ///
    /// # Errors
    /// Memory is refused.
    fn new(next: u64, shape: Shape) -> Result<Self, Failure>;
    /// Packets have come: hands on what is next.
    fn take(&mut self, stream: &Stream, sink: &mut Sink);
}

/// Whoever the messages are for.
#[derive(Default)]
struct Sink {
    messages: u64,
    /// Of numbers, lengths and first bytes, in their order.
    sum: u64,
}

impl Sink {
    /// Called, as what a program does with its messages is larger than what brings them into order.
    #[inline(never)]
    fn take(&mut self, number: u64, message: &[u8]) {
        let head = message.first_chunk().map_or(0, |head| u64::from_le_bytes(*head));
        let news = number.wrapping_add(message.len() as u64).wrapping_add(head);
        self.sum = self.sum.rotate_left(5) ^ news;
        self.messages += 1;
    }
}

/// A row: what comes.
#[derive(Clone, Copy, Debug)]
struct Shape {
    name: &'static str,
    /// Packets that differ; each is sent once more with the next number, pass after pass.
    packets: usize,
    /// Messages of a packet, and bytes of each.
    messages: u16,
    bytes: usize,
    /// Of a hundred packets so many come twice, the second time on the other line.
    twice: usize,
    /// A packet comes behind at most so many that were sent after it.
    displacement: usize,
    /// Passes of a slice.
    passes: u32,
}

impl Shape {
    /// Nothing is out of order, and everything comes twice.
    const fn in_order(name: &'static str, messages: u16, bytes: usize, passes: u32) -> Self {
        Self { name, packets: 2048, messages, bytes, twice: 100, displacement: 0, passes }
    }

    /// About so many are held back at any time: half of the displacement.
    const fn held(name: &'static str, held: usize) -> Self {
        let (packets, displacement) = (1 << 15, 2 * held);
        Self { name, packets, messages: 1, bytes: 64, twice: 5, displacement, passes: 3 }
    }
}

const COMPACT: Shape = Shape::in_order("in-order-compact", 1, 64, 200);
const MOLD: Shape = Shape::in_order("in-order-mold", 1, 64, 200);
const TWENTY: Shape = Shape::in_order("in-order-20", 20, 40, 50);

const HELD: [Shape; 3] = [
    Shape::held("out-of-order-100", 100),
    Shape::held("out-of-order-1k", 1000),
    Shape::held("out-of-order-10k", 10_000),
];

impl Shape {
    /// Messages of a pass.
    fn span(self) -> u64 {
        self.packets as u64 * u64::from(self.messages)
    }
}

/// One group for each shape.
pub(crate) fn groups(_: &Plan) -> Vec<Group> {
    let mut groups = vec![
        in_order::<Compact>(COMPACT),
        in_order::<MoldUdp64>(MOLD),
        in_order::<MoldUdp64>(TWENTY),
    ];
    groups.extend(HELD.map(out_of_order));
    groups
}

fn in_order<F: Bare>(shape: Shape) -> Group {
    let contenders = vec![
        contender::<F, hand::Compare<F>>("compare", Role::Limit, shape),
        contender::<F, ours::Ours<F, Pool>>("tautline", Role::Tautline, shape),
    ];
    group(shape, contenders)
}

fn out_of_order(shape: Shape) -> Group {
    let contenders = vec![
        contender::<Compact, hand::Ring>("ring", Role::Limit, shape),
        contender::<Compact, maps::Tree>("btreemap", Role::Peer, shape),
        contender::<Compact, maps::Hash>("hashmap", Role::Peer, shape),
        contender::<Compact, ours::Ours<Compact, Pool>>("tautline", Role::Tautline, shape),
        contender::<Compact, ours::Ours<Compact, Slots>>("tautline-slots", Role::Variant, shape),
        contender::<Compact, ours::Ours<Compact, Bip>>("tautline-bip", Role::Variant, shape),
    ];
    group(shape, contenders)
}

fn group(shape: Shape, contenders: Vec<Contender>) -> Group {
    let metrics = vec![Metric::lower(shape.name, "ns/packet")];
    Group { metrics, contenders, note: Some("two lines; processor time") }
}

fn contender<F: Bare, O: Order + 'static>(
    name: &'static str,
    role: Role,
    shape: Shape,
) -> Contender {
    Contender::new(name, role, move || slice::<F, O>(shape))
}

fn slice<F: Bare, O: Order>(shape: Shape) -> Result<Sample, Failure> {
    pin(UNDER_TEST)?;
    let (mut cpu, mut packets) = (Duration::ZERO, 0);
    passes::<F, O>(shape, 1 + shape.passes, |pass, took, came| {
        // The first one warms up.
        if pass > 0 {
            cpu += took;
            packets += came;
        }
    })?;
    Ok(Sample::of_work(cpu, packets))
}

/// Lets the packets come so many times, and tells what each pass took, and of how many packets.
///
/// # Errors
/// Memory is refused, or not all messages were handed on that could be.
fn passes<F: Bare, O: Order>(
    shape: Shape,
    passes: u32,
    mut tell: impl FnMut(u32, Duration, usize),
) -> Result<Sink, Failure> {
    let mut stream = Stream::new::<F>(shape);
    let start = Stream::start(shape);
    let mut order = O::new(start, shape)?;
    let mut sink = Sink::default();
    for pass in 0..passes {
        let watch = Stopwatch::start();
        take(&mut order, &stream, &mut sink);
        tell(pass, watch.stop(), stream.len());
        stream.go_on::<F>();
    }
    let sent = stream.due() - start;
    if sink.messages != sent {
        return Err(Failure::Miscounted { sent, answered: sink.messages });
    }
    Ok(sink)
}

/// A function of its own, so that registers are given out for this loop alone, whoever it is of.
#[inline(never)]
fn take<O: Order>(order: &mut O, stream: &Stream, sink: &mut Sink) {
    order.take(stream, sink);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum<F: Bare, O: Order>(shape: Shape) -> u64 {
        let sink = passes::<F, O>(shape, 3, |_, _, _| ());
        sink.unwrap_or_else(|failure| panic!("{}: {failure}", shape.name)).sum
    }

    /// Everybody hands on the same messages with the same numbers in the same order.
    #[test]
    fn all_hand_on_the_same() {
        fn of<F: Bare>(shape: Shape) {
            let sum_of_limit = sum::<F, hand::Compare<F>>(shape);
            assert_eq!(sum::<F, ours::Ours<F, Pool>>(shape), sum_of_limit, "{}", shape.name);
            assert_eq!(sum::<F, ours::Ours<F, Slots>>(shape), sum_of_limit, "{}", shape.name);
        }
        of::<Compact>(COMPACT);
        of::<MoldUdp64>(MOLD);
        of::<MoldUdp64>(TWENTY);
        for shape in HELD {
            let sum_of_limit = sum::<Compact, hand::Ring>(shape);
            let others = [
                sum::<Compact, maps::Tree>(shape),
                sum::<Compact, maps::Hash>(shape),
                sum::<Compact, ours::Ours<Compact, Pool>>(shape),
                sum::<Compact, ours::Ours<Compact, Slots>>(shape),
                sum::<Compact, ours::Ours<Compact, Bip>>(shape),
            ];
            assert_eq!(others, [sum_of_limit; 5], "{}", shape.name);
        }
    }

    /// A sum tells another order, and another message, from the right one.
    #[test]
    fn sums_tell_the_difference() {
        let sum = |messages: &[(u64, &[u8])]| {
            let mut sink = Sink::default();
            messages.iter().for_each(|(number, message)| sink.take(*number, message));
            sink.sum
        };
        let right = sum(&[(1, b"oneoneone"), (2, b"twotwotwo")]);
        assert_ne!(sum(&[(2, b"twotwotwo"), (1, b"oneoneone")]), right);
        assert_ne!(sum(&[(1, b"oneoneone"), (2, b"twotwot?o")]), right);
        assert_ne!(sum(&[(1, b"oneoneone"), (2, b"twotwotwotwo")]), right);
        assert_ne!(sum(&[(1, b"oneoneone"), (3, b"twotwotwo")]), right);
    }
}
