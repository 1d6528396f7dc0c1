//! Order books, rebuilt from the depth streams of exchanges: one fiber a connection takes
//! increments and snapshots, checks their sequence, asks for a new snapshot after a gap, and keeps
//! the book; another prints the top of all books once a second.
//!
//! ```sh
//! cargo run --release --example orderbook                 # against a simulated exchange
//! cargo run --release --example orderbook -- --over wss   # the same through WebSocket and TLS
//! cargo run --release --example orderbook -- 127.0.0.1:7000 127.0.0.1:7001 --symbol BTCUSDT
//! cargo run --release --example orderbook -- ws://127.0.0.1:7000/stream --symbol BTCUSDT
//! ```
//!
//! - `decimal`, `book`: exact prices, and what is bid and asked at each.
//! - `sequence`: how a snapshot and a stream are joined, as a pure state machine.
//! - `message`, `feed`: what an exchange says, and one connection without the connection.
//! - `connection`, `shell`: the sockets; all that waits.
//! - `latency`, `report`, `cli`: how late the books are, what is printed, what can be asked for.
//! - `exchange`: the simulated exchange, which drops, repeats and swaps what it sends.
//!
//! Exit codes: 0 done, 1 a connection failed or a book is wrong, 2 the command line cannot be
//! understood.

#![forbid(unsafe_code)]

mod book;
mod cli;
mod connection;
mod decimal;
mod exchange;
mod feed;
mod latency;
mod message;
mod report;
mod sequence;
mod shell;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use cli::Cli;
use connection::{Connection, Orders, Place};
use exchange::{Course, Exchange, Faults};
use tautline::net::tls::{Connector, Roots};

/// Increments of one symbol that may wait for a snapshot.
const HOLD: usize = 4096;
/// The simulation: connections, updates a second on each, and how long.
const CONNECTIONS: u64 = 4;
const RATE: u64 = 2000;
const TIME: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let end = if cli.places.is_empty() { simulate(&cli) } else { follow(&cli) };
    match end {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // A reader that has seen enough is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("orderbook: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Follows the exchanges that were named. Whether all went well.
fn follow(cli: &Cli) -> io::Result<bool> {
    let tls = cli.ca.as_deref().map(trusting).transpose()?;
    let connections = connections(cli, cli.places.clone(), tls, cli.run_for)?;
    Ok(connections.iter().all(|connection| connection.end.is_ok()))
}

/// Trusts the certificates in a file.
fn trusting(path: &Path) -> io::Result<Connector> {
    let roots = Roots::from_pem_file(path)?;
    Ok(Connector::builder().roots(roots).build()?)
}

/// Follows the built-in exchange. Whether every book is the exchange's own.
fn simulate(cli: &Cli) -> io::Result<bool> {
    let faults = Faults { drop: 0.005, repeat: 0.01, swap: 0.005 };
    let updates = (cli.run_for.unwrap_or(TIME).as_secs_f64() * RATE as f64) as u64;
    let course = Course { seed: cli.seed, symbols: cli.symbols(), updates, faults };
    let exchange = Exchange::start(&course, CONNECTIONS, RATE, cli.over)?;
    let (places, tls) = (exchange.places().to_vec(), exchange.tls()?);
    let connections = connections(cli, places, tls, None)?;
    if connections.iter().any(|connection| connection.end.is_err()) {
        return Ok(false);
    }
    if connections.iter().all(|connection| connection.feed.is_complete()) {
        return compare(exchange, &connections);
    }
    writeln!(io::stdout(), "\nstopped before the end: there is nothing to compare with")?;
    Ok(true)
}

/// Follows these places, and says what came of it.
fn connections(
    cli: &Cli,
    places: Vec<Place>,
    tls: Option<Connector>,
    run_for: Option<Duration>,
) -> io::Result<Vec<Connection>> {
    let symbols = cli.symbols();
    let orders = Orders { places, symbols, hold: HOLD, run_for, tls, tables: true };
    let connections = shell::follow_all(orders)?;
    io::stdout().write_all(report::summary(&connections).as_bytes())?;
    Ok(connections)
}

fn compare(exchange: Exchange, connections: &[Connection]) -> io::Result<bool> {
    let accounts = exchange.finish()?;
    let pairs = accounts.iter().zip(connections);
    let found: Vec<String> = pairs
        .flat_map(|(account, connection)| report::differences(account, &connection.feed))
        .collect();
    let books: usize = accounts.iter().map(|account| account.books.len()).sum();
    let mut output = io::stdout().lock();
    write!(output, "\n{}", report::dealt(&accounts))?;
    writeln!(output, "{} of {books} books are the exchange's own", books - found.len())?;
    for difference in &found {
        eprintln!("orderbook: {difference}");
    }
    Ok(found.is_empty())
}
