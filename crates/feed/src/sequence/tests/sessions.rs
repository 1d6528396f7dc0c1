//! Sessions begin and end; numbers jump and wrap around.

use super::*;

/// A feed is joined where it is, unless it is told where it begins.
#[test]
fn feeds_are_joined_where_they_are() {
    let mut desk = Desk::new(Config { start: Start::Live, ..alone() });
    assert_eq!(desk.line(0, 1000..1003), ["began 1 at 1000", "1000..1003 of line 0"]);
    assert_eq!(desk.line(0, 990..1000), NOTHING, "what was before is not ours");
    let mut desk = Desk::new(Config { start: Start::At(998), ..alone() });
    let told = ["began 1 at 998", "gap 998..1000, present 998, future 1000"];
    assert_eq!(desk.line(0, 1000..1003), told);
    let mut desk = Desk::new(Config { start: Start::Live, ..alone() });
    assert_eq!(desk.line(0, 7..7), ["began 1 at 7"], "a heartbeat will do");
}

/// The end of a session is told once, when all before it has been told.
#[test]
fn the_end_is_told() {
    let mut desk = Desk::new(Config { deadline: Duration::from_millis(50), ..alone() });
    desk.line(0, 1..3);
    assert_eq!(desk.end(0, 3), ["ended 1 at 3"]);
    assert_eq!(desk.end(0, 3), NOTHING);
    assert_eq!((desk.timeout(), desk.wait(10_000)), (None, vec![]), "no silence after the end");

    let mut desk = Desk::new(Config { deadline: Duration::from_millis(50), ..alone() });
    desk.line(0, 1..3);
    assert_eq!(desk.end(0, 5), ["gap 3..5, present 3, future 5"]);
    assert_eq!(desk.line(0, 3..4), ["3..4 of line 0"]);
    assert_eq!(desk.wait(50), ["lost 4..5: Deadline", "ended 1 at 5"]);

    let mut desk = Desk::new(alone());
    desk.line(0, 1..3);
    desk.end(0, 5);
    let told = ["3..5 of line 0", "repaired 3..5 by line 0", "ended 1 at 5"];
    assert_eq!(desk.line(0, 3..5), told);
    let mut desk = Desk::new(alone());
    desk.line(0, 3..5);
    assert_eq!(desk.end(0, 4), NOTHING, "it has seen more");
    assert_eq!(desk.line(0, 1..3).last().unwrap(), "ended 1 at 5");
}

/// Another session ends the one before: what was kept is handed on, what is missing is lost; and what
/// comes of the former is left alone.
#[test]
fn sessions_follow_each_other() {
    let mut desk = Desk::new(pair());
    desk.line(0, 1..3);
    desk.line(0, 5..7);
    let former = desk.session;
    desk.session = Session::of_number(2);
    let told = desk.line(0, 1..2);
    let old = ["lost 3..5: SessionOver", "5..7 of line 0", "ended 1 at 7"];
    assert_eq!(told, [&old[..], &["began 2 at 1", "1..2 of line 0"]].concat());
    let latest = std::mem::replace(&mut desk.session, former);
    assert_eq!(desk.line(1, 3..5), NOTHING);
    assert_eq!(desk.end(1, 7), NOTHING);
    assert_eq!(desk.replay(3..5), NOTHING);
    desk.session = latest;
    assert_eq!(desk.line(1, 2..3), ["2..3 of line 1"]);
    desk.session = Session::of_number(3);
    assert_eq!(desk.replay(1..2), NOTHING, "an answer begins no session");
    assert_eq!(desk.sequencer.stats().former, 4);
    assert_eq!(desk.sequencer.session(), Some(latest));
}

/// A session that was ended is not ended again by the next.
#[test]
fn sessions_end_once() {
    let mut desk = Desk::new(alone());
    desk.line(0, 1..3);
    desk.end(0, 3);
    desk.session = Session::of_number(2);
    let told = ["began 2 at 1", "gap 1..2, present 1, future 2"];
    assert_eq!(desk.line(0, 2..3), told);
}

/// A number that is far from all others is left alone, unless those that follow agree.
#[test]
fn absurd_numbers_are_left_alone() {
    let config = Config { jump: 1000, jump_after: 2, window: 64, ..alone() };
    let mut desk = Desk::new(config);
    desk.line(0, 1..3);
    desk.line(0, 4..5);
    assert_eq!(desk.line(0, 1006..1007), ["absurd 1006 for 5 of line 0"]);
    assert_eq!(desk.line(0, 5000..5001), ["absurd 5000 for 5 of line 0"], "they do not agree");
    assert_eq!(desk.line(0, 5001..5002), ["absurd 5001 for 5 of line 0"]);
    assert_eq!(desk.replay(5002..5003), ["absurd 5002 for 5 of replay"], "that was asked for");
    let told = desk.line(0, 5003..5004);
    let lost = ["lost 3..4: Jumped", "4..5 of line 0", "lost 5..5003: Jumped"];
    assert_eq!(told, [&lost[..], &["5003..5004 of line 0"]].concat());
    assert_eq!(desk.sequencer.stats().absurd, 4);
    assert_eq!(desk.line(0, 5006..5007), ["gap 5004..5006, present 5004, future 5006"]);
    assert_eq!(desk.line(0, 1..3), NOTHING, "what is far behind has been before");
    assert_eq!(desk.sequencer.line_stats(Line(0)).lost, 3);
}

/// A stray sender does not move a feed that goes on, however much it sends.
#[test]
fn strays_do_not_move_a_feed() {
    let mut desk = Desk::new(Config { jump: 1000, jump_after: 2, ..alone() });
    desk.line(0, 1..2);
    for number in 2..20 {
        let told = desk.line(0, 1_000_000 + number..1_000_001 + number);
        assert!(told[0].starts_with("absurd"));
        assert_eq!(desk.line(0, number..number + 1).len(), 1);
    }
}

/// Numbers at the end of all are never believed: nothing overflows.
#[test]
fn the_largest_numbers_are_never_believed() {
    let mut desk = Desk::<MoldUdp64, _>::with(alone(), Pool::new(10, 100).unwrap());
    let session = desk.session;
    for first in [u64::MAX, u64::MAX - 3, 1 << 63, (1 << 62) + 1] {
        let mut bytes = packet_of::<MoldUdp64>(session, 1..2);
        bytes[10..18].copy_from_slice(&first.to_be_bytes());
        for _ in 0..40 {
            assert!(desk.bytes(0, &bytes)[0].starts_with("absurd"));
        }
        assert!(desk.bytes(0, &end_of::<MoldUdp64>(session, first))[0].starts_with("absurd"));
        desk.line(0, 1..2);
        assert!(!desk.snapshot(first).0);
    }
}

fn wraps<F: Format>(turn: u64) {
    let config = Config { jump: 1000, window: 64, start: Start::At(turn - 4), ..pair() };
    let mut desk = Desk::<F, _>::with(config, Pool::new(10, 100).unwrap());
    desk.line(0, turn - 4..turn - 2);
    let told = format!("gap {}..{}, present {0}, future {1}", turn - 2, turn + 3);
    assert_eq!(desk.line(0, turn + 3..turn + 4), [told]);
    assert_eq!(desk.wait(5), [format!("request {}..{}, attempt 1", turn - 2, turn + 3)]);
    desk.line(0, turn + 4..turn + 4);
    assert_eq!(desk.line(1, turn - 4..turn - 2), NOTHING);
    assert_eq!(desk.replay(turn - 1..turn + 3), NOTHING);
    let told = desk.line(1, turn - 2..turn - 1);
    assert_eq!(told[0], format!("{}..{} of line 1", turn - 2, turn - 1));
    assert_eq!((told.len(), desk.sequencer.present()), (4, turn + 4));
    // Twice around, and more.
    let mut at = turn + 4;
    while at < turn + 200_000 {
        assert_eq!(desk.line(0, at..at + 50), [format!("{at}..{} of line 0", at + 50)]);
        assert_eq!(desk.line(1, at..at + 50), NOTHING);
        at += 50;
    }
}

/// Numbers of 16 bits wrap around, within a gap and again and again.
#[test]
fn numbers_of_16_bits_wrap_around() {
    wraps::<Narrow>(1 << 16);
}

/// Numbers of 32 bits wrap around.
#[test]
fn numbers_of_32_bits_wrap_around() {
    wraps::<Compact>(1 << 32);
}
