//! What is told once a second, and at the end, as plain data.

use serde::Serialize;
use tautline_relay::stats::EndpointSnapshot;

use super::config::WireFormat;
use crate::book::Book;
use crate::gateway::Top;
use crate::message::{Instrument, Side};

/// A simulated exchange.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExchangeReport {
    /// `exchange`, or `exchange-summary` at the end.
    pub kind: &'static str,
    /// Seconds since it began.
    pub elapsed_s: f64,
    /// The session.
    pub session: String,
    /// Messages so far.
    pub messages: u64,
    /// Messages a second since the report before; at the end on average.
    pub messages_per_s: f64,
    /// The lines.
    pub lines: Vec<SentReport>,
    /// What was asked for again.
    pub replay: ServedReport,
    /// Snapshots.
    pub snapshot: ServedReport,
    /// The books.
    pub instruments: Vec<InstrumentReport>,
}

/// A line of an exchange.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SentReport {
    /// Where it goes.
    pub group: String,
    /// Packets that were to go.
    pub packets: u64,
    /// Packets that have gone, copies included.
    pub sent: u64,
    /// Calls of the system that have sent them: what goes in one turn of the loop leaves together.
    pub calls: u64,
    /// Lost on purpose.
    pub lost: u64,
    /// Sent twice on purpose.
    pub doubled: u64,
    /// Held back on purpose.
    pub reordered: u64,
    /// Lost since too many were on their way.
    pub crowded_out: u64,
    /// Not taken by the system.
    pub refused: u64,
    /// The last error, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A server of an exchange.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ServedReport {
    /// Where it listens.
    pub bound: String,
    /// Clients that are here.
    pub clients: u64,
    /// Requests so far.
    pub requests: u64,
    /// Bytes of all answers.
    pub bytes: u64,
    /// Clients that were turned away, for there were too many.
    pub turned_away: u64,
    /// The last error, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A gateway.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GatewayReport {
    /// `gateway`, or `gateway-summary` at the end.
    pub kind: &'static str,
    /// Seconds since it began.
    pub elapsed_s: f64,
    /// The session, if any has been heard of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Whether the books are those of the exchange.
    pub sound: bool,
    /// Whether nothing comes on any line: then the books may be old, however sound.
    pub stale: bool,
    /// Messages by which sound books are behind the lines, while one is missing that may still come.
    pub behind: u64,
    /// Seconds for which it has been missing.
    pub behind_s: f64,
    /// Whether the exchange has said that the session is over.
    pub ended: bool,
    /// Why the books are not those of the exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doubt: Option<String>,
    /// A second exchange that sends to the same groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_session: Option<OtherSession>,
    /// The number of the message that is next.
    pub next: u64,
    /// Messages that have changed a book.
    pub updates: u64,
    /// The same a second since the report before; at the end on average.
    pub updates_per_s: f64,
    /// Quotes published.
    pub quotes: u64,
    /// The lines.
    pub lines: Vec<LineReport>,
    /// The layout of packets that are taken.
    pub format: WireFormat,
    /// Datagrams, or answers, that are no packets of it.
    pub strange: u64,
    /// Gaps that have appeared.
    pub gaps: u64,
    /// Gaps of which all has come.
    pub repaired: u64,
    /// Messages that are lost.
    pub lost: u64,
    /// Times that the books came to be in doubt.
    pub doubts: u64,
    /// What was missed and asked for.
    pub replay: AskedReport,
    /// Snapshots.
    pub snapshot: AskedReport,
    /// The books.
    pub instruments: Vec<InstrumentReport>,
    /// Where quotes go.
    pub destinations: Vec<EndpointSnapshot>,
}

/// A session that is sent besides the one that is followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OtherSession {
    /// Its name.
    pub session: String,
    /// The group to which it is sent: the line by which it came last.
    pub line: String,
}

/// What is to be said of two exchanges that send to the same group, of which the first session is followed,
/// which may be over.
pub(super) fn two_sessions(line: &str, session: &str, other: &str, is_over: bool) -> String {
    if is_over {
        return format!(
            "session {session} is over, and {other} is still sent on {line}: start the gateway again \
             to follow {other}"
        );
    }
    format!(
        "two sessions on one line: {session} and {other} on {line}; {session} began last and is \
         followed; end one exchange, give it other groups, or name one sender (?source=)"
    )
}

impl GatewayReport {
    /// What is wrong where two exchanges send to the same groups, and what would help; `None` if there is
    /// but one.
    pub fn conflict(&self) -> Option<String> {
        let (session, other) = (self.session.as_ref()?, self.other_session.as_ref()?);
        Some(two_sessions(&other.line, session, &other.session, self.ended))
    }

    /// What is wrong if datagrams come and none of them is a packet of the format, and what would help.
    pub fn misfit(&self) -> Option<String> {
        let is_it = self.session.is_none() && self.strange > 0;
        is_it.then(|| {
            let (strange, format, other) = (self.strange, self.format, self.format.other());
            format!(
                "{strange} datagrams came that are no packets of {format}: try --format {other}"
            )
        })
    }

    /// Why the books are not those of the exchange, with all that is known of it; `None` if they are.
    ///
    /// ```
    /// # use tautline_market::live::GatewayReport;
    /// fn verdict(report: &GatewayReport) -> String {
    ///     report.trouble().unwrap_or("the books are sound".to_owned())
    /// }
    /// ```
    pub fn trouble(&self) -> Option<String> {
        if self.sound {
            return None;
        }
        if let Some(misfit) = self.misfit() {
            return Some(misfit);
        }
        if self.session.is_none() {
            let lines: Vec<&str> = self.lines.iter().map(|line| &*line.group).collect();
            return Some(format!("nothing was heard on {}", lines.join(", ")));
        }
        let snapshot = self.snapshot.error.as_ref().map(|error| format!("snapshot: {error}"));
        let parts = [self.doubt.clone(), snapshot, self.conflict()];
        Some(parts.into_iter().flatten().collect::<Vec<_>>().join("; "))
    }
}

/// A line of a gateway.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LineReport {
    /// The group.
    pub group: String,
    /// Packets with messages.
    pub packets: u64,
    /// Packets of which something was new.
    pub first: u64,
    /// Messages that it has never brought.
    pub lost: u64,
    /// Messages that it has brought after later ones.
    pub late: u64,
    /// How far behind the first line it usually is, in microseconds.
    pub behind_us: f64,
    /// Datagrams that the socket had no room for.
    pub dropped: u64,
    /// Why nothing comes by it any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A server that a gateway asks.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AskedReport {
    /// Where it is.
    pub server: String,
    /// Whether there is a connection.
    pub connected: bool,
    /// Requests that were sent so far.
    pub requests: u64,
    /// Answers of use: packets, or snapshots.
    pub answers: u64,
    /// Refusals, or snapshots of no use.
    pub refused: u64,
    /// The last error, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A book.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InstrumentReport {
    /// The instrument.
    pub instrument: u32,
    /// The best bid: price and quantity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bid: Option<(i64, u64)>,
    /// The best ask: price and quantity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ask: Option<(i64, u64)>,
    /// Prices at which somebody buys.
    pub bids: usize,
    /// Prices at which somebody sells.
    pub asks: usize,
    /// Orders in the book.
    pub orders: usize,
    /// Messages that have changed it.
    pub updates: u64,
    /// The same a second since the report before; at the end on average.
    pub updates_per_s: f64,
}

impl InstrumentReport {
    pub(super) fn of(instrument: Instrument, book: &Book, updates: u64, per_s: f64) -> Self {
        let top = |side| {
            let Top { price, quantity } = book.best(side)?.into();
            Some((price.0, quantity))
        };
        Self {
            instrument: instrument.0,
            bid: top(Side::Bid),
            ask: top(Side::Ask),
            bids: book.levels(Side::Bid).len(),
            asks: book.levels(Side::Ask).len(),
            orders: book.len(),
            updates,
            updates_per_s: per_s,
        }
    }
}

/// Counts become rates.
#[derive(Debug)]
pub(super) struct Rate {
    seen: u64,
    at_s: f64,
}

impl Rate {
    pub(super) fn new() -> Self {
        Self { seen: 0, at_s: 0.0 }
    }

    /// How many more a second since the time before.
    pub(super) fn sample(&mut self, count: u64, at_s: f64) -> f64 {
        let (more, time) = (count - self.seen, at_s - self.at_s);
        (self.seen, self.at_s) = (count, at_s);
        per_second(more, time)
    }
}

/// So many in that many seconds; none in no time.
pub(super) fn per_second(count: u64, time_s: f64) -> f64 {
    if time_s > 0.0 { count as f64 / time_s } else { 0.0 }
}
