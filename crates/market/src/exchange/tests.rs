use std::collections::BTreeMap;

use tautline_feed::format::{Compact, Kind, MoldUdp64};

use super::*;
use crate::message::{Message, Side};

const MS: Duration = Duration::from_millis(1);

/// What an exchange hands out in so many steps of a millisecond: when, where, what.
fn packets<F: Format>(
    exchange: &mut Exchange<F>,
    from: Instant,
    steps: u32,
) -> Vec<(u32, u8, Vec<u8>)> {
    let mut packets = Vec::new();
    for step in 1..=steps {
        let mut out = |line: sequence::Line, bytes: &[u8]| {
            packets.push((step, line.0, bytes.to_vec()));
        };
        exchange.tick(from + MS * step, &mut out);
    }
    packets
}

/// Books made of what a line has brought, in whatever order.
fn rebuilt<F: Format>(exchange: &Exchange<F>, packets: &[(u32, u8, Vec<u8>)], line: u8) -> Books {
    let mut messages = BTreeMap::new();
    for (_, _, bytes) in packets.iter().filter(|packet| packet.1 == line) {
        let packet = F::parse(bytes).unwrap();
        assert_eq!(packet.session, exchange.session());
        let Kind::Messages(count) = packet.kind else { continue };
        let mut body = packet.body;
        for at in 0..u64::from(count) {
            let (message, rest) = F::split(body).unwrap();
            messages.insert(packet.number + at, Message::decode(message).unwrap());
            body = rest;
        }
    }
    let numbers: Vec<u64> = messages.keys().copied().collect();
    assert_eq!(numbers, (1..exchange.history().next()).collect::<Vec<_>>());
    let mut books = Books::new(exchange.config().instruments, exchange.config().orders).unwrap();
    messages.values().for_each(|message| books.apply(message).unwrap());
    books
}

fn says_all<F: Format>() {
    let now = Instant::now();
    let config = Config { instruments: 3, orders: 100, ..Config::default() };
    let mut exchange = Exchange::<F>::new(config, 5, now).unwrap();
    let packets = packets(&mut exchange, now, 1000);
    let said = exchange.history().next() - 1;
    assert!((8_000..12_000).contains(&said), "{said} messages of about 10,000");
    for line in 0..2 {
        assert_eq!(&rebuilt(&exchange, &packets, line), exchange.books());
    }
    assert!(packets.iter().all(|packet| packet.2.len() <= 1400));
}

/// Perfect lines bring every message of the session, and the books that follow from them are those of the
/// exchange; in both formats.
#[test]
fn perfect_lines_bring_all() {
    says_all::<MoldUdp64>();
    says_all::<Compact>();
}

/// Books look as those of a market do: two sides, of some depth, which do not cross; and everything that
/// can happen does.
#[test]
fn books_look_real() {
    let now = Instant::now();
    let mut exchange = Exchange::<Compact>::new(Config::default(), 1, now).unwrap();
    let mut kinds = BTreeMap::new();
    for step in 1..10_000 {
        let first = exchange.history().next();
        exchange.tick(now + MS * step, &mut |_, _| {});
        for number in first..exchange.history().next() {
            let kind = exchange.history().get(number).unwrap()[0];
            *kinds.entry(char::from(kind)).or_insert(0) += 1;
        }
        for (_, book) in exchange.books().iter() {
            if let (Some(bid), Some(ask)) = (book.best(Side::Bid), book.best(Side::Ask)) {
                assert!(bid.price < ask.price);
            }
        }
    }
    assert!(kinds.values().all(|count| *count > 1000) && kinds.len() == 4, "{kinds:?}");
    for (instrument, book) in exchange.books().iter() {
        let levels = [Side::Bid, Side::Ask].map(|side| book.levels(side).len());
        assert!(levels.into_iter().all(|count| count > 5), "{instrument}: {levels:?} levels");
        assert!((100..700).contains(&book.len()), "{instrument}: {} orders", book.len());
    }
}

/// The same seed repeats a session, loss by loss; what the lines lose does not change what is said.
#[test]
fn seeds_repeat_a_session() {
    let now = Instant::now();
    let bad = Impairment { loss: 0.2, duplication: 0.1, reordering: 0.1, ..Impairment::default() };
    let run = |seed, line: &Impairment| {
        let config = Config { lines: vec![line.clone(); 2], ..Config::default() };
        let mut exchange = Exchange::<Compact>::new(config, seed, now).unwrap();
        let packets = packets(&mut exchange, now, 200);
        (packets, exchange.books().checksum())
    };
    assert_eq!(run(1, &bad), run(1, &bad));
    assert_ne!(run(1, &bad).1, run(2, &bad).1);
    assert_eq!(run(1, &bad).1, run(1, &Impairment::default()).1);
    let (packets, _) = run(1, &bad);
    let of = |line| packets.iter().filter(move |packet| packet.1 == line).map(|packet| &packet.2);
    assert!(!of(0).eq(of(1)), "lines lose for themselves");
}

/// What befalls packets is what was asked for, and what the counts say.
#[test]
fn lines_are_as_bad_as_they_say() {
    let now = Instant::now();
    let delay = 2 * MS..=4 * MS;
    let line =
        Impairment { loss: 0.1, duplication: 0.2, reordering: 0.05, delay, held_back: 9 * MS };
    let config = Config { lines: vec![line], ..Config::default() };
    let mut exchange = Exchange::<MoldUdp64>::new(config, 3, now).unwrap();
    let arrived = packets(&mut exchange, now, 5000);
    let counts = exchange.counts(sequence::Line(0));
    assert!(arrived.iter().all(|packet| packet.0 > 2), "nothing is early");
    let share = |count: u64| count as f64 / counts.packets as f64;
    assert!((0.08..0.12).contains(&share(counts.lost)), "{counts:?}");
    assert!((0.16..0.22).contains(&share(counts.doubled)), "{counts:?}");
    assert!((0.03..0.06).contains(&share(counts.reordered)), "{counts:?}");
    assert_eq!(counts.crowded_out, 0);
    assert_eq!(counts.delivered, arrived.len() as u64);
    let under_way = counts.packets - counts.lost + counts.doubled - counts.delivered;
    assert!(under_way < 100);
    let numbers = arrived.iter().map(|packet| MoldUdp64::parse(&packet.2).unwrap().number);
    let numbers: Vec<u64> = numbers.collect();
    assert!(numbers.windows(2).any(|two| two[0] > two[1]), "some were overtaken");
}

/// A line that has no more room loses what does not go into it, and says so.
#[test]
fn crowded_lines_lose() {
    let now = Instant::now();
    let line = Impairment { delay: 50 * MS..=50 * MS, ..Impairment::default() };
    let config = Config { lines: vec![line], queue: 8, ..Config::default() };
    let mut exchange = Exchange::<Compact>::new(config, 3, now).unwrap();
    let arrived = packets(&mut exchange, now, 200);
    let counts = exchange.counts(sequence::Line(0));
    assert!(counts.crowded_out > 100, "{counts:?}");
    assert!(arrived.len() as u64 + counts.crowded_out >= counts.packets - 8);
}

/// In silence there are heartbeats, and at the end it is said to be over; both name the next number.
#[test]
fn silence_and_the_end_are_told() {
    let now = Instant::now();
    let mut exchange =
        Exchange::<Compact>::new(Config { rate: 1, ..Config::default() }, 6, now).unwrap();
    let mut next = 1;
    let mut kinds = Vec::new();
    for (_, line, bytes) in packets(&mut exchange, now, 3000) {
        let packet = Compact::parse(&bytes).unwrap();
        if line == 0 {
            assert_eq!(packet.number, next);
            kinds.push(packet.kind);
        } else if let Kind::Messages(count) = packet.kind {
            next += u64::from(count);
        }
    }
    let heartbeats = kinds.iter().filter(|kind| **kind == Kind::Heartbeat).count();
    assert!((20..=30).contains(&heartbeats), "{heartbeats} in three seconds");
    exchange.finish(now + 3000 * MS);
    let end = packets(&mut exchange, now + 3000 * MS, 250);
    assert_eq!(end.len(), 6, "at once, and twice again, on both lines");
    for (_, _, bytes) in end {
        let packet = Compact::parse(&bytes).unwrap();
        assert_eq!((packet.kind, packet.number), (Kind::End, exchange.history().next()));
    }
}

/// It asks to be called when there is something to do, and then there is.
#[test]
fn timeouts_are_followed_by_something() {
    let mut now = Instant::now();
    let line = Impairment { delay: MS..=7 * MS, reordering: 0.3, ..Impairment::default() };
    let config = Config { rate: 500, lines: vec![line; 2], ..Config::default() };
    let mut exchange = Exchange::<Compact>::new(config, 9, now).unwrap();
    let mut idle = 0;
    for _ in 0..5000 {
        let timeout = exchange.timeout();
        assert!(timeout >= now);
        now = timeout;
        let before = (exchange.history().next(), exchange.said);
        let mut count = 0;
        exchange.tick(now, &mut |_, _| count += 1);
        idle += u32::from(before == (exchange.history().next(), exchange.said) && count == 0);
    }
    assert_eq!(idle, 0);
}

/// The history has the latest messages, and says of others why it has not.
#[test]
fn history_says_what_it_has() {
    let mut history = History::new(3).unwrap();
    assert_eq!(history.get(1), Err(Absent::NotYet { next: 1 }));
    assert_eq!(history.get(0), Err(Absent::TooOld { oldest: 1 }));
    let message = |at| Message::SnapshotEnd { instrument: crate::message::Instrument(at) };
    (1..=5).for_each(|at| history.push(&message(at)));
    assert_eq!(history.get(2), Err(Absent::TooOld { oldest: 3 }));
    for at in 3..=5 {
        let kept = history.get(u64::from(at)).unwrap();
        assert_eq!(Message::decode(kept), Ok(message(at)));
    }
    assert_eq!(history.get(6), Err(Absent::NotYet { next: 6 }));
}

/// An exchange that cannot be is refused, by the name of what is wrong.
#[test]
fn impossible_exchanges_are_refused() {
    let refused =
        |config: Config| Exchange::<MoldUdp64>::new(config, 1, Instant::now()).unwrap_err();
    let config = Config::default();
    assert_eq!(refused(Config { lines: Vec::new(), ..config.clone() }), ConfigError::Lines(0));
    assert_eq!(refused(Config { rate: 0, ..config.clone() }), ConfigError::Rate);
    assert_eq!(refused(Config { history: 0, ..config.clone() }), ConfigError::History);
    assert!(matches!(
        refused(Config { history: usize::MAX, ..config.clone() }),
        ConfigError::Memory { messages: usize::MAX }
    ));
    assert!(matches!(refused(Config { queue: 0, ..config.clone() }), ConfigError::Queue(_)));
    assert!(matches!(refused(Config { orders: 0, ..config.clone() }), ConfigError::Books(_)));
    assert!(matches!(
        refused(Config { packet: 54, ..config.clone() }),
        ConfigError::Packet { bytes: 54, least: 55, .. }
    ));
    let line = Impairment { loss: 1.5, ..Impairment::default() };
    let error = refused(Config { lines: vec![Impairment::default(), line], ..config.clone() });
    assert_eq!(error.to_string(), "line 1: loss 1.5 is no probability: 0 to 1");
    #[allow(clippy::reversed_empty_ranges, reason = "that is what is refused")]
    let line = Impairment { delay: 2 * MS..=MS, ..Impairment::default() };
    assert!(matches!(refused(Config { lines: vec![line], ..config }), ConfigError::Delay { .. }));
}
