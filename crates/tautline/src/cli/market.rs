//! `tautline exchange` and `gateway`: their arguments.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use clap::Args;
use tautline_feed::sequence;
use tautline_market::exchange::{self, Impairment};
use tautline_market::gateway;
use tautline_market::live::{ExchangeConfig, GatewayConfig, RunError, WireFormat};
use tautline_relay::endpoint::{
    Destination, DestinationPlace, EndpointError, MulticastDestination, MulticastSource, Source,
    SourcePlace,
};
use tautline_relay::queue::Policy;
use tautline_relay::units;

use super::relay::HostArgs;
use super::values::{ranged, run_time, session};
use super::{Refusal, Request};
use crate::table::quantity::things;

const EXCHANGE: &str = "\
The session is named after the time of the start, and ends with the program. What lines do to packets
follows from the seed: --loss 1% is for all lines, --loss 0,5% for the first and the second.

Exit codes: 0 ended in order, 1 a line or a server cannot be opened, which standard error names, 2 the
command line cannot be understood.

Example:      tautline exchange --loss 2%,5% --rate 50k &
              tautline gateway --to tcp-listen://127.0.0.1:9000";

const GATEWAY: &str = "\
Without arguments it finds the exchange that runs without arguments. What both lines have lost it asks
the replay server for; when messages are lost for good it says so, and goes on from a snapshot.

Destinations: those of tautline relay. A quote goes there whenever the best price of an instrument
changes; what is in it the book's page on the market feed tells.
It runs until it is told to end, whatever becomes of the exchange; without --to also until nobody can
read its reports any more.
Exit codes: 0 ended in order, with sound books, 1 the books are in doubt at the end, a line cannot be
joined, or a destination has failed or was never reached, which standard error names, 2 the command
line cannot be understood.

Example:      tautline gateway --line 'mcast://239.1.1.1:5000?iface=eth0' \\
                  --line 'mcast://239.1.2.1:5000?iface=eth1' --replay 192.0.2.7:5001 \\
                  --snapshot 192.0.2.7:5002 --to tcp-listen://0.0.0.0:9000";

// -------------------------------------------------------------------------- tautline exchange

#[derive(Debug, Args)]
#[command(after_help = EXCHANGE)]
pub(super) struct ExchangeArgs {
    /// The group of a line, with options iface, hops and loopback; give it again for each further line
    /// [default: mcast://239.255.0.1:31001?iface=lo and the same of 239.255.0.2].
    #[arg(long = "line", value_name = "URL", value_parser = line_to)]
    lines: Vec<MulticastDestination>,
    /// The layout of packets: moldudp64 or compact.
    #[arg(long, value_name = "FORMAT", default_value = "moldudp64", value_parser = |text: &str| text.parse::<WireFormat>())]
    format: WireFormat,
    /// Where to listen for those who have missed something.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:31002", value_parser = listener)]
    replay: SocketAddr,
    /// Where to listen for those who need all books.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:31003", value_parser = listener)]
    snapshot: SocketAddr,
    /// Instruments.
    #[arg(long, value_name = "N", default_value = "8", value_parser = instruments)]
    instruments: u32,
    /// Orders that a book can have at a time.
    #[arg(long, value_name = "N", default_value = "1000", value_parser = orders)]
    orders: usize,
    /// Messages a second on average, such as 500 or 20k.
    #[arg(long, value_name = "RATE", default_value = "10k", value_parser = rate)]
    rate: u32,
    /// The share of packets that a line loses, such as 1% or 0.01; of each line, if there are several.
    #[arg(long, value_name = "SHARE", default_value = "1%", value_delimiter = ',', value_parser = share)]
    loss: Vec<f64>,
    /// The share of packets that go twice, likewise.
    #[arg(long, value_name = "SHARE", default_value = "0", value_delimiter = ',', value_parser = share)]
    duplication: Vec<f64>,
    /// The share of packets that are held back and overtaken, likewise.
    #[arg(long, value_name = "SHARE", default_value = "0", value_delimiter = ',', value_parser = share)]
    reordering: Vec<f64>,
    /// How long packets take, such as 50us or 1ms..3ms, likewise.
    #[arg(long, value_name = "TIME", default_value = "0..200us", value_delimiter = ',', value_parser = delay)]
    delay: Vec<RangeInclusive<Duration>>,
    /// Messages that are kept for those who have missed them.
    #[arg(long, value_name = "N", default_value = "262144", value_parser = history)]
    history: usize,
    /// After so long in which nothing was said there is a heartbeat.
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = heartbeat)]
    heartbeat: Duration,
    /// Where all chance comes from.
    #[arg(long, value_name = "N", default_value = "1", value_parser = seed)]
    seed: u64,
    /// The number of the session [default: the time of the start].
    #[arg(long, value_name = "N", value_parser = session)]
    session: Option<u32>,
    /// End after this time [default: run until Ctrl-C].
    #[arg(long = "for", value_name = "DURATION", value_parser = run_time)]
    run_for: Option<Duration>,
    #[command(flatten)]
    host: HostArgs,
    /// One JSON object a second, and a summary object last.
    #[arg(long)]
    json: bool,
}

/// The request, at that time in seconds since 1970.
pub(super) fn exchange(args: ExchangeArgs, now: u32) -> Result<Request, Refusal> {
    let defaults = ExchangeConfig::default();
    let lines = if args.lines.is_empty() { defaults.lines } else { args.lines };
    let count = lines.len();
    let loss = each("--loss", &args.loss, count)?;
    let duplication = each("--duplication", &args.duplication, count)?;
    let reordering = each("--reordering", &args.reordering, count)?;
    let delay = each("--delay", &args.delay, count)?;
    let impairments = (0..count).map(|at| Impairment {
        loss: loss[at],
        duplication: duplication[at],
        reordering: reordering[at],
        delay: delay[at].clone(),
        ..Impairment::default()
    });
    let exchange = exchange::Config {
        session: args.format.session(args.session.unwrap_or(now)),
        instruments: args.instruments,
        orders: args.orders,
        rate: args.rate,
        lines: impairments.collect(),
        history: args.history,
        heartbeat: args.heartbeat,
        ..exchange::Config::default()
    };
    let config = ExchangeConfig {
        format: args.format,
        lines,
        replay: args.replay,
        snapshot: args.snapshot,
        exchange,
        seed: args.seed,
        run_for: args.run_for,
        host: args.host.into(),
    };
    Ok(Request::Exchange { config, json: args.json })
}

/// A value for each line: one is for all.
fn each<T: Clone>(argument: &str, values: &[T], lines: usize) -> Result<Vec<T>, Refusal> {
    match values {
        [one] => Ok(vec![one.clone(); lines]),
        many if many.len() == lines => Ok(many.to_vec()),
        many => Err(Refusal::Wrong(format!(
            "{argument}: {} for {}: write one, or one for each",
            things(many.len() as u64, "value"),
            things(lines as u64, "line"),
        ))),
    }
}

// --------------------------------------------------------------------------- tautline gateway

#[derive(Debug, Args)]
#[command(after_help = GATEWAY)]
pub(super) struct GatewayArgs {
    /// The group of a line, with options iface, source and buffer; give it again for each further line
    /// [default: mcast://239.255.0.1:31001?iface=lo and the same of 239.255.0.2].
    #[arg(long = "line", value_name = "URL", value_parser = line_from)]
    lines: Vec<LineFrom>,
    /// The layout of packets: moldudp64 or compact.
    #[arg(long, value_name = "FORMAT", default_value = "moldudp64", value_parser = |text: &str| text.parse::<WireFormat>())]
    format: WireFormat,
    /// Where what was missed can be asked for.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:31002", value_parser = server)]
    replay: String,
    /// Where all books can be asked for.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:31003", value_parser = server)]
    snapshot: String,
    /// Where quotes go; give it again for each further destination [default: nowhere].
    #[arg(long, value_name = "URL", value_parser = |url: &str| url.parse::<Destination>())]
    to: Vec<Destination>,
    /// Instruments, as many as the exchange has.
    #[arg(long, value_name = "N", default_value = "8", value_parser = instruments)]
    instruments: u32,
    /// Orders that a book can have at a time: at least as many as with the exchange.
    #[arg(long, value_name = "N", default_value = "1000", value_parser = orders)]
    orders: usize,
    /// What is missing for so long is given up.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = run_time)]
    deadline: Duration,
    /// End after this time [default: run until Ctrl-C].
    #[arg(long = "for", value_name = "DURATION", value_parser = run_time)]
    run_for: Option<Duration>,
    #[command(flatten)]
    host: HostArgs,
    /// One JSON object a second, and a summary object last.
    #[arg(long)]
    json: bool,
}

/// A line that is joined.
#[derive(Clone, Debug)]
struct LineFrom {
    group: MulticastSource,
    /// Bytes that its socket is to hold.
    buffer: Option<u32>,
}

pub(super) fn gateway(args: GatewayArgs) -> Result<Request, Refusal> {
    let defaults = GatewayConfig::default();
    let buffers = args.lines.iter().map(|line| line.buffer).collect();
    let lines = args.lines.into_iter().map(|line| line.group).collect::<Vec<_>>();
    let lines = if lines.is_empty() { defaults.lines } else { lines };
    if lines.len() > 32 {
        return Err(Refusal::Wrong("--line: at most 32 lines of one feed".to_owned()));
    }
    if let Some(to) = args.to.iter().find(|to| to.policy == Policy::Wait) {
        let to = &to.url;
        let why = "policy=wait: prices do not wait; write drop-old, drop-new or disconnect";
        return Err(Refusal::Wrong(format!("--to: {to}: {why}")));
    }
    let sequence = sequence::Config {
        lines: lines.len(),
        deadline: args.deadline,
        ..defaults.gateway.sequence
    };
    let gateway = gateway::Config {
        sequence,
        instruments: args.instruments,
        orders: args.orders,
        ..defaults.gateway
    };
    let config = GatewayConfig {
        format: args.format,
        lines,
        buffers,
        replay: args.replay,
        snapshot: args.snapshot,
        gateway,
        to: args.to,
        run_for: args.run_for,
        host: args.host.into(),
    };
    config.check().map_err(|error| match error {
        RunError::OwnFeed { .. } => Refusal::Wrong(format!("--to: {error}")),
        other => Refusal::Wrong(format!("--line: {other}")),
    })?;
    Ok(Request::Gateway { config, json: args.json })
}

// ------------------------------------------------------------------------------------- values

const A_LINE: &str = "a line is a group: write mcast://GROUP:PORT?iface=NAME";

/// Options of a line that is sent to, and of one that is joined: not all that endpoints of a relay have.
const TO: [&str; 3] = ["iface", "hops", "loopback"];
const FROM: [&str; 3] = ["iface", "source", "buffer"];

/// What is wrong with a line: of the schemes that endpoints have it can have one alone.
fn no_line(url: &str, error: EndpointError, known: &[&str]) -> String {
    match error {
        EndpointError::UnknownKey { key, .. } if url.starts_with("mcast:") => {
            no_option(&key, known)
        }
        EndpointError::NotMulticast { address } => {
            format!(
                "{address} is no group: write mcast://GROUP:PORT, such as mcast://239.1.1.1:5000"
            )
        }
        other if url.starts_with("mcast:") => other.to_string(),
        _ => A_LINE.to_owned(),
    }
}

/// Of the options that endpoints of a relay have a line has these.
fn only_options(url: &str, known: &[&str]) -> Result<(), String> {
    let options = url.split_once('?').map_or("", |(_, options)| options);
    let keys = options.split('&').map(|option| option.split('=').next().unwrap_or_default());
    match keys.filter(|key| !key.is_empty()).find(|key| !known.contains(key)) {
        Some(key) => Err(no_option(key, known)),
        None => Ok(()),
    }
}

fn no_option(key: &str, known: &[&str]) -> String {
    format!("a line has no option {key:?}; known are {}", known.join(", "))
}

fn line_to(url: &str) -> Result<MulticastDestination, String> {
    let to = url.parse::<Destination>().map_err(|error| no_line(url, error, &TO))?;
    match to.place {
        DestinationPlace::Multicast(group) => only_options(url, &TO).map(|()| group),
        _ => Err(A_LINE.to_owned()),
    }
}

fn line_from(url: &str) -> Result<LineFrom, String> {
    let from = url.parse::<Source>().map_err(|error| no_line(url, error, &FROM))?;
    match from.place {
        SourcePlace::Multicast(group) => {
            let buffer = from.receive_buffer;
            only_options(url, &FROM).map(|()| LineFrom { group, buffer })
        }
        _ => Err(A_LINE.to_owned()),
    }
}

fn listener(text: &str) -> Result<SocketAddr, String> {
    let why = "write an address of this machine, which is no name, and a port from 0 to 65535, such \
               as 127.0.0.1:31002";
    text.parse().map_err(|_| why.to_owned())
}

/// Names are looked up when they are connected to.
fn server(text: &str) -> Result<String, String> {
    let why = match format!("tcp://{text}").parse::<Destination>() {
        Ok(_) if !text.contains('?') => return Ok(text.to_owned()),
        Err(EndpointError::Address { why, .. }) => why,
        _ => "there is more than a host and a port",
    };
    Err(format!("{why}: write HOST:PORT, such as 192.0.2.7:31002"))
}

fn instruments(text: &str) -> Result<u32, String> {
    ranged(units::parse_count(text), 1..=100_000, "instruments").map(|count| count as u32)
}

fn orders(text: &str) -> Result<usize, String> {
    ranged(units::parse_count(text), 2..=10_000_000, "orders")
}

fn rate(text: &str) -> Result<u32, String> {
    ranged(units::parse_rate(text), 1..=10_000_000, "messages a second, such as 500 or 20k")
        .map(|rate| rate as u32)
}

fn history(text: &str) -> Result<usize, String> {
    ranged(units::parse_count(text), 1..=1 << 30, "messages")
}

fn heartbeat(text: &str) -> Result<Duration, String> {
    let all = Duration::from_millis(1)..=Duration::from_secs(3600);
    let time = units::parse_duration(text).ok().filter(|time| all.contains(time));
    time.ok_or_else(|| "write 1ms to 1h".to_owned())
}

fn seed(text: &str) -> Result<u64, String> {
    units::parse_count(text).map_err(|_| format!("write a number from 0 to {}", u64::MAX))
}

/// A share in per cent, or as a fraction.
fn share(text: &str) -> Result<f64, String> {
    let (number, whole) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let share = number.parse::<f64>().ok().map(|number| number / whole);
    share
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or("write 0% to 100%, or 0 to 1".to_owned())
}

/// A time, or the least and the most.
fn delay(text: &str) -> Result<RangeInclusive<Duration>, String> {
    let (least, most) = text.split_once("..").unwrap_or((text, text));
    let longest = Duration::from_secs(60);
    match (units::parse_duration(least), units::parse_duration(most)) {
        (Ok(least), Ok(most)) if least <= most && most <= longest => Ok(least..=most),
        _ => Err("write 0 to 1m, such as 50us, or the least and the most: 1ms..3ms".to_owned()),
    }
}
