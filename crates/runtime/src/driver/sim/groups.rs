//! The groups that a socket has joined. Pure. As Linux keeps them, with its oddities.

use std::net::IpAddr;

/// Most groups of IPv4 that a socket joins (`net.ipv4.igmp_max_memberships`).
const MOST_V4: usize = 20;
/// Most groups of IPv6: what `net.core.optmem_max` has room for.
const MOST_V6: usize = 2340;
/// Most sources of a group of IPv4 (`net.ipv4.igmp_max_msf`).
const MOST_SOURCES_V4: usize = 10;
/// Most sources of a group of IPv6 (`net.ipv6.mld_max_msf`).
const MOST_SOURCES_V6: usize = 64;

/// The groups that a socket has joined.
#[derive(Debug, Default)]
pub(super) struct Memberships {
    /// In the order in which they were joined.
    list: Vec<Membership>,
}

/// A group on an interface.
#[derive(Debug)]
struct Membership {
    group: IpAddr,
    interface: u32,
    /// The sources are the only ones that are taken; else all others are.
    only: bool,
    /// `None`: there never was one, so that `only` may still change.
    sources: Option<Vec<IpAddr>>,
}

/// What is done to the sources of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    Join,
    Leave,
    Block,
    Unblock,
}

impl Memberships {
    /// Joins `group` for all sources, on one of the interfaces from 1 to `interfaces`.
    ///
    /// # Errors
    /// `EINVAL`, `EADDRINUSE`, `ENOBUFS`, `ENOMEM`, `ENODEV`.
    pub(super) fn join(
        &mut self,
        group: IpAddr,
        interface: u32,
        interfaces: u32,
    ) -> Result<(), i32> {
        self.add(group, interface, interfaces, false)
    }

    fn add(
        &mut self,
        group: IpAddr,
        interface: u32,
        interfaces: u32,
        only: bool,
    ) -> Result<(), i32> {
        if !group.is_multicast() {
            return Err(libc::EINVAL);
        }
        let resolved = resolve(interface, interfaces);
        // The two families look in different orders.
        if group.is_ipv4() && resolved.is_none() {
            return Err(libc::ENODEV);
        }
        if self.position(group, interface).is_some() {
            return Err(libc::EADDRINUSE);
        }
        let count = self.list.iter().filter(|m| m.group.is_ipv4() == group.is_ipv4()).count();
        match group {
            IpAddr::V4(_) if count >= MOST_V4 => return Err(libc::ENOBUFS),
            IpAddr::V6(_) if count >= MOST_V6 => return Err(libc::ENOMEM),
            _ => {}
        }
        let interface = resolved.ok_or(libc::ENODEV)?;
        self.list.push(Membership { group, interface, only, sources: None });
        Ok(())
    }

    /// Leaves `group`.
    ///
    /// # Errors
    /// `EADDRNOTAVAIL`, `EINVAL`.
    pub(super) fn leave(&mut self, group: IpAddr, interface: u32) -> Result<(), i32> {
        if group.is_ipv6() && !group.is_multicast() {
            return Err(libc::EINVAL);
        }
        let at = self.position(group, interface).ok_or(libc::EADDRNOTAVAIL)?;
        self.list.remove(at);
        Ok(())
    }

    /// Changes the sources of `group`. The first one to be joined makes the membership, and
    /// the last one to be left ends it.
    ///
    /// # Errors
    /// `EINVAL`, `EADDRNOTAVAIL`, `ENODEV`, `ENOBUFS`, `ENOMEM`.
    pub(super) fn change(
        &mut self,
        change: Change,
        (group, source): (IpAddr, IpAddr),
        interface: u32,
        interfaces: u32,
    ) -> Result<(), i32> {
        if group.is_ipv4() != source.is_ipv4() {
            return Err(libc::EADDRNOTAVAIL);
        }
        if change == Change::Join {
            match self.add(group, interface, interfaces, true) {
                Ok(()) | Err(libc::EADDRINUSE) => {}
                Err(errno) => return Err(errno),
            }
        }
        if !group.is_multicast() {
            return Err(libc::EINVAL);
        }
        resolve(interface, interfaces).ok_or(libc::ENODEV)?;
        let at = self.position(group, interface).ok_or(libc::EINVAL)?;
        if self.list[at].change(change, source)? {
            self.list.remove(at);
        }
        Ok(())
    }

    /// The membership in `group` on `interface`. With 0, IPv4 asks where it would join, and
    /// IPv6 takes the one joined last.
    fn position(&self, group: IpAddr, interface: u32) -> Option<usize> {
        let interface = if group.is_ipv4() { interface.max(1) } else { interface };
        self.list
            .iter()
            .rposition(|m| m.group == group && (interface == 0 || m.interface == interface))
    }

    /// Whether the socket takes what `source` sends to `group` and comes by `interface`.
    /// `None`: it is no member. IPv6 does not look at the interface.
    pub(super) fn allow(&self, group: IpAddr, source: IpAddr, interface: u32) -> Option<bool> {
        let interface = if group.is_ipv4() { interface } else { 0 };
        self.position(group, interface).map(|at| self.list[at].allows(source))
    }

    /// Whether the host takes, for the sake of this socket, what `source` sends to `group` and
    /// comes by `interface`.
    pub(super) fn want(&self, group: IpAddr, source: IpAddr, interface: u32) -> bool {
        self.position(group, interface).is_some_and(|at| self.list[at].allows(source))
    }
}

impl Membership {
    fn allows(&self, source: IpAddr) -> bool {
        let listed = self.sources.as_ref().is_some_and(|sources| sources.contains(&source));
        listed == self.only
    }

    /// Changes the sources; whether the last one has gone, and the membership with it.
    fn change(&mut self, change: Change, source: IpAddr) -> Result<bool, i32> {
        let only = matches!(change, Change::Join | Change::Leave);
        if self.only != only && self.sources.is_some() {
            return Err(libc::EINVAL);
        }
        self.only = only;
        let count = self.sources.as_ref().map_or(0, Vec::len);
        let known = self.sources.iter().flatten().position(|&other| other == source);
        if matches!(change, Change::Leave | Change::Unblock) {
            let at = known.ok_or(libc::EADDRNOTAVAIL)?;
            if let Some(sources) = &mut self.sources {
                sources.remove(at);
            }
            return Ok(only && count == 1);
        }
        if count >= if source.is_ipv4() { MOST_SOURCES_V4 } else { MOST_SOURCES_V6 } {
            return Err(libc::ENOBUFS);
        }
        if known.is_some() {
            return Err(libc::EADDRNOTAVAIL);
        }
        self.sources.get_or_insert_default().push(source);
        Ok(false)
    }
}

/// The interface that is meant, if it exists; 0 stands for any.
pub(super) fn resolve(interface: u32, interfaces: u32) -> Option<u32> {
    (interface <= interfaces.max(1)).then(|| interface.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Each family has a limit of its own, and names it by an error of its own.
    #[test]
    fn memberships_and_sources_are_limited() {
        let mut all = Memberships::default();
        for n in 0..MOST_V4 {
            assert_eq!(all.join(IpAddr::from([239, 0, 0, n as u8]), 1, 1), Ok(()));
        }
        assert_eq!(all.join(ip("239.1.0.0"), 1, 1), Err(libc::ENOBUFS));
        assert_eq!(all.join(ip("ff12::1"), 1, 1), Ok(()));
        all.leave(ip("239.0.0.7"), 1).unwrap();
        let join = |all: &mut Memberships, group, source| {
            all.change(Change::Join, (ip(group), source), 0, 1)
        };
        for n in 0..MOST_SOURCES_V4 {
            assert_eq!(join(&mut all, "239.1.0.0", IpAddr::from([10, 0, 0, n as u8])), Ok(()));
        }
        assert_eq!(join(&mut all, "239.1.0.0", ip("10.0.1.0")), Err(libc::ENOBUFS));
        for n in 0..MOST_SOURCES_V6 {
            let source = IpAddr::from([0, 0, 0, 0, 0, 0, 0, n as u16 + 1]);
            assert_eq!(join(&mut all, "ff12::2", source), Ok(()));
        }
        assert_eq!(join(&mut all, "ff12::2", ip("::ff")), Err(libc::ENOBUFS));
    }

    /// On several interfaces a group is several memberships; of IPv6, the one joined last
    /// decides alone.
    #[test]
    fn interfaces_are_apart() {
        let mut all = Memberships::default();
        let (v4, v6, peer) = (ip("239.1.2.3"), ip("ff12::3"), ip("::9"));
        all.join(v4, 2, 3).unwrap();
        assert_eq!(all.join(v4, 4, 3), Err(libc::ENODEV));
        assert_eq!(all.allow(v4, peer, 2), Some(true));
        assert_eq!(all.allow(v4, peer, 1), None);
        assert_eq!(all.leave(v4, 0), Err(libc::EADDRNOTAVAIL));
        all.join(v6, 2, 3).unwrap();
        assert_eq!(all.join(v6, 0, 3), Err(libc::EADDRINUSE));
        all.change(Change::Join, (v6, ip("::8")), 3, 3).unwrap();
        assert_eq!(all.allow(v6, peer, 2), Some(false));
        assert!(all.want(v6, peer, 2) && !all.want(v6, peer, 3) && !all.want(v6, peer, 1));
        assert_eq!(all.leave(v6, 0), Ok(()));
        assert_eq!(all.allow(v6, peer, 1), Some(true));
    }
}
