//! Exchange and gateway as text: pure functions from reports to lines.

use tautline_market::live::{
    AskedReport, ExchangeReport, GatewayReport, InstrumentReport, LineReport, SentReport,
    ServedReport,
};
use tautline_relay::stats::EndpointSnapshot;

use crate::screen::Size;
use crate::table::quantity::{bits, bytes, count, things};
use crate::table::{columns, cut, wrap};

/// Instruments that are shown at most.
const ROWS: usize = 24;
/// Books that stand still for so long are told to do so: what another line brings comes sooner.
const WAIT_S: f64 = 0.1;

// ---------------------------------------------------------------------------------- exchange

/// The live table of an exchange, and its summary.
pub(super) fn exchange(report: &ExchangeReport, room: Size) -> Vec<String> {
    let ExchangeReport { kind, elapsed_s, session, messages, messages_per_s, .. } = report;
    let (messages, per_s) = (count(*messages), bits(*messages_per_s));
    let mut lines = vec![format!(
        "{kind}  {elapsed_s:.1} s  session {session}  messages {messages}  {per_s}/s"
    )];
    let head =
        ["line", "packets", "sent", "lost", "doubled", "held back", "crowded out", "refused"];
    lines.extend(columns(head, 1, report.lines.iter().map(sent)));
    lines.push(served("replay", &report.replay));
    lines.push(served("snapshot", &report.snapshot));
    let errors = report.lines.iter().map(|line| (&line.group, &line.error));
    let mut below: Vec<_> =
        errors.filter_map(|(group, error)| told(group, error.as_deref())).collect();
    below.extend(told("replay", report.replay.error.as_deref()));
    below.extend(told("snapshot", report.snapshot.error.as_deref()));
    page(lines, &report.instruments, below, room)
}

fn sent(line: &SentReport) -> [String; 8] {
    [
        line.group.clone(),
        count(line.packets),
        count(line.sent),
        count(line.lost),
        count(line.doubled),
        count(line.reordered),
        count(line.crowded_out),
        count(line.refused),
    ]
}

fn served(what: &str, server: &ServedReport) -> String {
    let ServedReport { bound, clients, requests, turned_away, .. } = server;
    let turned_away =
        if *turned_away > 0 { format!(", {turned_away} turned away") } else { String::new() };
    let requests = count(*requests);
    format!(
        "{what} on {bound}: {clients} clients, {requests} requests, {}{turned_away}",
        bytes(server.bytes)
    )
}

/// One line of an exchange.
pub(super) fn exchange_line(report: &ExchangeReport) -> String {
    let lines = report.lines.iter().map(|line| {
        format!("{}: {} packets {} lost", line.group, count(line.packets), count(line.lost))
    });
    let ServedReport { requests: replays, .. } = report.replay;
    let ServedReport { requests: snapshots, .. } = report.snapshot;
    format!(
        "{:.1}s  messages {}  {}/s  {}  replays {replays}  snapshots {snapshots}",
        report.elapsed_s,
        count(report.messages),
        bits(report.messages_per_s),
        lines.collect::<Vec<_>>().join("  "),
    )
}

// ----------------------------------------------------------------------------------- gateway

/// The live table of a gateway, and its summary.
pub(super) fn gateway(report: &GatewayReport, room: Size) -> Vec<String> {
    let mut lines = vec![format!(
        "{}  {:.1} s  {}  updates {}  {}/s  quotes {}",
        report.kind,
        report.elapsed_s,
        state(report),
        count(report.updates),
        bits(report.updates_per_s),
        count(report.quotes),
    )];
    let head = ["line", "packets", "first", "messages missed", "late", "behind", "dropped"];
    lines.extend(columns(head, 1, report.lines.iter().map(line)));
    if report.strange > 0 {
        let (strange, format, other) = (report.strange, report.format, report.format.other());
        let strange = things(strange, "datagram");
        lines.push(format!("{strange} were no packets of {format}: try --format {other}"));
    }
    lines.push(gaps(report));
    let doubt = report.doubt.iter().map(|why| format!("in doubt: {why}"));
    // What is to be done stands at the end of it.
    lines.extend(doubt.chain(report.conflict()).flat_map(|it| wrap(&it, room.columns)));
    let connected = if report.replay.connected { "" } else { " (not connected)" };
    lines.push(asked("replay", &report.replay) + connected);
    lines.push(asked("snapshot", &report.snapshot));
    page(lines, &report.instruments, gateway_below(report), room)
}

/// What stands below the books of a gateway.
fn gateway_below(report: &GatewayReport) -> Vec<String> {
    let mut lines = Vec::new();
    if !report.destinations.is_empty() {
        let head = ["to", "peers", "packets", "bit/s", "drops"];
        lines.extend(columns(head, 1, report.destinations.iter().map(destination)));
    }
    let errors = report.lines.iter();
    lines.extend(errors.filter_map(|line| told(&line.group, line.error.as_deref())));
    lines.extend(told("replay", report.replay.error.as_deref()));
    lines.extend(told("snapshot", report.snapshot.error.as_deref()));
    let errors = report.destinations.iter();
    lines.extend(errors.filter_map(|to| told(&to.url, to.error.as_deref())));
    lines
}

fn state(report: &GatewayReport) -> String {
    let Some(session) = &report.session else { return "nothing heard".to_owned() };
    let sound = match (report.sound, report.stale) {
        (true, false) => "sound",
        (true, true) => "sound, SILENT",
        (false, false) => "IN DOUBT",
        (false, true) => "IN DOUBT, SILENT",
    };
    let over = if report.ended { ", session over" } else { "" };
    let waits = if report.behind_s >= WAIT_S {
        let (behind, time) = (count(report.behind), report.behind_s);
        format!(", waiting for {} for {time:.1} s, {behind} messages behind", report.next)
    } else {
        String::new()
    };
    let other = report.other_session.as_ref();
    let other = other.map_or_else(String::new, |it| format!(" AND {}", it.session));
    format!("{sound}{over}{waits}  session {session}{other}  next {}", report.next)
}

fn line(line: &LineReport) -> [String; 7] {
    [
        line.group.clone(),
        count(line.packets),
        count(line.first),
        count(line.lost),
        count(line.late),
        format!("{:.0} µs", line.behind_us),
        count(line.dropped),
    ]
}

fn gaps(report: &GatewayReport) -> String {
    let [gaps, repaired, lost] = [report.gaps, report.repaired, report.lost].map(count);
    format!("gaps {gaps}  repaired {repaired}  messages lost {lost}  doubts {}", report.doubts)
}

fn asked(what: &str, server: &AskedReport) -> String {
    let AskedReport { server: place, requests, answers, refused, .. } = server;
    let [requests, answers, refused] = [*requests, *answers, *refused].map(count);
    format!("{what} from {place}: {requests} asked, {answers} came, {refused} refused")
}

fn destination(to: &EndpointSnapshot) -> [String; 5] {
    let (rates, drops) = (&to.rates, count(to.drops.total()));
    [to.url.clone(), count(to.peers), count(rates.packets), bits(rates.bits_per_s), drops]
}

/// One line of a gateway.
pub(super) fn gateway_line(report: &GatewayReport) -> String {
    let lines = report.lines.iter().map(|line| {
        let [packets, missed] = [line.packets, line.lost].map(count);
        format!("{}: {packets} packets, {missed} messages missed", line.group)
    });
    format!(
        "{:.1}s  {}  updates {}/s  {}  {}  replays {}  snapshots {}",
        report.elapsed_s,
        state(report),
        bits(report.updates_per_s),
        lines.collect::<Vec<_>>().join("  "),
        gaps(report),
        count(report.replay.requests),
        count(report.snapshot.answers),
    )
}

// --------------------------------------------------------------------------------- what both have

/// Books between what stands above and below them, as many as there is room for. No line is longer than
/// there are columns.
fn page(
    mut lines: Vec<String>,
    instruments: &[InstrumentReport],
    below: Vec<String>,
    room: Size,
) -> Vec<String> {
    let rows = room.rows.saturating_sub(lines.len() + below.len());
    lines.extend(books(instruments, rows));
    lines.extend(below);
    cut(lines, room.columns)
}

/// The books, in so many lines if they are enough for the head, a book and how many more there are.
fn books(instruments: &[InstrumentReport], rows: usize) -> Vec<String> {
    let head =
        ["instrument", "bid", "quantity", "ask", "quantity", "depth", "orders", "updates", "/s"];
    let all = instruments.len();
    let fits = all <= ROWS && all < rows;
    let shown = if fits { all } else { ROWS.min(rows.saturating_sub(2)).min(all) };
    if shown == 0 {
        return vec![format!("{all} instruments, for which there is no room")];
    }
    let mut lines = columns(head, 1, instruments[..shown].iter().map(book));
    if shown < all {
        lines.push(format!("and {} instruments more", all - shown));
    }
    lines
}

fn book(it: &InstrumentReport) -> [String; 9] {
    let side = |top: Option<(i64, u64)>| match top {
        Some((price, quantity)) => [price.to_string(), quantity.to_string()],
        None => ["-".to_owned(), "-".to_owned()],
    };
    let [bid, bid_quantity] = side(it.bid);
    let [ask, ask_quantity] = side(it.ask);
    [
        it.instrument.to_string(),
        bid,
        bid_quantity,
        ask,
        ask_quantity,
        format!("{}/{}", it.bids, it.asks),
        it.orders.to_string(),
        count(it.updates),
        bits(it.updates_per_s),
    ]
}

/// What went wrong last.
fn told(what: &str, error: Option<&str>) -> Option<String> {
    Some(format!("  {what}: {}", error?))
}

#[cfg(test)]
mod tests {
    use tautline_market::live::{OtherSession, WireFormat};

    use super::*;

    const WIDE: Size = Size { columns: 200, ..Size::ENDLESS };

    fn instrument(at: u32) -> InstrumentReport {
        InstrumentReport {
            instrument: at,
            bid: Some((9_999, 300)),
            ask: None,
            bids: 7,
            asks: 0,
            orders: 12,
            updates: 12_345,
            updates_per_s: 1_234.0,
        }
    }

    fn gateway_report() -> GatewayReport {
        let line = LineReport {
            group: "239.255.0.1:31001".to_owned(),
            packets: 4_000,
            first: 3_000,
            lost: 40,
            late: 3,
            behind_us: 57.4,
            dropped: 2,
            error: Some("broken".to_owned()),
        };
        let asked = AskedReport {
            server: "127.0.0.1:31002".to_owned(),
            connected: true,
            requests: 9,
            answers: 8,
            refused: 1,
            error: Some("reset\x1b[2J".to_owned()),
        };
        GatewayReport {
            kind: "gateway",
            elapsed_s: 3.0,
            session: Some("day1".to_owned()),
            sound: false,
            stale: false,
            behind: 0,
            behind_s: 0.0,
            ended: false,
            doubt: Some("messages are lost: 5 to 6 (2)".to_owned()),
            other_session: Some(OtherSession {
                session: "day0".to_owned(),
                line: "239.255.0.1:31001".to_owned(),
            }),
            next: 777,
            updates: 12_345,
            updates_per_s: 4_000.0,
            quotes: 99,
            lines: vec![line; 2],
            format: WireFormat::Compact,
            strange: 4,
            gaps: 60,
            repaired: 58,
            lost: 2,
            doubts: 1,
            replay: AskedReport { connected: false, ..asked.clone() },
            snapshot: asked,
            instruments: (0..30).map(instrument).collect(),
            destinations: crate::table::testing::snapshot().endpoints,
        }
    }

    fn exchange_report() -> ExchangeReport {
        let line = SentReport {
            group: "239.255.0.1:31001".to_owned(),
            packets: 4_000,
            sent: 3_960,
            calls: 50,
            lost: 40,
            doubled: 5,
            reordered: 6,
            crowded_out: 7,
            refused: 8,
            error: Some("no room".to_owned()),
        };
        let served = ServedReport {
            bound: "127.0.0.1:31002".to_owned(),
            clients: 1,
            requests: 9,
            bytes: 1_500,
            turned_away: 3,
            error: None,
        };
        ExchangeReport {
            kind: "exchange",
            elapsed_s: 3.0,
            session: "day1".to_owned(),
            messages: 12_345,
            messages_per_s: 4_000.0,
            lines: vec![line],
            replay: served.clone(),
            snapshot: served,
            instruments: vec![instrument(0)],
        }
    }

    /// Proves that the tables tell all that they are to tell, in units that people read.
    #[test]
    fn tables_tell_all() {
        let text = gateway(&gateway_report(), WIDE).join("\n");
        for part in [
            "IN DOUBT",
            "session day1 AND day0",
            "in doubt: messages are lost: 5 to 6 (2)",
            "two sessions on one line: day1 and day0 on 239.255.0.1:31001; day1 began last",
            "239.255.0.1:31001: broken",
            "next 777",
            "4.0k/s",
            "57 µs",
            "gaps 60",
            "repaired 58",
            "messages lost 2",
            "9 asked, 8 came, 1 refused",
            "4 datagrams were no packets of compact: try --format moldudp64",
            "(not connected)",
            "9999",
            "7/0",
            "and 6 instruments more",
            "tcp-listen://",
            "replay: reset?",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        let text = exchange(&exchange_report(), WIDE).join("\n");
        for part in [
            "12.3k",
            "3960",
            "held back",
            "1 clients, 9 requests, 1.5 kB, 3 turned away",
            "no room",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    /// Proves that no line is wider than the terminal, and that nothing in it moves the cursor.
    #[test]
    fn no_line_wraps() {
        for width in [1, 20, 80] {
            let room = Size { columns: width, ..Size::ENDLESS };
            let lines = [gateway(&gateway_report(), room), exchange(&exchange_report(), room)];
            for line in lines.concat() {
                assert!(line.chars().count() <= width && !line.contains(char::is_control));
            }
        }
    }

    fn keys(value: &serde_json::Value, all: &mut Vec<String>) {
        match value {
            serde_json::Value::Array(values) => values.iter().for_each(|value| keys(value, all)),
            serde_json::Value::Object(map) => {
                for (key, value) in map.iter().filter(|(key, _)| *key != "destinations") {
                    all.push(key.clone());
                    keys(value, all);
                }
            }
            _ => {}
        }
    }

    /// Proves that the book explains each key of the reports, and where those of destinations are told.
    #[test]
    fn keys_are_explained() {
        let book = include_str!("../../../../docs/market.md");
        let tables = book.split_once("## JSON").unwrap().1.split_once("\n## ").unwrap().0;
        let explained: Vec<&str> = tables
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once(" | "))
            .flat_map(|(keys, _)| keys.split(['`', ',', ' ']))
            .collect();
        let mut all = vec!["destinations".to_owned()];
        keys(&serde_json::to_value(gateway_report()).unwrap(), &mut all);
        keys(&serde_json::to_value(exchange_report()).unwrap(), &mut all);
        assert!(all.len() > 60);
        for key in all {
            let in_text = tables.contains(&format!("its `{key}`"))
                || tables.contains(&format!("group `{key}`"));
            assert!(explained.contains(&&*key) || in_text, "`{key}` is not explained");
        }
    }

    fn is_book(line: &str) -> bool {
        let mut words = line.split_whitespace();
        words.next().is_some_and(|word| word.parse::<u32>().is_ok()) && words.count() == 8
    }

    /// Proves that the table is as high as the terminal and no higher, unless there is no room for what it
    /// tells besides books, and that it says how many of them it does not show.
    #[test]
    fn tables_fit_into_the_terminal() {
        let report = gateway_report();
        let whole = gateway(&report, WIDE).len();
        for rows in 1..60 {
            let lines = gateway(&report, Size { rows, ..WIDE });
            let shown = lines.iter().filter(|line| is_book(line)).count();
            let others = lines.len() - shown;
            assert!(lines.len() <= rows.max(others) && shown <= ROWS, "{rows}: {lines:#?}");
            // A head and a single line below it would be no book.
            assert!(lines.len() + 1 >= rows.min(whole), "{rows}: {lines:#?}");
            let hidden = format!("and {} instruments more", report.instruments.len() - shown);
            assert!(shown == 0 || lines.contains(&hidden), "{rows}: {lines:#?}");
        }
    }

    /// Proves that rows are aligned: their numbers end in the same column.
    #[test]
    fn rows_are_aligned() {
        let lines = exchange(&exchange_report(), WIDE);
        assert_eq!(lines[1].chars().count(), lines[2].chars().count(), "{lines:#?}");
    }

    /// Proves that the plain lines have what a watcher needs, before anything was heard too.
    #[test]
    fn plain_lines_tell_what_matters() {
        let line = gateway_line(&gateway_report());
        assert!(
            line.contains("gaps 60  repaired 58") && line.contains("40 messages missed"),
            "{line}"
        );
        let silent = GatewayReport { session: None, ..gateway_report() };
        assert!(gateway_line(&silent).contains("nothing heard"));
        let stale = GatewayReport { stale: true, ..gateway_report() };
        assert!(gateway_line(&stale).contains("IN DOUBT, SILENT"));
        let waiting =
            GatewayReport { sound: true, behind: 17_000, behind_s: 1.72, ..gateway_report() };
        let told = "sound, waiting for 777 for 1.7 s, 17.0k messages behind  session day1";
        assert!(gateway_line(&waiting).contains(told), "{}", gateway_line(&waiting));
        let soon = GatewayReport { sound: true, behind: 3, behind_s: 0.01, ..gateway_report() };
        assert!(gateway_line(&soon).contains("sound  session day1"));
        let over = GatewayReport { sound: true, ended: true, ..gateway_report() };
        assert!(gateway_line(&over).contains("sound, session over  session day1"));
        assert!(over.conflict().unwrap().ends_with("start the gateway again to follow day0"));
        let line = exchange_line(&exchange_report());
        assert!(line.contains("replays 9") && line.contains("40 lost"), "{line}");
    }
}
