//! What a peer has joined. Pure: it answers before the kernel is asked.

use std::net::{IpAddr, SocketAddr};

use super::{Error, Interface};

/// One group that a peer has joined on one interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Membership {
    /// The group.
    pub group: IpAddr,
    /// Where; [`Interface::ANY`] if none was named.
    pub interface: Interface,
    /// From whom.
    pub filter: Filter,
}

/// From which sources a group is received.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Filter {
    /// From all but these, which are blocked.
    Except(Vec<IpAddr>),
    /// From these alone; there is at least one.
    Only(Vec<IpAddr>),
}

impl Filter {
    /// Those that it names.
    pub fn sources(&self) -> &[IpAddr] {
        match self {
            Self::Except(sources) | Self::Only(sources) => sources,
        }
    }

    /// Whether it lets `source` through.
    pub fn admits(&self, source: IpAddr) -> bool {
        match self {
            Self::Except(blocked) => !blocked.contains(&source),
            Self::Only(wanted) => wanted.contains(&source),
        }
    }
}

/// What is to become of a membership.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    Join,
    Leave,
    JoinSource(IpAddr),
    LeaveSource(IpAddr),
    Block(IpAddr),
    Unblock(IpAddr),
}

impl Change {
    pub(super) fn source(self) -> Option<IpAddr> {
        match self {
            Self::Join | Self::Leave => None,
            Self::JoinSource(source)
            | Self::LeaveSource(source)
            | Self::Block(source)
            | Self::Unblock(source) => Some(source),
        }
    }

    fn makes_a_membership(self) -> bool {
        matches!(self, Self::Join | Self::JoinSource(_))
    }
}

/// The memberships of one socket.
#[derive(Debug)]
pub(super) struct Memberships {
    /// What the socket is bound to.
    bound: SocketAddr,
    /// In the order in which they were joined; a group is there once for each interface, or once
    /// where none was named.
    all: Vec<Membership>,
    /// Where each group is joined, sorted.
    places: Vec<(IpAddr, Interface)>,
    /// Datagrams that came by an interface where their group is not joined.
    strays: u64,
}

impl Memberships {
    pub(super) fn of(bound: SocketAddr) -> Self {
        Self { bound, all: Vec::new(), places: Vec::new(), strays: 0 }
    }

    pub(super) fn is_v6(&self) -> bool {
        self.bound.is_ipv6()
    }

    pub(super) fn all(&self) -> &[Membership] {
        &self.all
    }

    pub(super) fn find(&self, group: IpAddr, interface: Interface) -> Option<&Membership> {
        self.all.iter().find(|one| one.group == group && one.interface == interface)
    }

    /// Whether a change makes sense; if so, the interface that it is for. `on`: the one that was
    /// named.
    pub(super) fn check(
        &self,
        group: IpAddr,
        on: Option<Interface>,
        change: Change,
    ) -> Result<Interface, Error> {
        self.check_group(group)?;
        if let Some(source) = change.source() {
            check_source(source, group)?;
        }
        let interface = match on {
            Some(named) => named,
            None if change.makes_a_membership() => Interface::ANY,
            None => self.the_only_one(group)?,
        };
        let filter = self.find(group, interface).map(|one| &one.filter);
        if filter.is_none() && change.makes_a_membership() {
            self.check_neighbours(group, interface)?;
        }
        refusal(filter, group, interface, change).map_or(Ok(interface), Err)
    }

    /// Whether a group can be joined on one more interface. Where none is named stands alone: of
    /// IPv6, Linux takes any membership of the group for that one, the newest first, and of IPv4
    /// the one where the routes lead by then.
    fn check_neighbours(&self, group: IpAddr, interface: Interface) -> Result<(), Error> {
        let on: Vec<Interface> = self.interfaces(group).collect();
        let are_named = !on.contains(&Interface::ANY) && interface != Interface::ANY;
        if on.is_empty() || are_named { Ok(()) } else { Err(Error::Mixed { group, on }) }
    }

    /// Where a group is joined.
    fn interfaces(&self, group: IpAddr) -> impl Iterator<Item = Interface> {
        self.all.iter().filter(move |one| one.group == group).map(|one| one.interface)
    }

    fn check_group(&self, group: IpAddr) -> Result<(), Error> {
        let bound = self.bound;
        if !group.is_multicast() {
            return Err(Error::NotAGroup { group });
        }
        if group.is_ipv4() != bound.is_ipv4() {
            return Err(Error::GroupFamily { group, bound });
        }
        match bound.ip() {
            ip if ip.is_unspecified() || ip == group => Ok(()),
            ip if ip.is_multicast() => Err(Error::BoundToAnother { group, bound }),
            _ => Err(Error::BoundToUnicast { addr: bound }),
        }
    }

    /// Where the group is joined, if that is clear.
    fn the_only_one(&self, group: IpAddr) -> Result<Interface, Error> {
        let mut joined = self.interfaces(group);
        match (joined.next(), joined.next()) {
            (None, _) => Err(Error::NotJoined { group, interface: Interface::ANY }),
            (Some(one), None) => Ok(one),
            _ => Err(Error::Ambiguous { group, on: self.interfaces(group).collect() }),
        }
    }

    /// Notes a change that was checked and that the kernel has made.
    pub(super) fn apply(&mut self, group: IpAddr, interface: Interface, change: Change) {
        let at = self.all.iter().position(|one| one.group == group && one.interface == interface);
        let Some(at) = at else {
            let filter = match change {
                Change::JoinSource(source) => Filter::Only(vec![source]),
                _ => Filter::Except(Vec::new()),
            };
            let place = (group, interface);
            let sorted = self.places.partition_point(|other| *other < place);
            self.places.insert(sorted, place);
            return self.all.push(Membership { group, interface, filter });
        };
        let over = match (&mut self.all[at].filter, change) {
            (Filter::Except(sources), Change::Block(source))
            | (Filter::Only(sources), Change::JoinSource(source)) => {
                sources.push(source);
                false
            }
            (Filter::Except(sources), Change::Unblock(source)) => {
                sources.retain(|other| *other != source);
                false
            }
            (Filter::Only(sources), Change::LeaveSource(source)) => {
                sources.retain(|other| *other != source);
                sources.is_empty()
            }
            _ => change == Change::Leave,
        };
        if over {
            self.all.remove(at);
            self.places.retain(|place| *place != (group, interface));
        }
    }

    /// Whether a datagram came to a group by an interface where it is not joined, but elsewhere;
    /// counts it then. Of a group that is joined where no interface was named nobody knows.
    pub(super) fn is_stray(&mut self, group: IpAddr, interface: Interface) -> bool {
        let first = self.places.partition_point(|(other, _)| *other < group);
        let mut places = self.places[first..].iter().take_while(|(other, _)| *other == group);
        let Some((_, one)) = places.next() else { return false };
        let is_here = |place: Interface| place == Interface::ANY || place == interface;
        let stray = !is_here(*one) && !places.any(|(_, place)| is_here(*place));
        self.strays += u64::from(stray);
        stray
    }

    pub(super) fn strays(&self) -> u64 {
        self.strays
    }
}

/// Why a change makes no sense for what is joined, if it does not.
fn refusal(
    filter: Option<&Filter>,
    group: IpAddr,
    interface: Interface,
    change: Change,
) -> Option<Error> {
    use Filter::{Except, Only};
    match (filter, change) {
        (None, Change::Join | Change::JoinSource(_)) | (Some(_), Change::Leave) => None,
        (None, _) => Some(Error::NotJoined { group, interface }),
        (Some(Except(_)), Change::Join) => Some(Error::AlreadyJoined { group, interface }),
        (Some(Except(_)), Change::JoinSource(_) | Change::LeaveSource(_)) => {
            Some(Error::AnySource { group, interface })
        }
        (Some(Only(_)), Change::Join | Change::Block(_) | Change::Unblock(_)) => {
            Some(Error::SomeSources { group, interface })
        }
        (Some(Except(blocked)), Change::Block(source_addr)) => blocked
            .contains(&source_addr)
            .then_some(Error::AlreadyBlocked { group, interface, source_addr }),
        (Some(Except(blocked)), Change::Unblock(source_addr)) => (!blocked.contains(&source_addr))
            .then_some(Error::NotBlocked { group, interface, source_addr }),
        (Some(Only(wanted)), Change::JoinSource(source_addr)) => wanted
            .contains(&source_addr)
            .then_some(Error::SourceAlreadyJoined { group, interface, source_addr }),
        (Some(Only(wanted)), Change::LeaveSource(source_addr)) => (!wanted.contains(&source_addr))
            .then_some(Error::SourceNotJoined { group, interface, source_addr }),
    }
}

/// Whether it can be the address of a sender to the group.
fn check_source(source_addr: IpAddr, group: IpAddr) -> Result<(), Error> {
    let broadcast = matches!(source_addr, IpAddr::V4(v4) if v4.is_broadcast());
    if source_addr.is_unspecified() || source_addr.is_multicast() || broadcast {
        return Err(Error::NotASource { source_addr });
    }
    if source_addr.is_ipv4() != group.is_ipv4() {
        return Err(Error::SourceFamily { source_addr, group });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
