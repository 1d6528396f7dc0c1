use std::time::Duration;

use tautline_feed::format::{Builder, MoldUdp64, Session};
use tautline_feed::sequence::{HoldOff, Pool, Requests, Source};

use super::*;
use crate::book::BookError;
use crate::message::{Message, OrderId, Price, Side, TradeId};
use crate::replay::Request;
use crate::snapshot::{self, Part, Parts};

const SESSION: Session = Session::of_number(1);
const MS: Duration = Duration::from_millis(1);

fn add(order: u64, price: i64, quantity: u32) -> Message {
    let (order, price) = (OrderId(order), Price(price));
    Message::Add { instrument: Instrument(0), order, price, quantity, side: Side::Bid }
}

fn packet(session: Session, first: u64, messages: &[Message]) -> Vec<u8> {
    let mut datagram = [0; 1400];
    let mut builder = Builder::<MoldUdp64>::new(&mut datagram, session, first).unwrap();
    for message in messages {
        builder.push(message.encode(&mut [0; Message::LONGEST])).unwrap();
    }
    builder.finish().to_vec()
}

fn end(session: Session, next: u64) -> Vec<u8> {
    let mut datagram = [0; 1400];
    Builder::<MoldUdp64>::new(&mut datagram, session, next).unwrap().finish_session().to_vec()
}

/// A gateway of one line, and all that it has put out.
struct Trial {
    gateway: Gateway<MoldUdp64, Pool>,
    now: Instant,
    outputs: Vec<Output>,
}

impl Trial {
    fn new() -> Self {
        let mut config = Config { instruments: 1, orders: 10, ..Config::default() };
        config.sequence.lines = 1;
        config.sequence.hold_off = HoldOff::Fixed(MS);
        config.sequence.deadline = 100 * MS;
        config.sequence.requests =
            Some(Requests { spacing: Duration::ZERO, ..Requests::default() });
        let now = Instant::now();
        let gateway = Gateway::new(config, Pool::new(16, 1400).unwrap(), now).unwrap();
        Self { gateway, now, outputs: Vec::new() }
    }

    /// One that has been given a snapshot of an empty book, and goes on with number 1.
    fn begun() -> Self {
        let mut trial = Self::new();
        trial.brings(1, &[]);
        assert_eq!(trial.count(|output| matches!(output, Output::Snapshot)), 1);
        trial.brings_snapshot(SESSION, 1, &Books::new(1, 10).unwrap());
        assert!(trial.gateway.is_sound());
        trial.outputs.clear();
        trial
    }

    fn brings(&mut self, first: u64, messages: &[Message]) {
        self.brings_of(SESSION, first, messages);
    }

    fn brings_of(&mut self, session: Session, first: u64, messages: &[Message]) {
        let bytes = packet(session, first, messages);
        self.gateway.datagram(self.now, Line(0), &bytes, &mut |output| self.outputs.push(output));
    }

    fn brings_snapshot(&mut self, session: Session, next: u64, books: &Books) {
        let mut bytes = Vec::new();
        snapshot::write(session, next, books, &mut bytes);
        let (mut parts, mut input) = (Parts::new(), &bytes[..]);
        while let Some(part) = parts.next(&mut input).unwrap() {
            self.part(part);
        }
    }

    fn part(&mut self, part: Part) {
        self.gateway.snapshot(self.now, part, &mut |output| self.outputs.push(output));
    }

    fn answers(&mut self, answer: Answer<'_>) {
        self.gateway.answer(self.now, answer, &mut |output| self.outputs.push(output));
    }

    fn passes(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..1000 {
            let timeout = self.gateway.timeout();
            if timeout > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(timeout);
            self.gateway.tick(self.now, &mut |output| self.outputs.push(output));
        }
        panic!("time does not pass");
    }

    fn count(&self, what: impl Fn(&Output) -> bool) -> usize {
        self.outputs.iter().filter(|output| what(output)).count()
    }

    fn quotes(&self) -> Vec<Quote> {
        let quote = |output: &Output| match output {
            Output::Publish(quote) => Some(*quote),
            _ => None,
        };
        self.outputs.iter().filter_map(quote).collect()
    }

    fn best(&self) -> Option<(i64, u64)> {
        let best = self.gateway.books()[Instrument(0)].best(Side::Bid)?;
        Some((best.price.0, best.quantity))
    }
}

/// When nothing comes on any line, not even heartbeats, each instrument is told to be stale at once and
/// as long as that lasts; what comes then is live, also another session.
#[test]
fn silence_makes_quotes_stale() {
    for (session, first) in [(SESSION, 2), (Session::of_number(2), 1)] {
        let mut trial = Trial::begun();
        trial.brings(1, &[add(1, 100, 5)]);
        assert!(!trial.gateway.is_stale());
        trial.passes(tautline_feed::sequence::Config::default().silence);
        assert!(trial.gateway.is_stale() && trial.gateway.is_sound());
        let last = *trial.quotes().last().unwrap();
        assert!(last.is_stale && last.is_key && last.is_sound && last.bid.is_some());
        assert_eq!(Quote::decode(&last.encode()), Ok(last));
        trial.outputs.clear();
        trial.passes(Duration::from_secs(2));
        assert!(!trial.quotes().is_empty() && trial.quotes().iter().all(|quote| quote.is_stale));
        trial.outputs.clear();
        trial.brings_of(session, first, &[add(2, 101, 5)]);
        assert!(!trial.gateway.is_stale());
        assert!(!trial.quotes().is_empty() && trial.quotes().iter().all(|quote| !quote.is_stale));
    }
}

/// A quote is published when the best has changed, and only then; each has the next number.
#[test]
fn quotes_follow_the_best() {
    let mut trial = Trial::begun();
    trial.brings(1, &[add(1, 100, 5), add(2, 99, 5), add(3, 100, 1)]);
    let trade = TradeId(1);
    let (instrument, order, price) = (Instrument(0), OrderId(1), Price(100));
    trial.brings(4, &[Message::Trade { instrument, order, price, quantity: 5, trade }]);
    trial.brings(5, &[Message::Delete { instrument, order: OrderId(2) }]);
    let quotes = trial.quotes();
    let seen: Vec<_> =
        quotes.iter().map(|quote| (quote.next, quote.bid.map(|bid| bid.quantity))).collect();
    assert_eq!(seen, [(2, Some(5)), (4, Some(6)), (5, Some(1))]);
    assert!(quotes.iter().all(|quote| quote.is_sound && !quote.is_key));
    assert!(quotes.windows(2).all(|two| two[0].update + 1 == two[1].update));
    assert_eq!(trial.gateway.updates(Instrument(0)), 5);
}

/// Late subscribers get all quotes now and then, as keyframes.
#[test]
fn quotes_are_refreshed() {
    let mut trial = Trial::begun();
    trial.brings(1, &[add(1, 100, 5)]);
    trial.outputs.clear();
    trial.passes(2500 * MS);
    let quotes = trial.quotes();
    assert_eq!(quotes.len(), 2);
    let bid = Some(Top { price: Price(100), quantity: 5 });
    assert!(quotes.iter().all(|quote| quote.is_key && quote.is_sound && quote.bid == bid));
}

/// What is missing is asked for as it is on the wire, and the answer repairs it.
#[test]
fn replays_repair() {
    let mut trial = Trial::begun();
    trial.brings(1, &[add(1, 100, 5)]);
    trial.brings(4, &[add(4, 103, 5)]);
    assert_eq!(trial.best(), Some((100, 5)));
    trial.passes(2 * MS);
    let request = Request { session: SESSION, first: 2, count: 2 };
    assert!(trial.outputs.contains(&Output::Replay(request)));
    trial.answers(Answer::Packet(&packet(SESSION, 2, &[add(2, 101, 5), add(3, 102, 5)])));
    assert_eq!(trial.best(), Some((103, 5)));
    let is_repaired = |output: &Output| {
        matches!(output, Output::Notice(Notice::Repaired { by: Source::Replay, .. }))
    };
    assert_eq!(trial.count(is_repaired), 1);
    assert_eq!(trial.gateway.stats().doubts, 0);
}

/// When messages are lost the books are in doubt: quotes say so, nothing is applied, and they go on from a
/// snapshot, with what has come since.
#[test]
fn losses_are_made_good_by_a_snapshot() {
    let mut trial = Trial::begun();
    trial.brings(1, &[add(1, 100, 5)]);
    trial.brings(3, &[add(3, 103, 5)]);
    trial.outputs.clear();
    trial.passes(150 * MS);
    assert!(!trial.gateway.is_sound());
    assert_eq!(trial.best(), Some((100, 5)), "what comes behind a loss is not applied");
    assert!(trial.quotes().iter().all(|quote| !quote.is_sound && quote.is_key));
    assert_eq!(trial.count(|output| matches!(output, Output::Snapshot)), 1);
    trial.brings(4, &[add(4, 104, 5)]);
    assert_eq!(trial.best(), Some((100, 5)));
    let mut books = Books::new(1, 10).unwrap();
    (1..=3).for_each(|order| books.apply(&add(order, 100 + order as i64, 5)).unwrap());
    trial.brings_snapshot(SESSION, 4, &books);
    assert!(trial.gateway.is_sound());
    assert_eq!(trial.best(), Some((104, 5)), "what has come since the snapshot is applied");
    let last = *trial.quotes().last().unwrap();
    assert!(last.is_sound && last.is_key && last.bid.unwrap().price == Price(104));
    trial.passes(5000 * MS);
    assert_eq!(trial.gateway.stats().snapshots_asked, 2, "nothing more is asked for");
}

/// What the replay server keeps no longer is not waited for: a snapshot is asked for at once.
#[test]
fn what_is_too_old_is_not_waited_for() {
    let mut trial = Trial::begun();
    // One was asked for just now.
    trial.passes(50 * MS);
    trial.brings(3, &[add(3, 103, 5)]);
    let refusal =
        Refusal { reason: Reason::TooOld, session: SESSION, first: 1, count: 2, number: 3 };
    trial.answers(Answer::Refused(refusal));
    assert_eq!(trial.count(|output| matches!(output, Output::Snapshot)), 1);
    let mut books = Books::new(1, 10).unwrap();
    books.apply(&add(2, 102, 5)).unwrap();
    trial.brings_snapshot(SESSION, 3, &books);
    assert_eq!(trial.best(), Some((103, 5)));
    assert_eq!(trial.gateway.sequencer().stats().lost, 0, "the snapshot has what was missing");
    // What has been made good, or is of another session, is nobody's concern.
    trial.answers(Answer::Refused(refusal));
    let other = Session::of_number(9);
    trial.answers(Answer::Refused(Refusal { session: other, count: 100, ..refusal }));
    assert!(trial.gateway.is_sound());
    assert_eq!(trial.gateway.stats().replay_refused, 3);
}

/// A message that cannot be puts the books in doubt, not the gateway: it takes a snapshot.
#[test]
fn impossible_messages_put_books_in_doubt() {
    let mut trial = Trial::begun();
    let order = OrderId(9);
    let delete = Message::Delete { instrument: Instrument(0), order };
    trial.brings(1, &[add(1, 100, 5), delete, add(3, 103, 5)]);
    let error = BookError::UnknownOrder { order };
    let doubt = Output::Notice(Notice::Doubt(Doubt::Impossible { number: 2, error }));
    assert!(trial.outputs.contains(&doubt));
    assert_eq!(trial.gateway.stats().skipped, 1);
    trial.brings_snapshot(SESSION, 4, &Books::new(1, 10).unwrap());
    assert!(trial.gateway.is_sound() && trial.best().is_none());
    // Of an instrument that there is not, too.
    let delete = Message::Delete { instrument: Instrument(7), order };
    trial.brings(4, &[delete]);
    assert!(!trial.gateway.is_sound());
}

/// Snapshots that are of no use are told, and asked for again; in a row less and less often.
#[test]
fn useless_snapshots_are_asked_for_again() {
    let mut trial = Trial::new();
    trial.brings(10, &[add(1, 100, 5)]);
    let books = Books::new(1, 10).unwrap();
    trial.brings_snapshot(Session::of_number(9), 11, &books);
    trial.passes(20 * MS);
    trial.brings_snapshot(SESSION, 11, &Books::new(2, 10).unwrap());
    trial.passes(900 * MS);
    assert_eq!(trial.gateway.stats().snapshots_asked, 2, "the next would have as many");
    trial.passes(200 * MS);
    let header = snapshot::Header { session: SESSION, next: 11, instruments: 1 };
    trial.part(Part::Header(header));
    trial.part(Part::End { checksum: 1 });
    trial.passes(80 * MS);
    trial.part(Part::Header(header));
    trial.part(Part::Message(add(1, 5, 0)));
    // The rest of it changes nothing any more.
    trial.part(Part::End { checksum: books.checksum() });
    assert!(!trial.gateway.is_sound());
    let error = |output: &Output| match output {
        Output::Notice(Notice::Snapshot(error)) => Some(*error),
        _ => None,
    };
    let errors: Vec<SnapshotError> = trial.outputs.iter().filter_map(error).collect();
    let ours = books.checksum();
    assert_eq!(
        errors,
        [
            SnapshotError::OtherSession(Session::of_number(9)),
            SnapshotError::Instruments { theirs: 2, ours: 1 },
            SnapshotError::Checksum { theirs: 1, ours },
            SnapshotError::Impossible(BookError::ZeroQuantity { order: OrderId(1) }),
        ]
    );
    let asked = trial.gateway.stats().snapshots_asked;
    assert_eq!(asked, 4);
    trial.passes(100 * MS);
    trial.brings_snapshot(SESSION, 11, &books);
    assert!(trial.gateway.is_sound());
}

/// A snapshot that is older than what has been handed on is of no use, and leaves nothing behind.
#[test]
fn old_snapshots_are_refused() {
    let mut trial = Trial::begun();
    trial.brings(1, &[add(1, 100, 5), add(2, 101, 5)]);
    trial.brings(4, &[add(4, 104, 5)]);
    trial.passes(150 * MS);
    trial.brings_snapshot(SESSION, 2, &Books::new(1, 10).unwrap());
    let error = SnapshotError::TooOld { next: 2, present: 5 };
    assert!(trial.outputs.contains(&Output::Notice(Notice::Snapshot(error))));
    assert!(!trial.gateway.is_sound());
}

/// Snapshots that do not come are asked for again, and one that comes slowly is waited for.
#[test]
fn patience_has_an_end() {
    let mut trial = Trial::new();
    trial.brings(1, &[add(1, 100, 5)]);
    trial.passes(3500 * MS);
    assert_eq!(trial.gateway.stats().snapshots_asked, 4);
    trial.part(Part::Header(snapshot::Header { session: SESSION, next: 2, instruments: 1 }));
    for order in 1..9 {
        trial.passes(900 * MS);
        trial.part(Part::Message(add(order, 100, 5)));
    }
    assert_eq!(trial.gateway.stats().snapshots_asked, 4);
    trial.gateway.snapshot_failed(trial.now);
    trial.passes(100 * MS);
    assert_eq!(trial.gateway.stats().snapshots_asked, 5);
}

/// A session that follows begins with empty books and without a snapshot; if its first messages are
/// missing they are asked for.
#[test]
fn another_session_begins_with_empty_books() {
    let mut trial = Trial::begun();
    trial.brings(1, &[add(1, 100, 5)]);
    trial.brings(3, &[add(3, 100, 5)]);
    let next = Session::of_number(2);
    trial.brings_of(next, 2, &[add(2, 90, 5)]);
    assert!(trial.gateway.is_sound());
    assert_eq!(trial.best(), None);
    trial.passes(2 * MS);
    assert!(trial.outputs.contains(&Output::Replay(Request { session: next, first: 1, count: 1 })));
    trial.answers(Answer::Packet(&packet(next, 1, &[add(1, 80, 5)])));
    assert_eq!(trial.best(), Some((90, 5)));
    assert_eq!(trial.gateway.stats().snapshots_asked, 1);
}

/// Two exchanges on one line are told once, and seen for as long as both send; stragglers of a session that
/// was left, and its end that is told again and again, are no second exchange.
#[test]
fn two_exchanges_on_one_line_are_told() {
    let mut trial = Trial::begun();
    let next = Session::of_number(2);
    let rival = Rival { session: SESSION, line: Line(0) };
    let told = Notice::TwoSessions { session: next, rival, is_over: false };
    trial.brings_of(next, 1, &[add(1, 90, 5)]);
    for number in 1..=9 {
        trial.passes(100 * MS);
        trial.brings(number, &[add(number, 100, 5)]);
        trial.brings_of(next, 1 + number, &[add(1 + number, 90, 5)]);
    }
    assert_eq!(trial.gateway.rival(), None, "they may be on their way");
    let farewell = end(SESSION, 10);
    for _ in 0..20 {
        trial.passes(100 * MS);
        trial.gateway.datagram(trial.now, Line(0), &farewell, &mut |_| panic!("nothing"));
    }
    assert_eq!(trial.gateway.rival(), None, "it is over");
    for _ in 0..30 {
        trial.passes(100 * MS);
        trial.brings(9, &[add(9, 100, 5)]);
    }
    assert_eq!(trial.gateway.rival().map(|rival| rival.session), Some(SESSION));
    assert_eq!(trial.count(|output| *output == Output::Notice(told)), 1);
    assert!(trial.gateway.is_sound() && trial.best() == Some((90, 50)), "one is followed");
    trial.passes(Duration::from_secs(5));
    assert_eq!(trial.gateway.rival(), None, "it has gone");
}

/// When the session that is followed is over while another is still sent that is told once, also if its last
/// messages are missing and no snapshot can be had.
#[test]
fn a_session_that_is_outlived_is_told() {
    for is_in_doubt in [false, true] {
        let mut trial = Trial::begun();
        let next = Session::of_number(2);
        trial.brings_of(next, 1, &[add(1, 90, 5)]);
        if is_in_doubt {
            trial.brings_of(next, 3, &[add(3, 90, 5)]);
            trial.passes(150 * MS);
        }
        for _ in 0..15 {
            trial.passes(100 * MS);
            trial.brings(1, &[add(1, 100, 5)]);
        }
        assert!(!trial.gateway.has_ended() && trial.gateway.is_sound() != is_in_doubt);
        let last = if is_in_doubt { 4 } else { 2 };
        let outputs = &mut trial.outputs;
        let mut out = |output| outputs.push(output);
        trial.gateway.datagram(trial.now, Line(0), &end(next, last), &mut out);
        assert!(trial.gateway.has_ended());
        for _ in 0..15 {
            trial.passes(100 * MS);
            trial.brings(1, &[add(1, 100, 5)]);
        }
        let rival = Rival { session: SESSION, line: Line(0) };
        let told = |is_over| Notice::TwoSessions { session: next, rival, is_over };
        let times = [false, true]
            .map(|is_over| trial.count(|output| *output == Output::Notice(told(is_over))));
        assert_eq!(times, [1, 1], "in doubt: {is_in_doubt}");
        trial.brings_of(Session::of_number(3), 1, &[]);
        assert!(!trial.gateway.has_ended(), "another one goes on");
    }
}

/// While a message is missing sound books say how far and for how long they are behind; books that are in
/// doubt, and those for which nothing is waited, do not.
#[test]
fn books_that_wait_are_behind() {
    let mut trial = Trial::begun();
    trial.brings(1, &[add(1, 100, 5)]);
    assert_eq!(trial.gateway.behind(trial.now), None);
    trial.brings(3, &[add(3, 103, 5), add(4, 104, 5)]);
    trial.passes(40 * MS);
    trial.brings(6, &[add(6, 106, 5)]);
    trial.passes(20 * MS);
    let behind = |messages, time| Some(Behind { messages, time });
    assert_eq!(trial.gateway.behind(trial.now), behind(5, 60 * MS));
    trial.brings(2, &[add(2, 102, 5)]);
    assert_eq!(trial.gateway.behind(trial.now), behind(2, 20 * MS), "the next gap is younger");
    trial.passes(100 * MS);
    assert!(!trial.gateway.is_sound());
    assert_eq!(trial.gateway.behind(trial.now), None);
    let mut books = Books::new(1, 10).unwrap();
    (1..=6).for_each(|order| books.apply(&add(order, 100 + order as i64, 5)).unwrap());
    trial.brings_snapshot(SESSION, 7, &books);
    assert!(trial.gateway.is_sound());
    assert_eq!(trial.gateway.behind(trial.now), None);
}

/// Why books are in doubt is known for as long as they are.
#[test]
fn doubts_have_reasons() {
    let mut trial = Trial::new();
    assert_eq!(trial.gateway.doubt(), None, "nothing was heard");
    trial.brings(1, &[add(1, 100, 5)]);
    assert_eq!(trial.gateway.doubt(), Some(Doubt::Joined));
    trial.brings_snapshot(SESSION, 2, &Books::new(1, 10).unwrap());
    assert_eq!(trial.gateway.doubt(), None);
    trial.brings(4, &[add(4, 100, 5)]);
    trial.passes(150 * MS);
    assert!(matches!(trial.gateway.doubt(), Some(Doubt::Lost(_))));
}

/// What is no packet, no quote and no gateway is told so.
#[test]
fn strange_things_are_told() {
    let mut trial = Trial::begun();
    let mut told = Vec::new();
    trial.gateway.datagram(trial.now, Line(0), b"hello", &mut |output| told.push(output));
    assert_eq!(told, [Output::Notice(Notice::Strange { line: Line(0) })]);
    trial.gateway.datagram(trial.now, Line(0), b"hello", &mut |_| panic!("told once"));
    trial.gateway.answer(trial.now, Answer::Packet(b"hello"), &mut |_| panic!("nothing"));
    assert_eq!(trial.gateway.stats().strange, 3);
    assert_eq!(Quote::decode(b"hello"), Err(QuoteError::Foreign { len: 5 }));
    assert_eq!(Quote::decode(&[0; Quote::LEN]), Err(QuoteError::Foreign { len: Quote::LEN }));
    let config = Config { refresh: Duration::ZERO, ..Config::default() };
    let store = Pool::new(1, 1).unwrap();
    let error = Gateway::<MoldUdp64, _>::new(config, store, trial.now).unwrap_err();
    assert_eq!(error.to_string(), "refresh: 0ns is too often, a millisecond is the least");
}
