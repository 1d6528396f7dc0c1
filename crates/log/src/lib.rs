//! Log lines leave the hot thread as binary records, and are formatted elsewhere.

#![forbid(unsafe_code)]

mod line;
pub use line::{Field, Level, Line, ParseLevelError, Value};

pub mod format;

pub mod sink;
