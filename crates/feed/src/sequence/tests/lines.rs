//! What each line brings, loses, and how late it is.

use super::super::map::Bits;
use super::*;

/// Loss, lateness and repetition are counted for each line.
#[test]
fn lines_are_counted() {
    let mut desk = Desk::new(pair());
    desk.line(0, 1..3);
    desk.line(1, 1..3);
    desk.line(0, 5..7);
    desk.line(1, 3..5);
    desk.line(1, 3..5);
    desk.line(0, 3..4);
    let stats = desk.sequencer.line_stats(Line(0));
    let LineStats { packets, first, lost, late, repeated, .. } = stats;
    assert_eq!((packets, first, lost, late, repeated), (3, 2, 1, 1, 0));
    let stats = desk.sequencer.line_stats(Line(1));
    let LineStats { packets, first, lost, late, repeated, .. } = stats;
    assert_eq!((packets, first, lost, late, repeated), (3, 1, 0, 0, 2));
    desk.line(1, 9..9);
    assert_eq!(desk.sequencer.line_stats(Line(1)).lost, 4, "a heartbeat shows it");
}

/// A line that begins with a heartbeat has lost what lies between that and its first packet.
#[test]
fn a_heartbeat_may_be_the_first_of_a_line() {
    let mut desk = Desk::new(pair());
    desk.line(0, 1..5);
    desk.line(1, 5..5);
    desk.line(0, 5..9);
    desk.line(1, 8..9);
    let stats = desk.sequencer.line_stats(Line(1));
    assert_eq!((stats.packets, stats.lost), (1, 3));
}

/// What a line has lost is its own, within and beyond the window.
#[test]
fn loss_is_exact_over_the_window() {
    let mut way = Way::new(64);
    way.brings(1, 2);
    way.brings(10, 11); // 8 are lost
    way.brings(1000, 1100); // 989 are, and the packet is larger than the window
    assert_eq!((way.stats().lost, way.open), (8 + 989, 0));
    way.brings(500, 501);
    assert_eq!((way.stats().late, way.stats().repeated), (0, 1), "too old to tell");
    way.brings(1150, 1151); // 50 are lost
    way.brings(1090, 1110);
    assert_eq!((way.stats().late, way.stats().repeated, way.open), (10, 11, 40));
    way.brings(1151, 1201); // the window now begins at 1137
    assert_eq!((way.stats().lost, way.open), (8 + 989 + 40, 13));
    way.forget();
    way.brings(1, 2);
    assert_eq!((way.stats().lost, way.open), (8 + 989 + 40, 0));
}

/// What fills a gap of a line is counted as what comes in any other way, in one word of the map and
/// across words, when all of it is missing, some or nothing.
#[test]
fn short_and_long_ways_count_the_same() {
    let (mut short, mut long) = (Way::new(128), Way::new(128));
    let mut rng = fastrand::Rng::with_seed(7);
    for _ in 0..20_000 {
        let near = long.high().unwrap_or(1000);
        let first = (near + 20).saturating_sub(rng.u64(0..160));
        let end = first + rng.u64(1..=40);
        assert_eq!(short.fills(&Bits::of(first..end)), long.brings(first, end));
        assert_eq!((short.stats(), short.open), (long.stats(), long.open), "{first}..{end}");
        assert_eq!(short.high(), long.high());
    }
    assert!(long.stats().late > 1000 && long.stats().repeated > 1000 && long.stats().lost > 1000);
}

/// The hold-off follows how far the slower line is behind, within its bounds.
#[test]
fn the_hold_off_is_measured() {
    let (least, most) = (Duration::from_millis(1), Duration::from_millis(50));
    let hold_off = HoldOff::Measured { least, most };
    let mut desk = Desk::new(Config { hold_off, ..pair() });
    assert_eq!(desk.sequencer.hold_off(), most, "nothing was measured");
    for number in 1..2000 {
        desk.line(0, number..number + 1);
        desk.wait(3);
        desk.line(1, number..number + 1);
    }
    let hold_off = desk.sequencer.hold_off();
    assert!(hold_off >= Duration::from_micros(3700) && hold_off < Duration::from_millis(4));
    let behind = desk.sequencer.line_stats(Line(1)).behind_most;
    assert_eq!(behind, Duration::from_millis(3));
    for number in 2000..4000 {
        desk.line(0, number..number + 1);
        desk.line(1, number..number + 1);
    }
    assert_eq!(desk.sequencer.hold_off(), least);
}

/// How late a packet is has nothing to do with one of the same number in the session before.
#[test]
fn lateness_is_that_of_the_session() {
    let is_noted = |number: u64| {
        let mut firsts = Firsts::new(Instant::now());
        firsts.note(number, Line(0), Instant::now());
        firsts.late(number, Line(1), Instant::now()).is_some()
    };
    let number = (2..200).find(|number| is_noted(*number)).expect("one of sixteen is");
    let mut desk = Desk::new(pair());
    desk.line(0, 1..number);
    desk.line(0, number..number + 1);
    desk.wait(60_000);
    desk.session = Session::of_number(2);
    desk.line(0, 1..number);
    desk.replay(number..number + 1);
    desk.line(1, number..number + 1);
    assert_eq!(desk.sequencer.line_stats(Line(1)).behind_most, Duration::ZERO);
}

/// A line that there is not is a mistake of the program.
#[test]
#[should_panic(expected = "index out of bounds")]
fn lines_that_there_are_not_panic() {
    Desk::new(pair()).line(2, 1..2);
}
