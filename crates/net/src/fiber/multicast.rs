//! Multicast for fibers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tautline_bus::Local;
use tautline_bus::pool::{Borrower, Draft};
use tautline_runtime::{Batch, Conn, Datagram, Descriptor, Details, SocketOption, To};

use super::calls::{passed_on, read_timeout, timed, view, write_timeout};
use super::timeouts::{Timed, Timeouts};
use super::wait_within;
use crate::address::ToAddress;
use crate::calls::Stands;
use crate::multicast::joining;
/// What the view is made with and speaks of.
pub use crate::multicast::{
    Error, Filter, Groups, Interface, Membership, Options, ReadBuffers, Received, ToInterface, ToIp,
};

/// A UDP socket that joins groups, of IPv4 or IPv6: see [`crate::multicast::Peer`].
///
/// ```
/// # use tautline_net::fiber::multicast::{Options, Peer};
/// # use tautline_runtime::{Runtime, fiber::Stack};
/// # let runtime = Runtime::new(Default::default())?;
/// # let all = runtime.run_fiber(Stack::Small, || {
/// let peer = Peer::bind_with(&Options::default().interface("lo"), "0.0.0.0:0")?;
/// peer.join_on("239.255.70.4", "lo")?;
/// let group = ([239, 255, 70, 4], peer.local_addr()?.port()).into();
/// peer.send_to(b"hello", group)?;
/// let mut batch = peer.batch(16, 1500);
/// assert_eq!(peer.receive_batch(&mut batch)?, 1);
/// assert_eq!(batch.get(0).unwrap().destination(), Some(group.ip()));
/// # std::io::Result::Ok(())
/// # });
/// # all??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Peer {
    inner: crate::multicast::Peer,
    timeouts: Timeouts,
}

view!([] Peer, crate::multicast::Peer, timeouts);
timed!([] Peer);
read_timeout!([] Peer);
write_timeout!([] Peer);
joining!(Peer);
passed_on!(Peer {
    /// Its own address.
    ///
    /// # Errors
    /// What the kernel says.
    fn local_addr() -> io::Result<SocketAddr>;

    /// Sets an option.
    ///
    /// # Errors
    /// What the kernel says.
    fn set_option(option: SocketOption) -> io::Result<()>;

    /// Bytes that the kernel keeps of what was not received yet, as it counts.
    ///
    /// # Errors
    /// What the kernel says.
    fn receive_buffer() -> io::Result<usize>;

    /// Bytes that the kernel keeps of what was not sent yet, as it counts.
    ///
    /// # Errors
    /// What the kernel says.
    fn send_buffer() -> io::Result<usize>;

    /// What it asks for with each datagram.
    fn details() -> Details;

    /// A batch of `count` datagrams of up to `size` bytes, with room for these details.
    fn batch(count: usize, size: usize) -> Batch;

    /// Names the buffer that the next datagram lands in, also for a call that waits already:
    /// as [`set_read_buffer`](crate::multicast::Peer::set_read_buffer) there.
    fn set_read_buffer(draft: Draft<[u8], Local>) -> Option<Draft<[u8], Local>>;

    /// A name for the read buffers.
    fn read_buffers() -> ReadBuffers;

    /// Names it.
    fn conn() -> &Conn;
});

impl Peer {
    /// Binds to `addr`, such as `"0.0.0.0:5000"`. This does not wait.
    ///
    /// # Errors
    /// [`Error`](crate::Error) that names `addr` and what would help.
    pub fn bind(addr: impl ToAddress) -> io::Result<Self> {
        Self::bind_with(&Options::default(), addr)
    }

    /// Binds to `addr` as `options` say.
    ///
    /// # Errors
    /// As [`Options::bind`].
    pub fn bind_with(options: &Options, addr: impl ToAddress) -> io::Result<Self> {
        Ok(options.bind(addr)?.into())
    }

    fn at_groups(&self) -> &Groups {
        self.inner.at_groups()
    }

    /// Has buffers taken out of a region while none is named: see [`ReadBuffers::read_from`].
    pub fn read_from(
        &self,
        region: impl Into<Option<Borrower<[u8], Local>>>,
    ) -> Option<Borrower<[u8], Local>> {
        self.inner.read_from(region)
    }

    /// Waits for a datagram, and receives it into the buffer that is named when it is there,
    /// else into one of the region.
    ///
    /// # Errors
    /// [`Error::Exhausted`] when a datagram is there and no buffer, and it stays there; what the
    /// kernel says, and what all calls say.
    pub fn receive(&self) -> io::Result<Received> {
        wait_within("receive", self.timeouts.read.get(), self.inner.receive())
    }

    /// Receives one datagram into `buf`, with its source and no other details.
    ///
    /// # Errors
    /// What the kernel says, and what all calls say.
    pub fn receive_from(&self, buf: &mut [u8]) -> io::Result<Datagram> {
        wait_within("receive_from", self.timeouts.read.get(), self.inner.receive_from(buf))
    }

    /// Waits for datagrams and receives as many as there are and the batch has room for, in one
    /// call.
    ///
    /// # Errors
    /// As [`receive_from`](Self::receive_from).
    pub fn receive_batch(&self, batch: &mut Batch) -> io::Result<usize> {
        wait_within("receive_batch", self.timeouts.read.get(), self.inner.receive_batch(batch))
    }

    /// Sends one datagram to a group, or to a host.
    ///
    /// # Errors
    /// What the kernel says, and what all calls say.
    pub fn send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        wait_within("send_to", self.timeouts.write.get(), self.inner.send_to(bytes, to))
    }

    /// Sends all of a batch, in as few calls as the kernel's buffer allows. Cancelled or timed
    /// out, it may have sent a part.
    ///
    /// # Errors
    /// What the kernel says, and what all calls say.
    pub fn send_batch(&self, batch: &mut Batch, to: To<'_>) -> io::Result<()> {
        wait_within("send_batch", self.timeouts.write.get(), self.inner.send_batch(batch, to))
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
}
