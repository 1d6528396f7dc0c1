//! What the program prints.

use std::fmt::Write;

use crate::book::Level;
use crate::connection::{Connection, Place};
use crate::exchange::{Account, Dealt};
use crate::feed::{Feed, Latencies, Market};
use crate::latency::Latency;
use crate::sequence::Counters;

/// The top of each book of one connection, a line each.
pub(crate) fn rows(place: &Place, feed: &Feed) -> String {
    let state = |market: &Market| match market.position() {
        _ if feed.is_broken() => "  failed",
        None => "  awaits a snapshot",
        Some(_) => "",
    };
    feed.markets().iter().map(|market| row(place, market, state(market))).collect()
}

fn row(place: &Place, market: &Market, state: &str) -> String {
    let (symbol, book) = (market.symbol(), market.book());
    let (bid_size, bid) = cells(book.best_bid());
    let (ask_size, ask) = cells(book.best_ask());
    let Counters { applied, gaps, .. } = market.counters();
    format!(
        "{place:<28} {symbol:<10} {bid_size:>12} {bid:>12} | {ask:<12} {ask_size:<12} \
         {applied:>9} {gaps:>6}{state}\n"
    )
}

/// Quantity and price.
fn cells(best: Option<Level>) -> (String, String) {
    let text = |level: Level| (level.quantity.to_string(), level.price.to_string());
    best.map_or_else(|| ("-".to_owned(), "-".to_owned()), text)
}

/// Rows with their headings. `when` tells of which moment.
pub(crate) fn table(when: &str, rows: impl Iterator<Item = String>) -> String {
    let mut text = format!(
        "{when:<28} {:<10} {:>12} {:>12} | {:<12} {:<12} {:>9} {:>6}\n",
        "symbol", "bid size", "bid", "ask", "ask size", "applied", "gaps"
    );
    text.extend(rows);
    text.push('\n');
    text
}

/// The books in the end, what happened on all connections, and how late the books were.
pub(crate) fn summary(connections: &[Connection]) -> String {
    let (mut all, mut latencies, mut lines, mut strangers) =
        (Counters::default(), Latencies::new(), 0, 0);
    for Connection { feed, .. } in connections {
        feed.markets().iter().for_each(|market| all.add(market.counters()));
        latencies.add(feed.latencies());
        lines += feed.lines();
        strangers += feed.strangers();
    }
    let rows = connections.iter().map(|connection| rows(&connection.place, &connection.feed));
    let table = table("at the end", rows);
    format!("{table}{}\n{}", happened(&all, lines, strangers), late(&latencies))
}

fn happened(all: &Counters, lines: u64, strangers: u64) -> String {
    let Counters { applied, duplicates, covered, gaps, overlaps, overflows, snapshots, too_old } =
        all;
    format!(
        "{lines} lines: {applied} increments applied, {duplicates} seen before, {covered} \
         contained in a snapshot, {strangers} messages not asked for\n\
         {gaps} gaps, {overlaps} overlaps, {overflows} overflows; {snapshots} snapshots joined, \
         {too_old} were too old\n"
    )
}

fn late(latencies: &Latencies) -> String {
    let mut text = format!(
        "{:<28} {:>9} {:>9} {:>9} {:>9} {:>9}\n",
        "from event to book", "updates", "p50", "p99", "p99.9", "max"
    );
    text += &latency("as they came", &latencies.live);
    text += &latency("that waited for a snapshot", &latencies.held);
    text
}

fn latency(name: &str, latency: &Latency) -> String {
    let mut text = format!("{name:<28} {:>9}", latency.count());
    for point in latency.points() {
        let cell = if latency.count() == 0 { "-".to_owned() } else { format!("{point:.1?}") };
        // A string takes everything.
        let _ = write!(text, " {cell:>9}");
    }
    text + "\n"
}

/// What the simulated exchange did to its own stream.
pub(crate) fn dealt(accounts: &[Account]) -> String {
    let mut all = Dealt::default();
    accounts.iter().for_each(|account| all.add(&account.dealt));
    let Dealt { updates, dropped, repeated, swapped, snapshots } = all;
    format!(
        "the exchange: {updates} increments, of which {dropped} dropped, {repeated} repeated, \
         {swapped} swapped; {snapshots} snapshots\n"
    )
}

/// Where the books of a connection differ from those of the exchange, a line each.
pub(crate) fn differences(account: &Account, feed: &Feed) -> Vec<String> {
    let found = account.books.iter().filter_map(|own| {
        let market = feed.markets().iter().find(|market| market.symbol() == own.symbol);
        let what = match market {
            None => "nobody followed it".to_owned(),
            Some(market) if market.position().map(|id| id.0) != Some(own.last) => {
                format!("at {:?}, the exchange is at {}", market.position(), own.last)
            }
            Some(market) if market.book().levels() != own.levels => {
                format!("{:?}, the exchange has {:?}", market.book().levels(), own.levels)
            }
            Some(_) => return None,
        };
        Some(format!("{} {}: {what}", account.place, own.symbol))
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::feed::Dialect;

    /// Proves that a row shows the top of the book, and why there may be none.
    #[test]
    fn rows_show_the_top_and_the_state() {
        let mut feed = Feed::new(&["BTCUSDT".to_owned()], 1, Dialect::Lines);
        let place = Place::Lines(([127, 0, 0, 1], 7000).into());
        let words = |feed: &Feed| -> Vec<String> {
            rows(&place, feed).split_whitespace().map(str::to_owned).collect()
        };
        let top = ["127.0.0.1:7000", "BTCUSDT", "-", "-", "|", "-", "-", "0", "0"];
        assert_eq!(words(&feed), [&top[..], &["awaits", "a", "snapshot"]].concat());
        let snapshot = br#"{"id":1,"result":
            {"lastUpdateId":1,"bids":[["9.50","1.0"],["9","2"]],"asks":[["10","3.25"]]}}"#;
        feed.line(snapshot).expect("a snapshot");
        let top = ["127.0.0.1:7000", "BTCUSDT", "1", "9.5", "|", "10", "3.25", "0", "0"];
        assert_eq!(words(&feed), top);
        feed.break_off();
        assert_eq!(words(&feed), [&top[..], &["failed"]].concat());
    }

    /// Proves that an empty histogram shows no times.
    #[test]
    fn nothing_measured_shows_no_times() {
        let mut measured = Latency::new();
        assert!(latency("x", &measured).ends_with(" -\n"));
        measured.record(Duration::ZERO, Duration::from_micros(5));
        assert!(latency("x", &measured).ends_with(" 5.0µs\n"));
    }
}
