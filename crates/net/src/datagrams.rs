//! What sockets of datagrams have in common: readiness, and many datagrams in one call.

use std::io;
use std::net::SocketAddr;

use tautline_runtime::{Batch, Conn, To};

use crate::multicast::Groups;

/// Datagrams that a socket may receive in one turn.
pub(crate) const TURN: usize = 64;

/// Batches that it may receive instead.
pub(crate) const CALLS: usize = 2;

/// How the datagrams of a socket come and go.
pub(crate) trait Sifts {
    /// Whose they have to be, if not all are its own.
    fn sieve(&self) -> Option<Groups> {
        None
    }

    /// Whether fewer datagrams than there was room for are all that were there. Where hosts report
    /// what became of earlier ones, such a report may cut them short.
    fn comes_whole(&self) -> bool {
        false
    }

    /// What it means that a datagram was not sent to that address.
    fn refused(&self, error: io::Error, _to: Option<SocketAddr>) -> io::Error {
        error
    }
}

/// How many datagrams the next receive of a socket is to have room for: about as many as came of
/// late, so that an idle one holds no room from others, and because room that is not used costs a
/// little each time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demand(usize);

impl Demand {
    /// Before the first receive.
    pub(crate) const FIRST: Self = Self(1);

    /// Room for how many. A socket that is not looked at in every turn is to be found empty by the
    /// same call that takes the last datagram.
    pub(crate) fn room(self, is_hot: bool) -> usize {
        if is_hot { self.0 } else { self.0 + 1 }
    }

    /// So many came, of those that there was room for.
    pub(crate) fn note(&mut self, count: usize, room: usize) {
        self.0 = if count < room { count.max(1) } else { self.0.max(2 * room) };
    }
}

/// Waits for readiness and moves batches.
macro_rules! batching {
    ($socket:ty) => {
        impl $socket {
            /// Waits until something can be received.
            pub fn readable(&self) -> Operation<op::Ready> {
                self.descriptor.readable()
            }

            /// Waits until something can be sent.
            pub fn writable(&self) -> Operation<op::Ready> {
                self.descriptor.writable()
            }

            /// Waits for datagrams and receives as many as there are and the batch has room for,
            /// in one call. Dropped, it loses nothing.
            ///
            /// # Errors
            /// What the kernel says.
            pub async fn receive_batch(&self, batch: &mut Batch) -> io::Result<usize> {
                let sieve = crate::datagrams::Sifts::sieve(self);
                loop {
                    std::future::poll_fn(|cx| self.conn().poll_turn(cx)).await;
                    match crate::datagrams::receive_batch(self.conn(), batch, sieve.as_ref()) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            self.readable().await?
                        }
                        Ok(0) => {}
                        received => return received,
                    }
                }
            }

            /// Sends all of a batch, in as few calls as the kernel's buffer allows. Dropped, it
            /// may have sent a part.
            ///
            /// # Errors
            /// What the kernel says.
            pub async fn send_batch(&self, batch: &mut Batch, to: To<'_>) -> io::Result<()> {
                let mut sent = 0;
                while sent < batch.len() {
                    std::future::poll_fn(|cx| self.conn().poll_turn(cx)).await;
                    match batch.send(self.conn(), sent, to) {
                        Ok(taken) => sent += taken,
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            self.writable().await?
                        }
                        Err(error) => {
                            let to = crate::datagrams::destination(batch, sent, to);
                            return Err(crate::datagrams::Sifts::refused(self, error, to));
                        }
                    }
                }
                Ok(())
            }

            /// Receives what is there into a batch.
            ///
            /// # Errors
            /// As [`Batch::receive`].
            pub fn try_receive_batch(&self, batch: &mut Batch) -> io::Result<usize> {
                let sieve = crate::datagrams::Sifts::sieve(self);
                for _ in 0..crate::datagrams::CALLS {
                    match crate::datagrams::receive_batch(self.conn(), batch, sieve.as_ref()) {
                        Ok(0) => {}
                        received => return received,
                    }
                }
                Err(io::ErrorKind::WouldBlock.into())
            }

            /// Sends a batch from its `first` datagram on; returns how many the kernel took.
            ///
            /// # Errors
            /// As [`Batch::send`].
            pub fn try_send_batch(
                &self,
                batch: &mut Batch,
                first: usize,
                to: To<'_>,
            ) -> io::Result<usize> {
                let sent = batch.send(self.conn(), first, to);
                sent.map_err(|error| {
                    let to = crate::datagrams::destination(batch, first, to);
                    crate::datagrams::Sifts::refused(self, error, to)
                })
            }

            /// As [`on_datagrams`](Self::on_datagrams), a batch at a time and in a batch of its
            /// own: what wants to send a batch on as a whole has it here.
            ///
            /// # Errors
            /// As [`on_datagrams`](Self::on_datagrams).
            pub fn on_batches<F, R>(self, mut batch: Batch, mut handler: F) -> io::Result<Conn>
            where
                F: FnMut(&Conn, &mut Batch) -> R + 'static,
                R: Outcome,
            {
                let mut inflow = crate::datagrams::Inflow::of(&self);
                self.descriptor.on_maybe_readable(move |conn| {
                    for _ in 0..crate::datagrams::CALLS {
                        let came = inflow.receive(conn, &mut batch, usize::MAX)?;
                        if !batch.is_empty() {
                            handler(conn, &mut batch).into_result()?;
                        }
                        if came.is_all || conn.is_paused() {
                            return Ok(Drained::Yes);
                        }
                    }
                    Ok(Drained::No)
                })
            }
        }
    };
}

pub(crate) use batching;

/// The datagrams of one socket, for its handlers.
#[derive(Debug)]
pub(crate) struct Inflow {
    sieve: Option<Groups>,
    comes_whole: bool,
    demand: Demand,
}

/// What a receive has brought.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Came {
    /// Datagrams, those among them that were not the socket's own; as many as there was room for if
    /// there were nothing but reports.
    pub(crate) count: usize,
    /// Nothing was left, or it is looked for all the same.
    pub(crate) is_all: bool,
}

impl Inflow {
    /// Those of `socket`.
    pub(crate) fn of(socket: &impl Sifts) -> Self {
        let (sieve, comes_whole) = (socket.sieve(), socket.comes_whole());
        Self { sieve, comes_whole, demand: Demand::FIRST }
    }

    /// For how many datagrams there is to be room.
    pub(crate) fn room(&self, conn: &Conn) -> usize {
        self.demand.room(conn.is_hot())
    }

    /// Receives what is there, at most `room` datagrams. What a host reports of an earlier one is
    /// passed over.
    pub(crate) fn receive(
        &mut self,
        conn: &Conn,
        batch: &mut Batch,
        room: usize,
    ) -> io::Result<Came> {
        let room = room.min(batch.capacity());
        for _ in 0..=batch.capacity() {
            match batch.receive_at_most(conn, room) {
                Ok(count) => {
                    self.demand.note(count, room);
                    sift(batch, self.sieve.as_ref());
                    let has_room = count < room && self.comes_whole;
                    let is_all = has_room || (count == 1 && conn.is_hot());
                    return Ok(Came { count, is_all });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.demand.note(0, room);
                    return Ok(Came { count: 0, is_all: true });
                }
                Err(error) if is_report(&error) => {}
                Err(error) => return Err(error),
            }
        }
        // So many reports in a row: the next turn goes on.
        batch.clear();
        Ok(Came { count: room, is_all: false })
    }
}

/// Whom a datagram of a batch goes to, if it is an address of IP.
pub(crate) fn destination(batch: &Batch, at: usize, to: To<'_>) -> Option<SocketAddr> {
    match to {
        To::Peer => None,
        To::All(to) => to.as_socket(),
        To::Own => batch.get(at)?.source(),
    }
}

/// Receives a batch by one call; how many of it are the socket's own, which may be none.
pub(crate) fn receive_batch(
    conn: &Conn,
    batch: &mut Batch,
    sieve: Option<&Groups>,
) -> io::Result<usize> {
    batch.receive(conn)?;
    sift(batch, sieve);
    Ok(batch.len())
}

/// Forgets what is not the socket's own.
fn sift(batch: &mut Batch, sieve: Option<&Groups>) {
    if let Some(groups) = sieve {
        batch.retain(|packet| !groups.is_stray(&packet.envelope()));
    }
}

/// Whether an error of a receive is what a host reports of a datagram that was sent.
pub(crate) fn is_report(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionRefused | Kind::HostUnreachable | Kind::NetworkUnreachable
    )
}
