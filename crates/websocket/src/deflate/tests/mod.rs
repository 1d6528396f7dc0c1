//! The clauses of RFC 7692, one test each, and what else may come.

mod bombs;
mod examples;
mod memory;
mod negotiation;
mod pieces;
mod puff;
mod windows;

use super::*;

const KEEPS: Terms = Terms { takeover: true, window_bits: 15 };
const FORGETS: Terms = Terms { takeover: false, window_bits: 15 };

fn deflater(terms: Terms, level: u8) -> Deflater {
    let config = Config { level, at_least: 0, ..Config::default() };
    Deflater::new(&Pool::default(), terms, &config)
}

fn inflater(terms: Terms) -> Inflater {
    Inflater::new(&Pool::default(), terms, 1 << 24)
}

/// A message, deflated in one piece.
fn deflated(deflater: &mut Deflater, message: &[u8]) -> Vec<u8> {
    let mut out = vec![0; bound(message.len())];
    let done = deflater.deflate(message, &mut out, Part::Last).expect("there is a context");
    assert_eq!((done.consumed, done.is_done), (message.len(), true));
    out.truncate(done.produced);
    out
}

/// A message, inflated in one piece.
fn inflated(inflater: &mut Inflater, payload: &[u8]) -> Result<Vec<u8>, InflateError> {
    let (mut message, mut consumed) = (Vec::new(), 0);
    let mut room = vec![0; 1 << 16];
    for _ in 0..10_000 {
        let done = inflater.inflate(&payload[consumed..], &mut room, Part::Last)?;
        consumed += done.consumed;
        message.extend_from_slice(&room[..done.produced]);
        if done.next == Next::Message {
            assert_eq!(consumed, payload.len());
            return Ok(message);
        }
        assert_eq!(done.next, Next::Room);
    }
    panic!("no end of the message after {} bytes", message.len());
}

/// What venues send: words that come again, and numbers that do not.
fn ticks(rng: &mut fastrand::Rng, len: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(len + 80);
    while text.len() < len {
        let (price, size) = (rng.u32(10_000..99_999), rng.u32(1..1000));
        let line = format!("{{\"symbol\":\"BTC-USD\",\"price\":{price},\"size\":{size}}},");
        text.extend_from_slice(line.as_bytes());
    }
    text.truncate(len);
    text
}
