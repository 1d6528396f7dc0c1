//! Lines for who sits before the terminal.

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Stderr, Stdout, Write};

use super::{Form, Human, Sink, Stream};
use crate::Line;

/// Writes to standard error or standard output.
///
/// At a terminal the level has a colour, unless the environment has `NO_COLOR`, or `TERM` is `dumb`;
/// with `CLICOLOR_FORCE` it has one everywhere. So it is with a [`Human`] form of one's own that does
/// not say otherwise.
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
    /// Whether colour is wanted.
    coloured: bool,
    stream: Stream<W, F>,
}

impl Console<Stderr> {
    /// Writes to standard error.
    pub fn stderr() -> Self {
        Self::new(io::stderr())
    }
}

impl Console<Stdout> {
    /// Writes to standard output.
    pub fn stdout() -> Self {
        Self::new(io::stdout())
    }
}

impl<W: Write + IsTerminal> Console<W> {
    fn new(place: W) -> Self {
        let coloured = shows_colour(place.is_terminal(), |name| env::var_os(name));
        let mut form = Human::new();
        form.offer_colour(coloured);
        Self { coloured, stream: Stream::new(place, form) }
    }
}

impl<W: Write, F: Form> Console<W, F> {
    /// The same, with lines of another form, which is told whether colour is wanted
    /// ([`Form::offer_colour`]).
    #[must_use]
    pub fn with_form<G: Form>(self, mut form: G) -> Console<W, G> {
        form.offer_colour(self.coloured);
        Console { coloured: self.coloured, stream: self.stream.with_form(form) }
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

/// By the usual variables of the environment.
fn shows_colour(at_terminal: bool, variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let is_set = |name| variable(name).is_some_and(|value| !value.is_empty());
    let is = |name, what: &str| variable(name).is_some_and(|value| value == what);
    let forced = is_set("CLICOLOR_FORCE") && !is("CLICOLOR_FORCE", "0");
    !is_set("NO_COLOR") && (forced || at_terminal && !is("TERM", "dumb"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that the environment can refuse colour and force it, and that refusing counts for more.
    #[test]
    fn the_environment_decides_on_colour() {
        let shows = |at_terminal, set: &[(&str, &str)]| {
            shows_colour(at_terminal, |name| {
                set.iter().find(|(other, _)| *other == name).map(|(_, value)| value.into())
            })
        };
        let force = ("CLICOLOR_FORCE", "1");
        assert!(shows(true, &[]) && !shows(false, &[]));
        assert!(!shows(true, &[("NO_COLOR", "1")]) && shows(true, &[("NO_COLOR", "")]));
        assert!(!shows(true, &[("TERM", "dumb")]));
        assert!(shows(false, &[force]) && shows(true, &[force, ("TERM", "dumb")]));
        assert!(!shows(false, &[("CLICOLOR_FORCE", "0")]));
        assert!(!shows(true, &[force, ("NO_COLOR", "1")]));
    }
}
