//! What was missed can be asked for, over TCP.
//!
//! Each frame has its length before it, in two bytes, big-endian as all numbers are. A request is a header
//! of MoldUDP64, whatever the format of the feed:
//!
//! | offset | bytes | request |
//! | --- | --- | --- |
//! | 0 | 10 | session |
//! | 10 | 8 | number of the first message, as it is on the wire |
//! | 18 | 2 | messages: 1 to 65,534 |
//!
//! All of them are answered, in one frame or several, by packets of the feed or by a refusal, in the order
//! of their numbers; requests are answered one after the other.
//!
//! | offset | bytes | packet | refusal |
//! | --- | --- | --- | --- |
//! | 0 | 1 | `P` | `R` |
//! | 1 | 1 | the packet | 1 another session, 2 too old, 3 not yet sent |
//! | 2 | 10 | | the session that goes on |
//! | 12 | 8 | | number of the first message that is refused |
//! | 20 | 2 | | messages that are refused |
//! | 22 | 8 | | number of the oldest message that there is, or, if not yet sent, of the next |

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use tautline_feed::format::{Format, Kind, MoldUdp64, Session};

use crate::exchange::{Absent, History, pack};
use crate::wire::{Frames, ProtocolError, framed, unknown};

/// Bytes of a frame before its packet: its length, and its kind.
pub const BEFORE_PACKET: usize = 3;

const REFUSAL: usize = 30;

/// Please send these again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// Of this session.
    pub session: Session,
    /// The number of the first message, as it is on the wire.
    pub first: u64,
    /// Messages: 1 to 65,534.
    pub count: u16,
}

impl Request {
    /// The request as a frame.
    ///
    /// ```
    /// use tautline_feed::format::Session;
    /// use tautline_market::replay::{Request, Requests};
    /// let request = Request { session: Session::of_number(1), first: 17, count: 3 };
    /// let frame = request.encode();
    /// let mut input = &frame[..];
    /// assert_eq!(Requests::new().next(&mut input), Ok(Some(request)));
    /// ```
    pub fn encode(self) -> [u8; 22] {
        let mut frame = [0; 22];
        frame[2..].copy_from_slice(&MoldUdp64::request(self.session, self.first, self.count));
        framed(&mut frame, 20);
        frame
    }
}

/// Reads requests off a connection, whatever pieces they come in.
#[derive(Debug)]
pub struct Requests {
    frames: Frames,
}

impl Requests {
    /// Of a connection that begins.
    #[allow(clippy::new_without_default, reason = "it belongs to a connection")]
    pub fn new() -> Self {
        Self { frames: Frames::new(20) }
    }

    /// The next request of the input, which is moved past what was used; `None`: more must come.
    ///
    /// # Errors
    /// [`ProtocolError`]: close the connection.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Request>, ProtocolError> {
        let Some(frame) = self.frames.next(input)? else { return Ok(None) };
        if frame.len() != MoldUdp64::HEADER {
            return Err(unknown(frame));
        }
        let header = MoldUdp64::parse(frame)?;
        match header.kind {
            Kind::Messages(count) => {
                Ok(Some(Request { session: header.session, first: header.number, count }))
            }
            Kind::Heartbeat => Err(ProtocolError::Count { count: 0 }),
            Kind::End => Err(ProtocolError::Count { count: u16::MAX }),
        }
    }
}

/// A request that is being answered, frame by frame, as fast as the peer takes it. What is no longer
/// kept when its turn comes is refused then.
#[derive(Debug)]
pub struct Answering<F> {
    /// What is still to be answered.
    numbers: Range<u64>,
    /// Of that session.
    session: Session,
    format: PhantomData<F>,
}

impl<F: Format> Answering<F> {
    /// The answer to a request.
    pub fn new(request: Request, history: &History) -> Self {
        // What lies before the first number is as much too old as the number 0, of which there is none.
        let first = F::WIDTH.nearest(request.first, history.next()).unwrap_or(0);
        let numbers = first..first.saturating_add(u64::from(request.count));
        Self { numbers, session: request.session, format: PhantomData }
    }

    /// The next frame, written into the room, which takes [`BEFORE_PACKET`] more bytes than a packet;
    /// `None`: that was all. `session` is that of the history.
    ///
    /// # Panics
    /// If the room is too small for one message, or for a refusal.
    pub fn next<'a>(
        &mut self,
        history: &History,
        session: Session,
        room: &'a mut [u8],
    ) -> Option<&'a [u8]> {
        if self.numbers.is_empty() {
            return None;
        }
        let mut to = self.numbers.end;
        let absent = if self.session == session {
            match history.get(self.numbers.start) {
                Ok(_) => return Some(self.packet(history, session, room)),
                Err(Absent::TooOld { oldest }) => {
                    to = to.min(oldest);
                    (Reason::TooOld, oldest)
                }
                Err(Absent::NotYet { next }) => (Reason::NotYet, next),
            }
        } else {
            (Reason::OtherSession, history.oldest())
        };
        let refused = self.numbers.start..to;
        self.numbers.start = to;
        let (reason, number) = absent;
        let refusal = Refusal {
            reason,
            session,
            first: F::WIDTH.cut(refused.start),
            count: (refused.end - refused.start) as u16,
            number: F::WIDTH.cut(number),
        };
        Some(refusal.encode(room))
    }

    fn packet<'a>(&mut self, history: &History, session: Session, room: &'a mut [u8]) -> &'a [u8] {
        let numbers = self.numbers.start..self.numbers.end.min(history.next());
        let most = room.len().min(BEFORE_PACKET - 1 + usize::from(u16::MAX));
        let (packet, behind) = pack::<F>(history, session, numbers, &mut room[BEFORE_PACKET..most]);
        let len = packet.len();
        self.numbers.start = behind;
        room[BEFORE_PACKET - 1] = b'P';
        framed(room, 1 + len)
    }
}

/// Why messages are not sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// They are of a session that is over, or was never there.
    OtherSession,
    /// They are kept no longer: a snapshot helps.
    TooOld,
    /// They have not been sent once.
    NotYet,
}

/// These are not sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// Why not.
    pub reason: Reason,
    /// The session that goes on.
    pub session: Session,
    /// The number of the first message that is refused, as it is on the wire.
    pub first: u64,
    /// Messages that are refused.
    pub count: u16,
    /// The number of the oldest message that there is, or, if not yet sent, of the next; as it is on the
    /// wire.
    pub number: u64,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, session, first, count, number } = self;
        let things = if *count == 1 { "message" } else { "messages" };
        write!(f, "{count} {things} from {first} on: ")?;
        match reason {
            Reason::OtherSession => write!(f, "the session is {session} now"),
            Reason::TooOld => write!(f, "the oldest that is kept is {number}"),
            Reason::NotYet => write!(f, "the next to be sent is {number}"),
        }
    }
}

impl Refusal {
    pub(crate) fn encode(self, room: &mut [u8]) -> &[u8] {
        let frame = &mut room[2..2 + REFUSAL];
        let reason = match self.reason {
            Reason::OtherSession => 1,
            Reason::TooOld => 2,
            Reason::NotYet => 3,
        };
        frame[..2].copy_from_slice(&[b'R', reason]);
        frame[2..12].copy_from_slice(&self.session.bytes());
        frame[12..20].copy_from_slice(&self.first.to_be_bytes());
        frame[20..22].copy_from_slice(&self.count.to_be_bytes());
        frame[22..30].copy_from_slice(&self.number.to_be_bytes());
        framed(room, REFUSAL)
    }

    fn decode(frame: &[u8; REFUSAL]) -> Option<Self> {
        let reason = match frame[1] {
            1 => Reason::OtherSession,
            2 => Reason::TooOld,
            3 => Reason::NotYet,
            _ => return None,
        };
        let number = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&frame[at..at + 8]);
            u64::from_be_bytes(bytes)
        };
        let mut session = [0; 10];
        session.copy_from_slice(&frame[2..12]);
        Some(Self {
            reason,
            session: Session::of_bytes(session),
            first: number(12),
            count: u16::from_be_bytes([frame[20], frame[21]]),
            number: number(22),
        })
    }
}

/// A part of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// A packet of the feed.
    Packet(&'a [u8]),
    /// There are none of these.
    Refused(Refusal),
}

/// Reads answers off a connection, whatever pieces they come in.
#[derive(Debug)]
pub struct Answers {
    frames: Frames,
}

impl Answers {
    /// Of a peer whose packets have at most so many bytes.
    pub fn new(packet: usize) -> Self {
        Self { frames: Frames::new((1 + packet).max(REFUSAL)) }
    }

    /// The next part of the input, which is moved past what was used; `None`: more must come.
    ///
    /// # Errors
    /// [`ProtocolError`]: close the connection.
    pub fn next<'s, 'i: 's>(
        &'s mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Answer<'s>>, ProtocolError> {
        let Some(frame) = self.frames.next(input)? else { return Ok(None) };
        match frame {
            [b'P', packet @ ..] => Ok(Some(Answer::Packet(packet))),
            [b'R', ..] => {
                let refusal = frame.try_into().ok().and_then(Refusal::decode);
                refusal.map(|refusal| Some(Answer::Refused(refusal))).ok_or(unknown(frame))
            }
            _ => Err(unknown(frame)),
        }
    }

    /// Another connection: what was unfinished is forgotten.
    pub fn reset(&mut self) {
        self.frames.reset();
    }
}

#[cfg(test)]
mod tests;
