//! Endpoints that must not meet in one relay: found before anything is opened.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use tautline_net::multicast::{Interface, ToInterface};

use crate::config::RelayConfig;
use crate::endpoint::{
    Destination, DestinationPlace, Host, HostPort, InterfaceName, ShmChannel, SourcePlace,
};
use crate::run::Conflict;

/// Symbolic links that are followed behind each other: as many as Linux follows.
const LINKS: u32 = 40;

/// Looks whether one endpoint of `config` would destroy, feed or write over another one.
///
/// # Errors
/// The first two that cannot be together.
pub(super) fn check(config: &RelayConfig) -> Result<(), Conflict> {
    let from = of_source(&config.from.place);
    for to in &config.to {
        if let (Some(source), Some(spot)) = (&from, of_destination(&to.place))
            && spot.is_fed_by(source)
        {
            let (from, to) = (config.from.url.clone(), to.url.clone());
            return Err(Conflict::Circle { from, to, what: spot.what() });
        }
    }
    check_destinations(&config.to)
}

/// Looks whether two destinations are one.
///
/// # Errors
/// The first two.
pub(super) fn check_destinations(to: &[Destination]) -> Result<(), Conflict> {
    let spots: Vec<Option<Spot>> = to.iter().map(|to| of_destination(&to.place)).collect();
    for (at, spot) in spots.iter().enumerate() {
        let Some(spot) = spot else { continue };
        if let Some(first) = spots[..at].iter().position(|other| other.as_ref() == Some(spot)) {
            let (first, second) = (to[first].url.clone(), to[at].url.clone());
            return Err(Conflict::Twice { first, second, what: spot.what() });
        }
    }
    Ok(())
}

/// Where an endpoint's packets lie or pass, as far as it can be told.
#[derive(Debug, PartialEq, Eq)]
enum Spot {
    /// A file that is there: its device and inode.
    File(u64, u64),
    /// A file that is not there yet.
    Path(PathBuf),
    /// Standard output that is no regular file.
    Stdout,
    Udp(SocketAddr),
    /// A multicast group, and where what is sent to it goes, or comes from.
    Group(SocketAddr, Ways),
    /// A name that is not looked up here.
    Name(String, u16),
    /// A channel of the bus: its namespace and name.
    Channel(String, String),
}

impl Spot {
    fn what(&self) -> &'static str {
        match self {
            Self::File(..) | Self::Path(_) => "file",
            Self::Stdout => "stream",
            Self::Channel(..) => "channel",
            Self::Udp(_) | Self::Name(..) => "address",
            Self::Group(..) => "group",
        }
    }

    /// Whether what is sent here comes in at `source`.
    fn is_fed_by(&self, source: &Self) -> bool {
        match (self, source) {
            (Self::Udp(to), Self::Udp(from)) => {
                // A socket on [::] receives over IPv4 as well.
                let any = from.ip().is_unspecified() && (from.is_ipv6() || to.is_ipv4());
                to.port() == from.port() && (from.ip() == to.ip() || any && is_here(*to))
            }
            (Self::Group(to, ways), Self::Group(from, joined)) => {
                to == from && ways.lead_to(joined)
            }
            _ => self == source,
        }
    }
}

/// Interfaces, by their numbers.
#[derive(Debug, PartialEq, Eq)]
struct Ways {
    /// None: the one that the system chooses.
    interfaces: Vec<u32>,
    /// Whether what is sent comes back on this machine, as by the loopback interface it always does.
    back: bool,
}

impl Ways {
    fn of<'a>(names: impl IntoIterator<Item = &'a InterfaceName>, back: bool) -> Self {
        // One that is not found cannot be opened either, and says so then.
        let found = |name: &InterfaceName| name.to_string().to_interface().ok();
        let found: Vec<_> = names.into_iter().filter_map(found).collect();
        let back = back || found.iter().any(|interface| interface.is_loopback());
        Self { interfaces: found.into_iter().map(Interface::index).collect(), back }
    }

    /// Whether what is sent this way comes in where the others have joined; if the system chooses one
    /// of them, it may.
    fn lead_to(&self, joined: &Self) -> bool {
        let meets = self.interfaces.iter().any(|to| joined.interfaces.contains(to));
        self.back && (meets || self.interfaces.is_empty() || joined.interfaces.is_empty())
    }
}

/// Whether `address` is one of this machine: one to which a socket can be bound.
fn is_here(address: SocketAddr) -> bool {
    !address.ip().is_multicast() && UdpSocket::bind((address.ip(), 0)).is_ok()
}

fn of_source(place: &SourcePlace) -> Option<Spot> {
    match place {
        SourcePlace::File(path) => of_path(path),
        SourcePlace::Stdin => of_stream(io::stdin()),
        SourcePlace::Udp(address) => Some(of_address(address)),
        SourcePlace::Multicast(from) => {
            Some(Spot::Group(from.group, Ways::of(&from.interfaces, true)))
        }
        SourcePlace::Shm(channel) => Some(of_channel(channel)),
        _ => None,
    }
}

fn of_destination(place: &DestinationPlace) -> Option<Spot> {
    match place {
        DestinationPlace::File(path) => of_path(path),
        DestinationPlace::Stdout => Some(of_stream(io::stdout()).unwrap_or(Spot::Stdout)),
        DestinationPlace::Udp(address) => Some(of_address(address)),
        DestinationPlace::Multicast(to) => {
            Some(Spot::Group(to.group, Ways::of(&to.interface, to.loopback)))
        }
        DestinationPlace::Shm(channel) => Some(of_channel(channel)),
        _ => None,
    }
}

/// Devices, such as /dev/null, may be used twice.
fn of_path(path: &Path) -> Option<Spot> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        match fs::metadata(&path) {
            Ok(it) if it.file_type().is_char_device() => return None,
            Ok(it) => return Some(Spot::File(it.dev(), it.ino())),
            Err(_) => match fs::read_link(&path) {
                Ok(next) => path = folder(&path).join(next),
                Err(_) => return of_missing(&path),
            },
        }
    }
    None
}

fn of_missing(path: &Path) -> Option<Spot> {
    // What cannot be found cannot be opened either, and says so then.
    let folder = fs::canonicalize(folder(path)).ok()?;
    Some(Spot::Path(folder.join(path.file_name()?)))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A terminal or a socket is often standard input and output at once.
fn of_stream(stream: impl AsFd) -> Option<Spot> {
    let it = rustix::fs::fstat(stream).ok()?;
    let regular = FileType::from_raw_mode(it.st_mode) == FileType::RegularFile;
    regular.then_some(Spot::File(it.st_dev, it.st_ino))
}

/// How much it holds makes no other channel of it.
fn of_channel(channel: &ShmChannel) -> Spot {
    Spot::Channel(channel.namespace.clone(), channel.name.clone())
}

fn of_address(address: &HostPort) -> Spot {
    match &address.host {
        Host::Ip(ip) if ip.is_multicast() => {
            Spot::Group(SocketAddr::new(*ip, address.port), Ways::of([], true))
        }
        Host::Ip(ip) => Spot::Udp(SocketAddr::new(*ip, address.port)),
        Host::Name(name) if name.eq_ignore_ascii_case("localhost") => {
            Spot::Udp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port))
        }
        Host::Name(name) => Spot::Name(name.to_ascii_lowercase(), address.port),
    }
}
