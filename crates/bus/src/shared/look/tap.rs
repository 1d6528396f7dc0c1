//! Messages as they pass, copied by somebody who does not take part.
//!
//! A message is copied and then held against what its ring says of the slot: whether it may have
//! been written over meanwhile. How sure that is, is the ring's:
//!
//! - a ring of a broadcast, of either kind, and one that several share tell it exactly;
//! - the giver of a lane, and of a stream of bytes, says how far it has got only when it hands over.
//!   What nobody has taken yet is whole; of the rest only the newer half of the ring is told, over
//!   which a giver writes that hands over less than half a ring at once.

use std::time::{Duration, Instant};

use super::depth::{HEAD_AT, RING_TAIL, TAIL_AT, is_ringed};
use super::kind_name;
use super::peek::{Group, Peek};
use super::value::{Shape, Value};
use crate::ring::fan::{HORIZON, TAIL};
use crate::ring::many::Stamped;
use crate::ring::mortal::{AGAIN, FREE, FULL, READING, State, VOID};
use crate::ring::{stream, tape};
use crate::shared::Shared;
use crate::shared::error::OpenError;
use crate::shared::header::Kind;
use crate::shared::names::Name;

/// So often is it looked whether the object still has users.
const INTERVAL: Duration = Duration::from_millis(100);

const NO_SENSE: OpenError = OpenError::Damaged { what: "its positions make no sense" };

/// A message that has passed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tapped {
    /// Which lane it came through, by its sender's seat; zero where all share a ring.
    pub lane: usize,
    /// Its position: of its lane's messages, or, in a byte channel, of the bytes with their headers.
    pub position: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What has passed since the last look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Passed {
    /// Messages, in the order of each lane.
    pub messages: Vec<Tapped>,
    /// What was overwritten before it could be copied: messages, or bytes of a byte channel.
    pub missed: u64,
    /// The object has no users any more: nothing more will come.
    pub has_ended: bool,
}

/// Follows what passes through an object.
///
/// ```
/// use tautline_bus::{Shared, channel::{Channel, Config}, shared};
/// # let namespace = &format!("tap{}", std::process::id());
/// let prices = Channel::<u64, Shared>::open(namespace, "prices", Config::default())?;
/// let (mut sender, mut receiver) = (prices.sender()?, prices.receiver()?);
/// let mut tap = shared::Tap::on(&format!("{namespace}/prices"))?;
/// sender.send(7)?;
/// let passed = tap.look(100)?;
/// assert_eq!(tap.value(&passed.messages[0]), Some(shared::Value::Unsigned(7)));
/// assert_eq!(receiver.receive()?, 7); // it is there all the same
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Tap {
    name: Name,
    peek: Peek,
    ring: Ring,
    /// Where each lane goes on.
    next: Vec<u64>,
    shape: Option<Shape>,
    checked: Instant,
}

/// Where messages lie.
#[derive(Clone, Copy, Debug)]
struct Ring {
    kind: Flavour,
    group: Group,
    /// Slots of each lane, or bytes: a power of two.
    capacity: u64,
    /// Bytes from one slot to the next, and from a slot to its message, and those of the message.
    stride: u64,
    at: u64,
    size: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flavour {
    Lanes,
    Ringed,
    Fan,
    Tape,
    Streams,
}

/// What is found at a position.
enum Found {
    Message(Vec<u8>, u64),
    /// None was there: go on behind.
    Void,
    /// It is not there yet.
    Nothing,
    /// It was overwritten: go on there.
    Overtaken(u64),
}

impl Tap {
    /// Follows the object of that name, `namespace/name`, from its next message on.
    ///
    /// # Errors
    /// [`OpenError::NoMessages`] for signals and pools; [`OpenError::BadName`],
    /// [`OpenError::NotFound`], and what is wrong with the segment.
    pub fn on(name: &str) -> Result<Self, OpenError> {
        let name = Name::of_text(name)?;
        let peek = Peek::at(&name)?;
        let ring = Ring::of(&peek)?;
        let lanes = match ring.kind {
            Flavour::Lanes | Flavour::Streams => ring.group.rows.count,
            _ => 1,
        };
        let next = (0..lanes).map(|lane| ring.tail(&peek, lane)).collect::<Result<_, _>>()?;
        let shape = Shape::parse(&peek.said.carried.told);
        Ok(Self { name, peek, ring, next, shape, checked: Instant::now() })
    }

    /// Copies what has passed since the last look, at most so many messages of each lane.
    ///
    /// # Errors
    /// [`OpenError::Damaged`]: what the segment says makes no sense.
    pub fn look(&mut self, most: usize) -> Result<Passed, OpenError> {
        let mut passed = Passed { has_ended: self.has_ended()?, ..Passed::default() };
        for lane in 0..self.next.len() {
            for _ in 0..most {
                if !self.step(lane, &mut passed)? {
                    break;
                }
            }
        }
        Ok(passed)
    }

    /// Whether there may be more in that lane.
    fn step(&mut self, lane: usize, passed: &mut Passed) -> Result<bool, OpenError> {
        let position = self.next[lane];
        let (next, missed) = match self.ring.at(&self.peek, lane as u64, position)? {
            Found::Nothing => return Ok(false),
            Found::Void => (position.wrapping_add(1), 0),
            Found::Overtaken(next) => (next, next.wrapping_sub(position)),
            Found::Message(bytes, next) => {
                passed.messages.push(Tapped { lane, position, bytes });
                (next, 0)
            }
        };
        self.next[lane] = next;
        passed.missed += missed;
        Ok(true)
    }

    /// Whether nobody has the object any more: looked at now and then.
    fn has_ended(&mut self) -> Result<bool, OpenError> {
        if self.checked.elapsed() < INTERVAL {
            return Ok(false);
        }
        self.checked = Instant::now();
        match Peek::at(&self.name) {
            Ok(now) => Ok(now.number() != self.peek.number()),
            Err(
                OpenError::NotFound { .. }
                | OpenError::Unreachable { .. }
                | OpenError::NoAnswer { .. },
            ) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// What a message says, by the layout that the segment tells; `None`: it tells none, or the bytes
    /// are no such value.
    pub fn value(&self, message: &Tapped) -> Option<Value> {
        self.shape.as_ref()?.read(&message.bytes)
    }

    /// What is missed: "messages", or "bytes".
    pub fn unit(&self) -> &'static str {
        if self.ring.kind == Flavour::Streams { "bytes" } else { "messages" }
    }
}

// ------------------------------------------------------------------------------------ rings

impl Ring {
    fn of(peek: &Peek) -> Result<Self, OpenError> {
        let [_, group] = peek.ends()?;
        let (at, size) = (peek.said.carried.at, peek.said.carried.size);
        let slots = group.slots;
        let (kind, capacity, stride) = match peek.kind {
            Kind::Channel | Kind::Requests if is_ringed(&group) => {
                (Flavour::Ringed, slots.count, slots.size)
            }
            Kind::Channel | Kind::Requests => {
                (Flavour::Lanes, slots.count / group.rows.count.max(1), slots.size)
            }
            Kind::Broadcast => (Flavour::Fan, slots.count, slots.size),
            Kind::Lossy => {
                let capacity = peek.said.shape[1].max(1);
                (Flavour::Tape, capacity, slots.count / capacity * slots.size)
            }
            Kind::Bytes => {
                let streams = peek.streams()?;
                (Flavour::Streams, streams.size.min(streams.count * streams.size), 1)
            }
            kind @ (Kind::Signal | Kind::Pool) => {
                return Err(OpenError::NoMessages { kind: kind_name(kind) });
            }
        };
        let fits = at.checked_add(size).is_some_and(|end| end <= stride);
        if !capacity.is_power_of_two() || !(fits || kind == Flavour::Streams) {
            return Err(NO_SENSE);
        }
        Ok(Self { kind, group, capacity, stride, at, size })
    }

    /// The position that is given next.
    fn tail(&self, peek: &Peek, lane: u64) -> Result<u64, OpenError> {
        let (row, at) = match self.kind {
            Flavour::Lanes | Flavour::Streams => (lane, TAIL_AT),
            Flavour::Ringed => (0, RING_TAIL),
            Flavour::Fan => (TAIL as u64, 0),
            Flavour::Tape => (0, 0),
        };
        peek.word(&self.group.rows, row, at)
    }

    fn at(&self, peek: &Peek, lane: u64, position: u64) -> Result<Found, OpenError> {
        match self.kind {
            Flavour::Lanes => self.in_lane(peek, lane, position),
            Flavour::Ringed => self.in_ring(peek, position),
            Flavour::Fan => self.in_fan(peek, position),
            Flavour::Tape => self.on_tape(peek, position),
            Flavour::Streams => self.in_stream(peek, lane, position),
        }
    }

    /// The slot of a position, in bytes from the start of the segment.
    fn slot(&self, lane: u64, position: u64) -> u64 {
        let index = lane.wrapping_mul(self.capacity).wrapping_add(position & (self.capacity - 1));
        // What comes round is some place of the segment, or none: the look at it tells.
        self.group.slots.at.wrapping_add(index.wrapping_mul(self.stride))
    }

    fn copy(&self, peek: &Peek, lane: u64, position: u64) -> Result<Vec<u8>, OpenError> {
        peek.copy(self.slot(lane, position).wrapping_add(self.at), self.size)
    }

    /// How far the tail is ahead.
    fn ahead(&self, peek: &Peek, lane: u64, position: u64) -> Result<u64, OpenError> {
        let ahead = self.tail(peek, lane)?.wrapping_sub(position);
        // A tail goes forward only, by as much as there is time for.
        if ahead as i64 >= 0 { Ok(ahead) } else { Err(NO_SENSE) }
    }

    fn in_lane(&self, peek: &Peek, lane: u64, position: u64) -> Result<Found, OpenError> {
        if self.ahead(peek, lane, position)? == 0 {
            return Ok(Found::Nothing);
        }
        let bytes = self.copy(peek, lane, position)?;
        Ok(match self.oldest(peek, lane, position)? {
            oldest if oldest == position => Found::Message(bytes, position.wrapping_add(1)),
            oldest => Found::Overtaken(oldest),
        })
    }

    /// The oldest position from that one on over which its giver does not write.
    fn oldest(&self, peek: &Peek, lane: u64, from: u64) -> Result<u64, OpenError> {
        let ahead = self.ahead(peek, lane, from)?;
        let taken = peek.word(&self.group.rows, lane, HEAD_AT)?.wrapping_sub(from) as i64;
        if taken <= 0 && ahead > self.capacity {
            return Err(NO_SENSE);
        }
        let newer = ahead.saturating_sub(self.capacity / 2);
        Ok(match u64::try_from(taken) {
            Ok(taken) if self.kind == Flavour::Lanes => from.wrapping_add(taken.min(newer)),
            // Where records begin is known of the head and the tail alone.
            Ok(_) if newer == 0 => from,
            Ok(taken) => from.wrapping_add(taken.min(ahead)),
            // Not taken yet.
            Err(_) => from,
        })
    }

    fn in_stream(&self, peek: &Peek, lane: u64, position: u64) -> Result<Found, OpenError> {
        let ahead = self.ahead(peek, lane, position)?;
        if ahead == 0 {
            return Ok(Found::Nothing);
        }
        let header = self.bytes_of(peek, lane, position, stream::HEADER)?;
        let header = u64::from_ne_bytes(header.try_into().unwrap_or_default());
        let len = stream::length(header, position);
        let len = len.filter(|len| stream::record(*len) <= ahead.min(self.capacity));
        let bytes = match len {
            Some(len) => self.bytes_of(peek, lane, position.wrapping_add(stream::HEADER), len)?,
            None => Vec::new(),
        };
        let oldest = self.oldest(peek, lane, position)?;
        match len {
            Some(len) if oldest == position => {
                Ok(Found::Message(bytes, position.wrapping_add(stream::record(len))))
            }
            None if oldest == position => Err(NO_SENSE),
            _ => Ok(Found::Overtaken(oldest)),
        }
    }

    /// Bytes of a stream, round its end.
    fn bytes_of(
        &self,
        peek: &Peek,
        lane: u64,
        position: u64,
        len: u64,
    ) -> Result<Vec<u8>, OpenError> {
        let (start, at) = (lane.wrapping_mul(self.capacity), position & (self.capacity - 1));
        let first = len.min(self.capacity - at);
        let start = peek.streams()?.at.wrapping_add(start);
        let mut bytes = peek.copy(start.wrapping_add(at), first)?;
        bytes.extend(peek.copy(start, len - first)?);
        Ok(bytes)
    }

    fn in_fan(&self, peek: &Peek, position: u64) -> Result<Found, OpenError> {
        if self.ahead(peek, 0, position)? == 0 {
            return Ok(Found::Nothing);
        }
        let bytes = self.copy(peek, 0, position)?;
        let ahead = self.ahead(peek, 0, position)?;
        // Raised before the giver writes over what lies below.
        let horizon = peek.word(&self.group.rows, HORIZON as u64, 0)?;
        let passed = horizon.wrapping_sub(position);
        if passed as i64 > 0 {
            return Ok(Found::Overtaken(position.wrapping_add(passed.min(ahead))));
        }
        if ahead > self.capacity {
            return Err(NO_SENSE);
        }
        Ok(Found::Message(bytes, position.wrapping_add(1)))
    }

    fn on_tape(&self, peek: &Peek, position: u64) -> Result<Found, OpenError> {
        let words = self.stride / 8;
        let version_at = (position & (self.capacity - 1)) * words;
        let version = || peek.word(&self.group.slots, version_at, 0);
        let written = tape::written(position);
        if (version()?.wrapping_sub(written) as i64) < 0 {
            return Ok(Found::Nothing);
        }
        let bytes = self.copy(peek, 0, position)?;
        if version()? == written {
            return Ok(Found::Message(bytes, position.wrapping_add(1)));
        }
        let lag = self.ahead(peek, 0, position)?.saturating_sub(self.capacity);
        Ok(Found::Overtaken(position.wrapping_add(lag.max(1))))
    }

    fn in_ring(&self, peek: &Peek, position: u64) -> Result<Found, OpenError> {
        let lap = position >> self.capacity.trailing_zeros();
        let index = position & (self.capacity - 1);
        let state = || peek.word(&self.group.slots, index, 0).map(State);
        let (before, at) = (state()?, self.slot(0, position));
        match (before.ahead_of(lap), before.phase()) {
            (0, VOID) => return Ok(Found::Void),
            (..0, _) => return Ok(Found::Nothing),
            (0, _) if !holds(before, lap) => return Ok(Found::Nothing),
            _ => {}
        }
        let void = peek.copy(at.wrapping_add(Stamped::<u8, Shared>::VOID_AT as u64), 4)?;
        let void = u32::from_ne_bytes(void.try_into().unwrap_or_default());
        let bytes = self.copy(peek, 0, position)?;
        if !holds(before, lap) || !holds(state()?, lap) {
            let lag = self.ahead(peek, 0, position).unwrap_or(0).saturating_sub(self.capacity);
            return Ok(Found::Overtaken(position.wrapping_add(lag.max(1))));
        }
        if before.phase() == FREE && void == (lap as u32).wrapping_add(1) {
            return Ok(Found::Void);
        }
        Ok(Found::Message(bytes, position.wrapping_add(1)))
    }
}

/// Whether a slot of that state has the message of that lap, taken or not.
fn holds(state: State, lap: u64) -> bool {
    match state.ahead_of(lap) {
        0 => matches!(state.phase(), FULL | READING | AGAIN),
        1 => state.phase() == FREE,
        _ => false,
    }
}
