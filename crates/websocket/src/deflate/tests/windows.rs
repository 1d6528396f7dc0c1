//! How far messages look back.

use proptest::collection::vec;
use proptest::prelude::*;

use super::puff::Puffed;
use super::*;

/// The stream of a connection's messages, as the definition reads it.
fn puffed(payloads: &[Vec<u8>]) -> Puffed {
    let mut puffed = Puffed::default();
    for payload in payloads {
        puffed.read(&[&payload[..], &MARKER].concat());
    }
    puffed
}

/// For each window and level, what is sent is what is meant, by the definition of DEFLATE, and refers
/// to nothing beyond the window; and it uses the window, or the test would see nothing.
//= RFC 7692 §7.1.2
//= type=test
#[test]
fn no_message_looks_back_beyond_its_window() {
    let mut rng = fastrand::Rng::with_seed(5);
    // Repetitions at every distance up to 40 KiB.
    let text = ticks(&mut rng, 50_000);
    let noise: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(20_000).collect();
    let messages = [&text[..], &noise, &noise, &text[10_000..11_000], b"x"];
    for window_bits in 9..=15 {
        for level in [1, 2, 3, 6, 9] {
            let mut deflater = deflater(Terms { takeover: true, window_bits }, level);
            let payloads = messages.map(|message| deflated(&mut deflater, message));
            let puffed = puffed(&payloads);
            assert!(puffed.bytes == messages.concat(), "{window_bits} bits, level {level}");
            let window = 1 << window_bits;
            let at = format!("{} bytes back, {window_bits} bits, level {level}", puffed.distance);
            assert!(puffed.distance <= window && puffed.distance > window / 4, "{at}");
            assert_eq!(puffed.finals, 0);
        }
    }
}

/// Without takeover each message stands for itself.
//= RFC 7692 §7.1.1
//= type=test
#[test]
fn no_message_refers_to_another_without_takeover() {
    let text = ticks(&mut fastrand::Rng::with_seed(6), 3000);
    for level in 1..=9 {
        let mut deflater = deflater(FORGETS, level);
        let first = deflated(&mut deflater, &text);
        for _ in 0..3 {
            assert_eq!(deflated(&mut deflater, &text), first, "level {level}");
        }
        assert!(puffed(&[first]).bytes == text);
    }
}

proptest! {
    /// What is deflated with any window is inflated to what it was, message by message, and read so by
    /// the definition; it is never longer than the bound.
    #[test]
    fn messages_come_back(
        messages in vec(message(), 1..8),
        window_bits in 9..=15_u8,
        level in 1..=9_u8,
        takeover: bool,
    ) {
        let terms = Terms { takeover, window_bits };
        let (mut deflater, mut inflater) = (deflater(terms, level), inflater(terms));
        let payloads: Vec<_> =
            messages.iter().map(|message| deflated(&mut deflater, message)).collect();
        for (payload, message) in payloads.iter().zip(&messages) {
            prop_assert_eq!(&inflated(&mut inflater, payload).unwrap(), message);
            prop_assert!(payload.len() <= bound(message.len()));
        }
        prop_assert!(puffed(&payloads).bytes == messages.concat());
    }
}

/// Noise, repetitions, or both.
fn message() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..300),
        vec(prop::sample::select(&b"abc"[..]), 0..2000),
        (vec(any::<u8>(), 1..50), 1..200_usize).prop_map(|(bytes, times)| bytes.repeat(times)),
    ]
}
