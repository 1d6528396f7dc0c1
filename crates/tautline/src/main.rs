//! The `tautline` program.
//!
//! Exit codes: 0 done, 1 an endpoint failed at run time, the demonstration lost packets, the books of a
//! gateway are in doubt at its end or a log is damaged, 2 the command line cannot be understood, or names
//! endpoints that cannot be together.

#![forbid(unsafe_code)]

mod above;
mod bus;
mod cli;
mod doctor;
mod journal;
mod market;
mod mcast;
mod notice;
mod output;
mod screen;
mod serve;
mod table;
mod writer;
mod ws;

use std::io::{self, Write};
use std::process::ExitCode;

use cli::{Asked, Refusal, Request};
use notice::{LogArgs, LogError};
use output::Output;
use tautline_market::live::RunError as MarketError;
use tautline_relay::RunError;
use tautline_relay::stats::Summary;

/// Why the program ends with exit code 1.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The relay could not run, or an endpoint failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Nobody reads what the program says.
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
    /// Whoever reads has not read on for too long.
    #[error(
        "standard output: nobody read on for 2 s: the last lines and the summary are not printed"
    )]
    Unread,
    /// What came is not what should.
    #[error("--check: {0}")]
    Check(String),
    /// What is on the bus cannot be told.
    #[error("the bus: {0}")]
    Bus(#[from] tautline_bus::OpenError),
    /// What happens cannot be told as was asked for.
    #[error(transparent)]
    NoLog(#[from] LogError),
    /// What is left of a log cannot be told.
    #[error(transparent)]
    Log(#[from] tautline_log::RecoverError),
    /// A part of it cannot, which was told.
    #[error("not all of the log could be read: see above")]
    Damaged,
    /// A tool for multicast cannot go on.
    #[error(transparent)]
    Mcast(#[from] mcast::Error),
    /// There is no page.
    #[error(transparent)]
    Serve(#[from] serve::Error),
    /// A tool for WebSockets cannot go on.
    #[error(transparent)]
    Ws(#[from] ws::Error),
    /// An exchange or a gateway cannot go on.
    #[error(transparent)]
    Market(#[from] MarketError),
    /// The books of a gateway are not those of the exchange.
    #[error("the books are in doubt at the end: {0}")]
    Doubt(String),
    /// A report that has no JSON form.
    #[error("report: {0}")]
    Json(#[from] serde_json::Error),
    /// The demonstration's subscribers missed something.
    #[error("the demonstration was not lossless; see the summary above, and tautline doctor")]
    Lossy,
}

fn main() -> ExitCode {
    let code = answer();
    notice::finish();
    code
}

fn answer() -> ExitCode {
    match cli::parse(std::env::args_os().collect()) {
        Ok(Asked { request, log }) => finish(begin(&request, &log).and_then(|()| run(&request))),
        Err(Refusal::Told(text)) => finish(write!(io::stdout(), "{text}").map_err(Failure::from)),
        Err(Refusal::Wrong(line)) => {
            notice::say(line);
            ExitCode::from(2)
        }
    }
}

/// Starts the log for who has a loop, and for who asks for it: all others have nothing to say but their
/// last word, and have said it before a log has started.
fn begin(request: &Request, log: &LogArgs) -> Result<(), Failure> {
    let has_loop = matches!(
        request,
        Request::Relay { .. }
            | Request::Demo { .. }
            | Request::Serve(_)
            | Request::Exchange { .. }
            | Request::Gateway { .. }
            | Request::WsEcho(_)
    );
    if has_loop || !log.is_default() {
        notice::start(log)?;
    }
    Ok(())
}

/// A reader that has seen enough (`tautline doctor | head`) is no failure.
fn finish(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(failure) => {
            let unusable = matches!(
                failure,
                Failure::Run(RunError::Conflict(_))
                    | Failure::Market(MarketError::Relay(RunError::Conflict(_)))
                    | Failure::NoLog(LogError::Needs(..))
            );
            notice::say(failure);
            ExitCode::from(if unusable { 2 } else { 1 })
        }
    }
}

fn run(request: &Request) -> Result<(), Failure> {
    match request {
        Request::Doctor { json } => examine(*json),
        Request::LogRecover(args) => recover(args),
        Request::BusList { user, json } => bus::list(*user, *json),
        Request::BusStat(args) => bus::stat(args),
        Request::BusTap(args) => bus::tap(args),
        Request::BusClean { name, json } => bus::clean(name.as_deref(), *json),
        Request::McastRecv(args) => mcast::recv(args),
        Request::McastSend(args) => mcast::send(args),
        Request::McastRate(args) => mcast::rate(args),
        Request::McastDump(args) => mcast::dump(args),
        Request::WsEcho(args) => ws::echo(args),
        Request::WsConnect(args) => ws::connect(args),
        Request::WsBench(args) => ws::bench(args),
        Request::Exchange { config, json } => market::exchange(config, *json),
        Request::Gateway { config, json } => market::gateway(config, *json),
        Request::Relay { config, json } => {
            let mut output = Output::for_destinations(&config.to, *json);
            let end = tautline_relay::run(config, &mut |snapshot| output.snapshot(snapshot));
            conclude(&mut output, end).map(drop)
        }
        Request::Serve(args) => serve::serve(args),
        Request::Demo { config, json } => {
            let mut output = Output::for_destinations(&[], *json);
            let end = tautline_relay::run_demo(config, &mut |snapshot| output.snapshot(snapshot));
            lossless(&conclude(&mut output, end)?)
        }
    }
}

/// Tells what passed, in order or up to a failure, which counts for more than that nobody listens.
fn conclude(output: &mut Output, end: Result<Summary, RunError>) -> Result<Summary, Failure> {
    let told = end.as_ref().map_or_else(RunError::summary, Some).map(|it| output.summary(it));
    let summary = end?;
    told.transpose()?;
    Ok(summary)
}

fn lossless(summary: &Summary) -> Result<(), Failure> {
    if summary.is_lossless() { Ok(()) } else { Err(Failure::Lossy) }
}

fn recover(args: &cli::RecoverArgs) -> Result<(), Failure> {
    let recovered = tautline_log::recover(&args.directory)?;
    journal::print(&recovered, args.waiting, args.json)?;
    if recovered.dropped() > 0 {
        let dropped = recovered.dropped();
        notice::say(format!("lines that were dropped, for their threads found no room: {dropped}"));
    }
    recovered.problems().iter().for_each(notice::say);
    if recovered.problems().is_empty() { Ok(()) } else { Err(Failure::Damaged) }
}

fn examine(json: bool) -> Result<(), Failure> {
    let findings = doctor::examine();
    let mut stdout = io::stdout().lock();
    if json {
        return Ok(writeln!(stdout, "{}", doctor::json(&findings)?)?);
    }
    doctor::lines(&findings).iter().try_for_each(|line| writeln!(stdout, "{line}"))?;
    Ok(())
}
