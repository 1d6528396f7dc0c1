//! Frames, beside what tungstenite makes of them.

use std::io::{self, Read, Write};

use tungstenite::Error as Theirs;
use tungstenite::protocol::{Role as TheirRole, WebSocket as TheirSocket, WebSocketConfig};

use crate::frame::{self, Header, LONGEST, MOST_CONTROL};
use crate::read::{Event, Kind, Limits, Next, Reader};
use crate::{ProtocolError, Role};

/// What was told of a stream: parts of a message are one.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Told {
    Message(Kind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

/// Who reads.
#[derive(Clone, Copy)]
struct Setting {
    role: Role,
    limits: Limits,
    compressed: bool,
}

/// Takes the first two bytes for who reads, what it takes, and how it is cut; and the rest for what is
/// received.
///
/// # Panics
/// If it makes a difference how it is cut, if more room is wanted than a message may need, or if it is not
/// what tungstenite says it is. Where this crate is stricter, that has to be for one of a few reasons.
pub fn frames(bytes: &[u8]) {
    let Some(([how, piece], input)) = bytes.split_first_chunk::<2>() else { return };
    let setting = setting(*how);
    let whole = read(setting, input, input.len().max(1));
    let pieces = read(setting, input, usize::from(*piece) + 1);
    assert_eq!(pieces, whole, "cut every {} bytes", usize::from(*piece) + 1);
    if setting.compressed {
        return;
    }
    beside_tungstenite(setting, input, &whole);
    sent_anew(&whole.0, usize::from(*piece));
}

fn setting(how: u8) -> Setting {
    let limits = Limits { max_frame: 70_000, max_message: 100_000, ..Limits::default() };
    let limits = match how >> 2 & 3 {
        0 | 1 => limits,
        2 => Limits { whole: 100, ..limits },
        _ => Limits { max_frame: 200, max_message: 300, whole: 300, max_fragments: 5 },
    };
    let role = if how & 1 == 0 { Role::Server } else { Role::Client };
    Setting { role, limits, compressed: how & 2 != 0 }
}

/// What a reader tells of `input` when it comes in pieces of that many bytes.
fn read(setting: Setting, input: &[u8], piece: usize) -> (Vec<Told>, Result<(), ProtocolError>) {
    let mut reader = Reader::new(setting.role, setting.limits);
    if setting.compressed {
        reader = reader.compressed();
    }
    // What is not in parts, in the longest headers, with a control frame between.
    let most = setting.limits.whole.min(setting.limits.max_message) as usize;
    let most = most.max(MOST_CONTROL) + 2 * LONGEST + MOST_CONTROL;
    let (mut told, mut parts, mut held) = (Vec::new(), Vec::new(), Vec::new());
    for piece in input.chunks(piece) {
        held.extend_from_slice(piece);
        loop {
            match reader.next(&mut held) {
                Ok(Next::Event { used, event }) => {
                    let is_over = matches!(event, Event::Close(_));
                    told.extend(tell(event, &mut parts));
                    held.drain(..used);
                    if is_over {
                        return (told, Ok(()));
                    }
                }
                Ok(Next::Needs { used, room }) => {
                    held.drain(..used);
                    assert!(room > held.len(), "{room} where {} are there", held.len());
                    let dropped = reader.compact(&mut held);
                    held.drain(..dropped);
                    assert!(room - dropped <= most, "{} where {most} do", room - dropped);
                    break;
                }
                Err(error) => return (told, Err(error)),
            }
        }
    }
    (told, Ok(()))
}

/// `None`: the message goes on.
fn tell(event: Event<'_>, parts: &mut Vec<u8>) -> Option<Told> {
    Some(match event {
        Event::Text(text) => Told::Message(Kind::Text, text.into()),
        Event::Binary(bytes) => Told::Message(Kind::Binary, bytes.into()),
        Event::Part(part) => {
            assert!(!part.first || parts.is_empty());
            parts.extend_from_slice(part.bytes);
            return part.last.then(|| Told::Message(part.kind, std::mem::take(parts)));
        }
        Event::Ping(bytes) => Told::Ping(bytes.into()),
        Event::Pong(bytes) => Told::Pong(bytes.into()),
        Event::Close(farewell) => {
            Told::Close(farewell.map(|farewell| (farewell.code.get(), farewell.reason.into())))
        }
    })
}

/// A stream that has so much to read, and takes whatever is written.
struct Stream<'b>(&'b [u8]);

impl Read for Stream<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.0.read(room)
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What tungstenite tells of `input`, and how that ends.
fn theirs(setting: Setting, input: &[u8]) -> (Vec<Told>, Theirs) {
    let role = match setting.role {
        Role::Client => TheirRole::Client,
        Role::Server => TheirRole::Server,
    };
    let config = WebSocketConfig::default()
        .max_frame_size(Some(setting.limits.max_frame as usize))
        .max_message_size(Some(setting.limits.max_message as usize));
    let mut socket = TheirSocket::from_raw_socket(Stream(input), role, Some(config));
    let mut told = Vec::new();
    loop {
        use tungstenite::Message as M;
        told.push(match socket.read() {
            Ok(M::Text(text)) => Told::Message(Kind::Text, text.as_bytes().into()),
            Ok(M::Binary(bytes)) => Told::Message(Kind::Binary, bytes.into()),
            Ok(M::Ping(bytes)) => Told::Ping(bytes.into()),
            Ok(M::Pong(bytes)) => Told::Pong(bytes.into()),
            Ok(M::Close(close)) => {
                Told::Close(close.map(|close| (close.code.into(), close.reason.as_str().into())))
            }
            Ok(M::Frame(frame)) => panic!("{frame:?} was not asked for"),
            Err(error) => return (told, error),
        });
    }
}

/// Both say the same, as far as both go.
fn beside_tungstenite(
    setting: Setting,
    input: &[u8],
    ours: &(Vec<Told>, Result<(), ProtocolError>),
) {
    let (told, end) = ours;
    let (their_told, their_end) = theirs(setting, input);
    let shared = told.len().min(their_told.len());
    for (told, theirs) in told.iter().zip(&their_told) {
        // tungstenite does not know that code, which was registered after the RFC.
        let is_new = matches!(told, Told::Close(Some((1014, _))));
        assert!(told == theirs || is_new, "{told:?}, and for tungstenite {theirs:?}");
    }
    assert_eq!(shared, told.len(), "tungstenite ends earlier: {their_end}");
    let is_over = matches!(told.last(), Some(Told::Close(_)));
    match end {
        Ok(()) if is_over => {}
        Ok(()) => {
            assert_eq!(shared, their_told.len(), "nothing is told of {:?}", their_told.last());
            let ended =
                Theirs::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake);
            assert_eq!(their_end.to_string(), ended.to_string(), "and is refused by tungstenite");
        }
        Err(error) => {
            let goes_on = their_told.len() > shared;
            assert!(!goes_on || is_stricter(error), "{error}, where tungstenite goes on");
        }
    }
}

/// Whether that is refused by this crate alone.
fn is_stricter(error: &ProtocolError) -> bool {
    use ProtocolError as E;
    matches!(
        error,
        // tungstenite takes lengths in more bytes than they need, of control frames too; takes close
        // codes that may not be sent for others; and knows no limit on fragments.
        E::LengthNotMinimal(_) | E::LongControl(_) | E::CloseCode(_) | E::TooManyFragments { .. }
    )
}

/// What was told is sent in fragments of `piece` bytes, and read by tungstenite as it was.
fn sent_anew(told: &[Told], piece: usize) {
    let mut wire = Vec::new();
    for told in told {
        let Told::Message(kind, bytes) = told else { continue };
        let piece = piece.max(1 + bytes.len() / 64);
        let mut opcode = kind.opcode();
        let mut rest = &bytes[..];
        loop {
            let (payload, behind) = rest.split_at(piece.min(rest.len()));
            let header = Header {
                fin: behind.is_empty(),
                mask: Some([7, 77, piece as u8, 0]),
                ..Header::new(opcode, payload.len())
            };
            let start = wire.len();
            wire.resize(start + header.length() + payload.len(), 0);
            assert_eq!(frame::put(&mut wire[start..], &header, payload), wire.len() - start);
            (opcode, rest) = (frame::Opcode::Continuation, behind);
            if rest.is_empty() {
                break;
            }
        }
    }
    let setting = Setting { role: Role::Server, limits: Limits::default(), compressed: false };
    let mut messages = told.iter().filter(|told| matches!(told, Told::Message(..)));
    assert!(theirs(setting, &wire).0.iter().eq(messages.by_ref()));
}
