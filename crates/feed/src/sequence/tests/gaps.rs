//! What comes ahead, late, twice or not at all.

use super::*;

/// Messages in order are handed on where they lie, each packet at once.
#[test]
fn what_is_next_is_handed_on_in_place() {
    let mut desk = Desk::new(alone());
    assert_eq!(desk.line(0, 1..3), ["began 1 at 1", "1..3 of line 0"]);
    let bytes = packet_of::<Compact>(desk.session, 3..9);
    let packet = Compact::parse(&bytes).unwrap();
    let mut is_there = false;
    desk.sequencer.packet(desk.now, Line(0), packet, &mut |event: Event<'_, Compact>| {
        let Event::Messages(run) = event else { panic!("{}", words(event)) };
        is_there = run.body.as_ptr_range() == packet.body.as_ptr_range();
    });
    assert!(is_there, "without a copy");
    assert_eq!((desk.sequencer.present(), desk.sequencer.future()), (9, 9));
    let stats = Stats { messages: 8, ..Stats::default() };
    assert_eq!(desk.sequencer.stats(), stats);
}

/// Of a packet of which some has come, only the rest is handed on, in place.
#[test]
fn only_the_missing_part_is_handed_on() {
    let mut desk = Desk::new(alone());
    desk.line(0, 1..5);
    assert_eq!(desk.line(0, 3..8), ["5..8 of line 0"]);
    assert_eq!(desk.line(0, 3..8), NOTHING);
    assert_eq!(desk.sequencer.stats().repeated, 1);
}

/// What comes ahead is kept; the gap is told when it appears, with what is present and future, and is
/// repaired by whoever brings it.
#[test]
fn gaps_are_told_and_repaired() {
    let mut desk = Desk::new(Config { requests: None, ..pair() });
    desk.line(0, 1..3);
    assert_eq!(desk.line(0, 5..7), ["gap 3..5, present 3, future 5"]);
    assert_eq!(desk.line(0, 9..10), ["gap 7..9, present 3, future 9"]);
    assert_eq!((desk.sequencer.present(), desk.sequencer.future()), (3, 10));
    assert_eq!(desk.line(1, 7..8), NOTHING);
    assert_eq!(desk.line(1, 8..9), ["repaired 7..9 by line 1"]);
    let told = ["3..5 of line 1", "repaired 3..5 by line 1"];
    let then = ["5..7 of line 0", "7..8 of line 1", "8..9 of line 1", "9..10 of line 0"];
    assert_eq!(desk.line(1, 3..5), [&told[..], &then[..]].concat());
    assert_eq!((desk.sequencer.stats().gaps, desk.sequencer.stats().repaired), (2, 2));
}

/// A packet over what has come, what has not, and what was not seen yet, is told apart.
#[test]
fn a_packet_over_everything_is_told_apart() {
    let mut desk = Desk::new(alone());
    desk.line(0, 1..2);
    desk.line(0, 3..4);
    desk.line(0, 6..7);
    let told = desk.line(0, 1..9);
    let ours = ["2..3 of line 0", "repaired 2..3 by line 0", "3..4 of line 0", "4..6 of line 0"];
    let then = ["repaired 4..6 by line 0", "6..7 of line 0", "7..9 of line 0"];
    assert_eq!(told, [&ours[..], &then[..]].concat());
}

/// A gap that comes in pieces is repaired by the last of them.
#[test]
fn gaps_are_repaired_in_pieces() {
    let mut desk = Desk::new(alone());
    assert_eq!(desk.line(0, 10..11)[1..], ["gap 1..10, present 1, future 10"]);
    assert_eq!(desk.line(0, 5..7), NOTHING);
    assert_eq!(desk.line(0, 1..5), ["1..5 of line 0", "5..7 of line 0"]);
    let told = ["7..10 of line 0", "repaired 1..10 by line 0", "10..11 of line 0"];
    assert_eq!(desk.line(0, 7..10), told);
}

/// What has not come by the deadline is told to be lost, in its place, and what comes of it later is
/// left alone.
#[test]
fn what_is_too_late_is_lost() {
    let mut desk = Desk::new(Config { deadline: Duration::from_millis(50), ..alone() });
    desk.line(0, 1..2);
    desk.line(0, 4..5);
    desk.wait(20);
    desk.line(0, 7..8);
    assert_eq!(desk.timeout(), Some(30));
    assert_eq!(desk.wait(29), NOTHING);
    assert_eq!(desk.wait(1), ["lost 2..4: Deadline", "4..5 of line 0"]);
    assert_eq!(desk.line(0, 2..4), NOTHING);
    assert_eq!(desk.line(0, 6..7), NOTHING, "a part of the second gap");
    let told = ["lost 5..6: Deadline", "6..7 of line 0", "7..8 of line 0"];
    assert_eq!(desk.wait(20), told);
    assert_eq!((desk.sequencer.stats().lost, desk.sequencer.stats().repaired), (3, 0));
}

/// When the window is used up the oldest gap is given up, but nothing that is at hand.
#[test]
fn the_window_is_bounded() {
    let mut desk = Desk::new(Config { window: 64, ..alone() });
    desk.line(0, 1..2);
    desk.line(0, 10..11);
    assert_eq!(desk.line(0, 15..20), ["gap 11..15, present 2, future 15"]);
    assert_eq!(desk.line(0, 20..66), NOTHING, "64 numbers from 2 on");
    let told = desk.line(0, 5..67);
    let lost = ["lost 2..5: NoSpace", "5..10 of line 0", "10..11 of line 0", "11..15 of line 0"];
    let then = ["repaired 11..15 by line 0", "15..20 of line 0", "20..66 of line 0"];
    assert_eq!(told, [&lost[..], &then[..], &["66..67 of line 0"]].concat());
    let told = ["gap 67..167, present 67, future 167", "lost 67..103: NoSpace"];
    assert_eq!(
        desk.line(0, 167..168),
        [&told[..], &["lost 103..167: NoSpace", "167..168 of line 0"]].concat()
    );
}

/// A packet that is larger than the window goes through when it is next.
#[test]
fn packets_may_be_larger_than_the_window() {
    let mut desk = Desk::new(Config { window: 64, ..alone() });
    desk.line(0, 1..2);
    let told = ["gap 2..3, present 2, future 3", "lost 2..3: NoSpace", "3..103 of line 0"];
    assert_eq!(desk.line(0, 3..103), told);
    assert_eq!(desk.line(0, 50..153), ["103..153 of line 0"]);
}

/// When the table of gaps is used up the oldest is given up.
#[test]
fn gaps_are_bounded() {
    let mut desk = Desk::new(Config { gaps: 2, ..alone() });
    desk.line(0, 1..2);
    desk.line(0, 3..4);
    desk.line(0, 5..6);
    let told = ["gap 6..7, present 2, future 7", "lost 2..3: NoSpace", "3..4 of line 0"];
    assert_eq!(desk.line(0, 7..8), told);
    assert_eq!(desk.line(0, 6..7), ["repaired 6..7 by line 0"]);
    assert_eq!(desk.line(0, 9..10), ["gap 8..9, present 4, future 9"], "one is repaired");
}

fn stores_are_bounded<S: Store>(store: S) {
    let mut desk = Desk::<Compact, S>::with(alone(), store);
    desk.line(0, 1..2);
    desk.line(0, 3..4);
    desk.line(0, 5..6);
    let told = ["lost 2..3: NoSpace", "3..4 of line 0"];
    assert_eq!(desk.line(0, 7..8)[1..], told);
    // What is at hand is handed on, even of a gap that is given up for it.
    let told = ["gap 8..16, present 4, future 16", "lost 4..5: NoSpace", "5..6 of line 0"];
    assert_eq!(desk.line(0, 16..17), told);
    let told = ["lost 6..7: NoSpace", "7..8 of line 0", "lost 8..11: NoSpace", "11..13 of line 0"];
    desk.line(0, 20..21);
    let later = ["lost 13..16: NoSpace", "16..17 of line 0"];
    assert_eq!(desk.line(0, 11..13), [&told[2..], &later[..]].concat());
    assert_eq!((desk.sequencer.stats().lost, desk.sequencer.stats().unkept), (9, 0));
}

/// When the store is used up the oldest gap is given up, whatever the store.
#[test]
fn all_stores_are_bounded() {
    stores_are_bounded(Pool::new(2, 100).unwrap());
    stores_are_bounded(Slots::new(128).unwrap());
    stores_are_bounded(Bip::new(100, 2).unwrap());
}

/// A packet that no store could ever keep counts as not come, and is handed on when it is next.
#[test]
fn what_cannot_be_kept_has_not_come() {
    let mut desk = Desk::<Compact, Pool>::with(alone(), Pool::new(10, 20).unwrap());
    desk.line(0, 1..2);
    let told = ["gap 2..3, present 2, future 3", "gap 3..30, present 2, future 30"];
    assert_eq!(desk.line(0, 3..30), told);
    assert_eq!(desk.sequencer.stats().unkept, 1);
    assert_eq!(desk.line(0, 2..3), ["2..3 of line 0", "repaired 2..3 by line 0"]);
    assert_eq!(desk.line(0, 3..30), ["3..30 of line 0", "repaired 3..30 by line 0"]);
}

/// A heartbeat names the number that comes next, so that the last packet before silence is missed.
#[test]
fn heartbeats_show_what_is_missing() {
    let mut desk = Desk::new(alone());
    desk.line(0, 1..3);
    assert_eq!(desk.line(0, 3..3), NOTHING);
    assert_eq!(desk.line(0, 5..5), ["gap 3..5, present 3, future 5"]);
    assert_eq!(desk.line(0, 5..5), NOTHING);
    assert_eq!(desk.line(0, 3..5), ["3..5 of line 0", "repaired 3..5 by line 0"]);
}

/// A feed of which nothing is heard is stale, once, until something is.
#[test]
fn silence_is_told() {
    let mut desk = Desk::new(Config { silence: Duration::from_millis(100), ..alone() });
    assert_eq!((desk.timeout(), desk.wait(1000)), (None, vec![]), "nobody has begun");
    desk.line(0, 1..2);
    desk.wait(60);
    desk.line(0, 2..2);
    assert_eq!(desk.timeout(), Some(100));
    assert_eq!(desk.wait(99), NOTHING);
    assert_eq!(desk.wait(1), ["stale"]);
    assert_eq!((desk.timeout(), desk.wait(1000)), (None, vec![]));
    assert_eq!(desk.replay(1..2), NOTHING, "an answer is no life");
    assert_eq!(desk.line(0, 2..3), ["live", "2..3 of line 0"]);
    assert_eq!(desk.wait(100), ["stale"]);
    assert_eq!(desk.line(0, 3..3), ["live"]);
}

/// A packet that says something else than what is in it counts as not come, and begins no session.
#[test]
fn malformed_packets_are_told() {
    let mut desk = Desk::new(alone());
    let mut bytes = packet_of::<Compact>(Session::of_number(9), 1..4);
    bytes.pop();
    assert_eq!(desk.bytes(0, &bytes), ["malformed 1 and 3 of line 0"]);
    desk.line(0, 1..4);
    assert_eq!(desk.bytes(0, &bytes), ["malformed 1 and 3 of line 0"]);
    let mut bytes = packet_of::<Compact>(desk.session, 4..6);
    bytes.push(0);
    assert_eq!(desk.bytes(0, &bytes), ["malformed 4 and 2 of line 0"]);
    assert_eq!(desk.line(0, 4..6), ["4..6 of line 0"]);
    assert_eq!(desk.bytes(0, &bytes), NOTHING, "nobody looks into what has come");
    assert_eq!(desk.sequencer.stats().malformed, 3);
}
