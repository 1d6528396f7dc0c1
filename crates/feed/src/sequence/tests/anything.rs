//! Whatever comes, and in whatever order: senders that make no sense, and a program that does not either.

use proptest::prelude::*;

use super::*;
use crate::trial::{Act, Case, Number};

fn numbers() -> impl Strategy<Value = Number> {
    prop_oneof![
        9 => (-10i64..30).prop_map(Number::Near),
        4 => (-200i64..200).prop_map(Number::Near),
        1 => (-5000i64..5000).prop_map(Number::Near),
        1 => any::<u64>().prop_map(Number::Any),
        1 => (0u64..100).prop_map(Number::Any),
    ]
}

fn acts() -> impl Strategy<Value = Act> {
    let kind = prop_oneof![
        20 => (1u16..12).prop_map(Kind::Messages),
        2 => (1u16..150).prop_map(Kind::Messages),
        2 => Just(Kind::Heartbeat),
        1 => Just(Kind::End),
    ];
    let session = prop_oneof![30 => Just(0u32), 1 => 1u32..7];
    let packet = (0u8..3, session, numbers(), kind, prop::bool::weighted(0.02));
    let packet = packet.prop_map(|(from, session, number, kind, is_cut)| Act::Packet {
        from,
        session,
        number,
        kind,
        is_cut,
    });
    prop_oneof![
        40 => packet,
        6 => (0u64..40).prop_map(Act::Wait),
        1 => (0u64..5000).prop_map(Act::Wait),
        1 => Just(Act::WaitForSnapshot),
        2 => numbers().prop_map(Act::Snapshot),
    ]
}

proptest! {
    /// Nothing panics, all that is told is in order and each number once, and all parts of the
    /// sequencer agree after each step.
    #[test]
    fn anything_may_come(
        acts in prop::collection::vec(acts(), 1..150),
        start in prop::sample::select(vec![Start::Live, Start::At(1), Start::Snapshot]),
        gaps in 1usize..6,
        size in 1usize..20,
        jump_after in 0u32..3,
    ) {
        let deadline = Duration::from_millis(100);
        let config = Config { lines: 2, start, window: 64, gaps, jump: 500, jump_after, deadline, ..pair() };
        let case = Case { config, size, acts };
        case.play::<MoldUdp64, _>(Pool::new(size, 60).unwrap());
        case.play::<Narrow, _>(Pool::new(size, 200).unwrap());
        case.play::<Narrow, _>(Slots::new(64 * size).unwrap());
        case.play::<Compact, _>(Bip::new(100 * size, 2 * size).unwrap());
    }
}
