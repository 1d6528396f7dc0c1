//! What can be wrong with a membership, and what would help.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use nix::net::if_::InterfaceFlags;
use rustix::io::Errno;

use super::interface::{Interface, known, list};
use super::options::errno;

/// Why a call of a multicast peer was refused. Travels inside an [`io::Error`].
///
/// ```
/// use tautline_net::multicast::{Error, Peer};
/// # let runtime = tautline_runtime::Runtime::new(Default::default())?;
/// let peer = Peer::bind("0.0.0.0:0")?;
/// let refused = peer.join("192.0.2.1").unwrap_err();
/// assert_eq!(Error::of(&refused), Some(&Error::NotAGroup { group: [192, 0, 2, 1].into() }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Text that was to be an address.
    #[error("`{text}` is no IP address: write one such as 239.1.2.3 or ff15::1, without a port")]
    NotAnAddress {
        /// What was written.
        text: String,
    },
    /// An address outside 224.0.0.0/4 and ff00::/8 was to be a group.
    #[error("{group} is no multicast group: take one of 224.0.0.0/4 or ff00::/8")]
    NotAGroup {
        /// The address.
        group: IpAddr,
    },
    /// A group of the other family than the socket's.
    #[error("{group} cannot be joined by a socket that is bound to {bound}: bind to {}", any(.bound.port(), .group))]
    GroupFamily {
        /// The group.
        group: IpAddr,
        /// What the socket is bound to.
        bound: SocketAddr,
    },
    /// A source of the other family than the group's.
    #[error("{source_addr} cannot send to {group}: name an address of the group's family")]
    SourceFamily {
        /// The source.
        source_addr: IpAddr,
        /// The group.
        group: IpAddr,
    },
    /// A group, broadcast or unspecified address was to be a source.
    #[error("{source_addr} is no source: name the address of one host, that of the sender")]
    NotASource {
        /// The address.
        source_addr: IpAddr,
    },
    /// The socket is bound to an address of its host, to which no group is delivered.
    #[error(
        "a socket that is bound to {addr} only sends, Linux delivers no multicast to it: bind to \
         {} and use `join_on` with {}", any(.addr.port(), &.addr.ip()), .addr.ip()
    )]
    BoundToUnicast {
        /// What it is bound to.
        addr: SocketAddr,
    },
    /// The socket is bound to one group, and another was to be joined.
    #[error(
        "a socket that is bound to {bound} receives nothing of {group}: bind to {} for several \
         groups, or make one peer for each", any(.bound.port(), .group)
    )]
    BoundToAnother {
        /// The other group.
        group: IpAddr,
        /// What the socket is bound to.
        bound: SocketAddr,
    },
    /// Nothing has that name, number or address.
    #[error("there is no interface `{asked}`; there are: {known}")]
    UnknownInterface {
        /// What was asked for.
        asked: String,
        /// Those that there are, with their addresses.
        known: String,
    },
    /// No route says where the group is to be joined, or by which interface to send to it.
    #[error(
        "no route leads to {group}: name the interface, by `join_on` to receive and by \
         `Options::interface` to send, or {}", route(.group)
    )]
    NoRoute {
        /// The group.
        group: IpAddr,
    },
    /// No route leads to the group by the interface that is named to send by. Of IPv6 each interface
    /// has one while it is up, the loopback interface excepted.
    #[error("no route leads to {group} by {interface}: {}", route_by(.group, *.interface))]
    NoRouteBy {
        /// The group.
        group: IpAddr,
        /// The interface.
        interface: Interface,
    },
    /// The same membership is there already.
    #[error("{} is joined already: `leave` it first, or go on as it is", at(.group, .interface))]
    AlreadyJoined {
        /// The group.
        group: IpAddr,
        /// Where.
        interface: Interface,
    },
    /// The source is already among those that the group is joined for.
    #[error("{} is already joined for {source_addr}: go on as it is", at(.group, .interface))]
    SourceAlreadyJoined {
        /// The group.
        group: IpAddr,
        /// Where.
        interface: Interface,
        /// The source.
        source_addr: IpAddr,
    },
    /// There is no such membership.
    #[error("{} is not joined: `memberships` lists what is, and where", at(.group, .interface))]
    NotJoined {
        /// The group.
        group: IpAddr,
        /// Where; [`Interface::ANY`] if none was named.
        interface: Interface,
    },
    /// The source is not among those that the group is joined for.
    #[error(
        "{} is not joined for {source_addr}: `memberships` lists for which it is",
        at(.group, .interface)
    )]
    SourceNotJoined {
        /// The group.
        group: IpAddr,
        /// Where.
        interface: Interface,
        /// The source.
        source_addr: IpAddr,
    },
    /// A call for single sources, on a group that is joined for any.
    #[error(
        "{} is joined for any source: use `block_source` and `unblock_source`, or `leave` it \
         before `join_source`", at(.group, .interface)
    )]
    AnySource {
        /// The group.
        group: IpAddr,
        /// Where.
        interface: Interface,
    },
    /// A call for any source, on a group that is joined for single ones.
    #[error(
        "{} is joined for some sources only: use `join_source` and `leave_source`, or `leave` it \
         before `join`", at(.group, .interface)
    )]
    SomeSources {
        /// The group.
        group: IpAddr,
        /// Where.
        interface: Interface,
    },
    /// The source is blocked already.
    #[error("{source_addr} is already blocked in {}: go on as it is", at(.group, .interface))]
    AlreadyBlocked {
        /// The group.
        group: IpAddr,
        /// Where.
        interface: Interface,
        /// The source.
        source_addr: IpAddr,
    },
    /// The source is not blocked.
    #[error("{source_addr} is not blocked in {}: go on as it is", at(.group, .interface))]
    NotBlocked {
        /// The group.
        group: IpAddr,
        /// Where.
        interface: Interface,
        /// The source.
        source_addr: IpAddr,
    },
    /// The group would be joined on an interface that was named, and where none was. The kernel
    /// then takes the one for the other: of IPv6 the newest, of IPv4 where the routes lead.
    #[error(
        "{group} is joined on {}: it cannot be joined where an interface is named and where none is \
         (`leave` it, and name the interface of each, by the calls that end in `_on`)", list(.on)
    )]
    Mixed {
        /// The group.
        group: IpAddr,
        /// Where it is joined; [`Interface::ANY`] alone if none was named.
        on: Vec<Interface>,
    },
    /// The group is joined on several interfaces, and none was named.
    #[error("{group} is joined on {}: name the interface, by the call that ends in `_on`", list(.on))]
    Ambiguous {
        /// The group.
        group: IpAddr,
        /// Where it is joined.
        on: Vec<Interface>,
    },
    /// The kernel lets one socket join no more IPv4 groups.
    #[error("too many groups for one socket: raise {IGMP_MEMBERSHIPS}{}, or join by several peers", now(.limit))]
    TooManyGroups {
        /// The limit at present, where the system tells it.
        limit: Option<u64>,
    },
    /// The kernel filters no more sources for one group of a socket.
    #[error("too many sources for one group: raise {setting}{}, or join by several peers", now(.limit))]
    TooManySources {
        /// The kernel's setting, as `sysctl` has it.
        setting: &'static str,
        /// The limit at present, where the system tells it.
        limit: Option<u64>,
    },
    /// The kernel has no more memory for what one socket has joined.
    #[error("too many groups or sources for one socket: raise {OPTION_MEMORY}{}, or join by several peers", now(.limit))]
    OptionMemory {
        /// The limit at present in bytes, where the system tells it.
        limit: Option<u64>,
    },
    /// A service class that does not fit its field.
    #[error("a service class (DSCP) of {dscp}: take one from 0 to 63")]
    Dscp {
        /// The class.
        dscp: u8,
    },
    /// A priority that the kernel does not grant to everybody.
    #[error("a priority of {priority} wants CAP_NET_ADMIN: take one from 0 to 6")]
    Priority {
        /// The priority.
        priority: u32,
    },
    /// A datagram is there, and nowhere to receive it to. It waits in the kernel's buffer.
    #[error(
        "no buffer to receive to: name one by `set_read_buffer`, drop some that were received, \
         or make the region larger"
    )]
    Exhausted,
}

/// As it is displayed: that is what `main` prints of it.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error {
    /// The error of a multicast peer inside `error`, if it carries one.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// What is wrong with a send to a group that no route leads to, `by` the interface that the socket
    /// sends by: [`NoRoute`](Self::NoRoute) or [`NoRouteBy`](Self::NoRouteBy). Other errors come back as
    /// they are. For those who send by the descriptor of a peer.
    pub fn of_send(error: io::Error, to: SocketAddr, by: Interface) -> io::Error {
        let group = to.ip();
        let by = match to {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => Interface::of_index(v6.scope_id()),
            _ => by,
        };
        match errno(&error) {
            Some(Errno::NETUNREACH) if group.is_multicast() => match by {
                Interface::ANY => Self::NoRoute { group }.into(),
                interface => Self::NoRouteBy { group, interface }.into(),
            },
            _ => error,
        }
    }

    pub(super) fn unknown_interface(asked: impl ToString) -> Self {
        Self::UnknownInterface { asked: asked.to_string(), known: known() }
    }

    fn kind(&self) -> io::ErrorKind {
        use io::ErrorKind as Kind;
        match self {
            Self::AlreadyJoined { .. }
            | Self::SourceAlreadyJoined { .. }
            | Self::Mixed { .. }
            | Self::AlreadyBlocked { .. } => Kind::AlreadyExists,
            Self::UnknownInterface { .. }
            | Self::NotJoined { .. }
            | Self::SourceNotJoined { .. }
            | Self::NotBlocked { .. } => Kind::NotFound,
            Self::NoRoute { .. } | Self::NoRouteBy { .. } => Kind::NetworkUnreachable,
            Self::TooManyGroups { .. } | Self::TooManySources { .. } => Kind::QuotaExceeded,
            Self::OptionMemory { .. } => Kind::OutOfMemory,
            Self::Priority { .. } => Kind::PermissionDenied,
            Self::Exhausted => Kind::ResourceBusy,
            _ => Kind::InvalidInput,
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(error.kind(), error)
    }
}

/// The kernel's limits, as `sysctl` names them.
pub(super) const IGMP_MEMBERSHIPS: &str = "net.ipv4.igmp_max_memberships";
pub(super) const IGMP_SOURCES: &str = "net.ipv4.igmp_max_msf";
pub(super) const MLD_SOURCES: &str = "net.ipv6.mld_max_msf";
pub(super) const OPTION_MEMORY: &str = "net.core.optmem_max";

/// A group and where it is joined.
fn at(group: &IpAddr, interface: &Interface) -> String {
    match *interface {
        Interface::ANY => group.to_string(),
        one => format!("{group} on {one}"),
    }
}

/// What to bind to for all groups of that family.
fn any(port: u16, family: &IpAddr) -> String {
    if family.is_ipv4() { format!("0.0.0.0:{port}") } else { format!("[::]:{port}") }
}

/// What else gives a route to a group. By a route of IPv6 that is added by hand Linux sends nothing on
/// the loopback interface, and every other one has a route while it is up.
fn route(group: &IpAddr) -> String {
    match group {
        IpAddr::V4(_) => format!("add a route (`ip route add {group} dev ...`)"),
        IpAddr::V6(_) => "bring one up (`ip link set ... up`)".to_owned(),
    }
}

/// What gives a route to a group by one interface.
fn route_by(group: &IpAddr, interface: Interface) -> String {
    let flags = interface.flags().unwrap_or(InterfaceFlags::IFF_UP);
    let is_loopback = flags.contains(InterfaceFlags::IFF_LOOPBACK);
    match group {
        _ if !flags.contains(InterfaceFlags::IFF_UP) => {
            format!("bring it up (`ip link set {interface} up`)")
        }
        IpAddr::V4(_) => format!("give it an address (`ip address add ... dev {interface}`)"),
        IpAddr::V6(_) if is_loopback => format!(
            "add one (`ip -6 route add local {group} dev {interface} table main`; without `local` \
             Linux drops what is sent)"
        ),
        IpAddr::V6(_) => format!(
            "see that it has IPv6 (`sysctl net.ipv6.conf.{interface}.disable_ipv6`), or add one \
             (`ip -6 route add multicast {group} dev {interface} table local`)"
        ),
    }
}

fn now(limit: &Option<u64>) -> String {
    limit.map_or_else(String::new, |limit| format!(" (now {limit})"))
}
