//! What goes wrong in a simulated world, and how often.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::rng::Rng;
use crate::time::Instant;

/// How often something happens: so many times in a million.
///
/// ```
/// use tautline_runtime::sim::Rate;
/// assert_eq!(Rate::percent(5), Rate::parts_per_million(50_000));
/// assert_eq!(Rate::percent(200), Rate::ALWAYS);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(u32);

impl Rate {
    /// Not once.
    pub const NEVER: Self = Self(0);
    /// Every time.
    pub const ALWAYS: Self = Self(1_000_000);

    /// `parts` times in a million; more than a million is [`Rate::ALWAYS`].
    pub const fn parts_per_million(parts: u32) -> Self {
        if parts < Self::ALWAYS.0 { Self(parts) } else { Self::ALWAYS }
    }

    /// `percent` times in a hundred; more than a hundred is [`Rate::ALWAYS`].
    pub const fn percent(percent: u32) -> Self {
        Self::parts_per_million(percent.saturating_mul(10_000))
    }

    /// How many times in a million, at most a million.
    pub const fn per_million(self) -> u32 {
        self.0
    }
}

/// What goes wrong in a simulated world, and how often. All of it is something that a
/// kernel or a network may do; a program that is right stands it.
///
/// ```
/// use tautline_runtime::sim::{Faults, Rate};
/// let lossy = Faults { loss: Rate::percent(10), ..Faults::none() };
/// assert_ne!(lossy, Faults::none());
/// assert_eq!(Faults::draw(7), Faults::draw(7));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// How long a segment, a datagram or a step of a handshake is under way. (Nothing
    /// is under way between Unix sockets.)
    pub delay: RangeInclusive<Duration>,
    /// A receive on a stream brings fewer bytes than are there; per receive.
    pub short_receive: Rate,
    /// A send on a stream takes fewer bytes than there is room for; per send.
    pub short_send: Rate,
    /// A datagram is lost; per datagram.
    pub loss: Rate,
    /// A datagram arrives twice; per datagram.
    pub duplication: Rate,
    /// A datagram is overtaken by others; per datagram.
    pub reordering: Rate,
    /// A TCP connection is reset; per send.
    pub reset: Rate,
    /// A TCP connect is refused although somebody listens; per connect.
    pub refusal: Rate,
    /// An operation tried at once would block, although it could be done; per attempt.
    pub would_block: Rate,
    /// A poll tells of readiness that is not there; per poll armed.
    pub spurious_ready: Rate,
    /// A completion is told later than it happened, so that it meets a cancel; per
    /// completion.
    pub late: Rate,
    /// Completions of different descriptors are told in another order; per completion.
    pub shuffle: Rate,
    /// The submission queue is full; per submission.
    pub queue_full: Rate,
    /// A pool receive finds no buffer; per receive.
    pub no_buffer: Rate,
    /// A socket or an accepted connection finds no descriptor (`EMFILE`); per socket.
    pub no_descriptor: Rate,
    /// From here on nothing new goes wrong and every delay is the shortest, so that a
    /// test can ask that everything comes to its end.
    pub quiesce_at: Instant,
}

impl Faults {
    /// A faultless world, in which everything is 10 µs under way.
    pub const fn none() -> Self {
        Self {
            delay: Duration::from_micros(10)..=Duration::from_micros(10),
            short_receive: Rate::NEVER,
            short_send: Rate::NEVER,
            loss: Rate::NEVER,
            duplication: Rate::NEVER,
            reordering: Rate::NEVER,
            reset: Rate::NEVER,
            refusal: Rate::NEVER,
            would_block: Rate::NEVER,
            spurious_ready: Rate::NEVER,
            late: Rate::NEVER,
            shuffle: Rate::NEVER,
            queue_full: Rate::NEVER,
            no_buffer: Rate::NEVER,
            no_descriptor: Rate::NEVER,
            quiesce_at: Instant::MAX,
        }
    }

    /// Rates that are themselves drawn from `seed`: about half of them zero, the others
    /// anything up to their bound. Over many seeds, each fault is met alone, with each
    /// other one, and not at all ("swarm testing", Groce et al., ISSTA 2012).
    /// [`Faults::quiesce_at`] is never; set it to see the world come to rest.
    pub fn draw(seed: u64) -> Self {
        // Not the stream that the world itself draws from.
        let rng = &mut Rng::new(!seed);
        Self {
            delay: draw_delay(rng),
            short_receive: draw_rate(rng, 90),
            short_send: draw_rate(rng, 90),
            loss: draw_rate(rng, 30),
            duplication: draw_rate(rng, 20),
            reordering: draw_rate(rng, 30),
            reset: draw_rate(rng, 5),
            refusal: draw_rate(rng, 20),
            would_block: draw_rate(rng, 70),
            spurious_ready: draw_rate(rng, 50),
            late: draw_rate(rng, 50),
            shuffle: draw_rate(rng, 100),
            queue_full: draw_rate(rng, 50),
            no_buffer: draw_rate(rng, 30),
            no_descriptor: draw_rate(rng, 20),
            quiesce_at: Instant::MAX,
        }
    }

    /// As [`Faults::draw`], without what loses a stream's bytes or a connection: no
    /// resets and no refusals. What TCP promises then holds for every connection.
    pub fn draw_harmless(seed: u64) -> Self {
        Self { reset: Rate::NEVER, refusal: Rate::NEVER, ..Self::draw(seed) }
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self::none()
    }
}

/// Zero half of the time, else up to `most` percent, small ones as often as large ones.
fn draw_rate(rng: &mut Rng, most: u32) -> Rate {
    let (active, scale, share) = (rng.next() & 1 == 1, rng.below(8), rng.below(1_000_001) as u32);
    if !active {
        return Rate::NEVER;
    }
    let ceiling = Rate::percent(most).per_million() >> scale;
    Rate::parts_per_million((u64::from(ceiling) * u64::from(share) / 1_000_000) as u32)
}

/// From 0 to 100 µs at least, and up to 10 ms more.
fn draw_delay(rng: &mut Rng) -> RangeInclusive<Duration> {
    let shortest = Duration::from_nanos(rng.below(100_000));
    let spread = 10_000_000 >> (2 * rng.below(8));
    shortest..=shortest + Duration::from_nanos(rng.below(spread + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Over a hundred seeds every fault is switched off in some and on in others.
    #[test]
    fn every_fault_is_drawn_and_left_out() {
        let drawn: Vec<Faults> = (0..100).map(Faults::draw).collect();
        let rates: [fn(&Faults) -> Rate; 14] = [
            |f| f.short_receive,
            |f| f.short_send,
            |f| f.loss,
            |f| f.duplication,
            |f| f.reordering,
            |f| f.reset,
            |f| f.refusal,
            |f| f.would_block,
            |f| f.spurious_ready,
            |f| f.late,
            |f| f.shuffle,
            |f| f.queue_full,
            |f| f.no_buffer,
            |f| f.no_descriptor,
        ];
        for (index, rate) in rates.iter().enumerate() {
            let off = drawn.iter().filter(|f| rate(f) == Rate::NEVER).count();
            assert!((20..80).contains(&off), "rate {index} is off in {off} of 100");
        }
        assert!(drawn.iter().all(|f| f.delay.start() <= f.delay.end()));
    }
}
