//! Whatever may come over the wire, read from bytes: for fuzz targets, and for tests that replay what they
//! have found.
//!
//! A fuzzer makes up bytes, [`message`], [`answers`] and [`parts`] take them for what a peer has sent, and
//! panic if something is not as it should be. The targets are in `fuzz/`.

use crate::message::{DecodeError, Message};
use crate::replay::{Answer, Answers};
use crate::snapshot::{Header, Part, Parts};
use crate::wire::ProtocolError;

/// Takes the bytes for a message. What is one is written as it came, and nothing shorter is one.
///
/// # Panics
/// If something is not as it should be.
pub fn message(bytes: &[u8]) {
    let Ok(message) = Message::decode(bytes) else { return };
    assert_eq!(message.encode(&mut [0; Message::LONGEST]), bytes);
    for len in 1..bytes.len() {
        let error = DecodeError::Length { kind: bytes[0], len, expected: bytes.len() };
        assert_eq!(Message::decode(&bytes[..len]), Err(error));
    }
}

/// Takes the bytes for what a replay server sends. The first ones say how large its packets are, and in
/// which pieces the others come.
///
/// # Panics
/// If something is not as it should be.
pub fn answers(bytes: &[u8]) {
    let [size, pieces @ .., _] = *first(bytes);
    let packet = [0, 29, 100, usize::from(u16::MAX) - 1][usize::from(size % 4)];
    is_read_in_pieces(&bytes[FIRST.min(bytes.len())..], pieces, || {
        let mut answers = Answers::new(packet);
        move |input: &mut &[u8]| {
            let Some(answer) = answers.next(input)? else { return Ok(None) };
            Ok(Some(match answer {
                Answer::Packet(bytes) => {
                    assert!(bytes.len() <= packet.max(29), "of {packet} bytes at most");
                    frame(b'P', bytes)
                }
                Answer::Refused(refusal) => refusal.encode(&mut [0; 32]).to_vec(),
            }))
        }
    });
}

/// Takes the bytes for what a snapshot server sends. The first ones say in which pieces the others come.
///
/// # Panics
/// If something is not as it should be.
pub fn parts(bytes: &[u8]) {
    let [_, pieces @ .., _] = *first(bytes);
    is_read_in_pieces(&bytes[FIRST.min(bytes.len())..], pieces, || {
        let (mut parts, mut order) = (Parts::new(), Order::default());
        move |input: &mut &[u8]| {
            let Some(part) = parts.next(input)? else { return Ok(None) };
            order.follow(&part);
            Ok(Some(written(&part)))
        }
    });
}

/// Bytes before those that come over the wire.
const FIRST: usize = 4;

/// The first bytes, and zeros where there are none.
fn first(bytes: &[u8]) -> &[u8; FIRST] {
    bytes.first_chunk().unwrap_or(&[0; FIRST])
}

/// Whether a reader makes the same of a stream in pieces as of the whole, parts and error, and whether the
/// parts, written again, are what they were read from.
fn is_read_in_pieces<R>(stream: &[u8], pieces: [u8; FIRST - 2], reader: impl Fn() -> R)
where
    R: FnMut(&mut &[u8]) -> Result<Option<Vec<u8>>, ProtocolError>,
{
    let (whole, error) = read(stream, &[stream.len()], reader());
    assert!(stream.starts_with(&whole.concat()), "{whole:?} of {stream:?}");
    let pieces = pieces.map(usize::from);
    assert_eq!(read(stream, &pieces, reader()), (whole, error), "in pieces of {pieces:?}");
}

/// What is read of a stream that comes in pieces, up to its end or an error.
fn read(
    stream: &[u8],
    pieces: &[usize],
    mut next: impl FnMut(&mut &[u8]) -> Result<Option<Vec<u8>>, ProtocolError>,
) -> (Vec<Vec<u8>>, Option<ProtocolError>) {
    let (mut parts, mut rest) = (Vec::new(), stream);
    for piece in pieces.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let mut input;
        (input, rest) = rest.split_at((*piece).clamp(1, rest.len()));
        loop {
            match next(&mut input) {
                Ok(Some(part)) => parts.push(part),
                Ok(None) => break assert!(input.is_empty(), "more must come, but there is more"),
                Err(error) => return (parts, Some(error)),
            }
            assert!(parts.len() <= stream.len(), "nothing was used");
        }
    }
    (parts, None)
}

/// What parts of a snapshot may follow.
#[derive(Default)]
struct Order {
    /// Books that were announced, and how many of them have ended.
    books: u32,
    ended: u32,
    has_header: bool,
    is_in_book: bool,
}

impl Order {
    fn follow(&mut self, part: &Part) {
        match *part {
            Part::Header(Header { instruments, .. }) => {
                assert!(!self.has_header);
                *self = Self { books: instruments, has_header: true, ..Self::default() };
            }
            Part::End { .. } => {
                assert!(self.has_header && !self.is_in_book && self.ended == self.books);
                *self = Self::default();
            }
            Part::Message(message) => {
                assert!(self.has_header && self.ended < self.books);
                assert_eq!(message.instrument().0, self.ended);
                match message {
                    Message::SnapshotBegin { .. } => {
                        assert!(!std::mem::replace(&mut self.is_in_book, true));
                    }
                    Message::Add { .. } => assert!(self.is_in_book),
                    Message::SnapshotEnd { .. } => {
                        assert!(std::mem::take(&mut self.is_in_book));
                        self.ended += 1;
                    }
                    _ => panic!("{message:?} is no part of a snapshot"),
                }
            }
        }
    }
}

/// A part of a snapshot as it goes over the wire.
fn written(part: &Part) -> Vec<u8> {
    match part {
        Part::Header(Header { session, next, instruments }) => {
            let session = session.bytes();
            frame(b'H', &[&session[..], &next.to_be_bytes(), &instruments.to_be_bytes()].concat())
        }
        Part::Message(message) => frame(b'M', message.encode(&mut [0; Message::LONGEST])),
        Part::End { checksum } => frame(b'E', &checksum.to_be_bytes()),
    }
}

fn frame(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let len = (1 + bytes.len()) as u16;
    [&len.to_be_bytes()[..], &[kind], bytes].concat()
}

#[cfg(test)]
mod tests;
