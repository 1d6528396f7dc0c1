//! Lines of code that logs by the crate `log`.
//!
//! ```
//! use tautline_log::{Config, Logger, facade};
//! facade::install()?;
//! let guard = Logger::start(Config::default())?;
//! ::log::info!("{} links are up", 3);
//! # drop(guard);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `log` has one logger for the life of a process. If `init()` of `tracing_subscriber` is called too,
//! do not install this one: that one takes the lines of `log`, and
//! `tautline_log::tracing::layer` hands them on as what they are.
//!
//! The message is formatted by the thread that writes it, straight into its ring: that crate hands
//! on no values. The rest is as with the macros of this crate. Lines that are not wanted cost what
//! they cost anyway, a look at a number: the highest level that any target wants is told to `log`
//! when a log starts or ends.

use log::{LevelFilter, Log, Metadata, Record};
use thiserror::Error;

use crate::foreign::{Origin, write_foreign};
use crate::sync::{AtomicBool, Ordering};
use crate::{Level, core, logger, pen};

/// Whether `log` hands its lines to us.
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Lines of the crate `log` go elsewhere.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error(
    "the crate `log` has a logger already, and can have one only: install this one before any other, \
     and once; if the other is that of `tracing_subscriber` (its `init` installs one), do not install \
     this one: with `tautline_log::tracing::layer` the lines of `log` come all the same"
)]
pub struct InstallError;

/// Takes the lines of the crate `log`, once for the life of the process, and hands them to whichever
/// [`Logger`](crate::Logger) runs when they are written.
///
/// # Errors
/// [`InstallError`].
pub fn install() -> Result<(), InstallError> {
    log::set_logger(&Facade).map_err(|_| InstallError)?;
    // Relaxed: nothing hangs on it but the level, which is set below and at each start.
    INSTALLED.store(true, Ordering::Relaxed);
    follow(core::current_core().and_then(|core| core.lowest()));
    Ok(())
}

/// Has `log` look at lines of `lowest` and above from now on, if it hands them to us.
pub(crate) fn follow(lowest: Option<Level>) {
    if INSTALLED.load(Ordering::Relaxed) {
        log::set_max_level(lowest.map_or(LevelFilter::Off, |level| match level {
            Level::Trace => LevelFilter::Trace,
            Level::Debug => LevelFilter::Debug,
            Level::Info => LevelFilter::Info,
            Level::Warn => LevelFilter::Warn,
            Level::Error => LevelFilter::Error,
        }));
    }
}

struct Facade;

impl Log for Facade {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        pen::wants(level(metadata.level()), metadata.target())
    }

    fn log(&self, record: &Record<'_>) {
        let origin = Origin {
            level: level(record.level()),
            target: record.target(),
            file: record.file().unwrap_or_default(),
            line: record.line().unwrap_or_default(),
        };
        write_foreign(&origin, *record.args());
    }

    fn flush(&self) {
        // There is nobody to tell: `log` expects no answer.
        let _ = logger::flush();
    }
}

fn level(level: log::Level) -> Level {
    match level {
        log::Level::Trace => Level::Trace,
        log::Level::Debug => Level::Debug,
        log::Level::Info => Level::Info,
        log::Level::Warn => Level::Warn,
        log::Level::Error => Level::Error,
    }
}
