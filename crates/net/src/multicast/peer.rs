//! A socket that sends to groups and receives from them.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;

use socket2::SockAddr;
use tautline_runtime::{
    Batch, Conn, Datagram, Descriptor, Details, Drained, Operation, Outcome, Packet, SocketOption,
    Stamp, To, divides_datagrams,
};

use super::joining::joining;
use super::{Error, Groups, Interface, Membership, Options, ReadBuffers, ToInterface, ToIp};
use crate::address::{ToAddress, ip};
use crate::calls::Stands;
use crate::datagrams::{Sifts, batching};
use crate::lent::Reader;
use crate::op;

/// A UDP socket that joins groups, of IPv4 or IPv6.
///
/// It gets what is sent to the groups that itself has joined and to the port that it is bound
/// to; what others of this host have joined it does not get (`IP_MULTICAST_ALL` is off, and
/// its twin of IPv6). Several peers may share an address and port: each of those that have
/// joined a group gets each datagram.
///
/// ```
/// # use tautline_net::multicast::Peer;
/// # let runtime = tautline_runtime::Runtime::new(Default::default())?;
/// let peer = Peer::options().interface("lo").bind("0.0.0.0:0")?;
/// peer.join_on("239.255.70.2", "lo")?;
/// let group = ([239, 255, 70, 2], peer.local_addr()?.port()).into();
/// runtime.block_on(async {
///     peer.send_to(b"hello", group).await?;
///     let mut batch = peer.batch(16, 1500);
///     peer.receive_batch(&mut batch).await?;
///     let packet = batch.get(0).unwrap();
///     assert_eq!(packet.bytes, b"hello");
///     std::io::Result::Ok(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Peer {
    descriptor: Descriptor,
    groups: Groups,
    details: Details,
    buffers: ReadBuffers,
    /// The interface that it sends to groups by.
    sends_by: Cell<Interface>,
}

batching!(Peer);
joining!(Peer);

impl Peer {
    /// What a peer asks for with each datagram unless it was told otherwise: source,
    /// destination and interface, the time of arrival by the kernel's clock, and the kernel's
    /// count of drops.
    pub const DETAILS: Details = Details {
        source: true,
        destination: true,
        hops: false,
        time: Some(Stamp::Kernel),
        drops: true,
        offload: false,
    };

    /// Binds to `addr`: to any address and the port of the feed (`"0.0.0.0:5000"`,
    /// `"[::]:5000"`) for any number of groups; to a group and its port for that group alone;
    /// to port 0, or an address of this host, to send only.
    ///
    /// # Errors
    /// [`crate::Error`] that names `addr` and what would help.
    pub fn bind(addr: impl ToAddress) -> io::Result<Self> {
        Self::options().bind(addr)
    }

    /// The choices.
    pub fn options() -> Options {
        Options::default()
    }

    pub(super) fn of(
        descriptor: Descriptor,
        bound: SocketAddr,
        details: Details,
        sends_by: Interface,
    ) -> Self {
        let groups = Groups::of(descriptor.conn().clone(), bound);
        let sieve = sieve(&groups, details);
        let buffers = ReadBuffers::new(descriptor.conn().clone(), details, sieve);
        Self { descriptor, groups, details, buffers, sends_by: Cell::new(sends_by) }
    }

    pub(crate) fn at_groups(&self) -> &Groups {
        &self.groups
    }

    pub(super) fn at_buffers(&self) -> &ReadBuffers {
        &self.buffers
    }

    /// Names it, for the calls that handlers have.
    pub fn conn(&self) -> &Conn {
        self.descriptor.conn()
    }

    /// As a plain descriptor, which keeps what is joined.
    pub fn into_descriptor(self) -> Descriptor {
        self.descriptor
    }

    /// Its own address.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        ip(&self.conn().local_addr()?)
    }

    /// Sets an option.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_option(&self, option: SocketOption) -> io::Result<()> {
        self.conn().set_option(option)?;
        if let SocketOption::MulticastInterface(index) = option {
            self.sends_by.set(Interface::of_index(index));
        }
        Ok(())
    }

    /// The interface that it sends by, as far as one was named: [`Options::interface`].
    pub fn sends_by(&self) -> Interface {
        self.sends_by.get()
    }

    /// Bytes that the kernel keeps of what was not received yet, as it counts, with its own
    /// expense: what was granted of [`Options::receive_buffer`].
    ///
    /// # Errors
    /// What the kernel says.
    pub fn receive_buffer(&self) -> io::Result<usize> {
        self.conn().receive_buffer()
    }

    /// Bytes that the kernel keeps of what was not sent yet, as it counts: what was granted of
    /// [`Options::send_buffer`].
    ///
    /// # Errors
    /// What the kernel says.
    pub fn send_buffer(&self) -> io::Result<usize> {
        self.conn().send_buffer()
    }

    /// How many datagrams it has dropped since it was made, for want of room above all: see
    /// [`Conn::dropped`].
    ///
    /// # Errors
    /// What the kernel says.
    pub fn dropped(&self) -> io::Result<u32> {
        self.conn().dropped()
    }

    /// Whether the kernel divides large sends into datagrams: [`Batch::push_segments`].
    ///
    /// # Errors
    /// What the kernel says.
    pub fn divides(&self) -> io::Result<bool> {
        divides_datagrams(self.conn())
    }

    /// What it asks for with each datagram: [`Options::details`].
    pub fn details(&self) -> Details {
        self.details
    }

    /// A batch of `count` datagrams of up to `size` bytes, with room for the details that this
    /// peer asks for: to be received into again and again.
    pub fn batch(&self, count: usize, size: usize) -> Batch {
        Batch::with_details(count, size, self.details)
    }

    /// Sends one datagram to a group, or to a host; waits while the kernel has no room. Nothing
    /// is lent to the kernel meanwhile: dropped, it has sent nothing.
    ///
    /// # Errors
    /// [`NoRoute`](Error::NoRoute) to the group, [`NoRouteBy`](Error::NoRouteBy) the interface that is
    /// named; what else the kernel says.
    pub async fn send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        loop {
            poll_fn(|cx| self.conn().poll_turn(cx)).await;
            match self.try_send_to(bytes, to) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable().await?,
                sent => return sent,
            }
        }
    }

    /// Sends one datagram to a group, or to a host, now.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when there is no room or another send
    /// is before it; [`NoRoute`](Error::NoRoute) to the group, [`NoRouteBy`](Error::NoRouteBy) the
    /// interface that is named; what else the kernel says.
    pub fn try_send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        let sent = self.conn().try_send_to(bytes, Some(&SockAddr::from(to)));
        sent.map_err(|error| Error::of_send(error, to, self.sends_by.get()))
    }

    /// Waits for a datagram and receives it into `buf`, with its source and no other details.
    /// Nothing is lent to the kernel meanwhile: dropped, it loses nothing.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn receive_from(&self, buf: &mut [u8]) -> io::Result<Datagram> {
        loop {
            poll_fn(|cx| self.conn().poll_turn(cx)).await;
            match self.conn().try_receive_from(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable().await?,
                received => return received,
            }
        }
    }

    /// Receives one datagram that is there into `buf`, with its source and no other details.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when nothing is there; what the kernel says.
    pub fn try_receive_from(&self, buf: &mut [u8]) -> io::Result<Datagram> {
        self.conn().try_receive_from(buf)
    }

    /// Gives the peer to the loop, which calls `handler` with each datagram where it was
    /// received, as [`UdpSocket::on_datagrams`](crate::UdpSocket::on_datagrams) does.
    ///
    /// # Errors
    /// When the operation table is full.
    pub fn on_datagrams<F, R>(self, mut handler: F) -> io::Result<Conn>
    where
        F: FnMut(&Conn, Packet<'_>) -> R + 'static,
        R: Outcome,
    {
        let mut reader = Reader::new(&self, self.details);
        self.descriptor.on_maybe_readable(move |conn| reader.take_some(conn, &mut handler))
    }
}

impl Sifts for Peer {
    fn sieve(&self) -> Option<Groups> {
        sieve(&self.groups, self.details)
    }

    fn refused(&self, error: io::Error, to: Option<SocketAddr>) -> io::Error {
        match to {
            Some(to) => Error::of_send(error, to, self.sends_by.get()),
            None => error,
        }
    }

    /// It is not connected: nobody reports anything to it.
    fn comes_whole(&self) -> bool {
        true
    }
}

/// By which the datagrams of a peer are told from those that it gets too many. IPv4 needs none, and
/// without details there is nothing to tell them by.
fn sieve(groups: &Groups, details: Details) -> Option<Groups> {
    (groups.of_v6() && details.destination).then(|| groups.clone())
}

impl Stands for Peer {
    fn stands(&self) -> &Descriptor {
        &self.descriptor
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("descriptor", &self.descriptor)
            .field("groups", &self.groups)
            .finish()
    }
}
