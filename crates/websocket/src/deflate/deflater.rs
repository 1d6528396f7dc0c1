//! Messages, deflated.

use std::fmt;

use zlib_rs::DeflateFlush;

use super::pool::Context;
use super::{Config, Exhausted, MARKER, Part, Pool, Terms};

/// Compresses the messages that one side of a connection sends.
///
/// A message is given in one piece or in many, each with room for what comes of it:
///
/// ```
/// use tautline_websocket::deflate::{Config, Deflater, Part, Pool, Terms, bound};
/// let terms = Terms { takeover: false, window_bits: 15 };
/// let mut deflater = Deflater::new(&Pool::default(), terms, &Config::default());
/// assert!(deflater.wants(1000) && !deflater.wants(10));
///
/// let mut room = vec![0; bound(10)];
/// let first = deflater.deflate(b"Hello", &mut room, Part::Middle)?;
/// assert_eq!(first.consumed, 5);
/// let last = deflater.deflate(b"Hello", &mut room[first.produced..], Part::Last)?;
/// assert!(last.is_done);
/// let payload = &room[..first.produced + last.produced];
/// assert!(payload.len() <= bound(10));
/// # Ok::<(), tautline_websocket::deflate::Exhausted>(())
/// ```
pub struct Deflater {
    pool: Pool,
    terms: Terms,
    level: u8,
    at_least: usize,
    /// There is one while a message is under way, and with takeover from the first message on.
    context: Option<Context>,
    /// Whether the message that is under way has any bytes yet.
    is_fed: bool,
    /// Whether all of the message has been through the compressor.
    is_flushed: bool,
    stash: Stash,
}

/// How far a piece has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deflated {
    /// Bytes of the input that were taken.
    pub consumed: usize,
    /// Bytes of the room that were written.
    pub produced: usize,
    /// Whether that is all that comes of the piece. If not, the rest of the input, even if there is
    /// none, is to be given again with more room.
    pub is_done: bool,
}

/// The most that a message of so many bytes can be when it is deflated in one piece: with as much room
/// it is done at once.
pub const fn bound(len: usize) -> usize {
    len + len / 8 + len / 64 + 64
}

/// What has been produced, and has not been handed out: what there was no room for, and up to four
/// bytes that may be the marker.
struct Stash {
    bytes: [u8; 64],
    len: usize,
}

impl Stash {
    /// Hands out all but the youngest `keep` bytes, as far as there is room; returns how many.
    fn hand_out(&mut self, room: &mut [u8], keep: usize) -> usize {
        let n = self.len.saturating_sub(keep).min(room.len());
        room[..n].copy_from_slice(&self.bytes[..n]);
        self.bytes.copy_within(n..self.len, 0);
        self.len -= n;
        n
    }

    /// Takes back the youngest bytes of what was written; returns how many are left.
    fn take_back(&mut self, written: &[u8]) -> usize {
        let left = written.len().saturating_sub(MARKER.len());
        self.len = written.len() - left;
        self.bytes[..self.len].copy_from_slice(&written[left..]);
        left
    }

    /// Forgets the marker of the last flush.
    fn drop_marker(&mut self) {
        debug_assert!(self.bytes[..self.len].ends_with(&MARKER), "a flush ends with its marker");
        self.len -= MARKER.len();
    }
}

impl Deflater {
    /// For what one side sends as was agreed: [`Agreed::client`](super::Agreed::client) or
    /// [`Agreed::server`](super::Agreed::server).
    pub fn new(pool: &Pool, terms: Terms, config: &Config) -> Self {
        Self {
            pool: pool.clone(),
            terms,
            level: config.level.clamp(1, 9),
            at_least: config.at_least,
            context: None,
            is_fed: false,
            is_flushed: false,
            stash: Stash { bytes: [0; 64], len: 0 },
        }
    }

    /// Whether a message of that many bytes is worth it. No other may be deflated if the terms are
    /// [such](Terms::can_be_compressed); otherwise that is for the caller to say for each message.
    pub fn wants(&self, len: usize) -> bool {
        self.terms.can_be_compressed() && len >= self.at_least
    }

    /// Whether it has a context, which is [`deflater_bytes`](super::deflater_bytes) of memory.
    pub fn has_context(&self) -> bool {
        self.context.is_some()
    }

    /// Takes a piece of a message, as much of it as there is room for what comes of it.
    ///
    /// # Errors
    /// [`Exhausted`]: the pool has no context. Only the first bytes of a message can meet with that;
    /// nothing of it has been taken then, and it may be sent as it is.
    ///
    /// # Panics
    /// If the terms leave no window that can be kept to.
    //= RFC 7692 §7.2.1
    pub fn deflate(
        &mut self,
        input: &[u8],
        out: &mut [u8],
        part: Part,
    ) -> Result<Deflated, Exhausted> {
        if !self.is_fed && input.is_empty() {
            return Ok(nothing(out, part));
        }
        self.begin()?;
        let mut done = Deflated { consumed: 0, produced: 0, is_done: false };
        let mut is_through = self.is_flushed;
        loop {
            let keep = if self.is_flushed { 0 } else { MARKER.len() };
            done.produced += self.stash.hand_out(&mut out[done.produced..], keep);
            done.is_done = is_through && self.stash.len <= keep;
            if is_through || done.produced == out.len() {
                break;
            }
            let room = &mut out[done.produced..];
            let step = self.step(&input[done.consumed..], room, part);
            done.consumed += step.consumed;
            done.produced += step.produced;
            is_through = step.is_done;
        }
        if self.is_flushed && done.is_done {
            self.end();
        }
        Ok(done)
    }

    /// Has a context for the message that is under way.
    fn begin(&mut self) -> Result<(), Exhausted> {
        if self.context.is_none() {
            let bits = self.terms.window_bits;
            self.context = Some(self.pool.lend_deflater(bits, self.level)?);
        }
        self.is_fed = true;
        Ok(())
    }

    /// One call of the compressor: straight into the room if it is not tiny, else into the stash.
    fn step(&mut self, input: &[u8], room: &mut [u8], part: Part) -> Deflated {
        let Some(context) = &mut self.context else { unreachable!("the message has begun") };
        let stash = &mut self.stash;
        let is_direct = room.len() > stash.bytes.len();
        let into = if is_direct {
            room[..stash.len].copy_from_slice(&stash.bytes[..stash.len]);
            &mut room[stash.len..]
        } else {
            &mut stash.bytes[stash.len..]
        };
        let (consumed, produced) = context.step(input, into, part);
        let is_through = produced < into.len() && consumed == input.len();
        let end = stash.len + produced;
        let produced = if is_direct { stash.take_back(&room[..end]) } else { 0 };
        if !is_direct {
            stash.len = end;
        }
        if is_through && part == Part::Last {
            stash.drop_marker();
            self.is_flushed = true;
        }
        Deflated { consumed, produced, is_done: is_through }
    }

    /// The message is over.
    //= RFC 7692 §7.1.1
    fn end(&mut self) {
        (self.is_fed, self.is_flushed) = (false, false);
        if !self.terms.takeover {
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        if let Some(context) = self.context.take() {
            self.pool.give_back_deflater(context);
        }
    }
}

/// What comes of a piece of a message that has no bytes yet.
//= RFC 7692 §7.2.3.6
fn nothing(out: &mut [u8], part: Part) -> Deflated {
    let needs = usize::from(part == Part::Last);
    let produced = needs.min(out.len());
    out[..produced].fill(0);
    Deflated { consumed: 0, produced, is_done: produced == needs }
}

impl Context {
    /// Takes input, gives output: so many bytes of each.
    fn step(&mut self, input: &[u8], out: &mut [u8], part: Part) -> (usize, usize) {
        let flush = match part {
            Part::Middle => DeflateFlush::NoFlush,
            Part::Flush | Part::Last => DeflateFlush::SyncFlush,
        };
        let (before_in, before_out) = (self.compress.total_in(), self.compress.total_out());
        let done = self.compress.compress(input, out, flush);
        done.expect("there are no bytes that cannot be compressed");
        let consumed = self.compress.total_in() - before_in;
        (consumed as usize, (self.compress.total_out() - before_out) as usize)
    }
}

impl Drop for Deflater {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater")
            .field("terms", &self.terms)
            .field("level", &self.level)
            .field("has_context", &self.has_context())
            .finish_non_exhaustive()
    }
}
