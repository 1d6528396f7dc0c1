//! Messages that come, and go, in pieces.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::trial;

/// How a message is cut, and how much room there is each time.
#[derive(Clone, Debug)]
struct Cuts {
    pieces: Vec<(usize, Part)>,
    rooms: Vec<usize>,
}

fn cuts() -> impl Strategy<Value = Cuts> {
    let part = prop_oneof![3 => Just(Part::Middle), 1 => Just(Part::Flush)];
    let pieces = vec((0..200_usize, part), 0..8);
    let room = prop_oneof![3 => 1..8_usize, 1 => 0..200_usize];
    (pieces, vec(room, 1..6)).prop_map(|(pieces, rooms)| Cuts { pieces, rooms })
}

impl Cuts {
    /// The pieces of a message, and which part of it each is.
    fn of<'m>(&self, message: &'m [u8]) -> Vec<(&'m [u8], Part)> {
        let mut rest = message;
        let mut pieces = Vec::new();
        for (len, part) in &self.pieces {
            let (piece, behind) = rest.split_at((*len).min(rest.len()));
            pieces.push((piece, *part));
            rest = behind;
        }
        pieces.push((rest, Part::Last));
        pieces
    }

    /// Room, of one size after the other; one of them at least is not zero.
    fn rooms(&self) -> impl Iterator<Item = usize> {
        let rooms = self.rooms.iter().copied().chain([1]).collect::<Vec<_>>();
        rooms.into_iter().cycle().take(100_000)
    }
}

fn deflated_in_pieces(deflater: &mut Deflater, message: &[u8], cuts: &Cuts) -> Vec<u8> {
    let mut payload = Vec::new();
    let mut rooms = cuts.rooms();
    for (mut piece, part) in cuts.of(message) {
        loop {
            let mut room = vec![0xaa; rooms.next().expect("it comes to an end")];
            let done = deflater.deflate(piece, &mut room, part).expect("there is a context");
            payload.extend_from_slice(&room[..done.produced]);
            piece = &piece[done.consumed..];
            if done.is_done {
                assert!(piece.is_empty());
                break;
            }
            assert_eq!(done.produced, room.len(), "it wants room only if there is none left");
        }
    }
    payload
}

fn inflated_in_pieces(inflater: &mut Inflater, payload: &[u8], cuts: &Cuts) -> Vec<u8> {
    let mut message = Vec::new();
    let mut rooms = cuts.rooms();
    for (mut piece, part) in cuts.of(payload) {
        loop {
            let mut room = vec![0xaa; rooms.next().expect("it comes to an end")];
            let done = inflater.inflate(piece, &mut room, part).expect("it is sound");
            message.extend_from_slice(&room[..done.produced]);
            piece = &piece[done.consumed..];
            match done.next {
                Next::Room => assert_eq!(done.produced, room.len(), "there is none left"),
                Next::Input => assert!(piece.is_empty() && part != Part::Last),
                Next::Message => assert!(piece.is_empty() && part == Part::Last),
            }
            if done.next != Next::Room {
                break;
            }
        }
    }
    message
}

proptest! {
    /// However messages are cut on the way in, on the wire and on the way out, and however little room
    /// there is each time, they come back.
    #[test]
    fn messages_come_back_in_whatever_pieces(
        seed: u64,
        lengths in vec(0..3000_usize, 1..4),
        (out, back) in (cuts(), cuts()),
        level in 1..=9_u8,
        takeover: bool,
    ) {
        let terms = Terms { takeover, ..KEEPS };
        let (mut deflater, mut inflater) = (deflater(terms, level), inflater(terms));
        let mut whole = super::inflater(terms);
        let mut rng = fastrand::Rng::with_seed(seed);
        for len in lengths {
            let message = ticks(&mut rng, len);
            let payload = deflated_in_pieces(&mut deflater, &message, &out);
            prop_assert_eq!(&inflated(&mut whole, &payload).unwrap(), &message);
            prop_assert_eq!(&inflated_in_pieces(&mut inflater, &payload, &back), &message);
        }
    }

    /// No bytes make it panic, in whatever pieces, and it comes to an end.
    #[test]
    fn any_payload_is_inflated_or_refused(
        payload in vec(any::<u8>(), 0..200),
        cuts in cuts(),
        takeover: bool,
    ) {
        let mut inflater = Inflater::new(&Pool::default(), Terms { takeover, ..KEEPS }, 10_000);
        let mut rooms = cuts.rooms();
        'pieces: for (mut piece, part) in cuts.of(&payload) {
            loop {
                let mut room = vec![0; rooms.next().expect("it comes to an end")];
                let Ok(done) = inflater.inflate(piece, &mut room, part) else { break 'pieces };
                prop_assert!(done.produced <= room.len());
                piece = &piece[done.consumed..];
                if done.next != Next::Room {
                    break;
                }
            }
        }
    }
}

/// A payload cut at each of its bytes, with room for one byte at a time, is the same message.
#[test]
fn a_payload_may_be_cut_anywhere() {
    let message = ticks(&mut fastrand::Rng::with_seed(1), 500);
    let payload = deflated(&mut deflater(FORGETS, 6), &message);
    let rooms = vec![1];
    for cut in 0..=payload.len() {
        let cuts = Cuts { pieces: vec![(cut, Part::Middle)], rooms: rooms.clone() };
        assert_eq!(inflated_in_pieces(&mut inflater(FORGETS), &payload, &cuts), message, "{cut}");
    }
    let by_bytes = Cuts { pieces: vec![(1, Part::Middle); payload.len()], rooms };
    assert_eq!(inflated_in_pieces(&mut inflater(FORGETS), &payload, &by_bytes), message);
}

/// When more input is wanted, all is out that can be known from what there was, however little room there
/// was each time.
#[test]
fn nothing_is_kept_back_that_is_known() {
    let message = [b"abcabcabc".repeat(100), vec![b'x'; 1000]].concat();
    let payload = deflated(&mut deflater(FORGETS, 6), &message);
    let known = |cut: usize, room: usize| {
        let mut inflater = inflater(FORGETS);
        let (mut out, mut consumed, mut produced) = (vec![0; room], 0, 0);
        for _ in 0..10_000 {
            let done = inflater.inflate(&payload[consumed..cut], &mut out, Part::Middle);
            let done = done.expect("it is sound");
            (consumed, produced) = (consumed + done.consumed, produced + done.produced);
            if done.next == Next::Input {
                return produced;
            }
        }
        panic!("no end of what comes of {cut} bytes");
    };
    for cut in 0..=payload.len() {
        assert_eq!(known(cut, 1), known(cut, 10_000), "cut at {cut}");
    }
}

/// Room for exactly what comes is enough: nothing has to be tried twice.
#[test]
fn room_for_exactly_the_message_is_enough() {
    let message = ticks(&mut fastrand::Rng::with_seed(2), 1000);
    let payload = deflated(&mut deflater(FORGETS, 6), &message);
    let mut room = vec![0; message.len()];
    let done = inflater(FORGETS).inflate(&payload, &mut room, Part::Last).expect("it is sound");
    assert_eq!((done.produced, done.next), (message.len(), Next::Message));
    assert_eq!(room, message);
}

/// A message in pieces with room enough is the same, byte for byte, as in one piece.
#[test]
fn pieces_make_no_difference_to_what_is_sent() {
    let message = ticks(&mut fastrand::Rng::with_seed(3), 10_000);
    for level in 1..=9 {
        let whole = deflated(&mut deflater(FORGETS, level), &message);
        let cuts = Cuts { pieces: vec![(1000, Part::Middle); 9], rooms: vec![20_000] };
        let pieces = deflated_in_pieces(&mut deflater(FORGETS, level), &message, &cuts);
        assert!(pieces.len() <= whole.len() + whole.len() / 50, "level {level}");
        assert_eq!(inflated(&mut inflater(FORGETS), &pieces).as_deref(), Ok(&message[..]));
    }
}

proptest! {
    /// What is said of a payload does not depend on how it is cut.
    #[test]
    fn cuts_make_no_difference_to_what_is_read(bytes in vec(any::<u8>(), 0..200)) {
        trial::inflate(&bytes);
    }

    /// Nor that of one that was sound until some of its bits fell over.
    #[test]
    fn cuts_make_no_difference_to_what_is_nearly_sound(
        seed: u64,
        len in 0..2000_usize,
        falls in vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        how in any::<[u8; 3]>(),
    ) {
        let message = ticks(&mut fastrand::Rng::with_seed(seed), len);
        let mut payload = deflated(&mut deflater(FORGETS, 6), &message).repeat(2);
        for (at, mask) in falls {
            let at = at.index(payload.len());
            payload[at] ^= mask;
        }
        trial::inflate(&[&how[..], &payload].concat());
    }
}

/// What fuzzing has found, and what it begins with, is harmless.
#[test]
fn known_payloads_are_harmless() {
    trial::replay("websocket_inflate", trial::inflate);
}
