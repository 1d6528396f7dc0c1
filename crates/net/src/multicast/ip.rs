//! Groups and sources as users write them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Error;

/// What can be read as a group or source: an address of `std::net`, or text such as
/// `"239.1.2.3"` or `"ff15::1"`.
pub trait ToIp {
    /// The address.
    ///
    /// # Errors
    /// [`Error::NotAnAddress`], which quotes the text.
    fn to_ip(&self) -> Result<IpAddr, Error>;
}

impl ToIp for IpAddr {
    fn to_ip(&self) -> Result<IpAddr, Error> {
        Ok(*self)
    }
}

impl ToIp for Ipv4Addr {
    fn to_ip(&self) -> Result<IpAddr, Error> {
        Ok((*self).into())
    }
}

impl ToIp for Ipv6Addr {
    fn to_ip(&self) -> Result<IpAddr, Error> {
        Ok((*self).into())
    }
}

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
        for bad in ["", "239.1.2", "239.1.2.3:5000", "[ff15::1", "group"] {
            assert_eq!(bad.to_ip(), Err(Error::NotAnAddress { text: bad.to_owned() }));
        }
    }
}
