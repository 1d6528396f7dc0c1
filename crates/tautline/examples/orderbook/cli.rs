//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use tautline::relay::units;

use crate::connection::Place;
use crate::exchange::Over;

/// Rebuilds order books from the depth streams of exchanges.
///
/// Each connection brings increments and snapshots as Binance publishes them: over a WebSocket, to
/// which it subscribes, or one JSON document a line. Without an address, a simulated exchange runs
/// for three seconds and loses, repeats and swaps what it sends; in the end its books are compared
/// with ours.
#[derive(Debug, Parser)]
#[command(name = "orderbook", max_term_width = 100)]
pub(crate) struct Cli {
    /// Where an exchange listens, such as ws://127.0.0.1:7000/stream, or 127.0.0.1:7000 for lines;
    /// one connection for each.
    #[arg(value_name = "ADDRESS")]
    pub(crate) places: Vec<Place>,
    /// A symbol to follow on each connection; may be given again [default: BTCUSDT, and ETHUSDT
    /// in the simulation].
    #[arg(long = "symbol", value_name = "SYMBOL", value_parser = symbol)]
    symbols: Vec<String>,
    /// End after this time [default: when all streams have ended; 3s in the simulation].
    #[arg(long = "for", value_name = "DURATION", value_parser = units::parse_duration)]
    pub(crate) run_for: Option<Duration>,
    /// What the simulation is drawn from.
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "places")]
    pub(crate) seed: u64,
    /// How the simulation is spoken to.
    #[arg(long, value_name = "HOW", default_value = "lines", conflicts_with = "places")]
    pub(crate) over: Over,
    /// Whom to trust over wss://: certificates as PEM [default: the roots of the system].
    #[arg(long, value_name = "FILE", requires = "places")]
    pub(crate) ca: Option<PathBuf>,
}

impl Cli {
    /// What to follow, each once.
    pub(crate) fn symbols(&self) -> Vec<String> {
        if self.symbols.is_empty() {
            let symbols = if self.places.is_empty() { 2 } else { 1 };
            return ["BTCUSDT", "ETHUSDT"].map(str::to_owned)[..symbols].to_vec();
        }
        let mut symbols = Vec::new();
        for symbol in &self.symbols {
            if !symbols.contains(symbol) {
                symbols.push(symbol.clone());
            }
        }
        symbols
    }
}

fn symbol(text: &str) -> Result<String, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err("write letters and digits, such as BTCUSDT".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from([&["orderbook"], arguments].concat())
    }

    /// Proves that symbols have defaults, and that one named twice is followed once.
    #[test]
    fn symbols_are_followed_once() {
        let symbols = |arguments: &[&str]| parse(arguments).expect("valid").symbols();
        assert_eq!(symbols(&[]), ["BTCUSDT", "ETHUSDT"]);
        assert_eq!(symbols(&["127.0.0.1:7000"]), ["BTCUSDT"]);
        assert_eq!(symbols(&["--symbol", "A", "--symbol", "B", "--symbol", "A"]), ["A", "B"]);
    }

    /// Proves that bad input is refused by an error that names it and the remedy.
    #[test]
    fn bad_input_is_named() {
        for (arguments, input, remedy) in [
            (&["localhost"][..], "localhost", "such as 127.0.0.1:7000"),
            (&["127.0.0.1:99999"], "127.0.0.1:99999", "such as 127.0.0.1:7000"),
            (&["ws://"], "ws://", "ws://host"),
            (&["--over", "pigeons"], "pigeons", "wss"),
            (&["--ca", "roots.pem"], "--ca", "ADDRESS"),
            (&["127.0.0.1:7000", "--over", "ws"], "--over", "--help"),
            (&["--symbol", "BTC\""], "BTC\"", "such as BTCUSDT"),
            (&["--for", "soon"], "soon", "such as 500ms"),
            (&["--loud"], "--loud", "--help"),
            (&["127.0.0.1:7000", "--seed", "3"], "--seed", "--help"),
        ] {
            let error = parse(arguments).expect_err(input).to_string();
            assert!(error.contains(input) && error.contains(remedy), "{error}");
        }
    }
}
