//! Numbers for people: four significant characters and a unit.

/// A count: exact below 10,000, then with `k`, `M`, `G`.
pub(crate) fn count(value: u64) -> String {
    if value < 10_000 { value.to_string() } else { scaled(value as f64, &["", "k", "M", "G"], "") }
}

/// Bytes in decimal units, as network rates are counted.
pub(crate) fn bytes(value: u64) -> String {
    scaled(value as f64, &["B", "kB", "MB", "GB", "TB"], " ")
}

/// A rate in decimal units without its own unit: `9.6M`.
pub(crate) fn bits(value: f64) -> String {
    scaled(value, &["", "k", "M", "G", "T"], "")
}

/// A duration in the unit that keeps it short.
pub(crate) fn nanos(value: u64) -> String {
    scaled(value as f64, &["ns", "µs", "ms", "s"], " ")
}

/// `value` in the largest of `units`, each a thousand times the one before, that leaves it at least
/// one.
fn scaled(mut value: f64, units: &[&str], gap: &str) -> String {
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < units.len() {
        value /= 1_000.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0);
    format!("{value:.digits$}{gap}{}", units[unit])
}

/// So many things by their name: `1 packet`, `2 packets`.
pub(crate) fn things(count: u64, name: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {name}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that each unit begins where the one below would need a fourth digit, rounding
    /// included.
    #[test]
    fn units_change_at_a_thousand() {
        assert_eq!([count(9_999), count(10_000), count(999_960)], ["9999", "10.0k", "1.0M"]);
        assert_eq!([nanos(999), nanos(1_000), nanos(999_960)], ["999 ns", "1.0 µs", "1.0 ms"]);
        assert_eq!([bytes(0), bytes(1_500_000)], ["0 B", "1.5 MB"]);
        assert_eq!([bits(0.0), bits(9_616_000.0)], ["0", "9.6M"]);
    }

    /// Proves that values beyond the last unit stay in it.
    #[test]
    fn last_unit_takes_the_rest() {
        assert_eq!(nanos(5_000_000_000_000), "5000.0 s");
    }
}
