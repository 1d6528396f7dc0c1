//! Lines into anything that can be written to.

use std::io::{self, ErrorKind, Write};

use super::{Form, Sink};
use crate::{Level, Line};

/// So many bytes are written together at the latest.
const BATCH: usize = 64 << 10;
/// So many bytes are kept while nothing can be written, and a line more.
const LIMIT: usize = 1 << 20;

/// Writes lines in batches: one write for all that were taken since the last flush.
///
/// While writes fail, 1 MiB of lines is kept; more are dropped, and counted. When they succeed again
/// the text goes on at the byte where it broke off, so that no line stays half-written, and a line
/// tells how many are missing. When nobody reads any more (`BrokenPipe`), what waits is lost at once:
/// whoever comes to read later is told how many lines are missing, and begins with a whole one.
///
/// ```
/// use tautline_log::{Level, Line, sink::{Json, Sink, Stream}};
/// # let line = Line { time: 0, level: Level::Info, target: "a", file: "", line: 1, thread: "",
/// #     message: "b", truncated: false, fields: &[] };
/// let mut sink = Stream::new(Vec::new(), Json::new());
/// sink.line(&line)?;
/// sink.flush()?;
/// assert!(sink.get_ref().starts_with(b"{\"time\":\"1970-01-01T00:00:00.000000000Z\""));
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct Stream<W, F> {
    writer: W,
    form: F,
    /// Text whose first `written` bytes are written.
    pending: String,
    written: usize,
    /// The last flush has not got everything out.
    owing: bool,
    /// The last write has failed, and was told of.
    failing: bool,
    /// Bytes of text taken since the start.
    taken: u64,
    lost: u64,
    /// How many of `lost` the text itself tells of.
    told: u64,
}

impl<W: Write, F: Form> Stream<W, F> {
    /// A sink that writes to `writer`.
    pub fn new(writer: W, form: F) -> Self {
        let (pending, written) = (String::with_capacity(2 * BATCH), 0);
        let (owing, failing) = (false, false);
        Self { writer, form, pending, written, owing, failing, taken: 0, lost: 0, told: 0 }
    }

    /// What it writes to.
    pub fn get_ref(&self) -> &W {
        &self.writer
    }

    /// The same, with lines of another form.
    pub(super) fn with_form<G: Form>(self, form: G) -> Stream<W, G> {
        Stream::new(self.writer, form)
    }

    /// Bytes of text taken since the start, written or not.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Whether nothing waits to be written.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Writes to another writer from now on; what waits goes there too.
    pub(super) fn replace(&mut self, writer: W) -> W {
        std::mem::replace(&mut self.writer, writer)
    }

    fn put(&mut self, line: &Line<'_>) {
        let before = self.pending.len();
        self.form.write(line, &mut self.pending);
        self.taken += (self.pending.len() - before) as u64;
    }

    /// Tells in the text of what it lacks, before a line that follows.
    fn tell_losses(&mut self, line: &Line<'_>) {
        let count = self.lost - self.told;
        self.told = self.lost;
        let message = format!("{count} lines before this one are lost: they could not be written");
        self.put(&Line {
            level: Level::Error,
            target: module_path!(),
            file: file!(),
            line: line!(),
            message: &message,
            truncated: false,
            fields: &[],
            ..*line
        });
    }

    /// Writes until nothing is left.
    fn write_all(&mut self) -> io::Result<()> {
        while self.written < self.pending.len() {
            match self.writer.write(&self.pending.as_bytes()[self.written..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(bytes) => self.written += bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.writer.flush()
    }

    /// Lines that are not written to their ends. A form makes one line of each.
    fn waiting(&self) -> u64 {
        self.pending.as_bytes()[self.written..].iter().filter(|byte| **byte == b'\n').count() as u64
    }

    /// Nobody will ever read what waits.
    fn give_up(&mut self) {
        self.lost += self.waiting();
        self.written = self.pending.len();
        self.owing = false;
    }

    /// Makes room, but for the rest of a character that is written in part.
    fn forget_written(&mut self) {
        let end = self.pending.floor_char_boundary(self.written);
        self.pending.drain(..end);
        self.written -= end;
    }
}

impl<W: Write + Send, F: Form> Sink for Stream<W, F> {
    fn line(&mut self, line: &Line<'_>) -> io::Result<()> {
        let waiting = self.pending.len() - self.written;
        let done = if waiting >= BATCH { self.flush() } else { Ok(()) };
        if self.pending.len() - self.written >= LIMIT {
            self.lost += 1;
            return done;
        }
        if self.lost > self.told && !self.failing {
            self.tell_losses(line);
        }
        self.put(line);
        done
    }

    fn flush(&mut self) -> io::Result<()> {
        let some = !self.pending.is_empty();
        let done = self.write_all();
        self.owing = done.is_err();
        if done.as_ref().is_err_and(|error| error.kind() == ErrorKind::BrokenPipe) {
            self.give_up();
        }
        self.forget_written();
        match done {
            Ok(()) => self.failing &= !some,
            // A pipe that somebody has set to be non-blocking, and that is not read at the moment.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if !self.failing => {
                self.failing = true;
                return Err(error);
            }
            Err(_) => {}
        }
        Ok(())
    }

    fn held(&self) -> u64 {
        // The writer may hold something back itself.
        if self.owing { self.waiting().max(1) } else { 0 }
    }

    fn lost(&self) -> u64 {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::Human;
    use crate::sink::testing::{Disk, line};

    fn stream() -> (Disk, Stream<Disk, Human>) {
        let disk = Disk::default();
        (disk.clone(), Stream::new(disk, Human::new()))
    }

    /// Proves that all lines up to a flush are written by one write, and that a batch has an end.
    #[test]
    fn batches_are_written_at_once() {
        let (disk, mut stream) = stream();
        (0..100).for_each(|_| stream.line(&line("short")).unwrap());
        assert_eq!(disk.writes(), 0);
        stream.flush().unwrap();
        stream.flush().unwrap();
        assert_eq!((disk.writes(), disk.text().lines().count()), (1, 100));
        (0..2_000).for_each(|_| stream.line(&line(&"x".repeat(100))).unwrap());
        assert!((2..10).contains(&disk.writes()), "{}", disk.writes());
    }

    /// Proves that a full disk is told of once, that no line stays half-written, and that exactly the
    /// lines that are missing are counted, in the log too.
    #[test]
    fn full_disk_loses_whole_lines_and_counts_them() {
        let (disk, mut stream) = stream();
        stream.line(&line("first")).unwrap();
        disk.set_room(Some(30)); // the first line, in part
        assert_eq!(stream.flush().unwrap_err().kind(), ErrorKind::StorageFull);
        let text = "x".repeat(1_000);
        for _ in 0..3_000 {
            stream.line(&line(&text)).unwrap();
        }
        stream.flush().unwrap(); // fails, and is not told of again
        disk.set_room(None);
        stream.flush().unwrap();
        let kept = disk.text().lines().filter(|line| line.ends_with(&text)).count() as u64;
        assert_eq!((kept + stream.lost(), kept > 900), (3_000, true), "{kept}");
        assert!(disk.text().starts_with("2025-11-30T04:51:19.123456Z  INFO app::feed: first\n"));
        stream.line(&line("last")).unwrap();
        stream.flush().unwrap();
        let text = disk.text();
        let ending: Vec<_> = text.lines().rev().take(2).collect();
        assert!(ending[1].contains(&format!("{} lines before this one are lost", stream.lost())));
        assert!(ending[0].ends_with("app::feed: last"));
        disk.set_room(Some(0));
        stream.line(&line("again")).unwrap();
        assert!(stream.flush().is_err(), "after a success in between it is news again");
    }

    /// Proves that taking and writing a line allocates nothing.
    #[test]
    fn lines_allocate_nothing() {
        let mut stream = Stream::new(io::sink(), Human::new().threads(true).places(true));
        stream.line(&line("warm")).unwrap();
        let counted = allocation_counter::measure(|| {
            (0..5_000).for_each(|_| stream.line(&line("a message like others\n")).unwrap());
            stream.flush().unwrap();
        });
        assert_eq!(counted.count_total, 0);
    }
}
