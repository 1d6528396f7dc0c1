//! From counts of the clock to the time of day.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tautline_bus::record::Clock;

/// A moment by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) ticks: u64,
    /// Nanoseconds since 1970.
    pub(crate) time: u64,
}

impl Moment {
    /// Now, as well as it can be told: by the one of some looks that took the least time.
    pub(crate) fn now(clock: Clock) -> Self {
        let look = || {
            let before = clock.ticks();
            let time = nanoseconds();
            let after = clock.ticks();
            (after.wrapping_sub(before), Self { ticks: before.midpoint(after), time })
        };
        let looks: [(u64, Self); 5] = std::array::from_fn(|_| look());
        looks.iter().min_by_key(|(took, _)| *took).expect("there are five").1
    }
}

fn nanoseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Two moments: between them the clocks run evenly, and beyond them they go on like that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeline {
    pub(crate) first: Moment,
    pub(crate) last: Moment,
}

/// How long it takes to find out how fast the counter counts, to some parts in 100,000; later
/// looks make it better.
const FIRST_LOOK: Duration = Duration::from_millis(2);

/// The time of day is set if it is so many nanoseconds off: whoever slews it takes smaller steps.
const SLACK: u64 = 5_000_000;
/// How many nanoseconds a look at both clocks may be off.
const LOOK: f64 = 50_000.0;

impl Timeline {
    /// Begins now. Takes [`FIRST_LOOK`].
    pub(crate) fn begin(clock: Clock) -> Self {
        let first = Moment::now(clock);
        std::thread::sleep(FIRST_LOOK);
        Self { first, last: Moment::now(clock) }
    }

    /// The same, up to now. Says whether the time of day was set meanwhile.
    pub(crate) fn go_on(&mut self, clock: Clock) -> bool {
        self.go_on_to(Moment::now(clock))
    }

    /// If the time of day is not where it would be had both clocks gone on, it was set, forth or
    /// back: the line is moved there, and is as steep as before.
    fn go_on_to(&mut self, now: Moment) -> bool {
        let was_set = now.time.abs_diff(self.time(now.ticks)) > self.tolerance(now);
        if was_set {
            let Self { first, last } = *self;
            self.first = Moment {
                ticks: now.ticks.saturating_sub(last.ticks.saturating_sub(first.ticks)),
                time: now.time.saturating_sub(last.time.saturating_sub(first.time)),
            };
        }
        self.last = now;
        was_set
    }

    /// How many nanoseconds the clocks may be apart by that time: more while the line is short.
    fn tolerance(&self, now: Moment) -> u64 {
        let known = self.last.ticks.saturating_sub(self.first.ticks).max(1);
        let since = now.ticks.saturating_sub(self.last.ticks);
        SLACK.saturating_add((LOOK * (since as f64 / known as f64)) as u64)
    }

    /// What time it was, in nanoseconds since 1970.
    pub(crate) fn time(&self, ticks: u64) -> u64 {
        let since = ticks.wrapping_sub(self.last.ticks) as i64;
        let time = (since as f64 * self.rate()) as i64;
        self.last.time.saturating_add_signed(time)
    }

    /// Nanoseconds of a tick.
    fn rate(&self) -> f64 {
        let ticks = self.last.ticks.saturating_sub(self.first.ticks);
        let time = self.last.time.saturating_sub(self.first.time);
        if ticks == 0 || time == 0 { 1.0 } else { time as f64 / ticks as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts between and beyond the two moments are told in proportion.
    #[test]
    fn time_is_told_in_proportion() {
        let first = Moment { ticks: 1000, time: 5_000_000 };
        let last = Moment { ticks: 4000, time: 5_001_000 };
        let line = Timeline { first, last };
        assert_eq!(line.time(4000), 5_001_000);
        assert_eq!(line.time(1000), 5_000_000);
        assert_eq!(line.time(7000), 5_002_000);
        assert_eq!(line.time(3997), 5_000_999);
    }

    /// Moments that cannot be, as they may stand in a file, give some time and no panic.
    #[test]
    fn impossible_moments_give_some_time() {
        let of = |ticks, time| Moment { ticks, time };
        for (first, last) in
            [(of(0, 0), of(0, 0)), (of(9, 9), of(1, 1)), (of(0, 0), of(1, u64::MAX))]
        {
            for ticks in [0, 1, u64::MAX / 2, u64::MAX] {
                Timeline { first, last }.time(ticks);
            }
        }
    }

    /// A clock that is set, forth or back, is followed at once, and neither the steps nor the time
    /// between them are taken for how fast it goes: later times and spans of time are right.
    #[test]
    fn a_clock_that_is_set_is_followed() {
        const SECOND: u64 = 1_000_000_000;
        const START: u64 = 1_764_478_279 * SECOND;
        // Three ticks in a nanosecond, and a look at the start that is some microseconds off.
        let of = |time: u64, shift: i64| Moment {
            ticks: 3 * time,
            time: (START + time).strict_add_signed(shift),
        };
        let hour = 3600 * SECOND as i64;
        for set in [hour, -hour, 20_000_000, -20_000_000, SECOND as i64, -(SECOND as i64)] {
            let first = of(SECOND, 10_000);
            let mut line = Timeline { first, last: of(SECOND + 2_000_000, 0) };
            for second in 2..100 {
                let shift = if (30..60).contains(&second) { set } else { 0 };
                let was_set = line.go_on_to(of(second * SECOND, shift));
                assert_eq!(was_set, second == 30 || second == 60, "{set} {second}");
                let soon = of(second * SECOND + SECOND / 2, shift);
                let off = line.time(soon.ticks).abs_diff(soon.time);
                let most = if second == 2 { 3_000_000 } else { 50_000 };
                assert!(off < most, "{set} {second}: {off}");
            }
        }
    }

    /// The time of now is told to within a millisecond.
    #[test]
    fn now_is_now() {
        let clock = Clock::new();
        let mut line = Timeline::begin(clock);
        for _ in 0..3 {
            // The best of some: between two looks another thread may have had the core.
            let off = |_| line.time(clock.ticks()).abs_diff(nanoseconds());
            let off = (0..100).map(off).min().expect("there are some");
            assert!(off < 1_000_000, "{off}");
            line.go_on(clock);
        }
    }
}
