//! What a run found, in the shape of its JSON line.

use std::collections::BTreeMap;

use serde::Serialize;

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    /// Times and costs.
    Lower,
    /// Rates.
    Higher,
}

impl Better {
    /// The better one of two values.
    pub(crate) fn pick(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Lower => a.min(b),
            Self::Higher => a.max(b),
        }
    }
}

/// Name, unit and direction of a row.
#[derive(Clone, Debug)]
pub(crate) struct Metric {
    /// Name of the row.
    pub(crate) name: String,
    /// Unit of its values.
    pub(crate) unit: &'static str,
    /// Which way is better.
    pub(crate) better: Better,
}

impl Metric {
    /// A row in which less is better.
    pub(crate) fn lower(name: impl Into<String>, unit: &'static str) -> Self {
        Self { name: name.into(), unit, better: Better::Lower }
    }

    /// A row in which more is better.
    pub(crate) fn higher(name: impl Into<String>, unit: &'static str) -> Self {
        Self { name: name.into(), unit, better: Better::Higher }
    }
}

/// Values by contender; `None` where it could not be measured (the note says why).
pub(crate) type Values = BTreeMap<&'static str, Option<f64>>;

/// One row: medians over the rounds.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// Name of the row.
    pub(crate) metric: String,
    /// Unit of all values.
    pub(crate) unit: &'static str,
    /// Which way is better.
    pub(crate) better: Better,
    /// Tautline with its default configuration.
    pub(crate) tautline: Option<f64>,
    /// The physical limit: the best of the bare loops.
    pub(crate) limit: Option<f64>,
    /// What people use today.
    pub(crate) peers: Values,
    /// Other drivers and faces of Tautline, and the bare loops that stand behind the limit.
    pub(crate) variants: Values,
    /// Median over rounds of (contender / limit) within the round.
    pub(crate) ratios: Values,
    /// Processor time of the side under test per operation, nanoseconds.
    pub(crate) cpu_ns: Values,
    /// What to know before quoting this row.
    pub(crate) note: Option<String>,
}

/// All rows of one benchmark.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Name of the benchmark.
    pub(crate) bench: &'static str,
    /// Its rows.
    pub(crate) rows: Vec<Row>,
}
