//! `tautline ws`: its arguments.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use tautline_relay::{HostConfig, units};
use tautline_websocket::handshake::{Request as Opening, Url};

use super::relay::HostArgs;
use super::values::{count, ranged, run_time, seconds};
use super::{Refusal, Request};

#[derive(Debug, Subcommand)]
pub(super) enum WsCommand {
    /// Send everything that comes back: text as text, binary as binary.
    #[command(after_help = ECHO)]
    Echo(EchoArgs),
    /// Open a connection: each line of standard input is a message, each message a line of
    /// standard output.
    #[command(after_help = CONNECT)]
    Connect(ConnectArgs),
    /// Load an echo server, compare every answer, and tell how long answers take.
    #[command(after_help = BENCH)]
    Bench(BenchArgs),
}

const ECHO: &str = "\
Prints where it listens. Pages of other sites are refused (403) unless --origin names them. At Ctrl-C
everybody is told farewell with the code 1001. A peer that does not read is not read from.

Exit codes: 0 ended in order, 1 the address or a certificate cannot be had, 2 the command line cannot be
understood.

Example:      tautline ws echo --listen 127.0.0.1:9001";

const CONNECT: &str = "\
When standard input ends, so does the connection, in order (a server may then leave out the answers that
are still to come: say with --count how many there are), unless --send, --count, --ping or
--close-after says that more is waited for. Names of messages, frames and times go to standard error, with -v.

Exit codes: 0 closed in order, be it by either end; 1 it cannot be opened, it broke, or the peer closed
it with a code other than 1000 and 1001; 2 the command line cannot be understood.

Examples:     tautline ws connect wss://feed.example/v1 --send '{\"subscribe\":\"BTC\"}' --count 10
              producer | tautline ws connect ws://127.0.0.1:9001/ > answers";

const BENCH: &str = "\
Without --rate each connection has --pipeline messages under way at any time. With it the messages are
due at even distances, and latency counts from when one was due, whether or not it could be sent then.

Exit codes: 0 every answer came and was right; 1 a connection failed, an answer was wrong or missing; 2 the
command line cannot be understood.

Example:      tautline ws bench ws://127.0.0.1:9001/ --connections 32 --pipeline 16 --size 125";

// -------------------------------------------------------------------------- arguments

#[derive(Clone, Debug, Args, PartialEq)]
pub(crate) struct EchoArgs {
    /// The address to listen at; port 0 is any that is free.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = listener)]
    pub(crate) listen: SocketAddr,
    /// Speak TLS, as --cert and --key say.
    #[arg(long, requires_all = ["cert", "key"])]
    pub(crate) tls: bool,
    /// The chain of certificates, a PEM file.
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub(crate) cert: Option<PathBuf>,
    /// Its private key, a PEM file.
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub(crate) key: Option<PathBuf>,
    /// Compress messages (permessage-deflate) where the client offers that.
    #[arg(long)]
    pub(crate) deflate: bool,
    /// A subprotocol that is spoken; give it again for each further one.
    #[arg(long = "protocol", value_name = "NAME", value_parser = protocol)]
    pub(crate) protocols: Vec<String>,
    /// A site whose pages may connect, such as https://app.example, or any; give it again for each further
    /// one [default: the server's own].
    #[arg(long = "origin", value_name = "ORIGIN", value_parser = origin)]
    pub(crate) origins: Vec<String>,
    /// Bytes of a message at most; a longer one closes the connection with the code 1009.
    #[arg(long, value_name = "BYTES", default_value = "64MiB", value_parser = longest)]
    pub(crate) max_message: u64,
    /// End after this time [default: run until Ctrl-C].
    #[arg(long = "for", value_name = "DURATION", value_parser = run_time)]
    pub(crate) run_for: Option<Duration>,
    #[command(flatten)]
    host: HostArgs,
    /// Tell where it listens, and at the end what it was, as JSON objects.
    #[arg(long)]
    pub(crate) json: bool,
}

/// How a server is reached.
#[derive(Clone, Debug, Args, PartialEq)]
pub(crate) struct ReachArgs {
    /// The server: ws://HOST:PORT/PATH or wss://HOST:PORT/PATH.
    #[arg(value_name = "URL", value_parser = url)]
    pub(crate) url: String,
    /// Offer to compress messages (permessage-deflate).
    #[arg(long)]
    pub(crate) deflate: bool,
    /// Accept every certificate: for tests alone.
    #[arg(long, conflicts_with = "ca")]
    pub(crate) insecure: bool,
    /// Trust these authorities, a PEM file [default: those of the system].
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
}

#[derive(Clone, Debug, Args, PartialEq)]
pub(crate) struct ConnectArgs {
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
    /// A header of the request; give it again for each further one.
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    pub(crate) headers: Vec<(String, String)>,
    /// A subprotocol to offer, the preferred one first.
    #[arg(long = "protocol", value_name = "NAME", value_parser = protocol)]
    pub(crate) protocols: Vec<String>,
    /// Go through this HTTP proxy: http://USER:PASSWORD@HOST:PORT.
    #[arg(long, value_name = "URL", value_parser = proxy)]
    pub(crate) proxy: Option<String>,
    /// How often to go where the server sends one.
    #[arg(long, value_name = "N", default_value = "5", value_parser = redirects)]
    pub(crate) redirects: u8,
    /// A message to send once the connection is open; give it again for each further one.
    #[arg(long = "send", value_name = "TEXT")]
    pub(crate) messages: Vec<String>,
    /// Send binary messages, not text.
    #[arg(long)]
    pub(crate) binary: bool,
    /// Ping the server each second.
    #[arg(long)]
    pub(crate) ping: bool,
    /// End after so many messages.
    #[arg(long, value_name = "N", value_parser = count)]
    pub(crate) count: Option<u64>,
    /// Say farewell after so many seconds, or any other time with its unit.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub(crate) close_after: Option<Duration>,
    /// Bytes of a message at most; a longer one closes the connection with the code 1009.
    #[arg(long, value_name = "BYTES", default_value = "64MiB", value_parser = longest)]
    pub(crate) max_message: u64,
    /// Tell on standard error what comes and goes, and when.
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Print JSON objects, one a line.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    host: HostArgs,
}

#[derive(Clone, Debug, Args, PartialEq)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
    /// Connections at a time.
    #[arg(long, value_name = "N", default_value = "1", value_parser = connections)]
    pub(crate) connections: usize,
    /// Messages a second over all connections, such as 500 or 20k.
    #[arg(long, value_name = "RATE", conflicts_with = "pipeline", value_parser = units::parse_rate)]
    pub(crate) rate: Option<u64>,
    /// Messages that each connection has under way [default: 1].
    #[arg(long, value_name = "N", value_parser = pipeline)]
    pipeline: Option<usize>,
    /// Bytes a message.
    #[arg(long, value_name = "SIZE", default_value = "16", value_parser = size)]
    pub(crate) size: usize,
    /// How long, in seconds, or any other time with its unit.
    #[arg(long, value_name = "TIME", default_value = "10", value_parser = seconds)]
    pub(crate) seconds: Duration,
    #[command(flatten)]
    host: HostArgs,
    /// The result as a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

impl EchoArgs {
    /// How the loop runs.
    pub(crate) fn host(&self) -> HostConfig {
        self.host.clone().into()
    }
}

impl ConnectArgs {
    /// How the loop runs.
    pub(crate) fn host(&self) -> HostConfig {
        self.host.clone().into()
    }

    /// Whether more is waited for when standard input has ended.
    pub(crate) fn stays(&self) -> bool {
        !self.messages.is_empty() || self.count.is_some() || self.close_after.is_some() || self.ping
    }
}

impl BenchArgs {
    /// How the loop runs.
    pub(crate) fn host(&self) -> HostConfig {
        self.host.clone().into()
    }

    /// Messages that each connection has under way.
    pub(crate) fn pipeline(&self) -> usize {
        self.pipeline.unwrap_or(1)
    }
}

/// The request that a command is.
pub(super) fn request(command: WsCommand) -> Result<Request, Refusal> {
    Ok(match command {
        WsCommand::Echo(args) => Request::WsEcho(args),
        WsCommand::Connect(args) => Request::WsConnect(args),
        WsCommand::Bench(args) => Request::WsBench(args),
    })
}

// ------------------------------------------------------------------------------------- values

fn listener(text: &str) -> Result<SocketAddr, String> {
    let why = "write an address of this machine, which is no name, and a port from 0 to 65535, such \
               as 127.0.0.1:9001";
    text.parse().map_err(|_| why.to_owned())
}

fn url(text: &str) -> Result<String, String> {
    let why = |error| format!("{error}: write ws://HOST:PORT/PATH or wss://HOST:PORT/PATH");
    Url::parse(text).map(|_| text.to_owned()).map_err(why)
}

/// Proxies are written as those of other programs.
fn proxy(text: &str) -> Result<String, String> {
    let why = "write http://HOST:PORT or http://USER:PASSWORD@HOST:PORT";
    let rest = text.strip_prefix("http://").ok_or(why)?;
    let url = format!("ws://{rest}");
    Url::parse(&url).map(|_| url).map_err(|error| format!("{error}: {why}"))
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) =
        text.split_once(':').ok_or("write NAME: VALUE, such as Origin: https://a.b")?;
    let (name, value) = (name.trim(), value.trim());
    let checked = some_request().and_then(|request| {
        request.header(name, value).map(drop).map_err(|error| error.to_string())
    });
    checked.map(|()| (name.to_owned(), value.to_owned()))
}

fn protocol(text: &str) -> Result<String, String> {
    let checked = some_request()?.protocol(text);
    checked.map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// A request that headers can be tried on.
fn some_request() -> Result<Opening, String> {
    Url::parse("ws://host/").map(|url| Opening::new(&url)).map_err(|error| error.to_string())
}

fn origin(text: &str) -> Result<String, String> {
    let is_one = text == "any"
        || text.split_once("://").is_some_and(|(scheme, host)| {
            !scheme.is_empty() && !host.is_empty() && !host.contains('/')
        });
    let why = "write SCHEME://HOST or SCHEME://HOST:PORT, such as https://app.example, or any";
    if is_one { Ok(text.to_owned()) } else { Err(why.to_owned()) }
}

fn redirects(text: &str) -> Result<u8, String> {
    ranged(units::parse_count(text), 0..=100, "redirects").map(|most| most as u8)
}

fn longest(text: &str) -> Result<u64, String> {
    ranged(units::parse_bytes(text), 1..=1 << 32, "bytes, such as 64MiB").map(|most| most as u64)
}

fn connections(text: &str) -> Result<usize, String> {
    ranged(units::parse_count(text), 1..=10_000, "connections")
}

fn pipeline(text: &str) -> Result<usize, String> {
    ranged(units::parse_count(text), 1..=4_096, "messages")
}

fn size(text: &str) -> Result<usize, String> {
    ranged(units::parse_bytes(text), 8..=1 << 20, "bytes, such as 125 or 16KiB")
}
