//! Values that arguments of several commands have.

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
    let all = 0.01..=86_400.0;
    match text.parse::<f64>().map(|seconds| (all.contains(&seconds), seconds)) {
        Ok((true, seconds)) => Ok(Duration::from_secs_f64(seconds)),
        Ok((false, _)) => Err("write 0.01 to 86400 seconds".to_owned()),
        Err(_) => run_time(text),
    }
}

/// A number within a range; `unit` says of what.
pub(super) fn ranged(
    value: Result<u64, UnitError>,
    range: RangeInclusive<usize>,
    unit: &str,
) -> Result<usize, String> {
    let value = usize::try_from(value.map_err(|error| error.to_string())?).unwrap_or(usize::MAX);
    if range.contains(&value) {
        return Ok(value);
    }
    Err(format!("write {} to {} {unit}", range.start(), range.end()))
}
