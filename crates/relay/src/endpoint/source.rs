//! Where a feed comes from.

use core::fmt;
use core::str::FromStr;
use std::path::PathBuf;

use super::address::{Host, HostPort, PortZero, UnixName, file_path, host_port, unix_name};
use super::channel::{ShmChannel, channel};
use super::error::EndpointError;
use super::multicast::MulticastSource;
use super::options;
use super::url::{Parts, Role, Scheme, split};
use super::websocket::{self, WebSocketListener, WebSocketPeer};
use crate::demo;
use crate::framing::{Framing, MAX_PACKET};

/// Publishers of a listening source if the URL does not say: each has 128 KiB to receive to.
pub const DEFAULT_PUBLISHERS: u32 = 256;

/// A source, parsed from its URL by [`str::parse`].
///
/// ```
/// use tautline_relay::endpoint::{Source, SourcePlace};
/// let source: Source = "udp://[::1]:5004?buffer=4MiB".parse()?;
/// assert!(matches!(source.place, SourcePlace::Udp(_)));
/// # Ok::<(), tautline_relay::endpoint::EndpointError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The URL as it was written; names the endpoint in tables and errors.
    pub url: String,
    /// What to open.
    pub place: SourcePlace,
    /// How packets lie in the stream; without meaning where packets keep their boundaries.
    pub framing: Framing,
    /// Largest packet accepted (framed, datagram) or chunk read (raw), 1 to 65535 bytes.
    pub max_packet: usize,
    /// Publishers at a time on a listening source; further ones are refused and counted.
    pub publishers: u32,
    /// Receive buffer asked of the system, in bytes; `None` leaves the system's default.
    pub receive_buffer: Option<u32>,
}

/// What a source opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourcePlace {
    /// Bind here and receive datagrams.
    Udp(HostPort),
    /// Join a multicast group and receive datagrams.
    Multicast(MulticastSource),
    /// Connect and read; again, with back-off, when the connection ends.
    Tcp(HostPort),
    /// Accept connections and read from each.
    TcpListen(HostPort),
    /// Connect to a WebSocket server; again, with back-off, when the connection ends.
    WebSocket(WebSocketPeer),
    /// Accept WebSocket connections and read from each.
    WebSocketListen(WebSocketListener),
    /// Connect to a Unix stream socket and read; again, with back-off, when it ends.
    Unix(UnixName),
    /// Accept Unix stream connections and read from each.
    UnixListen(UnixName),
    /// Receive from a byte channel of the bus.
    Shm(ShmChannel),
    /// Read a file to its end.
    File(PathBuf),
    /// Read standard input to its end.
    Stdin,
    /// Generate the built-in sequenced feed.
    Demo(DemoFeed),
}

/// Rate and packet size of the built-in feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DemoFeed {
    /// Packets a second, at least 1.
    pub rate: u64,
    /// Bytes a packet, from [`demo::MIN_SIZE`] to 65535.
    pub size: usize,
}

impl Default for DemoFeed {
    /// 1,000 packets a second of 1,200 bytes: about 10 Mbit/s, the shape of a video feed.
    fn default() -> Self {
        Self { rate: 1_000, size: 1_200 }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl FromStr for Source {
    type Err = EndpointError;

    fn from_str(url: &str) -> Result<Self, EndpointError> {
        let parts = split(url, Role::Source)?;
        let mut source = Self {
            url: url.to_owned(),
            place: place(&parts)?,
            framing: Framing::default(),
            max_packet: MAX_PACKET,
            publishers: DEFAULT_PUBLISHERS,
            receive_buffer: None,
        };
        let (known, several) = (known_keys(parts.scheme), &["iface", "source", "send"]);
        options::each(&parts, known, several, |key, value| source.apply(key, value))?;
        websocket::complete(&parts)?;
        Ok(source)
    }
}

impl Source {
    /// Whether many publishers can be here at a time.
    #[must_use]
    pub fn listens(&self) -> bool {
        use SourcePlace::{TcpListen, UnixListen, WebSocketListen};
        matches!(self.place, TcpListen(_) | UnixListen(_) | WebSocketListen(_))
    }

    /// Whether packets of this source arrive with their boundaries kept by the system.
    #[must_use]
    pub fn keeps_boundaries(&self) -> bool {
        use SourcePlace::{Demo, Multicast, Shm, Udp, WebSocket, WebSocketListen};
        matches!(
            self.place,
            Udp(_) | Multicast(_) | Shm(_) | Demo(_) | WebSocket(_) | WebSocketListen(_)
        )
    }

    fn apply(&mut self, key: &'static str, value: &str) -> Result<(), EndpointError> {
        match (key, &mut self.place) {
            ("rate", SourcePlace::Demo(feed)) => feed.rate = options::rate(key, value)?,
            ("size", SourcePlace::Demo(feed)) => {
                feed.size = options::size(key, value, demo::MIN_SIZE)?
            }
            ("iface", SourcePlace::Multicast(from)) => from.add_interface(key, value)?,
            ("source", SourcePlace::Multicast(from)) => from.add_source(key, value)?,
            ("send" | "ca", SourcePlace::WebSocket(peer)) => peer.apply(key, value)?,
            ("cert" | "key", SourcePlace::WebSocketListen(at)) => at.apply(key, value)?,
            ("size", _) => self.max_packet = options::size(key, value, 1)?,
            ("publishers", SourcePlace::Shm(channel)) => {
                channel.publishers = options::count(key, value)?
            }
            ("capacity", SourcePlace::Shm(channel)) => {
                channel.capacity = options::capacity(key, value)?
            }
            ("publishers", _) => self.publishers = options::count(key, value)?,
            ("buffer", _) => self.receive_buffer = Some(options::socket_buffer(key, value)?),
            _ => self.framing = options::framing(key, value)?,
        }
        Ok(())
    }
}

fn place(parts: &Parts<'_>) -> Result<SourcePlace, EndpointError> {
    let (scheme, body) = (parts.scheme, parts.body);
    Ok(match scheme {
        Scheme::Udp => SourcePlace::Udp(no_group(host_port(scheme, body, PortZero::Allowed)?)?),
        Scheme::Mcast => SourcePlace::Multicast(MulticastSource::of(body)?),
        Scheme::Tcp => SourcePlace::Tcp(host_port(scheme, body, PortZero::Refused)?),
        Scheme::TcpListen => SourcePlace::TcpListen(host_port(scheme, body, PortZero::Allowed)?),
        Scheme::Ws | Scheme::Wss => SourcePlace::WebSocket(WebSocketPeer::of(scheme, body)?),
        Scheme::WsListen | Scheme::WssListen => {
            SourcePlace::WebSocketListen(WebSocketListener::of(scheme, body)?)
        }
        Scheme::Unix => SourcePlace::Unix(unix_name(scheme, body)?),
        Scheme::UnixListen => SourcePlace::UnixListen(unix_name(scheme, body)?),
        Scheme::Shm => SourcePlace::Shm(channel(body)?),
        Scheme::File => SourcePlace::File(file_path(body)?),
        Scheme::Demo => alone(scheme, body, SourcePlace::Demo(DemoFeed::default()))?,
        Scheme::Stdin | Scheme::Stdout => alone(scheme, body, SourcePlace::Stdin)?,
    })
}

/// `place`, provided that nothing follows the scheme.
pub(super) fn alone<P>(scheme: Scheme, body: &str, place: P) -> Result<P, EndpointError> {
    if body.is_empty() {
        return Ok(place);
    }
    Err(EndpointError::Unexpected { scheme: scheme.name(), text: body.to_owned() })
}

/// A group has to be joined: who only binds to one gets nothing.
fn no_group(at: HostPort) -> Result<HostPort, EndpointError> {
    match &at.host {
        Host::Ip(ip) if ip.is_multicast() => Err(EndpointError::Address {
            text: at.to_string(),
            why: "that is a group, which has to be joined",
            example: format!("mcast://{at}"),
        }),
        _ => Ok(at),
    }
}

fn known_keys(scheme: Scheme) -> &'static [&'static str] {
    match scheme {
        Scheme::Udp => &["size", "buffer"],
        Scheme::Mcast => &["iface", "source", "size", "buffer"],
        Scheme::Tcp | Scheme::Unix => &["framing", "size", "buffer"],
        Scheme::TcpListen | Scheme::UnixListen => &["framing", "size", "buffer", "publishers"],
        Scheme::Ws => &["send", "size"],
        Scheme::Wss => &["send", "ca", "size"],
        Scheme::WsListen => &["size", "buffer", "publishers"],
        Scheme::WssListen => &["cert", "key", "size", "buffer", "publishers"],
        Scheme::Shm => &["size", "capacity", "publishers"],
        Scheme::File | Scheme::Stdin | Scheme::Stdout => &["framing", "size"],
        Scheme::Demo => &["rate", "size"],
    }
}
