//! The options of a socket that have a meaning on every driver.

use std::net::IpAddr;
use std::time::Duration;

/// A socket option that has a meaning on every driver.
///
/// Where an option names an interface, that is its index, and 0 leaves the choice to the
/// kernel. A socket of IPv6 that takes IPv4 as well joins groups of either family, and
/// options that exist once for each family are set for both.
///
/// ```
/// # use socket2::{Domain, Type};
/// # use tautline_runtime::{Config, Descriptor, Runtime, SocketOption};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = Runtime::new(Config::default())?;
/// let socket = Descriptor::socket(Domain::IPV4, Type::DGRAM, None)?;
/// socket.set_option(SocketOption::ReuseAddress(true))?;
/// socket.set_option(SocketOption::AllGroups(false))?;
/// socket.set_option(SocketOption::MulticastHops(4))?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum SocketOption {
    /// `TCP_NODELAY`.
    NoDelay(bool),
    /// `SO_KEEPALIVE` with idle time, interval and count; `None` switches it off.
    KeepAlive(Option<KeepAlive>),
    /// `SO_REUSEADDR`.
    ReuseAddress(bool),
    /// `SO_REUSEPORT`.
    ReusePort(bool),
    /// `IPV6_V6ONLY`.
    OnlyV6(bool),
    /// `SO_LINGER`.
    Linger(Option<Duration>),
    /// `SO_RCVBUF` in bytes.
    ReceiveBuffer(usize),
    /// `SO_SNDBUF` in bytes.
    SendBuffer(usize),
    /// `SO_BROADCAST`.
    Broadcast(bool),
    /// `UDP_GRO`: several datagrams of one flow may arrive as one.
    ReceiveOffload(bool),
    /// `MCAST_JOIN_GROUP`: takes what anybody sends to the group. `EADDRINUSE`: it is
    /// joined already. `EINVAL`: it is no group. `ENODEV`: there is no such interface.
    /// `ENOBUFS` and `ENOMEM`: a limit is reached, `net.ipv4.igmp_max_memberships` and
    /// `net.core.optmem_max`.
    JoinGroup {
        /// A multicast address.
        group: IpAddr,
        /// Where it is joined.
        interface: u32,
    },
    /// `MCAST_LEAVE_GROUP`: ends a membership, with all its sources. `EADDRNOTAVAIL`: it
    /// is not joined.
    LeaveGroup {
        /// A multicast address.
        group: IpAddr,
        /// Where it was joined; 0: of IPv4 where the kernel would join it, of IPv6 where it
        /// was joined last.
        interface: u32,
    },
    /// `MCAST_JOIN_SOURCE_GROUP`: takes what this source sends to the group, besides the
    /// sources named before. `EADDRNOTAVAIL`: this source is joined already. `EINVAL`: the
    /// group was joined for all sources and some were blocked; if none ever was, the
    /// membership becomes one for this source alone. `ENOBUFS`: too many sources
    /// (`net.ipv4.igmp_max_msf`, `net.ipv6.mld_max_msf`).
    JoinSource {
        /// A multicast address.
        group: IpAddr,
        /// Who sends; of the group's family.
        source: IpAddr,
        /// Where it is joined.
        interface: u32,
    },
    /// `MCAST_LEAVE_SOURCE_GROUP`: no longer takes what this source sends; the last source
    /// takes the membership with it. `EADDRNOTAVAIL`: it is not joined.
    LeaveSource {
        /// A multicast address.
        group: IpAddr,
        /// Who sends; of the group's family.
        source: IpAddr,
        /// Where it was joined.
        interface: u32,
    },
    /// `MCAST_BLOCK_SOURCE`: of a group joined for all sources, no longer takes what this
    /// one sends. `EADDRNOTAVAIL`: it is blocked already. `EINVAL`: the group is not
    /// joined, or for some sources alone.
    BlockSource {
        /// A multicast address.
        group: IpAddr,
        /// Who sends; of the group's family.
        source: IpAddr,
        /// Where it was joined.
        interface: u32,
    },
    /// `MCAST_UNBLOCK_SOURCE`: takes again what this source sends. `EADDRNOTAVAIL`: it is
    /// not blocked.
    UnblockSource {
        /// A multicast address.
        group: IpAddr,
        /// Who sends; of the group's family.
        source: IpAddr,
        /// Where it was joined.
        interface: u32,
    },
    /// `IP_MULTICAST_ALL`, `IPV6_MULTICAST_ALL`: also takes what is sent to groups that
    /// other sockets of this host have joined. On in a new socket, but for IPv4 on a socket
    /// of IPv6. Off, there is one thing more to know of Linux: of a group of IPv6 that a
    /// socket has joined on one interface, it also takes what comes by another on which
    /// somebody else has joined it ([`PacketInfo`](Self::PacketInfo) tells them apart).
    AllGroups(bool),
    /// `IP_MULTICAST_IF`, `IPV6_MULTICAST_IF`: the index of the interface by which
    /// datagrams to groups leave; 0: the kernel's choice. `EADDRNOTAVAIL` of IPv4, `ENODEV`
    /// of IPv6: there is no such interface.
    MulticastInterface(u32),
    /// `IP_MULTICAST_LOOP`, `IPV6_MULTICAST_LOOP`: members on this host get what is sent
    /// to a group too. Set on the sender; on in a new socket.
    MulticastLoop(bool),
    /// `IP_MULTICAST_TTL`, `IPV6_MULTICAST_HOPS`: how many networks a datagram to a group
    /// may cross. 1 in a new socket: it stays on the link.
    MulticastHops(u8),
    /// `IP_TOS`, `IPV6_TCLASS`: the whole octet, DSCP in its upper six bits. On IPv4 it
    /// changes the priority as well, so that [`Priority`](Self::Priority) is set after it.
    TrafficClass(u8),
    /// `SO_PRIORITY`: the queue of what is sent; more than 6 needs `CAP_NET_ADMIN`.
    Priority(u32),
    /// `IP_PKTINFO`, `IPV6_RECVPKTINFO`: datagrams come with their destination and the
    /// interface that they came by.
    PacketInfo(bool),
    /// `IP_RECVTTL`, `IPV6_RECVHOPLIMIT`: datagrams come with the hops that they had left.
    HopCount(bool),
    /// `SO_TIMESTAMPNS`, `SO_TIMESTAMPING`: datagrams come with the time of their arrival.
    ArrivalTime(Option<Stamp>),
    /// `SO_RXQ_OVFL`: datagrams come with the number of those that the socket has dropped.
    DropCount(bool),
}

/// Who tells when a datagram arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stamp {
    /// The kernel, when the driver of the card hands the datagram to it.
    Kernel,
    /// The card as well, in the time of its own clock, where it can and was told to (by
    /// `hwstamp_ctl` or the like, which needs `CAP_NET_ADMIN`); else the kernel alone.
    Hardware,
}

/// When a silent peer is probed, and given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeepAlive {
    /// Silence before the first probe.
    pub idle: Duration,
    /// Between probes.
    pub interval: Duration,
    /// Unanswered probes after which the connection is dead.
    pub count: u32,
}
