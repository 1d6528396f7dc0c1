//! UDP.

use std::io;
use std::net::SocketAddr;

use socket2::{SockAddr, Type};
use tautline_runtime::{
    Batch, Conn, Datagram, Descriptor, Details, Drained, IoBuf, IoBufMut, Operation, Outcome,
    Packet, SocketOption, To, divides_datagrams,
};

use crate::address::{ToAddress, domain, ip};
use crate::calls::of_descriptor;
use crate::datagrams::{Sifts, batching};
use crate::error::at;
use crate::lent::Reader;
use crate::op;

/// How a UDP socket is to be made.
#[derive(Clone, Debug, Default)]
pub struct UdpOptions {
    options: Vec<SocketOption>,
    only_v6: Option<bool>,
}

impl UdpOptions {
    /// Whether several sockets may have the address, the last one getting the datagrams.
    pub fn reuse_address(self, on: bool) -> Self {
        self.option(SocketOption::ReuseAddress(on))
    }

    /// Whether several sockets may share the port, and the kernel divides the flows among
    /// them: one for each loop.
    pub fn reuse_port(self, on: bool) -> Self {
        self.option(SocketOption::ReusePort(on))
    }

    /// Whether an IPv6 socket refuses IPv4. Default: as the system has it.
    pub fn only_v6(mut self, on: bool) -> Self {
        self.only_v6 = Some(on);
        self
    }

    /// Whether it may send to broadcast addresses.
    pub fn broadcast(self, on: bool) -> Self {
        self.option(SocketOption::Broadcast(on))
    }

    /// Bytes of the kernel's receive buffer, as far as `net.core.rmem_max` allows: what
    /// has to hold a burst.
    pub fn receive_buffer(self, bytes: usize) -> Self {
        self.option(SocketOption::ReceiveBuffer(bytes))
    }

    /// Bytes of the kernel's send buffer, as far as `net.core.wmem_max` allows.
    pub fn send_buffer(self, bytes: usize) -> Self {
        self.option(SocketOption::SendBuffer(bytes))
    }

    /// Whether the kernel may join datagrams of one flow and one size (`UDP_GRO`), which
    /// [`Packet::segments`] divides again. Receive by a [`Batch`] then, of datagrams of
    /// 65,536 bytes: other calls cannot tell where one ends.
    pub fn receive_offload(self, on: bool) -> Self {
        self.option(SocketOption::ReceiveOffload(on))
    }

    fn option(mut self, option: SocketOption) -> Self {
        self.options.push(option);
        self
    }

    /// Binds to `addr`; port 0 leaves the port to the system.
    ///
    /// # Errors
    /// [`Error`](crate::Error) that names `addr` and what would help.
    pub fn bind(&self, addr: impl ToAddress) -> io::Result<UdpSocket> {
        let addr = addr.to_address()?.literal()?;
        self.make(addr).map_err(at("bind", addr))
    }

    fn make(&self, addr: SocketAddr) -> io::Result<UdpSocket> {
        let descriptor = Descriptor::socket(domain(addr), Type::DGRAM, None)?;
        let only_v6 = self.only_v6.filter(|_| addr.is_ipv6()).map(SocketOption::OnlyV6);
        for &option in self.options.iter().chain(&only_v6) {
            descriptor.set_option(option)?;
        }
        descriptor.bind(&addr.into())?;
        Ok(UdpSocket { descriptor })
    }
}

/// A UDP socket.
///
/// ```
/// # use tautline_net::UdpSocket;
/// # let runtime = tautline_runtime::Runtime::new(Default::default())?;
/// let a = UdpSocket::bind("127.0.0.1:0")?;
/// let b = UdpSocket::bind("127.0.0.1:0")?;
/// let to = b.local_addr()?;
/// runtime.block_on(async {
///     a.send_to("hello", to).await.0?;
///     let (received, buf) = b.receive_from(vec![0; 1500]).await;
///     let received = received?;
///     assert_eq!(&buf[..received.len], b"hello");
///     assert_eq!(received.source(), Some(a.local_addr()?));
///     std::io::Result::Ok(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct UdpSocket {
    descriptor: Descriptor,
}

of_descriptor!(UdpSocket);
batching!(UdpSocket);

impl Sifts for UdpSocket {}

impl UdpSocket {
    /// Binds to `addr`, such as `"0.0.0.0:5004"` or `"[::]:0"`.
    ///
    /// # Errors
    /// [`Error`](crate::Error) that names `addr` and what would help.
    pub fn bind(addr: impl ToAddress) -> io::Result<Self> {
        Self::options().bind(addr)
    }

    /// The choices.
    pub fn options() -> UdpOptions {
        UdpOptions::default()
    }

    /// Sends to `peer` from now on, and receives only from there. Nothing goes over the
    /// network for that.
    ///
    /// # Errors
    /// [`Error`](crate::Error) that names `peer` and what would help.
    pub fn connect(&self, peer: impl ToAddress) -> io::Result<()> {
        let peer = peer.to_address()?.literal()?;
        self.conn().connect_now(&peer.into()).map_err(at("connect to", peer))
    }

    /// Its own address.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        ip(&self.conn().local_addr()?)
    }

    /// The address of the peer that it is connected to.
    ///
    /// # Errors
    /// [`NotConnected`](io::ErrorKind::NotConnected) without one.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        ip(&self.conn().peer_addr()?)
    }

    /// Sets an option.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_option(&self, option: SocketOption) -> io::Result<()> {
        self.conn().set_option(option)
    }

    /// Whether the kernel divides large sends into datagrams: [`Batch::push_segments`].
    ///
    /// # Errors
    /// What the kernel says.
    pub fn divides(&self) -> io::Result<bool> {
        divides_datagrams(self.conn())
    }

    /// Receives one datagram, and says how long it is, whom it came from, and whether
    /// the buffer was too short for it.
    pub fn receive_from<B: IoBufMut>(&self, buf: B) -> Operation<op::ReceiveFrom<B>> {
        self.descriptor.receive_from(buf)
    }

    /// Sends one datagram to the peer that it is connected to.
    pub fn send<B: IoBuf>(&self, buf: B) -> Operation<op::SendTo<B>> {
        self.descriptor.send_to(buf, None)
    }

    /// Sends one datagram to an address.
    pub fn send_to<B: IoBuf>(&self, buf: B, to: SocketAddr) -> Operation<op::SendTo<B>> {
        self.descriptor.send_to(buf, Some(&to.into()))
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
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when there is no room or another send
    /// is before it; what the kernel says.
    pub fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.conn().try_send_to(bytes, None)
    }

    /// Sends one datagram to an address, now.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    pub fn try_send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.conn().try_send_to(bytes, Some(&SockAddr::from(to)))
    }

    /// Gives the socket to the loop, which calls `handler` with each datagram where it
    /// was received. All sockets of a thread share the memory for that, 32 datagrams of
    /// any length; an idle one holds none. A turn takes at most 64 datagrams from one
    /// socket. With receive offload the handler gets what the kernel joined: see
    /// [`Packet::segments`].
    ///
    /// Paused in the midst of datagrams that were received together, it keeps the others:
    /// the handler gets them first when the socket is resumed. Direct calls do not see them.
    ///
    /// That a peer could not be reached, as its host reports later, does not end it.
    ///
    /// # Errors
    /// When the operation table is full.
    pub fn on_datagrams<F, R>(self, mut handler: F) -> io::Result<Conn>
    where
        F: FnMut(&Conn, Packet<'_>) -> R + 'static,
        R: Outcome,
    {
        let mut reader = Reader::new(&self, Details::default());
        self.descriptor.on_maybe_readable(move |conn| reader.take_some(conn, &mut handler))
    }
}
