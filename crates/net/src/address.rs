//! Addresses as users write them.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, SockAddr};

use crate::error::invalid;

/// An address, or a name that has yet to be resolved.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Address {
    /// An IP address and port.
    Socket(SocketAddr),
    /// A host's name and a port.
    Name {
        /// The name, not resolved yet.
        host: String,
        /// The port.
        port: u16,
    },
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(addr) => write!(f, "{addr}"),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

impl Address {
    /// The host without the port: a name or an IP address.
    pub fn host(&self) -> String {
        match self {
            Self::Socket(addr) => addr.ip().to_string(),
            Self::Name { host, .. } => host.clone(),
        }
    }

    /// For calls that cannot wait for a name to be resolved: an IP address, or
    /// `localhost`, which is taken as 127.0.0.1.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for any other name.
    pub fn literal(self) -> io::Result<SocketAddr> {
        match self {
            Self::Socket(addr) => Ok(addr),
            Self::Name { host, port } if host.eq_ignore_ascii_case("localhost") => {
                Ok((Ipv4Addr::LOCALHOST, port).into())
            }
            Self::Name { host, .. } => Err(invalid(format!(
                "`{host}` is no IP address: write an address such as 127.0.0.1 or [::1], or use `resolve` first"
            ))),
        }
    }
}

/// What can be read as an address: `"host:port"`, `"192.0.2.1:80"`, `"[::1]:80"`, a pair of
/// host and port, or the types of `std::net`.
pub trait ToAddress {
    /// The address.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) that quotes the text and says how it
    /// should look.
    fn to_address(&self) -> io::Result<Address>;
}

impl ToAddress for Address {
    fn to_address(&self) -> io::Result<Address> {
        Ok(self.clone())
    }
}

impl ToAddress for SocketAddr {
    fn to_address(&self) -> io::Result<Address> {
        Ok(Address::Socket(*self))
    }
}

macro_rules! pairs {
    ($($ip:ty),*) => {$(
        impl ToAddress for ($ip, u16) {
            fn to_address(&self) -> io::Result<Address> {
                Ok(Address::Socket((*self).into()))
            }
        }
    )*};
}

pairs!(IpAddr, Ipv4Addr, Ipv6Addr);

impl ToAddress for (&str, u16) {
    fn to_address(&self) -> io::Result<Address> {
        let (host, port) = *self;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        match bare.parse::<IpAddr>() {
            Ok(ip) => Ok(Address::Socket((ip, port).into())),
            Err(_) if host.is_empty() || host.contains([':', '[', ']', '/', '\0', ' ']) => {
                Err(malformed(host))
            }
            Err(_) => Ok(Address::Name { host: host.to_owned(), port }),
        }
    }
}

impl ToAddress for str {
    fn to_address(&self) -> io::Result<Address> {
        if let Ok(addr) = self.parse() {
            return Ok(Address::Socket(addr));
        }
        let (host, port) = self.rsplit_once(':').ok_or_else(|| malformed(self))?;
        let port = port.parse::<u16>().map_err(|_| {
            invalid(format!("`{port}` in `{self}` is no port: write a number from 0 to 65535"))
        })?;
        (host, port).to_address().map_err(|_| malformed(self))
    }
}

impl ToAddress for String {
    fn to_address(&self) -> io::Result<Address> {
        self.as_str().to_address()
    }
}

impl<T: ToAddress + ?Sized> ToAddress for &T {
    fn to_address(&self) -> io::Result<Address> {
        (**self).to_address()
    }
}

fn malformed(text: &str) -> io::Error {
    invalid(format!(
        "`{text}` is no address: write host:port, such as localhost:7000, 127.0.0.1:7000 or [::1]:7000"
    ))
}

/// The IP address in what the kernel names a socket by.
pub(crate) fn ip(addr: &SockAddr) -> io::Result<SocketAddr> {
    addr.as_socket().ok_or_else(|| invalid("the socket has no IP address".to_owned()))
}

pub(crate) fn domain(addr: SocketAddr) -> Domain {
    if addr.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every way to write an address is understood, and what is none is quoted.
    #[test]
    fn addresses_are_read_as_users_write_them() {
        let socket = |text: &str| Address::Socket(text.parse().unwrap());
        assert_eq!("127.0.0.1:80".to_address().unwrap(), socket("127.0.0.1:80"));
        assert_eq!("[::1]:80".to_address().unwrap(), socket("[::1]:80"));
        assert_eq!(("::1", 80).to_address().unwrap(), socket("[::1]:80"));
        assert_eq!(("[::1]", 80).to_address().unwrap(), socket("[::1]:80"));
        let name = Address::Name { host: "example.org".into(), port: 443 };
        assert_eq!("example.org:443".to_address().unwrap(), name);
        for bad in ["", "host", "host:", "host:65536", ":80", "a:b:80", "[::1:80", "a b:1"] {
            let error = bad.to_address().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{bad}");
            assert!(error.to_string().contains(&format!("`{bad}`")), "{error}");
        }
    }

    /// A name other than localhost is refused where nobody can wait for it.
    #[test]
    fn names_are_not_literal() {
        let local = "LocalHost:7".to_address().unwrap().literal().unwrap();
        assert_eq!(local, "127.0.0.1:7".parse().unwrap());
        let error = "example.org:7".to_address().unwrap().literal().unwrap_err();
        assert!(error.to_string().contains("`example.org`"), "{error}");
    }
}
