//! `tautline mcast`: its arguments; those of `send` apart.

mod send;
mod values;

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use clap::{Args, Subcommand};
use tautline_relay::HostConfig;
use tautline_relay::endpoint::InterfaceName;

pub(crate) use self::send::{Origin, SendArgs};
use self::values::{buffer, group, interface, place, sender};
use super::relay::HostArgs;
use super::values::{count, run_time, seconds};
use super::{Refusal, Request};
use crate::mcast::{Bytes, Choice, Look, Place};

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

Who does not read what is printed holds up nothing: lines that find no room are counted, and at the end
it is waited for 2 s.

Exit codes: 0 ended in order, 1 a group cannot be joined, a file not be written or the summary not be
printed, or with --check nothing came or something was lost, which standard error names, 2 the command line cannot be understood.

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
first packet of a sender to the end. With --check the exit code is 1 if nothing came or something was
lost.

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
        no_twice(&self.groups, "")?;
        no_twice(&self.interfaces, "--iface: ")?;
        no_twice(&self.sources, "--source: ")?;
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

/// Refuses what is named twice, which would be counted twice or cannot be joined.
fn no_twice<T: PartialEq + Display>(all: &[T], option: &str) -> Result<(), String> {
    let twice = all.iter().enumerate().find(|(at, one)| all[..*at].contains(one));
    twice.map_or(Ok(()), |(_, one)| Err(format!("{option}{one} is named twice: name it once")))
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
    /// End with exit code 1 if nothing came or something was lost or dropped.
    #[arg(long)]
    pub(crate) check: bool,
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
