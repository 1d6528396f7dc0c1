use proptest::prelude::*;

use super::*;
use crate::message::{OrderId, Price, Side};

const SESSION: Session = Session::of_number(9);

fn books(seed: u64, instruments: u32) -> Books {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut books = Books::new(instruments, 50).unwrap();
    for order in 0..rng.u64(0..100) {
        let add = Message::Add {
            instrument: Instrument(rng.u32(0..instruments)),
            order: OrderId(order),
            price: Price(rng.i64(-100..100)),
            quantity: rng.u32(1..),
            side: if rng.bool() { Side::Bid } else { Side::Ask },
        };
        // Some are more than a book can have.
        let _ = books.apply(&add);
    }
    books
}

/// All parts of what comes in pieces.
fn parts(bytes: &[u8], pieces: &[usize]) -> Result<Vec<Part>, ProtocolError> {
    let (mut reader, mut parts) = (Parts::new(), Vec::new());
    let mut rest = bytes;
    let mut pieces = pieces.iter().cycle();
    while !rest.is_empty() {
        let (mut input, behind) = rest.split_at(rest.len().min(*pieces.next().unwrap()));
        rest = behind;
        while let Some(part) = reader.next(&mut input)? {
            parts.push(part);
        }
    }
    Ok(parts)
}

/// Books that are made of the parts.
fn rebuilt(parts: &[Part]) -> Books {
    let [Part::Header(header), messages @ .., Part::End { checksum }] = parts else {
        panic!("it has no beginning or no end");
    };
    assert_eq!((header.session, header.next), (SESSION, 17));
    let mut books = Books::new(header.instruments, 50).unwrap();
    for part in messages {
        let Part::Message(message) = part else { panic!("{part:?} in the midst") };
        if let Message::Add { .. } = message {
            books.apply(message).unwrap();
        }
    }
    assert_eq!(books.checksum(), *checksum);
    books
}

proptest! {
    /// Books come back as they were, twice on one connection, whatever pieces they come in.
    #[test]
    fn books_come_back(
        (seed, instruments) in (any::<u64>(), 1u32..5),
        pieces in prop::collection::vec(1usize..100, 1..9),
    ) {
        let books = books(seed, instruments);
        let mut bytes = Vec::new();
        write(SESSION, 17, &books, &mut bytes);
        assert!(bytes.len() <= most_bytes(instruments, 50));
        write(SESSION, 17, &books, &mut bytes);
        let parts = parts(&bytes, &pieces).unwrap();
        let (one, other) = parts.split_at(parts.len() / 2);
        assert_eq!((&rebuilt(one), &rebuilt(other)), (&books, &books));
    }

    /// A snapshot of which a part is missing, doubled, or elsewhere is not taken for one.
    #[test]
    fn parts_come_in_order(seed: u64, at: prop::sample::Index, to: prop::sample::Index) {
        let mut bytes = Vec::new();
        write(SESSION, 17, &books(seed, 3), &mut bytes);
        let mut frames = Vec::new();
        let mut rest = &bytes[..];
        while let [high, low, ..] = rest {
            let (frame, behind) = rest.split_at(2 + usize::from(u16::from_be_bytes([*high, *low])));
            frames.push(frame);
            rest = behind;
        }
        // Orders may be missing or swapped: that is what the checksum is for.
        let structure = |frames: &[&[u8]]| {
            let is_order = |frame: &&&[u8]| frame[2..4] == *b"MA";
            frames.iter().filter(|frame| !is_order(frame)).map(|frame| frame.to_vec()).collect::<Vec<_>>()
        };
        let sound = structure(&frames);
        let moved = frames.remove(at.index(frames.len()));
        if structure(&frames) != sound {
            let result = parts(&frames.concat(), &[10]);
            // Nothing is wrong with what has no end, but that it has not ended.
            let has_ended = result.is_ok_and(|parts| matches!(parts.last(), Some(Part::End { .. })));
            assert!(!has_ended);
        }
        frames.insert(to.index(frames.len() + 1), moved);
        if structure(&frames) != sound {
            assert!(parts(&frames.concat(), &[10]).is_err());
        }
    }

    /// Whatever a peer sends is read without a panic.
    #[test]
    fn any_bytes_are_harmless(
        kind in prop::sample::select(&b"HMESx"[..]),
        len in 0u8..40,
        bytes in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let bytes = [&[0, len, kind], &bytes[..]].concat();
        let _ = parts(&bytes, &[bytes.len()]);
        let _ = Requests::new().next(&mut &bytes[..]);
    }
}

/// Requests are read, in whatever pieces, and nothing else is taken for one.
#[test]
fn requests_are_read() {
    let mut requests = Requests::new();
    let mut input = &[REQUEST, REQUEST].concat()[..];
    assert_eq!(requests.next(&mut input), Ok(true));
    assert_eq!(requests.next(&mut input), Ok(true));
    assert_eq!(requests.next(&mut input), Ok(false));
    assert_eq!(requests.next(&mut &REQUEST[..1]), Ok(false));
    assert_eq!(requests.next(&mut &REQUEST[1..]), Ok(true));
    let error = requests.next(&mut &[0, 1, b'?'][..]).unwrap_err();
    assert_eq!(error, ProtocolError::UnknownFrame { kind: b'?', len: 1 });
}

/// What is out of order says what should be there.
#[test]
fn disorder_is_told() {
    let error = parts(&[0, 6, b'M', b'E', 0, 0, 0, 0], &[8]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a snapshot goes on with the end of a book where a header should be"
    );
}
