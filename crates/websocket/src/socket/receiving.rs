//! The receiving half of a connection: a ring while there are bytes, and what is found in it.

use std::io;

use tautline_buffer::{Fifo, LendError, Lent, Pool};
use tautline_net::{Link, Received};

use super::inflating::{self, Inflating};
use super::shared::Failure;
use crate::deflate::Terms;
use crate::read::{Event, Found, Limits, Next, Place, Reader, message_of};
use crate::{Message, ProtocolError, Role, Stock};

/// A ring while there are bytes that were not used up, and the reader that looks at them.
pub(super) struct Receiving {
    reader: Reader,
    stock: Stock,
    ring: Option<Lent>,
    /// Bytes of the last event, to be dropped before the next look.
    used: usize,
    /// For compressed messages, if those were agreed on.
    inflating: Option<Box<Inflating>>,
    /// What of the ring is to be inflated, from the first byte that was not dropped on.
    deflated: Option<Deflated>,
    /// A ring that was waited for.
    spare: Option<Lent>,
    /// The ring is to be exchanged for one that holds so many bytes.
    wants: Option<usize>,
}

/// A piece of a compressed message, where it lies.
#[derive(Clone, Copy)]
struct Deflated {
    place: Place,
    /// Bytes of it that were inflated.
    used: usize,
}

impl Deflated {
    /// Inflates what is left of it; `bytes` are those that it was found in.
    fn step(
        &mut self,
        inflating: &mut Inflating,
        bytes: &[u8],
    ) -> Result<inflating::Found, ProtocolError> {
        let Event::Part(mut part) = self.place.event(bytes)? else {
            return Ok(inflating::Found::Nothing);
        };
        part.bytes = &part.bytes[self.used..];
        let (used, found) = inflating.step(&part)?;
        self.used += used;
        Ok(found)
    }
}

/// Where something lies that was received.
#[derive(Clone, Copy)]
pub(super) enum Spot {
    /// In the ring.
    Ring(Place),
    /// It was inflated.
    Inflated(inflating::Found),
}

/// What [`Receiving::fill`] has found.
pub(super) enum Filled {
    /// Bytes; more may be there.
    Bytes,
    /// Nothing is there.
    Nothing,
    /// The peer has ended its side.
    End,
    /// All rings of this pool are in use.
    NoRing(Pool),
}

/// Sees what was received. What most of it is has a call of its own, so that it goes from hand to
/// hand in registers.
pub(super) trait Sight {
    /// A message. Whether it wants more; not when it has failed, which it remembers: a result would
    /// be taken apart for each message.
    fn message(&mut self, message: Message<'_>) -> bool;

    /// Anything else. Whether it wants more.
    fn event(&mut self, event: Event<'_>) -> Result<bool, Failure>;
}

impl Receiving {
    pub(super) fn new(role: Role, limits: Limits, stock: Stock) -> Self {
        let reader = Reader::new(role, limits);
        Self {
            reader,
            stock,
            ring: None,
            used: 0,
            inflating: None,
            deflated: None,
            spare: None,
            wants: None,
        }
    }

    /// Bytes that came before anybody looked, such as those behind an opening handshake.
    pub(super) fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut ring = self.stock.ring_for(bytes.len()).1.map_err(io::Error::other)?;
        if ring.put(bytes) < bytes.len() {
            let text =
                format!("{} bytes came before frames were read: raise `read_buffer`", bytes.len());
            return Err(io::Error::other(text));
        }
        self.ring = Some(ring);
        Ok(())
    }

    /// Whether there are bytes that were not looked at, or not understood.
    pub(super) fn is_empty(&self) -> bool {
        self.deflated.is_none() && self.ring.as_ref().is_none_or(|ring| ring.used() == self.used)
    }

    /// A ring that was waited for, to be read into next.
    pub(super) fn give(&mut self, ring: Lent) {
        self.spare = Some(ring);
    }

    /// Takes in what has arrived.
    #[inline]
    pub(super) fn fill(&mut self, link: &mut Link) -> io::Result<Filled> {
        if let Some(pool) = self.get_ring()? {
            return Ok(Filled::NoRing(pool));
        }
        let Some(ring) = &mut self.ring else { return Ok(Filled::Nothing) };
        let received = link.receive(ring.claim(usize::MAX))?;
        Ok(match received {
            Received::Bytes { count, .. } => {
                ring.commit(count);
                Filled::Bytes
            }
            Received::Nothing => Filled::Nothing,
            Received::End => Filled::End,
        })
    }

    /// Sees to it that there is a ring with room. Returns the pool that has none.
    #[inline]
    fn get_ring(&mut self) -> io::Result<Option<Pool>> {
        if self.ring.is_some() && self.wants.is_none() {
            return Ok(None);
        }
        let lent = match (self.spare.take(), self.wants) {
            (Some(spare), _) => (self.stock.smallest(), Ok(spare)),
            (None, None) => (self.stock.smallest(), self.stock.ring()),
            (None, Some(room)) => self.stock.ring_for(room),
        };
        match lent {
            (_, Ok(mut ring)) => {
                self.wants = None;
                if let Some(old) = &self.ring {
                    ring.put(old.readable());
                }
                self.ring = Some(ring);
                Ok(None)
            }
            (pool, Err(LendError::Exhausted { .. })) => Ok(Some(pool.clone())),
            (_, Err(error)) => Err(io::Error::other(error)),
        }
    }

    /// Compressed messages are to be inflated.
    pub(super) fn inflate(mut self, terms: Terms, limits: Limits) -> Self {
        self.reader = self.reader.compressed();
        self.inflating = Some(Box::new(Inflating::new(terms, limits, &self.stock)));
        self
    }

    /// Where the next event lies; it stays there until the next look.
    #[inline]
    pub(super) fn find(&mut self) -> Result<Option<Spot>, ProtocolError> {
        if let Some(inflating) = &mut self.inflating {
            inflating.rest();
        }
        loop {
            if self.deflated.is_some()
                && let Some(found) = self.inflate_more()?
            {
                return Ok(Some(Spot::Inflated(found)));
            }
            let Some(ring) = &mut self.ring else { return Ok(None) };
            ring.consume(std::mem::take(&mut self.used));
            match self.reader.find(ring.readable_mut())? {
                Found::Event(place) => {
                    self.used = place.used;
                    if !place.is_compressed() {
                        return Ok(Some(Spot::Ring(place)));
                    }
                    self.deflated = Some(Deflated { place, used: 0 });
                }
                Found::Needs { used, room } => {
                    self.settle(used, room);
                    return Ok(None);
                }
            }
        }
    }

    /// Goes on with what is to be inflated.
    fn inflate_more(&mut self) -> Result<Option<inflating::Found>, ProtocolError> {
        let (Some(deflated), Some(inflating), Some(ring)) =
            (&mut self.deflated, &mut self.inflating, &self.ring)
        else {
            return Ok(None);
        };
        let found = deflated.step(inflating, ring.readable())?;
        if found.ends_piece() {
            self.deflated = None;
        }
        Ok(found.is_something().then_some(found))
    }

    /// What lies at a spot that [`find`](Self::find) has returned.
    #[inline]
    pub(super) fn event(&self, spot: &Spot) -> Result<Event<'_>, ProtocolError> {
        match (spot, &self.inflating) {
            (Spot::Ring(place), _) => {
                place.event(self.ring.as_ref().map_or(&[], |ring| ring.readable()))
            }
            (Spot::Inflated(found), Some(inflating)) => inflating.event(*found),
            (Spot::Inflated(_), None) => Err(ProtocolError::NoContext),
        }
    }

    /// Has `sight` see every event that is there, until it says that it wants no more. Returns whether
    /// it has seen them all. A message is handed on in one place alone, so that its handler becomes a
    /// part of this loop.
    #[inline]
    pub(super) fn each(&mut self, sight: &mut impl Sight) -> Result<bool, Failure> {
        let Some(ring) = &mut self.ring else { return Ok(true) };
        let used = std::mem::take(&mut self.used);
        let mut inflates = self.deflated.is_some();
        if !inflates {
            ring.consume(used);
        }
        let bytes = ring.readable_mut();
        let mut at = 0;
        let seen = loop {
            let rest = &mut bytes[at..];
            let message = if !inflates && let Some((kind, start, end)) = self.reader.plain(rest) {
                at += end;
                match message_of(kind, &rest[start..end]) {
                    Ok(message) => message,
                    Err(error) => break Err(error.into()),
                }
            } else {
                let inflating = self.inflating.as_deref_mut();
                let next = slowly(&mut self.reader, inflating, &mut self.deflated, rest);
                inflates = self.deflated.is_some();
                let (used, event) = match next {
                    Ok(Next::Event { used, event }) => (used, event),
                    Ok(Next::Needs { used, room }) => break Ok(Some((at + used, room))),
                    Err(error) => break Err(error.into()),
                };
                at += used;
                match event {
                    Event::Text(text) => Message::Text(text),
                    Event::Binary(bytes) => Message::Binary(bytes),
                    other => match sight.event(other) {
                        Ok(true) => continue,
                        Ok(false) => break Ok(None),
                        Err(failure) => break Err(failure),
                    },
                }
            };
            if !sight.message(message) {
                break Ok(None);
            }
        };
        if let Some(inflating) = &mut self.inflating {
            inflating.rest();
        }
        match seen? {
            Some((used, room)) => {
                self.settle(used, room);
                Ok(true)
            }
            None => {
                ring.consume(at);
                self.used = self.deflated.map_or(0, |deflated| deflated.place.used);
                Ok(false)
            }
        }
    }

    /// Nothing more is there: drops `used` bytes, and sees to it that `room` bytes fit.
    #[inline]
    fn settle(&mut self, used: usize, room: usize) {
        let Some(ring) = &mut self.ring else { return };
        ring.consume(used);
        if ring.is_empty() {
            self.ring = None;
        } else if room > ring.capacity() {
            self.make_room(room);
        }
    }

    /// Moves a message in several frames together, if that gains something; else wants a larger
    /// ring.
    #[cold]
    fn make_room(&mut self, room: usize) {
        let Some(ring) = &mut self.ring else { return };
        if self.reader.gap() < ring.capacity() / 32 {
            self.wants = Some(room);
            return;
        }
        let dropped = self.reader.compact(ring.readable_mut());
        ring.consume(dropped);
        if room - dropped > ring.capacity() {
            self.wants = Some(room - dropped);
        }
    }

    /// Nothing has come: an empty ring goes back.
    #[inline]
    pub(super) fn rest(&mut self) {
        if self.ring.as_ref().is_some_and(|ring| ring.is_empty()) {
            self.ring = None;
        }
    }

    /// Forgets everything that was received: nobody is to see it any more.
    pub(super) fn forget(&mut self) {
        self.ring = None;
        (self.used, self.deflated) = (0, None);
    }
}

/// What comes next in `bytes`, or of the piece at their beginning that is being inflated.
#[inline(never)]
fn slowly<'b>(
    reader: &mut Reader,
    mut inflating: Option<&'b mut Inflating>,
    deflated: &mut Option<Deflated>,
    bytes: &'b mut [u8],
) -> Result<Next<'b>, ProtocolError> {
    let mut base = 0;
    let found = loop {
        if let Some(piece) = deflated {
            let inflating = inflating.as_deref_mut().ok_or(ProtocolError::NoContext)?;
            let found = piece.step(inflating, &bytes[base..])?;
            if found.ends_piece() {
                base += piece.place.used;
                *deflated = None;
            }
            if found.is_something() {
                break found;
            }
            continue;
        }
        match reader.find(&mut bytes[base..])? {
            Found::Event(place) if place.is_compressed() => {
                *deflated = Some(Deflated { place, used: 0 });
            }
            Found::Event(place) => {
                let event = place.event(&bytes[base..])?;
                return Ok(Next::Event { used: base + place.used, event });
            }
            Found::Needs { used, room } => return Ok(Next::Needs { used: base + used, room }),
        }
    };
    let inflating = inflating.ok_or(ProtocolError::NoContext)?;
    Ok(Next::Event { used: base, event: inflating.event(found)? })
}
