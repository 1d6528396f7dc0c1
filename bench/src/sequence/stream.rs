//! What comes: packets in the order in which they do, and on which line.

use tautline_feed::format::{Builder, Format, Kind, Session};

use super::Shape;

/// Packets of one length, one behind the other. When all have come they come again with the numbers
/// that follow. What is late at the end of a pass comes at the beginning of the next, so that as much
/// is held back there as anywhere.
pub(super) struct Stream {
    memory: Vec<u8>,
    /// Bytes of a packet.
    packet: usize,
    lines: Vec<u8>,
    copies: Vec<Copy>,
    messages: u16,
    /// Messages of a pass.
    span: u64,
}

/// A packet, once or again.
struct Copy {
    /// When it comes.
    at: usize,
    /// The number of its first message.
    number: u64,
    line: u8,
    /// It comes before the other one, if there are two.
    is_first: bool,
}

/// Packets of a receive.
pub(super) const BATCH: usize = 32;

/// Whose packets they are.
fn session() -> Session {
    Session::of_number(7)
}

impl Stream {
    /// The number with which the first pass begins. What is late from a pass before it is old.
    pub(super) fn start(shape: Shape) -> u64 {
        shape.span() + 1
    }

    /// Always the same for a shape.
    pub(super) fn new<F: Format>(shape: Shape) -> Self {
        let copies = copies(shape);
        let memory: Vec<u8> =
            copies.iter().flat_map(|copy| bytes::<F>(shape, copy.number)).collect();
        let packet = memory.len() / copies.len();
        let lines = copies.iter().map(|copy| copy.line).collect();
        Self { memory, packet, lines, copies, messages: shape.messages, span: shape.span() }
    }

    /// Packets of a pass.
    pub(super) fn len(&self) -> usize {
        self.copies.len()
    }

    /// The packets, for those who do not care about lines.
    #[inline(always)]
    pub(super) fn packets(&self) -> impl Iterator<Item = &[u8]> {
        self.memory.chunks_exact(self.packet)
    }

    /// The packets and their lines, as they are received: at most [`BATCH`] at once.
    #[inline(always)]
    pub(super) fn batches(&self) -> impl Iterator<Item = impl Iterator<Item = (u8, &[u8])>> {
        let batches = self.memory.chunks(BATCH * self.packet).zip(self.lines.chunks(BATCH));
        batches.map(|(packets, lines)| lines.iter().copied().zip(packets.chunks_exact(self.packet)))
    }

    /// The lowest number that has not come before this pass.
    pub(super) fn due(&self) -> u64 {
        let firsts = self.copies.iter().filter(|copy| copy.is_first);
        firsts.map(|copy| copy.number).fold(u64::MAX, u64::min)
    }

    /// All come again, with the numbers that follow.
    pub(super) fn go_on<F: Format>(&mut self) {
        let kind = Kind::Messages(self.messages);
        for (copy, packet) in self.copies.iter_mut().zip(self.memory.chunks_exact_mut(self.packet))
        {
            copy.number += self.span;
            F::write_header(packet, session(), copy.number, kind);
        }
    }
}

/// All packets of the first pass, as they come.
fn copies(shape: Shape) -> Vec<Copy> {
    let mut rng = fastrand::Rng::with_seed(5);
    let mut copies = Vec::new();
    for packet in 0..shape.packets {
        let is_twice = rng.usize(0..100) < shape.twice;
        let times = [0; 2].map(|_| packet + rng.usize(0..=shape.displacement));
        for (copy, at) in times.into_iter().take(1 + usize::from(is_twice)).enumerate() {
            let other = times[1 - copy];
            let is_first = !is_twice || (at, copy) < (other, 1 - copy);
            // What is late was sent in the pass before.
            let (at, pass) = (at % shape.packets, u64::from(at < shape.packets));
            let number = packet as u64 * u64::from(shape.messages) + 1 + pass * shape.span();
            copies.push(Copy { at, number, line: ((packet + copy) % 2) as u8, is_first });
        }
    }
    copies.sort_by_key(|copy| copy.at); // those of one time stay in order
    copies
}

fn bytes<F: Format>(shape: Shape, number: u64) -> Vec<u8> {
    let mut datagram = [0; 1472];
    let message: Vec<u8> = (0..shape.bytes).map(|at| (number as usize + at) as u8).collect();
    let written = Builder::<F>::new(&mut datagram, session(), number).and_then(|mut builder| {
        (0..shape.messages).try_for_each(|_| builder.push(&message))?;
        Ok(builder.finish().to_vec())
    });
    written.unwrap_or_else(|error| unreachable!("a packet of {shape:?}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::{COMPACT, HELD};
    use super::*;

    /// Packets that are held back in a pass, on average.
    fn held(shape: Shape) -> usize {
        let copies = copies(shape);
        let (mut next, mut ahead, mut sum) = (Stream::start(shape), BTreeSet::new(), 0);
        for pass in 0..2 {
            for copy in &copies {
                let number = copy.number + pass * shape.span();
                if number >= next {
                    ahead.insert(number);
                }
                while ahead.remove(&next) {
                    next += u64::from(shape.messages);
                }
                sum += ahead.len() * pass as usize;
            }
        }
        sum / copies.len()
    }

    /// As many packets are held back, on average, as the row is named for.
    #[test]
    fn rows_hold_as_many_as_they_say() {
        for (shape, wanted) in HELD.into_iter().zip([100, 1000, 10_000]) {
            let held = held(shape);
            assert!(held.abs_diff(wanted) < wanted / 5, "{}: {held}", shape.name);
        }
        assert_eq!(held(COMPACT), 0);
    }

    /// Of a hundred packets so many come twice, on both lines by turns.
    #[test]
    fn packets_come_twice() {
        let all = copies(COMPACT);
        assert_eq!(all.len(), 2 * COMPACT.packets);
        assert!(
            all.chunks(2).all(|two| two[0].number == two[1].number && two[0].line != two[1].line)
        );
        let twice = copies(HELD[1]).len() - HELD[1].packets;
        assert!((4 * HELD[1].packets..6 * HELD[1].packets).contains(&(100 * twice)), "{twice}");
    }
}
