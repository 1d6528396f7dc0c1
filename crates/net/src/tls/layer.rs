//! A session on a descriptor.

use std::fmt;
use std::io::{self, IoSlice};

use tautline_buffer::{Fifo, Lent};
use tautline_runtime::Conn;

use super::Error;
use super::buffers::{BATCH, lend, with_joined, with_outgoing};
use super::session::{Facts, MOST_PLAIN, OVERHEAD, Outgoing, Session, State};
use crate::link::{Layer, Received};

/// The least room in a queue that is worth a record.
pub(super) const LEAST: usize = 128;

/// A [`Session`] on a descriptor: what lies between the bytes of a socket and those of a protocol.
///
/// Idle, it holds no memory but that of the session: a buffer is lent when cipher bytes arrive,
/// and goes back when no part of a record is left in it.
pub struct Tls {
    session: Box<dyn Session>,
    /// What has arrived and makes no whole record yet, or could not be put out yet.
    ring: Option<Lent>,
    /// Of what the session had to say by itself: what the queue did not take.
    owed: Vec<u8>,
    /// The session can go on only with more cipher bytes.
    wants_more: bool,
    /// Nothing more arrives.
    ended: bool,
    /// Everything ended with this.
    failure: Option<Error>,
    /// What the kernel has said, while there were bytes to be told first.
    broken: Option<io::Error>,
}

/// What a look at a descriptor has brought.
enum Look {
    /// Cipher bytes; `all`: there are no more now.
    Bytes {
        all: bool,
    },
    Nothing,
    End,
}

impl Tls {
    /// A session that begins.
    pub fn new(session: Box<dyn Session>) -> Self {
        Self {
            session,
            ring: None,
            owed: Vec::new(),
            wants_more: true,
            ended: false,
            failure: None,
            broken: None,
        }
    }

    /// How far it is.
    pub fn state(&self) -> State {
        self.session.state()
    }

    /// What was agreed on.
    pub fn facts(&self) -> Facts {
        self.session.facts()
    }

    /// Takes the handshake on as far as what has arrived allows. True: it is over.
    ///
    /// # Errors
    /// [`Error`], and what the kernel says.
    pub fn advance(&mut self, conn: &Conn) -> io::Result<bool> {
        self.process(conn, &mut [])?;
        loop {
            match self.session.state() {
                State::Handshaking => {}
                _ => return self.pay(conn),
            }
            if let Some(failure) = &self.failure {
                return Err(failure.clone().into());
            }
            if self.ended {
                return Err(self.cut_off(" while the handshake went on").into());
            }
            match self.look(conn)? {
                Look::Nothing => {
                    self.pay(conn)?;
                    return Ok(false);
                }
                Look::End | Look::Bytes { .. } => self.process(conn, &mut []).map(drop)?,
            }
        }
    }

    /// Takes in what is there, and puts out what it stands for.
    fn receive_some(&mut self, conn: &Conn, into: &mut [u8]) -> io::Result<Received> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone().into());
        }
        if let Some(error) = self.broken.take() {
            self.ended = true;
            return Err(error);
        }
        let mut count = if self.holds() { self.process(conn, into)? } else { 0 };
        let mut all = false;
        while count < into.len() && !all && !self.is_over() {
            match self.look_and_process(conn, &mut into[count..]) {
                Ok((more, that)) => (count, all) = (count + more, that),
                Err(error) if count > 0 => self.broken = Some(error),
                Err(error) => return Err(error),
            }
        }
        match count {
            0 => self.nothing(),
            _ => Ok(Received::Bytes { count, more: self.holds() || !all }),
        }
    }

    /// Takes in what arrives now. Returns how many plain bytes were put out, and whether that does for
    /// now. A short receive does only if it has brought plain bytes, for those who are given some ask
    /// again: an end may lie behind it of which nobody tells.
    fn look_and_process(&mut self, conn: &Conn, into: &mut [u8]) -> io::Result<(usize, bool)> {
        let (is_short, is_last) = match self.look(conn)? {
            Look::Bytes { all } => (all, false),
            Look::Nothing | Look::End => (true, true),
        };
        let given = self.process(conn, into)?;
        Ok((given, is_last || (is_short && given > 0)))
    }

    /// Whether the end, or a failure, is all that is left to be told.
    fn is_over(&self) -> bool {
        self.ended || self.failure.is_some() || self.broken.is_some() || self.peer_closed()
    }

    fn peer_closed(&self) -> bool {
        matches!(self.session.state(), State::PeerClosed | State::Closed)
    }

    /// What it means that there are no bytes.
    fn nothing(&mut self) -> io::Result<Received> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone().into());
        }
        if self.peer_closed() {
            self.ring = None;
            return Ok(Received::End);
        }
        if self.ended {
            return Err(self.cut_off("").into());
        }
        Ok(Received::Nothing)
    }

    fn cut_off(&mut self, when: &'static str) -> Error {
        let error = Error::Truncated { when };
        self.ring = None;
        self.failure = Some(error.clone());
        error
    }

    /// Takes cipher bytes from the kernel.
    fn look(&mut self, conn: &Conn) -> io::Result<Look> {
        if self.ended {
            return Ok(Look::End);
        }
        let mut ring = match self.ring.take() {
            Some(ring) => ring,
            None => lend().inspect_err(|error| self.failure = Some(error.clone()))?,
        };
        let room = ring.free();
        let read = conn.try_read(ring.claim(room));
        let look = match read {
            Ok(0) => {
                self.ended = true;
                Look::End
            }
            Ok(count) => {
                ring.commit(count);
                Look::Bytes { all: count < room }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Look::Nothing,
            Err(error) => return Err(error),
        };
        self.ring = Some(ring).filter(|ring| !ring.is_empty());
        Ok(look)
    }

    /// Has the session take in what lies here. Returns how many plain bytes it has put out.
    fn process(&mut self, conn: &Conn, into: &mut [u8]) -> io::Result<usize> {
        let Self { session, ring, .. } = self;
        let cipher = ring.as_mut().map_or(&mut [][..], |ring| ring.readable_mut());
        let of = cipher.len();
        let done = with_outgoing(|answer| {
            let done = session.receive(cipher, into, answer);
            // If nothing can be sent any more, the peer may still have said why.
            let _ = say(conn, &mut self.owed, answer, done.failure.is_some());
            done
        });
        self.wants_more = done.wants_more;
        if done.taken == of {
            self.ring = None;
        } else if let Some(ring) = ring {
            ring.consume(done.taken);
        }
        if let Some(failure) = done.failure {
            self.ring = None;
            self.failure = Some(failure.clone());
            // What came before it is told first.
            return if done.given > 0 { Ok(done.given) } else { Err(failure.into()) };
        }
        self.still_fits();
        Ok(done.given)
    }

    /// No message is longer than a buffer: the session would have refused it.
    fn still_fits(&mut self) {
        let full = self.ring.as_ref().is_some_and(|ring| ring.free() == 0);
        if full && self.wants_more {
            let reason = "a message that is longer than any may be".to_owned();
            self.failure = Some(Error::Broken { reason });
        }
    }

    /// Sends what is owed. True: all of it is on its way.
    fn pay(&mut self, conn: &Conn) -> io::Result<bool> {
        if !self.owed.is_empty() {
            let taken = conn.write_beyond(&self.owed)?;
            self.owed.drain(..taken);
        }
        Ok(self.owed.is_empty())
    }

    fn send_some(&mut self, conn: &Conn, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone().into());
        }
        if matches!(self.session.state(), State::Finished | State::Closed) {
            return Err(Error::Finished.into());
        }
        let of: usize = parts.iter().map(|part| part.len()).sum();
        if !self.pay(conn)? {
            conn.fell_short(0, of);
            return Ok(0);
        }
        let mut taken = 0;
        while taken < of {
            let room = conn.room();
            let count = self.send_batch(conn, parts, taken, room)?;
            taken += count;
            if count == 0 {
                // Says so if sending has ended.
                conn.write(&[])?;
                if room > 0 && conn.queued() == 0 {
                    return Err(Error::NoRoom { least: LEAST }.into());
                }
                conn.fell_short(taken, of);
                break;
            }
        }
        Ok(taken)
    }

    /// Enciphers as many records as there is room for, and queues them together.
    fn send_batch(
        &mut self,
        conn: &Conn,
        parts: &[IoSlice<'_>],
        from: usize,
        room: usize,
    ) -> io::Result<usize> {
        let Self { session, ring, .. } = self;
        let left = ring.as_mut().map_or(&mut [][..], |ring| ring.readable_mut());
        with_outgoing(|out| {
            let (mut taken, mut failure) = (0, None);
            while taken < BATCH && failure.is_none() {
                let fits = room.saturating_sub(out.bytes().len());
                if fits < LEAST {
                    break;
                }
                let most = (fits - OVERHEAD).min(MOST_PLAIN);
                match with_run(parts, from + taken, most, |run| session.send(left, run, out)) {
                    Ok(0) => break,
                    Ok(count) => taken += count,
                    Err(error) => failure = Some(error),
                }
            }
            let queued = conn.write(out.bytes())?;
            // Only a stream that nobody else writes to has the room that it has said.
            self.owed.extend_from_slice(&out.bytes()[queued..]);
            failure.map_or(Ok(taken), |error| Err(error.into()))
        })
    }

    fn finish_now(&mut self, conn: &Conn) -> io::Result<()> {
        let Self { session, ring, .. } = self;
        let left = ring.as_mut().map_or(&mut [][..], |ring| ring.readable_mut());
        with_outgoing(|out| {
            session.finish(left, out)?;
            say(conn, &mut self.owed, out, false)
        })?;
        match self.pay(conn)? {
            true => Ok(()),
            false => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Whether part of a record is held in a buffer of the thread.
    pub fn holds_buffer(&self) -> bool {
        self.ring.is_some()
    }

    /// Whether something waits for room in the queue that has to leave before anything else.
    pub fn owes(&self) -> bool {
        !self.owed.is_empty()
    }
}

/// Queues what a session has to say. Records cannot be taken back, so what finds no room at all is
/// owed. What tells of a failure leaves at once, for the stream may be closed next.
fn say(conn: &Conn, owed: &mut Vec<u8>, out: &Outgoing, at_once: bool) -> io::Result<()> {
    if out.is_empty() {
        return Ok(());
    }
    if !owed.is_empty() {
        owed.extend_from_slice(out.bytes());
        return Ok(());
    }
    let taken = match out.bytes().len() <= conn.room() {
        true => conn.write(out.bytes())?,
        false => conn.write_beyond(out.bytes())?,
    };
    owed.extend_from_slice(&out.bytes()[taken..]);
    if at_once {
        conn.flush();
    }
    Ok(())
}

/// Calls `act` with the bytes of `parts` from `from` on, at most `most` and in one run. They are
/// copied together only where one part does not do.
fn with_run<R>(parts: &[IoSlice<'_>], from: usize, most: usize, act: impl FnOnce(&[u8]) -> R) -> R {
    let (mut skip, mut parts) = (from, parts);
    while let [first, rest @ ..] = parts
        && skip >= first.len()
    {
        (skip, parts) = (skip - first.len(), rest);
    }
    let [first, rest @ ..] = parts else { return act(&[]) };
    let first = &first[skip..];
    if first.len() >= most || rest.iter().all(|part| part.is_empty()) {
        return act(&first[..first.len().min(most)]);
    }
    with_joined(|joined| {
        joined.extend_from_slice(first);
        for part in rest {
            let room = most - joined.len();
            joined.extend_from_slice(&part[..part.len().min(room)]);
        }
        act(joined)
    })
}

impl Layer for Tls {
    fn receive(&mut self, conn: &Conn, into: &mut [u8]) -> io::Result<Received> {
        self.receive_some(conn, into)
    }

    fn send(&mut self, conn: &Conn, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.send_some(conn, parts)
    }

    fn finish(&mut self, conn: &Conn) -> io::Result<()> {
        self.finish_now(conn)
    }

    fn holds(&self) -> bool {
        !self.wants_more || self.session.holds() || self.is_over()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("state", &self.session.state())
            .field("holds_buffer", &self.ring.is_some())
            .finish_non_exhaustive()
    }
}
