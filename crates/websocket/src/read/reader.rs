//! The state machine that finds messages in received bytes.

use tautline_buffer::kernels::unmask;

use super::{Event, Kind, Limits, Part};
use crate::close::Farewell;
use crate::frame::{Header, MASKED, MaskKey, Opcode, Parsed, parse, short_length};
use crate::utf8::{self, Utf8};
use crate::{Message, ProtocolError, Role};

/// Finds messages in received bytes, in place.
///
/// It is shown all bytes that were received and not used up, and says of each step how many of
/// them are: no more than the event is about, so they are dropped once that was looked at. The
/// payload of a message in several frames is moved together, towards its beginning:
///
/// ```text
///   [ payload so far ][ spent: headers, control frames ][ not looked at ]
///     assembled         gap
/// ```
///
/// ```
/// use tautline_websocket::{Role, read::{Event, Limits, Next, Reader}};
///
/// let mut reader = Reader::new(Role::Client, Limits::default());
/// let mut bytes = *b"\x01\x03Hel\x80\x02lo\x89\x00"; // RFC 6455 §5.7, and a ping
/// let mut at = 0;
/// let mut seen = Vec::new();
/// while let Next::Event { used, event } = reader.next(&mut bytes[at..])? {
///     seen.push(format!("{event:?}"));
///     at += used;
/// }
/// assert_eq!(seen, [r#"Text("Hello")"#, "Ping([])"]);
/// # Ok::<(), tautline_websocket::ProtocolError>(())
/// ```
#[derive(Debug)]
pub struct Reader {
    role: Role,
    limits: Limits,
    /// So long a message in one frame may be to need no further look.
    plain: usize,
    /// The second byte of the shortest frame that this end receives.
    empty: u8,
    /// A message may be compressed: that was negotiated.
    may_compress: bool,
    /// The message under way, which has begun and not ended.
    message: Option<Begun>,
    /// Payload of it that lies at the beginning of what is shown, unmasked and checked.
    assembled: usize,
    /// Bytes behind that that are used up.
    gap: usize,
    /// The frame of it whose payload has not arrived whole.
    frame: Option<Frame>,
}

#[derive(Clone, Copy, Debug)]
struct Begun {
    kind: Kind,
    compressed: bool,
    /// It is handed on in parts, and whether one was.
    parts: Option<bool>,
    utf8: Utf8,
    /// Bytes of its frames so far, by what their headers say.
    length: u64,
    frames: u32,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    fin: bool,
    /// Bytes of its payload that have not been looked at.
    left: u64,
    key: Option<MaskKey>,
    phase: usize,
}

/// What [`Reader::next`] has found.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<'b> {
    /// Something. The first `used` of the bytes that were shown are to be dropped afterwards.
    Event {
        /// Bytes to drop.
        used: usize,
        /// What was found.
        event: Event<'b>,
    },
    /// Nothing more.
    Needs {
        /// Bytes to drop.
        used: usize,
        /// So many bytes, from the first that stays, are enough for what has begun. Where there is
        /// no room for so many, [`Reader::compact`] makes some.
        room: usize,
    },
}

/// What [`Reader::next`] returns, found out of line: a type of its own, so that what is found in line
/// stays in registers. It would be written where this function writes, and how far to go on would be
/// read from there, in the way of the next frame.
enum Slow<'b> {
    Event(usize, Event<'b>),
    Needs(usize, usize),
    Error(ProtocolError),
}

impl<'b> Slow<'b> {
    #[inline(always)]
    fn into_next(self) -> Result<Next<'b>, ProtocolError> {
        match self {
            Self::Event(used, event) => Ok(Next::Event { used, event }),
            Self::Needs(used, room) => Ok(Next::Needs { used, room }),
            Self::Error(error) => Err(error),
        }
    }
}

/// The same without its bytes: for who looks at them later.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found {
    Event(Place),
    Needs { used: usize, room: usize },
}

/// Where something was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Bytes to drop, once it was looked at.
    pub(crate) used: usize,
    what: What,
    start: usize,
    end: usize,
}

/// What is there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Frame(Opcode),
    Part { kind: Kind, first: bool, last: bool, compressed: bool },
}

impl Place {
    /// Whether it is a part of a compressed message.
    #[inline]
    pub(crate) fn is_compressed(&self) -> bool {
        matches!(self.what, What::Part { compressed: true, .. })
    }

    /// What was found, in the bytes that it was found in.
    #[inline]
    pub(crate) fn event<'b>(&self, bytes: &'b [u8]) -> Result<Event<'b>, ProtocolError> {
        let bytes = &bytes[self.start..self.end];
        match self.what {
            What::Frame(opcode) => event_of(opcode, bytes),
            What::Part { kind, first, last, compressed } => {
                Ok(Event::Part(Part { kind, first, last, compressed, bytes }))
            }
        }
    }
}

impl Reader {
    /// For one end of a connection.
    pub fn new(role: Role, limits: Limits) -> Self {
        let plain = limits.max_frame.min(limits.max_message).min(limits.whole);
        Self {
            role,
            limits,
            plain: usize::try_from(plain).unwrap_or(usize::MAX),
            empty: if role.receives_masked() { MASKED } else { 0 },
            may_compress: false,
            message: None,
            assembled: 0,
            gap: 0,
            frame: None,
        }
    }

    /// Takes compressed messages too: they come in parts, as they are.
    #[must_use]
    pub fn compressed(mut self) -> Self {
        self.may_compress = true;
        self
    }

    /// Whether a message has begun and not ended.
    pub fn is_within_message(&self) -> bool {
        self.message.is_some()
    }

    /// The next event in `bytes`: all that was received and not dropped.
    ///
    /// # Errors
    /// What the peer has done wrong. Nothing more can be read then.
    #[inline(always)] // the short way alone; what comes back through memory is in the way of the next
    pub fn next<'b>(&mut self, bytes: &'b mut [u8]) -> Result<Next<'b>, ProtocolError> {
        if let Some((kind, start, end)) = self.plain(bytes) {
            let message = message_of(kind, &bytes[start..end])?;
            return Ok(Next::Event { used: end, event: message.into() });
        }
        self.next_slowly(bytes).into_next()
    }

    /// The same for what is not [plain](Self::plain).
    #[inline(never)]
    fn next_slowly<'b>(&mut self, bytes: &'b mut [u8]) -> Slow<'b> {
        match self.find_slowly(bytes) {
            Ok(Found::Event(place)) => match place.event(bytes) {
                Ok(event) => Slow::Event(place.used, event),
                Err(error) => Slow::Error(error),
            },
            Ok(Found::Needs { used, room }) => Slow::Needs(used, room),
            Err(error) => Slow::Error(error),
        }
    }

    /// Where the next event lies.
    #[inline]
    pub(crate) fn find(&mut self, bytes: &mut [u8]) -> Result<Found, ProtocolError> {
        if let Some((kind, start, end)) = self.plain(bytes) {
            let what = What::Frame(kind.opcode());
            return Ok(Found::Event(Place { used: end, what, start, end }));
        }
        self.find_slowly(bytes)
    }

    /// What most frames are: a message in one, not long, at hand whole. Where its payload starts and
    /// ends, unmasked.
    #[inline(always)]
    pub(crate) fn plain(&mut self, bytes: &mut [u8]) -> Option<(Kind, usize, usize)> {
        let [first, second, rest @ ..] = bytes else { return None };
        let kind = plain_kind(*first)?;
        let (length, before) = short_length(*second ^ self.empty, rest)?;
        let start = before + usize::from(self.empty >> 5);
        let end = start + length;
        if self.message.is_some() || length > self.plain || end > rest.len() {
            return None;
        }
        if self.empty == MASKED
            && let Some((key, payload)) = rest[before..end].split_first_chunk_mut()
        {
            unmask(payload, *key, 0);
        }
        Some((kind, 2 + start, 2 + end))
    }

    #[inline(never)]
    fn find_slowly(&mut self, bytes: &mut [u8]) -> Result<Found, ProtocolError> {
        if self.message.is_some() {
            return self.go_on(bytes, 0);
        }
        let (header, start) = match parse(bytes, self.role, self.may_compress)? {
            Parsed::Header(header, start) => (header, start),
            Parsed::Needs(room) => return Ok(Found::Needs { used: 0, room }),
        };
        let plain = header.fin && header.length <= self.plain as u64 && !header.compressed;
        if !plain || ((bytes.len() - start) as u64) < header.length {
            return self.begin(bytes, header, start);
        }
        let used = start + header.length as usize;
        if let Some(key) = header.mask {
            unmask(&mut bytes[start..used], key, 0);
        }
        Ok(Found::Event(Place { used, what: What::Frame(header.opcode), start, end: used }))
    }

    /// A frame that is not the plain message that most are: what it begins is not at hand whole,
    /// or is not to be handed on so.
    fn begin(
        &mut self,
        bytes: &mut [u8],
        header: Header,
        start: usize,
    ) -> Result<Found, ProtocolError> {
        if header.opcode.is_control() {
            let room = start + header.length as usize;
            return match bytes.len() < room {
                true => Ok(Found::Needs { used: 0, room }),
                false => Ok(self.control(bytes, header, 0, start)),
            };
        }
        self.data(header)?;
        self.go_on(bytes, start)
    }

    /// Goes on with a message that has begun; `base` bytes at the front are used up.
    fn go_on(&mut self, bytes: &mut [u8], mut base: usize) -> Result<Found, ProtocolError> {
        loop {
            if self.frame.is_some() {
                if let Some(done) = self.take_payload(bytes, base)? {
                    return Ok(self.hand_on(base, done));
                }
                continue;
            }
            let at = base + self.assembled + self.gap;
            let (header, length) = match parse(&bytes[at..], self.role, self.may_compress)? {
                Parsed::Header(header, length) => (header, length),
                Parsed::Needs(room) => {
                    return Ok(Found::Needs { used: base, room: at - base + room });
                }
            };
            if header.opcode.is_control() {
                let end = at + length + header.length as usize;
                return Ok(match bytes.len() < end {
                    true => Found::Needs { used: base, room: end - base },
                    false => self.control(bytes, header, base, at + length),
                });
            }
            self.data(header)?;
            self.gap += length;
            if self.assembled == 0 {
                base += std::mem::take(&mut self.gap);
            }
        }
    }
}

/// What is to be told of a frame's payload.
enum Done {
    /// It has not arrived whole.
    Needs,
    /// The message is whole.
    Whole,
    /// There is more of a message that comes in parts.
    Part {
        /// It is the last.
        last: bool,
    },
}

impl Reader {
    /// A frame of data has begun.
    //= RFC 6455 §5.4
    fn data(&mut self, header: Header) -> Result<(), ProtocolError> {
        let (length, limits) = (header.length, self.limits);
        if length > limits.max_frame {
            return Err(ProtocolError::FrameTooBig { length, limit: limits.max_frame });
        }
        match (header.opcode, &self.message) {
            (Opcode::Continuation, None) => return Err(ProtocolError::NothingToContinue),
            (Opcode::Continuation, Some(_)) => {
                if header.compressed {
                    return Err(ProtocolError::Reserved(0x40));
                }
            }
            (opcode, Some(_)) => return Err(ProtocolError::MessageInMessage(opcode)),
            (opcode, None) => self.message = Some(Begun::new(opcode, header.compressed)),
        }
        let Some(message) = &mut self.message else { return Ok(()) };
        message.length = message.length.saturating_add(length);
        if message.length > limits.max_message {
            let (length, limit) = (message.length, limits.max_message);
            return Err(ProtocolError::MessageTooBig { length, limit });
        }
        message.frames += 1;
        if message.frames > limits.max_fragments {
            return Err(ProtocolError::TooManyFragments { limit: limits.max_fragments });
        }
        if message.length > limits.whole || message.compressed {
            message.parts.get_or_insert(false);
        }
        self.frame = Some(Frame { fin: header.fin, left: length, key: header.mask, phase: 0 });
        Ok(())
    }

    /// Takes what there is of the payload of the current frame. `None`: it has ended, and its
    /// message goes on.
    fn take_payload(
        &mut self,
        bytes: &mut [u8],
        base: usize,
    ) -> Result<Option<Done>, ProtocolError> {
        let (Some(frame), Some(message)) = (&mut self.frame, &mut self.message) else {
            return Ok(None);
        };
        let to = base + self.assembled;
        let from = to + self.gap;
        let there = (bytes.len() - from) as u64;
        let n = there.min(frame.left) as usize;
        let payload = &mut bytes[from..from + n];
        if let Some(key) = frame.key {
            frame.phase = unmask(payload, key, frame.phase);
        }
        if message.kind == Kind::Text && !message.compressed {
            message.utf8.check(payload).map_err(|_| ProtocolError::Utf8)?;
        }
        if self.gap > 0 {
            bytes.copy_within(from..from + n, to);
        }
        self.assembled += n;
        frame.left -= n as u64;
        let (ended, fin) = (frame.left == 0, frame.fin);
        if ended {
            self.frame = None;
        }
        let last = ended && fin;
        if last && !message.compressed {
            message.utf8.finish().map_err(|_| ProtocolError::Utf8)?;
        }
        Ok(match message.parts {
            Some(_) if self.assembled > 0 || last => Some(Done::Part { last }),
            Some(_) if !ended => Some(Done::Needs),
            None if last => Some(Done::Whole),
            None if !ended => Some(Done::Needs),
            _ => None,
        })
    }

    /// Where that lies which [`take_payload`](Self::take_payload) has taken.
    fn hand_on(&mut self, base: usize, done: Done) -> Found {
        let end = base + self.assembled;
        let used = end + self.gap;
        let Some(message) = &mut self.message else { return Found::Needs { used: base, room: 1 } };
        let what = match done {
            Done::Needs => {
                let left = self.frame.map_or(0, |frame| frame.left) as usize;
                let room = if message.parts.is_some() { 1 } else { used - base + left };
                return Found::Needs { used: base, room };
            }
            Done::Whole => What::Frame(message.kind.opcode()),
            Done::Part { last } => {
                let first = message.parts.replace(true) == Some(false);
                let (kind, compressed) = (message.kind, message.compressed);
                What::Part { kind, first, last, compressed }
            }
        };
        (self.assembled, self.gap) = (0, 0);
        if matches!(done, Done::Whole | Done::Part { last: true }) {
            self.message = None;
        }
        Found::Event(Place { used, what, start: base, end })
    }

    /// A control frame that is at hand whole, maybe within a message.
    //= RFC 6455 §5.5
    fn control(&mut self, bytes: &mut [u8], header: Header, base: usize, start: usize) -> Found {
        let end = start + header.length as usize;
        let mut used = end;
        if self.assembled > 0 {
            self.gap = end - base - self.assembled;
            used = base;
        }
        if let Some(key) = header.mask {
            unmask(&mut bytes[start..end], key, 0);
        }
        Found::Event(Place { used, what: What::Frame(header.opcode), start, end })
    }

    /// Bytes that lie between the payload of a message under way and what was not looked at.
    pub fn gap(&self) -> usize {
        self.gap
    }

    /// Moves the payload of a message under way up against what was not looked at, so that there is
    /// room for more behind that. Returns how many bytes at the front are to be dropped.
    pub fn compact(&mut self, bytes: &mut [u8]) -> usize {
        let dropped = std::mem::take(&mut self.gap);
        bytes.copy_within(..self.assembled, dropped);
        dropped
    }
}

impl Begun {
    fn new(opcode: Opcode, compressed: bool) -> Self {
        let kind = if opcode == Opcode::Text { Kind::Text } else { Kind::Binary };
        Self { kind, compressed, parts: None, utf8: Utf8::default(), length: 0, frames: 0 }
    }
}

/// What a message is whose frame has that first byte, if it is its only one and not compressed.
#[inline]
const fn plain_kind(first: u8) -> Option<Kind> {
    match first {
        0x81 => Some(Kind::Text),
        0x82 => Some(Kind::Binary),
        _ => None,
    }
}

/// The message that has this payload.
#[inline]
pub(crate) fn message_of(kind: Kind, payload: &[u8]) -> Result<Message<'_>, ProtocolError> {
    match kind {
        Kind::Binary => Ok(Message::Binary(payload)),
        Kind::Text => match utf8::text(payload) {
            Ok(text) => Ok(Message::Text(text)),
            Err(_) => Err(ProtocolError::Utf8),
        },
    }
}

/// What a frame says that is whole, and whose message it is whole.
#[inline]
fn event_of(opcode: Opcode, payload: &[u8]) -> Result<Event<'_>, ProtocolError> {
    Ok(match opcode {
        Opcode::Binary => Event::Binary(payload),
        Opcode::Text => message_of(Kind::Text, payload)?.into(),
        Opcode::Ping => Event::Ping(payload),
        Opcode::Pong => Event::Pong(payload),
        Opcode::Close => Event::Close(Farewell::parse(payload)?),
        Opcode::Continuation => return Err(ProtocolError::NothingToContinue),
    })
}
