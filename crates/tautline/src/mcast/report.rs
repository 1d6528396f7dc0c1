//! What a meter has counted, as lines, as a table and as JSON: pure functions.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use serde_json::{Value, json};
use tautline_net::multicast::Interface;

use super::meter::{Meter, Rates, Row};
use super::text;
use crate::Failure;
use crate::screen::Size;
use crate::table::quantity::{bits, bytes, count, things};
use crate::table::{columns_with, cut};

/// Rows of the live table at most.
const ROWS: usize = 40;
const HEAD: [&str; 9] =
    ["pkt/s", "bit/s", "lost", "late", "copies", "packets", "source", "group", "feed"];
/// These columns are text, the others are numbers. What is cut off on a narrow terminal is text.
const TEXTS: Range<usize> = 6..9;

/// Whose sender is not told, or of too many to be told apart.
const OTHERS: &str = "(others)";
/// So long a wait for the first packet is told of.
const WAIT: Duration = Duration::from_millis(100);

/// Between two reports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interval {
    /// From the start to now.
    pub(crate) elapsed: Duration,
    /// From the report before this one to now.
    pub(crate) since: Duration,
}

/// The live table, within that room: of many sources some are not shown, rather than what is lost.
pub(crate) fn table(meter: &Meter, at: Interval, room: Size) -> Vec<String> {
    let all = meter.rows().len();
    // Beside the head and the verdict, and the line that says how many more there are.
    let beside = if all + 2 > room.rows || all > ROWS { 3 } else { 2 };
    let shown = all.min(ROWS).min(room.rows.saturating_sub(beside));
    let rows = &meter.rows()[..shown];
    let rows = rows.iter().map(|row| cells(row, row.rates(at.since)));
    let mut lines = columns_with(HEAD, TEXTS, rows);
    if shown < all {
        lines.push(format!("and {} more", all - shown));
    }
    lines.push(format!("{:.1} s  {}", at.elapsed.as_secs_f64(), verdict(meter)));
    cut(lines, room.columns)
}

/// A line for each source.
pub(crate) fn lines(meter: &Meter, at: Interval) -> Vec<String> {
    let seconds = at.elapsed.as_secs_f64();
    let line = |row: &Row| format!("{seconds:.1}s  {}", line(row, Some(row.rates(at.since))));
    let mut lines: Vec<_> = meter.rows().iter().map(line).collect();
    if lines.is_empty() {
        lines.push(format!("{seconds:.1}s  nothing came"));
    }
    if meter.dropped > 0 {
        lines.push(format!("{seconds:.1}s  {}", dropped(meter)));
    }
    lines
}

/// The end: all that came, a line for each source, and what is missing.
pub(crate) fn summary(meter: &Meter, elapsed: Duration) -> Vec<String> {
    let total = meter.total();
    let seconds = elapsed.as_secs_f64();
    let (packets, size) = (things(total.packets, "packet"), bytes(total.bytes));
    let waited = meter.first().filter(|waited| *waited >= WAIT);
    let waited = waited.map(|time| format!(", the first after {:.1} s", time.as_secs_f64()));
    let waited = waited.unwrap_or_default();
    let mut lines = vec![format!("summary of {seconds:.1} s: {packets}, {size}{waited}")];
    lines.extend(meter.rows().iter().map(|row| format!("  {}", line(row, row.mean(elapsed)))));
    lines.push(verdict(meter));
    lines
}

/// A report as JSON.
pub(crate) fn interval_json(meter: &Meter, at: Interval) -> Value {
    let rows: Vec<_> =
        meter.rows().iter().map(|row| json(row, Some(row.rates(at.since)))).collect();
    json!({
        "kind": "interval", "elapsed_s": at.elapsed.as_secs_f64(), "dropped": meter.dropped,
        "sources": rows,
    })
}

/// The end as JSON.
pub(crate) fn summary_json(meter: &Meter, elapsed: Duration) -> Value {
    let rows: Vec<_> = meter.rows().iter().map(|row| json(row, row.mean(elapsed))).collect();
    let total = meter.total();
    json!({
        "kind": "summary", "elapsed_s": elapsed.as_secs_f64(),
        "waited_s": meter.first().map(|waited| waited.as_secs_f64()), "packets": total.packets,
        "bytes": total.bytes, "lost": total.lost, "reordered": total.reordered,
        "duplicates": total.duplicates, "dropped": total.dropped, "sources": rows,
    })
}

fn json(row: &Row, rates: Option<Rates>) -> Value {
    let mut object = json!({
        "source": row.key.source.map(address), "group": row.key.group.map(address),
        "format": row.key.stream.map(|stream| stream.option()),
        "stream": row.key.stream.map(|stream| stream.name()),
        "packets": row.packets, "bytes": row.bytes,
        "packets_per_s": rates.map(|rates| rates.packets),
        "bits_per_s": rates.map(|rates| rates.bits),
    });
    if let Some(counts) = row.counts() {
        object["received"] = json!(counts.received);
        object["lost"] = json!(counts.lost);
        object["reordered"] = json!(counts.reordered);
        object["duplicates"] = json!(counts.duplicates);
        object["restarts"] = json!(counts.restarts);
    }
    object
}

/// An address, with the name of its interface if it is one of a link.
fn address(address: SocketAddr) -> String {
    let zone = match address {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => Interface::of_index(v6.scope_id()).name(),
        _ => None,
    };
    text::address(address, zone.as_deref())
}

fn names(row: &Row) -> [String; 3] {
    let name = |it: Option<SocketAddr>| it.map_or_else(|| OTHERS.to_owned(), address);
    let feed = row.key.stream.map(|stream| format!("{} {}", stream.format(), stream.name()));
    [name(row.key.source), name(row.key.group), feed.unwrap_or_else(|| "no numbers".to_owned())]
}

fn cells(row: &Row, rates: Rates) -> [String; 9] {
    let [source, group, feed] = names(row);
    let of = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    let counts = row.counts();
    [
        bits(rates.packets),
        bits(rates.bits),
        of(counts.map(|counts| counts.lost)),
        of(counts.map(|counts| counts.reordered)),
        of(counts.map(|counts| counts.duplicates)),
        count(row.packets),
        source,
        group,
        feed,
    ]
}

fn line(row: &Row, rates: Option<Rates>) -> String {
    let [source, group, feed] = names(row);
    let mut line = format!("{source} > {group}  {feed}  {}", speed(rates));
    line += &format!("  packets {}", row.packets);
    if let Some(counts) = row.counts() {
        // A packet may have several numbers, or none.
        let (lost, all) = (counts.lost, counts.lost + counts.received);
        let share = 100.0 * lost as f64 / all.max(1) as f64;
        line +=
            &format!("  lost {lost} of {all} numbers ({share:.2} %)  late {}", counts.reordered);
        line += &format!("  copies {}", counts.duplicates);
        if counts.restarts > 0 {
            line += &format!("  restarts {}", counts.restarts);
        }
    }
    line
}

/// Rates, as they are printed.
pub(crate) fn speed(rates: Option<Rates>) -> String {
    rates.map_or_else(
        || "- pkt/s - bit/s".to_owned(),
        |rates| format!("{} pkt/s {}bit/s", bits(rates.packets), bits(rates.bits)),
    )
}

/// What is missing, as far as it can be told.
fn verdict(meter: &Meter) -> String {
    let numbered = meter.rows().iter().any(|row| row.counts().is_some());
    match (flaw(meter), numbered) {
        (Some(flaw), _) => flaw,
        (None, true) => "nothing lost".to_owned(),
        (None, false) => {
            "no numbers: only the kernel's drops are known, and there are none".to_owned()
        }
    }
}

/// What is wrong with what came, if something is.
fn flaw(meter: &Meter) -> Option<String> {
    let total = meter.total();
    let mut told = Vec::new();
    if total.lost > 0 {
        told.push(format!("{} LOST", total.lost));
    }
    if total.dropped > 0 {
        told.push(dropped(meter));
    }
    match (told.is_empty(), total.packets) {
        (false, _) => Some(told.join(", ")),
        (true, 0) => Some("nothing came".to_owned()),
        (true, _) => None,
    }
}

/// Whether what came is whole, if that is asked for.
///
/// # Errors
/// [`Failure::Check`].
pub(crate) fn check(asked: bool, meter: &Meter) -> Result<(), Failure> {
    match flaw(meter).filter(|_| asked) {
        Some(flaw) => Err(Failure::Check(flaw)),
        None => Ok(()),
    }
}

fn dropped(meter: &Meter) -> String {
    format!("{} DROPPED by the kernel: give more --buffer", meter.dropped)
}

#[cfg(test)]
mod tests {
    use tautline_feed::format::{Builder, Compact, Session};

    use super::super::header::Choice;
    use super::super::seen::Seen;
    use super::*;

    const AT: Interval =
        Interval { elapsed: Duration::from_secs(2), since: Duration::from_secs(1) };

    fn start() -> Duration {
        Duration::ZERO
    }

    fn room(columns: usize, rows: usize) -> Size {
        Size { columns, rows }
    }

    fn meter(numbers: &[u64], dropped: u64) -> Meter {
        let mut meter = Meter::new(Choice::Auto);
        let (time, interface, hops) = (None, None, None);
        let (source, group) = ("10.0.0.1:7".parse().ok(), "239.1.1.1:5000".parse().unwrap());
        let mut take = |payload: &[u8], dropped| {
            let len = payload.len();
            let _ = meter
                .take(&Seen { time, source, group, interface, hops, payload, len, dropped }, start);
        };
        for number in numbers {
            let mut room = [0; 1000];
            let mut builder =
                Builder::<Compact>::new(&mut room, Session::of_number(7), *number).unwrap();
            builder.push(&[0; 986]).unwrap();
            take(builder.finish(), 0);
        }
        if dropped > 0 {
            take(b"no number", dropped);
        }
        meter
    }

    /// Proves that a line has source, group, feed, rates and what the numbers tell.
    #[test]
    fn lines_tell_rates_and_losses() {
        let told = lines(&meter(&[1, 2, 5, 4, 4], 0), AT);
        let wanted = "2.0s  10.0.0.1:7 > 239.1.1.1:5000  compact 7  5 pkt/s 40.0kbit/s  packets 5  \
                      lost 1 of 5 numbers (20.00 %)  late 1  copies 1";
        assert_eq!(told, [wanted]);
        assert_eq!(lines(&meter(&[], 0), AT), ["2.0s  nothing came"]);
    }

    /// Proves that the end says what is missing and, where that cannot be known, why.
    #[test]
    fn the_end_says_what_is_missing() {
        let verdict = |meter: Meter| summary(&meter, AT.elapsed).pop().unwrap();
        assert_eq!(verdict(meter(&[1, 2], 0)), "nothing lost");
        assert_eq!(verdict(meter(&[1, 3], 0)), "1 LOST");
        assert!(verdict(meter(&[1, 3], 9)).starts_with("1 LOST, 9 DROPPED by the kernel: "));
        assert_eq!(verdict(meter(&[], 0)), "nothing came");
        let mut bare = Meter::new(Choice::Plain);
        let payload = b"a";
        let group = "239.1.1.1:5".parse().unwrap();
        bare.take(
            &Seen {
                time: None,
                source: None,
                group,
                interface: None,
                hops: None,
                payload,
                len: 1,
                dropped: 0,
            },
            start,
        );
        assert!(verdict(bare).starts_with("no numbers"));
    }

    /// Proves that a summary says how long the first packet was waited for, and that one packet is one.
    #[test]
    fn a_summary_says_how_long_it_waited() {
        let late = |time: u64| {
            let mut late = Meter::new(Choice::Plain);
            let (source, group) = (None, "239.1.1.1:5".parse().unwrap());
            let (interface, hops, payload) = (None, None, &b"a"[..]);
            let seen =
                Seen { time: None, source, group, interface, hops, payload, len: 1, dropped: 0 };
            late.take(&seen, || Duration::from_millis(time));
            late
        };
        let first = |meter: Meter| summary(&meter, AT.elapsed).remove(0);
        assert_eq!(first(late(1_500)), "summary of 2.0 s: 1 packet, 1 B, the first after 1.5 s");
        assert_eq!(first(late(50)), "summary of 2.0 s: 1 packet, 1 B");
        assert_eq!(summary_json(&late(1_500), AT.elapsed)["waited_s"], json!(1.5));
        assert_eq!(summary_json(&meter(&[], 0), AT.elapsed)["waited_s"], Value::Null);
    }

    /// Proves that the columns of the table stand below each other, and that no line wraps.
    #[test]
    fn the_table_is_aligned_and_does_not_wrap() {
        let lines = table(&meter(&[1, 2], 1), AT, room(200, 20));
        assert_eq!(lines.len(), 4, "{lines:?}");
        let at = |line: &String, text| line.find(text).unwrap_or_else(|| panic!("{line}"));
        assert_eq!(at(&lines[0], "group"), at(&lines[1], "239."));
        assert_eq!(at(&lines[0], "feed"), at(&lines[2], "no numbers"));
        let narrow = table(&meter(&[1, 5], 1), AT, room(40, 20));
        assert!(narrow[0].starts_with("pkt/s  bit/s  lost  late  copies  "), "{narrow:?}");
        assert!(narrow[1].starts_with("    2  16.0k     3     0       0  "), "{narrow:?}");
        assert_eq!(table(&meter(&[1, 5], 1), AT, room(200, 4)).len(), 4);
        let low = table(&meter(&[1, 5], 1), AT, room(200, 3));
        assert_eq!((low.len(), &low[1][..]), (3, "and 2 more"), "{low:?}");
        assert!(low[2].contains("LOST"), "{low:?}");
        assert!(
            table(&meter(&[1], 1), AT, room(20, 20)).iter().all(|line| line.chars().count() <= 20)
        );
    }

    /// Proves that JSON has the same, and what has no numbers has no counts of them.
    #[test]
    fn json_has_the_same() {
        let report = interval_json(&meter(&[1, 3], 4), AT);
        assert_eq!((&report["kind"], &report["dropped"]), (&json!("interval"), &json!(4)));
        let (first, second) = (&report["sources"][0], &report["sources"][1]);
        assert_eq!((&first["lost"], &first["packets_per_s"]), (&json!(1), &json!(2.0)));
        assert_eq!((&second["format"], &second["lost"]), (&Value::Null, &Value::Null));
        let end = summary_json(&meter(&[1, 3], 0), AT.elapsed);
        assert_eq!(
            (&end["kind"], &end["lost"], &end["packets"]),
            (&json!("summary"), &json!(1), &json!(2))
        );
        assert_eq!(end["sources"][0]["packets_per_s"], json!(0.5));
        let one = summary_json(&meter(&[1], 0), AT.elapsed);
        assert_eq!(one["sources"][0]["packets_per_s"], Value::Null);
    }
}
