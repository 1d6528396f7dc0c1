use proptest::prelude::*;

use super::*;
use crate::frame::{self, Header, Opcode};
use crate::{CloseCode, ProtocolError, Role};

/// What a reader says of `bytes`, which arrive in pieces that end at `cuts`: as text, since events
/// borrow. It has room for `room` bytes.
fn read_in_pieces(
    reader: &mut Reader,
    bytes: &[u8],
    cuts: impl IntoIterator<Item = usize>,
    room: usize,
) -> (Vec<String>, Result<(), ProtocolError>) {
    let (mut seen, mut held, mut from) = (Vec::new(), Vec::new(), 0);
    for cut in cuts.into_iter().chain([bytes.len()]) {
        let cut = cut.clamp(from, bytes.len());
        held.extend_from_slice(&bytes[from..cut]);
        from = cut;
        loop {
            match reader.next(&mut held) {
                Ok(Next::Event { used, event }) => {
                    seen.push(format!("{event:?}"));
                    held.drain(..used);
                }
                Ok(Next::Needs { used, room: needed }) => {
                    held.drain(..used);
                    assert!(needed > held.len(), "it needs {needed} and has {}", held.len());
                    if held.len() + 64 > room {
                        let dropped = reader.compact(&mut held);
                        held.drain(..dropped);
                    }
                    break;
                }
                Err(error) => return (seen, Err(error)),
            }
        }
    }
    (seen, Ok(()))
}

fn frame(fin: bool, opcode: Opcode, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let header = Header { fin, mask, ..Header::new(opcode, payload.len()) };
    let mut bytes = vec![0; header.length() + payload.len()];
    assert_eq!(frame::put(&mut bytes, &header, payload), bytes.len());
    bytes
}

fn read(bytes: &[u8]) -> (Vec<String>, Result<(), ProtocolError>) {
    let mut reader = Reader::new(Role::Client, Limits::default());
    read_in_pieces(&mut reader, bytes, [], usize::MAX)
}

fn refused(bytes: &[u8]) -> ProtocolError {
    read(bytes).1.expect_err("is refused")
}

/// The examples of the RFC are read as what it says they are.
//= RFC 6455 §5.7
//= type=test
#[test]
fn the_examples_of_the_rfc_are_read() {
    let hello = "Text(\"Hello\")".to_owned();
    assert_eq!(read(b"\x81\x05Hello"), (vec![hello.clone()], Ok(())));
    assert_eq!(read(b"\x01\x03Hel\x80\x02lo"), (vec![hello.clone()], Ok(())));
    assert_eq!(read(b"\x89\x05Hello").0, ["Ping([72, 101, 108, 108, 111])"]);
    let mut server = Reader::new(Role::Server, Limits::default());
    let masked = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(read_in_pieces(&mut server, masked, [], usize::MAX), (vec![hello], Ok(())));
    for (head, length) in [(&b"\x82\x7e\x01\x00"[..], 256), (b"\x82\x7f\0\0\0\0\0\x01\0\0", 65536)]
    {
        let bytes = [head, &vec![7; length]].concat();
        assert_eq!(read(&bytes).0, [format!("Binary({:?})", vec![7; length])]);
    }
}

/// Frames that may not be are refused, each with the code that the RFC names.
//= RFC 6455 §5.2
//= type=test
//= RFC 6455 §5.5
//= type=test
#[test]
fn frames_that_may_not_be_are_refused() {
    use ProtocolError as E;
    let cases: [(&[u8], E); 14] = [
        (b"\x83\x00", E::Opcode(3)),
        (b"\x8b\x00", E::Opcode(11)),
        (b"\xc1\x00", E::Reserved(0x40)),
        (b"\x91\x00", E::Reserved(0x10)),
        (b"\x81\x80", E::Masked),
        (b"\x09\x00", E::FragmentedControl(Opcode::Ping)),
        (b"\x8a\x7e", E::LongControl(Opcode::Pong)),
        (b"\x88\x7f", E::LongControl(Opcode::Close)),
        (b"\x82\x7e\x00\x7d", E::LengthNotMinimal(125)),
        (b"\x82\x7f\0\0\0\0\0\0\xff\xff", E::LengthNotMinimal(65535)),
        (b"\x82\x7f\x80\0\0\0\0\0\0\0", E::LengthTopBit(1 << 63)),
        (b"\x80\x00", E::NothingToContinue),
        (b"\x01\x00\x82\x00", E::MessageInMessage(Opcode::Binary)),
        (b"\x81\x02\xc3\x28", E::Utf8),
    ];
    for (bytes, error) in cases {
        assert_eq!(refused(bytes), error);
        let code = if error == E::Utf8 { CloseCode::INVALID } else { CloseCode::PROTOCOL };
        assert_eq!(error.code(), code);
    }
    let mut server = Reader::new(Role::Server, Limits::default());
    assert_eq!(server.next(&mut [0x81, 0]), Err(E::NotMasked));
}

/// A frame is refused as soon as its first bytes say that it may not be.
#[test]
fn what_may_not_be_is_refused_at_its_first_byte() {
    assert_eq!(refused(b"\x83"), ProtocolError::Opcode(3));
    assert_eq!(refused(b"\xf1"), ProtocolError::Reserved(0x70));
    assert_eq!(refused(b"\x08"), ProtocolError::FragmentedControl(Opcode::Close));
}

/// A frame or message that is too long is refused by what its header says, before it arrives.
#[test]
fn what_is_too_long_is_refused_by_its_header() {
    let limits = Limits { max_frame: 200, max_message: 300, whole: 300, max_fragments: 3 };
    let read = |bytes: &[u8]| {
        read_in_pieces(&mut Reader::new(Role::Client, limits), bytes, [], usize::MAX).1
    };
    let too_big = ProtocolError::FrameTooBig { length: 201, limit: 200 };
    assert_eq!(read(b"\x82\x7e\x00\xc9"), Err(too_big));
    assert_eq!(too_big.code(), CloseCode::TOO_BIG);
    let mut message = frame(false, Opcode::Binary, None, &[0; 200]);
    message.extend_from_slice(b"\x80\x65");
    assert_eq!(read(&message), Err(ProtocolError::MessageTooBig { length: 301, limit: 300 }));
    let many = b"\x02\x00\x00\x00\x00\x00\x80\x00";
    assert_eq!(read(many), Err(ProtocolError::TooManyFragments { limit: 3 }));
}

/// A text that cannot become UTF-8 is refused before its frame, or its message, is over.
//= RFC 6455 §8.1
//= type=test
#[test]
fn text_that_is_no_utf8_is_refused_before_it_is_over() {
    assert_eq!(refused(b"\x81\x7e\x10\x00\xce\xba\xf4\x90"), ProtocolError::Utf8);
    assert_eq!(refused(b"\x01\x02\xf4\x90"), ProtocolError::Utf8);
    assert_eq!(refused(b"\x01\x01\xce\x80\x00"), ProtocolError::Utf8, "it ends in a character");
}

/// What is said of a close frame is what the RFC says of it.
//= RFC 6455 §7.4
//= type=test
#[test]
fn close_frames_are_checked() {
    assert_eq!(read(b"\x88\x00").0, ["Close(None)"]);
    let said = "Close(Some(Farewell { code: CloseCode(1000), reason: \"bye\" }))";
    assert_eq!(read(b"\x88\x05\x03\xe8bye").0, [said]);
    assert_eq!(refused(b"\x88\x01\x03"), ProtocolError::CloseLength);
    assert_eq!(refused(b"\x88\x03\x03\xe8\xff"), ProtocolError::CloseReason);
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535_u16] {
        let bytes = [&b"\x88\x02"[..], &code.to_be_bytes()].concat();
        assert_eq!(refused(&bytes), ProtocolError::CloseCode(code));
    }
    for code in [1000, 1001, 1002, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999_u16] {
        let bytes = [&b"\x88\x02"[..], &code.to_be_bytes()].concat();
        assert_eq!(read(&bytes).1, Ok(()), "{code}");
    }
}

/// A message longer than what is handed on whole comes in parts, as they arrive.
#[test]
fn a_long_message_comes_in_parts() {
    let mut reader = Reader::new(Role::Client, Limits { whole: 4, ..Limits::default() });
    let bytes = b"\x01\x03abc\x00\x03def\x89\x00\x80\x03ghi\x82\x04four";
    let (seen, result) = read_in_pieces(&mut reader, bytes, [6, 8, 16], usize::MAX);
    assert_eq!(result, Ok(()));
    let part = |first, last, bytes: &str| {
        let bytes = bytes.as_bytes();
        let part = Part { kind: Kind::Text, first, last, compressed: false, bytes };
        format!("{:?}", Event::Part(part))
    };
    let expected = [
        part(true, false, "abcd"),
        part(false, false, "ef"),
        "Ping([])".to_owned(),
        part(false, false, "gh"),
        part(false, true, "i"),
        format!("{:?}", Event::Binary(b"four")),
    ];
    assert_eq!(seen, expected);
}

/// A compressed message comes in parts, marked; without the extension it is refused.
//= RFC 7692 §6
//= type=test
#[test]
fn a_compressed_message_comes_in_parts() {
    let bytes = b"\x41\x03\xff\xfe\xfd\x80\x01\xfc";
    assert_eq!(refused(bytes), ProtocolError::Reserved(0x40));
    let mut reader = Reader::new(Role::Client, Limits::default()).compressed();
    let (seen, result) = read_in_pieces(&mut reader, bytes, [], usize::MAX);
    assert_eq!((seen.len(), result), (2, Ok(())));
    assert!(seen[0].contains("compressed: true") && seen[1].contains("last: true"), "{seen:?}");
    let marked_twice = b"\x41\x00\xc0\x00";
    let mut reader = Reader::new(Role::Client, Limits::default()).compressed();
    let refused = read_in_pieces(&mut reader, marked_twice, [], usize::MAX).1;
    assert_eq!(refused, Err(ProtocolError::Reserved(0x40)));
}

#[derive(Clone, Debug)]
struct Sent {
    text: bool,
    /// Payloads of its frames, and whether a ping follows each but the last.
    frames: Vec<(Vec<u8>, bool)>,
}

fn messages() -> impl Strategy<Value = Vec<Sent>> {
    let piece = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        (100..140_usize).prop_map(|n| vec![b'x'; n]),
        Just(vec![b'y'; 70_000]),
    ];
    let text = "\\PC{0,60}".prop_map(String::into_bytes);
    let message = any::<bool>().prop_flat_map(move |is_text| {
        let piece = if is_text { text.clone().boxed() } else { piece.clone().boxed() };
        proptest::collection::vec((piece, any::<bool>()), 1..5)
            .prop_map(move |frames| Sent { text: is_text, frames })
    });
    proptest::collection::vec(message, 1..6)
}

/// What was sent as bytes, and as the events that it is.
fn on_the_wire(messages: &[Sent], mask: Option<[u8; 4]>) -> (Vec<u8>, Vec<String>) {
    let (mut bytes, mut events) = (Vec::new(), Vec::new());
    for Sent { text, frames } in messages {
        let kind = if *text { Opcode::Text } else { Opcode::Binary };
        let mut whole = Vec::new();
        for (at, (payload, ping)) in frames.iter().enumerate() {
            let fin = at + 1 == frames.len();
            let opcode = if at == 0 { kind } else { Opcode::Continuation };
            bytes.extend(frame(fin, opcode, mask, payload));
            whole.extend_from_slice(payload);
            if *ping && !fin {
                bytes.extend(frame(true, Opcode::Ping, mask, b"?"));
                events.push("Ping([63])".to_owned());
            }
        }
        events.push(match text {
            true => format!("{:?}", Event::Text(std::str::from_utf8(&whole).unwrap())),
            false => format!("{:?}", Event::Binary(&whole)),
        });
    }
    (bytes, events)
}

proptest! {
    /// Whatever is sent, however it is framed and wherever it is cut, is what is read.
    #[test]
    fn what_is_sent_is_what_is_read(
        messages in messages(),
        mask in proptest::option::of(any::<[u8; 4]>()),
        cuts in proptest::collection::vec(0..2000_usize, 0..40),
        room in prop_oneof![Just(usize::MAX), Just(0)],
    ) {
        let (bytes, expected) = on_the_wire(&messages, mask);
        let role = if mask.is_some() { Role::Server } else { Role::Client };
        let mut at = 0;
        let cuts = cuts.into_iter().map(|cut| { at += cut; at });
        let mut reader = Reader::new(role, Limits::default());
        let (seen, result) = read_in_pieces(&mut reader, &bytes, cuts, room);
        prop_assert_eq!(result, Ok(()));
        prop_assert_eq!(seen, expected);
    }

    /// The same byte by byte, for short messages.
    #[test]
    fn what_is_sent_byte_by_byte_is_what_is_read(
        message in ("\\PC{0,20}", "\\PC{0,20}"),
        mask in any::<[u8; 4]>(),
    ) {
        let frames = vec![(message.0.into_bytes(), true), (message.1.into_bytes(), false)];
        let (bytes, expected) = on_the_wire(&[Sent { text: true, frames }], Some(mask));
        let mut reader = Reader::new(Role::Server, Limits::default());
        let (seen, result) = read_in_pieces(&mut reader, &bytes, 0..bytes.len(), usize::MAX);
        prop_assert_eq!(result, Ok(()));
        prop_assert_eq!(seen, expected);
    }
}

/// What is kept of the target `websocket_frames`.
#[test]
fn frames_that_were_kept_are_read_as_they_were() {
    crate::trial::replay("websocket_frames", crate::trial::frames);
}

proptest! {
    /// Whatever bytes come, tungstenite says the same of them.
    #[test]
    fn bytes_are_what_tungstenite_takes_them_for(
        bytes in proptest::collection::vec(
            prop_oneof![
                3 => any::<u8>(),
                2 => proptest::sample::select(vec![0_u8, 1, 2, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8a, 126, 127]),
            ],
            0..200,
        ),
    ) {
        crate::trial::frames(&bytes);
    }
}
