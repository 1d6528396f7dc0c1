//! What is printed, without waiting for whoever reads it.

use std::io::{self, Write};

use crate::Failure;
use crate::writer::Writer;

/// Bytes that may wait here for a place among those that the writer has.
const ROOM: usize = 1 << 20;

/// Prints lines by a thread of its own. Bounded: lines for which there is no room are counted.
pub(crate) struct Page {
    /// Until the end.
    writer: Option<Writer>,
    /// What the writer has not taken yet.
    text: Vec<u8>,
    missed: u64,
}

impl Page {
    /// Prints to `sink`.
    ///
    /// # Errors
    /// If the system grants no thread.
    pub(crate) fn to(sink: impl Write + Send + 'static) -> io::Result<Self> {
        Ok(Self { writer: Some(Writer::start(sink)?), text: Vec::new(), missed: 0 })
    }

    /// Takes lines, with their ends.
    pub(crate) fn put(&mut self, lines: &str) {
        if self.text.len() + lines.len() > ROOM {
            self.missed += lines.lines().count() as u64;
        } else {
            self.text.extend_from_slice(lines.as_bytes());
        }
    }

    /// That was all for now: it is printed, unless too much waits. False: nobody reads any more.
    pub(crate) fn rest(&mut self) -> bool {
        let Some(writer) = &self.writer else { return false };
        if !self.text.is_empty() {
            // What is refused waits for the next time.
            self.text = writer.take(std::mem::take(&mut self.text)).err().unwrap_or_default();
        }
        !writer.has_failed()
    }

    /// Lines that will not be printed.
    pub(crate) fn missed(&self) -> u64 {
        self.missed
    }

    /// Prints the last lines behind all others, and waits for that a moment.
    ///
    /// # Errors
    /// The first failure to print; [`Failure::Unread`].
    pub(crate) fn finish(&mut self, lines: &str) -> Result<(), Failure> {
        self.text.extend_from_slice(lines.as_bytes());
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let written = writer.finish_in_time(std::mem::take(&mut self.text));
        Ok(written.ok_or(Failure::Unread)??)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, pipe};

    use super::*;

    /// Proves that lines are printed in order, the last ones behind all others, also where more wait
    /// than the writer takes at once.
    #[test]
    fn lines_keep_their_order() {
        let (mut reader, sink) = pipe().unwrap();
        let mut page = Page::to(sink).unwrap();
        let wanted: String = (0..1_000).map(|at| format!("{at}\n")).collect();
        for line in wanted.split_inclusive('\n') {
            page.put(line);
            assert!(page.rest());
        }
        page.finish("end\n").unwrap();
        drop(page);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!((text, 0), (wanted + "end\n", 0));
    }

    /// Proves that a reader who does not read holds up nothing: lines are counted instead, and the end
    /// says that it was not read.
    #[test]
    fn unread_lines_are_counted() {
        let (_reader, sink) = pipe().unwrap();
        let mut page = Page::to(sink).unwrap();
        let lines = "x\n".repeat(ROOM / 4);
        for _ in 0..60 {
            page.put(&lines);
            assert!(page.rest());
        }
        assert!(page.missed() >= 20 * (ROOM / 4) as u64, "{}", page.missed());
        assert!(matches!(page.finish("end\n"), Err(Failure::Unread)));
    }
}
