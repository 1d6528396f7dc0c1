//! A connection: two ends, and a pipe in either direction. Pure: no time, no chance.

use std::collections::VecDeque;

use super::Stop;
use super::names::Name;
use super::world::SocketId;
use crate::time::Instant;

/// An end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    /// The one that connected.
    Client = 0,
    /// The one that was accepted.
    Server = 1,
}

impl Side {
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// How far a connection has come, as the client knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    Connecting,
    Established,
    /// It never stood. The error is the client's.
    Failed,
}

/// How far a connection has come, as the listener knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Arrival {
    /// The listener has not heard of it.
    Unknown,
    /// It counts as coming.
    Coming(SocketId),
    /// It waits to be accepted, or is accepted.
    Arrived,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) ends: [End; 2],
    /// By the side that sends.
    pub(super) pipes: [Pipe; 2],
    pub(super) phase: Phase,
    pub(super) arrival: Arrival,
    /// Between Unix sockets: nothing is under way, and nothing goes wrong.
    pub(super) unix: bool,
}

/// What one end knows.
#[derive(Debug)]
pub(super) struct End {
    /// `None` before it is accepted, and once it is closed.
    pub(super) socket: Option<SocketId>,
    pub(super) name: Name,
    /// Told once, by whatever is tried next.
    pub(super) error: Option<i32>,
    /// The peer has said all.
    pub(super) fin: bool,
    /// Nothing more will be received by own choice.
    pub(super) read_shut: bool,
    /// Nothing more may be sent.
    pub(super) write_shut: bool,
    /// It was reset.
    pub(super) dead: bool,
    /// The program has closed it.
    pub(super) closed: bool,
    /// The program was told that the connection stands.
    pub(super) told: bool,
}

impl End {
    pub(super) fn new(socket: Option<SocketId>, name: Name) -> Self {
        Self {
            socket,
            name,
            error: None,
            fin: false,
            read_shut: false,
            write_shut: false,
            dead: false,
            closed: false,
            told: false,
        }
    }
}

/// One direction of a connection.
#[derive(Debug)]
pub(super) struct Pipe {
    /// Sent and not received: first those that have landed, then those under way.
    bytes: VecDeque<u8>,
    landed: usize,
    /// Bytes that the sender believes to be in `bytes`: at least as many as are.
    held: usize,
    /// Bound of `held`: both buffers.
    pub(super) capacity: usize,
    /// When the last thing sent arrives; nothing overtakes it.
    pub(super) last: Instant,
}

impl Pipe {
    pub(super) fn new(capacity: usize) -> Self {
        let last = Instant::from_nanos(0);
        Self { bytes: VecDeque::new(), landed: 0, held: 0, capacity, last }
    }

    /// How many more bytes may be sent.
    pub(super) fn room(&self) -> usize {
        self.capacity.saturating_sub(self.held)
    }

    /// How many bytes may be received.
    pub(super) fn landed(&self) -> usize {
        self.landed
    }

    /// Sends `bytes`, for which there is room.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        debug_assert!(bytes.len() <= self.room(), "more bytes than there is room for");
        self.held += bytes.len();
        self.bytes.extend(bytes);
    }

    /// The next `count` bytes have arrived, if they are not lost.
    pub(super) fn land(&mut self, count: usize) {
        self.landed = (self.landed + count).min(self.bytes.len());
    }

    /// Receives `count` bytes, which have landed.
    pub(super) fn take(&mut self, count: usize) -> Vec<u8> {
        self.landed -= count;
        self.bytes.drain(..count).collect()
    }

    /// The sender learns that `count` bytes were received.
    pub(super) fn free(&mut self, count: usize) {
        self.held = self.held.saturating_sub(count);
    }

    /// What is under way never arrives.
    fn cut(&mut self) {
        self.bytes.truncate(self.landed);
    }
}

impl Conn {
    pub(super) fn end(&mut self, side: Side) -> &mut End {
        &mut self.ends[side as usize]
    }

    /// The pipe that `side` sends into.
    pub(super) fn pipe_from(&mut self, side: Side) -> &mut Pipe {
        &mut self.pipes[side as usize]
    }

    /// The pipe that `side` receives from.
    pub(super) fn pipe_to(&mut self, side: Side) -> &mut Pipe {
        self.pipe_from(side.other())
    }

    /// Room for sending from `side`, at least 1.
    pub(super) fn may_send(&mut self, side: Side) -> Result<usize, Stop> {
        let phase = self.phase;
        let end = self.end(side);
        if let Some(errno) = end.error.take() {
            return Err(Stop::Errno(errno));
        }
        if end.dead || end.write_shut {
            return Err(Stop::Errno(libc::EPIPE));
        }
        match self.pipe_from(side).room() {
            room if room > 0 && phase == Phase::Established => Ok(room),
            _ => Err(Stop::WouldBlock),
        }
    }

    /// How many bytes `side` may receive; 0 is the end.
    pub(super) fn may_receive(&mut self, side: Side) -> Result<usize, Stop> {
        let landed = self.pipe_to(side).landed();
        let end = self.end(side);
        if landed > 0 || end.fin {
            return Ok(landed);
        }
        match end.error.take() {
            Some(errno) => Err(Stop::Errno(errno)),
            None if end.dead || end.read_shut => Ok(0),
            None => Err(Stop::WouldBlock),
        }
    }

    /// A reset reaches `side`. What has landed can still be received.
    pub(super) fn reset(&mut self, side: Side) {
        let end = self.end(side);
        if !end.dead {
            end.dead = true;
            end.error = Some(if end.fin { libc::EPIPE } else { libc::ECONNRESET });
            self.pipe_to(side).cut();
        }
    }

    /// The `POLL*` bits that stand at `side`.
    pub(super) fn readiness(&self, side: Side) -> i16 {
        let end = &self.ends[side as usize];
        let (inward, outward) = (&self.pipes[side.other() as usize], &self.pipes[side as usize]);
        if self.phase == Phase::Connecting {
            return 0;
        }
        let ended = end.fin || end.read_shut || end.dead;
        let mut bits = 0;
        let mut set = |when: bool, bit: i16| bits |= if when { bit } else { 0 };
        set(end.dead || (ended && end.write_shut), libc::POLLHUP);
        set(ended, libc::POLLIN | libc::POLLRDHUP);
        set(inward.landed() > 0, libc::POLLIN);
        // As Linux has it: not before a third is free.
        let roomy = outward.room() > 0 && outward.room() >= outward.capacity / 3;
        set(end.write_shut || end.dead || roomy, libc::POLLOUT);
        set(end.error.is_some(), libc::POLLERR);
        bits
    }

    /// Whether nobody can see it any more.
    pub(super) fn is_over(&self) -> bool {
        self.ends.iter().all(|end| end.closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conn() -> Conn {
        Conn {
            ends: [(); 2].map(|()| End::new(None, Name::UNNAMED)),
            pipes: [(); 2].map(|()| Pipe::new(9)),
            phase: Phase::Established,
            arrival: Arrival::Arrived,
            unix: false,
        }
    }

    /// Bytes count against the room until the sender learns that they were received.
    #[test]
    fn room_returns_when_the_sender_learns() {
        let mut pipe = Pipe::new(4);
        pipe.push(b"abc");
        assert_eq!((pipe.room(), pipe.landed()), (1, 0));
        pipe.land(2);
        assert_eq!(pipe.take(2), b"ab");
        assert_eq!(pipe.room(), 1);
        pipe.free(2);
        assert_eq!(pipe.room(), 3);
    }

    /// After a reset, what has landed is received, then the error once, then the end.
    #[test]
    fn a_reset_is_told_once_behind_what_has_landed() {
        let mut conn = conn();
        conn.pipe_to(Side::Server).push(b"abcd");
        conn.pipe_to(Side::Server).land(2);
        conn.reset(Side::Server);
        assert_eq!(conn.may_receive(Side::Server), Ok(2));
        conn.pipe_to(Side::Server).take(2);
        conn.pipe_to(Side::Server).land(2);
        assert_eq!(conn.may_receive(Side::Server), Err(Stop::Errno(libc::ECONNRESET)));
        assert_eq!(conn.may_receive(Side::Server), Ok(0));
        assert_eq!(conn.may_send(Side::Server), Err(Stop::Errno(libc::EPIPE)));
    }

    /// A reset after the end of the stream is no error for receiving, but a broken pipe.
    #[test]
    fn a_reset_after_the_end_breaks_the_pipe() {
        let mut conn = conn();
        conn.end(Side::Client).fin = true;
        conn.reset(Side::Client);
        assert_eq!(conn.may_receive(Side::Client), Ok(0));
        assert_eq!(conn.may_send(Side::Client), Err(Stop::Errno(libc::EPIPE)));
    }

    /// A pipe counts as writable again only when a third of it is free.
    #[test]
    fn a_little_room_is_not_readiness() {
        let mut conn = conn();
        let out = |conn: &Conn| conn.readiness(Side::Client) & libc::POLLOUT != 0;
        assert!(out(&conn));
        conn.pipe_from(Side::Client).push(b"1234567");
        assert_eq!((out(&conn), conn.may_send(Side::Client)), (false, Ok(2)));
        conn.pipe_from(Side::Client).land(7);
        conn.pipe_from(Side::Client).take(1);
        conn.pipe_from(Side::Client).free(1);
        assert!(out(&conn));
    }
}
