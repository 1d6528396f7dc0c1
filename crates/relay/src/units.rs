//! Units as people write them on a command line or in a URL: `64KiB`, `20k`, `10s`.
//!
//! One parser for each unit, shared by endpoint URLs and by the program's own arguments, so that
//! the same text means the same quantity everywhere. [`Nanos`] is the crate's only notion of time.

use core::time::Duration;

/// A point in time: nanoseconds since an arbitrary, fixed start that the caller chose.
///
/// Nothing in this crate reads a clock. The loop hands its cached time in, a simulation hands in
/// virtual time, and both get the same behaviour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Nanos(pub u64);

impl Nanos {
    /// The time that has passed since `earlier`; zero if `earlier` lies in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This point plus `span`, saturating at the end of the range (584 years).
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

/// A quantity that could not be read; the message names the text and shows what would do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a number followed by one of the byte units.
    #[error("{0:?} is no size; write a number and a unit, such as 1200, 64KiB or 8MiB")]
    Bytes(String),
    /// Not a number with an optional `k` or `M`.
    #[error("{0:?} is no rate; write packets a second, such as 500, 20k or 1M")]
    Rate(String),
    /// Not a number followed by one of the time units.
    #[error("{0:?} is no duration; write a number and a unit, such as 500ms, 1.5s, 5m or 1h")]
    Duration(String),
    /// Not a whole number.
    #[error("{0:?} is no whole number; write decimal digits, such as 1024")]
    Count(String),
}

const BYTE_UNITS: [(&str, u64); 10] = [
    ("", 1),
    ("B", 1),
    ("k", 1 << 10),
    ("K", 1 << 10),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("M", 1 << 20),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("GiB", 1 << 30),
];

const RATE_UNITS: [(&str, u64); 4] = [("", 1), ("k", 1_000), ("K", 1_000), ("M", 1_000_000)];

const TIME_UNITS: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a number of bytes: `1200`, `64KiB`, `8M` (binary) or `8MB` (decimal).
///
/// # Errors
/// [`UnitError::Bytes`] when the text is no number, has an unknown unit or overflows 64 bits.
pub fn parse_bytes(text: &str) -> Result<u64, UnitError> {
    scaled(text, &BYTE_UNITS).ok_or_else(|| UnitError::Bytes(text.to_owned()))
}

/// Reads packets a second: `500`, `20k`, `1M`. Never zero.
///
/// # Errors
/// [`UnitError::Rate`] when the text is no number, zero, has an unknown unit or overflows.
pub fn parse_rate(text: &str) -> Result<u64, UnitError> {
    scaled(text, &RATE_UNITS)
        .filter(|&rate| rate > 0)
        .ok_or_else(|| UnitError::Rate(text.to_owned()))
}

/// Reads a duration: `500ms`, `1.5s`, `5m`, `1h`; a bare number counts seconds.
///
/// # Errors
/// [`UnitError::Duration`] when the text is no number, has an unknown unit or overflows.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    scaled(text, &TIME_UNITS)
        .map(Duration::from_nanos)
        .ok_or_else(|| UnitError::Duration(text.to_owned()))
}

/// Reads a whole number.
///
/// # Errors
/// [`UnitError::Count`] when the text holds anything but decimal digits, or overflows.
pub fn parse_count(text: &str) -> Result<u64, UnitError> {
    scaled(text, &[("", 1)]).ok_or_else(|| UnitError::Count(text.to_owned()))
}

/// The number at the start of `text`, times the factor of the unit that follows it. It may have a
/// fraction, of which nothing may be left over: `1.5k`, but not `1.5`.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = text.split_at(digits(text));
    let (fraction, unit) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(digits(rest)),
        None => ("0", rest),
    };
    let factor = units.iter().find(|(name, _)| *name == unit)?.1;
    let whole = whole.parse::<u64>().ok()?.checked_mul(factor)?;
    let parts = fraction.parse::<u64>().ok()?.checked_mul(factor)?;
    let of = 10_u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    (parts % of == 0).then_some(parts / of).and_then(|part| whole.checked_add(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that each unit scales as its name says, and that a bare number has the stated unit.
    #[test]
    fn units_scale_as_named() {
        assert_eq!(parse_bytes("1200"), Ok(1200));
        assert_eq!(parse_bytes("64KiB"), Ok(65_536));
        assert_eq!(parse_bytes("8MB"), Ok(8_000_000));
        assert_eq!(parse_rate("20k"), Ok(20_000));
        assert_eq!(parse_duration("10"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_count("7"), Ok(7));
    }

    /// Proves that fractions are exact, and refused where something is left over.
    #[test]
    fn fractions_are_exact() {
        assert_eq!(parse_duration("0.2s"), Ok(Duration::from_millis(200)));
        assert_eq!(parse_duration("1.05m"), Ok(Duration::from_secs(63)));
        assert_eq!(parse_rate("1.5k"), Ok(1_500));
        assert_eq!(parse_bytes("0.5KiB"), Ok(512));
        assert_eq!(parse_bytes("2.0"), Ok(2));
        for text in
            ["1.5ns", "0.0000000001s", "1.", ".5s", "1.s", "1.2.3s", "1.99999999999999999999s"]
        {
            assert_eq!(parse_duration(text), Err(UnitError::Duration(text.to_owned())));
        }
        assert_eq!(parse_count("1.5"), Err(UnitError::Count("1.5".into())));
    }

    /// Proves that nonsense, zero rates and overflow are refused with the text in the message.
    #[test]
    fn bad_quantities_are_named() {
        for text in
            ["", "x", "-1", "1.5", "12parsecs", "99999999999999999999", "18446744073709551615KiB"]
        {
            let error = parse_bytes(text).unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
        assert_eq!(parse_rate("0"), Err(UnitError::Rate("0".into())));
        assert_eq!(parse_duration("1d"), Err(UnitError::Duration("1d".into())));
        assert_eq!(parse_count("7k"), Err(UnitError::Count("7k".into())));
    }

    /// Proves that time arithmetic saturates instead of wrapping.
    #[test]
    fn time_arithmetic_saturates() {
        assert_eq!(Nanos(5).since(Nanos(9)), Duration::ZERO);
        assert_eq!(Nanos(9).since(Nanos(5)), Duration::from_nanos(4));
        assert_eq!(Nanos(u64::MAX).after(Duration::from_secs(1)), Nanos(u64::MAX));
    }
}
