//! Datagrams in the world. As on Linux.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::super::Interest;
use super::events::{Event, Flight};
use super::names::{self, Name, Transport};
use super::udp::{Arrived, Datagram, Inbox, LARGEST, charge};
use super::world::{Body, Family, Socket, SocketId, World, serves};
use super::{Received, Stop, groups};

impl World {
    fn inbox(&mut self, id: SocketId) -> Option<&mut Inbox> {
        match &mut self.sockets.get_mut(&id)?.body {
            Body::Datagram(inbox) => Some(inbox),
            _ => None,
        }
    }

    /// Gives socket `id` its only peer.
    pub(super) fn connect_datagram(&mut self, id: SocketId, to: Name) -> Result<(), Stop> {
        let socket = self.sockets.get(&id).ok_or(Stop::Errno(libc::EBADF))?;
        let peer = match to {
            Name::Inet(to) if serves(socket.family, &socket.options, to.ip()) => {
                let to = names::destination(to);
                let own = self.name_for(id, to.ip(), Transport::Udp)?;
                if let Some(socket) = self.sockets.get_mut(&id).filter(|s| s.group().is_none()) {
                    socket.name = Some(Name::Inet(own));
                }
                Name::Inet(to)
            }
            Name::Unix(path) if socket.family == Family::Unix => {
                self.unix_inbox(&path)?;
                Name::Unix(path)
            }
            _ => return Err(Stop::Errno(libc::EAFNOSUPPORT)),
        };
        if let Some(inbox) = self.inbox(id) {
            inbox.peer = Some(peer);
        }
        Ok(())
    }

    /// Receives one datagram.
    pub(super) fn receive_datagram(&mut self, id: SocketId, max: usize) -> Result<Received, Stop> {
        let inbox = self.inbox(id).ok_or(Stop::Errno(libc::EBADF))?;
        let received = inbox.take(max);
        let waiting = std::mem::take(&mut inbox.waiting);
        waiting.into_iter().for_each(|sender| self.touch(Some(sender), Interest::Write));
        received
    }

    /// Sends one datagram to `to`, or to the socket's peer.
    pub(super) fn send_datagram(
        &mut self,
        id: SocketId,
        bytes: &[u8],
        to: Option<Name>,
    ) -> Result<usize, Stop> {
        let inbox = self.inbox(id).ok_or(Stop::Errno(libc::EBADF))?;
        if let Some(errno) = inbox.error.take() {
            return Err(Stop::Errno(errno));
        }
        let to = to.or_else(|| inbox.peer.clone());
        let family = self.sockets.get(&id).map(|socket| socket.family);
        match (to, family) {
            (Some(Name::Inet(to)), Some(Family::V4 | Family::V6)) => {
                self.send_inet(id, bytes, names::destination(to))
            }
            (Some(Name::Unix(path)), Some(Family::Unix)) => self.send_unix(id, bytes, &path),
            (None, Some(Family::Unix)) => Err(Stop::Errno(libc::ENOTCONN)),
            (None, _) => Err(Stop::Errno(libc::EDESTADDRREQ)),
            _ => Err(Stop::Errno(libc::EAFNOSUPPORT)),
        }
    }

    fn send_inet(&mut self, id: SocketId, bytes: &[u8], to: SocketAddr) -> Result<usize, Stop> {
        let socket = self.sockets.get(&id).ok_or(Stop::Errno(libc::EBADF))?;
        may_send(socket, bytes.len(), to)?;
        let charge = charge(bytes.len());
        let limit = socket.options.send_buffer;
        let interface = self.way_out(socket, to)?;
        let loops = socket.options.multicast_loop;
        let hops = if to.ip().is_multicast() { socket.options.multicast_hops } else { 64 };
        let source = self.name_for(id, to.ip(), Transport::Udp)?;
        let inbox = self.inbox(id).ok_or(Stop::Errno(libc::EBADF))?;
        if inbox.in_flight > 0 && inbox.in_flight + charge > limit {
            return Err(Stop::WouldBlock);
        }
        inbox.in_flight += charge;
        self.launch(Flight {
            sender: id,
            source,
            destination: to,
            bytes: bytes.to_vec(),
            charge,
            lost: to.ip().is_multicast() && !loops,
            interface,
            hops,
            only: None,
        });
        Ok(bytes.len())
    }

    /// By which interface a socket sends to `to`.
    fn way_out(&self, socket: &Socket, to: SocketAddr) -> Result<u32, i32> {
        if !to.ip().is_multicast() {
            return Ok(1);
        }
        let scopes = [Some(to), socket.group()].into_iter().flatten();
        let scope = scopes.filter_map(names::scope_of).find(|&scope| scope > 0);
        let index = scope.unwrap_or(socket.options.multicast_interface);
        groups::resolve(index, self.interfaces).ok_or(libc::ENETUNREACH)
    }

    /// Sends a datagram on its way, and perhaps another like it. What befalls one to a group
    /// befalls each copy for itself, where it lands.
    fn launch(&mut self, mut flight: Flight) {
        if flight.destination.ip().is_multicast() {
            let at = self.arrival();
            self.agenda.plan(at, Event::Datagram(Box::new(flight)));
            return;
        }
        flight.lost = self.chance(|faults| faults.loss);
        if self.chance(|faults| faults.duplication) {
            let at = self.late_arrival();
            self.agenda.plan(at, Event::Datagram(Box::new(Flight { charge: 0, ..flight.clone() })));
        }
        let overtaken = self.chance(|faults| faults.reordering);
        let at = if overtaken { self.late_arrival() } else { self.arrival() };
        self.agenda.plan(at, Event::Datagram(Box::new(flight)));
    }

    /// A datagram reaches its destination, or is lost.
    pub(super) fn datagram_lands(&mut self, flight: Flight) {
        if let Some(inbox) = self.inbox(flight.sender).filter(|_| flight.charge > 0) {
            inbox.in_flight -= flight.charge;
            self.touch(Some(flight.sender), Interest::Write);
        }
        if flight.lost {
            return;
        }
        if flight.destination.ip().is_multicast() {
            return self.lands_in_group(&flight);
        }
        let receivers = self.receivers_of(&flight);
        if receivers.is_empty() {
            self.unreachable(&flight);
        }
        for id in receivers {
            self.deliver_flight(id, &flight);
        }
    }

    /// Each member gets a copy, which may be lost, doubled or overtaken on its own.
    fn lands_in_group(&mut self, flight: &Flight) {
        for id in self.members_for(flight) {
            if flight.only == Some(id) {
                self.deliver_flight(id, flight);
                continue;
            }
            let lost = self.chance(|faults| faults.loss);
            if self.chance(|faults| faults.duplication) {
                self.deliver_late(id, flight);
            }
            let overtaken = self.chance(|faults| faults.reordering);
            match (lost, overtaken) {
                (true, _) => {}
                (false, true) => self.deliver_late(id, flight),
                (false, false) => self.deliver_flight(id, flight),
            }
        }
    }

    /// A copy for one member comes after others.
    fn deliver_late(&mut self, id: SocketId, flight: &Flight) {
        let at = self.late_arrival();
        let copy = Flight { charge: 0, only: Some(id), ..flight.clone() };
        self.agenda.plan(at, Event::Datagram(Box::new(copy)));
    }

    fn deliver_flight(&mut self, id: SocketId, flight: &Flight) {
        let arrived = Arrived {
            destination: flight.destination.ip(),
            interface: flight.interface,
            hops: flight.hops,
            at: self.now,
            dropped: 0,
        };
        let source = Name::Inet(flight.source);
        let bytes = flight.bytes.clone();
        self.deliver(id, Datagram { source, bytes, arrived: Some(arrived) });
    }

    /// Who takes what was sent to a group: nobody, unless a socket of the host has joined it
    /// where it comes; then the members, and who takes all that the host does.
    fn members_for(&self, flight: &Flight) -> Vec<SocketId> {
        let (group, source) = (flight.destination.ip(), flight.source.ip());
        let mut inboxes = self.sockets.values().filter_map(|socket| socket.inbox());
        if !inboxes.any(|inbox| inbox.groups.want(group, source, flight.interface)) {
            return Vec::new();
        }
        let takes = |id: &SocketId| {
            let Some(socket) = self.sockets.get(id) else { return false };
            let Some(inbox) = socket.inbox() else { return false };
            let peer = inbox.peer.as_ref();
            let scope = socket.group().and_then(names::scope_of);
            let allowed = inbox.groups.allow(group, source, flight.interface);
            flight.only.is_none_or(|only| only == *id)
                && peer.is_none_or(|peer| *peer == Name::Inet(flight.source))
                && scope.is_none_or(|scope| scope == flight.interface)
                && allowed.unwrap_or(socket.options.all_groups[usize::from(group.is_ipv6())])
        };
        self.names.covering(flight.destination).filter(takes).collect()
    }

    /// Puts `datagram` into the socket's buffer, if there is room.
    fn deliver(&mut self, id: SocketId, datagram: Datagram) {
        let limit = self.sockets.get(&id).map_or(0, |socket| socket.options.receive_buffer);
        if self.inbox(id).is_some_and(|inbox| inbox.push(datagram, limit)) {
            self.touch(Some(id), Interest::Read);
        }
    }

    /// Everybody there for a broadcast; else one: who is connected to the source before
    /// others, and of several equals always the same for the same source.
    fn receivers_of(&self, flight: &Flight) -> Vec<SocketId> {
        let found = self.names.candidates(Transport::Udp, flight.destination);
        let peer_of = |id| match self.sockets.get(&id).map(|socket: &Socket| &socket.body) {
            Some(Body::Datagram(inbox)) => inbox.peer.clone(),
            _ => None,
        };
        let source = Some(Name::Inet(flight.source));
        let of_peer = |wanted: &Option<Name>| -> Vec<SocketId> {
            let ids = found.iter().map(|claim| claim.socket);
            ids.filter(|&id| peer_of(id) == *wanted).collect()
        };
        let (mut connected, open) = (of_peer(&source), of_peer(&None));
        if is_broadcast(flight.destination.ip()) {
            connected.extend(open);
            return connected;
        }
        let best = if connected.is_empty() { open } else { connected };
        let index = usize::from(flight.source.port()).checked_rem(best.len());
        index.map(|index| best[index]).into_iter().collect()
    }

    /// Nobody is there: a connected sender learns it.
    fn unreachable(&mut self, flight: &Flight) {
        let to = Some(Name::Inet(flight.destination));
        if let Some(inbox) = self.inbox(flight.sender).filter(|inbox| inbox.peer == to) {
            inbox.error = Some(libc::ECONNREFUSED);
            self.touch(Some(flight.sender), Interest::Read);
            self.touch(Some(flight.sender), Interest::Write);
        }
    }

    /// Who receives datagrams at `path`.
    fn unix_inbox(&self, path: &[u8]) -> Result<SocketId, i32> {
        let id = self.names.find_unix(path)?;
        match self.sockets.get(&id).map(|socket| &socket.body) {
            Some(Body::Datagram(_)) => Ok(id),
            _ => Err(libc::EPROTOTYPE),
        }
    }

    /// Between Unix sockets nothing is lost: a sender waits for room.
    fn send_unix(&mut self, id: SocketId, bytes: &[u8], path: &[u8]) -> Result<usize, Stop> {
        let to = self.unix_inbox(path)?;
        let source = self.sockets.get(&id).and_then(|socket| socket.name.clone());
        let source = source.unwrap_or(Name::UNNAMED);
        let sender = self.sockets.get(&id).ok_or(Stop::Errno(libc::EBADF))?;
        if charge(bytes.len()) > sender.options.send_buffer {
            return Err(Stop::Errno(libc::EMSGSIZE));
        }
        let limit = self.sockets.get(&to).map_or(0, |socket| socket.options.receive_buffer);
        let inbox = self.inbox(to).ok_or(Stop::Errno(libc::ECONNREFUSED))?;
        if inbox.peer.as_ref().is_some_and(|peer| *peer != source) {
            return Err(Stop::Errno(libc::EPERM));
        }
        if !inbox.has_room(bytes.len(), limit) {
            inbox.waiting.insert(id);
            return Err(Stop::WouldBlock);
        }
        self.deliver(to, Datagram { source, bytes: bytes.to_vec(), arrived: None });
        Ok(bytes.len())
    }
}

impl Socket {
    fn inbox(&self) -> Option<&Inbox> {
        match &self.body {
            Body::Datagram(inbox) => Some(inbox),
            _ => None,
        }
    }

    /// The group that it is bound to.
    fn group(&self) -> Option<SocketAddr> {
        match &self.name {
            Some(Name::Inet(addr)) if addr.ip().is_multicast() => Some(*addr),
            _ => None,
        }
    }
}

/// Whether `socket` may send `len` bytes to `to` at all.
fn may_send(socket: &Socket, len: usize, to: SocketAddr) -> Result<(), i32> {
    if !serves(socket.family, &socket.options, to.ip()) {
        Err(libc::EAFNOSUPPORT)
    } else if len > LARGEST {
        Err(libc::EMSGSIZE)
    } else if to.port() == 0 {
        Err(libc::EINVAL)
    } else if is_broadcast(to.ip()) && !socket.options.broadcast {
        Err(libc::EACCES)
    } else {
        Ok(())
    }
}

fn is_broadcast(ip: IpAddr) -> bool {
    ip == IpAddr::V4(Ipv4Addr::BROADCAST)
}
