//! The report as a table for the terminal.

use std::fmt::Write;

use super::report::{Better, Report, Row, Values};

/// Renders every row, one contender a line, with its ratio to the limit.
pub(crate) fn table(report: &Report) -> String {
    let mut text = String::new();
    for row in &report.rows {
        // Writing to a String cannot fail.
        let _ = write_row(&mut text, report.bench, row);
    }
    text
}

fn write_row(text: &mut String, bench: &str, row: &Row) -> std::fmt::Result {
    let way = match row.better {
        Better::Lower => "lower is better",
        Better::Higher => "higher is better",
    };
    writeln!(text, "{bench} {} [{}, {way}]", row.metric, row.unit)?;
    line(text, "tautline", row.tautline, row, "tautline")?;
    line(text, "limit", row.limit, row, "limit")?;
    write_values(text, "peer", &row.peers, row)?;
    write_values(text, "variant", &row.variants, row)?;
    if let Some(note) = &row.note {
        writeln!(text, "  note: {note}")?;
    }
    writeln!(text)
}

fn write_values(text: &mut String, kind: &str, values: &Values, row: &Row) -> std::fmt::Result {
    values
        .iter()
        .try_for_each(|(&name, &value)| line(text, &format!("{kind} {name}"), value, row, name))
}

fn line(
    text: &mut String,
    label: &str,
    value: Option<f64>,
    row: &Row,
    name: &str,
) -> std::fmt::Result {
    let ratio = row.ratios.get(name).copied().flatten();
    let ratio = ratio.map_or(String::new(), |ratio| format!("{ratio:.3} x limit"));
    let cpu = row.cpu_ns.get(name).copied().flatten();
    let cpu = cpu.map_or(String::new(), |cpu| format!("{} ns cpu/op", number(cpu)));
    let value = value.map_or_else(|| "-".into(), number);
    let line = format!("  {label:<26}{value:>14}  {ratio:<16}{cpu}");
    writeln!(text, "{}", line.trim_end())
}

/// A value with as many digits as it deserves.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 1000.0 => format!("{value:.0}"),
        v if v >= 100.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
