//! How connections come about in the world. As on Linux.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;
use std::time::Duration;

use super::super::Interest;
use super::Stop;
use super::events::Event;
use super::names::{self, Name, Transport};
use super::tcp::{Arrival, Conn, End, Phase, Pipe, Side};
use super::world::{Body, ConnId, Family, SocketId, World, serves};

/// The longest queue that a listener may ask for.
const LONGEST_BACKLOG: i32 = 4096;
/// How often a client tries again when the listener's queue is full: after one second,
/// two more, four more.
const RETRIES: u32 = 6;

/// A listening socket's own state.
#[derive(Debug)]
pub(super) struct Listener {
    /// Connections beyond this many, less one, have to wait outside.
    backlog: usize,
    queue: VecDeque<ConnId>,
    /// Connections whose handshake is under way.
    coming: usize,
}

impl Listener {
    fn is_full(&self) -> bool {
        self.queue.len() + self.coming > self.backlog
    }

    pub(super) fn readiness(&self) -> i16 {
        if self.queue.is_empty() { 0 } else { libc::POLLIN }
    }
}

impl World {
    /// Has `fd` listen.
    pub(super) fn listen(&mut self, fd: RawFd, backlog: i32) -> Result<(), i32> {
        let (id, socket) = self.socket_of(fd)?;
        if !matches!(socket.body, Body::Idle | Body::Listening(_)) {
            return Err(if socket.body.transport() == Transport::Udp {
                libc::EOPNOTSUPP
            } else {
                libc::EINVAL
            });
        }
        if socket.name.is_none() {
            // A Unix socket without name is refused here.
            self.claim(id, socket.family.nowhere())?;
        }
        let socket = self.sockets.get_mut(&id).ok_or(libc::EBADF)?;
        if let Some(Name::Inet(addr)) = &socket.name {
            self.names.listen(addr.port(), id)?;
        }
        let backlog = backlog.clamp(0, LONGEST_BACKLOG) as usize;
        match &mut socket.body {
            Body::Listening(listener) => listener.backlog = backlog,
            body => {
                *body = Body::Listening(Listener { backlog, queue: VecDeque::new(), coming: 0 });
            }
        }
        Ok(())
    }

    /// Connects `fd`, or tells how connecting goes.
    pub(super) fn connect(&mut self, fd: RawFd, to: Name) -> Result<(), Stop> {
        let (id, socket) = self.socket_of(fd)?;
        match socket.body {
            Body::Idle => self.start_connect(id, to),
            Body::Linked(conn, _) => self.connect_result(id, conn),
            Body::Listening(_) => Err(Stop::Errno(libc::EISCONN)),
            Body::Datagram(_) => self.connect_datagram(id, to),
        }
    }

    fn connect_result(&mut self, id: SocketId, conn_id: ConnId) -> Result<(), Stop> {
        let conn = self.conns.get_mut(&conn_id).ok_or(Stop::Errno(libc::ENOTCONN))?;
        let phase = conn.phase;
        let end = conn.end(Side::Client);
        match phase {
            Phase::Connecting => Err(Stop::WouldBlock),
            Phase::Established if end.told || end.socket != Some(id) => {
                Err(Stop::Errno(libc::EISCONN))
            }
            Phase::Established => {
                end.told = true;
                // A reset that followed at once is all that there is to tell.
                end.error.take_if(|_| end.dead).map_or(Ok(()), |errno| Err(Stop::Errno(errno)))
            }
            Phase::Failed => {
                let errno = end.error.take().unwrap_or(libc::ECONNABORTED);
                self.conns.remove(&conn_id);
                if let Some(socket) = self.sockets.get_mut(&id) {
                    socket.body = Body::Idle;
                }
                Err(Stop::Errno(errno))
            }
        }
    }

    fn start_connect(&mut self, id: SocketId, to: Name) -> Result<(), Stop> {
        let socket = self.sockets.get(&id).ok_or(Stop::Errno(libc::EBADF))?;
        match to {
            Name::Unix(path) if socket.family == Family::Unix => self.connect_unix(id, &path),
            Name::Inet(to) if serves(socket.family, &socket.options, to.ip()) => {
                self.connect_inet(id, names::destination(to))
            }
            _ => Err(Stop::Errno(libc::EAFNOSUPPORT)),
        }
    }

    fn connect_inet(&mut self, id: SocketId, to: SocketAddr) -> Result<(), Stop> {
        let from = self.name_for(id, to.ip(), Transport::Tcp)?;
        let conn = self.link(id, Name::Inet(from), Name::Inet(to), Phase::Connecting);
        let at = self.arrival();
        self.agenda.plan(at, Event::Syn { conn, tries: 0 });
        Err(Stop::WouldBlock)
    }

    /// Gives socket `id`, which sends to `to`, one address of its own: the one it is
    /// bound to, or a free port.
    pub(super) fn name_for(
        &mut self,
        id: SocketId,
        to: IpAddr,
        kind: Transport,
    ) -> Result<SocketAddr, i32> {
        let source = names::source_for(to);
        let name = self.sockets.get(&id).and_then(|socket| socket.name.clone());
        let name = match name {
            None => {
                let any = Name::Inet(SocketAddr::new(source, 0));
                self.claim(id, any).map_err(|_| libc::EADDRNOTAVAIL)?;
                self.sockets.get(&id).and_then(|socket| socket.name.clone())
            }
            name => name,
        };
        let Some(Name::Inet(mut addr)) = name else {
            return Err(libc::EAFNOSUPPORT);
        };
        if addr.ip().is_multicast() {
            // Bound to a group, it receives there and sends from an address of its own.
            return Ok(SocketAddr::new(source, addr.port()));
        }
        if addr.ip().is_unspecified() {
            addr.set_ip(source);
            if kind == Transport::Tcp {
                self.names.narrow(kind, addr.port(), id, source);
            }
        }
        Ok(addr)
    }

    /// Makes socket `id` the client of a new connection.
    fn link(&mut self, id: SocketId, from: Name, to: Name, phase: Phase) -> ConnId {
        let conn_id = ConnId(self.fresh_id());
        let unix = matches!(to, Name::Unix(_));
        let conn = Conn {
            ends: [End::new(Some(id), from.clone()), End::new(None, to)],
            pipes: [Pipe::new(0), Pipe::new(0)],
            phase,
            arrival: Arrival::Unknown,
            unix,
        };
        self.conns.insert(conn_id, conn);
        if let Some(socket) = self.sockets.get_mut(&id) {
            socket.name = if unix { socket.name.take() } else { Some(from) };
            socket.body = Body::Linked(conn_id, Side::Client);
        }
        conn_id
    }

    /// Unix sockets connect at once.
    fn connect_unix(&mut self, id: SocketId, path: &[u8]) -> Result<(), Stop> {
        let peer = self.names.find_unix(path)?;
        let (name, full) = match self.sockets.get(&peer).map(|socket| (&socket.name, &socket.body))
        {
            Some((name, Body::Listening(listener))) => (name.clone(), listener.is_full()),
            Some((_, Body::Datagram(_))) => return Err(Stop::Errno(libc::EPROTOTYPE)),
            _ => return Err(Stop::Errno(libc::ECONNREFUSED)),
        };
        if full {
            // There is no readiness to wait for.
            return Err(Stop::Errno(libc::EAGAIN));
        }
        let from = self.sockets.get(&id).and_then(|socket| socket.name.clone());
        let to = name.unwrap_or(Name::UNNAMED);
        let conn = self.link(id, from.unwrap_or(Name::UNNAMED), to, Phase::Established);
        self.size_pipes(conn, peer);
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.end(Side::Client).told = true;
        }
        self.enqueue(conn, peer);
        Ok(())
    }

    /// The pipes of `conn` get the room that its sockets' options say.
    fn size_pipes(&mut self, conn: ConnId, listener: SocketId) {
        let Some(conn) = self.conns.get_mut(&conn) else {
            return;
        };
        let client = conn.end(Side::Client).socket;
        let options =
            |id: Option<SocketId>| id.and_then(|id| self.sockets.get(&id)).map(|s| s.options);
        if let (Some(client), Some(server)) = (options(client), options(Some(listener))) {
            let room = |from: usize, to: usize| from.saturating_add(to);
            conn.pipe_from(Side::Client).capacity = room(client.send_buffer, server.receive_buffer);
            conn.pipe_from(Side::Server).capacity = room(server.send_buffer, client.receive_buffer);
        }
    }

    /// `conn` may be accepted from `listener`.
    fn enqueue(&mut self, conn_id: ConnId, listener: SocketId) {
        if let Some(conn) = self.conns.get_mut(&conn_id) {
            conn.arrival = Arrival::Arrived;
        }
        if let Some(Body::Listening(state)) = self.sockets.get_mut(&listener).map(|s| &mut s.body) {
            state.queue.push_back(conn_id);
        }
        self.touch(Some(listener), Interest::Read);
    }

    /// Accepts a connection from `fd`.
    pub(super) fn accept(&mut self, fd: RawFd) -> Result<RawFd, Stop> {
        let (id, socket) = self.socket_of(fd)?;
        let (family, options) = (socket.family, socket.options);
        match &socket.body {
            Body::Listening(listener) if listener.queue.is_empty() => return Err(Stop::WouldBlock),
            Body::Listening(_) => {}
            Body::Datagram(_) => return Err(Stop::Errno(libc::EOPNOTSUPP)),
            _ => return Err(Stop::Errno(libc::EINVAL)),
        }
        if !self.table.has_room() || self.chance(|faults| faults.no_descriptor) {
            self.touch_soon(fd, Interest::Read);
            return Err(Stop::Errno(libc::EMFILE));
        }
        let conn_id = match self.sockets.get_mut(&id).map(|socket| &mut socket.body) {
            Some(Body::Listening(listener)) => listener.queue.pop_front(),
            _ => None,
        };
        let conn_id = conn_id.ok_or(Stop::WouldBlock)?;
        let name = self.conns.get(&conn_id).map(|c| c.ends[Side::Server as usize].name.clone());
        let child = self.add(family, name, options, Body::Linked(conn_id, Side::Server));
        let child_id = self.table.get(child);
        if let Some(conn) = self.conns.get_mut(&conn_id) {
            conn.end(Side::Server).socket = child_id;
            conn.end(Side::Server).told = true;
        }
        Ok(child)
    }

    pub(super) fn comes_no_more(&mut self, arrival: Arrival) {
        if let Arrival::Coming(listener) = arrival
            && let Some(Body::Listening(state)) =
                self.sockets.get_mut(&listener).map(|socket| &mut socket.body)
        {
            state.coming -= 1;
        }
    }

    /// A listener is closed: nobody will accept what waits there.
    pub(super) fn abandon(&mut self, listener: Listener) {
        for conn in listener.queue {
            self.close_end(conn, Side::Server, true);
        }
    }

    pub(super) fn syn_lands(&mut self, conn_id: ConnId, tries: u32) {
        let Some(conn) = self.conns.get_mut(&conn_id) else {
            return;
        };
        let (Name::Inet(from), Name::Inet(to)) =
            (conn.ends[0].name.clone(), conn.ends[1].name.clone())
        else {
            return;
        };
        let at = self.arrival();
        let listener = self.listener_for(from, to);
        let Some(listener) = listener.filter(|_| !self.chance(|faults| faults.refusal)) else {
            return self
                .agenda
                .plan(at, Event::Refused { conn: conn_id, errno: libc::ECONNREFUSED });
        };
        if self.try_coming(listener) {
            if let Some(conn) = self.conns.get_mut(&conn_id) {
                conn.arrival = Arrival::Coming(listener);
            }
            self.size_pipes(conn_id, listener);
            self.agenda.plan(at, Event::SynAck { conn: conn_id });
        } else if tries < RETRIES {
            let at = self.now + Duration::from_secs(1 << tries);
            self.agenda.plan(at, Event::Syn { conn: conn_id, tries: tries + 1 });
        } else {
            self.agenda.plan(at, Event::Refused { conn: conn_id, errno: libc::ETIMEDOUT });
        }
    }

    /// Who accepts connections at `to`; of several the same one for the same client.
    fn listener_for(&self, from: SocketAddr, to: SocketAddr) -> Option<SocketId> {
        let found = self.names.candidates(Transport::Tcp, to);
        let listening: Vec<_> = found.iter().filter(|claim| claim.listening).collect();
        let index = usize::from(from.port()).checked_rem(listening.len())?;
        Some(listening[index].socket)
    }

    /// Counts one more coming connection, if `listener` has room for it.
    fn try_coming(&mut self, listener: SocketId) -> bool {
        match self.sockets.get_mut(&listener).map(|socket| &mut socket.body) {
            Some(Body::Listening(state)) if !state.is_full() => {
                state.coming += 1;
                true
            }
            _ => false,
        }
    }

    pub(super) fn syn_ack_lands(&mut self, conn_id: ConnId) {
        let at = self.arrival();
        let Some(conn) = self.conns.get_mut(&conn_id) else {
            return;
        };
        conn.phase = Phase::Established;
        // Nothing that the client sends overtakes its part of the handshake.
        conn.pipe_from(Side::Client).last = at;
        let socket = conn.end(Side::Client).socket;
        self.agenda.plan(at, Event::Ack { conn: conn_id });
        self.touch_both(socket);
    }

    pub(super) fn ack_lands(&mut self, conn_id: ConnId) {
        let Some(Arrival::Coming(listener)) = self.conns.get(&conn_id).map(|conn| conn.arrival)
        else {
            return;
        };
        self.comes_no_more(Arrival::Coming(listener));
        if self.sockets.contains_key(&listener) {
            self.enqueue(conn_id, listener);
        } else {
            self.close_end(conn_id, Side::Server, true);
        }
    }

    pub(super) fn refusal_lands(&mut self, conn_id: ConnId, errno: i32) {
        self.change(conn_id, Side::Client, |conn| {
            conn.phase = Phase::Failed;
            let end = conn.end(Side::Client);
            (end.dead, end.error) = (true, Some(errno));
        });
    }
}
