//! Lines for who sits before the terminal.

use std::env;
use std::io::{self, IsTerminal, Stderr, Stdout, Write};

use super::{Form, Human, Sink, Stream};
use crate::Line;

/// Writes to standard error or standard output.
///
/// At a terminal the level has a colour, unless the environment has `NO_COLOR`, or `TERM` is `dumb`.
///
/// ```
/// use tautline_log::sink::{Console, Human, Json};
/// let for_people = Console::stderr();
/// let with_threads = Console::stderr().with_form(Human::new().local_time().threads(true));
/// let for_programs = Console::stdout().with_form(Json::new());
/// # drop((for_people, with_threads, for_programs));
/// ```
#[derive(Debug)]
pub struct Console<W = Stderr, F = Human> {
    stream: Stream<W, F>,
}

impl Console<Stderr> {
    /// Writes to standard error.
    pub fn stderr() -> Self {
        let stderr = io::stderr();
        let form = Human::new().colour(shows_colour(&stderr));
        Self { stream: Stream::new(stderr, form) }
    }
}

impl Console<Stdout> {
    /// Writes to standard output.
    pub fn stdout() -> Self {
        let stdout = io::stdout();
        let form = Human::new().colour(shows_colour(&stdout));
        Self { stream: Stream::new(stdout, form) }
    }
}

impl<W: Write, F: Form> Console<W, F> {
    /// The same, with lines of another form. Whether they have colour is then the form's own matter.
    #[must_use]
    pub fn with_form<G: Form>(self, form: G) -> Console<W, G> {
        Console { stream: self.stream.with_form(form) }
    }
}

impl<W: Write + Send, F: Form> Sink for Console<W, F> {
    fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        self.stream.line(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }

    fn held(&self) -> u64 {
        self.stream.held()
    }

    fn lost(&self) -> u64 {
        self.stream.lost()
    }
}

fn shows_colour(place: &impl IsTerminal) -> bool {
    let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = env::var_os("TERM").is_some_and(|value| value == "dumb");
    place.is_terminal() && !refused && !dumb
}
