//! Where a feed goes.

use core::fmt;
use core::str::FromStr;
use std::path::PathBuf;

use super::address::{HostPort, PortZero, UnixName, file_path, host_port, unix_name};
use super::channel::{ShmChannel, channel};
use super::error::EndpointError;
use super::multicast::{self, MulticastDestination};
use super::options;
use super::source::alone;
use super::url::{Parts, Role, Scheme, split};
use super::websocket::{self, WebSocketListener, WebSocketPeer};
use crate::framing::Framing;
use crate::queue::{Limits, Policy};

/// Subscribers that a listening destination takes unless `?subscribers=` says otherwise.
pub const DEFAULT_SUBSCRIBERS: u32 = 16_384;

/// A destination, parsed from its URL by [`str::parse`].
///
/// ```
/// use tautline_relay::{endpoint::Destination, queue::Policy};
/// let to: Destination = "tcp-listen://0.0.0.0:9000?queue=256,4MiB&policy=disconnect".parse()?;
/// assert_eq!((to.limits.packets, to.policy), (256, Policy::Disconnect));
/// # Ok::<(), tautline_relay::endpoint::EndpointError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The URL as it was written; names the endpoint in tables and errors.
    pub url: String,
    /// What to open.
    pub place: DestinationPlace,
    /// How packets lie in the stream; without meaning where packets keep their
    /// boundaries.
    pub framing: Framing,
    /// Bounds of each subscriber's queue.
    pub limits: Limits,
    /// What happens to a packet that finds the queue full.
    pub policy: Policy,
    /// Subscribers at a time on a listening destination; further ones are refused and counted.
    pub subscribers: u32,
    /// Send buffer asked of the system, in bytes; `None` leaves the system's default.
    pub send_buffer: Option<u32>,
}

/// What a destination opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DestinationPlace {
    /// Send datagrams to this address.
    Udp(HostPort),
    /// Send datagrams to this multicast group.
    Multicast(MulticastDestination),
    /// Connect and write; again, with back-off, when the connection ends.
    Tcp(HostPort),
    /// Accept subscribers, who come and go.
    TcpListen(HostPort),
    /// Connect to a WebSocket server and send; again, with back-off, when the connection ends.
    WebSocket(WebSocketPeer),
    /// Accept WebSocket subscribers, who come and go.
    WebSocketListen(WebSocketListener),
    /// Accept subscribers on a Unix stream socket.
    UnixListen(UnixName),
    /// Send into a byte channel of the bus, whether its reader is there or not.
    Shm(ShmChannel),
    /// Write a file from its start.
    File(PathBuf),
    /// Write to standard output.
    Stdout,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl FromStr for Destination {
    type Err = EndpointError;

    fn from_str(url: &str) -> Result<Self, EndpointError> {
        let parts = split(url, Role::Destination)?;
        let mut destination = Self {
            url: url.to_owned(),
            place: place(&parts)?,
            framing: if parts.scheme.sends_messages() { Framing::Raw } else { Framing::default() },
            limits: Limits::default(),
            policy: Policy::default(),
            subscribers: DEFAULT_SUBSCRIBERS,
            send_buffer: None,
        };
        options::each(&parts, known_keys(parts.scheme), &["send"], |key, value| {
            destination.apply(parts.scheme, key, value)
        })?;
        websocket::complete(&parts)?;
        Ok(destination)
    }
}

impl Destination {
    /// Whether the system keeps packet boundaries, so that no prefix is needed.
    #[must_use]
    pub fn keeps_boundaries(&self) -> bool {
        use DestinationPlace::{Multicast, Shm, Udp, WebSocket, WebSocketListen};
        matches!(self.place, Udp(_) | Multicast(_) | Shm(_) | WebSocket(_) | WebSocketListen(_))
    }

    /// Whether many subscribers can be here at a time.
    #[must_use]
    pub fn listens(&self) -> bool {
        use DestinationPlace::{TcpListen, UnixListen, WebSocketListen};
        matches!(self.place, TcpListen(_) | UnixListen(_) | WebSocketListen(_))
    }

    fn apply(
        &mut self,
        scheme: Scheme,
        key: &'static str,
        value: &str,
    ) -> Result<(), EndpointError> {
        match (key, &mut self.place) {
            ("capacity", DestinationPlace::Shm(channel)) => {
                channel.capacity = options::capacity(key, value)?
            }
            ("publishers", DestinationPlace::Shm(channel)) => {
                channel.publishers = options::count(key, value)?
            }
            ("iface", DestinationPlace::Multicast(to)) => {
                to.interface = Some(multicast::interface(key, value)?)
            }
            ("hops", DestinationPlace::Multicast(to)) => to.hops = options::hops(key, value)?,
            ("loopback", DestinationPlace::Multicast(to)) => {
                to.loopback = options::on_off(key, value)?
            }
            ("send" | "ca" | "text", DestinationPlace::WebSocket(peer)) => {
                peer.apply(key, value)?
            }
            ("cert" | "key" | "text", DestinationPlace::WebSocketListen(at)) => {
                at.apply(key, value)?
            }
            ("queue", _) => self.limits = options::queue(key, value)?,
            ("policy", _) => self.policy = options::policy(key, value, known_policies(scheme))?,
            ("subscribers", _) => self.subscribers = options::count(key, value)?,
            ("buffer", _) => self.send_buffer = Some(options::socket_buffer(key, value)?),
            _ => self.framing = options::framing(key, value)?,
        }
        Ok(())
    }
}

fn place(parts: &Parts<'_>) -> Result<DestinationPlace, EndpointError> {
    let (scheme, body) = (parts.scheme, parts.body);
    Ok(match scheme {
        Scheme::Udp => DestinationPlace::Udp(host_port(scheme, body, PortZero::Refused)?),
        Scheme::Mcast => DestinationPlace::Multicast(MulticastDestination::of(body)?),
        Scheme::Tcp => DestinationPlace::Tcp(host_port(scheme, body, PortZero::Refused)?),
        Scheme::TcpListen => {
            DestinationPlace::TcpListen(host_port(scheme, body, PortZero::Allowed)?)
        }
        Scheme::Ws | Scheme::Wss => DestinationPlace::WebSocket(WebSocketPeer::of(scheme, body)?),
        Scheme::WsListen | Scheme::WssListen => {
            DestinationPlace::WebSocketListen(WebSocketListener::of(scheme, body)?)
        }
        Scheme::Unix | Scheme::UnixListen => DestinationPlace::UnixListen(unix_name(scheme, body)?),
        Scheme::Shm => DestinationPlace::Shm(channel(body)?),
        Scheme::File => DestinationPlace::File(file_path(body)?),
        Scheme::Stdin | Scheme::Stdout | Scheme::Demo => {
            alone(scheme, body, DestinationPlace::Stdout)?
        }
    })
}

fn known_keys(scheme: Scheme) -> &'static [&'static str] {
    match scheme {
        Scheme::Udp => &["queue", "policy", "buffer"],
        Scheme::Mcast => &["iface", "hops", "loopback", "queue", "policy", "buffer"],
        Scheme::Tcp => &["framing", "queue", "policy", "buffer"],
        Scheme::TcpListen | Scheme::UnixListen => {
            &["framing", "queue", "policy", "buffer", "subscribers"]
        }
        Scheme::Ws => &["send", "text", "queue", "policy"],
        Scheme::Wss => &["send", "ca", "text", "queue", "policy"],
        Scheme::WsListen => &["text", "queue", "policy", "buffer", "subscribers"],
        Scheme::WssListen => &["cert", "key", "text", "queue", "policy", "buffer", "subscribers"],
        Scheme::Shm => &["queue", "policy", "capacity", "publishers"],
        _ => &["framing", "queue", "policy"],
    }
}

/// Only a connection can be cut; only a destination that says when it is full can be waited for.
fn known_policies(scheme: Scheme) -> &'static [Policy] {
    match scheme {
        Scheme::Tcp
        | Scheme::TcpListen
        | Scheme::UnixListen
        | Scheme::Ws
        | Scheme::Wss
        | Scheme::WsListen
        | Scheme::WssListen => {
            &[Policy::DropNew, Policy::DropOld, Policy::Disconnect, Policy::Wait]
        }
        Scheme::Udp | Scheme::Mcast => &[Policy::DropNew, Policy::DropOld],
        _ => &[Policy::DropNew, Policy::DropOld, Policy::Wait],
    }
}
