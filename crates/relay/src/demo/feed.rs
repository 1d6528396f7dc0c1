//! The sending side of the built-in feed.

use core::time::Duration;

use super::{HEADER, Header, MIN_SIZE, write_pattern};
use crate::endpoint::DemoFeed;
use crate::framing::MAX_PACKET;
use crate::units::Nanos;

const SECOND: u64 = 1_000_000_000;

/// Packets at an even rate: the n-th is due n/rate seconds after the start.
///
/// The schedule is absolute, so that a late turn is made up for and the rate stays exact.
#[derive(Debug, Clone)]
pub struct Feed {
    rate: u64,
    size: usize,
    start: Nanos,
    /// Sequence number of the next packet, and so the number of packets written.
    next: u64,
}

impl Feed {
    /// A feed whose first packet is due at `start`. Rate and size are clamped to their ranges.
    #[must_use]
    pub fn new(shape: DemoFeed, start: Nanos) -> Self {
        let size = shape.size.clamp(MIN_SIZE, MAX_PACKET);
        Self { rate: shape.rate.max(1), size, start, next: 0 }
    }

    /// When the next packet is due.
    #[must_use]
    pub fn next_due(&self) -> Nanos {
        let (seconds, rest) = (self.next / self.rate, self.next % self.rate);
        let nanos = u128::from(rest) * u128::from(SECOND) / u128::from(self.rate);
        // `rest < rate`, so that `nanos` is below one second.
        self.start.after(Duration::new(seconds, nanos as u32))
    }

    /// Whether a packet is due.
    #[must_use]
    pub fn is_due(&self, now: Nanos) -> bool {
        self.next_due() <= now
    }

    /// Writes the next packet to the start of `space` and returns its length.
    ///
    /// Returns `None`, and writes nothing, if `space` is smaller than a packet.
    pub fn write(&mut self, space: &mut [u8], now: Nanos) -> Option<usize> {
        let packet = space.get_mut(..self.size)?;
        // `size` is at most MAX_PACKET.
        let header = Header { len: self.size as u32, seq: self.next, sent: now.0 };
        header.write(packet);
        write_pattern(header, &mut packet[HEADER..]);
        self.next += 1;
        Some(self.size)
    }

    /// Packets written so far.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.next
    }

    /// Bytes of each packet.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }
}
