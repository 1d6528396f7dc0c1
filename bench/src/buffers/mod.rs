//! `buffers`: one message copied in and copied out again, across the wrap, one message behind.
//!
//! Anything that implements [`Pipe`] takes part through [`contender`].

mod bytes_mut;
mod memmove;
mod ours;

use std::hint::black_box;

use crate::harness::{
    Contender, Failure, Group, Metric, Plan, Role, Sample,
    sys::{Stopwatch, UNDER_TEST, pin},
};

/// A byte queue as the benchmark uses it.
trait Pipe: Sized {
    /// An empty queue that holds at least `capacity` bytes.
    ///
    /// # Errors
    /// Memory is refused.
    fn with_capacity(capacity: usize) -> Result<Self, Failure>;
    /// Appends a message; there is room for it.
    fn write(&mut self, message: &[u8]);
    /// Moves the oldest `target.len()` bytes into `target`; there are as many.
    fn read(&mut self, target: &mut [u8]);
}

/// Our kinds of buffer, by the name of their rows.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Mirrored,
    Bip,
    Byte,
}

const KINDS: [(Kind, &str); 3] =
    [(Kind::Mirrored, "mirrored"), (Kind::Bip, "bip"), (Kind::Byte, "byte")];

/// A row: the length of a message, and how many make a slice.
#[derive(Clone, Copy)]
struct Shape {
    name: &'static str,
    message: usize,
    count: usize,
}

const SHAPES: [Shape; 3] = [
    Shape { name: "64B", message: 64, count: 400_000 },
    Shape { name: "1KiB", message: 1024, count: 200_000 },
    Shape { name: "64KiB", message: 64 * 1024, count: 2_000 },
];

impl Shape {
    /// Four messages, and 16 KiB at least: the wrap comes often.
    fn capacity(self) -> usize {
        (4 * self.message).max(16 * 1024)
    }
}

/// Bytes written and read first, so that messages lie across the wrap and not at its edge.
const SHIFT: usize = 24;

/// One group for each kind and length.
pub(crate) fn groups(_: &Plan) -> Vec<Group> {
    KINDS.iter().flat_map(|&kind| SHAPES.iter().map(move |&shape| group(kind, shape))).collect()
}

fn group((kind, name): (Kind, &str), shape: Shape) -> Group {
    let contenders = vec![
        contender::<memmove::Area>("memmove", Role::Limit, shape),
        contender::<bytes_mut::Growing>("bytesmut", Role::Peer, shape),
        ours::contender(kind, shape),
    ];
    Group {
        metrics: vec![Metric::lower(format!("{name}-{}", shape.name), "ns/message")],
        contenders,
        note: Some("one copy in and one copy out; processor time"),
    }
}

fn contender<P: Pipe + 'static>(name: &'static str, role: Role, shape: Shape) -> Contender {
    Contender::new(name, role, move || slice::<P>(shape))
}

fn slice<P: Pipe>(shape: Shape) -> Result<Sample, Failure> {
    pin(UNDER_TEST)?;
    let mut pipe = P::with_capacity(shape.capacity())?;
    let mut message: Vec<u8> = (0..shape.message).map(|place| place as u8).collect();
    let mut target = vec![0; shape.message];
    pipe.write(&message[..SHIFT]);
    pipe.read(&mut target[..SHIFT]);
    pipe.write(&message);
    let watch = Stopwatch::start();
    for number in 0..shape.count {
        message[0] = number as u8;
        pipe.write(black_box(&message));
        pipe.read(black_box(&mut target));
    }
    let cpu = watch.stop();
    if target[1..] != message[1..] {
        return Err(Failure::Miscounted { sent: shape.count as u64, answered: 0 });
    }
    Ok(Sample::of_work(cpu, shape.count))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every pipe gives back the bytes that went in, in order, over many wraps.
    fn keeps_order<P: Pipe>() {
        let mut pipe = P::with_capacity(256).unwrap_or_else(|failure| panic!("{failure}"));
        let mut target = [0; 50];
        pipe.write(&[255; 50]);
        for number in 0..100 {
            pipe.write(&[number; 50]);
            pipe.read(&mut target);
            assert_eq!(target, [number.wrapping_sub(1); 50]);
        }
    }

    /// Limit and peer do the work that they are measured by.
    #[test]
    fn limit_and_peer_keep_order() {
        keeps_order::<memmove::Area>();
        keeps_order::<bytes_mut::Growing>();
    }
}
