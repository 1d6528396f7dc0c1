//! Recovery by snapshot.

use super::*;

fn held() -> Config {
    Config { start: Start::Snapshot, ..alone() }
}

/// Nothing is handed on before the snapshot; then everything from its number on.
#[test]
fn messages_are_kept_for_a_snapshot() {
    let mut desk = Desk::new(held());
    assert_eq!(desk.snapshot(5), (false, vec![]), "of which session?");
    assert_eq!(desk.line(0, 100..102), ["began 1 at 100"]);
    assert_eq!(desk.line(0, 102..106), NOTHING);
    assert_eq!(desk.line(0, 106..108), NOTHING);
    assert!(desk.sequencer.waits_for_snapshot());
    // It ends in the midst of a packet.
    assert_eq!(
        desk.snapshot(104),
        (true, vec!["104..106 of line 0".into(), "106..108 of line 0".into()])
    );
    assert!(!desk.sequencer.waits_for_snapshot());
    assert_eq!(desk.line(0, 108..109), ["108..109 of line 0"]);
}

/// What the snapshot holds need not come: gaps before it are repaired by it, others go on.
#[test]
fn gaps_before_the_snapshot_are_closed() {
    let mut desk = Desk::new(held());
    desk.line(0, 100..101);
    desk.line(0, 103..104);
    desk.line(0, 110..111);
    desk.line(0, 115..116);
    let (is_taken, told) = desk.snapshot(107);
    assert_eq!((is_taken, told), (true, vec!["repaired 101..103 by snapshot".into()]));
    assert_eq!(desk.line(0, 104..107), NOTHING, "the snapshot has them");
    let told = ["107..110 of line 0", "repaired 104..110 by line 0", "110..111 of line 0"];
    assert_eq!(desk.line(0, 107..110), told);
    let (_, told) = desk.snapshot(115);
    assert_eq!(told, ["repaired 111..115 by snapshot", "115..116 of line 0"]);
}

/// A snapshot from before the first packet leaves a gap between them; one that is ahead of all is
/// where the feed goes on.
#[test]
fn snapshots_may_be_old_or_new() {
    let mut desk = Desk::new(Config { start: Start::Snapshot, ..pair() });
    desk.line(0, 100..101);
    let (is_taken, told) = desk.snapshot(90);
    let gap = "gap 90..100, present 90, future 101";
    assert_eq!((is_taken, told), (true, vec![gap.into(), "request 90..100, attempt 1".into()]));
    let told = ["90..100 of replay", "repaired 90..100 by replay", "100..101 of line 0"];
    assert_eq!(desk.replay(90..100), told);

    assert_eq!(desk.snapshot(200), (true, vec![]));
    assert_eq!(desk.line(0, 101..103), NOTHING);
    assert_eq!(desk.line(0, 199..201), ["200..201 of line 0"]);
    assert_eq!(desk.snapshot(150), (false, vec![]), "that was handed on");
}

/// Who has lost something may wait for a snapshot at any time; one that is older than what was handed
/// on is of no use.
#[test]
fn who_has_lost_something_waits_for_a_snapshot() {
    let mut desk = Desk::new(Config { deadline: Duration::from_millis(10), ..alone() });
    desk.line(0, 1..5);
    desk.line(0, 7..9);
    assert_eq!(desk.wait(10), ["lost 5..7: Deadline", "7..9 of line 0"]);
    desk.sequencer.wait_for_snapshot();
    assert_eq!(desk.line(0, 9..11), NOTHING);
    assert_eq!(desk.line(0, 12..13).len(), 1);
    assert_eq!(desk.timeout().map(|timeout| timeout > 10), Some(true), "no gap is given up");
    desk.sequencer.wait_for_snapshot();
    assert_eq!(desk.snapshot(8), (false, vec![]));
    assert_eq!(desk.snapshot(10), (true, vec!["10..11 of line 0".into()]));
}

/// Who asks for it beforehand waits for a snapshot from the first packet on.
#[test]
fn a_snapshot_may_be_waited_for_beforehand() {
    let mut desk = Desk::new(Config { start: Start::Live, ..alone() });
    desk.sequencer.wait_for_snapshot();
    assert_eq!(desk.line(0, 7..9), ["began 1 at 7"]);
    assert_eq!(desk.snapshot(8), (true, vec!["8..9 of line 0".into()]));
}

/// A snapshot that takes too long costs the oldest messages, when the window is used up.
#[test]
fn the_window_is_bounded_while_a_snapshot_is_waited_for() {
    let mut desk = Desk::new(Config { window: 64, ..held() });
    desk.line(0, 100..102);
    desk.line(0, 104..164);
    let told = desk.line(0, 164..168);
    assert_eq!(told, ["lost 100..102: SnapshotLate", "lost 102..104: SnapshotLate"]);
    assert_eq!(desk.snapshot(103), (false, vec![]), "what is lost does not come back");
    let told = desk.line(0, 300..301);
    assert_eq!(told[0], "gap 168..300, present 104, future 300");
    assert_eq!(told[1], "lost 104..164: SnapshotLate");
    assert_eq!(told[2], "lost 164..168: SnapshotLate");
    let (is_taken, told) = desk.snapshot(300);
    assert!(is_taken);
    assert_eq!(told, ["300..301 of line 0"]);
}

/// The same when the store, or the table of gaps, is used up.
#[test]
fn all_is_bounded_while_a_snapshot_is_waited_for() {
    let mut desk = Desk::<Compact, _>::with(held(), Pool::new(2, 100).unwrap());
    desk.line(0, 1..2);
    desk.line(0, 5..6);
    assert_eq!(desk.line(0, 3..4), ["lost 1..2: SnapshotLate"]);
    assert_eq!(desk.line(0, 2..3), NOTHING, "the oldest is given up, which is this one");
    assert_eq!(desk.sequencer.stats().unkept, 1);
    let told = ["lost 2..3: SnapshotLate", "lost 3..4: SnapshotLate"];
    assert_eq!(desk.line(0, 6..7), told);
    assert_eq!(
        desk.snapshot(5).1,
        ["repaired 2..5 by snapshot", "5..6 of line 0", "6..7 of line 0"][1..]
    );

    let mut desk = Desk::new(Config { gaps: 2, ..held() });
    desk.line(0, 1..2);
    desk.line(0, 3..4);
    desk.line(0, 5..6);
    let told =
        ["gap 6..7, present 1, future 7", "lost 1..2: SnapshotLate", "lost 2..3: SnapshotLate"];
    assert_eq!(desk.line(0, 7..8), told);
}

/// What lies between an old snapshot and the first message may be more than there is room for.
#[test]
fn a_gap_behind_a_snapshot_is_bounded() {
    let mut desk = Desk::new(Config { window: 64, ..held() });
    desk.line(0, 1000..1002);
    let (_, told) = desk.snapshot(800);
    assert_eq!(told, ["gap 800..1000, present 800, future 1002", "lost 800..938: NoSpace"]);
    assert_eq!(desk.line(0, 938..1000).len(), 2);

    let mut desk = Desk::new(Config { gaps: 1, ..held() });
    desk.line(0, 1000..1002);
    desk.line(0, 1003..1004);
    let told = [
        "gap 990..1000, present 990, future 1004",
        "lost 990..1000: NoSpace",
        "1000..1002 of line 0",
    ];
    assert_eq!(desk.snapshot(990).1, told);
}

/// Another session, or a jump, ends the wait: what was kept is lost, as nobody knows what it applies to.
#[test]
fn what_is_kept_does_not_outlast_its_session() {
    let mut desk = Desk::new(held());
    desk.line(0, 100..103);
    desk.line(0, 105..106);
    desk.session = Session::of_number(2);
    let told = ["lost 100..106: SessionOver", "ended 1 at 106", "began 2 at 1", "1..3 of line 0"];
    assert_eq!(desk.line(0, 1..3), told);

    let mut desk = Desk::new(Config { jump: 1000, jump_after: 0, ..held() });
    desk.line(0, 100..103);
    let told = ["lost 100..103: Jumped", "lost 103..5000: Jumped"];
    assert_eq!(desk.line(0, 5000..5002), told);
    assert_eq!(desk.snapshot(200), (false, vec![]));
    assert_eq!(desk.snapshot(5001), (true, vec!["5001..5002 of line 0".into()]));
}

/// The end of a session is told when the snapshot has reached it.
#[test]
fn a_snapshot_may_reach_the_end() {
    let mut desk = Desk::new(held());
    desk.line(0, 100..103);
    assert_eq!(desk.end(0, 103), NOTHING);
    assert_eq!(desk.snapshot(103), (true, vec!["ended 1 at 103".into()]));
}
