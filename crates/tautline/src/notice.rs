//! What the program and its libraries have to say while they run: through the log, so that nobody
//! who does not read it holds up the loop.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::Args;
use tautline_log::sink::{self, Console, Every, File, Form, Human, Json, Rotation, Sink};
use tautline_log::{
    Config, Filter, FlushError, Full, Guard, Level, Line, Logger, StartError, error, facade,
    flush_within,
};
use tautline_relay::units;

use crate::above::Beside;

/// The target of what the program itself says at its end.
const PROGRAM: &str = "tautline";
/// How long the end waits for lines that are not out yet.
const PATIENCE: Duration = Duration::from_secs(2);

/// The log, while it runs.
static LOG: Mutex<Option<Guard>> = Mutex::new(None);

#[derive(Clone, Debug, Default, Args, PartialEq, Eq)]
#[command(next_help_heading = "Log")]
pub(crate) struct LogArgs {
    /// Which log lines are written, with their time and origin: off, error, warn, info, debug or trace,
    /// also for parts of the program, such as warn,tautline_relay=debug [default: warn, as bare lines].
    #[arg(long = "log", global = true, value_name = "FILTER", value_parser = |text: &str| text.parse::<Filter>())]
    log_filter: Option<Filter>,
    /// Write log lines as JSON, one object a line.
    #[arg(long = "log-json", global = true)]
    log_json: bool,
    /// Append log lines to this file instead of writing them to standard error.
    #[arg(long = "log-file", global = true, value_name = "FILE")]
    log_file: Option<PathBuf>,
    /// Begin a new file at this size, hour or day: 64MiB, day, or both as 64MiB,day. The names have
    /// the time: FILE.20261130T045119Z.0000.
    #[arg(long = "log-rotate", global = true, value_name = "WHEN", value_parser = rotation)]
    log_rotate: Option<Rotation>,
    /// Keep so many files, and delete the oldest.
    #[arg(long = "log-keep", global = true, value_name = "N", value_parser = files)]
    log_keep: Option<usize>,
    /// Keep the latest log lines in this folder too, for tautline log recover after a crash.
    #[arg(long = "log-dir", global = true, value_name = "DIR")]
    log_directory: Option<PathBuf>,
}

fn rotation(text: &str) -> Result<Rotation, String> {
    let mut rotation = Rotation::default();
    for part in text.split(',').map(str::trim) {
        match (part, units::parse_bytes(part)) {
            ("hour", _) => rotation.every = Some(Every::Hour),
            ("day", _) => rotation.every = Some(Every::Day),
            (_, Ok(0)) => return Err("write more than 0 bytes, such as 64MiB".to_owned()),
            (_, Ok(bytes)) => rotation.max_bytes = Some(bytes),
            _ => {
                return Err(format!(
                    "{part:?} is no time for a new file; write 64MiB, hour or day"
                ));
            }
        }
    }
    Ok(rotation)
}

fn files(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("write a number of files, 1 or more".to_owned()),
        Ok(number) => Ok(number),
    }
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    /// The file cannot be written to; the error names it.
    #[error(transparent)]
    File(#[from] io::Error),
    /// It does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// An option that means nothing without another.
    #[error("{0} needs {1}: write both, or none")]
    Needs(&'static str, &'static str),
}

impl LogArgs {
    /// Whether nothing was said about the log.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    fn config(&self) -> Result<Config, LogError> {
        Ok(Config {
            filter: self.filter(),
            // Who writes is the loop: it waits for nobody.
            full: Full::Drop,
            directory: self.log_directory.clone(),
            sinks: self.sinks()?,
            ..Config::default()
        })
    }

    /// What the program says at its end is always told.
    fn filter(&self) -> Filter {
        let filter = self.log_filter.clone().unwrap_or(Level::Warn.into());
        if filter.passes(PROGRAM, Level::Error) {
            return filter;
        }
        filter.with(PROGRAM, Some(Level::Error))
    }

    fn sinks(&self) -> Result<Vec<Box<dyn Sink>>, LogError> {
        let console: Box<dyn Sink> = match (self.log_json, &self.log_filter, &self.log_file) {
            (true, ..) => {
                let console = Console::stderr().with_form(Json::new());
                Box::new(Beside::new(console, Json::new()))
            }
            (false, Some(_), None) => Box::new(Beside::new(Console::stderr(), Human::new())),
            (false, ..) => Box::new(Beside::new(Console::stderr().with_form(Bare), Bare)),
        };
        Ok(match self.open_file()? {
            Some(file) => vec![file, Box::new(OfProgram(console))],
            None => vec![console],
        })
    }

    fn open_file(&self) -> Result<Option<Box<dyn Sink>>, LogError> {
        let Some(path) = &self.log_file else {
            return match self.log_rotate {
                Some(_) => Err(LogError::Needs("--log-rotate", "--log-file")),
                None => self.no_keep(),
            };
        };
        if self.log_rotate.is_none() {
            self.no_keep()?;
        }
        let rotation = Rotation { keep: self.log_keep, ..self.log_rotate.unwrap_or_default() };
        let file = File::open(path, rotation)?;
        Ok(Some(match self.log_json {
            true => Box::new(file.with_form(Json::new())),
            false => Box::new(file.with_form(Human::new())),
        }))
    }

    fn no_keep(&self) -> Result<Option<Box<dyn Sink>>, LogError> {
        match self.log_keep {
            Some(_) => Err(LogError::Needs("--log-keep", "--log-rotate")),
            None => Ok(None),
        }
    }
}

/// The message alone, behind the program's name.
struct Bare;

impl Form for Bare {
    fn write(&mut self, line: &Line<'_>, out: &mut String) {
        out.push_str("tautline: ");
        sink::escape(line.message, out);
        out.push('\n');
    }
}

/// Hands on what the program itself says.
struct OfProgram(Box<dyn Sink>);

impl Sink for OfProgram {
    fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        if line.target == PROGRAM { self.0.line(line) } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }

    fn held(&self) -> u64 {
        self.0.held()
    }

    fn lost(&self) -> u64 {
        self.0.lost()
    }
}

fn log() -> MutexGuard<'static, Option<Guard>> {
    // Nobody panics while it is held; if so, what it guards is whole nevertheless.
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has things told from now on.
///
/// # Errors
/// [`LogError`], if something was asked for that cannot be had. Without a thread or memory for the
/// usual, what the program itself says is written where it arises, and nothing else.
pub(crate) fn start(args: &LogArgs) -> Result<(), LogError> {
    match Logger::start(args.config()?) {
        Ok(guard) => *log() = Some(guard),
        Err(_) if args.is_default() => {}
        Err(error) => return Err(error.into()),
    }
    // Only a second one is refused, and there is none.
    let _ = facade::install();
    Ok(())
}

/// Tells a line of the program itself, through the log if there is one. Whoever has closed standard
/// error wants to hear no more: that is no reason to end. Whoever does not read misses what is too
/// much.
pub(crate) fn say(line: impl Display) {
    if log().is_some() {
        error!(target: PROGRAM, "{}", line);
    } else {
        let mut text = String::from("tautline: ");
        sink::escape(&line.to_string(), &mut text);
        drop(writeln!(io::stderr(), "{text}"));
    }
}

/// Waits until everything is told, for a moment.
pub(crate) fn finish() {
    let Some(guard) = log().take() else { return };
    if flush_within(PATIENCE) == Err(FlushError::TimedOut) {
        std::mem::forget(guard); // its end would wait for who does not read
    }
}
