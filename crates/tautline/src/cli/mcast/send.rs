//! `tautline mcast send`: its arguments.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use tautline_feed::format::Session;
use tautline_relay::endpoint::InterfaceName;
use tautline_relay::{HostConfig, units};

use super::super::relay::HostArgs;
use super::super::values::{count, quoted, ranged, run_time, session};
use super::values::{group, interface, place};
use crate::mcast::{Choice, LONGEST, Layout, Pace, Place, Rate};

#[derive(Clone, Debug, Args, PartialEq)]
pub(crate) struct SendArgs {
    /// The group, such as 239.255.0.1:5000 or [ff12::1]:5000.
    #[arg(value_name = "GROUP:PORT", value_parser = group)]
    pub(crate) group: SocketAddr,
    /// Where to send, by name or address [default: where the system's routes lead].
    #[arg(long = "iface", value_name = "NAME|ADDRESS", value_parser = interface)]
    pub(crate) interface: Option<InterfaceName>,
    /// How many networks a packet may cross: 0 stays on this machine, 1 on the link.
    #[arg(long, value_name = "N", default_value = "1", value_parser = hops)]
    pub(crate) hops: u8,
    /// Whether members on this machine get the packets too: on or off.
    #[arg(long, value_name = "ON|OFF", default_value = "on", value_parser = on_off, action = clap::ArgAction::Set)]
    pub(crate) loopback: bool,
    /// Packets a second, such as 500 or 20k [default: 1k; of lines, as they come].
    #[arg(long, value_name = "RATE", conflicts_with_all = ["bitrate", "read"], value_parser = units::parse_rate)]
    rate: Option<u64>,
    /// The same in bits a second, such as 10M.
    #[arg(long, value_name = "BITS", conflicts_with_all = ["stdin", "read"], value_parser = bit_rate)]
    bitrate: Option<u64>,
    /// Bytes a packet [default: 1200].
    #[arg(long, value_name = "SIZE", conflicts_with_all = ["stdin", "read"], value_parser = size)]
    size: Option<usize>,
    /// Send the lines of standard input, a packet each.
    #[arg(long, conflicts_with = "read")]
    stdin: bool,
    /// Send the datagrams of a capture, whatever group they were sent to; - is standard input.
    #[arg(long, value_name = "FILE", value_parser = place())]
    read: Option<Place>,
    /// How much faster than they were recorded: 2, 0.5, or max for no pauses at all [default: 1].
    #[arg(long, value_name = "FACTOR", requires = "read", value_parser = speed)]
    speed: Option<Speed>,
    /// The layout of the packets: plain, compact or moldudp64 [default: compact; of lines and
    /// captures, plain].
    #[arg(long, value_name = "FORMAT", value_parser = layout)]
    format: Option<Choice>,
    /// The session of a feed: a number (compact) or up to ten letters (moldudp64) [default: the time
    /// of the start].
    #[arg(long, value_name = "NAME")]
    session: Option<String>,
    /// End after so many packets.
    #[arg(long, value_name = "N", value_parser = count)]
    pub(crate) count: Option<u64>,
    /// End after this time [default: run until Ctrl-C or the end of what is sent].
    #[arg(long = "for", value_name = "DURATION", value_parser = run_time)]
    pub(crate) run_for: Option<Duration>,
    #[command(flatten)]
    host: HostArgs,
    /// The summary as a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// How fast a capture is played; `None`: without pauses.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Speed(Option<f64>);

/// Where packets that are sent come from.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// They are made up.
    Generated { pace: Pace, size: usize },
    /// From standard input.
    Lines { pace: Option<Pace> },
    /// From a capture.
    Capture { place: Place, speed: Option<f64> },
}

impl Origin {
    /// How fast they are to be sent, if that is up to who sends them alone.
    pub(crate) fn rate(&self) -> Option<Rate> {
        match self {
            Self::Generated { pace, .. } => Some(pace.rate()),
            Self::Lines { .. } | Self::Capture { .. } => None,
        }
    }
}

/// Bytes of a generated packet if nothing is said.
const SIZE: usize = 1_200;
/// Packets a second, likewise.
const RATE_OF_PACKETS: u64 = 1_000;

impl SendArgs {
    /// How the loop runs.
    pub(crate) fn host(&self) -> HostConfig {
        self.host.clone().into()
    }

    /// Where the packets come from.
    pub(crate) fn origin(&self) -> Origin {
        if let Some(place) = self.read.clone() {
            return Origin::Capture { place, speed: self.speed.map_or(Some(1.0), |speed| speed.0) };
        }
        let of_packets = |rate: u64| Pace::of_packets(rate as f64);
        if self.stdin {
            return Origin::Lines { pace: self.rate.map(of_packets) };
        }
        let size = self.size.unwrap_or(SIZE);
        let pace = match self.bitrate {
            Some(bits) => Pace::of_bits(bits as f64, size),
            None => of_packets(self.rate.unwrap_or(RATE_OF_PACKETS)),
        };
        Origin::Generated { pace, size }
    }

    /// How the packets are laid out; `now` names the session if nothing else does.
    ///
    /// # Errors
    /// What is wrong with the session.
    fn try_layout(&self, now: u32) -> Result<Layout, String> {
        let is_generated = !self.stdin && self.read.is_none();
        let usual = if is_generated { Choice::Compact } else { Choice::Plain };
        match (self.format.unwrap_or(usual), self.session.as_deref()) {
            (Choice::Compact, None) => Ok(Layout::Compact(Session::of_number(now))),
            (Choice::Compact, Some(text)) => match session(text) {
                Ok(number) => Ok(Layout::Compact(Session::of_number(number))),
                Err(why) => Err(format!("--session: {}: {why}", quoted(text))),
            },
            (Choice::MoldUdp64, text) => {
                let text = text.map_or_else(|| now.to_string(), str::to_owned);
                let graphic = text.bytes().all(|byte| byte.is_ascii_graphic());
                let session = Session::of_text(&text).filter(|_| graphic && !text.is_empty());
                let why =
                    || format!("--session: {}: write one to ten letters and digits", quoted(&text));
                session.map(Layout::MoldUdp64).ok_or_else(why)
            }
            (_, None) => Ok(Layout::Plain),
            (_, Some(_)) => Err("--session: plain packets have none; write --format compact or \
                                 --format moldudp64"
                .to_owned()),
        }
    }

    /// How the packets are laid out.
    pub(crate) fn layout(&self) -> Layout {
        let now = jiff::Timestamp::now().as_second() as u32;
        // It was looked at when the arguments were.
        self.try_layout(now).unwrap_or(Layout::Plain)
    }

    /// Looks whether the arguments can be together.
    pub(super) fn check(&self) -> Result<(), String> {
        let layout = self.try_layout(0)?;
        let Origin::Generated { size, .. } = self.origin() else { return Ok(()) };
        if size >= layout.least() {
            return Ok(());
        }
        let (least, name) = (layout.least(), layout.name());
        Err(format!("--size: {size}: write {least} to {LONGEST} bytes for packets of {name}"))
    }
}

fn on_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("write on or off".to_owned()),
    }
}

fn size(text: &str) -> Result<usize, String> {
    ranged(units::parse_bytes(text), 1..=LONGEST, "bytes, such as 1200 or 8KiB")
}

/// Bits a second, with a decimal unit.
fn bit_rate(text: &str) -> Result<u64, String> {
    let units = [("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000)];
    let unit = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    let (digits, factor) = unit.unwrap_or((text, 1));
    let bits = digits.parse::<u64>().ok().and_then(|bits| bits.checked_mul(factor));
    let why = "write bits a second, from 1 to 1000G, such as 64k or 10M";
    bits.filter(|bits| (1..=1_000_000_000_000).contains(bits)).ok_or_else(|| why.to_owned())
}

fn speed(text: &str) -> Result<Speed, String> {
    if text == "max" {
        return Ok(Speed(None));
    }
    let factor = text.parse::<f64>().ok().filter(|factor| (0.001..=1e6).contains(factor));
    let why = || "write a factor from 0.001 to 1000000, such as 2 or 0.5, or max".to_owned();
    factor.map(|factor| Speed(Some(factor))).ok_or_else(why)
}

/// A format that can be sent.
fn layout(text: &str) -> Result<Choice, String> {
    match text.parse() {
        Ok(choice @ (Choice::Plain | Choice::Compact | Choice::MoldUdp64)) => Ok(choice),
        _ => Err("write plain, compact or moldudp64".to_owned()),
    }
}

fn hops(text: &str) -> Result<u8, String> {
    ranged(units::parse_count(text), 0..=255, "networks").map(|hops| hops as u8)
}
