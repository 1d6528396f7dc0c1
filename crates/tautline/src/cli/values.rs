//! Values that arguments of several commands have. What is wrong with one says what may be written; the
//! text itself stands before it: see `refusal`.

use std::ops::RangeInclusive;
use std::time::Duration;

use tautline_relay::units::{self, UnitError};

/// How long a command runs.
pub(super) fn run_time(text: &str) -> Result<Duration, String> {
    match units::parse_duration(text) {
        Ok(Duration::ZERO) => Err("write more than zero, such as 10s".to_owned()),
        other => other.map_err(|error| error.to_string()),
    }
}

/// Seconds, or any other time with its unit.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let all = Duration::from_millis(10)..=Duration::from_secs(86_400);
    let why = || "write 0.01 to 86400 seconds, such as 0.5, 250ms or 10s".to_owned();
    let bare = text.parse::<f64>().map(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let time = bare.unwrap_or_else(|_| units::parse_duration(text).ok());
    time.filter(|time| all.contains(time)).ok_or_else(why)
}

/// A number within a range; `unit` says of what.
pub(super) fn ranged(
    value: Result<u64, UnitError>,
    range: RangeInclusive<usize>,
    unit: &str,
) -> Result<usize, String> {
    let value = value.ok().and_then(|value| usize::try_from(value).ok());
    let why = || format!("write {} to {} {unit}", range.start(), range.end());
    value.filter(|value| range.contains(value)).ok_or_else(why)
}

/// After how many of something a command ends.
pub(super) fn count(text: &str) -> Result<u64, String> {
    let count = units::parse_count(text).ok().filter(|count| *count > 0);
    count.ok_or_else(|| "write a whole number, 1 or more".to_owned())
}

/// The number that a session has.
pub(super) fn session(text: &str) -> Result<u32, String> {
    let number = units::parse_count(text).ok().and_then(|number| number.try_into().ok());
    number.ok_or_else(|| format!("write a number from 0 to {}", u32::MAX))
}

/// A text as a message quotes it.
pub(super) fn quoted(text: &str) -> &str {
    if text.is_empty() { "\"\"" } else { text }
}
