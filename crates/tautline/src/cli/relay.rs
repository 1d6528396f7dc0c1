//! `tautline relay`, `demo` and `doctor`: their arguments.

use std::time::Duration;

use clap::Args;
use tautline_relay::endpoint::{DemoFeed, Destination, Source};
use tautline_relay::{DemoConfig, DriverChoice, HostConfig, RelayConfig, WaitChoice, demo, units};

use super::Request;
use super::values::{ranged, run_time};

#[derive(Debug, Args)]
#[command(after_help = ENDPOINTS)]
pub(super) struct RelayArgs {
    /// Where the feed comes from.
    #[arg(long, value_name = "URL", value_parser = |url: &str| url.parse::<Source>())]
    from: Source,
    /// Where it goes; give it again for each further destination.
    #[arg(long, value_name = "URL", required = true, value_parser = |url: &str| url.parse::<Destination>())]
    to: Vec<Destination>,
    #[command(flatten)]
    running: RunningArgs,
}

/// How a relay runs, whatever it relays.
#[derive(Clone, Debug, Args)]
pub(super) struct RunningArgs {
    /// End after this time [default: run until Ctrl-C or the end of the source].
    #[arg(long = "for", value_name = "DURATION", value_parser = run_time)]
    run_for: Option<Duration>,
    /// Packets that can be held at a time, over all queues together.
    #[arg(long, value_name = "N", default_value = "8192", value_parser = slots)]
    slots: usize,
    #[command(flatten)]
    host: HostArgs,
    /// One JSON object a second, and a summary object last.
    #[arg(long)]
    pub(super) json: bool,
}

impl RunningArgs {
    /// A relay between these.
    pub(super) fn relay(self, from: Source, to: Vec<Destination>) -> RelayConfig {
        let Self { run_for, slots, host, json: _ } = self;
        RelayConfig { from, to, run_for, host: host.into(), slots }
    }
}

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// End after this time.
    #[arg(long = "for", value_name = "DURATION", default_value = "10s", value_parser = run_time)]
    run_for: Duration,
    /// Subscribers, each over a socket of its own.
    #[arg(long, value_name = "N", default_value = "100", value_parser = subscribers)]
    subscribers: u32,
    /// Packets a second, such as 500 or 20k.
    #[arg(long, value_name = "RATE", default_value = "1k", value_parser = units::parse_rate)]
    rate: u64,
    /// Bytes a packet.
    #[arg(long, value_name = "SIZE", default_value = "1200", value_parser = packet_size)]
    size: usize,
    #[command(flatten)]
    host: HostArgs,
    /// One JSON object a second, and a summary object last.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// One JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, Args, PartialEq, Eq)]
pub(super) struct HostArgs {
    /// How to talk to the kernel: auto, uring or readiness.
    #[arg(long, value_name = "DRIVER", default_value = "auto", value_parser = |text: &str| text.parse::<DriverChoice>())]
    driver: DriverChoice,
    /// What to do when nothing is to do: spin, warm or sleep.
    #[arg(long, value_name = "MODE", default_value = "sleep", value_parser = |text: &str| text.parse::<WaitChoice>())]
    wait: WaitChoice,
    /// Pin the loop to this core.
    #[arg(long, value_name = "N", value_parser = core)]
    core: Option<usize>,
}

pub(super) const ENDPOINTS: &str = "\
Sources:      udp://HOST:PORT  mcast://GROUP:PORT  tcp://HOST:PORT  tcp-listen://HOST:PORT
              ws://HOST:PORT/PATH  wss://...  ws-listen://HOST:PORT  wss-listen://HOST:PORT
              unix://PATH  unix-listen://PATH  shm://NAMESPACE/NAME  file:PATH  stdin:  demo:
Destinations: udp://HOST:PORT  mcast://GROUP:PORT  tcp://HOST:PORT  tcp-listen://HOST:PORT
              ws://HOST:PORT/PATH  wss://...  ws-listen://HOST:PORT  wss-listen://HOST:PORT
              unix-listen://PATH  shm://NAMESPACE/NAME  file:PATH  stdout:
Options:      ?framing=rfc4571|raw  ?queue=PACKETS,BYTES  ?subscribers=N  ?publishers=N
              ?buffer=BYTES  ?policy=drop-old|drop-new|disconnect|wait  ?size=BYTES  ?rate=N (demo:)
              ?send=MESSAGE (ws:, wss:; percent-encoded)  ?text (WebSockets as destination)
              ?ca=FILE (wss:)  ?cert=FILE&key=FILE (wss-listen:, which needs both)
              ?capacity=BYTES (shm:, as its other users have it)
              ?iface=NAME|ADDRESS  ?source=ADDRESS  ?hops=N  ?loopback=on|off (mcast:)
Each destination has queue=1024,4MiB and policy=drop-old unless its URL says otherwise; only
policy=wait loses nothing (not for udp: and mcast:), and a loss under it gives exit code 1.
A Unix PATH may be an abstract name, which is no file: unix-listen://@feed

Example:      tautline relay --from udp://0.0.0.0:5000 --to 'tcp-listen://0.0.0.0:9000?queue=256'";

impl From<RelayArgs> for Request {
    fn from(args: RelayArgs) -> Self {
        let RelayArgs { from, to, running } = args;
        let json = running.json;
        Self::Relay { config: running.relay(from, to), json }
    }
}

impl From<DemoArgs> for Request {
    fn from(args: DemoArgs) -> Self {
        let DemoArgs { run_for, subscribers, rate, size, host, json } = args;
        let feed = DemoFeed { rate, size };
        let config = DemoConfig { feed, subscribers, run_for, host: host.into() };
        Self::Demo { config, json }
    }
}

impl From<DoctorArgs> for Request {
    fn from(args: DoctorArgs) -> Self {
        Self::Doctor { json: args.json }
    }
}

impl From<HostArgs> for HostConfig {
    fn from(args: HostArgs) -> Self {
        Self { driver: args.driver, wait: args.wait, core: args.core, signals: true }
    }
}

fn core(text: &str) -> Result<usize, String> {
    ranged(units::parse_count(text), 0..=65_535, "as the core's number")
}

fn slots(text: &str) -> Result<usize, String> {
    ranged(units::parse_count(text), 64..=1 << 20, "packets")
}

fn subscribers(text: &str) -> Result<u32, String> {
    ranged(units::parse_count(text), 1..=100_000, "subscribers").map(|count| count as u32)
}

fn packet_size(text: &str) -> Result<usize, String> {
    ranged(units::parse_bytes(text), demo::MIN_SIZE..=65_535, "bytes, such as 1200 or 8KiB")
}
