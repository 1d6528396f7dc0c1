//! Lines, out of bytes that come in pieces.

/// Divides bytes into lines.
#[derive(Debug)]
pub(crate) struct Lines {
    bytes: Vec<u8>,
    /// Where the next line begins.
    start: usize,
    /// Where its end was looked for in vain.
    seen: usize,
    /// Bytes that a line may have.
    most: usize,
    /// Lines so far.
    count: u64,
}

/// A line has more bytes than it may.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong {
    /// Which one, from 1 on.
    pub(crate) line: u64,
}

impl Lines {
    /// Lines of at most so many bytes.
    pub(crate) fn of_at_most(most: usize) -> Self {
        Self { bytes: Vec::new(), start: 0, seen: 0, most, count: 0 }
    }

    /// Takes more bytes, behind those of which all whole lines were taken out.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.seen -= self.start;
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole line, without its end; `None`: there is none yet.
    ///
    /// # Errors
    /// [`TooLong`], also while its end has not come.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, TooLong> {
        let end = self.bytes[self.seen..].iter().position(|byte| *byte == b'\n');
        let end = end.map(|at| self.seen + at);
        let len = end.unwrap_or(self.bytes.len()) - self.start;
        if len > self.most {
            return Err(TooLong { line: self.count + 1 });
        }
        let Some(end) = end else {
            self.seen = self.bytes.len();
            return Ok(None);
        };
        let line = &self.bytes[self.start..end];
        (self.start, self.seen) = (end + 1, end + 1);
        self.count += 1;
        Ok(Some(line))
    }

    /// What is left behind the last whole line, if anything is: the last line, at the end.
    pub(crate) fn rest(&self) -> Option<&[u8]> {
        Some(&self.bytes[self.start..]).filter(|rest| !rest.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(pieces: &[&[u8]], most: usize) -> Result<Vec<Vec<u8>>, TooLong> {
        let (mut lines, mut found) = (Lines::of_at_most(most), Vec::new());
        for piece in pieces {
            lines.push(piece);
            while let Some(line) = lines.next()? {
                found.push(line.to_vec());
            }
        }
        found.extend(lines.rest().map(<[u8]>::to_vec));
        Ok(found)
    }

    /// Proves that a line that is too long is named, at once and not when its end comes.
    #[test]
    fn long_lines_are_refused() {
        assert_eq!(lines(&[b"ab\nabcd\n"], 3), Err(TooLong { line: 2 }));
        assert_eq!(lines(&[b"ab\nab", b"cd"], 3), Err(TooLong { line: 2 }));
        assert_eq!(lines(&[b"ab\nabc"], 3), Ok(vec![b"ab".to_vec(), b"abc".to_vec()]));
    }

    proptest! {
        /// Proves that lines are the same, however the bytes are divided.
        #[test]
        fn pieces_do_not_matter(text in "[ab\n]{0,60}", at in proptest::collection::vec(0..60usize, 0..4)) {
            let mut cuts: Vec<_> = at.into_iter().map(|at| at.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|cut| &text.as_bytes()[cut[0]..cut[1]]).collect();
            let wanted: Vec<_> = text.split_terminator('\n').map(|line| line.as_bytes().to_vec()).collect();
            prop_assert_eq!(lines(&pieces, 100).unwrap(), wanted);
        }
    }
}
