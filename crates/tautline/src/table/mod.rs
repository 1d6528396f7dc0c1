//! Reports as text: pure functions from snapshots to lines.

pub(crate) mod quantity;

use std::net::SocketAddr;
use std::ops::Range;

use quantity::{bits, bytes, count, nanos};
use tautline_relay::stats::{
    EndpointSnapshot, EndpointState, LatencySnapshot, LoopSnapshot, Role, Snapshot, Summary,
};

const HEAD: [&str; 8] = ["", "endpoint", "peers", "packets", "bytes", "pkt/s", "bit/s", "drops"];
/// The endpoint column takes what the others leave, within these bounds.
const NAME_LEAST: usize = 8;
const NAME_MOST: usize = 48;
const GAP: usize = 2;

/// The live table: a head, a line for each endpoint, relay latency, loop turns. No line is longer
/// than `width` columns.
pub(crate) fn table(snapshot: &Snapshot, width: usize) -> Vec<String> {
    let mut lines = endpoints(&snapshot.endpoints, width);
    lines.push(latency("relay latency", &snapshot.latency));
    lines.push(turns(&snapshot.turns, snapshot.elapsed_s));
    cut(lines, width)
}

/// The final report: the same columns over the whole run, errors, and the verdict.
pub(crate) fn summary(summary: &Summary, width: usize) -> Vec<String> {
    let mut lines = vec![format!("summary of {:.1} s", summary.elapsed_s)];
    lines.extend(endpoints(&summary.endpoints, width));
    lines.push(latency("relay latency", &summary.latency));
    lines.push(turns(&summary.turns, summary.elapsed_s));
    lines.extend(summary.check.iter().map(|check| {
        format!(
            "check: {} packets received, {} missing, {} late, {} duplicate, {} corrupt",
            check.packets, check.missing, check.late, check.duplicates, check.corrupt
        )
    }));
    lines.push(verdict(summary).to_owned());
    lines.iter().flat_map(|line| wrap(line, width)).collect()
}

/// Only checking subscribers know what was sent: without them nobody counts what came while no one
/// was there.
fn verdict(summary: &Summary) -> &'static str {
    match (summary.is_lossless(), summary.check) {
        (true, Some(_)) => "nothing lost",
        (true, None) => "no drops counted",
        (false, _) => "PACKETS LOST",
    }
}

/// One line for output that is no terminal: sums over all destinations.
pub(crate) fn line(snapshot: &Snapshot) -> String {
    let sum = |role, of: fn(&EndpointSnapshot) -> f64| -> f64 {
        snapshot.endpoints.iter().filter(|endpoint| endpoint.role == role).map(of).sum()
    };
    let of_all =
        |of: fn(&EndpointSnapshot) -> u64| -> u64 { snapshot.endpoints.iter().map(of).sum() };
    format!(
        "{:.1}s  in {} pkt/s {}bit/s  out {} pkt/s {}bit/s  packets {}  bytes {}  peers {}  drops {}  {}  {}",
        snapshot.elapsed_s,
        bits(sum(Role::Source, |e| e.rates.packets_per_s)),
        bits(sum(Role::Source, |e| e.rates.bits_per_s)),
        bits(sum(Role::Destination, |e| e.rates.packets_per_s)),
        bits(sum(Role::Destination, |e| e.rates.bits_per_s)),
        count(of_all(|e| if e.role == Role::Destination { e.rates.packets } else { 0 })),
        bytes(of_all(|e| if e.role == Role::Destination { e.rates.bytes } else { 0 })),
        of_all(|e| if e.role == Role::Destination { e.peers } else { 0 }),
        of_all(|e| e.drops.total()),
        latency("latency", &snapshot.latency),
        latency("turn", &snapshot.turns.turn),
    )
}

fn endpoints(endpoints: &[EndpointSnapshot], width: usize) -> Vec<String> {
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(endpoints.iter().map(row));
    let mut lines = align(&rows, width);
    for endpoint in endpoints {
        lines.extend(error(endpoint));
        let told = |address: SocketAddr| endpoint.url.contains(&format!(":{}", address.port()));
        lines.extend(bound(endpoint).filter(|_| !endpoint.bound.is_some_and(told)));
    }
    lines
}

/// Where the endpoints are bound.
pub(crate) fn addresses(snapshot: &Snapshot) -> Vec<String> {
    snapshot.endpoints.iter().filter_map(bound).collect()
}

fn bound(endpoint: &EndpointSnapshot) -> Option<String> {
    endpoint.bound.map(|address| format!("  {}: bound to {address}", place(endpoint)))
}

fn error(endpoint: &EndpointSnapshot) -> Option<String> {
    let told = |error| shorten(&format!("  {}: {error}", place(endpoint)), usize::MAX);
    endpoint.error.as_ref().map(told)
}

/// The endpoint without its options, which leave no room for what is to be said of it.
fn place(endpoint: &EndpointSnapshot) -> &str {
    endpoint.url.split('?').next().unwrap_or_default()
}

/// The errors of endpoints that had none, or another one, at the time of `before`.
pub(crate) fn new_errors(before: Option<&Snapshot>, now: &Snapshot) -> Vec<String> {
    let earlier = |at: usize| before.and_then(|it| it.endpoints.get(at)?.error.as_ref());
    let ends = now.endpoints.iter().enumerate();
    ends.filter(|(at, end)| end.error.as_ref() != earlier(*at))
        .filter_map(|(_, e)| error(e))
        .collect()
}

fn row(endpoint: &EndpointSnapshot) -> [String; 8] {
    let rates = &endpoint.rates;
    [
        mark(endpoint).to_owned(),
        endpoint.url.clone(),
        endpoint.peers.to_string(),
        count(rates.packets),
        bytes(rates.bytes),
        bits(rates.packets_per_s),
        bits(rates.bits_per_s),
        endpoint.drops.total().to_string(),
    ]
}

/// Direction and state in one word.
fn mark(endpoint: &EndpointSnapshot) -> &'static str {
    match (endpoint.state, endpoint.role) {
        (EndpointState::Open, Role::Source) => "from",
        (EndpointState::Open, Role::Destination) => "to",
        (EndpointState::Connecting, _) => "wait",
        (EndpointState::Ended, _) => "end",
        (EndpointState::Failed, _) => "FAIL",
    }
}

/// As [`columns`], of at most `width` columns as far as the endpoints can be shortened.
fn align(rows: &[[String; 8]], width: usize) -> Vec<String> {
    let mut widths = widths(rows);
    let others = widths.iter().sum::<usize>() - widths[1] + GAP * (widths.len() - 1);
    let room = width.saturating_sub(others).clamp(NAME_LEAST, NAME_MOST);
    widths[1] = widths[1].min(room);
    rows.iter().map(|row| align_row(row, &widths, &(0..2))).collect()
}

/// Rows under a head, in columns as wide as their widest cell: the first `texts` are text, to the left,
/// the others numbers, to the right.
pub(crate) fn columns<const N: usize>(
    head: [&str; N],
    texts: usize,
    rows: impl Iterator<Item = [String; N]>,
) -> Vec<String> {
    columns_with(head, 0..texts, rows)
}

/// The same, where those columns are text.
pub(crate) fn columns_with<const N: usize>(
    head: [&str; N],
    texts: Range<usize>,
    rows: impl Iterator<Item = [String; N]>,
) -> Vec<String> {
    let rows: Vec<_> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let widths = widths(&rows);
    rows.iter().map(|row| align_row(row, &widths, &texts)).collect()
}

fn widths<const N: usize>(rows: &[[String; N]]) -> [usize; N] {
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    std::array::from_fn(width)
}

fn align_row<const N: usize>(
    row: &[String; N],
    widths: &[usize; N],
    texts: &Range<usize>,
) -> String {
    let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, &width))| {
        let cell = shorten(cell, width);
        if texts.contains(&column) { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
    });
    cells.collect::<Vec<_>>().join(&" ".repeat(GAP))
}

fn latency(name: &str, points: &LatencySnapshot) -> String {
    if points.count == 0 {
        return format!("{name} -");
    }
    format!(
        "{name} p50 {} p99 {} p99.9 {} max {}",
        nanos(points.p50_ns),
        nanos(points.p99_ns),
        nanos(points.p999_ns),
        nanos(points.max_ns)
    )
}

fn turns(turns: &LoopSnapshot, elapsed_s: f64) -> String {
    let longest = turns.longest_by.iter().map(|name| format!(", longest in {name}"));
    let points = latency("loop turn    ", &turns.turn);
    format!(
        "{points} ({} turns, {}, {elapsed_s:.0} s){}",
        count(turns.turn.count),
        turns.driver,
        longest.collect::<String>()
    )
}

/// Lines of at most `width` columns each, without what a terminal would obey.
pub(crate) fn cut(lines: Vec<String>, width: usize) -> Vec<String> {
    lines.iter().map(|line| shorten(line, width)).collect()
}

/// `text` in lines of at most `width` columns, divided at spaces where there are any in the second
/// half of a line. What goes on is indented.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    const INDENT: &str = "    ";
    let mut rest = shorten(text, usize::MAX);
    let mut lines = Vec::new();
    while rest.chars().count() > width && width > 2 * INDENT.len() {
        let end = rest.char_indices().nth(width).map_or(rest.len(), |(at, _)| at);
        let (start, end) = match rest[..end].rfind(' ').filter(|&space| space > end / 2) {
            Some(space) => (space + 1, space),
            None => (end, end),
        };
        let more = format!("{INDENT}{}", &rest[start..]);
        rest.truncate(end);
        lines.push(std::mem::replace(&mut rest, more));
    }
    lines.push(rest);
    lines
}

/// `text`, or as much of it as fits before an ellipsis. Control characters do not reach the
/// terminal.
fn shorten(text: &str, width: usize) -> String {
    let clean = text.chars().map(|c| if c.is_control() { '?' } else { c });
    if text.chars().count() <= width {
        return clean.collect();
    }
    clean.take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
pub(crate) mod testing {
    use tautline_relay::stats::{Drops, Rates};

    use super::*;

    fn endpoint(url: &str, role: Role, packets: u64) -> EndpointSnapshot {
        let rates = Rates {
            packets,
            bytes: packets * 1_202,
            packets_per_s: 1_000.0,
            bits_per_s: 9_616_000.0,
        };
        EndpointSnapshot {
            url: url.to_owned(),
            role,
            state: EndpointState::Open,
            bound: None,
            rates,
            drops: Drops::default(),
            peers: 100,
            disconnects: 0,
            reconnects: 0,
            queued: 0,
            error: None,
        }
    }

    fn endpoints() -> Vec<EndpointSnapshot> {
        let to = endpoint(
            "tcp-listen://127.0.0.1:9000?queue=256&policy=drop-old",
            Role::Destination,
            100_000,
        );
        vec![endpoint("demo:", Role::Source, 1_000), to]
    }

    fn points() -> LatencySnapshot {
        LatencySnapshot {
            count: 1_000,
            p50_ns: 812,
            p99_ns: 45_300,
            p999_ns: 1_200_000,
            max_ns: 2_000_000_000,
        }
    }

    fn turns() -> LoopSnapshot {
        LoopSnapshot {
            driver: "uring".into(),
            turn: points(),
            longest_by: Some("relay::accept".into()),
        }
    }

    /// A second of a healthy demonstration.
    pub(crate) fn snapshot() -> Snapshot {
        let latency_buckets = vec![600, 300, 99, 0, 1];
        let (endpoints, latency, turns) = (endpoints(), points(), turns());
        Snapshot { elapsed_s: 1.0, endpoints, latency, latency_buckets, turns }
    }

    /// The end of a healthy demonstration.
    pub(crate) fn summary() -> Summary {
        let check = Some(Default::default());
        Summary {
            elapsed_s: 10.0,
            endpoints: endpoints(),
            latency: points(),
            turns: turns(),
            check,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{snapshot, summary as sample_summary};
    use super::*;

    /// Proves that the table shows every column of the manual in units that people read.
    #[test]
    fn table_shows_every_column() {
        let text = table(&snapshot(), 200).join("\n");
        for part in [
            "endpoint",
            "packets",
            "bytes",
            "drops",
            "100.0k",
            "120.2 MB",
            "9.6M",
            "p50 812 ns",
            "p99 45.3 µs",
            "p99.9 1.2 ms",
            "max 2.0 s",
            "relay::accept",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    /// Proves that no line is wider than the terminal, however narrow, because a wrapped line would
    /// break the redraw.
    #[test]
    fn no_line_wraps() {
        let mut snapshot = snapshot();
        snapshot.endpoints[0].error = Some("connection refused ".repeat(20));
        for width in [1, 20, 40, 80, 100] {
            let lines = table(&snapshot, width);
            assert!(lines.iter().all(|line| line.chars().count() <= width), "{width}: {lines:?}");
        }
    }

    /// Proves that all rows of the table are aligned: numbers end in the same column.
    #[test]
    fn rows_are_aligned() {
        let lines = table(&snapshot(), 100);
        let lengths: Vec<_> = lines[..3].iter().map(|line| line.chars().count()).collect();
        assert!(lengths.iter().all(|&length| length == lengths[0]), "{lines:#?}");
    }

    /// Proves that a control character in a URL or an error cannot move the cursor.
    #[test]
    fn control_characters_are_defused() {
        let mut snapshot = snapshot();
        snapshot.endpoints[0].url = "file:\x1b[2J\nx".into();
        snapshot.endpoints[0].error = Some("a\rb".into());
        assert!(table(&snapshot, 100).iter().all(|line| !line.contains(char::is_control)));
    }

    /// Proves that the summary's verdict follows the drops.
    #[test]
    fn verdict_follows_the_drops() {
        let mut summary = sample_summary();
        assert_eq!(super::summary(&summary, 100).last().unwrap(), "nothing lost");
        summary.check = None;
        assert_eq!(super::summary(&summary, 100).last().unwrap(), "no drops counted");
        summary.endpoints[1].drops.old = 1;
        assert_eq!(super::summary(&summary, 100).last().unwrap(), "PACKETS LOST");
    }

    /// Proves that notes leave out an endpoint's options, and that the summary wraps what the table
    /// has to cut: nothing is missing, and no line is wider than the terminal.
    #[test]
    fn summary_wraps_its_notes() {
        let mut summary = sample_summary();
        summary.endpoints[1].bound = Some(([127, 0, 0, 1], 40_000).into());
        summary.endpoints[1].error = Some("word ".repeat(30) + &"x".repeat(90) + " end");
        for width in [40, 80] {
            let lines = super::summary(&summary, width);
            assert!(lines.iter().all(|line| line.chars().count() <= width), "{lines:#?}");
            let text = lines.join("\n");
            assert_eq!(text.matches("word").count(), 30, "{text}");
            let notes = text.replace("\n   ", "");
            assert!(notes.contains("9000: bound to 127.0.0.1:40000"), "{text}");
            assert!(!text.contains("9000?queue=256&policy=drop-old: "), "{text}");
            assert!(text.contains(" end"), "{text}");
        }
    }

    /// Proves that an error is told when it appears and when it changes, and not in between.
    #[test]
    fn errors_are_told_once() {
        let (calm, mut bad) = (snapshot(), snapshot());
        bad.endpoints[1].error = Some("refused\n".into());
        let told = ["  tcp-listen://127.0.0.1:9000: refused?"];
        assert_eq!(new_errors(None, &bad), told);
        assert_eq!(new_errors(Some(&calm), &bad), told);
        assert!(
            new_errors(Some(&bad), &bad).is_empty() && new_errors(Some(&bad), &calm).is_empty()
        );
    }

    /// Proves that the plain line counts subscribers and packets of destinations, not of the source.
    #[test]
    fn plain_line_counts_destinations() {
        let line = line(&snapshot());
        assert!(line.contains("packets 100.0k") && line.contains("peers 100 "), "{line}");
    }

    /// Proves that an interval without packets shows a dash instead of zeros that look like speed.
    #[test]
    fn nothing_measured_is_a_dash() {
        assert_eq!(latency("relay latency", &LatencySnapshot::default()), "relay latency -");
    }
}
