//! Joining and leaving, at any time.

use std::cell::RefCell;
use std::fmt;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use rustix::io::Errno;
use tautline_runtime::{Conn, Envelope, SocketOption};

use super::error::{IGMP_MEMBERSHIPS, IGMP_SOURCES, MLD_SOURCES, OPTION_MEMORY};
use super::memberships::{Change, Membership, Memberships};
use super::options::errno;
use super::{Error, Interface, ToInterface, ToIp};
use crate::error::at;

/// The memberships of one peer: a name for them, cheap to clone, with which a handler joins and
/// leaves after the peer was given to the loop.
///
/// ```
/// # use std::time::Duration;
/// # use tautline_net::multicast::Peer;
/// # let runtime = tautline_runtime::Runtime::new(Default::default())?;
/// let peer = Peer::bind("0.0.0.0:0")?;
/// let groups = peer.groups();
/// groups.join_on("239.255.70.1", "lo")?;
/// assert_eq!(peer.memberships(), groups.list());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Groups {
    conn: Conn,
    table: Rc<RefCell<Memberships>>,
}

/// The calls that change memberships: a type's own, passed on to its `groups`.
macro_rules! joining {
    ($peer:ty) => {
        impl $peer {
            /// Joins a group where the kernel's routes lead, for any source.
            ///
            /// # Errors
            /// As [`Groups::join`].
            pub fn join(&self, group: impl ToIp) -> io::Result<()> {
                self.at_groups().join(group)
            }

            /// Joins a group on an interface, for any source.
            ///
            /// # Errors
            /// As [`Groups::join_on`].
            pub fn join_on(&self, group: impl ToIp, interface: impl ToInterface) -> io::Result<()> {
                self.at_groups().join_on(group, interface)
            }

            /// Joins a group for what this source sends, besides those that were named before.
            ///
            /// # Errors
            /// As [`Groups::join_source`].
            pub fn join_source(&self, group: impl ToIp, source: impl ToIp) -> io::Result<()> {
                self.at_groups().join_source(group, source)
            }

            /// The same on an interface.
            ///
            /// # Errors
            /// As [`Groups::join_source`].
            pub fn join_source_on(
                &self,
                group: impl ToIp,
                source: impl ToIp,
                interface: impl ToInterface,
            ) -> io::Result<()> {
                self.at_groups().join_source_on(group, source, interface)
            }

            /// Leaves a group, with all its sources.
            ///
            /// # Errors
            /// As [`Groups::leave`].
            pub fn leave(&self, group: impl ToIp) -> io::Result<()> {
                self.at_groups().leave(group)
            }

            /// Leaves a group on one interface.
            ///
            /// # Errors
            /// As [`Groups::leave`].
            pub fn leave_on(
                &self,
                group: impl ToIp,
                interface: impl ToInterface,
            ) -> io::Result<()> {
                self.at_groups().leave_on(group, interface)
            }

            /// Takes no more from this source. The last source takes the membership with it.
            ///
            /// # Errors
            /// As [`Groups::leave_source`].
            pub fn leave_source(&self, group: impl ToIp, source: impl ToIp) -> io::Result<()> {
                self.at_groups().leave_source(group, source)
            }

            /// The same on one interface.
            ///
            /// # Errors
            /// As [`Groups::leave_source`].
            pub fn leave_source_on(
                &self,
                group: impl ToIp,
                source: impl ToIp,
                interface: impl ToInterface,
            ) -> io::Result<()> {
                self.at_groups().leave_source_on(group, source, interface)
            }

            /// Of a group that is joined for any source, takes no more from this one.
            ///
            /// # Errors
            /// As [`Groups::block_source`].
            pub fn block_source(&self, group: impl ToIp, source: impl ToIp) -> io::Result<()> {
                self.at_groups().block_source(group, source)
            }

            /// The same on one interface.
            ///
            /// # Errors
            /// As [`Groups::block_source`].
            pub fn block_source_on(
                &self,
                group: impl ToIp,
                source: impl ToIp,
                interface: impl ToInterface,
            ) -> io::Result<()> {
                self.at_groups().block_source_on(group, source, interface)
            }

            /// Takes again from a source that was blocked.
            ///
            /// # Errors
            /// As [`Groups::unblock_source`].
            pub fn unblock_source(&self, group: impl ToIp, source: impl ToIp) -> io::Result<()> {
                self.at_groups().unblock_source(group, source)
            }

            /// The same on one interface.
            ///
            /// # Errors
            /// As [`Groups::unblock_source`].
            pub fn unblock_source_on(
                &self,
                group: impl ToIp,
                source: impl ToIp,
                interface: impl ToInterface,
            ) -> io::Result<()> {
                self.at_groups().unblock_source_on(group, source, interface)
            }

            /// What is joined, in the order in which it was.
            pub fn memberships(&self) -> Vec<Membership> {
                self.at_groups().list()
            }

            /// How many datagrams were passed over: see [`Groups::strays`].
            pub fn strays(&self) -> u64 {
                self.at_groups().strays()
            }

            /// A name for the memberships, for handlers that join and leave.
            pub fn groups(&self) -> Groups {
                self.at_groups().clone()
            }
        }
    };
}

pub(crate) use joining;

impl Groups {
    pub(super) fn of(conn: Conn, bound: SocketAddr) -> Self {
        Self { conn, table: Rc::new(RefCell::new(Memberships::of(bound))) }
    }

    /// Whether the peer is one of IPv6.
    pub(super) fn of_v6(&self) -> bool {
        self.table.borrow().is_v6()
    }

    /// Joins a group where the kernel's routes lead, for any source.
    ///
    /// # Errors
    /// [`Error`]: no group, of the wrong family, joined already, joined for some sources, joined
    /// on an interface that was named ([`Mixed`](Error::Mixed)), no route, or a limit of the
    /// kernel; [`BoundToUnicast`](Error::BoundToUnicast) and
    /// [`BoundToAnother`](Error::BoundToAnother) for what the peer is bound to.
    pub fn join(&self, group: impl ToIp) -> io::Result<()> {
        self.change(group.to_ip()?, None, Change::Join)
    }

    /// Joins a group on an interface, for any source: what comes by another is not heard, except
    /// as [`strays`](Self::strays) says.
    ///
    /// # Errors
    /// As [`join`](Self::join); [`Mixed`](Error::Mixed) if it is joined where no interface was
    /// named; [`UnknownInterface`](Error::UnknownInterface).
    pub fn join_on(&self, group: impl ToIp, interface: impl ToInterface) -> io::Result<()> {
        self.change(group.to_ip()?, Some(interface.to_interface()?), Change::Join)
    }

    /// Joins a group for what this source sends, besides those that were named before.
    ///
    /// # Errors
    /// As [`join`](Self::join): the group may be joined for other sources, not for any, and
    /// the source must be a host of the group's family.
    pub fn join_source(&self, group: impl ToIp, source: impl ToIp) -> io::Result<()> {
        self.change(group.to_ip()?, None, Change::JoinSource(source.to_ip()?))
    }

    /// The same on an interface. Of a group of IPv6 that is joined on several, Linux goes by the
    /// sources of the one joined last for all of them: name the same sources on each, or take a
    /// peer for each interface.
    ///
    /// # Errors
    /// As [`join_source`](Self::join_source); [`UnknownInterface`](Error::UnknownInterface).
    pub fn join_source_on(
        &self,
        group: impl ToIp,
        source: impl ToIp,
        interface: impl ToInterface,
    ) -> io::Result<()> {
        let change = Change::JoinSource(source.to_ip()?);
        self.change(group.to_ip()?, Some(interface.to_interface()?), change)
    }

    /// Leaves a group, with all its sources.
    ///
    /// # Errors
    /// [`NotJoined`](Error::NotJoined); [`Ambiguous`](Error::Ambiguous) if it is joined on
    /// several interfaces.
    pub fn leave(&self, group: impl ToIp) -> io::Result<()> {
        self.change(group.to_ip()?, None, Change::Leave)
    }

    /// Leaves a group on one interface.
    ///
    /// # Errors
    /// [`NotJoined`](Error::NotJoined), [`UnknownInterface`](Error::UnknownInterface).
    pub fn leave_on(&self, group: impl ToIp, interface: impl ToInterface) -> io::Result<()> {
        self.change(group.to_ip()?, Some(interface.to_interface()?), Change::Leave)
    }

    /// Takes no more from this source. The last source takes the membership with it.
    ///
    /// # Errors
    /// As [`leave`](Self::leave); [`SourceNotJoined`](Error::SourceNotJoined);
    /// [`AnySource`](Error::AnySource) if the group is joined for any.
    pub fn leave_source(&self, group: impl ToIp, source: impl ToIp) -> io::Result<()> {
        self.change(group.to_ip()?, None, Change::LeaveSource(source.to_ip()?))
    }

    /// The same on one interface.
    ///
    /// # Errors
    /// As [`leave_source`](Self::leave_source).
    pub fn leave_source_on(
        &self,
        group: impl ToIp,
        source: impl ToIp,
        interface: impl ToInterface,
    ) -> io::Result<()> {
        let change = Change::LeaveSource(source.to_ip()?);
        self.change(group.to_ip()?, Some(interface.to_interface()?), change)
    }

    /// Of a group that is joined for any source, takes no more from this one.
    ///
    /// # Errors
    /// As [`leave`](Self::leave); [`AlreadyBlocked`](Error::AlreadyBlocked);
    /// [`SomeSources`](Error::SomeSources) if the group is joined for some only; a limit of
    /// the kernel.
    pub fn block_source(&self, group: impl ToIp, source: impl ToIp) -> io::Result<()> {
        self.change(group.to_ip()?, None, Change::Block(source.to_ip()?))
    }

    /// The same on one interface.
    ///
    /// # Errors
    /// As [`block_source`](Self::block_source).
    pub fn block_source_on(
        &self,
        group: impl ToIp,
        source: impl ToIp,
        interface: impl ToInterface,
    ) -> io::Result<()> {
        let change = Change::Block(source.to_ip()?);
        self.change(group.to_ip()?, Some(interface.to_interface()?), change)
    }

    /// Takes again from a source that was blocked.
    ///
    /// # Errors
    /// As [`leave`](Self::leave); [`NotBlocked`](Error::NotBlocked);
    /// [`SomeSources`](Error::SomeSources).
    pub fn unblock_source(&self, group: impl ToIp, source: impl ToIp) -> io::Result<()> {
        self.change(group.to_ip()?, None, Change::Unblock(source.to_ip()?))
    }

    /// The same on one interface.
    ///
    /// # Errors
    /// As [`unblock_source`](Self::unblock_source).
    pub fn unblock_source_on(
        &self,
        group: impl ToIp,
        source: impl ToIp,
        interface: impl ToInterface,
    ) -> io::Result<()> {
        let change = Change::Unblock(source.to_ip()?);
        self.change(group.to_ip()?, Some(interface.to_interface()?), change)
    }

    /// What is joined, in the order in which it was.
    pub fn list(&self) -> Vec<Membership> {
        self.table.borrow().all().to_vec()
    }

    /// How many datagrams were passed over because they came by an interface where this peer has
    /// not joined their group, but elsewhere. Linux hands those of IPv6 to it all the same once
    /// another socket of the host has joined there. They can be told, and are passed over, where
    /// destinations are [asked for](super::Options::details) and the group was joined on named
    /// interfaces alone. Single datagrams that are received without details are not told apart.
    pub fn strays(&self) -> u64 {
        self.table.borrow().strays()
    }

    /// Whether a datagram is one of those, as far as it tells by which interface it came; it is
    /// counted. For who receives by calls of their own: those of a peer ask this themselves.
    pub fn is_stray(&self, envelope: &Envelope<'_>) -> bool {
        let came = envelope.destination().zip(envelope.interface());
        came.is_some_and(|(group, interface)| {
            self.table.borrow_mut().is_stray(group, Interface::of_index(interface))
        })
    }

    /// Asks the table, then the kernel, and notes what it has done.
    fn change(&self, group: IpAddr, on: Option<Interface>, change: Change) -> io::Result<()> {
        let interface = self.table.borrow().check(group, on, change)?;
        let done = self.conn.set_option(option(group, interface, change));
        done.map_err(|error| self.refused(group, interface, change, error))?;
        self.table.borrow_mut().apply(group, interface, change);
        Ok(())
    }

    /// What the kernel's refusal means.
    fn refused(
        &self,
        group: IpAddr,
        interface: Interface,
        change: Change,
        error: io::Error,
    ) -> io::Error {
        match errno(&error) {
            // By somebody who has the descriptor, past this table.
            Some(Errno::ADDRINUSE) => Error::AlreadyJoined { group, interface }.into(),
            Some(Errno::ADDRNOTAVAIL) if let Change::JoinSource(source_addr) = change => {
                Error::SourceAlreadyJoined { group, interface, source_addr }.into()
            }
            Some(Errno::NODEV) if interface == Interface::ANY => Error::NoRoute { group }.into(),
            Some(Errno::NODEV) => unknown(&self.conn, interface).into(),
            Some(Errno::NOBUFS | Errno::NOMEM) => self.limit(group, interface, change).into(),
            _ => at(name(change), group)(error),
        }
    }

    /// Which limit of the kernel was reached. Where its settings cannot be read, the first one
    /// that the change may have met.
    fn limit(&self, group: IpAddr, interface: Interface, change: Change) -> Error {
        let (table, v4) = (self.table.borrow(), group.is_ipv4());
        let reached = |setting, count: usize| {
            let limit = self.setting(setting);
            let met = limit.is_none_or(|limit| count as u64 >= limit);
            met.then_some(limit)
        };
        let sources = table.find(group, interface).map(|one| one.filter.sources().len());
        if let Some(count) = sources {
            let setting = if v4 { IGMP_SOURCES } else { MLD_SOURCES };
            if let Some(limit) = reached(setting, count) {
                return Error::TooManySources { setting, limit };
            }
        } else if v4 && let Some(limit) = reached(IGMP_MEMBERSHIPS, table.all().len()) {
            return Error::TooManyGroups { limit };
        }
        debug_assert!(change.source().is_some() || sources.is_none());
        Error::OptionMemory { limit: self.setting(OPTION_MEMORY) }
    }

    /// A setting of the kernel, if it is the kernel that serves this socket and tells.
    fn setting(&self, name: &str) -> Option<u64> {
        if is_simulated(&self.conn) {
            return None;
        }
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        fs::read_to_string(path).ok()?.trim().parse().ok()
    }
}

/// The driver of a socket knows no such interface.
pub(super) fn unknown(socket: &Conn, interface: Interface) -> Error {
    if is_simulated(socket) {
        let known = "as many as `sim::Config::interfaces` says, from 1 on".to_owned();
        return Error::UnknownInterface { asked: interface.index().to_string(), known };
    }
    Error::unknown_interface(interface.index())
}

fn is_simulated(socket: &Conn) -> bool {
    let lent = socket.with_fd(|_| Ok(()));
    lent.is_err_and(|error| error.kind() == io::ErrorKind::Unsupported)
}

fn option(group: IpAddr, interface: Interface, change: Change) -> SocketOption {
    let interface = interface.index();
    match change {
        Change::Join => SocketOption::JoinGroup { group, interface },
        Change::Leave => SocketOption::LeaveGroup { group, interface },
        Change::JoinSource(source) => SocketOption::JoinSource { group, source, interface },
        Change::LeaveSource(source) => SocketOption::LeaveSource { group, source, interface },
        Change::Block(source) => SocketOption::BlockSource { group, source, interface },
        Change::Unblock(source) => SocketOption::UnblockSource { group, source, interface },
    }
}

fn name(change: Change) -> &'static str {
    match change {
        Change::Join => "join",
        Change::Leave => "leave",
        Change::JoinSource(_) => "join a source of",
        Change::LeaveSource(_) => "leave a source of",
        Change::Block(_) => "block a source of",
        Change::Unblock(_) => "unblock a source of",
    }
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Groups").field(&self.table.borrow().all()).finish()
    }
}
