//! What an exchange says, one JSON document a line, in the words in which Binance publishes
//! depth: increments (`depthUpdate`), and snapshots as answers to the method `depth`.
//!
//! Over a WebSocket an event may come in an envelope, which names the stream that it is of.
//!
//! Two words are added: `"T"`, the nanoseconds by which an event was later than its `"E"`, and
//! the event `end`, which says where a stream that ends has ended.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;

use crate::book::{Level, Levels};
use crate::sequence::{Ids, UpdateId};

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// Some levels have changed.
    Increment {
        symbol: Cow<'a, str>,
        ids: Ids,
        /// The exchange's time, since 1970.
        event: Duration,
        levels: Levels,
    },
    /// The whole book, as an answer to question `id`.
    Snapshot { id: u64, last: UpdateId, levels: Levels },
    /// An answer that holds no snapshot.
    Refusal { code: i64, reason: Cow<'a, str> },
    /// The answer to a question that asks for nothing back, such as a subscription.
    Done { id: u64 },
    /// Nothing will change any more.
    End { symbol: Cow<'a, str>, last: UpdateId },
}

/// Why a line is no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MessageError {
    #[error("column {column}: {reason}")]
    Json { column: usize, reason: String },
    #[error("the {kind} has no {field:?}")]
    Missing { kind: &'static str, field: &'static str },
    #[error("the first update id, {first}, comes after the last, {last}")]
    Backwards { first: u64, last: u64 },
    #[error("the event {0:?} is none of depth: subscribe to depth alone")]
    UnknownEvent(String),
    #[error("it is neither an event (\"e\") nor an answer (\"id\")")]
    NoKind,
}

impl MessageError {
    /// Where in the line; 0 if it is the line as a whole.
    pub(crate) fn column(&self) -> usize {
        if let Self::Json { column, .. } = self { *column } else { 0 }
    }
}

/// All the words that a line may hold; the rest is skipped.
#[derive(Deserialize)]
struct Words<'a> {
    #[serde(borrow)]
    e: Option<Text<'a>>,
    #[serde(rename = "E")]
    event_millis: Option<u64>,
    #[serde(rename = "T")]
    event_nanos: Option<u64>,
    s: Option<Text<'a>>,
    #[serde(rename = "U")]
    first: Option<UpdateId>,
    #[serde(rename = "u")]
    last: Option<UpdateId>,
    b: Option<Vec<Level>>,
    a: Option<Vec<Level>>,
    id: Option<u64>,
    result: Option<Depth>,
    error: Option<Problem<'a>>,
    /// What is in an envelope.
    #[serde(borrow)]
    data: Option<Box<Words<'a>>>,
}

/// Borrowed unless something in it is escaped.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct Depth {
    #[serde(rename = "lastUpdateId")]
    last: UpdateId,
    bids: Vec<Level>,
    asks: Vec<Level>,
}

#[derive(Deserialize)]
struct Problem<'a> {
    code: i64,
    #[serde(borrow)]
    msg: Text<'a>,
}

impl<'a> Message<'a> {
    /// Reads one line.
    pub(crate) fn parse(line: &'a [u8]) -> Result<Self, MessageError> {
        let mut words: Words =
            serde_json::from_slice(line).map_err(|error| without_line(&error))?;
        if let Some(data) = words.data.take() {
            words = *data;
        }
        match words.e.take() {
            None => words.answer(),
            Some(Text(event)) if event == "depthUpdate" => words.increment(),
            Some(Text(event)) if event == "end" => words.end(),
            Some(Text(event)) => Err(MessageError::UnknownEvent(event.into_owned())),
        }
    }
}

impl<'a> Words<'a> {
    fn increment(self) -> Result<Message<'a>, MessageError> {
        const KIND: &str = "depthUpdate";
        let first = given(self.first, KIND, "U")?;
        let last = given(self.last, KIND, "u")?;
        if first > last {
            return Err(MessageError::Backwards { first: first.0, last: last.0 });
        }
        Ok(Message::Increment {
            symbol: given(self.s, KIND, "s")?.0,
            ids: Ids { first, last },
            event: event_time(given(self.event_millis, KIND, "E")?, self.event_nanos),
            levels: Levels { bids: given(self.b, KIND, "b")?, asks: given(self.a, KIND, "a")? },
        })
    }

    fn end(self) -> Result<Message<'a>, MessageError> {
        const KIND: &str = "end";
        Ok(Message::End { symbol: given(self.s, KIND, "s")?.0, last: given(self.last, KIND, "u")? })
    }

    fn answer(self) -> Result<Message<'a>, MessageError> {
        if let Some(Problem { code, msg: Text(reason) }) = self.error {
            return Ok(Message::Refusal { code, reason });
        }
        let id = self.id.ok_or(MessageError::NoKind)?;
        let Some(Depth { last, bids, asks }) = self.result else { return Ok(Message::Done { id }) };
        Ok(Message::Snapshot { id, last, levels: Levels { bids, asks } })
    }
}

fn given<T>(word: Option<T>, kind: &'static str, field: &'static str) -> Result<T, MessageError> {
    word.ok_or(MessageError::Missing { kind, field })
}

/// Some exchanges give `"T"` another meaning; their values are far over a millisecond.
fn event_time(millis: u64, nanos: Option<u64>) -> Duration {
    let nanos = nanos.filter(|&nanos| nanos < 1_000_000).unwrap_or(0);
    Duration::from_millis(millis) + Duration::from_nanos(nanos)
}

/// Its own count of lines is always 1 and would be taken for the number of the line.
fn without_line(error: &serde_json::Error) -> MessageError {
    let text = error.to_string();
    let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
    MessageError::Json { column: error.column(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decimal::Decimal;

    fn level(price: &str, quantity: &str) -> Level {
        let [price, quantity] = [price, quantity].map(|text| text.parse().expect(text));
        Level { price, quantity }
    }

    fn refused(line: &str) -> MessageError {
        Message::parse(line.as_bytes()).expect_err(line)
    }

    /// Proves that an increment is read as the exchange's manual shows it, words that we do not
    /// know included, and that its symbol is not copied.
    #[test]
    fn increments_are_read() {
        let line = br#"{"e":"depthUpdate","E":1672515782136,"s":"BNBBTC","U":157,"u":160,
            "pu":149,"b":[["0.0024","10"]],"a":[["0.0026","0.00000000"]]}"#;
        let message = Message::parse(line).expect("an increment");
        let expected = Message::Increment {
            symbol: Cow::Borrowed("BNBBTC"),
            ids: Ids { first: UpdateId(157), last: UpdateId(160) },
            event: Duration::from_millis(1_672_515_782_136),
            levels: Levels {
                bids: vec![level("0.0024", "10")],
                asks: vec![Level { price: level("0.0026", "0").price, quantity: Decimal::ZERO }],
            },
        };
        assert_eq!(message, expected);
        assert!(matches!(message, Message::Increment { symbol: Cow::Borrowed(_), .. }));
    }

    /// Proves that `"T"` refines the event's time if it is less than a millisecond, and that
    /// another exchange's `"T"`, a time of its own, does not move it.
    #[test]
    fn the_event_time_has_nanoseconds() {
        let event = |nanos: u64| {
            let line = format!(
                r#"{{"e":"depthUpdate","E":5,"T":{nanos},"s":"X","U":1,"u":1,"b":[],"a":[]}}"#
            );
            match Message::parse(line.as_bytes()) {
                Ok(Message::Increment { event, .. }) => event,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(event(999_999), Duration::from_nanos(5_999_999));
        assert_eq!(event(1_672_515_782_136), Duration::from_millis(5));
    }

    /// Proves that snapshots, refusals and ends are read.
    #[test]
    fn answers_and_ends_are_read() {
        let snapshot =
            br#"{"id":7,"result":{"lastUpdateId":160,"bids":[["0.0024","10"]],"asks":[]}}"#;
        let levels = Levels { bids: vec![level("0.0024", "10")], asks: Vec::new() };
        let expected = Message::Snapshot { id: 7, last: UpdateId(160), levels };
        assert_eq!(Message::parse(snapshot), Ok(expected));

        let refusal =
            br#"{"id":7,"status":400,"error":{"code":-1121,"msg":"Invalid \"symbol\"."}}"#;
        let reason = Cow::Borrowed(r#"Invalid "symbol"."#);
        assert_eq!(Message::parse(refusal), Ok(Message::Refusal { code: -1121, reason }));

        assert_eq!(Message::parse(br#"{"result":null,"id":7}"#), Ok(Message::Done { id: 7 }));

        let end = Message::End { symbol: Cow::Borrowed("BNBBTC"), last: UpdateId(160) };
        let enveloped = br#"{"stream":"x@depth","data":{"e":"end","s":"BNBBTC","u":160}}"#;
        assert_eq!(Message::parse(enveloped).as_ref(), Ok(&end));
        assert_eq!(Message::parse(br#"{"e":"end","s":"BNBBTC","u":160}"#), Ok(end));
    }

    /// Proves that an error names what is missing or wrong, and the column of what is no JSON.
    #[test]
    fn errors_name_what_is_wrong() {
        let increment = |words: &str| {
            refused(&format!(r#"{{"e":"depthUpdate","s":"X",{words},"b":[],"a":[]}}"#))
        };
        let missing = |kind, field| MessageError::Missing { kind, field };
        assert_eq!(increment(r#""U":1,"E":1"#), missing("depthUpdate", "u"));
        assert_eq!(increment(r#""U":1,"u":1"#), missing("depthUpdate", "E"));
        let backwards = MessageError::Backwards { first: 2, last: 1 };
        assert_eq!(increment(r#""U":2,"u":1,"E":1"#), backwards);
        assert_eq!(refused("{}"), MessageError::NoKind);
        assert_eq!(refused(r#"{"e":"trade"}"#), MessageError::UnknownEvent("trade".into()));

        let fine = refused(r#"{"e":"depthUpdate","b":[["0.0000000001","1"]]}"#).to_string();
        assert!(fine.starts_with("column 40: \"0.0000000001\" has more than 8 digits"), "{fine}");
        let garbage = refused("GET / HTTP/1.1").to_string();
        assert_eq!(garbage, "column 1: expected value");
        let text = Message::parse(b"{\"s\":\"\xff\"}").expect_err("no UTF-8");
        assert!(matches!(text, MessageError::Json { column: 7.., .. }), "{text}");
    }
}
