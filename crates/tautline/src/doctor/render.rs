//! The report as text and as JSON.

use serde::Serialize;

use super::finding::{Finding, Status};

/// The report for people: a heading for each area, a line for each finding, a line below for its
/// remedy, and a count at the end.
pub(crate) fn lines(findings: &[Finding]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut area = "";
    for finding in findings {
        if finding.area != area {
            area = finding.area;
            lines.push(area.to_owned());
        }
        lines.push(format!(
            "  {:<8} {:<22} {}",
            finding.status.name(),
            finding.item,
            finding.found
        ));
        lines.extend(finding.remedy.iter().map(|remedy| format!("{:34}{remedy}", "")));
    }
    let [ok, limited, missing] = counts(findings);
    lines.push(format!("{ok} ok, {limited} limited, {missing} missing"));
    lines
}

/// The report for machines: one object on one line.
pub(crate) fn json(findings: &[Finding]) -> serde_json::Result<String> {
    let [ok, limited, missing] = counts(findings);
    serde_json::to_string(&Report { ok, limited, missing, findings })
}

#[derive(Serialize)]
struct Report<'a> {
    ok: usize,
    limited: usize,
    missing: usize,
    findings: &'a [Finding],
}

fn counts(findings: &[Finding]) -> [usize; 3] {
    [Status::Ok, Status::Limited, Status::Missing]
        .map(|status| findings.iter().filter(|finding| finding.status == status).count())
}

#[cfg(test)]
mod tests {
    use super::super::finding::Area;
    use super::*;

    fn sample() -> [Finding; 3] {
        let (one, two) = (Area("one"), Area("two"));
        [
            one.ok("a", "fine"),
            one.limited("b", "small", "make it larger"),
            two.missing("c", "none", "get one"),
        ]
    }

    /// Proves that areas are headed once, remedies follow their finding, and the count closes.
    #[test]
    fn report_groups_and_counts() {
        let lines = lines(&sample());
        let starts: Vec<_> =
            lines.iter().map(|line| line.split_whitespace().next().unwrap()).collect();
        assert_eq!(starts, ["one", "ok", "limited", "make", "two", "missing", "get", "1"]);
        assert_eq!(lines.last().unwrap(), "1 ok, 1 limited, 1 missing");
    }

    /// Proves that the JSON form is one line with counts and lower-case status.
    #[test]
    fn json_is_one_line() {
        let text = json(&sample()).unwrap();
        assert!(
            text.starts_with(r#"{"ok":1,"limited":1,"missing":1,"findings":[{"area":"one","#),
            "{text}"
        );
        assert!(text.contains(r#""status":"limited""#) && !text.contains('\n'), "{text}");
    }
}
