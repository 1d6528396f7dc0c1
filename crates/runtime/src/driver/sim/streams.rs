//! Connections in the world: how they come about, carry bytes and end. As on Linux.

use std::collections::VecDeque;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::RawFd;
use std::time::Duration;

use super::super::Interest;
use super::events::Event;
use super::names::{self, Name, Transport};
use super::tcp::{Arrival, Conn, End, Phase, Pipe, Side};
use super::world::{Body, ConnId, Family, SocketId, World, serves};
use super::{Received, Stop};
use crate::time::Instant;

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

impl Conn {
    /// The peer's name, while the connection of `side` stands.
    pub(super) fn peer_name(&self, side: Side) -> Option<Name> {
        let stands = self.phase == Phase::Established && !self.ends[side as usize].dead;
        stands.then(|| self.ends[side.other() as usize].name.clone())
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

    /// Receives at most `max` bytes.
    pub(super) fn receive_stream(
        &mut self,
        id: SocketId,
        (conn_id, side): (ConnId, Side),
        max: usize,
    ) -> Result<Received, Stop> {
        let conn = self.conns.get_mut(&conn_id).ok_or(Stop::Errno(libc::ENOTCONN))?;
        let there = conn.may_receive(side)?.min(max);
        let count = self.shorten(there, id, Interest::Read, |world| {
            world.chance(|faults| faults.short_receive)
        });
        let at = self.arrival();
        let Some(conn) = self.conns.get_mut(&conn_id).filter(|_| count > 0) else {
            return Ok(Received::stream(Vec::new()));
        };
        let bytes = conn.pipe_to(side).take(count);
        let at = if conn.unix { self.now } else { at };
        self.agenda.plan(at, Event::Room { conn: conn_id, side: side.other(), count });
        Ok(Received::stream(bytes))
    }

    /// `count`, or less than it by fault; then the rest is told again.
    fn shorten(
        &mut self,
        count: usize,
        id: SocketId,
        interest: Interest,
        fault: impl Fn(&mut Self) -> bool,
    ) -> usize {
        if count < 2 || !fault(self) {
            return count;
        }
        if let Some(fd) = self.sockets.get(&id).map(|socket| socket.fd) {
            self.touch_soon(fd, interest);
        }
        1 + self.below(count - 1)
    }

    /// Sends as many of `bytes` as there is room for.
    pub(super) fn send_stream(
        &mut self,
        id: SocketId,
        (conn_id, side): (ConnId, Side),
        bytes: &[u8],
    ) -> Result<usize, Stop> {
        let conn = self.conns.get_mut(&conn_id).ok_or(Stop::Errno(libc::EPIPE))?;
        let room = conn.may_send(side)?.min(bytes.len());
        let count = self
            .shorten(room, id, Interest::Write, |world| world.chance(|faults| faults.short_send));
        if count == 0 {
            return Ok(0);
        }
        if let Some(conn) = self.conns.get_mut(&conn_id) {
            conn.pipe_from(side).push(&bytes[..count]);
            let tcp = !conn.unix;
            self.plan_behind(
                conn_id,
                side,
                Event::Land { conn: conn_id, side: side.other(), count },
            );
            if tcp && self.chance(|faults| faults.reset) {
                self.reset_both(conn_id);
            }
        }
        Ok(count)
    }

    /// Something between the two ends resets the connection.
    fn reset_both(&mut self, conn: ConnId) {
        for side in [Side::Client, Side::Server] {
            let at = self.arrival();
            self.agenda.plan(at, Event::Reset { conn, side });
        }
    }

    /// Plans `event`, which `sender` causes, behind all that it has sent.
    fn plan_behind(&mut self, conn_id: ConnId, sender: Side, event: Event) {
        let (at, now) = (self.arrival(), self.now);
        if let Some(conn) = self.conns.get_mut(&conn_id) {
            let at = if conn.unix { now } else { at };
            let pipe = conn.pipe_from(sender);
            pipe.last = pipe.last.max(at);
            self.agenda.plan(pipe.last, event);
        }
    }

    /// Ends one direction of `side`, or both.
    pub(super) fn shutdown_end(
        &mut self,
        conn_id: ConnId,
        side: Side,
        how: Shutdown,
    ) -> Result<(), i32> {
        let conn = self.conns.get_mut(&conn_id).ok_or(libc::ENOTCONN)?;
        let stands = conn.phase == Phase::Established;
        let end = conn.end(side);
        if end.dead || !stands {
            return Err(libc::ENOTCONN);
        }
        let socket = end.socket;
        end.read_shut |= how != Shutdown::Write;
        if how != Shutdown::Read && !std::mem::replace(&mut end.write_shut, true) {
            let fin = Event::Fin { conn: conn_id, side: side.other(), closed: false };
            self.plan_behind(conn_id, side, fin);
        }
        self.touch_both(socket);
        Ok(())
    }

    /// The program closes `side`; `abort` if nothing shall linger.
    pub(super) fn close_end(&mut self, conn_id: ConnId, side: Side, abort: bool) {
        let Some(conn) = self.conns.get_mut(&conn_id) else {
            return;
        };
        if conn.phase != Phase::Established {
            let arrival = conn.arrival;
            self.conns.remove(&conn_id);
            return self.comes_no_more(arrival);
        }
        let unread = conn.pipe_to(side).landed() > 0;
        let unix = conn.unix;
        let end = conn.end(side);
        (end.closed, end.socket) = (true, None);
        let said_all = std::mem::replace(&mut end.write_shut, true);
        let dead = end.dead;
        if conn.is_over() {
            self.conns.remove(&conn_id);
        } else if !dead && (unread || abort) {
            self.plan_behind(conn_id, side, Event::Reset { conn: conn_id, side: side.other() });
        } else if !dead && (unix || !said_all) {
            let fin = Event::Fin { conn: conn_id, side: side.other(), closed: true };
            self.plan_behind(conn_id, side, fin);
        }
    }

    fn comes_no_more(&mut self, arrival: Arrival) {
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

    fn touch_both(&mut self, socket: Option<SocketId>) {
        self.touch(socket, Interest::Read);
        self.touch(socket, Interest::Write);
    }

    /// Something reaches one end of a connection. Nothing, if the connection has gone.
    pub(super) fn stream_event(&mut self, event: Event) {
        match event {
            Event::Syn { conn, tries } => self.syn_lands(conn, tries),
            Event::SynAck { conn } => self.syn_ack_lands(conn),
            Event::Ack { conn } => self.ack_lands(conn),
            Event::Refused { conn, errno } => self.refusal_lands(conn, errno),
            Event::Land { conn, side, count } => self.bytes_land(conn, side, count),
            Event::Fin { conn, side, closed } => self.change(conn, side, |conn| {
                let unix = conn.unix;
                let end = conn.end(side);
                end.fin = true;
                end.write_shut |= closed && unix;
            }),
            Event::Reset { conn, side } => self.change(conn, side, |conn| conn.reset(side)),
            Event::Room { conn, side, count } => self.room_lands(conn, side, count),
            Event::Datagram(_) | Event::Touch { .. } | Event::Spurious(_) | Event::Announce(_) => {
                unreachable!("not of a stream")
            }
        }
    }

    /// Changes `side`, if it is there and alive.
    fn change(&mut self, conn: ConnId, side: Side, change: impl FnOnce(&mut Conn)) {
        let Some(conn) = self.conns.get_mut(&conn) else {
            return;
        };
        if !conn.end(side).closed && !conn.end(side).dead {
            change(conn);
            let socket = conn.end(side).socket;
            self.touch_both(socket);
        }
    }

    fn syn_lands(&mut self, conn_id: ConnId, tries: u32) {
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

    fn syn_ack_lands(&mut self, conn_id: ConnId) {
        let at: Instant = self.arrival();
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

    fn ack_lands(&mut self, conn_id: ConnId) {
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

    fn refusal_lands(&mut self, conn_id: ConnId, errno: i32) {
        self.change(conn_id, Side::Client, |conn| {
            conn.phase = Phase::Failed;
            let end = conn.end(Side::Client);
            (end.dead, end.error) = (true, Some(errno));
        });
    }

    fn bytes_land(&mut self, conn_id: ConnId, side: Side, count: usize) {
        let Some(conn) = self.conns.get_mut(&conn_id) else {
            return;
        };
        if conn.end(side).closed {
            // Nobody will read them: the sender is told.
            let reset = Event::Reset { conn: conn_id, side: side.other() };
            return self.plan_behind(conn_id, side, reset);
        }
        if !conn.end(side).dead {
            conn.pipe_to(side).land(count);
            let socket = conn.end(side).socket;
            self.touch(socket, Interest::Read);
        }
    }

    fn room_lands(&mut self, conn_id: ConnId, side: Side, count: usize) {
        if let Some(conn) = self.conns.get_mut(&conn_id) {
            conn.pipe_from(side).free(count);
            let socket = conn.end(side).socket;
            self.touch(socket, Interest::Write);
        }
    }
}
