//! The examples of RFC 7692 §7.2.3, byte for byte, and what peers do that are nearly right.

use super::*;

const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

/// A message of one block.
//= RFC 7692 §7.2.3.1
//= type=test
#[test]
fn one_block_is_a_message() {
    for level in 1..=9 {
        assert_eq!(deflated(&mut deflater(FORGETS, level), b"Hello"), HELLO, "level {level}");
    }
    assert_eq!(inflated(&mut inflater(FORGETS), &HELLO).as_deref(), Ok(&b"Hello"[..]));
    // In two fragments, as there.
    let mut inflater = inflater(FORGETS);
    let mut room = [0; 16];
    let first = inflater.inflate(&HELLO[..3], &mut room, Part::Middle).expect("it is sound");
    assert_eq!((first.consumed, first.next), (3, Next::Input));
    let rest = &mut room[first.produced..];
    let last = inflater.inflate(&HELLO[3..], rest, Part::Last).expect("it is sound");
    assert_eq!(last.next, Next::Message);
    assert_eq!(&room[..first.produced + last.produced], b"Hello");
}

/// With takeover, the second message refers to the first; without, it is as the first.
//= RFC 7692 §7.2.3.2
//= type=test
#[test]
fn a_window_is_shared_between_messages() {
    let again = [0xf2, 0x00, 0x11, 0x00, 0x00];
    let mut deflates = deflater(KEEPS, 6);
    assert_eq!(deflated(&mut deflates, b"Hello"), HELLO);
    assert_eq!(deflated(&mut deflates, b"Hello"), again);
    let mut inflates = inflater(KEEPS);
    for payload in [&HELLO[..], &again, &again, &HELLO] {
        assert_eq!(inflated(&mut inflates, payload).as_deref(), Ok(&b"Hello"[..]));
    }
    let mut deflates = deflater(FORGETS, 6);
    assert_eq!(deflated(&mut deflates, b"Hello"), HELLO);
    assert_eq!(deflated(&mut deflates, b"Hello"), HELLO);
    let mut inflates = inflater(FORGETS);
    assert_eq!(inflated(&mut inflates, &HELLO).as_deref(), Ok(&b"Hello"[..]));
    assert_eq!(inflated(&mut inflates, &again), Err(InflateError::Corrupt));
}

/// A block may be stored as it is.
//= RFC 7692 §7.2.3.3
//= type=test
#[test]
fn a_stored_block_is_read() {
    let stored = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    assert_eq!(inflated(&mut inflater(KEEPS), &stored).as_deref(), Ok(&b"Hello"[..]));
}

/// A block that says that it is the last is not: another follows, and other messages.
//= RFC 7692 §7.2.3.4
//= type=test
#[test]
fn a_last_block_is_followed_by_others() {
    let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    for terms in [KEEPS, FORGETS] {
        let mut inflater = inflater(terms);
        for _ in 0..3 {
            assert_eq!(inflated(&mut inflater, &last).as_deref(), Ok(&b"Hello"[..]));
            assert_eq!(inflated(&mut inflater, &HELLO).as_deref(), Ok(&b"Hello"[..]));
        }
        // Several of them in one message, with data in between.
        let message = [&last[..7], &last[..7], &HELLO].concat();
        assert_eq!(inflated(&mut inflater, &message).as_deref(), Ok(&b"HelloHelloHello"[..]));
    }
}

/// A message that ends with such a block, and lacks the empty one behind it, is read all the same.
#[test]
fn a_last_block_alone_is_a_message() {
    let bare = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let mut inflater = inflater(KEEPS);
    for payload in [&bare[..], &bare, &HELLO] {
        assert_eq!(inflated(&mut inflater, payload).as_deref(), Ok(&b"Hello"[..]));
    }
}

/// Two blocks are a message, with the empty block of a flush between them.
//= RFC 7692 §7.2.3.5
//= type=test
#[test]
fn two_blocks_are_a_message() {
    let two = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
    assert_eq!(inflated(&mut inflater(KEEPS), &two).as_deref(), Ok(&b"Hello"[..]));
    // It is what comes of a flush within a message.
    let mut deflater = deflater(KEEPS, 6);
    let mut room = [0; 64];
    let first = deflater.deflate(b"He", &mut room, Part::Flush).expect("there is a context");
    // All of it is out: the rest of the marker says nothing.
    assert_eq!((first.is_done, &room[..first.produced]), (true, &two[..4]));
    let rest = &mut room[first.produced..];
    let last = deflater.deflate(b"llo", rest, Part::Last).expect("there is a context");
    assert_eq!(&room[..first.produced + last.produced], two);
}

/// A message of no bytes is one byte, whatever came before, and needs no context.
//= RFC 7692 §7.2.3.6
//= type=test
#[test]
fn an_empty_message_is_one_byte() {
    for terms in [KEEPS, FORGETS] {
        let (mut deflater, mut inflater) = (deflater(terms, 6), inflater(terms));
        for message in [&b""[..], b"Hello", b"", b"", b"Hello"] {
            let payload = deflated(&mut deflater, message);
            assert_eq!(payload == [0x00], message.is_empty(), "{payload:?}");
            assert_eq!(inflated(&mut inflater, &payload).as_deref(), Ok(message));
        }
    }
    let mut fresh = deflater(KEEPS, 6);
    assert_eq!(deflated(&mut fresh, b""), [0x00]);
    assert!(!fresh.has_context());
    let done = fresh.deflate(b"", &mut [], Part::Last).expect("it needs none");
    assert_eq!(done, Deflated { consumed: 0, produced: 0, is_done: false });
    let done = fresh.deflate(b"", &mut [], Part::Flush).expect("it needs none");
    assert!(done.is_done);
}

/// An empty message may also be what compressors make of nothing, or nothing at all.
#[test]
fn empty_messages_of_other_peers_are_read() {
    for payload in [&[0x00][..], &[0x02, 0x00], &[0x03, 0x00], &[]] {
        let mut inflater = inflater(KEEPS);
        assert_eq!(inflated(&mut inflater, payload).as_deref(), Ok(&b""[..]), "{payload:?}");
        assert_eq!(inflated(&mut inflater, &HELLO).as_deref(), Ok(&b"Hello"[..]), "{payload:?}");
    }
}

/// Data that is not deflated is an error, told as soon as it is seen; so is what refers to before the
/// first byte.
//= RFC 7692 §7.2.2
//= type=test
#[test]
fn corrupt_data_is_refused() {
    for payload in [
        &[0x07][..],                     // a block of the fourth kind
        &[0x00, 0x05, 0x00, 0xfa, 0xfe], // a length that is not what its complement says
        &[0xf2, 0x00, 0x11, 0x00, 0x00], // back to before the beginning
        &[0xff, 0xff, 0xff, 0xff],
        b"Hello, this is plain text",
    ] {
        let mut inflater = inflater(KEEPS);
        let mut room = [0; 64];
        let error = inflater.inflate(payload, &mut room, Part::Middle).expect_err("it is corrupt");
        assert_eq!((error, error.close_code()), (InflateError::Corrupt, 1007));
        assert!(!inflater.has_context());
    }
}

/// A message that breaks off within a block takes what ends it for a part of it. That is an error at once,
/// not garbage in the next message, and whatever the room.
#[test]
fn a_message_that_breaks_off_is_refused() {
    // Nine bytes stored, of which five are there: the marker would be the others.
    let stored = [0x00, 0x09, 0x00, 0xf6, 0xff, b'H', b'e', b'l', b'l', b'o'];
    for room in [1, 4, 5, 6, 9, 100] {
        let (mut inflater, mut out) = (inflater(KEEPS), vec![0; room]);
        let (mut consumed, mut produced) = (0, 0);
        let error = (0..10).find_map(|_| {
            let done = inflater.inflate(&stored[consumed..], &mut out, Part::Last);
            done.map(|done| {
                (consumed, produced) = (consumed + done.consumed, produced + done.produced)
            })
            .err()
        });
        assert_eq!(error, Some(InflateError::Corrupt), "room for {room}");
        assert!(produced <= 5 && !inflater.has_context());
    }
}
