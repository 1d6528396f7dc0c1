//! `log`: what a line of log costs the thread that writes it, and how long a burst of them takes
//! until all are out.
//!
//! Everybody writes the same line of three arguments in the form that it has by default, loses
//! none, and hands text to the same [`out::Out`]. A contender is an [`ends::Log`].

mod ends;
mod fast;
mod hand;
mod ours;
mod out;
mod slog;
mod spdlog;
mod tracing;

use std::time::Duration;

use self::ends::{Log, burst, calls};
use crate::harness::{Contender, Group, Metric, Plan, Role};

/// The rows of calls, and that of the burst.
pub(crate) fn groups(plan: &Plan) -> Vec<Group> {
    let time = Duration::from_millis(if plan.quick { 50 } else { 200 });
    let rows = ["call-p50", "call-p99", "call-p999"];
    vec![
        Group {
            metrics: rows.map(|row| Metric::lower(row, "ns")).into(),
            contenders: contenders(Rows::Calls(time)),
            note: Some(CALLS_NOTE),
        },
        Group {
            metrics: vec![Metric::lower("burst-total", "ms")],
            contenders: contenders(Rows::Burst),
            note: Some(BURST_NOTE),
        },
    ]
}

const CALLS_NOTE: &str = "\
    one line of three arguments (a number, a fraction with two digits, a text) every 5 us, on core \
    1; by the counter of the processor, whose reading is included; the threads that write are on \
    core 0; nobody may lose a line; tautline-files: rings in files on /dev/shm; limit: the counter \
    and the same 64 bytes through a ring by hand, whose consumer spins";

const BURST_NOTE: &str = "\
    a million such lines as fast as they go, from the first call until all lines are written to \
    /dev/null; limit: until they have been taken out of the ring by hand";

#[derive(Clone, Copy)]
enum Rows {
    Calls(Duration),
    Burst,
}

fn contenders(rows: Rows) -> Vec<Contender> {
    vec![
        contender::<ours::Memory>("tautline", Role::Tautline, rows),
        contender::<ours::Files>("tautline-files", Role::Variant, rows),
        contender::<hand::Bare>("ring-by-hand", Role::Limit, rows),
        contender::<tracing::Appender>("tracing-appender", Role::Peer, rows),
        contender::<slog::Async>("slog-async", Role::Peer, rows),
        contender::<fast::Fast>("fast_log", Role::Peer, rows),
        contender::<spdlog::Pool>("spdlog-rs", Role::Peer, rows),
    ]
}

fn contender<L: Log>(name: &'static str, role: Role, rows: Rows) -> Contender {
    match rows {
        Rows::Calls(time) => Contender::new(name, role, move || calls::<L>(time)),
        Rows::Burst => Contender::new(name, role, burst::<L>),
    }
}
