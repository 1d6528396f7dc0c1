//! Where reports are shown: a terminal, on which each is drawn over the one before, or lines.
//!
//! Through a thread: a terminal that is held, or a pipe that nobody reads, does not hold up the loop.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use crate::above::{self, Above};
use crate::writer::Writer;

/// Room on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
}

impl Size {
    /// Assumed when the terminal does not say.
    const USUAL: Self = Self { columns: 80, rows: 24 };
    /// Of what is no terminal, or may scroll.
    pub(crate) const ENDLESS: Self = Self { columns: usize::MAX, rows: usize::MAX };

    /// Of that terminal, now.
    fn of(terminal: impl AsFd) -> Self {
        let size = rustix::termios::tcgetwinsize(terminal);
        let told = |told: u16, usual| if told == 0 { usual } else { usize::from(told) };
        size.map_or(Self::USUAL, |size| Self {
            columns: told(size.ws_col, Self::USUAL.columns),
            rows: told(size.ws_row, Self::USUAL.rows),
        })
    }
}

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
    /// Asks for the size of the terminal, which may change: the live table never wraps, and never scrolls.
    measure: Box<dyn Fn() -> Size>,
    /// Lines of the table drawn last, to be drawn over, and the columns that there were.
    drawn: (usize, usize),
    /// What goes above the table; `None` if log lines go elsewhere.
    above: Option<&'static Above>,
    /// Why nothing can be shown.
    failed: Option<io::Error>,
}

impl Screen {
    /// On standard output.
    pub(crate) fn stdout(json: bool) -> Self {
        let form = form(json, io::stdout().is_terminal());
        Self::new(form, io::stdout(), || Size::of(io::stdout())).below_the_log()
    }

    /// On standard error.
    pub(crate) fn stderr(json: bool) -> Self {
        let form = form(json, io::stderr().is_terminal());
        Self::new(form, io::stderr(), || Size::of(io::stderr())).below_the_log()
    }

    /// On anything of that form, and of the size that `measure` says.
    pub(crate) fn new(
        form: Form,
        sink: impl Write + Send + 'static,
        measure: impl Fn() -> Size + 'static,
    ) -> Self {
        let (writer, failed) = match Writer::start(sink) {
            Ok(writer) => (Some(writer), None),
            Err(error) => (None, Some(error)),
        };
        Self { form, writer, measure: Box::new(measure), drawn: (0, 0), above: None, failed }
    }

    /// If it is a table, and log lines go to a terminal too: they go above it.
    fn below_the_log(self) -> Self {
        if self.form == Form::Live && io::stderr().is_terminal() {
            return self.below(&above::TABLE);
        }
        self
    }

    fn below(mut self, above: &'static Above) -> Self {
        above.begin();
        self.above = Some(above);
        self
    }

    /// How reports are to look.
    pub(crate) fn form(&self) -> Form {
        self.form
    }

    /// Of how much room a live table has to make do: a line less than the terminal has, for the cursor
    /// stands behind it.
    pub(crate) fn room(&self) -> Size {
        let Size { columns, rows } = (self.measure)();
        Size { columns, rows: rows.saturating_sub(1).max(1) }
    }

    /// Columns of which a live table has to make do.
    pub(crate) fn width(&self) -> usize {
        self.room().columns
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
        let room = self.room();
        let lines = if self.form == Form::Live { fit(lines, room.rows) } else { lines.to_vec() };
        let told = self.above.map_or_else(Vec::new, Above::take);
        let page = self.page(&told, &lines, room.columns);
        let taken = self.writer.as_ref().is_some_and(|writer| writer.offer(page));
        if taken {
            self.drawn = (lines.len(), room.columns);
        } else if let Some(above) = self.above {
            above.put_back(told);
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
        let told = self.above.take().map_or_else(Vec::new, Above::end);
        let page = self.page(&told, lines, self.width());
        self.writer.take().map_or(Ok(()), |writer| writer.finish(page))
    }

    /// The text of `lines`, below what was `told`; a live table moves to the first line drawn last and
    /// clears from there to the end. Where that is nobody knows once the terminal has become wider or narrower, for some wrap
    /// anew what they show: then it begins at the top.
    fn page(&self, told: &[String], lines: &[String], columns: usize) -> Vec<u8> {
        let mut page = String::new();
        let (drawn, before) = self.drawn;
        if self.form == Form::Live && drawn > 0 {
            page = match columns == before {
                true => format!("\x1b[{drawn}A\x1b[J"),
                false => "\x1b[H\x1b[J".to_owned(),
            };
        }
        page.extend(told.iter().map(String::as_str));
        lines.iter().for_each(|line| page.extend([line.as_str(), "\n"]));
        page.into_bytes()
    }
}

impl Drop for Screen {
    /// Who is not finished has failed: what is still to be told is told all the same.
    fn drop(&mut self) {
        for line in self.above.take().map_or_else(Vec::new, Above::end) {
            // Nobody is left who could be told.
            drop(io::stderr().write_all(line.as_bytes()));
        }
    }
}

/// As many of the lines as there is room for: what has left the terminal at its top cannot be drawn over.
fn fit(lines: &[String], rows: usize) -> Vec<String> {
    if lines.len() <= rows {
        return lines.to_vec();
    }
    let (shown, hidden) = lines.split_at(rows.saturating_sub(1));
    [shown, &[format!("+{}", hidden.len())]].concat()
}

fn form(json: bool, terminal: bool) -> Form {
    match (json, terminal) {
        (true, _) => Form::Json,
        (false, true) => Form::Live,
        (false, false) => Form::Plain,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::{Read, pipe};
    use std::rc::Rc;

    use super::*;

    fn lines(count: usize) -> Vec<String> {
        (0..count).map(|line| line.to_string()).collect()
    }

    /// Proves that log lines go above a table while one is drawn, also those that came while its reader
    /// was held up, and that they are nobody's but their writer's before and behind it.
    #[test]
    fn log_lines_go_above_the_table() {
        let above: &'static Above = Box::leak(Box::new(Above::new()));
        let line = |text: &str| format!("{text}\n");
        assert!(!above.offer(|| panic!("no table is drawn")));
        let (mut reader, sink) = pipe().unwrap();
        let size = || Size { columns: 80, rows: 5 };
        let mut screen = Screen::new(Form::Live, sink, size).below(above);
        assert!(screen.show(Ok(lines(1))));
        assert!(above.offer(|| line("one")) && above.offer(|| line("two")));
        let told = above.take();
        above.put_back(told);
        assert!(screen.show(Ok(lines(1))));
        assert!(above.offer(|| line("three")));
        screen.finish(&lines(1)).unwrap();
        assert!(!above.offer(|| panic!("no table is drawn")));
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "0\n\x1b[1A\x1b[Jone\ntwo\n0\n\x1b[1A\x1b[Jthree\n0\n");
    }

    /// Proves that a live table is never higher than the terminal, follows its size, and draws over what it
    /// has drawn; and that the last one is whole.
    #[test]
    fn live_tables_follow_the_terminal() {
        let (mut reader, sink) = pipe().unwrap();
        let size = Rc::new(Cell::new(Size { columns: 80, rows: 5 }));
        let now = size.clone();
        let mut screen = Screen::new(Form::Live, sink, move || now.get());
        assert_eq!(screen.room().rows, 4);
        assert!(screen.show(Ok(lines(4))) && screen.show(Ok(lines(6))));
        size.set(Size { columns: 80, rows: 3 });
        assert!(screen.show(Ok(lines(6))));
        size.set(Size { columns: 40, rows: 9 });
        assert!(screen.show(Ok(lines(2))));
        screen.finish(&lines(3)).unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        let expected = "0\n1\n2\n3\n\x1b[4A\x1b[J0\n1\n2\n+3\n\x1b[4A\x1b[J0\n+5\n\
                        \x1b[H\x1b[J0\n1\n\x1b[2A\x1b[J0\n1\n2\n";
        assert_eq!(text, expected);
    }
}
