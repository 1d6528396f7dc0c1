//! What the library has to say while it runs: one line each on standard error.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use log::{LevelFilter, Log, Metadata, Record};

use crate::writer::Writer;

/// Who writes while the program runs, so that a standard error that nobody reads stops nothing.
static WRITER: Mutex<Option<Writer>> = Mutex::new(None);

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

fn writer() -> MutexGuard<'static, Option<Writer>> {
    // Nobody panics while it is held; if so, what it guards is whole nevertheless.
    WRITER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes one line to standard error. Whoever has closed it wants to hear no more: that is no
/// reason to end. Whoever does not read misses what is too much.
pub(crate) fn say(line: impl Display) {
    let line = format!("tautline: {line}\n").into_bytes();
    match &*writer() {
        Some(writer) => drop(writer.offer(line)),
        None => drop(io::stderr().write_all(&line)),
    }
}

/// Shows warnings from now on.
pub(crate) fn install() {
    // Without a thread to be had, lines are written where they arise.
    *writer() = Writer::start(io::stderr()).ok();
    // Only a second logger is refused, and there is none.
    if log::set_logger(&Notices).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}

/// Waits until everything is written, for a moment.
pub(crate) fn finish() {
    let last = writer().take();
    if let Some(writer) = last {
        // As with each line: nobody is left to be told.
        let _ = writer.finish(Vec::new());
    }
}
