//! `tautline mcast`: its arguments.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Args, Subcommand};
use tautline_feed::format::Session;
use tautline_relay::endpoint::InterfaceName;
use tautline_relay::{HostConfig, units};

use super::relay::HostArgs;
use super::values::{count, quoted, ranged, run_time, seconds, session};
use super::{Refusal, Request};
use crate::mcast::{Bytes, Choice, LONGEST, Layout, Look, Pace, Place, Rate};

#[derive(Debug, Subcommand)]
pub(super) enum McastCommand {
    /// Join groups and print what comes, packet by packet.
    #[command(after_help = RECV)]
    Recv(RecvArgs),
    /// Send to a group: numbered packets at a rate, the lines of standard input, or a capture.
    #[command(after_help = SEND)]
    Send(SendArgs),
    /// Join groups and report how much comes from whom, and what is lost, late or doubled.
    #[command(after_help = RATE)]
    Rate(RateArgs),
    /// Print the datagrams of a capture, with the headers of feeds explained.
    #[command(after_help = DUMP)]
    Dump(DumpArgs),
}

const RECV: &str = "\
Each line has the time at which the kernel got the packet, who sent it, the group, the interface, how
long it is, how many the kernel had to drop before it, and what its header says if it is of a feed.
With --write alone only the summary is printed. Its rates are means from the first packet of a sender
to the end.

Exit codes: 0 ended in order, 1 a group cannot be joined or a file not be written, which standard error
names, 2 the command line cannot be understood.

Examples:     tautline mcast recv 239.1.1.1:5000 --iface eth0 --source 192.0.2.7 --text
              tautline mcast recv 239.1.1.1:5000 --iface eth0 --write - | tshark -i -";

const SEND: &str = "\
Packets are numbered from 1 on, in a session that is named after the time of the start, so that
tautline mcast rate can tell what is missing. In silence, and at the end, feeds are told the number
that comes next. Without --iface the system's routes say where packets go. If the rate is not reached, a
line on standard error says so, and so does the summary.

Example:      tautline mcast send 239.1.1.1:5000 --iface eth0 --rate 20k --size 1200 --for 10s";

const RATE: &str = "\
Losses show in the numbers of packets: of the formats compact and MoldUDP64, and of RTP. What is lost
and comes later is late and no longer lost; what comes again is a copy. What the kernel dropped is lost
here too, and counted for itself. Rates are those since the last report; in the summary, means from the
first packet of a sender to the end.

Example:      tautline mcast rate 239.1.1.1:5000 239.1.1.2:5000 --iface eth0 --buffer 8MiB";

const DUMP: &str = "\
Reads pcap and pcapng files, or a pipe (-), of Ethernet (with VLAN tags), raw IP, Linux cooked and loopback frames,
over IPv4 and IPv6. Exit codes: 0 all was read, 1 it is damaged or cannot be read, which standard
error names, 2 the command line cannot be understood.";

// -------------------------------------------------------------------------- what several have

/// What is joined.
#[derive(Clone, Debug, Args, PartialEq, Eq)]
pub(crate) struct JoinArgs {
    /// The groups, such as 239.255.0.1:5000 or [ff12::1]:5000.
    #[arg(value_name = "GROUP:PORT", required = true, value_parser = group)]
    pub(crate) groups: Vec<SocketAddr>,
    /// Where to join, by name or address; give it again for each further interface [default: where
    /// the system's routes lead].
    #[arg(long = "iface", value_name = "NAME|ADDRESS", value_parser = interface)]
    pub(crate) interfaces: Vec<InterfaceName>,
    /// Hear this sender alone; give it again for each further one [default: everybody].
    #[arg(long = "source", value_name = "ADDRESS", value_parser = sender)]
    pub(crate) sources: Vec<IpAddr>,
    /// Bytes of the kernel's receive buffer, such as 8MiB.
    #[arg(long, value_name = "BYTES", value_parser = buffer)]
    pub(crate) buffer: Option<usize>,
}

impl JoinArgs {
    /// Looks whether groups and senders fit each other.
    fn check(&self) -> Result<(), String> {
        let fits = |group: &SocketAddr, source: &IpAddr| group.is_ipv4() == source.is_ipv4();
        let groups = &self.groups;
        if let Some(lost) =
            self.sources.iter().find(|it| !groups.iter().any(|group| fits(group, it)))
        {
            return Err(format!("--source: {lost}: write an address of the group's family"));
        }
        let bare =
            groups.iter().find(|group| !self.sources.iter().any(|source| fits(group, source)));
        match bare {
            Some(group) if !self.sources.is_empty() => {
                Err(format!("--source: write one for {group} too, an address of its family"))
            }
            _ => Ok(()),
        }
    }
}

/// What packets are taken for, and how many of them.
#[derive(Clone, Copy, Debug, Args, PartialEq, Eq)]
pub(crate) struct PacketArgs {
    /// The format of the packets: auto, plain, compact, moldudp64 or rtp.
    #[arg(long, value_name = "FORMAT", default_value = "auto", value_parser = |text: &str| text.parse::<Choice>())]
    pub(crate) format: Choice,
    /// End after so many packets.
    #[arg(long, value_name = "N", value_parser = count)]
    pub(crate) count: Option<u64>,
}

/// What is heard, and for how long.
#[derive(Clone, Debug, Args, PartialEq, Eq)]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    pub(crate) join: JoinArgs,
    #[command(flatten)]
    pub(crate) packets: PacketArgs,
    /// End after this time [default: run until Ctrl-C].
    #[arg(long = "for", value_name = "DURATION", value_parser = run_time)]
    pub(crate) run_for: Option<Duration>,
    #[command(flatten)]
    host: HostArgs,
}

impl WatchArgs {
    /// How the loop runs.
    pub(crate) fn host(&self) -> HostConfig {
        self.host.clone().into()
    }
}

/// How packets are shown.
#[derive(Clone, Copy, Debug, Args, PartialEq, Eq)]
pub(crate) struct LookArgs {
    /// Print what is in the packets as text; what cannot be printed is escaped.
    #[arg(long, conflicts_with = "hex")]
    text: bool,
    /// Print what is in the packets as hexadecimal digits.
    #[arg(long)]
    hex: bool,
    /// One JSON object a packet, and a summary object last.
    #[arg(long)]
    pub(crate) json: bool,
}

impl LookArgs {
    /// The same, as one choice.
    pub(crate) fn look(self) -> Look {
        let bytes = match (self.text, self.hex) {
            (true, _) => Bytes::Text,
            (false, true) => Bytes::Hex,
            (false, false) => Bytes::Hidden,
        };
        Look { bytes, json: self.json }
    }
}

// ------------------------------------------------------------------------------- the commands

#[derive(Clone, Debug, Args, PartialEq, Eq)]
pub(crate) struct RecvArgs {
    #[command(flatten)]
    pub(crate) watch: WatchArgs,
    #[command(flatten)]
    pub(crate) look: LookArgs,
    /// Write the packets into a capture (pcap, raw IP, nanoseconds); - is standard output, and all that
    /// is printed goes to standard error then.
    #[arg(long, value_name = "FILE", value_parser = place())]
    pub(crate) write: Option<Place>,
}

impl RecvArgs {
    /// Whether each packet is printed.
    pub(crate) fn prints(&self) -> bool {
        let LookArgs { text, hex, json } = self.look;
        self.write.is_none() || text || hex || json
    }
}

#[derive(Clone, Debug, Args, PartialEq, Eq)]
pub(crate) struct RateArgs {
    #[command(flatten)]
    pub(crate) watch: WatchArgs,
    /// From one report to the next; a number without a unit is of seconds.
    #[arg(long, value_name = "SECONDS", default_value = "1s", value_parser = seconds)]
    pub(crate) every: Duration,
    /// One JSON object a report, and a summary object last.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, Args, PartialEq, Eq)]
pub(crate) struct DumpArgs {
    /// The capture; - is standard input.
    #[arg(value_name = "FILE", value_parser = place())]
    pub(crate) file: Place,
    #[command(flatten)]
    pub(crate) look: LookArgs,
    #[command(flatten)]
    pub(crate) packets: PacketArgs,
}

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
    fn check(&self) -> Result<(), String> {
        let layout = self.try_layout(0)?;
        let Origin::Generated { size, .. } = self.origin() else { return Ok(()) };
        if size >= layout.least() {
            return Ok(());
        }
        let (least, name) = (layout.least(), layout.name());
        Err(format!("--size: {size}: write {least} to {LONGEST} bytes for packets of {name}"))
    }
}

/// The request that a command is.
pub(super) fn request(command: McastCommand) -> Result<Request, Refusal> {
    Ok(match command {
        McastCommand::Recv(args) => {
            args.watch.join.check().map_err(Refusal::Wrong)?;
            Request::McastRecv(args)
        }
        McastCommand::Rate(args) => {
            args.watch.join.check().map_err(Refusal::Wrong)?;
            Request::McastRate(args)
        }
        McastCommand::Dump(args) => Request::McastDump(args),
        McastCommand::Send(args) => {
            args.check().map_err(Refusal::Wrong)?;
            Request::McastSend(args)
        }
    })
}

// --------------------------------------------------------------------------------- the values

/// A group and a port.
fn group(text: &str) -> Result<SocketAddr, String> {
    let example = "such as 239.255.0.1:5000 or [ff12::1]:5000";
    if let Some((group, rest)) = text.split_once('%') {
        let zone = rest.split(']').next().unwrap_or_default();
        return Err(format!(
            "write the interface apart: {group}{} --iface {zone}",
            &rest[zone.len()..]
        ));
    }
    match text.parse::<SocketAddr>() {
        Ok(address) if !address.ip().is_multicast() => Err(format!(
            "{} is no multicast address: write a group and a port, {example}",
            address.ip()
        )),
        Ok(address) if address.port() == 0 => Err(format!("write a port from 1 on, {example}")),
        Ok(address) => Ok(address),
        Err(_) => Err(format!("write a group and a port from 1 to 65535, {example}")),
    }
}

/// Where a capture is.
fn place() -> impl TypedValueParser<Value = Place> {
    PathBufValueParser::new().map(Place::from)
}

fn sender(text: &str) -> Result<IpAddr, String> {
    let address = text.parse::<IpAddr>().ok();
    let is_sender = |ip: &IpAddr| !ip.is_multicast() && !ip.is_unspecified();
    address
        .filter(is_sender)
        .ok_or_else(|| "write the address that a sender sends from, such as 192.0.2.7".to_owned())
}

/// Whether there is such an interface shows when it is used.
fn interface(text: &str) -> Result<InterfaceName, String> {
    match text {
        "" | "0" => Err("write the name of an interface, such as eth0, or its address".to_owned()),
        name => Ok(InterfaceName::from(name)),
    }
}

fn hops(text: &str) -> Result<u8, String> {
    ranged(units::parse_count(text), 0..=255, "networks").map(|hops| hops as u8)
}

fn buffer(text: &str) -> Result<usize, String> {
    ranged(units::parse_bytes(text), 1..=1 << 30, "bytes, such as 8MiB")
}

fn size(text: &str) -> Result<usize, String> {
    ranged(units::parse_bytes(text), 1..=LONGEST, "bytes, such as 1200 or 8KiB")
}

fn on_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("write on or off".to_owned()),
    }
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
