//! A point in time.

use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// A point in time: nanoseconds on `CLOCK_MONOTONIC`, or on a simulation's own clock.
///
/// Unlike [`std::time::Instant`] it can be made from a number, which simulation and
/// tests need, and it saturates where that one panics.
///
/// ```
/// use std::time::Duration;
/// use tautline_runtime::time::Instant;
/// let start = Instant::from_nanos(1_000);
/// let later = start + Duration::from_nanos(500);
/// assert_eq!(later.saturating_since(start), Duration::from_nanos(500));
/// assert_eq!(start.saturating_since(later), Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// Later than any deadline that can be reached: 584 years after the machine started.
    pub const MAX: Self = Self(u64::MAX);

    /// The instant `nanos` nanoseconds after the clock's zero.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the clock's zero.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`; zero if `earlier` is the later one.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// `self + duration`, or `None` where that is past [`Instant::MAX`].
    pub fn checked_add(self, duration: Duration) -> Option<Self> {
        let nanos = u64::try_from(duration.as_nanos()).ok()?;
        self.0.checked_add(nanos).map(Self)
    }
}

/// Saturates at [`Instant::MAX`].
impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        self.checked_add(duration).unwrap_or(Self::MAX)
    }
}

/// Saturates at [`Instant::MAX`].
impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

/// Saturates at the clock's zero.
impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No sum or difference wraps: both ends of time hold.
    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let near_end = Instant::from_nanos(u64::MAX - 1);
        assert_eq!(near_end + Duration::from_nanos(2), Instant::MAX);
        assert_eq!(near_end + Duration::MAX, Instant::MAX);
        assert_eq!(near_end.checked_add(Duration::from_nanos(2)), None);
        assert_eq!(near_end.checked_add(Duration::from_nanos(1)), Some(Instant::MAX));
        assert_eq!(Instant::from_nanos(1) - Duration::MAX, Instant::from_nanos(0));
        assert_eq!(Instant::from_nanos(1) - Duration::from_nanos(1), Instant::from_nanos(0));
    }
}
