//! What exchange and gateway are told beforehand.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};
use tautline_feed::format::Session;
use tautline_relay::HostConfig;
use tautline_relay::endpoint::{
    Destination, DestinationPlace, Host, HostPort, InterfaceName, MulticastDestination,
    MulticastSource,
};

use super::run::RunError;
use crate::{exchange, gateway};

/// How packets are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WireFormat {
    /// [`MoldUdp64`](tautline_feed::format::MoldUdp64).
    #[default]
    MoldUdp64,
    /// [`Compact`](tautline_feed::format::Compact).
    Compact,
}

/// A word that names no format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no format of packets; write moldudp64 or compact")]
pub struct UnknownWireFormat(String);

impl FromStr for WireFormat {
    type Err = UnknownWireFormat;

    fn from_str(text: &str) -> Result<Self, UnknownWireFormat> {
        match text {
            "moldudp64" => Ok(Self::MoldUdp64),
            "compact" => Ok(Self::Compact),
            _ => Err(UnknownWireFormat(text.to_owned())),
        }
    }
}

impl fmt::Display for WireFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MoldUdp64 => "moldudp64",
            Self::Compact => "compact",
        })
    }
}

impl Serialize for WireFormat {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl WireFormat {
    /// The one to try if it is not this one.
    pub fn other(self) -> Self {
        match self {
            Self::MoldUdp64 => Self::Compact,
            Self::Compact => Self::MoldUdp64,
        }
    }

    /// A session by its number: in decimal digits where sessions are text.
    pub fn session(self, number: u32) -> Session {
        match self {
            Self::MoldUdp64 => {
                Session::of_text(&format!("{number:010}")).expect("ten digits are ten bytes")
            }
            Self::Compact => Session::of_number(number),
        }
    }
}

/// What a simulated exchange is asked to do.
#[derive(Clone, Debug, PartialEq)]
pub struct ExchangeConfig {
    /// How packets are laid out.
    pub format: WireFormat,
    /// Where each line goes: as many as [`exchange::Config::lines`].
    pub lines: Vec<MulticastDestination>,
    /// Where to listen for those who have missed something.
    pub replay: SocketAddr,
    /// Where to listen for those who need all books.
    pub snapshot: SocketAddr,
    /// What happens there.
    pub exchange: exchange::Config,
    /// What all chance comes from.
    pub seed: u64,
    /// When to end by itself; `None`: at a signal.
    pub run_for: Option<Duration>,
    /// How the loop runs.
    pub host: HostConfig,
}

/// What a gateway is asked to do.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewayConfig {
    /// How packets are laid out.
    pub format: WireFormat,
    /// Which groups to join: a line each, as many as the lines of [`gateway::Config::sequence`].
    pub lines: Vec<MulticastSource>,
    /// What the socket of each line is to hold, in bytes, as far as the system grants it; of lines without a
    /// word 4 MiB.
    pub buffers: Vec<Option<u32>>,
    /// Where what was missed can be asked for: host and port.
    pub replay: String,
    /// Where all books can be asked for: host and port.
    pub snapshot: String,
    /// How it goes about it.
    pub gateway: gateway::Config,
    /// Where quotes go.
    pub to: Vec<Destination>,
    /// When to end by itself; `None`: at a signal.
    pub run_for: Option<Duration>,
    /// How the loop runs.
    pub host: HostConfig,
}

impl GatewayConfig {
    /// Whether there can be such a gateway, as far as can be told beforehand.
    ///
    /// # Errors
    /// [`RunError::Lines`], [`RunError::SameLine`], [`RunError::OwnFeed`].
    pub fn check(&self) -> Result<(), RunError> {
        let (groups, lines) = (self.lines.len(), self.gateway.sequence.lines);
        if groups != lines {
            return Err(RunError::Lines { groups, lines });
        }
        for (at, line) in self.lines.iter().enumerate() {
            let same = |other: &MulticastSource| {
                (other.group, &other.interfaces) == (line.group, &line.interfaces)
            };
            if self.lines[..at].iter().any(same) {
                return Err(RunError::SameLine { group: line.group });
            }
        }
        // Members get what is sent to the mapped form of their group too.
        let address = |group: SocketAddr| (group.ip().to_canonical(), group.port());
        for to in &self.to {
            let group = match &to.place {
                DestinationPlace::Multicast(to) => address(to.group),
                DestinationPlace::Udp(HostPort { host: Host::Ip(ip), port }) => {
                    (ip.to_canonical(), *port)
                }
                _ => continue,
            };
            if let Some(line) = self.lines.iter().find(|line| address(line.group) == group) {
                return Err(RunError::OwnFeed { to: to.url.clone(), group: line.group });
            }
        }
        Ok(())
    }
}

/// Where everything is unless one says otherwise: on this machine, by the loopback interface.
mod place {
    use std::net::{Ipv4Addr, SocketAddr};

    pub(super) const REPLAY: SocketAddr = at(31_002);
    pub(super) const SNAPSHOT: SocketAddr = at(31_003);

    const fn at(port: u16) -> SocketAddr {
        SocketAddr::V4(std::net::SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
    }

    /// The group of a line, from 0.
    pub(super) fn group(line: u8) -> SocketAddr {
        (Ipv4Addr::new(239, 255, 0, 1 + line), 31_001).into()
    }
}

fn loopback() -> InterfaceName {
    InterfaceName::Name("lo".to_owned())
}

impl Default for ExchangeConfig {
    /// Two lines to 239.255.0.1:31001 and 239.255.0.2:31001 by `lo`, the servers on ports 31002 and 31003
    /// of 127.0.0.1.
    fn default() -> Self {
        let line = |at| MulticastDestination {
            group: place::group(at),
            interface: Some(loopback()),
            hops: 1,
            loopback: true,
        };
        Self {
            format: WireFormat::default(),
            lines: vec![line(0), line(1)],
            replay: place::REPLAY,
            snapshot: place::SNAPSHOT,
            exchange: exchange::Config::default(),
            seed: 1,
            run_for: None,
            host: HostConfig::default(),
        }
    }
}

impl Default for GatewayConfig {
    /// One that finds the exchange of [`ExchangeConfig::default`], and publishes nowhere.
    fn default() -> Self {
        let line = |at| MulticastSource {
            group: place::group(at),
            interfaces: vec![loopback()],
            sources: Vec::new(),
        };
        Self {
            format: WireFormat::default(),
            lines: vec![line(0), line(1)],
            buffers: Vec::new(),
            replay: place::REPLAY.to_string(),
            snapshot: place::SNAPSHOT.to_string(),
            gateway: gateway::Config::default(),
            to: Vec::new(),
            run_for: None,
            host: HostConfig::default(),
        }
    }
}
