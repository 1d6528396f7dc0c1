//! How connections carry bytes in the world, and end. As on Linux.

use std::net::Shutdown;

use super::super::Interest;
use super::events::Event;
use super::names::Name;
use super::tcp::{Conn, Phase, Side};
use super::world::{ConnId, SocketId, World};
use super::{Received, Stop};

impl Conn {
    /// The peer's name, while the connection of `side` stands.
    pub(super) fn peer_name(&self, side: Side) -> Option<Name> {
        let stands = self.phase == Phase::Established && !self.ends[side as usize].dead;
        stands.then(|| self.ends[side.other() as usize].name.clone())
    }
}

impl World {
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

    pub(super) fn touch_both(&mut self, socket: Option<SocketId>) {
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
    pub(super) fn change(&mut self, conn: ConnId, side: Side, change: impl FnOnce(&mut Conn)) {
        let Some(conn) = self.conns.get_mut(&conn) else {
            return;
        };
        if !conn.end(side).closed && !conn.end(side).dead {
            change(conn);
            let socket = conn.end(side).socket;
            self.touch_both(socket);
        }
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
