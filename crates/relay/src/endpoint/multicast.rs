//! Multicast groups, and where they are received from and sent to.

use core::fmt;
use std::net::{IpAddr, SocketAddr};

use super::address::{Host, HostPort, PortZero, host_port};
use super::error::EndpointError;
use super::options::refuse;
use super::url::Scheme;

/// Bytes of an interface's name at most (`IFNAMSIZ` less the final NUL).
const NAME_MAX: usize = 15;

/// An interface of this machine, as it was written. Whether there is one shows when the endpoint
/// opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InterfaceName {
    /// By its name, such as `eth0`.
    Name(String),
    /// By an address that it has.
    Address(IpAddr),
}

impl From<&str> for InterfaceName {
    /// By its address if it is one, else by its name.
    fn from(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Address)
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(ip) => ip.fmt(f),
        }
    }
}

/// A group that a source joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MulticastSource {
    /// The group and the port.
    pub group: SocketAddr,
    /// Where to join it; none: where the system would send to it.
    pub interfaces: Vec<InterfaceName>,
    /// From whom alone to receive; none: from everybody.
    pub sources: Vec<IpAddr>,
}

/// A group that a destination sends to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MulticastDestination {
    /// The group and the port.
    pub group: SocketAddr,
    /// Where to send; `None`: where the system's routes say.
    pub interface: Option<InterfaceName>,
    /// How many routers may pass a packet on, plus one: 1 stays in the network, 0 on this machine.
    pub hops: u8,
    /// Whether those on this machine who have joined the group receive it too.
    pub loopback: bool,
}

/// Reads `//GROUP:PORT`.
pub(super) fn group(body: &str) -> Result<SocketAddr, EndpointError> {
    let wrong = |why: String| {
        let text = body.trim_start_matches('/').to_owned();
        EndpointError::Group { text, why }
    };
    let address =
        host_port(Scheme::Mcast, body, PortZero::Refused).map_err(|error| match error {
            EndpointError::Address { why, .. } => wrong(why.to_owned()),
            other => other,
        })?;
    match address {
        HostPort { host: Host::Ip(ip), port } if ip.is_multicast() => Ok((ip, port).into()),
        HostPort { host: Host::Ip(_), .. } => {
            Err(EndpointError::NotMulticast { address: address.to_string() })
        }
        HostPort { host: Host::Name(_), .. } => Err(wrong("a group has no name".to_owned())),
    }
}

/// Reads the name or an address of an interface.
pub(super) fn interface(key: &'static str, value: &str) -> Result<InterfaceName, EndpointError> {
    let interface = InterfaceName::from(value);
    let is_name = |c: char| !c.is_whitespace() && !c.is_control() && c != '/' && c != ':';
    let why = match &interface {
        InterfaceName::Address(ip) if ip.is_multicast() || ip.is_unspecified() => {
            "write the name of an interface or its own address"
        }
        InterfaceName::Name(name)
            if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(is_name) =>
        {
            "write the name of an interface, such as eth0, or its address"
        }
        _ => return Ok(interface),
    };
    Err(refuse(key, value, why))
}

impl MulticastSource {
    pub(super) fn of(body: &str) -> Result<Self, EndpointError> {
        Ok(Self { group: group(body)?, interfaces: Vec::new(), sources: Vec::new() })
    }

    /// One interface more.
    pub(super) fn add_interface(
        &mut self,
        key: &'static str,
        value: &str,
    ) -> Result<(), EndpointError> {
        let interface = interface(key, value)?;
        if self.interfaces.contains(&interface) {
            return Err(refuse(key, value, "it is given twice; keep one"));
        }
        self.interfaces.push(interface);
        Ok(())
    }

    /// One sender more.
    pub(super) fn add_source(
        &mut self,
        key: &'static str,
        value: &str,
    ) -> Result<(), EndpointError> {
        let wanted = if self.group.is_ipv4() { "IPv4" } else { "IPv6" };
        let why = match value.parse::<IpAddr>() {
            Err(_) => "write the address of a sender, without a port".to_owned(),
            Ok(ip) if ip.is_multicast() || ip.is_unspecified() => {
                "that is no sender's address: write the one that it sends from".to_owned()
            }
            Ok(ip) if ip.is_ipv4() != self.group.is_ipv4() => {
                format!("write an {wanted} address, as the group has one")
            }
            Ok(ip) if self.sources.contains(&ip) => "it is given twice; keep one".to_owned(),
            Ok(ip) => {
                self.sources.push(ip);
                return Ok(());
            }
        };
        Err(refuse(key, value, why))
    }
}

impl MulticastDestination {
    pub(super) fn of(body: &str) -> Result<Self, EndpointError> {
        Ok(Self { group: group(body)?, interface: None, hops: 1, loopback: true })
    }
}
