//! Compressed messages.

use crate::deflate::{Config, Deflater, InflateError, Inflater, Next, Part, Pool, Terms};

/// Most bytes of a message.
const LIMIT: usize = 20_000;

/// How messages are cut, and how much room there is each time.
#[derive(Clone, Copy)]
struct Cuts {
    piece: usize,
    room: usize,
}

/// Takes the first three bytes for terms and cuts, and the rest for the payloads of two messages that
/// somebody sends, and for a message that is sent to somebody.
///
/// # Panics
/// If it makes a difference how it is cut, or if what is deflated does not come back.
pub fn inflate(bytes: &[u8]) {
    let Some(([how, piece, room], rest)) = bytes.split_first_chunk::<3>() else { return };
    let cuts = Cuts { piece: usize::from(*piece) + 1, room: usize::from(*room) + 1 };
    let terms = Terms { takeover: how & 1 == 0, window_bits: 9 + (how >> 1) % 7 };
    let (first, second) = rest.split_at(rest.len() / 2);

    let pool = Pool::default();
    let whole = Cuts { piece: rest.len() + 1, room: 2 * LIMIT };
    let mut at_once = Inflater::new(&pool, terms, LIMIT);
    let mut in_pieces = Inflater::new(&pool, terms, LIMIT);
    for payload in [first, second] {
        let message = message(&mut at_once, payload, whole);
        let pieces = self::message(&mut in_pieces, payload, cuts);
        assert!(pieces == message, "{:?} and {:?}", told(&pieces), told(&message));
        if message.is_err() {
            break;
        }
    }
    comes_back(terms, 1 + how % 9, rest, cuts);
}

/// What is shown of it.
fn told(message: &Result<Vec<u8>, InflateError>) -> Result<usize, InflateError> {
    message.as_ref().map(Vec::len).map_err(|error| *error)
}

/// What comes of a payload.
fn message(inflater: &mut Inflater, payload: &[u8], cuts: Cuts) -> Result<Vec<u8>, InflateError> {
    let mut message = Vec::new();
    let mut room = vec![0; cuts.room];
    let mut rest = payload;
    // Each call takes a piece or fills its room.
    for _ in 0..=2 * (payload.len() + LIMIT) {
        let (piece, behind) = rest.split_at(cuts.piece.min(rest.len()));
        let part = if behind.is_empty() { Part::Last } else { Part::Middle };
        let done = inflater.inflate(piece, &mut room, part)?;
        message.extend_from_slice(&room[..done.produced]);
        rest = &rest[done.consumed..];
        if done.next == Next::Message {
            assert!(rest.is_empty() && message.len() <= LIMIT);
            return Ok(message);
        }
    }
    panic!("no end of the message after {} bytes", message.len());
}

/// Bytes are deflated in pieces, twice, and inflated at once.
fn comes_back(terms: Terms, level: u8, bytes: &[u8], cuts: Cuts) {
    let pool = Pool::default();
    let config = Config { level, ..Config::default() };
    let mut deflater = Deflater::new(&pool, terms, &config);
    let mut inflater = Inflater::new(&pool, terms, LIMIT.max(bytes.len()));
    let whole = Cuts { piece: usize::MAX, room: bytes.len() + 1 };
    for _ in 0..2 {
        let payload = payload(&mut deflater, bytes, cuts);
        let back = message(&mut inflater, &payload, whole);
        assert!(back.as_deref() == Ok(bytes), "{:?}", told(&back));
    }
}

fn payload(deflater: &mut Deflater, message: &[u8], cuts: Cuts) -> Vec<u8> {
    let mut payload = Vec::new();
    let mut room = vec![0; cuts.room];
    let mut rest = message;
    for _ in 0..100 + 20 * message.len() {
        let (piece, behind) = rest.split_at(cuts.piece.min(rest.len()));
        let part = if behind.is_empty() { Part::Last } else { Part::Flush };
        let done = deflater.deflate(piece, &mut room, part).expect("there is a context");
        payload.extend_from_slice(&room[..done.produced]);
        rest = &rest[done.consumed..];
        if done.is_done && part == Part::Last {
            return payload;
        }
    }
    panic!("no end of the payload after {} bytes", payload.len());
}
