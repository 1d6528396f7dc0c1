//! What the library has to say while it runs: one line each on standard error.

use std::fmt::Display;
use std::io::{self, Write};

use log::{LevelFilter, Log, Metadata, Record};

/// Writes warnings and errors.
struct Notices;

impl Log for Notices {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            say(record.args());
        }
    }

    fn flush(&self) {}
}

/// Writes one line to standard error. Whoever has closed it wants to hear no more: that is no
/// reason to end.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(io::stderr(), "tautline: {line}");
}

/// Shows warnings from now on.
pub(crate) fn install() {
    // Only a second logger is refused, and there is none.
    if log::set_logger(&Notices).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}
