//! What tests of the log share: there is one log in a process, so they take turns.

#![allow(dead_code, reason = "not every test uses all of it")]

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tautline_log::sink::Sink;
use tautline_log::{Config, Level, Line};

/// Keeps other tests of this process from starting a log.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A line, kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kept {
    pub(crate) time: u64,
    pub(crate) level: Level,
    pub(crate) target: String,
    pub(crate) file: String,
    pub(crate) line: u32,
    pub(crate) thread: String,
    pub(crate) message: String,
    pub(crate) truncated: bool,
    /// As `name=value`.
    pub(crate) fields: Vec<String>,
}

impl Kept {
    pub(crate) fn of(line: &Line<'_>) -> Self {
        let field = |field: &tautline_log::Field<'_>| format!("{}={:?}", field.name, field.value);
        Self {
            time: line.time,
            level: line.level,
            target: line.target.to_owned(),
            file: line.file.to_owned(),
            line: line.line,
            thread: line.thread.to_owned(),
            message: line.message.to_owned(),
            truncated: line.truncated,
            fields: line.fields.iter().map(field).collect(),
        }
    }
}

/// A sink that keeps all lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keep(Arc<Mutex<Vec<Kept>>>);

impl Keep {
    pub(crate) fn lines(&self) -> Vec<Kept> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn messages(&self) -> Vec<String> {
        self.lines().into_iter().map(|line| line.message).collect()
    }

    /// A configuration whose lines come here.
    pub(crate) fn config(&self) -> Config {
        Config { sinks: vec![Box::new(self.clone())], ..Config::default() }
    }
}

impl Sink for Keep {
    fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        self.0.lock().unwrap().push(Kept::of(line));
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
