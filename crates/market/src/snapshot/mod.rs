//! The books as they are, over TCP: for those who join late, or have lost what nobody can send again.
//!
//! Each frame has its length before it, in two bytes, big-endian as all numbers are. A request is a frame
//! of one byte, `S`. The answer is a header, the books one by one in the order of their instruments, each as
//! messages from [`Message::SnapshotBegin`] to [`Message::SnapshotEnd`], and an end.
//!
//! | offset | bytes | header | message | end |
//! | --- | --- | --- | --- | --- |
//! | 0 | 1 | `H` | `M` | `E` |
//! | 1 | | session, 10 bytes | the message | checksum of the books, 8 bytes |
//! | 11 | 8 | number of the first message of the feed that is not in it | | |
//! | 19 | 4 | instruments | | |

use tautline_feed::format::Session;

use crate::book::{Book, Books};
use crate::message::{Instrument, Message};
use crate::wire::{Frames, ProtocolError, framed, unknown};

/// A request as a frame.
pub const REQUEST: [u8; 3] = [0, 1, b'S'];

const HEADER: usize = 23;
const END: usize = 9;

/// Bytes of the largest frame, without its length.
const LARGEST: usize = 1 + Message::LONGEST;

/// What a snapshot is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The session.
    pub session: Session,
    /// The number of the first message of the feed that is not in it, as the exchange counts: it does not
    /// wrap around.
    pub next: u64,
    /// Books that follow.
    pub instruments: u32,
}

/// A part of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// It begins.
    Header(Header),
    /// A message of a book: the beginning, an order, or the end.
    Message(Message),
    /// That was all.
    End {
        /// What [`Books::checksum`] is of all of them.
        checksum: u64,
    },
}

/// Bytes that [`write()`] adds for books that are full at most.
pub fn most_bytes(instruments: u32, orders: usize) -> usize {
    let framed = |bytes: usize| 2 + bytes;
    let book = orders.saturating_mul(framed(1 + 26)) + framed(1 + 13) + framed(1 + 5);
    (instruments as usize).saturating_mul(book).saturating_add(framed(HEADER) + framed(END))
}

/// Adds a snapshot of books to what is to be sent: `next` is the number of the next message of the feed.
pub fn write(session: Session, next: u64, books: &Books, to: &mut Vec<u8>) {
    let mut room = [0; 2 + LARGEST];
    room[2] = b'H';
    room[3..13].copy_from_slice(&session.bytes());
    room[13..21].copy_from_slice(&next.to_be_bytes());
    room[21..25].copy_from_slice(&books.len().to_be_bytes());
    to.extend_from_slice(framed(&mut room, HEADER));
    for (instrument, book) in books.iter() {
        write_book(instrument, next, book, to);
    }
    room[2] = b'E';
    room[3..11].copy_from_slice(&books.checksum().to_be_bytes());
    to.extend_from_slice(framed(&mut room, END));
}

fn write_book(instrument: Instrument, next: u64, book: &Book, to: &mut Vec<u8>) {
    write_message(&Message::SnapshotBegin { instrument, next }, to);
    for order in book.orders() {
        let crate::book::Order { order, price, quantity, side } = order;
        write_message(&Message::Add { instrument, order, price, quantity, side }, to);
    }
    write_message(&Message::SnapshotEnd { instrument }, to);
}

fn write_message(message: &Message, to: &mut Vec<u8>) {
    let mut bytes = [0; Message::LONGEST];
    let bytes = message.encode(&mut bytes);
    let mut room = [0; 2 + LARGEST];
    room[2] = b'M';
    room[3..3 + bytes.len()].copy_from_slice(bytes);
    to.extend_from_slice(framed(&mut room, 1 + bytes.len()));
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
        Self { frames: Frames::new(1) }
    }

    /// Whether the input, which is moved past what was used, brings a request to its end.
    ///
    /// # Errors
    /// [`ProtocolError`]: close the connection.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<bool, ProtocolError> {
        match self.frames.next(input)? {
            None => Ok(false),
            Some(b"S") => Ok(true),
            Some(frame) => Err(unknown(frame)),
        }
    }
}

/// Reads snapshots off a connection, whatever pieces they come in. What comes out is whole books, of the
/// instruments that the header says, in order.
#[derive(Debug)]
pub struct Parts {
    frames: Frames,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// A header is next.
    Before,
    /// Books are next, from one on: so many in all.
    Between { next: u32, books: u32 },
    /// Orders are next, of one of them.
    In { book: u32, books: u32 },
}

impl Parts {
    /// Of a connection that begins.
    #[allow(clippy::new_without_default, reason = "it belongs to a connection")]
    pub fn new() -> Self {
        Self { frames: Frames::new(LARGEST), state: State::Before }
    }

    /// The next part of the input, which is moved past what was used; `None`: more must come.
    ///
    /// # Errors
    /// [`ProtocolError`]: close the connection, and take nothing of the snapshot for true.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Part>, ProtocolError> {
        let Some(frame) = self.frames.next(input)? else { return Ok(None) };
        let part = match frame {
            [b'M', message @ ..] => Part::Message(Message::decode(message)?),
            [b'H', header @ ..] => decode_header(header).ok_or(unknown(frame))?,
            [b'E', checksum @ ..] => {
                let checksum = checksum.try_into().map_err(|_| unknown(frame))?;
                Part::End { checksum: u64::from_be_bytes(checksum) }
            }
            _ => return Err(unknown(frame)),
        };
        self.state = self.state.after(&part)?;
        Ok(Some(part))
    }

    /// Another connection: what was unfinished is forgotten.
    pub fn reset(&mut self) {
        self.frames.reset();
        self.state = State::Before;
    }
}

fn decode_header(bytes: &[u8]) -> Option<Part> {
    let (session, rest) = bytes.split_first_chunk()?;
    let (next, rest) = rest.split_first_chunk()?;
    Some(Part::Header(Header {
        session: Session::of_bytes(*session),
        next: u64::from_be_bytes(*next),
        instruments: u32::from_be_bytes(rest.try_into().ok()?),
    }))
}

impl State {
    fn after(self, part: &Part) -> Result<Self, ProtocolError> {
        let of = |instrument: &Instrument, book: u32| instrument.0 == book;
        match (self, part) {
            (Self::Before, Part::Header(header)) => {
                Ok(Self::Between { next: 0, books: header.instruments })
            }
            (
                Self::Between { next, books },
                Part::Message(Message::SnapshotBegin { instrument, .. }),
            ) if next < books && of(instrument, next) => Ok(Self::In { book: next, books }),
            (Self::In { book, .. }, Part::Message(Message::Add { instrument, .. }))
                if of(instrument, book) =>
            {
                Ok(self)
            }
            (Self::In { book, books }, Part::Message(Message::SnapshotEnd { instrument }))
                if of(instrument, book) =>
            {
                Ok(Self::Between { next: book + 1, books })
            }
            (Self::Between { next, books }, Part::End { .. }) if next == books => Ok(Self::Before),
            _ => Err(ProtocolError::OutOfOrder { found: part.name(), expected: self.expects() }),
        }
    }

    fn expects(self) -> &'static str {
        match self {
            Self::Before => "a header",
            Self::Between { next, books } if next == books => "the end",
            Self::Between { .. } => "the next book",
            Self::In { .. } => "an order of the book, or its end",
        }
    }
}

impl Part {
    fn name(&self) -> &'static str {
        match self {
            Self::Header(_) => "a header",
            Self::Message(Message::SnapshotBegin { .. }) => "a book",
            Self::Message(Message::SnapshotEnd { .. }) => "the end of a book",
            Self::Message(Message::Add { .. }) => "an order",
            Self::Message(_) => "a message of the feed",
            Self::End { .. } => "the end",
        }
    }
}

#[cfg(test)]
mod tests;
