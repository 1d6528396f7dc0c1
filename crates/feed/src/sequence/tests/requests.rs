//! What is asked for, and when.

use std::collections::BTreeSet;

use super::*;

/// A replay is asked for when the other lines have had time enough; what comes of it repairs the gap.
#[test]
fn a_replay_is_asked_for_after_a_while() {
    let mut desk = Desk::new(pair());
    desk.line(0, 1..3);
    desk.line(0, 6..7);
    assert_eq!(desk.timeout(), Some(5));
    assert_eq!(desk.wait(4), NOTHING);
    assert_eq!(desk.wait(1), ["request 3..6, attempt 1"]);
    assert_eq!(desk.replay(3..5), ["3..5 of replay"]);
    let told = ["5..6 of replay", "repaired 3..6 by replay", "6..7 of line 0"];
    assert_eq!(desk.replay(5..6), told);
    assert_eq!((desk.sequencer.stats().requests, desk.sequencer.stats().requested), (1, 3));
}

/// It is asked for at once when all lines have passed the gap, be it by a heartbeat.
#[test]
fn a_replay_is_asked_for_when_all_lines_have_passed() {
    let mut desk = Desk::new(pair());
    desk.line(0, 1..3);
    desk.line(0, 6..7);
    assert_eq!(desk.line(1, 1..3), NOTHING);
    assert_eq!(desk.line(1, 4..5), NOTHING, "it has not passed all of it");
    assert_eq!(desk.line(1, 6..6), ["request 3..6, attempt 1"]);
    let mut desk = Desk::new(Config { lines: 1, ..pair() });
    desk.line(0, 1..3);
    let told = desk.line(0, 6..7);
    assert_eq!(told, ["gap 3..6, present 3, future 6", "request 3..6, attempt 1"], "one is all");
}

/// What another line brings in time is not asked for.
#[test]
fn what_comes_in_time_is_not_asked_for() {
    let mut desk = Desk::new(pair());
    desk.line(0, 1..3);
    desk.line(0, 6..7);
    desk.wait(4);
    assert_eq!(desk.line(1, 3..6).len(), 3);
    assert_eq!(desk.wait(1), NOTHING);
    assert_eq!(desk.sequencer.stats().requests, 0);
}

/// Where many gaps are open the next time may be that of one that has been repaired; a tick then finds
/// the one that is due next, and nothing is asked for before its time, or later.
#[test]
fn times_are_near_where_gaps_are_many() {
    let mut desk = Desk::new(pair());
    desk.line(0, 1..2);
    for gap in 1..=12 {
        desk.line(0, 10 * gap..10 * gap + 1);
        desk.wait(u64::from(gap == 1)); // the first is due before all others
    }
    assert_eq!(desk.timeout(), Some(4));
    desk.line(1, 2..10);
    assert_eq!(desk.timeout(), Some(4), "not sought");
    assert_eq!(desk.wait(4), NOTHING, "woken in vain");
    assert_eq!(desk.timeout(), Some(1));
    assert_eq!(desk.wait(1).first().map(String::as_str), Some("request 11..120, attempt 1"));
}

/// Who has nobody to ask does not.
#[test]
fn nobody_is_asked_if_there_is_nobody() {
    let mut desk = Desk::new(Config { deadline: Duration::from_secs(1), ..alone() });
    desk.line(0, 1..3);
    assert_eq!(desk.line(0, 6..7), ["gap 3..6, present 3, future 6"]);
    assert_eq!(desk.timeout(), Some(1000));
}

fn requests() -> Requests {
    Requests {
        most: 10,
        merge_within: 3,
        spacing: Duration::from_millis(2),
        retry_after: Duration::from_millis(20),
        retry_most: Duration::from_millis(50),
        attempts: 3,
    }
}

/// Near ranges are asked for at once, large ones in parts, and requests keep a distance.
#[test]
fn requests_are_merged_and_spaced() {
    let mut desk = Desk::new(Config { requests: Some(requests()), ..pair() });
    desk.line(0, 1..2);
    desk.line(0, 3..6); // 2 is missing
    desk.line(0, 7..11); // 6 is missing, which is not farther away
    desk.line(0, 13..14); // 11 and 12 are: four lie between
    desk.line(0, 40..41);
    assert_eq!(desk.wait(5), ["request 2..7, attempt 1"]);
    assert_eq!((desk.timeout(), desk.wait(1)), (Some(2), vec![]));
    assert_eq!(desk.wait(1), ["request 11..21, attempt 1"]);
    assert_eq!(desk.wait(2), ["request 21..31, attempt 1"]);
    desk.replay(31..33);
    assert_eq!(desk.wait(2), ["request 33..40, attempt 1"]);
    assert_eq!(desk.sequencer.stats().requested, 5 + 10 + 10 + 7);
}

/// Requests that are not answered are repeated with growing pauses, for what is still missing, and not
/// for ever.
#[test]
fn requests_are_repeated() {
    let requests = Some(Requests { attempts: 4, ..requests() });
    let mut desk = Desk::new(Config { requests, ..pair() });
    desk.line(0, 1..3);
    desk.line(0, 6..7);
    assert_eq!(desk.wait(5), ["request 3..6, attempt 1"]);
    desk.replay(5..6);
    for (attempt, pause) in [(2, 20), (3, 40), (4, 50)] {
        assert_eq!(desk.timeout(), Some(pause));
        assert_eq!(desk.wait(pause as u64), [format!("request 3..5, attempt {attempt}")]);
    }
    assert_eq!(desk.timeout(), Some(2000 - 115), "nothing but the deadline is left");
    let told = ["lost 3..5: Deadline", "5..6 of replay", "6..7 of line 0"];
    assert_eq!(desk.wait(1885), told);
}

/// Two lines that lose one packet in a hundred, each for itself: only what both have lost is asked
/// for, all of it, and repaired.
#[test]
fn only_what_both_lines_have_lost_is_asked_for() {
    const ALL: u64 = 100_000;
    let requests = Requests { merge_within: 0, spacing: Duration::ZERO, ..Requests::default() };
    let hold_off = HoldOff::default();
    let mut desk = Desk::new(Config { requests: Some(requests), hold_off, ..pair() });
    let mut rng = fastrand::Rng::with_seed(5);
    let mut lost = [BTreeSet::new(), BTreeSet::new()];
    let (mut asked, mut answered) = (Vec::new(), 0);
    for number in 1..=ALL + 3 {
        // The second line is three packets behind.
        let packets = [(0u8, number), (1, number.saturating_sub(3))];
        for (line, number) in packets.into_iter().filter(|(_, number)| (1..=ALL).contains(number)) {
            if number < ALL && rng.u8(0..100) == 0 {
                lost[usize::from(line)].insert(number);
                continue;
            }
            let bytes = packet_of::<Compact>(desk.session, number..number + 1);
            let packet = Compact::parse(&bytes).unwrap();
            desk.sequencer.packet(desk.now, Line(line), packet, &mut |event| match event {
                Event::Request { missing, .. } => asked.extend(missing.range()),
                Event::Lost { .. } => panic!("all can be had"),
                _ => {}
            });
        }
        assert_eq!(desk.wait(1), NOTHING, "no gap outlives the hold-off");
        for &number in &asked[answered..] {
            desk.replay(number..number + 1);
        }
        answered = asked.len();
    }
    let both: Vec<u64> = lost[0].intersection(&lost[1]).copied().collect();
    assert!(both.len() > 5 && lost.iter().all(|lost| lost.len() > 900));
    assert_eq!(asked, both);
    let Stats { messages, lost, requested, .. } = desk.sequencer.stats();
    assert_eq!((messages, lost, requested), (ALL, 0, both.len() as u64));
}
