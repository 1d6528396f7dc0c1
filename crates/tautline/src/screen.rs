//! Where reports are shown: a terminal, on which each is drawn over the one before, or lines.
//!
//! Through a thread: a terminal that is held, or a pipe that nobody reads, does not hold up the loop.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use crate::writer::Writer;

/// Columns assumed when the terminal does not say.
const USUAL_WIDTH: usize = 80;

/// How reports look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A table drawn over itself.
    Live,
    /// Lines.
    Plain,
    /// JSON objects, one a line.
    Json,
}

/// Shows reports.
pub(crate) struct Screen {
    form: Form,
    /// `None` once the last report is shown, and if there is no thread to be had.
    writer: Option<Writer>,
    /// Columns of the terminal; the live table never wraps.
    width: usize,
    /// Lines of the table drawn last, to be drawn over.
    drawn: usize,
    /// Why nothing can be shown.
    failed: Option<io::Error>,
}

impl Screen {
    /// On standard output.
    pub(crate) fn stdout(json: bool) -> Self {
        let form = form(json, io::stdout().is_terminal());
        Self::new(form, io::stdout(), width(io::stdout()))
    }

    /// On standard error.
    pub(crate) fn stderr(json: bool) -> Self {
        let form = form(json, io::stderr().is_terminal());
        Self::new(form, io::stderr(), width(io::stderr()))
    }

    /// On anything of that form and width.
    pub(crate) fn new(form: Form, sink: impl Write + Send + 'static, width: usize) -> Self {
        let (writer, failed) = match Writer::start(sink) {
            Ok(writer) => (Some(writer), None),
            Err(error) => (None, Some(error)),
        };
        Self { form, writer, width, drawn: 0, failed }
    }

    /// How reports are to look.
    pub(crate) fn form(&self) -> Form {
        self.form
    }

    /// Columns of which a live table has to make do.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Shows a report, unless those before it are still unread (`false`): only what is shown is drawn
    /// over. One that could not be made is kept for [`finish`](Self::finish), and none is shown behind
    /// it.
    pub(crate) fn show(&mut self, lines: io::Result<Vec<String>>) -> bool {
        if self.failed.is_some() {
            return false;
        }
        match lines {
            Ok(lines) => self.offer(&lines),
            Err(error) => {
                self.failed = Some(error);
                false
            }
        }
    }

    /// Whether nothing can be shown any more: [`finish`](Self::finish) says why.
    pub(crate) fn has_failed(&self) -> bool {
        let writer = self.writer.as_ref();
        self.failed.is_some() || writer.is_some_and(Writer::has_failed)
    }

    fn offer(&mut self, lines: &[String]) -> bool {
        let page = self.page(lines);
        let taken = self.writer.as_ref().is_some_and(|writer| writer.offer(page));
        if taken {
            self.drawn = lines.len();
        }
        taken
    }

    /// Shows the last report, and waits for it to be read, but not for ever.
    ///
    /// # Errors
    /// Why a report could not be shown.
    pub(crate) fn finish(&mut self, lines: &[String]) -> io::Result<()> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let page = self.page(lines);
        self.writer.take().map_or(Ok(()), |writer| writer.finish(page))
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

fn form(json: bool, terminal: bool) -> Form {
    match (json, terminal) {
        (true, _) => Form::Json,
        (false, true) => Form::Live,
        (false, false) => Form::Plain,
    }
}

fn width(terminal: impl AsFd) -> usize {
    let columns =
        rustix::termios::tcgetwinsize(terminal).map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { USUAL_WIDTH } else { columns }
}
