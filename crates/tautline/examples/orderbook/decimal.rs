//! Prices and quantities: exact decimals, read from the text in which exchanges publish them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _};

/// Digits behind the point.
const PLACES: usize = 8;
const ONE: u64 = 10u64.pow(PLACES as u32);

/// A number of 0 or more with eight digits behind the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Decimal(
    /// In units of 0.00000001.
    u64,
);

/// Why a text is no [`Decimal`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecimalError {
    #[error("{0:?} is no decimal: write digits and at most one point, such as 43000.01")]
    Malformed(String),
    #[error("{0:?} has more than {PLACES} digits behind the point: round it to {PLACES}")]
    TooFine(String),
    #[error("{0:?} is too large: the limit is 184467440737")]
    TooLarge(String),
}

impl Decimal {
    pub(crate) const ZERO: Self = Self(0);

    /// So many units of 0.00000001.
    pub(crate) const fn from_units(units: u64) -> Self {
        Self(units)
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let (whole, fraction) = match text.split_once('.') {
            Some((_, "")) => return Err(DecimalError::Malformed(text.to_owned())),
            Some(parts) => parts,
            None => (text, ""),
        };
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) {
            return Err(DecimalError::Malformed(text.to_owned()));
        }
        if fraction.len() > PLACES {
            return Err(DecimalError::TooFine(text.to_owned()));
        }
        let too_large = || DecimalError::TooLarge(text.to_owned());
        let zeros = std::iter::repeat_n(b'0', PLACES - fraction.len());
        let digits = whole.bytes().chain(fraction.bytes()).chain(zeros);
        digits
            .map(|digit| u64::from(digit - b'0'))
            .try_fold(0, shifted)
            .ok_or_else(too_large)
            .map(Self)
    }
}

/// `units` with one more digit at its end.
fn shifted(units: u64, digit: u64) -> Option<u64> {
    units.checked_mul(10)?.checked_add(digit)
}

/// Without zeros at the end.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:0PLACES$}", self.0 / ONE, self.0 % ONE);
        f.pad(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

        let Text(text) = Text::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that text becomes units and text again with nothing rounded.
    #[test]
    fn decimals_are_exact() {
        for (text, units, shown) in [
            ("0", 0, "0"),
            ("0.00000000", 0, "0"),
            ("0.00000001", 1, "0.00000001"),
            ("43000.01000000", 4_300_001_000_000, "43000.01"),
            ("100", 10_000_000_000, "100"),
            ("007.5", 750_000_000, "7.5"),
            ("184467440737.09551615", u64::MAX, "184467440737.09551615"),
        ] {
            let decimal: Decimal = text.parse().expect(text);
            assert_eq!(decimal, Decimal::from_units(units));
            assert_eq!(decimal.to_string(), shown);
        }
    }

    /// Proves that whatever is no exact decimal is refused by an error that names the text.
    #[test]
    fn what_is_no_exact_decimal_is_refused() {
        let refused = |text: &str| text.parse::<Decimal>().expect_err(text);
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e5", "1,5", "1.2.3", " 1", "٣", "NaN"] {
            assert_eq!(refused(text), DecimalError::Malformed(text.to_owned()));
        }
        let fine = "0.123456789";
        assert_eq!(refused(fine), DecimalError::TooFine(fine.to_owned()));
        for text in ["184467440737.09551616", "99999999999999999999999"] {
            assert_eq!(refused(text), DecimalError::TooLarge(text.to_owned()));
        }
        assert!(refused(fine).to_string().contains(fine));
    }
}
