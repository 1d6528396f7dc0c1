//! What sockets of datagrams have in common: readiness, and many datagrams in one call.

use std::io;

use tautline_runtime::{Batch, Conn};

use crate::multicast::Groups;

/// Receiving calls that a socket may make in one turn.
pub(crate) const CALLS: usize = 2;

/// A socket that may get datagrams which are not its own.
pub(crate) trait Sifts {
    /// Whose they have to be, if not all are its own.
    fn sieve(&self) -> Option<Groups> {
        None
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
                    match crate::datagrams::receive(self.conn(), batch, sieve.as_ref()) {
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
                        Err(error) => return Err(error),
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
                    match crate::datagrams::receive(self.conn(), batch, sieve.as_ref()) {
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
                batch.send(self.conn(), first, to)
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
                let sieve = crate::datagrams::Sifts::sieve(&self);
                self.descriptor.on_readable(move |conn| {
                    for _ in 0..crate::datagrams::CALLS {
                        let sieve = sieve.as_ref();
                        if !crate::datagrams::receive_some(conn, &mut batch, sieve)? {
                            return Ok(Drained::Yes);
                        }
                        if batch.is_empty() {
                            continue;
                        }
                        handler(conn, &mut batch).into_result()?;
                        if conn.is_paused() {
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

/// Receives a batch by one call; how many of it are the socket's own, which may be none.
pub(crate) fn receive(conn: &Conn, batch: &mut Batch, sieve: Option<&Groups>) -> io::Result<usize> {
    let count = batch.receive(conn)?;
    let Some(groups) = sieve else { return Ok(count) };
    batch.retain(|packet| !groups.is_stray(&packet.envelope()));
    Ok(batch.len())
}

/// Whether there was something; the batch may be empty all the same. What a host reports of an
/// earlier datagram is passed over.
pub(crate) fn receive_some(
    conn: &Conn,
    batch: &mut Batch,
    sieve: Option<&Groups>,
) -> io::Result<bool> {
    for _ in 0..=batch.capacity() {
        match receive(conn, batch, sieve) {
            Ok(_) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if is_report(&error) => {}
            Err(error) => return Err(error),
        }
    }
    // So many reports in a row: the next turn goes on.
    batch.clear();
    Ok(true)
}

/// Whether an error of a receive is what a host reports of a datagram that was sent.
pub(crate) fn is_report(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionRefused | Kind::HostUnreachable | Kind::NetworkUnreachable
    )
}
