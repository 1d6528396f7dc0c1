//! Interfaces as users name them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_indextoname, if_nameindex, if_nametoindex};
use nix::sys::socket::SockaddrStorage;

use super::Error;

/// A network interface, by the number that the kernel has for it. Displayed by its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Interface(u32);

impl Interface {
    /// None in particular: the one that the kernel's routes lead to.
    pub const ANY: Self = Self(0);

    /// The one of that number; 0 is [`ANY`](Self::ANY). Whether there is such a one shows when
    /// it is used.
    pub const fn of_index(index: u32) -> Self {
        Self(index)
    }

    /// Its number.
    pub const fn index(self) -> u32 {
        self.0
    }

    /// Its name at present, if there is such an interface.
    pub fn name(self) -> Option<String> {
        let name = if_indextoname(self.0).ok()?.into_string().ok()?;
        // The call of `nix` takes no interface for one without a name.
        (!name.is_empty()).then_some(name)
    }

    /// All that there are, whether they are up or not; none if the kernel does not say.
    pub fn all() -> Vec<Self> {
        let known = if_nameindex();
        known.map_or_else(|_| Vec::new(), |all| all.iter().map(|one| Self(one.index())).collect())
    }

    /// Its addresses of both families, in no order.
    pub fn addresses(self) -> Vec<IpAddr> {
        let owned = addresses().filter(|(owner, _)| *owner == self);
        owned.map(|(_, address)| address).collect()
    }

    /// Whether it is the loopback interface: what is sent by it always comes back, whatever
    /// [`Options::loopback`](super::Options::loopback) says.
    pub fn is_loopback(self) -> bool {
        self.flags().is_some_and(|flags| flags.contains(InterfaceFlags::IFF_LOOPBACK))
    }

    /// Whether it is up: nothing comes or goes by one that is not. `None` if there is no such interface,
    /// or the kernel does not say.
    ///
    /// ```
    /// use tautline_net::multicast::Interface;
    /// assert_eq!(Interface::of_index(u32::MAX).is_up(), None);
    /// ```
    pub fn is_up(self) -> Option<bool> {
        self.flags().map(|flags| flags.contains(InterfaceFlags::IFF_UP))
    }

    /// What it is and does, if there is such an interface.
    pub(super) fn flags(self) -> Option<InterfaceFlags> {
        let name = self.name()?;
        let mut all = getifaddrs().ok()?;
        all.find(|entry| entry.interface_name == name).map(|entry| entry.flags)
    }

    fn named(name: &str) -> Option<Self> {
        if_nametoindex(name).ok().map(Self)
    }

    fn with_address(address: IpAddr) -> Option<Self> {
        addresses().find(|(_, other)| *other == address).map(|(owner, _)| owner)
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.name()) {
            (0, _) => f.write_str("the interface of the kernel's choice"),
            (_, Some(name)) => f.write_str(&name),
            (index, None) => write!(f, "interface {index}"),
        }
    }
}

/// Every address of every interface.
fn addresses() -> impl Iterator<Item = (Interface, IpAddr)> {
    getifaddrs().into_iter().flatten().filter_map(|entry| {
        let address = ip(&entry.address?)?;
        Some((Interface::named(&entry.interface_name)?, address))
    })
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
}

/// The names of all interfaces, each with its addresses, for messages.
pub(super) fn known() -> String {
    let describe = |one: Interface| match one.addresses() {
        addresses if addresses.is_empty() => one.to_string(),
        addresses => format!("{one} ({})", list(&addresses)),
    };
    match list(&Interface::all().into_iter().map(describe).collect::<Vec<_>>()) {
        none if none.is_empty() => "none".to_owned(),
        some => some,
    }
}

/// The parts with commas between them.
pub(super) fn list(parts: &[impl ToString]) -> String {
    parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What names an interface: its name (`"eth0"`), its number (`2`, `"2"`), an address that it
/// has (`"192.0.2.1"`), or an [`Interface`].
///
/// ```
/// use tautline_net::multicast::{Interface, ToInterface};
/// let loopback = "127.0.0.1".to_interface()?;
/// assert_eq!(loopback.index().to_interface()?, loopback);
/// assert_eq!(loopback.name().unwrap().to_interface()?, loopback);
/// assert!("nowhere0".to_interface().unwrap_err().to_string().contains("127.0.0.1"));
/// # Ok::<(), tautline_net::multicast::Error>(())
/// ```
pub trait ToInterface {
    /// The interface.
    ///
    /// # Errors
    /// [`Error::UnknownInterface`], which lists those that there are. A number is not looked
    /// up: what it names is for the driver to say.
    fn to_interface(&self) -> Result<Interface, Error>;
}

impl ToInterface for Interface {
    fn to_interface(&self) -> Result<Interface, Error> {
        Ok(*self)
    }
}

impl ToInterface for u32 {
    fn to_interface(&self) -> Result<Interface, Error> {
        Ok(Interface(*self))
    }
}

impl ToInterface for IpAddr {
    fn to_interface(&self) -> Result<Interface, Error> {
        Interface::with_address(*self).ok_or_else(|| Error::unknown_interface(self))
    }
}

impl ToInterface for Ipv4Addr {
    fn to_interface(&self) -> Result<Interface, Error> {
        IpAddr::V4(*self).to_interface()
    }
}

impl ToInterface for Ipv6Addr {
    fn to_interface(&self) -> Result<Interface, Error> {
        IpAddr::V6(*self).to_interface()
    }
}

impl ToInterface for str {
    fn to_interface(&self) -> Result<Interface, Error> {
        if let Some(named) = Interface::named(self) {
            return Ok(named);
        }
        match (self.parse::<IpAddr>(), self.parse::<u32>()) {
            (Ok(address), _) => address.to_interface(),
            (_, Ok(index)) => index.to_interface(),
            _ => Err(Error::unknown_interface(self)),
        }
    }
}

impl ToInterface for String {
    fn to_interface(&self) -> Result<Interface, Error> {
        self.as_str().to_interface()
    }
}

impl<T: ToInterface + ?Sized> ToInterface for &T {
    fn to_interface(&self) -> Result<Interface, Error> {
        (**self).to_interface()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An interface is found by its name, its number in either form and each of its addresses.
    #[test]
    fn an_interface_is_found_by_all_its_names() {
        let lo = "lo".to_interface().unwrap();
        assert_eq!((lo.to_string(), lo.name().as_deref()), ("lo".to_owned(), Some("lo")));
        assert_eq!(lo.index().to_string().to_interface().unwrap(), lo);
        assert!(Interface::all().contains(&lo));
        assert!(lo.addresses().contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)));
        for address in lo.addresses() {
            assert_eq!(address.to_interface().unwrap(), lo);
            assert_eq!(address.to_string().to_interface().unwrap(), lo);
        }
    }

    /// What names none is refused with what was asked for and a list of those that there are.
    #[test]
    fn an_unknown_interface_is_refused_with_a_list() {
        for asked in ["nowhere0", "", "203.0.113.77", "lo\0", "1.2", "-1", "4294967296"] {
            let error = asked.to_interface().unwrap_err();
            assert!(matches!(&error, Error::UnknownInterface { asked: a, .. } if a == asked));
            let text = error.to_string();
            assert!(text.contains(&format!("`{asked}`")) && text.contains("lo (127."), "{text}");
        }
    }

    /// A number is taken as it is, also where nothing has it, and displayed as what it is.
    #[test]
    fn numbers_are_not_looked_up() {
        let far = 70_000u32.to_interface().unwrap();
        assert_eq!((far.index(), far.name()), (70_000, None));
        assert_eq!(far.to_string(), "interface 70000");
        assert_eq!(0u32.to_interface().unwrap(), Interface::ANY);
        assert!(Interface::ANY.to_string().contains("kernel"));
    }
}
