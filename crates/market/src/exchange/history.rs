//! The latest messages, for those who have missed them.

use std::ops::Range;

use tautline_feed::format::{BuildError, Builder, Format, Session};

use super::ConfigError;
use crate::message::Message;

/// The latest messages of a session, by their numbers, which begin with 1. The oldest make room.
#[derive(Debug)]
pub struct History {
    kept: Box<[Kept]>,
    next: u64,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    len: u8,
    bytes: [u8; Message::LONGEST],
}

/// Why a message is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Absent {
    /// It has made room for later ones.
    #[error("it is not kept any more: the oldest that is has the number {oldest}")]
    TooOld {
        /// The number of the oldest that is kept.
        oldest: u64,
    },
    /// It has not been sent.
    #[error("it has not been sent: the next has the number {next}")]
    NotYet {
        /// The number of the next that will be.
        next: u64,
    },
}

impl History {
    /// For so many messages, at least one.
    ///
    /// # Errors
    /// [`ConfigError::History`], [`ConfigError::Memory`].
    pub fn new(messages: usize) -> Result<Self, ConfigError> {
        if messages == 0 {
            return Err(ConfigError::History);
        }
        let mut kept = Vec::new();
        let memory = |_| ConfigError::Memory { messages };
        kept.try_reserve_exact(messages).map_err(memory)?;
        kept.resize(messages, Kept { len: 0, bytes: [0; Message::LONGEST] });
        Ok(Self { kept: kept.into(), next: 1 })
    }

    /// Keeps the next message.
    pub fn push(&mut self, message: &Message) {
        let place = self.place(self.next);
        let kept = &mut self.kept[place];
        kept.len = message.encode(&mut kept.bytes).len() as u8;
        self.next += 1;
    }

    fn place(&self, number: u64) -> usize {
        (number % self.kept.len() as u64) as usize
    }

    /// The number of the next message.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The number of the oldest message that is kept, or of the next if there is none.
    pub fn oldest(&self) -> u64 {
        self.next.saturating_sub(self.kept.len() as u64).max(1)
    }

    /// The bytes of a message.
    ///
    /// # Errors
    /// [`Absent`].
    pub fn get(&self, number: u64) -> Result<&[u8], Absent> {
        if number >= self.next {
            return Err(Absent::NotYet { next: self.next });
        }
        if number < self.oldest() {
            return Err(Absent::TooOld { oldest: self.oldest() });
        }
        let kept = &self.kept[self.place(number)];
        Ok(&kept.bytes[..usize::from(kept.len)])
    }
}

/// Puts messages, all of which are kept, into a packet: as many as go into it. The packet, and the number
/// behind its last.
///
/// The room is at least one message large.
pub(crate) fn pack<'a, F: Format>(
    history: &History,
    session: Session,
    numbers: Range<u64>,
    room: &'a mut [u8],
) -> (&'a [u8], u64) {
    let mut builder = Builder::<F>::new(room, session, numbers.start).expect("a header fits");
    let mut at = numbers.start;
    while at < numbers.end {
        match builder.push(history.get(at).expect("it is kept")) {
            Ok(()) => at += 1,
            Err(BuildError::Full { .. } | BuildError::Many { .. }) => break,
            Err(BuildError::Long { .. }) => unreachable!("formats take any message"),
        }
    }
    assert!(at > numbers.start, "a message fits");
    (builder.finish(), at)
}
