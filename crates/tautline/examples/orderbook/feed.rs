//! One connection, without the connection: lines come in, requests for snapshots go out.

use std::mem;
use std::time::Duration;

use serde_json::{Value, json};

use crate::book::{Book, Levels};
use crate::latency::Latency;
use crate::message::{Message, MessageError};
use crate::sequence::{Counters, Ids, Join, Sequence, Step, UpdateId};

/// Questions in a row that may lead to no progress.
const TRIES: u32 = 100;
/// Levels of each side that a snapshot is asked for where one says how many.
const DEPTH: u32 = 5000;
/// Characters of a line that an error shows.
const SHOWN: usize = 60;

/// Why a connection cannot be followed further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FeedError {
    #[error(
        "line {line} (byte {byte}) cannot be understood: {problem}: {excerpt:?}; the peer must \
         send one JSON document of a depth stream a line"
    )]
    Line { line: u64, byte: u64, problem: MessageError, excerpt: String },
    #[error(
        "line {line}: the exchange refuses a snapshot: {reason} ({code}); name a symbol that it \
         has with --symbol (asked for: {symbols})"
    )]
    Refused { line: u64, code: i64, reason: String, symbols: String },
    #[error(
        "line {line}: {symbol}: {TRIES} snapshots in a row did not meet the stream; it loses too \
         much, or its snapshots come too late"
    )]
    NeverMeets { line: u64, symbol: String },
}

/// An increment that is not applied yet.
#[derive(Debug)]
struct Increment {
    event: Duration,
    levels: Levels,
}

/// One symbol of one connection.
#[derive(Debug)]
pub(crate) struct Market {
    symbol: String,
    book: Book,
    sequence: Sequence<Increment>,
    /// The question whose answer is awaited.
    question: Option<u64>,
    /// Questions since something was applied.
    tries: u32,
}

impl Market {
    fn new(symbol: &str, limit: usize) -> Self {
        Self {
            symbol: symbol.to_owned(),
            book: Book::default(),
            sequence: Sequence::new(limit),
            question: None,
            tries: 0,
        }
    }

    pub(crate) fn symbol(&self) -> &str {
        &self.symbol
    }

    pub(crate) fn book(&self) -> &Book {
        &self.book
    }

    /// How far the book is; none while a snapshot is awaited.
    pub(crate) fn position(&self) -> Option<UpdateId> {
        self.sequence.position()
    }

    pub(crate) fn counters(&self) -> &Counters {
        self.sequence.counters()
    }
}

/// How late updates were.
#[derive(Debug)]
pub(crate) struct Latencies {
    /// Those that were applied when they came.
    pub(crate) live: Latency,
    /// Those that had to wait for a snapshot.
    pub(crate) held: Latency,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        Self { live: Latency::new(), held: Latency::new() }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.live.add(&other.live);
        self.held.add(&other.held);
    }
}

/// How an exchange is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Its streams come without being asked for.
    Lines,
    /// One subscribes to them.
    WebSocket,
}

/// What one connection has brought.
#[derive(Debug)]
pub(crate) struct Feed {
    markets: Vec<Market>,
    latencies: Latencies,
    /// Events that were applied since [`Feed::applied_at`].
    applied: Vec<(Arrival, Duration)>,
    /// How questions are put.
    dialect: Dialect,
    /// The question that has subscribed to all streams.
    subscription: Option<u64>,
    /// Questions that are still to be sent.
    requests: String,
    /// The number of the last question.
    asked: u64,
    /// Lines that have come.
    lines: u64,
    /// Bytes that have come before the line at hand.
    bytes: u64,
    /// Messages that concern nothing we asked for, or no longer.
    strangers: u64,
    /// Whether nothing comes any more, although not all streams have ended.
    broken: bool,
}

impl Feed {
    /// A connection that shall bring these symbols, and holds back at most `limit` increments of
    /// each. Its first requests are due at once.
    pub(crate) fn new(symbols: &[String], limit: usize, dialect: Dialect) -> Self {
        let markets = symbols.iter().map(|symbol| Market::new(symbol, limit)).collect();
        let mut feed = Self {
            markets,
            latencies: Latencies::new(),
            applied: Vec::new(),
            dialect,
            subscription: None,
            requests: String::new(),
            asked: 0,
            lines: 0,
            bytes: 0,
            strangers: 0,
            broken: false,
        };
        if dialect == Dialect::WebSocket {
            feed.subscribe();
        }
        for at in 0..feed.markets.len() {
            feed.ask_for(at);
        }
        feed
    }

    pub(crate) fn markets(&self) -> &[Market] {
        &self.markets
    }

    pub(crate) fn latencies(&self) -> &Latencies {
        &self.latencies
    }

    pub(crate) fn lines(&self) -> u64 {
        self.lines
    }

    pub(crate) fn strangers(&self) -> u64 {
        self.strangers
    }

    /// Whether every stream has ended and every book is as far.
    pub(crate) fn is_complete(&self) -> bool {
        self.markets.iter().all(|market| market.sequence.is_complete())
    }

    /// The connection has failed: the books stay as they are.
    pub(crate) fn break_off(&mut self) {
        self.broken = true;
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// The questions that are to be sent now.
    pub(crate) fn take_requests(&mut self) -> String {
        mem::take(&mut self.requests)
    }

    /// What the lines so far have brought was in the books at `now`, since 1970.
    pub(crate) fn applied_at(&mut self, now: Duration) {
        for (arrival, event) in self.applied.drain(..) {
            match arrival {
                Arrival::Live => self.latencies.live.record(event, now),
                Arrival::Held => self.latencies.held.record(event, now),
            }
        }
    }

    /// A line has come.
    pub(crate) fn line(&mut self, line: &[u8]) -> Result<(), FeedError> {
        self.lines += 1;
        let message = Message::parse(line).map_err(|problem| self.not_understood(line, problem))?;
        if let Message::Done { id } = message
            && self.markets.iter().any(|market| market.question == Some(id))
        {
            let problem = MessageError::Missing { kind: "answer", field: "result" };
            return Err(self.not_understood(line, problem));
        }
        self.message(message)?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    fn message(&mut self, message: Message<'_>) -> Result<(), FeedError> {
        match message {
            Message::Increment { symbol, ids, event, levels } => {
                let Some(at) = self.of_symbol(&symbol) else { return Ok(()) };
                self.increment(at, ids, Increment { event, levels })
            }
            Message::Snapshot { id, last, levels } => {
                let Some(at) = self.of_question(id) else { return Ok(()) };
                self.snapshot(at, last, &levels)
            }
            Message::End { symbol, last } => {
                let Some(at) = self.of_symbol(&symbol) else { return Ok(()) };
                let step = self.markets[at].sequence.end(last);
                self.step(at, step, Arrival::Live)
            }
            Message::Done { id } => {
                self.strangers += u64::from(self.subscription != Some(id));
                Ok(())
            }
            Message::Refusal { code, reason } => Err(self.refused(code, &reason)),
        }
    }

    fn of_symbol(&mut self, symbol: &str) -> Option<usize> {
        let at = self.markets.iter().position(|market| market.symbol == symbol);
        self.strangers += u64::from(at.is_none());
        at
    }

    /// An answer to a question that was given up is a stranger too.
    fn of_question(&mut self, id: u64) -> Option<usize> {
        let at = self.markets.iter().position(|market| market.question == Some(id));
        self.strangers += u64::from(at.is_none());
        at
    }

    fn increment(&mut self, at: usize, ids: Ids, increment: Increment) -> Result<(), FeedError> {
        let step = self.markets[at].sequence.increment(ids, increment);
        self.step(at, step, Arrival::Live)
    }

    fn snapshot(&mut self, at: usize, last: UpdateId, levels: &Levels) -> Result<(), FeedError> {
        let market = &mut self.markets[at];
        market.question = None;
        match market.sequence.snapshot(last) {
            Join::Replace => market.book.replace(levels),
            Join::Ask => return self.ask(at),
            Join::Forget => return Ok(()),
        }
        while let Some(step) = self.markets[at].sequence.release() {
            self.step(at, step, Arrival::Held)?;
        }
        Ok(())
    }

    fn step(
        &mut self,
        at: usize,
        step: Step<Increment>,
        arrival: Arrival,
    ) -> Result<(), FeedError> {
        match step {
            Step::Apply(Increment { event, levels }) => {
                let market = &mut self.markets[at];
                market.book.apply(&levels);
                market.tries = 0;
                self.applied.push((arrival, event));
                Ok(())
            }
            Step::Drop | Step::Hold => Ok(()),
            Step::Ask => self.ask(at),
        }
    }

    fn ask(&mut self, at: usize) -> Result<(), FeedError> {
        let market = &mut self.markets[at];
        if market.tries >= TRIES {
            let symbol = market.symbol.clone();
            return Err(FeedError::NeverMeets { line: self.lines, symbol });
        }
        self.ask_for(at);
        Ok(())
    }

    /// Asks for a snapshot. An earlier question is given up.
    fn ask_for(&mut self, at: usize) {
        let symbol = self.markets[at].symbol.clone();
        let params = match self.dialect {
            Dialect::Lines => json!([symbol]),
            Dialect::WebSocket => json!({"symbol": symbol, "limit": DEPTH}),
        };
        let id = self.question("depth", &params);
        let market = &mut self.markets[at];
        market.tries += 1;
        market.question = Some(id);
    }

    /// Asks for the increments of all symbols.
    fn subscribe(&mut self) {
        let stream = |market: &Market| format!("{}@depth@100ms", market.symbol.to_lowercase());
        let streams: Vec<_> = self.markets.iter().map(stream).collect();
        self.subscription = Some(self.question("SUBSCRIBE", &json!(streams)));
    }

    /// Puts a question, whose number it returns.
    fn question(&mut self, method: &str, params: &Value) -> u64 {
        self.asked += 1;
        let question = json!({"method": method, "params": params, "id": self.asked});
        self.requests.push_str(&question.to_string());
        self.requests.push('\n');
        self.asked
    }

    fn not_understood(&self, line: &[u8], problem: MessageError) -> FeedError {
        let text = String::from_utf8_lossy(line);
        let start = problem.column().saturating_sub(SHOWN / 2);
        let excerpt = text.trim_end().chars().skip(start).take(SHOWN).collect();
        FeedError::Line { line: self.lines, byte: self.bytes, problem, excerpt }
    }

    fn refused(&self, code: i64, reason: &str) -> FeedError {
        let symbols: Vec<_> = self.markets.iter().map(Market::symbol).collect();
        let (reason, symbols) = (reason.to_owned(), symbols.join(", "));
        FeedError::Refused { line: self.lines, code, reason, symbols }
    }
}

/// When an increment that is applied has come.
#[derive(Debug, Clone, Copy)]
enum Arrival {
    Live,
    Held,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(symbols: &[&str]) -> Feed {
        Feed::new(
            &symbols.iter().map(|&symbol| symbol.to_owned()).collect::<Vec<_>>(),
            4,
            Dialect::Lines,
        )
    }

    fn increment(symbol: &str, ids: std::ops::RangeInclusive<u64>) -> String {
        let (first, last) = (ids.start(), ids.end());
        format!(
            r#"{{"e":"depthUpdate","E":1000,"s":"{symbol}","U":{first},"u":{last},"b":[],"a":[]}}"#
        )
    }

    fn snapshot(id: u64, last: u64) -> String {
        format!(r#"{{"id":{id},"result":{{"lastUpdateId":{last},"bids":[],"asks":[]}}}}"#)
    }

    /// The numbers and symbols of the questions that are due.
    fn questions(feed: &mut Feed) -> Vec<(u64, String)> {
        let requests = feed.take_requests();
        let question = |line: &str| {
            let request: serde_json::Value = serde_json::from_str(line).expect("JSON");
            assert_eq!(request["method"], "depth");
            let symbol = request["params"][0].as_str().expect("a symbol");
            (request["id"].as_u64().expect("a number"), symbol.to_owned())
        };
        requests.lines().map(question).collect()
    }

    fn take(feed: &mut Feed, line: &str) {
        feed.line(line.as_bytes()).expect(line);
    }

    /// Proves that each symbol has a book, a sequence and questions of its own.
    #[test]
    fn symbols_do_not_disturb_each_other() {
        let mut feed = feed(&["A", "B"]);
        assert_eq!(questions(&mut feed), [(1, "A".into()), (2, "B".into())]);
        take(&mut feed, &snapshot(2, 10));
        take(&mut feed, &snapshot(1, 20));
        take(&mut feed, &increment("B", 12..=13));
        assert_eq!(questions(&mut feed), [(3, "B".into())]);
        take(&mut feed, &increment("A", 21..=22));
        let positions: Vec<_> = feed.markets().iter().map(Market::position).collect();
        assert_eq!(positions, [Some(UpdateId(22)), None]);
    }

    /// Proves that what nobody has asked for, or no longer, is counted and changes nothing.
    #[test]
    fn strangers_are_counted() {
        let mut feed = feed(&["A"]);
        for id in 1..=5 {
            take(&mut feed, &increment("A", id..=id));
        }
        assert_eq!(questions(&mut feed).len(), 2, "the first, and one as too much was held");
        take(&mut feed, &snapshot(1, 4));
        assert_eq!((feed.strangers(), feed.markets()[0].position()), (1, None));
        take(&mut feed, &increment("B", 1..=1));
        take(&mut feed, r#"{"e":"end","s":"B","u":1}"#);
        take(&mut feed, &snapshot(9, 4));
        assert_eq!(feed.strangers(), 4);
        take(&mut feed, &snapshot(2, 4));
        assert_eq!(feed.markets()[0].position(), Some(UpdateId(5)));
    }

    /// Proves that latencies reach from the event to the book, and tell those that came from
    /// those that waited.
    #[test]
    fn latencies_are_told_apart() {
        let mut feed = feed(&["A"]);
        let after = |millis: u64| Duration::from_millis(1000 + millis);
        take(&mut feed, &increment("A", 1..=1));
        feed.applied_at(after(1));
        take(&mut feed, &snapshot(1, 0));
        feed.applied_at(after(8));
        take(&mut feed, &increment("A", 2..=2));
        feed.applied_at(after(4));
        let longest = |latency: &Latency| (latency.count(), latency.points()[3].as_millis());
        assert_eq!(longest(&feed.latencies().held), (1, 8));
        assert_eq!(longest(&feed.latencies().live), (1, 4));
    }

    /// Proves that an error names the line, where it begins, the column and the text.
    #[test]
    fn errors_name_the_line() {
        let mut feed = feed(&["A"]);
        let first = increment("A", 1..=1) + "\n";
        take(&mut feed, &first);
        let error = feed.line(b"{\"e\":1}\n").expect_err("no event").to_string();
        let place = format!("line 2 (byte {})", first.len());
        assert!(error.starts_with(&place) && error.contains("column 6"), "{error}");
        assert!(error.contains(r#""{\"e\":1}""#), "{error}");
        let error = feed.line(&[0xff; 1000]).expect_err("no text").to_string();
        assert!(error.len() < 400, "{error}");
    }

    /// Proves that a refusal names the exchange's reason and what was asked for.
    #[test]
    fn a_refusal_is_an_error() {
        let line = br#"{"id":1,"error":{"code":-1121,"msg":"Invalid symbol."}}"#;
        let error = feed(&["A", "B"]).line(line).expect_err("refused").to_string();
        for part in ["Invalid symbol.", "-1121", "A, B", "--symbol"] {
            assert!(error.contains(part), "{error}");
        }
    }

    /// Proves that an exchange whose snapshots never reach its stream is given up, but not one
    /// that gets further in between.
    #[test]
    fn questions_without_progress_end() {
        let mut hopeless = feed(&["A"]);
        take(&mut hopeless, &increment("A", 9..=9));
        for id in 1..u64::from(TRIES) {
            take(&mut hopeless, &snapshot(id, 1));
        }
        let error = hopeless.line(snapshot(u64::from(TRIES), 1).as_bytes()).expect_err("no end");
        assert_eq!(error, FeedError::NeverMeets { line: 101, symbol: "A".to_owned() });

        let mut lossy = feed(&["A"]);
        for round in 1..=2 * u64::from(TRIES) {
            take(&mut lossy, &snapshot(round, 10 * round));
            take(&mut lossy, &increment("A", 10 * round + 1..=10 * round + 1));
            take(&mut lossy, &increment("A", 10 * round + 5..=10 * round + 5));
        }
    }
}
