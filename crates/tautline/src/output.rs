//! The reports of a relay: a live table, plain lines or JSON, on standard output or standard error.

use std::io;

use tautline_relay::endpoint::{Destination, DestinationPlace};
use tautline_relay::stats::{Snapshot, Summary};

use crate::screen::{Form, Screen};
use crate::table;

/// Writes reports.
pub(crate) struct Output {
    screen: Screen,
    /// What was written last, if anything was: where the endpoints are bound is told once, and errors
    /// when they change.
    told: Option<Snapshot>,
}

impl Output {
    /// Reports go to standard output, or to standard error if a destination has taken that.
    pub(crate) fn for_destinations(to: &[Destination], json: bool) -> Self {
        let taken = to.iter().any(|to| to.place == DestinationPlace::Stdout);
        Self::on(if taken { Screen::stderr(json) } else { Screen::stdout(json) })
    }

    fn on(screen: Screen) -> Self {
        Self { screen, told: None }
    }

    /// Writes what happened in the last second, unless the reports before it are still unread. A
    /// failure is kept for [`summary`](Self::summary): the relay goes on while nobody watches.
    pub(crate) fn snapshot(&mut self, snapshot: &Snapshot) {
        let lines = match self.screen.form() {
            Form::Json => json(snapshot),
            Form::Live => Ok(table::table(snapshot, self.screen.width())),
            Form::Plain => Ok(self.plain(snapshot)),
        };
        if self.screen.show(lines) {
            self.told = Some(snapshot.clone());
        }
    }

    /// Writes the end of the run, and waits for it to be read, but not for ever.
    pub(crate) fn summary(&mut self, summary: &Summary) -> io::Result<()> {
        let lines = match self.screen.form() {
            Form::Json => json(summary)?,
            Form::Live => table::summary(summary, self.screen.width()),
            Form::Plain => table::summary(summary, usize::MAX),
        };
        self.screen.finish(&lines)
    }

    fn plain(&self, snapshot: &Snapshot) -> Vec<String> {
        let told = self.told.is_some();
        let mut lines = if told { Vec::new() } else { table::addresses(snapshot) };
        lines.extend(table::new_errors(self.told.as_ref(), snapshot));
        lines.push(table::line(snapshot));
        lines
    }
}

fn json(report: &impl serde::Serialize) -> io::Result<Vec<String>> {
    Ok(vec![serde_json::to_string(report)?])
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::screen::Size;
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
        let mut output =
            Output::on(Screen::new(form, page.clone(), || Size { columns: 200, ..Size::ENDLESS }));
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
        let mut output = Output::on(Screen::new(Form::Plain, Closed, || Size::ENDLESS));
        output.snapshot(&snapshot());
        assert_eq!(output.summary(&summary()).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
