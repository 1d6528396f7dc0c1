//! When packets are due, at a rate. Time is an argument.

use std::time::Duration;

use crate::table::quantity::bits;

/// How far behind a sender may be and still catch up: more at once would overrun receivers.
const PATIENCE: Duration = Duration::from_millis(100);
/// Nanoseconds in a million seconds.
const SCALE: u128 = 1_000_000_000_000_000;

/// So much less than was asked for is told of.
const MISSED: f64 = 0.03;

/// Packets a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate(f64);

impl Rate {
    /// As a number.
    pub(crate) fn packets(self) -> f64 {
        self.0
    }

    /// How far so many packets in so long a time fall behind it, if it is by more than a little, and by
    /// more than a sender can catch up with.
    pub(crate) fn missed(self, packets: u64, time: Duration) -> Option<String> {
        let (packets, seconds) = (packets as f64, time.as_secs_f64());
        let due = self.0 * seconds;
        let little = f64::max(MISSED * due, self.0 * PATIENCE.as_secs_f64());
        if due - packets <= little {
            return None;
        }
        let (asked, reached) = (bits(self.0), bits(packets / seconds));
        let short = 100.0 * (1.0 - packets / due);
        Some(format!("{asked} pkt/s were asked for and {reached} reached, {short:.0} % less"))
    }

    /// How much more it is than was asked for, where that is less than a packet in all of the time.
    pub(crate) fn passed(self, packets: u64, time: Duration) -> Option<String> {
        let seconds = time.as_secs_f64();
        if packets == 0 || time < PATIENCE || self.0 * seconds >= 0.5 {
            return None;
        }
        let each = 1.0 / self.0;
        Some(format!(
            "a packet each {each:.1} s was asked for, and the first goes at once: ask for smaller ones \
             or for more time"
        ))
    }
}

/// So many packets a second, the first at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Packets in a million seconds, at least one.
    rate: u128,
    /// Packets that were sent, and those that were given up: the pace goes on from there.
    done: u64,
}

impl Pace {
    /// A pace of so many packets a second.
    pub(crate) fn of_packets(rate: f64) -> Self {
        Self { rate: ((rate * 1e6) as u128).max(1), done: 0 }
    }

    /// A pace of so many bits a second, in packets of so many bytes.
    pub(crate) fn of_bits(bits: f64, bytes: usize) -> Self {
        Self::of_packets(bits / (8.0 * bytes.max(1) as f64))
    }

    /// The rate that it keeps.
    pub(crate) fn rate(&self) -> Rate {
        Rate(self.rate as f64 / 1e6)
    }

    /// Packets that are due when so much time has passed. A sender that is too far behind is not
    /// asked to make up for it.
    pub(crate) fn due(&mut self, passed: Duration) -> u64 {
        let all = self.all(passed);
        self.done = self.done.max(self.all(passed.saturating_sub(PATIENCE)).saturating_sub(1));
        all.saturating_sub(self.done)
    }

    fn all(&self, passed: Duration) -> u64 {
        u64::try_from(passed.as_nanos() * self.rate / SCALE + 1).unwrap_or(u64::MAX)
    }

    /// That many were sent.
    pub(crate) fn note_sent(&mut self, count: u64) {
        self.done += count;
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Duration {
        let nanoseconds = (u128::from(self.done) * SCALE).div_ceil(self.rate);
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// Proves that exactly as many packets are due as the rate says, the first one at once, however
    /// often is asked.
    #[test]
    fn rates_are_kept_exactly() {
        for (rate, wanted) in [(1.0, 11), (3.0, 31), (1e6, 10_000_001), (0.5, 6)] {
            let (mut pace, mut sent) = (Pace::of_packets(rate), 0);
            for millisecond in 0..=10_000 {
                let due = pace.due(ms(millisecond));
                pace.note_sent(due);
                sent += due;
            }
            assert_eq!(sent, wanted, "{rate}");
        }
        assert_eq!(Pace::of_bits(9_600_000.0, 1_200).due(ms(50)), 51);
    }

    /// Proves that the next packet is due when it is said to be, and not before.
    #[test]
    fn the_next_one_is_due_then() {
        let mut pace = Pace::of_packets(3.0);
        for _ in 0..100 {
            let next = pace.next();
            assert_eq!(pace.due(next), 1, "{next:?}");
            pace.note_sent(1);
            assert_eq!(pace.due(next), 0, "{next:?}");
        }
    }

    /// Proves that a rate that is not reached is told with both numbers, and that what can still be caught
    /// up with is not.
    #[test]
    fn missed_rates_are_told() {
        let asked = Pace::of_packets(300_000.0).rate();
        let told = "300.0k pkt/s were asked for and 153.0k reached, 49 % less";
        assert_eq!(asked.missed(306_000, ms(2_000)).as_deref(), Some(told));
        assert_eq!(asked.missed(2_915_000, ms(10_000)), None, "that is 3 per cent");
        assert!(asked.missed(2_905_000, ms(10_000)).is_some());
        assert_eq!(asked.missed(0, ms(100)), None);
        assert_eq!(asked.missed(0, ms(0)), None);
        let slow = Pace::of_bits(10.0, 1_200).rate();
        assert!(
            slow.passed(1, ms(1_000)).unwrap().starts_with("a packet each 960.6 s was asked for")
        );
        assert_eq!((slow.passed(0, ms(1_000)), asked.passed(1, ms(1_000))), (None, None));
        let mut pace = Pace::of_packets(0.3);
        assert_eq!(pace.rate().missed(pace.due(ms(3_300)), ms(3_300)), None);
    }

    /// Proves that a sender that was held up catches up a little, and then goes on at its rate.
    #[test]
    fn long_delays_are_not_made_up_for() {
        let mut pace = Pace::of_packets(1_000.0);
        assert_eq!(pace.due(ms(20)), 21);
        pace.note_sent(21);
        let due = pace.due(ms(60_000));
        assert!((100..=102).contains(&due), "{due}");
        pace.note_sent(due);
        assert_eq!(pace.due(ms(60_001)), 1);
    }
}
