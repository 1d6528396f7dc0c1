//! Who may ask: a page of another site may not, whatever name it gives this machine.

use std::net::{IpAddr, SocketAddr};

/// Whom the control interface answers. Browsers say where a request goes (`Host`) and whose page makes
/// it (`Origin`): the first is checked against names that others have made point here, the second
/// against pages of other sites.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    bound: SocketAddr,
    /// Names that it may be asked by, beside its address and `localhost`.
    names: Vec<String>,
}

/// Why a request is refused, in words for who has made it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("the request names no host")]
    NoHost,
    #[error("this is not {0}: ask for the address that it listens on, or name it with --host")]
    Host(String),
    #[error("pages of {0} may not ask here")]
    Origin(String),
}

impl Guard {
    pub(super) fn new(bound: SocketAddr, names: &[String]) -> Self {
        Self { bound, names: names.iter().map(|name| name.to_ascii_lowercase()).collect() }
    }

    /// Whether a request with these headers is answered.
    pub(super) fn check(&self, host: Option<&str>, origin: Option<&str>) -> Result<(), Refused> {
        let host = host.ok_or(Refused::NoHost)?;
        if !self.is_own(host) {
            return Err(Refused::Host(host.to_owned()));
        }
        let Some(origin) = origin else { return Ok(()) };
        let own = origin.strip_prefix("http://").is_some_and(|host| self.is_own(host));
        if own { Ok(()) } else { Err(Refused::Origin(origin.to_owned())) }
    }

    /// Whether `host` is this server: a name or an address, and its port, which may be left out where
    /// it is that of HTTP.
    fn is_own(&self, host: &str) -> bool {
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, port),
            _ => (host, "80"),
        };
        let is_port =
            port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse() == Ok(self.bound.port());
        let name = name.to_ascii_lowercase();
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        let named = match bare.unwrap_or(&name).parse::<IpAddr>() {
            Ok(ip) => self.is_own_address(ip),
            Err(_) => {
                name == "localhost" && self.listens_on_loopback() || self.names.contains(&name)
            }
        };
        is_port && named
    }

    /// An address is no name that somebody else could have made point here.
    fn is_own_address(&self, ip: IpAddr) -> bool {
        self.bound.ip().is_unspecified() || ip == self.bound.ip()
    }

    fn listens_on_loopback(&self) -> bool {
        self.bound.ip().is_loopback() || self.bound.ip().is_unspecified()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(bound: &str) -> Guard {
        Guard::new(bound.parse().unwrap(), &["Wall.Example".to_owned()])
    }

    /// Proves that it answers to its own names and no others, with its port.
    #[test]
    fn hosts_are_its_own() {
        let own = guard("127.0.0.1:8080");
        for host in ["127.0.0.1:8080", "localhost:8080", "LOCALHOST:8080", "wall.example:8080"] {
            assert_eq!(own.check(Some(host), None), Ok(()), "{host}");
        }
        for host in [
            "127.0.0.1",
            "localhost",
            "localhost:80",
            "localhost:+8080",
            "evil.example:8080",
            "127.0.0.2:8080",
            "[::1]:8080",
            "",
            ":8080",
            "localhost:8080:8080",
            "localhost.:8080",
        ] {
            assert_eq!(own.check(Some(host), None), Err(Refused::Host(host.to_owned())), "{host}");
        }
        assert_eq!(own.check(None, None), Err(Refused::NoHost));
        assert_eq!(guard("127.0.0.1:80").check(Some("localhost"), None), Ok(()));
        assert_eq!(guard("[::1]:8080").check(Some("[::1]:8080"), None), Ok(()));
        let everywhere = guard("0.0.0.0:8080");
        assert_eq!(everywhere.check(Some("192.0.2.7:8080"), None), Ok(()));
        assert!(everywhere.check(Some("evil.example:8080"), None).is_err());
    }

    /// Proves that pages of this server alone may ask.
    #[test]
    fn origins_are_its_own() {
        let own = guard("127.0.0.1:8080");
        let check = |origin| own.check(Some("127.0.0.1:8080"), Some(origin));
        assert_eq!(check("http://127.0.0.1:8080"), Ok(()));
        assert_eq!(check("http://localhost:8080"), Ok(()));
        for origin in [
            "null",
            "",
            "http://evil.example",
            "https://127.0.0.1:8080",
            "http://127.0.0.1:8081",
            "http://127.0.0.1:8080.evil.example",
            "http://localhost:8080/",
        ] {
            assert_eq!(check(origin), Err(Refused::Origin(origin.to_owned())), "{origin}");
        }
    }
}
