//! Where reports go: a live table, plain lines or JSON, on standard output or standard error.

use std::io::{self, IsTerminal, Write};

use tautline_relay::endpoint::{Destination, DestinationPlace};
use tautline_relay::stats::{Snapshot, Summary};

use crate::table;
use crate::writer::Writer;

/// Columns assumed when the terminal does not say.
const USUAL_WIDTH: usize = 80;

/// How reports look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A table drawn over itself once a second.
    Live,
    /// One line a second.
    Plain,
    /// One JSON object a second.
    Json,
}

/// Writes reports, through a thread: a terminal that is held, or a pipe that nobody reads, does not
/// hold up the loop.
pub(crate) struct Output {
    form: Form,
    /// `None` once the summary is written, and if there is no thread to be had.
    writer: Option<Writer>,
    /// Columns of the terminal; the live table never wraps.
    width: usize,
    /// Lines of the table drawn last, to be drawn over.
    drawn: usize,
    /// What was written last, if anything was: where the endpoints are bound is told once, and errors
    /// when they change.
    told: Option<Snapshot>,
    /// Why no report can be written; kept until the summary can return it.
    failed: Option<io::Error>,
}

impl Output {
    /// Reports go to standard output, or to standard error if a destination has taken that.
    pub(crate) fn for_destinations(to: &[Destination], json: bool) -> Self {
        let taken = to.iter().any(|to| to.place == DestinationPlace::Stdout);
        if taken {
            let form = form(json, io::stderr().is_terminal());
            return Self::new(form, io::stderr(), width(io::stderr()));
        }
        let form = form(json, io::stdout().is_terminal());
        Self::new(form, io::stdout(), width(io::stdout()))
    }

    fn new(form: Form, sink: impl Write + Send + 'static, width: usize) -> Self {
        let (writer, failed) = match Writer::start(sink) {
            Ok(writer) => (Some(writer), None),
            Err(error) => (None, Some(error)),
        };
        Self { form, writer, width, drawn: 0, told: None, failed }
    }

    /// Writes what happened in the last second, unless the reports before it are still unread. A
    /// failure is kept for [`summary`](Self::summary): the relay goes on while nobody watches.
    pub(crate) fn snapshot(&mut self, snapshot: &Snapshot) {
        if self.failed.is_some() {
            return;
        }
        let lines = match self.form {
            Form::Json => json(snapshot),
            Form::Live => Ok(table::table(snapshot, self.width)),
            Form::Plain => Ok(self.plain(snapshot)),
        };
        match lines {
            Ok(lines) if self.offer(&lines) => self.told = Some(snapshot.clone()),
            Ok(_) => {}
            Err(error) => self.failed = Some(error),
        }
    }

    /// Writes the end of the run, and waits for it to be read, but not for ever.
    pub(crate) fn summary(&mut self, summary: &Summary) -> io::Result<()> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let lines = match self.form {
            Form::Json => json(summary)?,
            Form::Live => table::summary(summary, self.width),
            Form::Plain => table::summary(summary, usize::MAX),
        };
        let page = self.page(&lines);
        self.writer.take().map_or(Ok(()), |writer| writer.finish(page))
    }

    fn plain(&self, snapshot: &Snapshot) -> Vec<String> {
        let told = self.told.is_some();
        let mut lines = if told { Vec::new() } else { table::addresses(snapshot) };
        lines.extend(table::new_errors(self.told.as_ref(), snapshot));
        lines.push(table::line(snapshot));
        lines
    }

    /// Has `lines` written, or drops them (`false`): only what is written is drawn over.
    fn offer(&mut self, lines: &[String]) -> bool {
        let page = self.page(lines);
        let taken = self.writer.as_ref().is_some_and(|writer| writer.offer(page));
        if taken {
            self.drawn = lines.len();
        }
        taken
    }

    /// The text of `lines`; a live table moves to the first line drawn last and clears from there to
    /// the end.
    fn page(&self, lines: &[String]) -> Vec<u8> {
        let mut page = String::new();
        if self.form == Form::Live && self.drawn > 0 {
            page = format!("\x1b[{}A\x1b[J", self.drawn);
        }
        lines.iter().for_each(|line| page.extend([line.as_str(), "\n"]));
        page.into_bytes()
    }
}

fn json(report: &impl serde::Serialize) -> io::Result<Vec<String>> {
    Ok(vec![serde_json::to_string(report)?])
}

fn form(json: bool, terminal: bool) -> Form {
    match (json, terminal) {
        (true, _) => Form::Json,
        (false, true) => Form::Live,
        (false, false) => Form::Plain,
    }
}

fn width(terminal: impl std::os::fd::AsFd) -> usize {
    let columns =
        rustix::termios::tcgetwinsize(terminal).map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { USUAL_WIDTH } else { columns }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::table::testing::{snapshot, summary};

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(form: Form) -> String {
        let page = Page::default();
        let mut output = Output::new(form, page.clone(), 200);
        output.snapshot(&snapshot());
        output.snapshot(&snapshot());
        output.summary(&summary()).unwrap();
        String::from_utf8(page.0.lock().unwrap().clone()).unwrap()
    }

    /// Proves that the live table moves up by exactly the lines that it had drawn.
    #[test]
    fn live_table_draws_over_itself() {
        let text = written(Form::Live);
        let up = format!("\x1b[{}A\x1b[J", table::table(&snapshot(), 200).len());
        assert_eq!(text.matches(&up).count(), 2, "{text:?}");
    }

    /// Proves that plain output is a line a second, without control characters.
    #[test]
    fn plain_output_has_no_control_characters() {
        let text = written(Form::Plain);
        assert!(!text.contains('\x1b'));
        assert_eq!(text.lines().filter(|line| line.starts_with("1.0s")).count(), 2, "{text}");
    }

    /// Proves that JSON output is one object a line with the summary last.
    #[test]
    fn json_output_ends_with_the_summary() {
        let text = written(Form::Json);
        let kinds: Vec<_> = text
            .lines()
            .map(|line| {
                serde_json::from_str::<serde_json::Value>(line).unwrap()["kind"].to_string()
            })
            .collect();
        assert_eq!(kinds, ["\"interval\"", "\"interval\"", "\"summary\""]);
    }

    /// Proves that a closed reader surfaces at the summary, not as a panic in between.
    #[test]
    fn write_failure_surfaces_at_the_end() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut output = Output::new(Form::Plain, Box::new(Closed), 80);
        output.snapshot(&snapshot());
        assert_eq!(output.summary(&summary()).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
