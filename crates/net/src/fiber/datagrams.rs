//! What sockets of datagrams have in common: receiving, sending to the peer, and batches.

/// The calls of a socket of datagrams that are the same whatever its addresses are.
macro_rules! datagrams {
    ($socket:ty) => {
        crate::fiber::calls::read_timeout!([] $socket);
        crate::fiber::calls::write_timeout!([] $socket);

        impl $socket {
            /// Receives one datagram, and says how long it is, who sent it, and whether `buf`
            /// was too short for it.
            ///
            /// # Errors
            /// What the kernel says, and what all calls say.
            pub fn receive_from(&self, buf: &mut [u8]) -> io::Result<Datagram> {
                self.to_read()?.receive_from(buf)
            }

            /// Receives one datagram, and says how many bytes of it are in `buf`.
            ///
            /// # Errors
            /// As [`receive_from`](Self::receive_from).
            pub fn receive(&self, buf: &mut [u8]) -> io::Result<usize> {
                Ok(self.receive_from(buf)?.len)
            }

            /// Sends one datagram to the peer that it is connected to.
            ///
            /// # Errors
            /// [`NotConnected`](io::ErrorKind::NotConnected) without one; what the kernel says,
            /// and what all calls say.
            pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
                self.to_write()?.send_to(bytes, None).map_err(crate::error::unconnected)
            }

            /// Waits until a datagram can be received.
            ///
            /// # Errors
            /// What all calls say.
            pub fn readable(&self) -> io::Result<()> {
                self.to_read()?.readable()
            }

            /// Waits until a datagram can be sent.
            ///
            /// # Errors
            /// What all calls say.
            pub fn writable(&self) -> io::Result<()> {
                self.to_write()?.writable()
            }

            /// Waits for datagrams and receives as many as there are and the batch has room for,
            /// in one call.
            ///
            /// # Errors
            /// As [`receive_from`](Self::receive_from).
            pub fn receive_batch(&self, batch: &mut Batch) -> io::Result<usize> {
                wait_within("receive_batch", self.timeouts.read.get(), self.inner.receive_batch(batch))
            }

            /// Sends all of a batch, in as few calls as the kernel's buffer allows. Cancelled or
            /// timed out, it may have sent a part.
            ///
            /// # Errors
            /// What the kernel says, and what all calls say.
            pub fn send_batch(&self, batch: &mut Batch, to: To<'_>) -> io::Result<()> {
                wait_within("send_batch", self.timeouts.write.get(), self.inner.send_batch(batch, to))
            }
        }
    };
}

pub(super) use datagrams;
