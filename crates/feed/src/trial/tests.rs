//! What fuzzing has found, and what it begins with, is replayed.

use super::*;

/// What is known of packets is as it should be.
#[test]
fn known_packets_are_harmless() {
    replay_corpus("packet", packet);
}

/// What is known to happen to a sequencer leaves it sound.
#[test]
fn known_cases_leave_the_sequencer_sound() {
    replay_corpus("sequence", sequence);
}

/// All bytes stand for a case, also no bytes at all.
#[test]
fn all_bytes_are_a_case() {
    for len in 0..600 {
        let mut rng = fastrand::Rng::with_seed(len);
        let bytes: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(len as usize).collect();
        assert!(Case::of(&mut Unstructured::new(&bytes)).is_ok());
        sequence(&bytes);
        packet(&bytes);
    }
}
