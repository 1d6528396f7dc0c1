//! The report as an SVG file: one panel per row, one bar per contender, ratios to the limit.

use std::fmt::Write;

use super::{
    report::{Better, Report, Row, Values},
    table::number,
};

const WIDTH: f64 = 760.0;
const LABELS: f64 = 190.0;
const BARS: f64 = 360.0;
const BAR: f64 = 16.0;
const STEP: f64 = 22.0;
const TITLE: f64 = 34.0;

/// A bar: label, colour, value, ratio to the limit.
struct Bar<'a> {
    label: &'a str,
    colour: &'static str,
    value: Option<f64>,
    ratio: Option<f64>,
}

/// Draws the report; the file stands alone (no scripts, no outside fonts).
pub(crate) fn plot(report: &Report) -> String {
    let mut body = String::new();
    let mut top = 8.0;
    for row in &report.rows {
        let bars = bars(row);
        // Writing to a String cannot fail.
        let _ = write_panel(&mut body, top, report.bench, row, &bars);
        top += TITLE + STEP * bars.len() as f64 + 12.0;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {top}\" width=\"{WIDTH}\" height=\"{top}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n"
    )
}

fn bars(row: &Row) -> Vec<Bar<'_>> {
    let ratio = |name: &str| row.ratios.get(name).copied().flatten();
    let one = |label, colour, value| Bar { label, colour, value, ratio: ratio(label) };
    let many = |values: &'_ Values, colour| -> Vec<Bar<'_>> {
        values.iter().map(|(&name, &value)| one(name, colour, value)).collect()
    };
    let limit =
        Bar { label: "limit", colour: "#444444", value: row.limit, ratio: row.limit.map(|_| 1.0) };
    let mut bars = vec![one("tautline", "#d9480f", row.tautline), limit];
    bars.extend(many(&row.peers, "#1c7ed6"));
    bars.extend(many(&row.variants, "#a5b4c3"));
    bars
}

fn write_panel(
    body: &mut String,
    top: f64,
    bench: &str,
    row: &Row,
    bars: &[Bar<'_>],
) -> std::fmt::Result {
    let way = if row.better == Better::Lower { "lower" } else { "higher" };
    let (metric, unit) = (escape(&row.metric), escape(row.unit));
    writeln!(
        body,
        "<text x=\"10\" y=\"{}\" font-weight=\"bold\">{bench} {metric} ({unit}, {way} is better)</text>",
        top + 18.0
    )?;
    let most = bars.iter().filter_map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
    bars.iter()
        .enumerate()
        .try_for_each(|(place, bar)| write_bar(body, top + TITLE + STEP * place as f64, bar, most))
}

fn write_bar(body: &mut String, y: f64, bar: &Bar<'_>, most: f64) -> std::fmt::Result {
    let length = bar.value.map_or(0.0, |value| (value / most * BARS).max(1.0));
    let value = bar.value.map_or_else(|| "not measured".into(), number);
    let ratio = bar.ratio.map_or(String::new(), |ratio| format!(" ({ratio:.2} × limit)"));
    let (base, end) = (y + 12.5, LABELS + length + 6.0);
    writeln!(
        body,
        "<text x=\"{}\" y=\"{base}\" text-anchor=\"end\">{}</text>",
        LABELS - 8.0,
        escape(bar.label)
    )?;
    writeln!(
        body,
        "<rect x=\"{LABELS}\" y=\"{y}\" width=\"{length:.1}\" height=\"{BAR}\" fill=\"{}\"/>",
        bar.colour
    )?;
    writeln!(body, "<text x=\"{end:.1}\" y=\"{base}\">{value}{ratio}</text>")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every contender gets a labelled bar; what was not measured says so; text is escaped.
    #[test]
    fn bars_carry_their_ratio() {
        let row = Row {
            metric: "a<b".into(),
            unit: "ns",
            better: Better::Lower,
            tautline: None,
            limit: Some(10.0),
            peers: Values::from([("tokio", Some(20.0))]),
            variants: Values::new(),
            ratios: Values::from([("tokio", Some(2.0))]),
            cpu_ns: Values::new(),
            note: None,
        };
        let svg = plot(&Report { bench: "x", rows: vec![row] });
        assert!(svg.contains("20.00 (2.00 × limit)") && svg.contains("not measured"), "{svg}");
        assert!(svg.contains("a&lt;b") && !svg.contains("a<b"));
    }
}
