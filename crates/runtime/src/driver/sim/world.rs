//! The world: sockets, what lies between them, and time. No memory but its own, no
//! clock and no chance but its own, no system call.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, Shutdown, SocketAddr};
use std::os::fd::RawFd;
use std::time::Duration;

use socket2::{Domain, SockAddr, Type};

use super::super::{Interest, Token};
use super::connections::Listener;
use super::events::{Agenda, Event};
use super::names::{self, Claim, Name, Names, Transport};
use super::options::Options;
use super::rng::Rng;
use super::table::Descriptors;
use super::tcp::{Conn, Side};
use super::udp::Inbox;
use super::{Config, Faults, Handle, Rate, Received, Stop};
use crate::time::Instant;

/// Names a socket; never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct SocketId(pub(super) u64);

/// Names a connection; never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct ConnId(pub(super) u64);

/// What happened that is the driver's to deal with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fired {
    /// Nothing: it was the world's own. See [`World::take_touched`].
    Within,
    /// This poll tells of readiness that is not there.
    Spurious(Token),
    /// The completions of this operation are told.
    Announce(Token),
}

/// A socket.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) fd: RawFd,
    pub(super) family: Family,
    pub(super) name: Option<Name>,
    /// The name is held in the world's table.
    pub(super) claimed: bool,
    pub(super) options: Options,
    pub(super) body: Body,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Family {
    V4,
    V6,
    Unix,
}

/// What a socket is at present.
#[derive(Debug)]
pub(super) enum Body {
    /// A stream socket that neither listens nor is connected.
    Idle,
    Listening(Listener),
    /// One end of a connection, which may still be on its way.
    Linked(ConnId, Side),
    Datagram(Inbox),
}

impl Body {
    pub(super) const fn transport(&self) -> Transport {
        if matches!(self, Self::Datagram(_)) { Transport::Udp } else { Transport::Tcp }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) agenda: Agenda,
    pub(super) sockets: BTreeMap<SocketId, Socket>,
    pub(super) conns: BTreeMap<ConnId, Conn>,
    pub(super) table: Descriptors,
    pub(super) names: Names,
    faults: Faults,
    rng: Rng,
    calm: bool,
    /// Sides of descriptors that are worth another look, in the order of events.
    touched: Vec<(RawFd, Interest)>,
    next_id: u64,
    /// Sizes of a new socket: for what is sent, and what is received.
    buffers: [usize; 2],
    /// Indices from 1 on.
    pub(super) interfaces: u32,
    handle: Handle,
}

impl World {
    /// A world without sockets.
    pub(super) fn new(config: &Config) -> Self {
        Self {
            now: config.start,
            agenda: Agenda::default(),
            sockets: BTreeMap::new(),
            conns: BTreeMap::new(),
            table: Descriptors::new(config.descriptors, config.numbering),
            names: Names::new(),
            faults: config.faults.clone(),
            rng: Rng::new(config.seed),
            calm: false,
            touched: Vec::new(),
            next_id: 0,
            buffers: [config.send_buffer, config.receive_buffer].map(|size| size.max(1)),
            interfaces: config.interfaces.max(1),
            handle: config.handle.clone(),
        }
    }

    pub(super) fn note(&self, what: &'static str, subject: u64, result: i64) {
        self.handle.note(self.now, what, subject, result);
    }

    /// Lets time pass until `now`, in which nothing happens.
    pub(super) fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.calm |= self.now >= self.faults.quiesce_at || self.handle.is_calm();
    }

    /// Lets the next event happen, if there is one by `until`.
    pub(super) fn step(&mut self, until: Instant) -> Option<Fired> {
        let (at, event) = self.agenda.take_due(until)?;
        self.advance(at);
        let (what, subject) = event.label();
        self.note(what, subject, 0);
        match event {
            Event::Spurious(token) => return Some(Fired::Spurious(token)),
            Event::Announce(token) => return Some(Fired::Announce(token)),
            Event::Datagram(flight) => self.datagram_lands(*flight),
            Event::Touch { socket, interest } => self.touch(Some(socket), interest),
            on_stream => self.stream_event(on_stream),
        }
        Some(Fired::Within)
    }

    /// Whether a fault of that rate happens now.
    pub(super) fn chance(&mut self, rate: impl Fn(&Faults) -> Rate) -> bool {
        !self.calm && self.rng.chance(rate(&self.faults))
    }

    /// A random number below `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.rng.below(bound as u64) as usize
    }

    /// When something that leaves now arrives.
    pub(super) fn arrival(&mut self) -> Instant {
        let shortest = *self.faults.delay.start();
        self.now + if self.calm { shortest } else { self.rng.duration(&self.faults.delay) }
    }

    /// When something that leaves now and is overtaken arrives.
    pub(super) fn late_arrival(&mut self) -> Instant {
        let longest = (*self.faults.delay.end()).max(Duration::from_micros(1));
        self.arrival() + longest * (1 + self.below(4) as u32)
    }

    /// `interest` of `socket` is worth another look.
    pub(super) fn touch(&mut self, socket: Option<SocketId>, interest: Interest) {
        if let Some(socket) = socket.and_then(|id| self.sockets.get(&id)) {
            self.touched.push((socket.fd, interest));
        }
    }

    /// `interest` of `fd` is worth another look soon, although nothing will happen there:
    /// a fault has hidden what was to be had.
    pub(super) fn touch_soon(&mut self, fd: RawFd, interest: Interest) {
        if let Some(socket) = self.table.get(fd) {
            let at = self.late_arrival();
            self.agenda.plan(at, Event::Touch { socket, interest });
        }
    }

    /// The completions of `token` are told after a while.
    pub(super) fn announce_later(&mut self, token: Token) {
        let at = self.late_arrival();
        self.agenda.plan(at, Event::Announce(token));
    }

    /// The poll under `token` tells, after a while, of readiness that is not there.
    pub(super) fn pretend_later(&mut self, token: Token) {
        let at = self.arrival();
        self.agenda.plan(at, Event::Spurious(token));
    }

    /// Which sides of which descriptors are worth another look.
    pub(super) fn take_touched(&mut self) -> Vec<(RawFd, Interest)> {
        std::mem::take(&mut self.touched)
    }

    pub(super) fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// The socket `fd`.
    pub(super) fn find(&self, fd: RawFd) -> Result<SocketId, i32> {
        self.table.get(fd).ok_or(libc::EBADF)
    }

    pub(super) fn socket_of(&self, fd: RawFd) -> Result<(SocketId, &Socket), i32> {
        let id = self.find(fd)?;
        Ok((id, self.sockets.get(&id).ok_or(libc::EBADF)?))
    }

    /// A new socket.
    pub(super) fn open(&mut self, domain: Domain, kind: Type) -> Result<RawFd, i32> {
        let family = match domain {
            Domain::IPV4 => Family::V4,
            Domain::IPV6 => Family::V6,
            Domain::UNIX => Family::Unix,
            _ => return Err(libc::EAFNOSUPPORT),
        };
        let body = match kind {
            Type::STREAM => Body::Idle,
            Type::DGRAM => Body::Datagram(Inbox::default()),
            _ => return Err(libc::EPROTONOSUPPORT),
        };
        if !self.table.has_room() || self.chance(|faults| faults.no_descriptor) {
            return Err(libc::EMFILE);
        }
        Ok(self.add(family, None, Options::new(self.buffers, family), body))
    }

    /// Adds a socket; there is room for its descriptor.
    pub(super) fn add(
        &mut self,
        family: Family,
        name: Option<Name>,
        options: Options,
        body: Body,
    ) -> RawFd {
        let id = SocketId(self.fresh_id());
        let fd = self.table.open(id);
        self.sockets.insert(id, Socket { fd, family, name, claimed: false, options, body });
        fd
    }

    /// Closes `fd`; nothing, if it is not open.
    pub(super) fn close(&mut self, fd: RawFd) {
        let Some(id) = self.table.close(fd) else {
            return;
        };
        let Some(socket) = self.sockets.remove(&id) else {
            return;
        };
        if let (true, Some(name)) = (socket.claimed, &socket.name) {
            self.names.release(socket.body.transport(), name, id);
        }
        match socket.body {
            Body::Idle => {}
            Body::Listening(listener) => self.abandon(listener),
            Body::Linked(conn, side) => {
                self.close_end(conn, side, socket.options.linger == Some(Duration::ZERO));
            }
            Body::Datagram(inbox) => {
                inbox.waiting.iter().for_each(|&sender| self.touch(Some(sender), Interest::Write));
            }
        }
    }

    /// Gives `fd` an address.
    pub(super) fn bind(&mut self, fd: RawFd, addr: &SockAddr) -> Result<(), i32> {
        let (id, socket) = self.socket_of(fd)?;
        let name = Name::of(addr).ok_or(libc::EAFNOSUPPORT)?;
        if socket.name.is_some() || !matches!(socket.body, Body::Idle | Body::Datagram(_)) {
            return Err(libc::EINVAL);
        }
        if let Name::Inet(addr) = &name {
            self.has_scope(*addr)?;
        }
        self.claim(id, name)
    }

    /// A group of a link is bound with its interface.
    fn has_scope(&self, addr: SocketAddr) -> Result<(), i32> {
        match names::scope_of(addr) {
            Some(0) => Err(libc::EINVAL),
            Some(index) if index > self.interfaces => Err(libc::ENODEV),
            _ => Ok(()),
        }
    }

    /// Gives socket `id`, which has none, the name `name`; port 0 stands for any.
    pub(super) fn claim(&mut self, id: SocketId, name: Name) -> Result<(), i32> {
        let socket = self.sockets.get_mut(&id).ok_or(libc::EBADF)?;
        let name = match (name, socket.family) {
            (Name::Unix(bytes), Family::Unix) if !bytes.is_empty() => {
                self.names.claim_unix(&bytes, id)?;
                Name::Unix(bytes)
            }
            (Name::Inet(mut addr), family) if serves(family, &socket.options, addr.ip()) => {
                let claim = socket.claim(id, addr.ip());
                let kind = socket.body.transport();
                addr.set_port(self.names.claim(kind, addr.port(), claim)?);
                Name::Inet(addr)
            }
            (Name::Inet(_), Family::V4) => return Err(libc::EAFNOSUPPORT),
            _ => return Err(libc::EINVAL),
        };
        socket.name = Some(name);
        socket.claimed = true;
        Ok(())
    }

    /// The address of `fd`.
    pub(super) fn local_addr(&self, fd: RawFd) -> Result<SockAddr, i32> {
        let (_, socket) = self.socket_of(fd)?;
        let v6 = socket.family == Family::V6;
        Ok(match &socket.name {
            Some(name) => name.to_addr(v6),
            None => socket.family.nowhere().to_addr(v6),
        })
    }

    /// The address of the peer of `fd`.
    pub(super) fn peer_addr(&self, fd: RawFd) -> Result<SockAddr, i32> {
        let (_, socket) = self.socket_of(fd)?;
        let name = match &socket.body {
            Body::Linked(conn, side) => self.conns.get(conn).and_then(|c| c.peer_name(*side)),
            Body::Datagram(inbox) => inbox.peer.clone(),
            _ => None,
        };
        Ok(name.ok_or(libc::ENOTCONN)?.to_addr(socket.family == Family::V6))
    }

    /// Ends one direction of `fd`, or both.
    pub(super) fn shutdown(&mut self, fd: RawFd, how: Shutdown) -> Result<(), i32> {
        match self.socket_of(fd)?.1.body {
            Body::Linked(conn, side) => self.shutdown_end(conn, side, how),
            _ => Err(libc::ENOTCONN),
        }
    }

    /// Receives at most `max` bytes, or one datagram cut to as many, on `fd`.
    pub(super) fn receive(&mut self, fd: RawFd, max: usize) -> Result<Received, Stop> {
        let (id, socket) = self.socket_of(fd)?;
        match socket.body {
            Body::Linked(conn, side) => self.receive_stream(id, (conn, side), max),
            Body::Datagram(_) => self.receive_datagram(id, max),
            Body::Idle | Body::Listening(_) => Err(Stop::Errno(libc::ENOTCONN)),
        }
    }

    /// Sends `bytes` on `fd`; how many were taken. `to` counts for datagrams alone.
    pub(super) fn send(
        &mut self,
        fd: RawFd,
        bytes: &[u8],
        to: Option<Name>,
    ) -> Result<usize, Stop> {
        let (id, socket) = self.socket_of(fd)?;
        match socket.body {
            Body::Linked(conn, side) => self.send_stream(id, (conn, side), bytes),
            Body::Datagram(_) => self.send_datagram(id, bytes, to),
            Body::Idle | Body::Listening(_) => Err(Stop::Errno(libc::EPIPE)),
        }
    }

    /// `errno` is told by whatever is tried next on `fd`.
    pub(super) fn tell_later(&mut self, fd: RawFd, errno: i32) {
        let Some(socket) = self.table.get(fd).and_then(|id| self.sockets.get_mut(&id)) else {
            return;
        };
        match &mut socket.body {
            Body::Datagram(inbox) => inbox.error = Some(errno),
            Body::Linked(conn, side) => {
                if let Some(conn) = self.conns.get_mut(conn) {
                    conn.end(*side).error = Some(errno);
                }
            }
            Body::Idle | Body::Listening(_) => {}
        }
    }

    /// Whether a receive on `fd` would bring bytes, or a datagram, even an empty one.
    pub(super) fn has_bytes(&self, fd: RawFd) -> bool {
        match self.socket_of(fd).map(|(_, socket)| &socket.body) {
            Ok(Body::Linked(conn, side)) => {
                let pipe = self.conns.get(conn).map(|c| &c.pipes[side.other() as usize]);
                pipe.is_some_and(|pipe| pipe.landed() > 0)
            }
            Ok(Body::Datagram(inbox)) => inbox.readiness(0) & libc::POLLIN != 0,
            _ => false,
        }
    }

    /// The `POLL*` bits that stand on `fd`, trouble included.
    pub(super) fn readiness(&self, fd: RawFd) -> Result<i16, i32> {
        let (_, socket) = self.socket_of(fd)?;
        Ok(match &socket.body {
            Body::Idle => libc::POLLOUT | libc::POLLHUP,
            Body::Listening(listener) => listener.readiness(),
            Body::Linked(conn, side) => self.conns.get(conn).map_or(0, |c| c.readiness(*side)),
            Body::Datagram(inbox) => inbox.readiness(socket.options.send_buffer),
        })
    }
}

impl Socket {
    fn claim(&self, socket: SocketId, ip: IpAddr) -> Claim {
        let all = ip == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        Claim {
            socket,
            ip,
            dual: all && !self.options.only_v6,
            reuse_address: self.options.reuse_address,
            reuse_port: self.options.reuse_port,
            listening: false,
        }
    }
}

impl Family {
    /// The address of a socket that has none.
    pub(super) fn nowhere(self) -> Name {
        match self {
            Self::V4 => Name::Inet(([0; 4], 0).into()),
            Self::V6 => Name::Inet(([0_u16; 8], 0).into()),
            Self::Unix => Name::UNNAMED,
        }
    }
}

/// Whether a socket of `family` can have to do with `ip`.
pub(super) fn serves(family: Family, options: &Options, ip: IpAddr) -> bool {
    match family {
        Family::V4 => ip.is_ipv4(),
        Family::V6 => ip.is_ipv6() || !options.only_v6,
        Family::Unix => false,
    }
}
