//! Groups and sources as users write them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Error;

/// What can be read as a group or source: an address of `std::net`, its parts, or text such as
/// `"239.1.2.3"` or `"ff15::1"`.
///
/// ```
/// use std::net::Ipv4Addr;
/// use tautline_net::multicast::ToIp;
/// let group = [239, 1, 2, 3];
/// assert_eq!(group.to_ip(), "239.1.2.3".to_ip());
/// assert_eq!(group.to_ip(), Ipv4Addr::from(group).to_ip());
/// assert_eq!([0xff15, 0, 0, 0, 0, 0, 0, 1].to_ip(), "ff15::1".to_ip());
/// # Ok::<(), tautline_net::multicast::Error>(())
/// ```
pub trait ToIp {
    /// The address.
    ///
    /// # Errors
    /// [`Error::NotAnAddress`], which quotes the text.
    fn to_ip(&self) -> Result<IpAddr, Error>;
}

/// What `std::net` takes for an address, this does.
macro_rules! addresses {
    ($($kind:ty),*) => {
        $(impl ToIp for $kind {
            fn to_ip(&self) -> Result<IpAddr, Error> {
                Ok((*self).into())
            }
        })*
    };
}

addresses!(IpAddr, Ipv4Addr, Ipv6Addr, [u8; 4], [u8; 16], [u16; 8]);

impl ToIp for str {
    fn to_ip(&self) -> Result<IpAddr, Error> {
        let bare = self.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let parsed = bare.unwrap_or(self).parse();
        parsed.map_err(|_| Error::NotAnAddress { text: self.to_owned() })
    }
}

impl ToIp for String {
    fn to_ip(&self) -> Result<IpAddr, Error> {
        self.as_str().to_ip()
    }
}

impl<T: ToIp + ?Sized> ToIp for &T {
    fn to_ip(&self) -> Result<IpAddr, Error> {
        (**self).to_ip()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Addresses are read in every form that users have them in; what is none is quoted.
    #[test]
    fn addresses_are_read_as_users_write_them() {
        let v4 = Ipv4Addr::new(239, 1, 2, 3);
        let v6: Ipv6Addr = "ff15::1".parse().unwrap();
        assert_eq!("239.1.2.3".to_ip().unwrap(), v4.to_ip().unwrap());
        assert_eq!("ff15::1".to_owned().to_ip().unwrap(), v6.to_ip().unwrap());
        assert_eq!("[ff15::1]".to_ip().unwrap(), IpAddr::V6(v6).to_ip().unwrap());
        assert_eq!([239, 1, 2, 3].to_ip().unwrap(), v4);
        assert_eq!(
            (v6.octets().to_ip().unwrap(), v6.segments().to_ip().unwrap()),
            (v6.into(), v6.into())
        );
        for bad in ["", "239.1.2", "239.1.2.3:5000", "[ff15::1", "group"] {
            assert_eq!(bad.to_ip(), Err(Error::NotAnAddress { text: bad.to_owned() }));
        }
    }
}
