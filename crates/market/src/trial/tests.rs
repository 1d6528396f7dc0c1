//! What fuzzing has found, and what it begins with, is replayed.

use tautline_feed::format::Session;
use tautline_feed::trial::replay_corpus;

use super::*;
use crate::book::Books;
use crate::message::{Instrument, OrderId, Price, Side};
use crate::snapshot;

/// What is known of messages is as it should be.
#[test]
fn known_messages_are_harmless() {
    replay_corpus("message", message);
}

/// What is known of answers is as it should be.
#[test]
fn known_answers_are_harmless() {
    replay_corpus("replay", answers);
}

/// What is known of snapshots is as it should be.
#[test]
fn known_snapshots_are_harmless() {
    replay_corpus("snapshot", parts);
}

/// All bytes are tried, also none at all.
#[test]
fn all_bytes_are_tried() {
    for len in 0..600 {
        let mut rng = fastrand::Rng::with_seed(len);
        let bytes: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(len as usize).collect();
        message(&bytes);
        answers(&bytes);
        parts(&bytes);
    }
}

/// A whole snapshot, and what comes of it if any of its bytes is another.
#[test]
fn snapshots_may_be_damaged_anywhere() {
    let mut books = Books::new(3, 10).unwrap();
    for n in 0..12u32 {
        let (instrument, order, price) = (Instrument(n % 3), OrderId(n.into()), Price(n.into()));
        books
            .apply(&Message::Add { instrument, order, price, quantity: 1 + n, side: Side::Bid })
            .unwrap();
    }
    let mut bytes = vec![0, 3, 40, 0];
    snapshot::write(Session::of_number(1), 13, &books, &mut bytes);
    for at in 0..bytes.len() {
        for with in [0, 1, 2, b'A', b'E', b'M', 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] = with;
            parts(&damaged);
        }
    }
}

/// The trial notices a part that is read from what it is not.
#[test]
#[should_panic(expected = "of [0, 1, 65]")]
fn what_is_not_as_it_came_is_noticed() {
    is_read_in_pieces(&[0, 1, 65], [1, 1], || {
        |input: &mut &[u8]| Ok(std::mem::take(input).first().map(|_| frame(b'B', &[])))
    });
}
