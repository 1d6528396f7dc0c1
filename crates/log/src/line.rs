//! What a log line is, once it has come out of a record.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

/// How much a line matters. The order is that of the numbers: a line passes a limit if its level
/// is at least as high.
///
/// ```
/// use tautline_log::Level;
/// assert!(Level::Error > Level::Info);
/// assert_eq!("warn".parse(), Ok(Level::Warn));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    /// Every step.
    Trace = 1,
    /// What helps to find a mistake.
    Debug = 2,
    /// What happens when all goes well.
    Info = 3,
    /// What somebody should look at.
    Warn = 4,
    /// What has failed.
    Error = 5,
}

impl Level {
    /// All of them, the lowest first.
    pub const ALL: [Self; 5] = [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error];

    /// Its name, in capitals.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }

    /// The level of that number, if there is one.
    #[allow(dead_code, reason = "records are read with it")]
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|level| *level as u8 == number)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// There is no level of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseLevelError(String);

impl fmt::Display for ParseLevelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no level: write trace, debug, info, warn or error", self.0)
    }
}

impl Error for ParseLevelError {}

impl FromStr for Level {
    type Err = ParseLevelError;

    fn from_str(text: &str) -> Result<Self, ParseLevelError> {
        let same = |level: &Self| level.name().eq_ignore_ascii_case(text);
        Self::ALL.into_iter().find(same).ok_or_else(|| ParseLevelError(text.to_owned()))
    }
}

/// An argument of a line, as it came out of a record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// An unsigned number of at most 64 bits.
    U64(u64),
    /// A signed number of at most 64 bits.
    I64(i64),
    /// An unsigned number of 128 bits.
    U128(u128),
    /// A signed number of 128 bits.
    I128(i128),
    /// A number with a fraction, of 32 bits.
    F32(f32),
    /// A number with a fraction, of 64 bits.
    F64(f64),
    /// Yes or no.
    Bool(bool),
    /// A character.
    Char(char),
    /// A text, which is still to be formatted as its placeholder says.
    Str(&'a str),
    /// Any other value: it was formatted at the call site, as its placeholder says.
    Text(&'a str),
    /// An address.
    Pointer(u64),
}

/// An argument that has a name: `{price}`, or `price = ..`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it was.
    pub value: Value<'a>,
}

/// A line, as sinks get it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line<'a> {
    /// When it was written, in nanoseconds since 1970-01-01 00:00 UTC.
    pub time: u64,
    /// How much it matters.
    pub level: Level,
    /// What it is about: the path of the module, unless the call said something else.
    pub target: &'a str,
    /// The file of the call.
    pub file: &'a str,
    /// The line in that file.
    pub line: u32,
    /// The name of the thread, or its number if it has none.
    pub thread: &'a str,
    /// The text.
    pub message: &'a str,
    /// Whether something was cut off, for the record would have been too long.
    pub truncated: bool,
    /// The arguments that have names.
    pub fields: &'a [Field<'a>],
}
