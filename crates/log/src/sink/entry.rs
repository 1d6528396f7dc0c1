//! A line as plain data.

use tautline_bus::{Corrupt, Layout};
use zerocopy::{Immutable, IntoBytes, TryFromBytes};

use crate::{Level, Line};

/// Bytes of all texts of a line together.
const ROOM: usize = 1000;

/// A line in 1,024 bytes, which threads and processes can hand to each other.
///
/// It holds all of a [`Line`] but its fields, as far as 1,000 bytes go: what is longer is cut, and
/// said to be.
///
/// ```
/// use tautline_log::{Level, Line, sink::Entry};
/// let line = Line {
///     time: 1, level: Level::Warn, target: "app", file: "src/main.rs", line: 7, thread: "main",
///     message: "late by 3 ms", truncated: false, fields: &[],
/// };
/// assert_eq!(Entry::of(&line).line(), Ok(line));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Layout, TryFromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Entry {
    time: u64,
    line: u32,
    /// The ends of target, file, thread and message in `text`.
    ends: [u16; 4],
    level: u8,
    truncated: u8,
    reserved: u16,
    text: [u8; ROOM],
}

const _: () = assert!(size_of::<Entry>() == 1024);

impl Entry {
    /// Copies a line.
    pub fn of(line: &Line<'_>) -> Self {
        let mut entry = Self {
            time: line.time,
            line: line.line,
            ends: [0; 4],
            level: line.level as u8,
            truncated: line.truncated.into(),
            reserved: 0,
            text: [0; ROOM],
        };
        let mut end = 0;
        for (at, text) in [line.target, line.file, line.thread, line.message].iter().enumerate() {
            // None but the message takes more than a fifth: there has to be room for that.
            let room = if at == 3 { ROOM - end } else { ROOM / 5 };
            let kept = &text[..text.floor_char_boundary(room)];
            entry.text[end..end + kept.len()].copy_from_slice(kept.as_bytes());
            end += kept.len();
            entry.ends[at] = end as u16; // at most ROOM
            entry.truncated |= u8::from(kept.len() < text.len());
        }
        entry
    }

    /// The line that it is a copy of. It may come from another process: nothing in it is trusted.
    ///
    /// # Errors
    /// [`Corrupt`]: no line was copied here.
    pub fn line(&self) -> Result<Line<'_>, Corrupt> {
        let mut start = 0;
        let mut texts = [""; 4];
        for (text, end) in texts.iter_mut().zip(self.ends) {
            let bytes = self.text.get(start..end.into()).ok_or(Corrupt)?;
            *text = str::from_utf8(bytes).map_err(|_| Corrupt)?;
            start = end.into();
        }
        let [target, file, thread, message] = texts;
        Ok(Line {
            time: self.time,
            level: Level::from_number(self.level).ok_or(Corrupt)?,
            target,
            file,
            line: self.line,
            thread,
            message,
            truncated: self.truncated != 0,
            fields: &[],
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sink::testing::line;

    /// Proves that a line that is too long is cut between characters and marked, with room left for
    /// its message however long the rest is.
    #[test]
    fn long_lines_are_cut_and_marked() {
        let long = "é".repeat(1_000);
        let line = Line { target: &long, file: &long, thread: &long, ..line(&long) };
        let entry = Entry::of(&line);
        let copy = entry.line().unwrap();
        assert!(copy.truncated);
        assert_eq!((copy.target.len(), copy.message.len()), (200, 400));
        assert_eq!(Entry { level: 0, ..entry }.line(), Err(Corrupt), "no level is 0");
    }

    proptest! {
        /// Proves that any bytes give a line or an error.
        #[test]
        fn any_bytes_give_a_line_or_an_error(
            ends: [u16; 4], level in 0..8_u8, bytes in prop::collection::vec(any::<u8>(), ROOM),
        ) {
            let ends = ends.map(|end| end % 1_200);
            let text = bytes.try_into().unwrap();
            let entry = Entry { ends, level, text, ..Entry::of(&line("")) };
            if let Ok(line) = entry.line() {
                prop_assert!(line.message.len() <= ROOM && (1..=5).contains(&level));
            }
        }

        /// Proves that what fits comes back.
        #[test]
        fn what_fits_comes_back(message in ".{0,200}", target in ".{0,40}", time: u64) {
            let line = Line { target: &target, time, ..line(&message) };
            let entry = Entry::of(&line);
            prop_assert_eq!(entry.line(), Ok(line));
        }
    }
}
