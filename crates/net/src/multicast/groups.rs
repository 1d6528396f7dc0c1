//! Joining and leaving, at any time.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use tautline_runtime::{Conn, Envelope, SocketOption};

use super::memberships::{Change, Membership, Memberships};
use super::refusal::refused;
use super::{Interface, ToInterface, ToIp};

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
    /// [`Error`](super::Error): no group, of the wrong family, joined already, joined for some
    /// sources, joined on an interface that was named ([`Mixed`](super::Error::Mixed)), no route,
    /// or a limit of the kernel; [`BoundToUnicast`](super::Error::BoundToUnicast) and
    /// [`BoundToAnother`](super::Error::BoundToAnother) for what the peer is bound to.
    pub fn join(&self, group: impl ToIp) -> io::Result<()> {
        self.change(group.to_ip()?, None, Change::Join)
    }

    /// Joins a group on an interface, for any source: what comes by another is not heard, except
    /// as [`strays`](Self::strays) says.
    ///
    /// # Errors
    /// As [`join`](Self::join); [`Mixed`](super::Error::Mixed) if it is joined where no interface
    /// was named; [`UnknownInterface`](super::Error::UnknownInterface).
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
    /// As [`join_source`](Self::join_source); [`UnknownInterface`](super::Error::UnknownInterface).
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
    /// [`NotJoined`](super::Error::NotJoined); [`Ambiguous`](super::Error::Ambiguous) if it is
    /// joined on several interfaces.
    pub fn leave(&self, group: impl ToIp) -> io::Result<()> {
        self.change(group.to_ip()?, None, Change::Leave)
    }

    /// Leaves a group on one interface.
    ///
    /// # Errors
    /// [`NotJoined`](super::Error::NotJoined),
    /// [`UnknownInterface`](super::Error::UnknownInterface).
    pub fn leave_on(&self, group: impl ToIp, interface: impl ToInterface) -> io::Result<()> {
        self.change(group.to_ip()?, Some(interface.to_interface()?), Change::Leave)
    }

    /// Takes no more from this source. The last source takes the membership with it.
    ///
    /// # Errors
    /// As [`leave`](Self::leave); [`SourceNotJoined`](super::Error::SourceNotJoined);
    /// [`AnySource`](super::Error::AnySource) if the group is joined for any.
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
    /// As [`leave`](Self::leave); [`AlreadyBlocked`](super::Error::AlreadyBlocked);
    /// [`SomeSources`](super::Error::SomeSources) if the group is joined for some only; a limit of
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
    /// As [`leave`](Self::leave); [`NotBlocked`](super::Error::NotBlocked);
    /// [`SomeSources`](super::Error::SomeSources).
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
        let wanted = (group, interface, change);
        done.map_err(|error| refused(&self.conn, &self.table.borrow(), wanted, error))?;
        self.table.borrow_mut().apply(group, interface, change);
        Ok(())
    }
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

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Groups").field(&self.table.borrow().all()).finish()
    }
}
