//! Which lines are wanted, by target and level.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use crate::{Level, ParseLevelError};

/// Says which lines are wanted: `info`, or `warn,relay=debug,relay::udp=off`.
///
/// A part without a target is for all targets that no other part names; a part with one is for it
/// and all below it (`relay` is also for `relay::udp`, not for `relays`). The longest target that
/// fits decides; of several parts for one target, the last.
///
/// ```
/// use tautline_log::{Filter, Level};
/// let filter: Filter = "warn,relay=debug".parse()?;
/// assert!(filter.passes("relay::udp", Level::Debug));
/// assert!(!filter.passes("net", Level::Info));
/// # Ok::<(), tautline_log::ParseFilterError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The lowest level for targets that are not named; none, for nothing.
    rest: Option<Level>,
    /// The longest target first.
    named: Vec<(String, Option<Level>)>,
}

impl Default for Filter {
    /// `info`.
    fn default() -> Self {
        Level::Info.into()
    }
}

impl From<Level> for Filter {
    fn from(level: Level) -> Self {
        Self { rest: Some(level), named: Vec::new() }
    }
}

impl Filter {
    /// Nothing.
    pub fn off() -> Self {
        Self { rest: None, named: Vec::new() }
    }

    /// The same, with another level for a target and those below it; `None` is for nothing.
    #[must_use]
    pub fn with(mut self, target: &str, level: Option<Level>) -> Self {
        self.named.retain(|(name, _)| name != target);
        self.named.push((target.to_owned(), level));
        self.named.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        self
    }

    /// Whether a line is wanted.
    pub fn passes(&self, target: &str, level: Level) -> bool {
        self.level_of(target).is_some_and(|lowest| level >= lowest)
    }

    /// The lowest level that is wanted of a target, if one is.
    pub fn level_of(&self, target: &str) -> Option<Level> {
        let fits = |name: &str| {
            target.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        let named = self.named.iter().find(|(name, _)| fits(name));
        named.map_or(self.rest, |(_, level)| *level)
    }

    /// The lowest level that is wanted of any target, if one is.
    pub fn lowest(&self) -> Option<Level> {
        self.named.iter().map(|(_, level)| *level).chain([self.rest]).flatten().min()
    }
}

/// A text is no filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParseFilterError {
    /// A part has a level that is none.
    Level(ParseLevelError),
    /// A part begins with `=`.
    NoTarget,
    /// What stands before the `=` of a part cannot be a target.
    Target(String),
}

impl fmt::Display for ParseFilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Level(error) => {
                write!(f, "{error}, or off; for a target, write its level too, as in app=debug")
            }
            Self::Target(name) => write!(
                f,
                "{name:?} is no target: write its path, as app::feed, which is also for all below it; \
                 parts are separated by commas, and there are no wildcards"
            ),
            Self::NoTarget => f.write_str("a part of the filter begins with `=`: name its target"),
        }
    }
}

impl Error for ParseFilterError {}

impl FromStr for Filter {
    type Err = ParseFilterError;

    /// Parts are separated by commas; empty ones are passed over. Without a part for the rest, there
    /// is `error` for it.
    fn from_str(text: &str) -> Result<Self, ParseFilterError> {
        let mut filter = Self::from(Level::Error);
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some((target, _)) if target.trim().is_empty() => {
                    return Err(ParseFilterError::NoTarget);
                }
                Some((target, _)) if target.contains([';', '[', ']', '{', '}', '*', '?']) => {
                    return Err(ParseFilterError::Target(target.trim().to_owned()));
                }
                Some((target, name)) => filter = filter.with(target.trim(), level(name.trim())?),
                None => filter.rest = level(part)?,
            }
        }
        Ok(filter)
    }
}

fn level(name: &str) -> Result<Option<Level>, ParseFilterError> {
    if name.eq_ignore_ascii_case("off") {
        return Ok(None);
    }
    name.parse().map(Some).map_err(ParseFilterError::Level)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> Filter {
        text.parse().unwrap()
    }

    /// The longest target that fits decides, at the boundaries of names.
    #[test]
    fn the_longest_target_decides() {
        let filter = filter("warn, relay=debug, relay::udp=off, relay=info");
        assert_eq!(filter.level_of("relay"), Some(Level::Info));
        assert_eq!(filter.level_of("relay::tcp"), Some(Level::Info));
        assert_eq!(filter.level_of("relay::udp::socket"), None);
        assert_eq!(filter.level_of("relays"), Some(Level::Warn));
        assert_eq!(filter.lowest(), Some(Level::Info));
    }

    /// Nothing may be wanted, of all or of some.
    #[test]
    fn off_lets_nothing_through() {
        assert_eq!(filter("off").lowest(), None);
        assert_eq!(filter("off"), Filter::off());
        assert!(!filter("info,x=off").passes("x::y", Level::Error));
        assert_eq!(filter("x=trace").level_of("y"), Some(Level::Error));
    }

    /// What is no filter names the word.
    #[test]
    fn mistakes_name_the_word() {
        let error = "info,x=loud".parse::<Filter>().unwrap_err().to_string();
        assert!(error.contains("loud") && error.contains("off"), "{error}");
        assert_eq!("=info".parse::<Filter>(), Err(ParseFilterError::NoTarget));
        for text in ["warn;app=debug", "app[span]=debug", "app::*=debug"] {
            let error = text.parse::<Filter>().unwrap_err();
            assert!(matches!(error, ParseFilterError::Target(_)), "{text}: {error}");
        }
    }
}
