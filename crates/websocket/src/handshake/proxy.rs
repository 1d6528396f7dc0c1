//! The way through an HTTP proxy.

use super::field::{self, FieldError};
use super::head::{self, HeadError, Scanner};
use super::{Limits, Rejected, Url, key};

/// A client that asks a proxy for a way to a WebSocket's host.
///
/// ```
/// use tautline_websocket::handshake::{Connect, Proxied, Url};
/// let url = Url::parse("wss://feed.example/trades")?;
/// let mut connect = Connect::new(&url).authorization("me", "secret")?;
/// assert!(connect.bytes().starts_with(b"CONNECT feed.example:443 HTTP/1.1\r\n"));
/// let Proxied::Connected { used } = connect.parse(b"HTTP/1.1 200 OK\r\n\r\n")? else { panic!() };
/// assert_eq!(used, 19); // what follows is the server's: TLS, or the answer to the handshake
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Connect {
    /// Without the empty line at its end.
    request: String,
    /// With it.
    whole: String,
    limits: Limits,
    scanner: Scanner,
}

/// What has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxied {
    /// Not all of it: parse again when there is more.
    Incomplete,
    /// What is sent from now on goes to the host.
    Connected {
        /// Bytes of the input that the proxy's answer had; those behind it are the host's.
        used: usize,
    },
}

/// Why there is no way through the proxy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// The proxy does not answer in HTTP.
    #[error("the proxy's answer: {0}")]
    Head(#[from] HeadError),
    /// The proxy refuses, or wants authorization first (407).
    #[error("the proxy answers {0} instead of connecting")]
    Rejected(Box<Rejected>),
}

impl Connect {
    /// To the host and port of that address.
    pub fn new(url: &Url) -> Self {
        let place = format!("{}:{}", super::url::bracketed(url.host()), url.port());
        let mut request = format!("CONNECT {place} HTTP/1.1\r\n");
        field::write(&mut request, "Host", &place);
        let connect = Self {
            request,
            whole: String::new(),
            limits: Limits::default(),
            scanner: Scanner::default(),
        };
        connect.ended()
    }

    /// Tells the proxy who asks, by Basic authorization.
    ///
    /// # Errors
    /// [`FieldError::User`]: there is a colon in the user's name.
    pub fn authorization(self, user: &str, password: &str) -> Result<Self, FieldError> {
        if user.contains(':') {
            return Err(FieldError::User { user: user.to_owned() });
        }
        let basic = format!("Basic {}", key::credentials(user, password));
        self.header("Proxy-Authorization", &basic)
    }

    /// Adds a header.
    ///
    /// # Errors
    /// [`FieldError`].
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, FieldError> {
        field::check(name, value)?;
        if name.eq_ignore_ascii_case("host") {
            let remedy = "it is the host to connect to, which the address names";
            return Err(FieldError::Owned { name: name.to_owned(), remedy });
        }
        field::write(&mut self.request, name, value);
        Ok(self.ended())
    }

    /// How large the head of the answer may be.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    fn ended(mut self) -> Self {
        self.whole = format!("{}\r\n", self.request);
        self
    }

    /// The request: what is to be sent.
    pub fn bytes(&self) -> &[u8] {
        self.whole.as_bytes()
    }

    /// Reads the answer: all that has come on the connection. Each call gets what the one before got,
    /// and more.
    ///
    /// # Errors
    /// [`ProxyError`].
    pub fn parse(&mut self, input: &[u8]) -> Result<Proxied, ProxyError> {
        while let Some(extent) = self.scanner.find(input, self.limits)? {
            let used = extent.end;
            let head = head::response(&input[extent], self.limits)?;
            match head.status / 100 {
                1 if head.status != 101 => self.scanner.go_on(used),
                //= RFC 9110 §9.3.6
                2 => return Ok(Proxied::Connected { used }),
                _ => return Err(ProxyError::Rejected(Box::new(Rejected::new(&head, used)))),
            }
        }
        Ok(Proxied::Incomplete)
    }
}
