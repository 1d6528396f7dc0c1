//! What a gateway wants done, and what it tells.

use tautline_feed::format::Session;
use tautline_feed::sequence::{Gap, Line, Lost, Numbers, Source};

use super::{Quote, Rival};
use crate::book::BookError;
use crate::message::DecodeError;
use crate::replay::{Refusal, Request};

/// Something that a gateway wants done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Output {
    /// Please ask the replay server, and hand what it answers to [`Gateway::answer`](super::Gateway::answer).
    Replay(Request),
    /// Please ask the snapshot server, and hand what it answers to
    /// [`Gateway::snapshot`](super::Gateway::snapshot). What is still to come of another is not wanted any
    /// more.
    Snapshot,
    /// Please publish.
    Publish(Quote),
    /// Somebody might want to know.
    Notice(Notice),
}

/// Something that somebody might want to know.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Notice {
    /// A session begins: the number that comes next.
    Began {
        /// The session.
        session: Session,
        /// The number.
        next: u64,
    },
    /// A gap has appeared.
    Gap(Gap),
    /// All of a gap has come, or is in a snapshot.
    Repaired {
        /// The gap, as it was told.
        gap: Numbers,
        /// Where the last of it came from.
        by: Source,
    },
    /// These messages are not coming any more.
    Lost {
        /// The messages.
        numbers: Numbers,
        /// Why not.
        why: Lost,
    },
    /// The books are in doubt from now on.
    Doubt(Doubt),
    /// The books are sound again.
    Sound {
        /// The number of the first message that is not in them.
        next: u64,
    },
    /// The replay server does not have what it was asked for.
    Refused(Refusal),
    /// A snapshot was of no use.
    Snapshot(SnapshotError),
    /// A packet that says something else than what is in it.
    Malformed {
        /// Where it came from.
        source: Source,
    },
    /// A packet was left alone whose number is far from all others.
    Absurd {
        /// Where it came from.
        source: Source,
        /// Its number.
        number: u64,
    },
    /// Nothing has come on any line for a while.
    Stale,
    /// Something has, after that.
    Live,
    /// Two exchanges send to the same groups. Told once for each session that goes on, and once more if it
    /// is over and the other one is not.
    TwoSessions {
        /// The session that is followed: it began last.
        session: Session,
        /// The other one.
        rival: Rival,
        /// The session that is followed is over: only a new gateway follows the other one.
        is_over: bool,
    },
    /// Datagrams come that are no packets of the format. Told of the first.
    Strange {
        /// The line by which it came.
        line: Line,
    },
    /// The session is over.
    Ended {
        /// The session.
        session: Session,
        /// The number behind the last.
        next: u64,
    },
}

/// Why books are in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// Nobody knows what has been before.
    #[error("the session was joined on its way")]
    Joined,
    /// Messages are lost.
    #[error("messages are lost: {0}")]
    Lost(Numbers),
    /// Messages are missing that nobody has any more.
    #[error("messages are missing that the replay server does not keep any more")]
    TooOld,
    /// A message cannot be.
    #[error("message {number}: {error}")]
    Impossible {
        /// Its number.
        number: u64,
        /// Why not.
        error: BookError,
    },
    /// A message is none.
    #[error("message {number}: {error}")]
    Unreadable {
        /// Its number.
        number: u64,
        /// Why not.
        error: DecodeError,
    },
}

/// Why a snapshot is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// It is of another session.
    #[error("the snapshot is of session {0}, which is not the one of the lines")]
    OtherSession(Session),
    /// It has other books.
    #[error(
        "the snapshot has {theirs} instruments, the gateway {ours}: set instruments to {theirs} \
         (--instruments {theirs})"
    )]
    Instruments {
        /// As many it has.
        theirs: u32,
        /// As many there are here.
        ours: u32,
    },
    /// Later messages have been handed on, or told to be lost.
    #[error(
        "the snapshot ends before message {next}, and {present} is next here: a newer one is asked for"
    )]
    TooOld {
        /// The number of the first message that is not in it.
        next: u64,
        /// The number that is handed on next.
        present: u64,
    },
    /// It does not go into the books.
    #[error("the snapshot cannot be: {0}")]
    Impossible(BookError),
    /// It is not what was sent.
    #[error("the snapshot has the checksum {theirs:#018x}, its books have {ours:#018x}")]
    Checksum {
        /// What it says.
        theirs: u64,
        /// What it is.
        ours: u64,
    },
}

/// What a gateway has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Messages that have changed a book.
    pub updates: u64,
    /// Messages that were left out because the books were in doubt.
    pub skipped: u64,
    /// Quotes published.
    pub quotes: u64,
    /// Times that the books came to be in doubt.
    pub doubts: u64,
    /// Snapshots asked for.
    pub snapshots_asked: u64,
    /// Snapshots taken.
    pub snapshots: u64,
    /// Snapshots that were of no use, or did not come to their end.
    pub snapshots_failed: u64,
    /// Packets that came from the replay server.
    pub replayed: u64,
    /// Refusals that came from it.
    pub replay_refused: u64,
    /// Datagrams, or answers, that are no packets of the format.
    pub strange: u64,
}
