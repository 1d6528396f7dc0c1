//! What all benchmarks share: contenders, interleaved rounds, the report and its three faces.

mod plot;
mod report;
mod rounds;
mod stats;
pub(crate) mod sys;
mod table;
pub(crate) mod ticks;

pub(crate) use plot::plot;
pub(crate) use report::{Metric, Report};
pub(crate) use rounds::{Contender, Failure, Group, Plan, Role, Sample, measure};
pub(crate) use stats::percentile;
pub(crate) use table::table;
