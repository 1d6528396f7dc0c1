//! How a multicast peer is to be made.

use std::io;
use std::net::SocketAddr;

use rustix::io::Errno;
use socket2::Type;
use tautline_runtime::{Descriptor, Details, SocketOption};

use super::refusal::unknown;
use super::{Error, Interface, Peer, ToInterface};
use crate::address::{ToAddress, domain};
use crate::error::at;

/// How a [`Peer`] is to be made.
///
/// ```
/// # use tautline_net::multicast::Peer;
/// # let runtime = tautline_runtime::Runtime::new(Default::default())?;
/// let peer = Peer::options()
///     .interface("lo") // sends there
///     .hops(4)
///     .dscp(46)
///     .receive_buffer(4 << 20)
///     .bind("0.0.0.0:0")?;
/// println!("the kernel granted {} bytes", peer.receive_buffer()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    reuse: bool,
    interface: Option<Interface>,
    /// What is set as it was given.
    options: Vec<SocketOption>,
    /// Set after the traffic class, which changes it.
    priority: Option<u32>,
    details: Details,
    offload: bool,
    /// The first choice that made no sense.
    refused: Option<Error>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            reuse: true,
            interface: None,
            options: Vec::new(),
            priority: None,
            details: Peer::DETAILS,
            offload: false,
            refused: None,
        }
    }
}

impl Options {
    /// Whether others may be bound to the same address and port, if they say so too
    /// (`SO_REUSEADDR`). On at first: each of several peers of a group then gets each datagram,
    /// whichever process it is in; a datagram to a single host goes to one of them.
    ///
    /// A port that the system chooses (port 0) is one that nobody has.
    pub fn reuse(mut self, on: bool) -> Self {
        self.reuse = on;
        self
    }

    /// The interface that it sends to groups by; where groups are joined is named with each. At
    /// first the kernel's routes decide.
    pub fn interface(mut self, interface: impl ToInterface) -> Self {
        match interface.to_interface() {
            Ok(interface) => self.interface = Some(interface),
            Err(error) => self.refuse(error),
        }
        self
    }

    /// How many networks a datagram to a group may cross. At first 1: it stays on the link.
    pub fn hops(self, hops: u8) -> Self {
        self.option(SocketOption::MulticastHops(hops))
    }

    /// Whether members on this host get what it sends, itself included if it is one. On at
    /// first. What leaves by the loopback interface comes back by it all the same.
    pub fn loopback(self, on: bool) -> Self {
        self.option(SocketOption::MulticastLoop(on))
    }

    /// The service class that is asked of networks, from 0, as at first, to 63: 46 is
    /// expedited forwarding.
    pub fn dscp(mut self, dscp: u8) -> Self {
        if dscp > 63 {
            self.refuse(Error::Dscp { dscp });
            return self;
        }
        self.option(SocketOption::TrafficClass(dscp << 2))
    }

    /// The queue of the outbound interface that it sends by, from 0 to 6; more wants
    /// `CAP_NET_ADMIN`. At first the service class decides.
    pub fn priority(mut self, priority: u32) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Bytes of the kernel's receive buffer, as far as `net.core.rmem_max` allows: what has to
    /// hold a burst. [`Peer::receive_buffer`] says what was granted.
    pub fn receive_buffer(self, bytes: usize) -> Self {
        self.option(SocketOption::ReceiveBuffer(bytes))
    }

    /// Bytes of the kernel's send buffer, as far as `net.core.wmem_max` allows.
    /// [`Peer::send_buffer`] says what was granted.
    pub fn send_buffer(self, bytes: usize) -> Self {
        self.option(SocketOption::SendBuffer(bytes))
    }

    /// What it asks the kernel for with each datagram; at first [`Peer::DETAILS`], all that there
    /// is but the hops and the clock of the card. What is not asked for costs nothing.
    ///
    /// ```
    /// # use tautline_net::{Details, multicast::Peer};
    /// # let runtime = tautline_runtime::Runtime::new(Default::default())?;
    /// let untimed = Details { time: None, ..Peer::DETAILS };
    /// let peer = Peer::options().details(untimed).bind("0.0.0.0:0")?;
    /// let bytes_alone = Peer::options().details(Details::NONE).bind("0.0.0.0:0")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn details(mut self, details: Details) -> Self {
        self.details = details;
        self
    }

    /// Whether the kernel may join datagrams of one flow and one size (`UDP_GRO`), which
    /// [`Packet::segments`](crate::Packet::segments) and
    /// [`Received::segments`](super::Received::segments) divide again. Receive to 65,536 bytes
    /// then. Off at first.
    pub fn receive_offload(mut self, on: bool) -> Self {
        self.offload = on;
        self
    }

    fn option(mut self, option: SocketOption) -> Self {
        self.options.push(option);
        self
    }

    fn refuse(&mut self, error: Error) {
        self.refused.get_or_insert(error);
    }

    /// Binds to `addr`: to any address and the port of the feed (`"0.0.0.0:5000"`,
    /// `"[::]:5000"`) for any number of groups; to a group and its port for that group alone;
    /// to port 0, or an address of this host, to send only.
    ///
    /// # Errors
    /// [`Error`] for a choice that makes no sense; [`crate::Error`] that names `addr` and
    /// what would help.
    pub fn bind(&self, addr: impl ToAddress) -> io::Result<Peer> {
        if let Some(error) = &self.refused {
            return Err(error.clone().into());
        }
        let addr = addr.to_address()?.literal()?;
        let descriptor = self.make(addr).map_err(pass_or(at("bind", addr)))?;
        let bound = crate::address::ip(&descriptor.conn().local_addr()?)?;
        let sends_by = self.interface.unwrap_or(Interface::ANY);
        Ok(Peer::of(descriptor, bound, self.all_details(), sends_by))
    }

    fn all_details(&self) -> Details {
        Details { offload: self.offload, ..self.details }
    }

    fn make(&self, addr: SocketAddr) -> io::Result<Descriptor> {
        let descriptor = Descriptor::socket(domain(addr), Type::DGRAM, None)?;
        // One family each, so that peers of both can have one port.
        let only_v6 = addr.is_ipv6().then_some(SocketOption::OnlyV6(true));
        // Not `SO_REUSEPORT`: with it Linux (seen in 6.18) gives a datagram of IPv4 that one
        // member alone wants to any socket of the port, member or not.
        // Of those that share, Linux may give two the same port: who wants any is willing later.
        let reuse = SocketOption::ReuseAddress(self.reuse && addr.port() != 0);
        let fixed = [reuse, SocketOption::AllGroups(false)];
        let offload = self.offload.then_some(SocketOption::ReceiveOffload(true));
        let details = self.all_details().options();
        let asked = fixed.iter().chain(&only_v6).chain(&offload).chain(&details);
        for &option in asked.chain(&self.options) {
            descriptor.set_option(option)?;
        }
        self.send_by(&descriptor)?;
        descriptor.bind(&addr.into())?;
        descriptor.set_option(SocketOption::ReuseAddress(self.reuse))?;
        Ok(descriptor)
    }

    fn send_by(&self, descriptor: &Descriptor) -> io::Result<()> {
        if let Some(interface) = self.interface {
            let option = SocketOption::MulticastInterface(interface.index());
            descriptor.set_option(option).map_err(|error| match errno(&error) {
                Some(Errno::NODEV | Errno::ADDRNOTAVAIL) => {
                    unknown(descriptor.conn(), interface).into()
                }
                _ => error,
            })?;
        }
        if let Some(priority) = self.priority {
            let option = SocketOption::Priority(priority);
            descriptor.set_option(option).map_err(|error| match errno(&error) {
                Some(Errno::PERM) => Error::Priority { priority }.into(),
                _ => error,
            })?;
        }
        Ok(())
    }
}

pub(super) fn errno(error: &io::Error) -> Option<Errno> {
    error.raw_os_error().map(Errno::from_raw_os_error)
}

/// Leaves an error of a multicast peer as it is.
fn pass_or(other: impl FnOnce(io::Error) -> io::Error) -> impl FnOnce(io::Error) -> io::Error {
    move |error| if Error::of(&error).is_some() { error } else { other(error) }
}
