//! A Unix datagram socket.

use std::io;

use socket2::{Domain, Type};
use tautline_runtime::{
    Batch, Conn, Datagram, Descriptor, Drained, IoBuf, IoBufMut, Operation, Outcome, Packet, To,
};

use super::UnixAddress;
use crate::calls::of_descriptor;
use crate::datagrams::{Sifts, batching};
use crate::error::at;
use crate::op;

/// Datagrams between processes of one machine; none is lost or reordered, and a sender
/// waits for a receiver that is behind. Whether that one has room, `writable` and batches
/// know of a connected socket alone: of another the kernel does not tell, and they ask
/// again in each turn.
#[derive(Debug)]
pub struct UnixDatagram {
    descriptor: Descriptor,
}

of_descriptor!(UnixDatagram);
batching!(UnixDatagram);

impl Sifts for UnixDatagram {}

/// Datagrams that a handler's socket may take in one turn.
const BUDGET: usize = 64;

impl UnixDatagram {
    /// A socket without a name: it can send, and receive once it is connected to one
    /// that is connected to it.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn unbound() -> io::Result<Self> {
        let descriptor = Descriptor::socket(Domain::UNIX, Type::DGRAM, None)?;
        Ok(Self { descriptor })
    }

    /// A socket with a name.
    ///
    /// # Errors
    /// [`Error`](crate::Error) that names `addr` and what would help.
    pub fn bind(addr: impl Into<UnixAddress>) -> io::Result<Self> {
        Self::bind_with(addr.into(), false)
    }

    /// The same, taking over a path that an earlier process has left.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_over_stale(addr: impl Into<UnixAddress>) -> io::Result<Self> {
        Self::bind_with(addr.into(), true)
    }

    fn bind_with(addr: UnixAddress, over_stale: bool) -> io::Result<Self> {
        let socket = Self::unbound()?;
        addr.bind(&socket.descriptor, Type::DGRAM, over_stale).map_err(at("bind", &addr))?;
        Ok(socket)
    }

    /// Two sockets, connected to each other.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = std::os::unix::net::UnixDatagram::pair()?;
        let take = |socket: std::os::unix::net::UnixDatagram| {
            Ok::<_, io::Error>(Self { descriptor: Descriptor::new(socket.into())? })
        };
        Ok((take(a)?, take(b)?))
    }

    /// Sends to `peer` from now on.
    ///
    /// # Errors
    /// [`Error`](crate::Error) that names `peer` and what would help.
    pub fn connect(&self, peer: impl Into<UnixAddress>) -> io::Result<()> {
        let peer = peer.into();
        let connect = || self.conn().connect_now(&peer.to_socket()?);
        connect().map_err(at("connect to", &peer))
    }

    /// Its own name.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn local_addr(&self) -> io::Result<UnixAddress> {
        Ok(UnixAddress::of(&self.conn().local_addr()?))
    }

    /// Receives one datagram; [`source`](Self::source) tells whom it came from.
    pub fn receive_from<B: IoBufMut>(&self, buf: B) -> Operation<op::ReceiveFrom<B>> {
        self.descriptor.receive_from(buf)
    }

    /// Whom a datagram came from.
    pub fn source(received: &Datagram) -> Option<UnixAddress> {
        received.from.as_ref().map(UnixAddress::of)
    }

    /// Whom a datagram of a batch came from.
    pub fn packet_source(packet: &Packet<'_>) -> Option<UnixAddress> {
        packet.address().as_ref().map(UnixAddress::of)
    }

    /// Sends one datagram to the peer that it is connected to.
    pub fn send<B: IoBuf>(&self, buf: B) -> Operation<op::SendTo<B>> {
        self.descriptor.send_to(buf, None)
    }

    /// Sends one datagram to a name.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a name that is too long.
    pub fn send_to<B: IoBuf>(
        &self,
        buf: B,
        to: impl Into<UnixAddress>,
    ) -> io::Result<Operation<op::SendTo<B>>> {
        Ok(self.descriptor.send_to(buf, Some(&to.into().to_socket()?)))
    }

    /// Receives one datagram that is there.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when nothing is there or another
    /// receive is before it; what the kernel says.
    pub fn try_receive_from(&self, buf: &mut [u8]) -> io::Result<Datagram> {
        self.conn().try_receive_from(buf)
    }

    /// Sends one datagram to the peer that it is connected to, now.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when the receiver is behind or another
    /// send is before it; what the kernel says.
    pub fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.conn().try_send_to(bytes, None)
    }

    /// Sends one datagram to a name, now.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub fn try_send_to(&self, bytes: &[u8], to: impl Into<UnixAddress>) -> io::Result<usize> {
        self.conn().try_send_to(bytes, Some(&to.into().to_socket()?))
    }

    /// Gives the socket to the loop, which calls `handler` with each datagram of up to
    /// `size` bytes, and says whether it was longer.
    ///
    /// # Errors
    /// When the operation table is full.
    pub fn on_datagrams<F, R>(self, size: usize, mut handler: F) -> io::Result<Conn>
    where
        F: FnMut(&Conn, &[u8], &Datagram) -> R + 'static,
        R: Outcome,
    {
        let mut buf = vec![0; size];
        self.descriptor.on_readable(move |conn| {
            for _ in 0..BUDGET {
                match conn.try_receive_from(&mut buf) {
                    Ok(received) => handler(conn, &buf[..received.len], &received).into_result()?,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        return Ok(Drained::Yes);
                    }
                    Err(error) => return Err(error),
                }
                if conn.is_paused() {
                    return Ok(Drained::Yes);
                }
            }
            Ok(Drained::No)
        })
    }
}
