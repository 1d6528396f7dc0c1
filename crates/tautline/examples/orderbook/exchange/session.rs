//! What the simulated exchange says on one connection, and what it does to its own words.

use std::collections::VecDeque;
use std::time::Duration;

use fastrand::Rng;
use serde::Deserialize;

use super::walk::{Event, Walk};
use crate::book::Levels;

/// Lines that may be sent once more.
const RECENT: usize = 8;
/// Updates that may be published between a question and its answer.
const LONGEST_DELAY: u64 = 20;

/// How often each thing is done to an increment: chances from 0 to 1.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// It is not sent.
    pub(crate) drop: f64,
    /// One of those before it is sent again.
    pub(crate) repeat: f64,
    /// It is sent after the one that follows it.
    pub(crate) swap: f64,
}

/// What the exchange does on each of its connections.
#[derive(Debug, Clone)]
pub(crate) struct Course {
    pub(crate) seed: u64,
    pub(crate) symbols: Vec<String>,
    /// Increments, over all symbols.
    pub(crate) updates: u64,
    pub(crate) faults: Faults,
}

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Dealt {
    pub(crate) updates: u64,
    pub(crate) dropped: u64,
    pub(crate) repeated: u64,
    pub(crate) swapped: u64,
    pub(crate) snapshots: u64,
}

impl Dealt {
    pub(crate) fn add(&mut self, other: &Self) {
        self.updates += other.updates;
        self.dropped += other.dropped;
        self.repeated += other.repeated;
        self.swapped += other.swapped;
        self.snapshots += other.snapshots;
    }
}

/// The exchange's own book of one symbol.
#[derive(Debug)]
pub(crate) struct OwnBook {
    pub(crate) symbol: String,
    /// The id of its last change.
    pub(crate) last: u64,
    pub(crate) levels: Levels,
}

#[derive(Debug)]
struct Market {
    symbol: String,
    /// The stream that was subscribed to: its events come in envelopes with that name.
    stream: Option<String>,
    walk: Walk,
    /// A line that goes after the next.
    swapped: Option<String>,
    /// Lines that were sent not long ago.
    recent: VecDeque<String>,
    /// The last snapshot that was sent.
    stale: Option<String>,
}

/// A line that goes when so many updates have been published.
#[derive(Debug)]
struct Answer {
    due: u64,
    /// The snapshot; none if it is to be taken when the answer goes.
    result: Option<String>,
    market: usize,
    id: u64,
}

#[derive(Deserialize)]
struct Request {
    method: String,
    params: Params,
    id: u64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Params {
    /// One symbol, or streams.
    Names(Vec<String>),
    /// Of a depth.
    Depth { symbol: String },
}

/// One connection, without the connection.
#[derive(Debug)]
pub(crate) struct Session {
    course: Course,
    rng: Rng,
    markets: Vec<Market>,
    answers: Vec<Answer>,
    ended: bool,
    dealt: Dealt,
    output: String,
}

impl Session {
    /// The connection of this number: each has markets of its own.
    pub(crate) fn new(course: &Course, number: u64) -> Self {
        let mut rng = Rng::with_seed(course.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let market = |symbol: &String| Market {
            symbol: symbol.clone(),
            stream: None,
            walk: Walk::new(rng.fork()),
            swapped: None,
            recent: VecDeque::new(),
            stale: None,
        };
        let markets = course.symbols.iter().map(market).collect();
        Self {
            course: course.clone(),
            rng,
            markets,
            answers: Vec::new(),
            ended: false,
            dealt: Dealt::default(),
            output: String::new(),
        }
    }

    pub(crate) fn dealt(&self) -> &Dealt {
        &self.dealt
    }

    /// From now on nothing befalls what is sent, and more is published.
    #[cfg(test)]
    pub(crate) fn heal(&mut self, further: u64) {
        self.course.faults = Faults::default();
        self.course.updates += further;
    }

    /// Whether all updates have been published.
    pub(crate) fn is_done(&self) -> bool {
        self.dealt.updates >= self.course.updates
    }

    /// What is to be sent now.
    pub(crate) fn take_output(&mut self) -> String {
        std::mem::take(&mut self.output)
    }

    pub(crate) fn books(&self) -> Vec<OwnBook> {
        let own = |market: &Market| OwnBook {
            symbol: market.symbol.clone(),
            last: market.walk.last(),
            levels: market.walk.levels(),
        };
        self.markets.iter().map(own).collect()
    }

    /// One market changes at `now`, since 1970; answers that are due go.
    pub(crate) fn publish(&mut self, now: Duration) {
        let market = self.rng.usize(..self.markets.len());
        let event = self.markets[market].walk.step();
        let line = self.markets[market].increment(&event, now);
        self.dealt.updates += 1;
        self.transmit(market, line);
        self.answer();
    }

    /// Whatever was kept back goes, and how far each stream was.
    pub(crate) fn conclude(&mut self) {
        self.ended = true;
        for market in &mut self.markets {
            self.output.extend(market.swapped.take());
        }
        self.answer();
        for market in &self.markets {
            let (symbol, last) = (&market.symbol, market.walk.last());
            let end = format!(r#"{{"e":"end","s":"{symbol}","u":{last}}}"#);
            self.output.push_str(&market.line(&end));
        }
    }

    /// A line has come: answered after a while, or at once when the stream has ended.
    pub(crate) fn request(&mut self, line: &str) {
        let Ok(Request { method, params, id }) = serde_json::from_str(line) else {
            return self.refuse("null", -32700, "Malformed request.");
        };
        let symbol = match (method.as_str(), params) {
            ("SUBSCRIBE", Params::Names(streams)) => return self.subscribe(id, streams),
            ("depth", Params::Names(mut symbols)) if symbols.len() == 1 => symbols.remove(0),
            ("depth", Params::Depth { symbol }) => symbol,
            ("depth", _) => String::new(),
            _ => return self.refuse(&id.to_string(), -32601, "Unknown method."),
        };
        let market = self.markets.iter().position(|market| market.symbol == symbol);
        let Some(market) = market else {
            return self.refuse(&id.to_string(), -1121, "Invalid symbol.");
        };
        let result = self.snapshot(market);
        let due = self.dealt.updates + self.rng.u64(0..=LONGEST_DELAY);
        self.answers.push(Answer { due, result, market, id });
        if self.ended {
            self.answer();
        }
    }

    /// From now on the events of these streams come in envelopes.
    fn subscribe(&mut self, id: u64, streams: Vec<String>) {
        for stream in streams {
            let (symbol, _) = stream.split_once('@').unwrap_or((&stream, ""));
            let market =
                self.markets.iter_mut().find(|market| market.symbol.eq_ignore_ascii_case(symbol));
            let Some(market) = market else {
                return self.refuse(&id.to_string(), -1121, "Invalid symbol.");
            };
            market.stream = Some(stream);
        }
        self.output.push_str(&format!("{{\"result\":null,\"id\":{id}}}\n"));
    }

    /// Whether there is a stream that was asked for.
    pub(crate) fn is_subscribed(&self) -> bool {
        self.markets.iter().any(|market| market.stream.is_some())
    }

    /// As of some time before, as of now, or none: as of when it goes.
    fn snapshot(&mut self, market: usize) -> Option<String> {
        let Market { stale, walk, .. } = &self.markets[market];
        match self.rng.u8(..8) {
            0 if !self.ended => stale.clone(),
            ..4 => Some(walk.json()),
            _ => None,
        }
    }

    fn refuse(&mut self, id: &str, code: i32, reason: &str) {
        let error = format!(r#"{{"code":{code},"msg":"{reason}"}}"#);
        self.output.push_str(&format!("{{\"id\":{id},\"error\":{error}}}\n"));
    }

    /// Sends what is due.
    fn answer(&mut self) {
        let (now, ended) = (self.dealt.updates, self.ended);
        for answer in self.answers.extract_if(.., |answer| ended || answer.due <= now) {
            let Answer { result, market, id, .. } = answer;
            let Market { walk, stale, .. } = &mut self.markets[market];
            let result = result.unwrap_or_else(|| walk.json());
            self.output.push_str(&format!("{{\"id\":{id},\"result\":{result}}}\n"));
            *stale = Some(result);
            self.dealt.snapshots += 1;
        }
    }

    /// Sends an increment, with what befalls it.
    fn transmit(&mut self, market: usize, line: String) {
        let Faults { drop, repeat, swap } = self.course.faults;
        let mut befalls = |chance: f64| self.rng.f64() < chance;
        let (drop, repeat, swap) = (befalls(drop), befalls(repeat), befalls(swap));
        let market = &mut self.markets[market];
        if drop {
            self.dealt.dropped += 1;
            return;
        }
        if swap && market.swapped.is_none() {
            market.swapped = Some(line);
            return;
        }
        self.output.push_str(&line);
        if let Some(earlier) = market.swapped.take() {
            self.output.push_str(&earlier);
            self.dealt.swapped += 1;
        }
        market.recent.push_back(line);
        if market.recent.len() > RECENT {
            market.recent.pop_front();
        }
        if repeat {
            let again = self.rng.usize(..market.recent.len());
            self.output.push_str(&market.recent[again]);
            self.dealt.repeated += 1;
        }
    }
}

impl Market {
    fn increment(&self, event: &Event, now: Duration) -> String {
        let (millis, nanos) = (now.as_millis(), now.subsec_nanos() % 1_000_000);
        let (symbol, first, last, lists) = (&self.symbol, event.first, event.last, event.json());
        self.line(&format!(
            "{{\"e\":\"depthUpdate\",\"E\":{millis},\"T\":{nanos},\"s\":\"{symbol}\",\
             \"U\":{first},\"u\":{last},{lists}}}"
        ))
    }

    /// An event as a line, in its envelope if there is one.
    fn line(&self, event: &str) -> String {
        match &self.stream {
            Some(stream) => format!("{{\"stream\":\"{stream}\",\"data\":{event}}}\n"),
            None => format!("{event}\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that a connection without requests sends, each increment by its first and last id.
    fn sent(faults: Faults) -> (Vec<(u64, u64)>, Dealt) {
        let course = Course { seed: 5, symbols: vec!["A".to_owned()], updates: 1000, faults };
        let mut session = Session::new(&course, 0);
        while !session.is_done() {
            session.publish(Duration::from_millis(5));
        }
        let ids = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            (line["U"].as_u64().expect("an id"), line["u"].as_u64().expect("an id"))
        };
        (session.take_output().lines().map(ids).collect(), *session.dealt())
    }

    /// How often one does not follow the other.
    fn breaks(ids: &[(u64, u64)]) -> usize {
        ids.windows(2).filter(|two| two[0].1 + 1 != two[1].0).count()
    }

    /// Proves that a stream without faults has none.
    #[test]
    fn a_sound_stream_is_in_order() {
        let (ids, dealt) = sent(Faults::default());
        assert_eq!((ids.len(), breaks(&ids)), (1000, 0));
        assert_eq!(dealt, Dealt { updates: 1000, ..Dealt::default() });
    }

    /// Proves that each fault does what it is called, as often as is counted.
    #[test]
    fn faults_do_what_they_are_called() {
        let none = Faults::default();
        let (ids, dealt) = sent(Faults { drop: 0.1, ..none });
        assert!((50..200).contains(&dealt.dropped) && ids.is_sorted());
        assert_eq!(ids.len() as u64, 1000 - dealt.dropped);

        let (ids, dealt) = sent(Faults { repeat: 0.1, ..none });
        assert!((50..200).contains(&dealt.repeated));
        assert_eq!(ids.len() as u64, 1000 + dealt.repeated);

        let (mut ids, dealt) = sent(Faults { swap: 0.1, ..none });
        assert!((50..200).contains(&dealt.swapped) && breaks(&ids) > 0);
        let back = ids.windows(2).filter(|two| two[0] > two[1]).count();
        assert_eq!(back as u64, dealt.swapped);
        ids.sort_unstable();
        assert_eq!(breaks(&ids), 0);
    }

    /// Proves that a seed repeats a run, and that connections differ.
    #[test]
    fn seeds_repeat_runs() {
        let faults = Faults { drop: 0.1, repeat: 0.1, swap: 0.1 };
        let course = Course { seed: 5, symbols: vec!["A".to_owned()], updates: 50, faults };
        let output = |number| {
            let mut session = Session::new(&course, number);
            session.request(r#"{"method":"depth","params":["A"],"id":1}"#);
            while !session.is_done() {
                session.publish(Duration::ZERO);
            }
            session.take_output()
        };
        assert_eq!(output(1), output(1));
        assert_ne!(output(1), output(2));
    }

    /// Proves that a request is answered by a snapshot, at once when the stream has ended, and
    /// that one which cannot be is answered by its reason.
    #[test]
    fn requests_are_answered() {
        let course = Course {
            seed: 5,
            symbols: vec!["A".to_owned()],
            updates: 10,
            faults: Faults::default(),
        };
        let mut session = Session::new(&course, 0);
        session.conclude();
        session.take_output();
        for (request, answer) in [
            (r#"{"method":"depth","params":["A"],"id":7}"#, r#"{"id":7,"result":{"lastUp"#),
            (
                r#"{"method":"depth","params":{"symbol":"A","limit":5000},"id":7}"#,
                r#"{"id":7,"result":{"#,
            ),
            (
                r#"{"method":"SUBSCRIBE","params":["b@depth"],"id":8}"#,
                r#"{"id":8,"error":{"code":-1121,"#,
            ),
            (r#"{"method":"SUBSCRIBE","params":["a@depth"],"id":8}"#, r#"{"result":null,"id":8}"#),
            (r#"{"method":"depth","params":["B"],"id":8}"#, r#"{"id":8,"error":{"code":-1121,"#),
            (r#"{"method":"sing","params":[],"id":9}"#, r#"{"id":9,"error":{"code":-32601,"#),
            ("hello", r#"{"id":null,"error":{"code":-32700,"#),
        ] {
            session.request(request);
            let output = session.take_output();
            assert!(output.starts_with(answer) && output.ends_with("}\n"), "{output}");
        }
    }
}
