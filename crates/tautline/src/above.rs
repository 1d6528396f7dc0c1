//! Log lines while a live table is drawn on the same terminal: they go above it, with the next draw. Written
//! where they arise they would be drawn over, and the table would lose its place.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tautline_log::Line;
use tautline_log::sink::{Form, Sink};

/// Lines that wait at most: those beyond are written where they arise.
const MOST: usize = 256;

/// What goes above a table.
#[derive(Debug)]
pub(crate) struct Above(Mutex<State>);

#[derive(Debug)]
struct State {
    is_drawn: bool,
    lines: Vec<String>,
}

/// Above the table of this process: it has one at a time.
pub(crate) static TABLE: Above = Above::new();

impl Above {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(State { is_drawn: false, lines: Vec::new() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nobody panics while it is held; if so, what it guards is whole nevertheless.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A table is drawn from now on.
    pub(crate) fn begin(&self) {
        self.state().is_drawn = true;
    }

    /// None is drawn any more. What nobody has taken is the caller's to write.
    pub(crate) fn end(&self) -> Vec<String> {
        let mut state = self.state();
        state.is_drawn = false;
        std::mem::take(&mut state.lines)
    }

    /// The lines that wait, each with its break.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.state().lines)
    }

    /// What was taken could not be written: it waits again, before what has come since.
    pub(crate) fn put_back(&self, mut lines: Vec<String>) {
        let mut state = self.state();
        lines.append(&mut state.lines);
        state.lines = lines;
    }

    /// Takes a line, with its break, if a table is drawn and there is room.
    pub(crate) fn offer(&self, line: impl FnOnce() -> String) -> bool {
        let mut state = self.state();
        let takes = state.is_drawn && state.lines.len() < MOST;
        if takes {
            state.lines.push(line());
        }
        takes
    }
}

/// A console that leaves its lines to a table while one is drawn.
pub(crate) struct Beside<S, F> {
    console: S,
    form: F,
}

impl<S: Sink, F: Form> Beside<S, F> {
    /// `form` is that of the console.
    pub(crate) fn new(console: S, form: F) -> Self {
        Self { console, form }
    }
}

impl<S: Sink, F: Form> Sink for Beside<S, F> {
    fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        let text = || {
            let mut text = String::new();
            self.form.write(line, &mut text);
            text
        };
        if TABLE.offer(text) { Ok(()) } else { self.console.line(line) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.console.flush()
    }

    fn held(&self) -> u64 {
        self.console.held()
    }

    fn lost(&self) -> u64 {
        self.console.lost()
    }
}
