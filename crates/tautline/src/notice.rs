//! What the library has to say while it runs: one line each on standard error.

use log::{LevelFilter, Log, Metadata, Record};

/// Writes warnings and errors.
struct Notices;

impl Log for Notices {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            eprintln!("tautline: {}", record.args());
        }
    }

    fn flush(&self) {}
}

/// Shows warnings from now on.
pub(crate) fn install() {
    // Only a second logger is refused, and there is none.
    if log::set_logger(&Notices).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}
