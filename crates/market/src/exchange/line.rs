//! What befalls packets on their way.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use tautline_feed::sequence::{Pool, PoolKey, Store};

use super::ConfigError;

/// What a line does to its packets.
#[derive(Clone, Debug, PartialEq)]
pub struct Impairment {
    /// The share of packets that vanish: 0 to 1.
    pub loss: f64,
    /// The share of packets that come twice.
    pub duplication: f64,
    /// The share of packets that are held back, so that others overtake them.
    pub reordering: f64,
    /// How long a packet takes. One that takes longer holds up those behind it.
    pub delay: RangeInclusive<Duration>,
    /// How much longer those that are held back take at most.
    pub held_back: Duration,
}

impl Default for Impairment {
    /// A line that is perfect.
    fn default() -> Self {
        Self {
            loss: 0.0,
            duplication: 0.0,
            reordering: 0.0,
            delay: Duration::ZERO..=Duration::ZERO,
            held_back: Duration::from_millis(1),
        }
    }
}

impl Impairment {
    pub(super) fn check(&self, line: usize) -> Result<(), ConfigError> {
        let shares = [
            ("loss", self.loss),
            ("duplication", self.duplication),
            ("reordering", self.reordering),
        ];
        for (what, value) in shares {
            if !(0.0..=1.0).contains(&value) {
                return Err(ConfigError::Probability { line, what, value });
            }
        }
        if self.delay.is_empty() {
            let (least, most) = (*self.delay.start(), *self.delay.end());
            return Err(ConfigError::Delay { line, least, most });
        }
        Ok(())
    }
}

/// What has become of the packets of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineCounts {
    /// Packets that were to go, each once.
    pub packets: u64,
    /// Of these, those that have vanished.
    pub lost: u64,
    /// Those that have gone twice.
    pub doubled: u64,
    /// Those that were held back.
    pub reordered: u64,
    /// Those for which there was no room on the line ([`Config::queue`](super::Config::queue)), copies
    /// included.
    pub crowded_out: u64,
    /// Packets that have left at the other end, copies included.
    pub delivered: u64,
}

/// A line.
#[derive(Debug)]
pub(super) struct Line {
    impairment: Impairment,
    rng: fastrand::Rng,
    counts: LineCounts,
    /// Packets on their way, by when they arrive, then by the order in which they went.
    under_way: BinaryHeap<Reverse<(Instant, u64, PoolKey)>>,
    packets: Pool,
    /// Packets that have gone, copies included.
    gone: u64,
    /// When the last of those arrives that are not held back.
    last: Instant,
}

impl Line {
    pub(super) fn new(
        impairment: Impairment,
        rng: fastrand::Rng,
        queue: usize,
        packet: usize,
        now: Instant,
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            impairment,
            rng,
            counts: LineCounts::default(),
            packets: Pool::new(queue, packet)?,
            under_way: BinaryHeap::with_capacity(queue),
            gone: 0,
            last: now,
        })
    }

    pub(super) fn impair(&mut self, impairment: Impairment) {
        self.impairment = impairment;
    }

    pub(super) fn counts(&self) -> LineCounts {
        self.counts
    }

    /// A packet goes.
    pub(super) fn send(&mut self, now: Instant, packet: &[u8]) {
        let Impairment { loss, duplication, reordering, .. } = self.impairment;
        self.counts.packets += 1;
        // All is drawn for each packet, so that one share does not change what befalls others.
        let is_lost = self.rng.f64() < loss;
        let is_doubled = self.rng.f64() < duplication;
        let is_held_back = self.rng.f64() < reordering;
        let (delay, copy_delay) = (self.delay(), self.delay());
        let more = self.up_to(self.impairment.held_back);
        if is_lost {
            self.counts.lost += 1;
            return;
        }
        if is_held_back {
            self.counts.reordered += 1;
            self.go(now.max(self.last) + delay + more, packet);
        } else {
            self.last = self.last.max(now + delay);
            self.go(self.last, packet);
        }
        if is_doubled {
            self.counts.doubled += 1;
            self.last = self.last.max(now + copy_delay);
            self.go(self.last, packet);
        }
    }

    fn delay(&mut self) -> Duration {
        let (least, most) = (*self.impairment.delay.start(), *self.impairment.delay.end());
        least + self.up_to(most - least)
    }

    fn up_to(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.rng.u64(0..=most))
    }

    fn go(&mut self, arrival: Instant, packet: &[u8]) {
        let Some(key) = self.packets.keep(packet) else {
            self.counts.crowded_out += 1;
            return;
        };
        self.under_way.push(Reverse((arrival, self.gone, key)));
        self.gone += 1;
    }

    /// Hands out what has arrived.
    pub(super) fn flush(&mut self, now: Instant, out: &mut impl FnMut(&[u8])) {
        while let Some(&Reverse((arrival, _, key))) = self.under_way.peek()
            && arrival <= now
        {
            self.under_way.pop();
            out(self.packets.get(key));
            self.packets.release(key);
            self.counts.delivered += 1;
        }
    }

    /// When something arrives.
    pub(super) fn timeout(&self) -> Option<Instant> {
        self.under_way.peek().map(|Reverse((arrival, ..))| *arrival)
    }
}
