//! Compressed messages of a connection, on their way back to what they were: RFC 7692 §7.2.2.

use tautline_buffer::{Fifo, LendError, Lent};

use crate::deflate::{InflateError, Inflater, Next, Part as Piece, Terms};
use crate::read::{Event, Kind, Limits, Part, message_of};
use crate::utf8::Utf8;
use crate::{ProtocolError, Stock};

/// Inflates the messages of a connection, into a ring that it has only while one is under way.
pub(super) struct Inflating {
    inflater: Inflater,
    stock: Stock,
    limits: Limits,
    ring: Option<Lent>,
    kind: Kind,
    utf8: Utf8,
    /// Bytes of the message that were handed on, as parts of it.
    handed: u64,
    /// What the ring holds was handed on, and is to be dropped.
    is_seen: bool,
}

/// What a step has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// The message is to go on.
    Nothing,
    /// The message is whole.
    Message,
    /// A part of it, and whether it is the first and the last.
    Part { first: bool, last: bool },
}

impl Found {
    /// Whether nothing more comes of the piece.
    pub(super) fn ends_piece(self) -> bool {
        !matches!(self, Self::Part { last: false, .. })
    }

    pub(super) fn is_something(self) -> bool {
        self != Self::Nothing
    }
}

impl Inflating {
    /// For what the peer sends.
    pub(super) fn new(terms: Terms, limits: Limits, stock: &Stock) -> Self {
        let limit = usize::try_from(limits.max_message).unwrap_or(usize::MAX);
        Self {
            inflater: Inflater::new(stock.contexts(), terms, limit),
            stock: stock.clone(),
            limits,
            ring: None,
            kind: Kind::Binary,
            utf8: Utf8::default(),
            handed: 0,
            is_seen: false,
        }
    }

    /// Inflates a piece of a message, all that is left of it. Returns how many bytes were used; unless
    /// nothing was found, the rest is to be given again, but for the end of the message.
    pub(super) fn step(&mut self, piece: &Part<'_>) -> Result<(usize, Found), ProtocolError> {
        self.rest();
        self.kind = piece.kind;
        let last = if piece.last { Piece::Last } else { Piece::Middle };
        let mut used = 0;
        loop {
            let Some(ring) = &mut self.ring else {
                self.ring = Some(self.stock.ring().map_err(no_ring)?);
                continue;
            };
            let room = ring.claim(usize::MAX);
            let done = self.inflater.inflate(&piece.bytes[used..], room, last).map_err(failed)?;
            if self.kind == Kind::Text {
                let text = &room[..done.produced];
                self.utf8.check(text).map_err(|_| ProtocolError::Utf8)?;
            }
            ring.commit(done.produced);
            used += done.consumed;
            match done.next {
                Next::Input => return Ok((used, Found::Nothing)),
                Next::Message => return Ok((used, self.message()?)),
                Next::Room if self.has_part() => return Ok((used, self.part(false))),
                Next::Room => self.grow()?,
            }
        }
    }

    /// What was found has been looked at: its ring goes back.
    pub(super) fn rest(&mut self) {
        if std::mem::take(&mut self.is_seen) {
            self.ring = None;
        }
    }

    /// The message has ended.
    fn message(&mut self) -> Result<Found, ProtocolError> {
        self.utf8.finish().map_err(|_| ProtocolError::Utf8)?;
        let length = self.handed + self.ring.as_ref().map_or(0, |ring| ring.used()) as u64;
        if self.handed > 0 || length > self.limits.whole {
            return Ok(self.part(true));
        }
        self.is_seen = true;
        Ok(Found::Message)
    }

    fn part(&mut self, last: bool) -> Found {
        let first = self.handed == 0;
        self.handed += self.ring.as_ref().map_or(0, |ring| ring.used()) as u64;
        self.is_seen = true;
        if last {
            self.handed = 0;
        }
        Found::Part { first, last }
    }

    /// Whether the message is longer than what is handed on whole.
    fn has_part(&self) -> bool {
        let held = self.ring.as_ref().map_or(0, |ring| ring.used()) as u64;
        self.handed > 0 || held > self.limits.whole || held >= self.stock.largest() as u64
    }

    /// The ring is full: goes on in a larger one.
    fn grow(&mut self) -> Result<(), ProtocolError> {
        let Some(ring) = &self.ring else { return Ok(()) };
        let (_, larger) = self.stock.ring_for(2 * ring.used());
        let mut larger = larger.map_err(no_ring)?;
        larger.put(ring.readable());
        self.ring = Some(larger);
        Ok(())
    }

    /// What was found by the last step, where it lies.
    pub(super) fn event(&self, found: Found) -> Result<Event<'_>, ProtocolError> {
        let bytes = self.ring.as_ref().map_or(&[][..], |ring| ring.readable());
        match found {
            Found::Part { first, last } => {
                let kind = self.kind;
                Ok(Event::Part(Part { kind, first, last, compressed: false, bytes }))
            }
            Found::Message | Found::Nothing => message_of(self.kind, bytes).map(Into::into),
        }
    }
}

fn failed(error: InflateError) -> ProtocolError {
    match error {
        InflateError::Corrupt => ProtocolError::Corrupt,
        InflateError::Large { limit } => {
            ProtocolError::MessageTooBig { length: limit as u64 + 1, limit: limit as u64 }
        }
        InflateError::Exhausted(_) => ProtocolError::NoContext,
    }
}

fn no_ring(_: LendError) -> ProtocolError {
    ProtocolError::NoContext
}
