//! Times as people write them.

use std::fmt::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;

const NANOS: u64 = 1_000_000_000;

/// Writes times as RFC 3339 has them. The calendar is asked once for each second.
#[derive(Debug)]
pub(super) struct Stamp {
    zone: TimeZone,
    /// The second that the texts below belong to.
    second: Option<u64>,
    /// `2026-11-30T04:51:19`
    date: String,
    /// `Z`, or `+01:00`.
    offset: String,
}

impl Stamp {
    pub(super) fn utc() -> Self {
        Self::new(TimeZone::UTC)
    }

    /// In the time zone of the system: `TZ`, or what `/etc/localtime` says.
    pub(super) fn local() -> Self {
        Self::new(TimeZone::system())
    }

    fn new(zone: TimeZone) -> Self {
        Self { zone, second: None, date: String::new(), offset: String::new() }
    }

    /// Appends a time in nanoseconds since 1970, with `digits` (1 to 9) of the fraction.
    pub(super) fn write(&mut self, time: u64, digits: usize, out: &mut String) {
        let second = time / NANOS;
        if self.second != Some(second) {
            self.read_calendar(second);
        }
        out.push_str(&self.date);
        out.push('.');
        // With a one before it the fraction has all its zeros.
        out.push_str(&itoa::Buffer::new().format(NANOS + time % NANOS)[1..=digits]);
        out.push_str(&self.offset);
    }

    fn read_calendar(&mut self, second: u64) {
        self.second = Some(second);
        self.date.clear();
        self.offset.clear();
        // 64 bits of nanoseconds end in the year 2554, and the calendar in 9999.
        let moment = i64::try_from(second).ok().and_then(|it| Timestamp::from_second(it).ok());
        let moment = moment.unwrap_or(Timestamp::MAX);
        let local = moment.to_zoned_datetime(self.zone.clone());
        // A string takes everything.
        let _ = write!(self.date, "{}", local.strftime("%Y-%m-%dT%H:%M:%S"));
        let _ = match self.zone == TimeZone::UTC {
            true => self.offset.write_char('Z'),
            false => write!(self.offset, "{}", local.strftime("%:z")),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(stamp: &mut Stamp, time: u64, digits: usize) -> String {
        let mut out = String::new();
        stamp.write(time, digits, &mut out);
        out
    }

    /// Proves that times are those of the calendar, at the first and the last one too.
    #[test]
    fn times_are_those_of_the_calendar() {
        let mut utc = Stamp::utc();
        let cases = [
            (0, 6, "1970-01-01T00:00:00.000000Z"),
            (1_764_478_279_123_456_789, 6, "2025-11-30T04:51:19.123456Z"),
            (1_764_478_279_000_000_001, 9, "2025-11-30T04:51:19.000000001Z"),
            (1_709_164_800_999_999_999, 3, "2024-02-29T00:00:00.999Z"),
            (u64::MAX, 9, "2554-07-21T23:34:33.709551615Z"),
        ];
        for (time, digits, expected) in cases {
            assert_eq!(written(&mut utc, time, digits), expected);
        }
    }

    /// Proves that a time zone's own changes are followed, from one second to the next.
    #[test]
    fn zones_change_their_offset() {
        let rule = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let mut zone = Stamp::new(rule);
        let change = 1_774_746_000 * NANOS; // 2026-03-29 01:00 UTC
        assert_eq!(written(&mut zone, change - 1, 6), "2026-03-29T01:59:59.999999+01:00");
        assert_eq!(written(&mut zone, change, 6), "2026-03-29T03:00:00.000000+02:00");
    }

    /// Proves that within a second, and from one to the next, nothing is allocated.
    #[test]
    fn times_allocate_nothing() {
        let mut stamp = Stamp::new(TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap());
        let mut out = String::with_capacity(4096);
        stamp.write(0, 6, &mut out);
        let counted = allocation_counter::measure(|| {
            (0..40).for_each(|tenth| stamp.write(tenth * NANOS / 10, 6, &mut out));
        });
        assert_eq!(counted.count_total, 0);
    }
}
