//! Messages, inflated.

use std::fmt;

use zlib_rs::{Inflate, InflateFlush, Status};

use super::{Exhausted, MARKER, Part, Pool, Terms};

/// Expands the messages that one side of a connection receives.
///
/// Input comes as it comes, output goes where there is room; [`Next`] says what is wanted then.
///
/// ```
/// use tautline_websocket::deflate::{Inflater, Next, Part, Pool, Terms};
/// let terms = Terms { takeover: false, window_bits: 15 };
/// let mut inflater = Inflater::new(&Pool::default(), terms, 5);
/// let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
/// let mut room = [0; 4];
/// let first = inflater.inflate(&hello, &mut room, Part::Last)?;
/// assert_eq!((&room[..first.produced], first.next), (&b"Hell"[..], Next::Room));
/// let rest = inflater.inflate(&hello[first.consumed..], &mut room, Part::Last)?;
/// assert_eq!((&room[..rest.produced], rest.next), (&b"o"[..], Next::Message));
/// # Ok::<(), tautline_websocket::deflate::InflateError>(())
/// ```
pub struct Inflater {
    pool: Pool,
    takeover: bool,
    /// Most bytes of a message.
    limit: usize,
    /// There is one while a message is under way, and with takeover from the first message on.
    context: Option<Inflate>,
    /// Bytes of the message that have come out.
    inflated: usize,
    /// Bytes of the marker that were put behind the message.
    marked: usize,
    /// Whether the context has seen nothing of a block that has not ended: there is nothing to be ended.
    is_at_end: bool,
    /// Whether there may be more output than there was room for.
    is_full: bool,
    /// Whether there is a byte of the message for which there was no room, and which.
    is_held: bool,
    held: u8,
}

/// How far a piece has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inflated {
    /// Bytes of the input that were taken.
    pub consumed: usize,
    /// Bytes of the room that were written.
    pub produced: usize,
    /// What is wanted now.
    pub next: Next,
}

/// What an [`Inflater`] wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// More of this message: all of the piece has been taken, and what came of it is out.
    Input,
    /// More room. The rest of the input, even if there is none, is to be given again.
    Room,
    /// The next message: this one is whole.
    Message,
}

/// Why a message cannot be inflated. The connection fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// It was not deflated.
    #[error("a compressed message cannot be inflated: the peer's data is corrupt")]
    Corrupt,
    /// It expands to more than is allowed.
    #[error(
        "a compressed message expands to more than {limit} bytes: raise the limit on messages if \
             that is meant"
    )]
    Large {
        /// Bytes that are allowed.
        limit: usize,
    },
    /// There is no memory for it.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
}

impl InflateError {
    /// The code with which the connection is to be closed: 1007 for data that is none, 1009 for too
    /// much of it, 1013 (try again later) without memory.
    //= RFC 6455 §7.4.1
    pub fn close_code(&self) -> u16 {
        match self {
            Self::Corrupt => 1007,
            Self::Large { .. } => 1009,
            Self::Exhausted(_) => 1013,
        }
    }
}

/// What one call of the decompressor has done.
struct Step {
    consumed: usize,
    produced: usize,
    has_ended: bool,
}

impl Inflater {
    /// For what one side receives as was agreed, that is, what the other side sends:
    /// [`Agreed::client`](super::Agreed::client) or [`Agreed::server`](super::Agreed::server). A
    /// message may expand to `limit` bytes.
    pub fn new(pool: &Pool, terms: Terms, limit: usize) -> Self {
        Self {
            pool: pool.clone(),
            takeover: terms.takeover,
            limit,
            context: None,
            inflated: 0,
            marked: 0,
            is_at_end: true,
            is_full: false,
            is_held: false,
            held: 0,
        }
    }

    /// Whether it has a context, which is [`INFLATER_BYTES`](super::INFLATER_BYTES) of memory.
    pub fn has_context(&self) -> bool {
        self.context.is_some()
    }

    /// Takes a piece of the payload of a message whose first frame says that it is compressed.
    ///
    /// Blocks that say that they are the last are followed by others all the same; what came before
    /// such a block cannot be referred to any more.
    ///
    /// # Errors
    /// [`InflateError`]. What has come of the message so far is not to be used: the connection fails.
    //= RFC 7692 §7.2.2
    pub fn inflate(
        &mut self,
        input: &[u8],
        out: &mut [u8],
        part: Part,
    ) -> Result<Inflated, InflateError> {
        let mut done = Inflated { consumed: 0, produced: 0, next: Next::Input };
        loop {
            if !self.hand_out(out, &mut done) {
                return Ok(Inflated { next: Next::Room, ..done });
            }
            let rest = &input[done.consumed..];
            let is_marker = rest.is_empty() && !self.is_full && part == Part::Last;
            let source = if is_marker { self.owed() } else { rest };
            if source.is_empty() && !self.is_full {
                break;
            }
            let step = self.step(source, &mut out[done.produced..])?;
            done.produced += step.produced;
            if !is_marker {
                done.consumed += step.consumed;
                continue;
            }
            // It ends a message, and says nothing: else it was taken for a part of the message.
            if self.is_held || step.produced > 0 || step.has_ended {
                return Err(self.fails(InflateError::Corrupt));
            }
            self.marked += step.consumed;
        }
        if part == Part::Last {
            done.next = Next::Message;
            self.end();
        }
        Ok(done)
    }

    /// Hands out the byte that is held, if there is one. Is there room for it?
    fn hand_out(&mut self, out: &mut [u8], done: &mut Inflated) -> bool {
        if !self.is_held {
            return true;
        }
        let Some(room) = out.get_mut(done.produced) else { return false };
        *room = self.held;
        done.produced += 1;
        self.is_held = false;
        true
    }

    /// What is missing behind the message that has come in full.
    fn owed(&self) -> &'static [u8] {
        if self.is_at_end { &[] } else { &MARKER[self.marked..] }
    }

    /// One call of the decompressor: into the room, as far as the limit allows, or else into the one byte
    /// that is held, which shows whether there is anything more.
    fn step(&mut self, source: &[u8], room: &mut [u8]) -> Result<Step, InflateError> {
        let mut context = match self.context.take() {
            Some(context) => context,
            None => self.pool.lend_inflater()?,
        };
        let left = self.limit - self.inflated;
        let most = room.len().min(left);
        let mut held = [0];
        let into = if most == 0 { &mut held[..] } else { &mut room[..most] };
        let (before_in, before_out) = (context.total_in(), context.total_out());
        let status = context.decompress(source, into, InflateFlush::NoFlush);
        let consumed = (context.total_in() - before_in) as usize;
        let produced = (context.total_out() - before_out) as usize;
        let has_ended = matches!(status, Ok(Status::StreamEnd));
        let is_stuck = consumed + produced == 0 && !has_ended && !source.is_empty();
        self.is_full = produced == into.len() && !has_ended;
        self.is_at_end = has_ended || (self.is_at_end && consumed == 0);
        if has_ended {
            context.reset(false);
        }
        self.context = Some(context);
        if status.is_err() || is_stuck {
            return Err(self.fails(InflateError::Corrupt));
        }
        if produced > left {
            return Err(self.fails(InflateError::Large { limit: self.limit }));
        }
        self.inflated += produced;
        if most > 0 {
            return Ok(Step { consumed, produced, has_ended });
        }
        (self.is_held, self.held) = (produced > 0, held[0]);
        Ok(Step { consumed, produced: 0, has_ended })
    }

    /// The message is whole.
    //= RFC 7692 §7.1.1
    fn end(&mut self) {
        (self.inflated, self.marked) = (0, 0);
        (self.is_at_end, self.is_full, self.is_held) = (true, false, false);
        if !self.takeover {
            self.give_back();
        }
    }

    /// What is known of the messages before is worth nothing any more.
    fn fails(&mut self, error: InflateError) -> InflateError {
        self.end();
        self.give_back();
        error
    }

    fn give_back(&mut self) {
        if let Some(context) = self.context.take() {
            self.pool.give_back_inflater(context);
        }
    }
}

impl Drop for Inflater {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater")
            .field("takeover", &self.takeover)
            .field("limit", &self.limit)
            .field("has_context", &self.has_context())
            .field("inflated", &self.inflated)
            .finish_non_exhaustive()
    }
}
