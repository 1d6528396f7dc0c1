//! What a sequencer tells.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use crate::format::{Format, Lie, Session};

/// A line on which packets come, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Line(pub u8);

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.0)
    }
}

/// Where packets come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A line.
    Line(Line),
    /// What was asked for.
    Replay,
    /// What a snapshot holds need not come.
    Snapshot,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => line.fmt(f),
            Self::Replay => f.write_str("replay"),
            Self::Snapshot => f.write_str("snapshot"),
        }
    }
}

/// Something that a sequencer tells, in the order in which it is.
///
/// Numbers have 64 bits, whatever the format's, and do not wrap around.
#[derive(Clone, Copy)]
pub enum Event<'a, F> {
    /// The next messages.
    Messages(Run<'a, F>),
    /// A session begins: the number that comes next.
    Began {
        /// The session.
        session: Session,
        /// The number.
        next: u64,
    },
    /// A gap has appeared.
    Gap(Gap),
    /// Please ask whoever has them for these messages, and hand over what comes by
    /// [`Sequencer::replayed`](super::Sequencer::replayed). What lies between several gaps may have
    /// come already.
    Request {
        /// The first, as it is on the wire.
        wire: u64,
        /// The messages.
        missing: Numbers,
        /// How often they have been asked for, this time included.
        attempt: u32,
    },
    /// All of a gap has come, or is in a snapshot. Told of gaps of which nothing was lost.
    Repaired {
        /// The gap, as it was told.
        gap: Numbers,
        /// Where the last of it came from.
        by: Source,
    },
    /// These messages are not coming any more. What comes of them later is left alone.
    Lost {
        /// The messages, which are next.
        numbers: Numbers,
        /// Why not.
        why: Lost,
    },
    /// A packet that says something else than what is in it: it counts as not received. One of which
    /// all has been told already is not looked into.
    Malformed {
        /// Where it came from.
        source: Source,
        /// The number of its first message.
        first: u64,
        /// Messages that it says that it has.
        count: u16,
    },
    /// A packet was left alone whose number is far from all others.
    Absurd {
        /// Where it came from.
        source: Source,
        /// Its number.
        number: u64,
        /// The number that would have come next.
        expected: u64,
    },
    /// Nothing has come on any line for [`Config::silence`](super::Config::silence).
    Stale,
    /// Something has, after that.
    Live,
    /// All messages of the session have been handed on, or told to be lost.
    Ended {
        /// The session.
        session: Session,
        /// The number behind the last.
        next: u64,
    },
}

impl<F> fmt::Debug for Event<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Messages(run) => write!(f, "Messages({run:?})"),
            Self::Began { session, next } => write!(f, "Began({session}, next {next})"),
            Self::Gap(Gap { missing, present, future }) => {
                write!(f, "Gap({missing}, present {present}, future {future})")
            }
            Self::Request { missing, attempt, .. } => {
                write!(f, "Request({missing}, attempt {attempt})")
            }
            Self::Repaired { gap, by } => write!(f, "Repaired({gap}, by {by:?})"),
            Self::Lost { numbers, why } => write!(f, "Lost({numbers}, {why:?})"),
            Self::Malformed { source, first, count } => {
                write!(f, "Malformed({source:?}, {first}, {count} messages)")
            }
            Self::Absurd { source, number, expected } => {
                write!(f, "Absurd({source:?}, {number}, expected {expected})")
            }
            Self::Stale => f.write_str("Stale"),
            Self::Live => f.write_str("Live"),
            Self::Ended { session, next } => write!(f, "Ended({session}, next {next})"),
        }
    }
}

/// A gap, when it appears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gap {
    /// The messages that have not come.
    pub missing: Numbers,
    /// All below this number has been handed on.
    pub present: u64,
    /// All that has been seen lies below this number.
    pub future: u64,
}

/// Numbers in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Numbers {
    /// The first.
    pub first: u64,
    /// Behind the last.
    pub end: u64,
}

impl Numbers {
    /// As many as there are, at least one.
    #[allow(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(self) -> u64 {
        self.end - self.first
    }

    /// The same as a range.
    pub fn range(self) -> Range<u64> {
        self.first..self.end
    }
}

impl From<Range<u64>> for Numbers {
    fn from(range: Range<u64>) -> Self {
        Self { first: range.start, end: range.end }
    }
}

impl fmt::Display for Numbers {
    /// The first, the last and how many: `5 to 7 (3)`. One stands alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.len() {
            1 => self.first.fmt(f),
            count => write!(f, "{} to {} ({count})", self.first, self.end - 1),
        }
    }
}

/// Why messages are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lost {
    /// They have not come in time ([`Config::deadline`](super::Config::deadline)).
    Deadline,
    /// There was no room to wait for them: the window, the table of gaps or the store is full.
    NoSpace,
    /// The sender has gone on elsewhere, without a new session.
    Jumped,
    /// Another session has begun.
    SessionOver,
    /// They were kept for a snapshot that took too long, and given up for newer ones.
    SnapshotLate,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deadline => "they have not come in time",
            Self::NoSpace => "there is no room to wait for them",
            Self::Jumped => "the sender has gone on elsewhere",
            Self::SessionOver => "another session has begun",
            Self::SnapshotLate => "the snapshot took too long",
        })
    }
}

/// Messages in a row, where they lie.
pub struct Run<'a, F> {
    /// The number of the first.
    pub first: u64,
    /// As many, at least one.
    pub count: u16,
    /// The messages, each behind its length.
    pub body: &'a [u8],
    /// Where they came from.
    pub source: Source,
    pub(super) lie: Lie,
    pub(super) format: PhantomData<F>,
}

impl<'a, F: Format> Run<'a, F> {
    /// The messages with their numbers.
    #[inline]
    pub fn messages(self) -> impl Iterator<Item = (u64, &'a [u8])> {
        let mut body = self.body;
        (0..u64::from(self.count)).map_while(move |at| {
            let message = match self.lie {
                // Where the next one begins does not depend on this one's length.
                Lie::Even(each) => {
                    let (bytes, rest) = body.split_at_checked(each)?;
                    body = rest;
                    F::split(bytes)?.0
                }
                Lie::AsTheyCome => {
                    let (message, rest) = F::split(body)?;
                    body = rest;
                    message
                }
            };
            Some((self.first + at, message))
        })
    }
}

impl<F> Clone for Run<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F> Copy for Run<'_, F> {}

impl<F> fmt::Debug for Run<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.first, self.first + u64::from(self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told reads as a sentence goes on, and not as code.
    #[test]
    fn events_read_as_text() {
        let sources = [Source::Line(Line(1)), Source::Replay, Source::Snapshot];
        assert_eq!(sources.map(|source| source.to_string()), ["line 1", "replay", "snapshot"]);
        assert_eq!(Lost::SessionOver.to_string(), "another session has begun");
        let numbers = [5..8, 5..7, 5..6].map(|range| Numbers::from(range).to_string());
        assert_eq!(numbers, ["5 to 7 (3)", "5 to 6 (2)", "5"]);
    }
}
