//! From counters to rates.

use core::time::Duration;

use serde::Serialize;

use crate::units::Nanos;

/// Packets and bytes, and their rates since the sample before.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Rates {
    /// Packets since the start.
    pub packets: u64,
    /// Bytes since the start, framing included.
    pub bytes: u64,
    /// Packets a second over the last interval.
    pub packets_per_s: f64,
    /// Bits a second over the last interval.
    pub bits_per_s: f64,
}

/// Counts packets and bytes of one endpoint.
#[derive(Debug, Clone)]
pub struct Meter {
    packets: u64,
    bytes: u64,
    start: Nanos,
    /// Time and counts at the last sample.
    last: (Nanos, u64, u64),
}

impl Meter {
    /// A meter that starts at `now`.
    #[must_use]
    pub fn new(now: Nanos) -> Self {
        Self { packets: 0, bytes: 0, start: now, last: (now, 0, 0) }
    }

    /// Counts `packets` with together `bytes`.
    pub fn count(&mut self, packets: u64, bytes: u64) {
        self.packets += packets;
        self.bytes += bytes;
    }

    /// Totals, and rates since the previous call.
    pub fn sample(&mut self, now: Nanos) -> Rates {
        let (since, packets, bytes) = self.last;
        self.last = (now, self.packets, self.bytes);
        self.rates(now.since(since), packets, bytes)
    }

    /// Totals, and the average rates since the start.
    #[must_use]
    pub fn average(&self, now: Nanos) -> Rates {
        self.rates(now.since(self.start), 0, 0)
    }

    fn rates(&self, span: Duration, packets: u64, bytes: u64) -> Rates {
        Rates {
            packets: self.packets,
            bytes: self.bytes,
            packets_per_s: per_second(self.packets - packets, span),
            bits_per_s: per_second((self.bytes - bytes) * 8, span),
        }
    }
}

fn per_second(count: u64, span: Duration) -> f64 {
    if span.is_zero() { 0.0 } else { count as f64 / span.as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that a sample's rates cover its own interval, totals everything, and averages the
    /// whole run.
    #[test]
    fn rates_cover_their_interval() {
        let mut meter = Meter::new(Nanos(0));
        meter.count(100, 1_000);
        meter.sample(Nanos(1_000_000_000));
        meter.count(10, 50);
        let rates = meter.sample(Nanos(1_500_000_000));
        assert_eq!((rates.packets, rates.bytes), (110, 1_050));
        assert_eq!((rates.packets_per_s, rates.bits_per_s), (20.0, 800.0));
        assert_eq!(meter.average(Nanos(2_000_000_000)).packets_per_s, 55.0);
    }

    /// Proves that two samples at the same moment give no infinite rate.
    #[test]
    fn empty_interval_has_no_rate() {
        let mut meter = Meter::new(Nanos(5));
        meter.count(1, 1);
        assert_eq!(meter.sample(Nanos(5)).packets_per_s, 0.0);
    }
}
