//! Side-by-side benchmarks: Tautline, the peers people use today, and the physical limit
//! (a bare hand-written loop for the same work), all measured in one run.
//!
//! A benchmark is a list of [`harness::Group`]s. A group is a set of rows that one *slice* of work
//! yields together, and the contenders that do this work. Slices of all contenders alternate, so
//! that each round compares them within one speed state of the machine.
//!
//! `cargo run --release -p bench -- NAME [--json] [--plot F.svg] [--quick]`

mod buffers;
mod bus;
mod cli;
mod echo;
mod fibers;
mod gateway;
mod harness;
mod http;
mod ipc;
mod log;
mod multicast;
mod post;
mod sequence;
mod timers;
mod tls;
mod turn;
mod udp_relay;
mod websocket;

use std::process::ExitCode;

use crate::harness::{Group, Plan, Report};

/// One benchmark as the command line names it.
pub(crate) struct Bench {
    /// Name on the command line and in the report.
    name: &'static str,
    /// The time budget is split in so many shares: one for each group that [`Bench::groups`]
    /// returns, two for one whose fewest rounds take longer than that.
    shares: u32,
    /// Builds the groups; the plan says how long a slice should be.
    groups: fn(&Plan) -> Vec<Group>,
}

/// Every benchmark, in the order in which `--help` lists them.
pub(crate) const BENCHES: &[Bench] = &[
    Bench { name: "echo-rtt", shares: 2, groups: echo::rtt::groups },
    Bench { name: "echo-throughput", shares: 4, groups: echo::throughput::groups },
    Bench { name: "timers", shares: 4, groups: timers::groups },
    Bench { name: "post", shares: 2, groups: post::groups },
    Bench { name: "turn", shares: 3, groups: turn::groups },
    Bench { name: "fibers", shares: 4, groups: fibers::groups },
    Bench { name: "buffers", shares: 9, groups: buffers::groups },
    Bench { name: "bus", shares: 16, groups: bus::groups },
    Bench { name: "gateway", shares: 1, groups: gateway::groups },
    Bench { name: "http", shares: 3, groups: http::groups },
    Bench { name: "ipc", shares: 5, groups: ipc::groups },
    Bench { name: "log", shares: 2, groups: log::groups },
    Bench { name: "multicast", shares: 5, groups: multicast::groups },
    Bench { name: "sequence", shares: 6, groups: sequence::groups },
    Bench { name: "tls", shares: 4, groups: tls::groups },
    Bench { name: "udp-relay", shares: 2, groups: udp_relay::groups },
    Bench { name: "websocket", shares: 24, groups: websocket::groups },
];

fn main() -> ExitCode {
    if let Some(code) = ipc::second_process().or_else(websocket::second_process) {
        return code;
    }
    match cli::parse() {
        Ok(Some(options)) => run(&options),
        Ok(None) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("bench: {message}");
            ExitCode::from(2)
        }
    }
}

/// Measures one benchmark and hands its report to the terminal, the plot and the last line.
fn run(options: &cli::Options) -> ExitCode {
    let bench = options.bench;
    let plan = Plan::new(options.quick, bench.shares);
    let mut groups = (bench.groups)(&plan);
    if let Err(message) = options.select(&mut groups) {
        eprintln!("bench: {message}");
        return ExitCode::from(2);
    }
    let rows = groups.into_iter().flat_map(|group| harness::measure(group, &plan)).collect();
    match publish(&Report { bench: bench.name, rows }, options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn publish(report: &Report, options: &cli::Options) -> Result<(), String> {
    print!("{}", harness::table(report));
    if let Some(path) = &options.plot {
        std::fs::write(path, harness::plot(report))
            .map_err(|error| format!("cannot write the plot to {}: {error}", path.display()))?;
    }
    if options.json {
        let line = serde_json::to_string(report).map_err(|error| error.to_string())?;
        println!("{line}");
    }
    Ok(())
}
