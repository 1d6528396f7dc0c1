//! Lines for people.

use super::escape;
use super::form::Form;
use super::stamp::Stamp;
use crate::{Level, Line};

/// One line of plain text: time, level, target, message.
///
/// ```text
/// 2026-11-30T04:51:19.123456Z  WARN relay::tcp: peer 10.0.0.7:5000 is slow
/// ```
///
/// Control characters and line breaks in what comes from outside are written out (`\n`, `\u{1b}`):
/// a line of a log is always one line, and cannot steer the terminal. What was cut off shows as
/// `[..]`. Fields are not repeated: the message has those that it shows.
#[derive(Debug)]
pub struct Human {
    stamp: Stamp,
    /// Unless it was said, a console says it.
    colour: Option<bool>,
    threads: bool,
    places: bool,
}

impl Default for Human {
    fn default() -> Self {
        Self::new()
    }
}

impl Human {
    /// Times in UTC, without threads and places, and with colour only where a
    /// [`Console`](super::Console) wants it.
    pub fn new() -> Self {
        Self { stamp: Stamp::utc(), colour: None, threads: false, places: false }
    }

    /// Times as the clock on the wall of this machine shows them, with their offset from UTC.
    #[must_use]
    pub fn local_time(self) -> Self {
        Self { stamp: Stamp::local(), ..self }
    }

    /// Whether the level has a colour, by an escape sequence, wherever it is written to.
    #[must_use]
    pub fn colour(self, colour: bool) -> Self {
        Self { colour: Some(colour), ..self }
    }

    /// Whether the thread is named: `[feed]`, behind the level.
    #[must_use]
    pub fn threads(self, threads: bool) -> Self {
        Self { threads, ..self }
    }

    /// Whether the place in the source is named: `(src/main.rs:12)`, behind the message.
    #[must_use]
    pub fn places(self, places: bool) -> Self {
        Self { places, ..self }
    }

    /// To the right, in five places.
    fn write_level(&self, level: Level, out: &mut String) {
        let coloured = self.colour.unwrap_or_default();
        if coloured {
            out.extend(["\x1b[", colour(level), "m"]);
        }
        let name = level.name();
        out.push_str(&"     "[name.len()..]);
        out.push_str(name);
        out.push_str(if coloured { "\x1b[0m" } else { "" });
    }
}

impl Form for Human {
    fn offer_colour(&mut self, wanted: bool) {
        self.colour.get_or_insert(wanted);
    }

    fn write(&mut self, line: &Line<'_>, out: &mut String) {
        self.stamp.write(line.time, 6, out);
        out.push(' ');
        self.write_level(line.level, out);
        if self.threads {
            out.push_str(" [");
            escape::plain(line.thread, out);
            out.push(']');
        }
        out.push(' ');
        escape::plain(line.target, out);
        out.push_str(": ");
        escape::plain(line.message, out);
        out.push_str(if line.truncated { " [..]" } else { "" });
        if self.places {
            out.push_str(" (");
            escape::plain(line.file, out);
            out.extend([":", itoa::Buffer::new().format(line.line), ")"]);
        }
        out.push('\n');
    }
}

/// The number of the level's colour among those that every terminal has.
fn colour(level: Level) -> &'static str {
    match level {
        Level::Trace => "35",
        Level::Debug => "34",
        Level::Info => "32",
        Level::Warn => "33",
        Level::Error => "31",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::testing::line;

    fn written(mut form: Human, line: &Line<'_>) -> String {
        let mut out = String::new();
        form.write(line, &mut out);
        out
    }

    /// Proves that a line has its parts in order, and more of them if asked for.
    #[test]
    fn parts_stand_in_order() {
        let line = Line { truncated: true, ..line("all is well") };
        assert_eq!(
            written(Human::new(), &line),
            "2025-11-30T04:51:19.123456Z  INFO app::feed: all is well [..]\n"
        );
        let form = Human::new().threads(true).places(true).colour(true);
        assert_eq!(
            written(form, &line),
            "2025-11-30T04:51:19.123456Z \x1b[32m INFO\x1b[0m [main] app::feed: all is well [..] \
             (src/feed.rs:7)\n"
        );
    }

    /// Proves that a console is heard, unless the form was told otherwise.
    #[test]
    fn consoles_decide_on_colour_if_nobody_has() {
        for (mut form, coloured) in [(Human::new(), true), (Human::new().colour(false), false)] {
            form.offer_colour(true);
            assert_eq!(written(form, &line("x")).contains("\x1b["), coloured);
        }
    }

    /// Proves that a message from outside cannot pass itself off as a line of its own.
    #[test]
    fn messages_forge_no_lines() {
        let forged = "x\n2025-11-30T04:51:19.123456Z ERROR app: the vault is open\x1b[1A";
        let hostile = Line { thread: "a\nb", target: "c\rd", ..line(forged) };
        let text = written(Human::new().threads(true), &hostile);
        assert_eq!(text.lines().count(), 1, "{text:?}");
        assert!(!text.trim_end().contains(char::is_control), "{text:?}");
    }
}
