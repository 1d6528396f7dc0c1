//! Addresses of WebSockets: `ws://host:port/path?query` and `wss://`.

pub(crate) mod parse;

use std::fmt;

/// The address of a WebSocket, read strictly.
///
/// ```
/// use tautline_websocket::handshake::{Url, UrlError};
/// let url = Url::parse("wss://me:secret@[2001:db8::1]/feed?depth=10")?;
/// assert_eq!((url.is_secure(), url.host(), url.port()), (true, "2001:db8::1", 443));
/// assert_eq!((url.target(), url.authority()), ("/feed?depth=10", "[2001:db8::1]".to_owned()));
/// assert_eq!(url.user(), Some(("me", "secret")));
/// // A password is not shown to those who only look.
/// assert_eq!(url.to_string(), "wss://[2001:db8::1]/feed?depth=10");
/// assert_eq!(Url::parse("ws://a.example/#top"), Err(UrlError::Fragment));
/// # Ok::<(), UrlError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    is_secure: bool,
    /// In lower case; an IPv6 address without its brackets. Never empty.
    host: String,
    port: u16,
    /// Begins with a slash; all its bytes may stand in a request line.
    target: String,
    user: Option<(String, String)>,
}

/// Why a text is no address of a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It does not begin with `ws://` or `wss://`.
    #[error("a WebSocket's address begins with ws:// or wss://")]
    Scheme,
    /// There is a `#` in it.
    #[error("the address has a fragment, which WebSockets have not: leave out `#`, or write %23")]
    Fragment,
    /// There is no host.
    #[error("the address names no host: write ws://host/path")]
    NoHost,
    /// The host is no name and no address.
    #[error(
        "{host:?} is no host: a name in ASCII, an IPv4 address, or an IPv6 address in brackets"
    )]
    Host {
        /// What stands there.
        host: String,
    },
    /// The port is no number, or none from 1 to 65535.
    #[error("{port:?} is no port: a number from 1 to 65535")]
    Port {
        /// What stands there.
        port: String,
    },
    /// A character that has to be encoded.
    #[error("{character:?} cannot stand in an address: write it percent-encoded")]
    Character {
        /// Which.
        character: char,
    },
    /// A `%` without two hexadecimal digits behind it.
    #[error("a percent sign in the address encodes nothing: write %25 for the sign itself")]
    Percent,
    /// The user's name has a colon in it, or name or password are not UTF-8.
    #[error("the user of the address cannot be told by Basic authorization: no colon, UTF-8 only")]
    User,
    /// A redirection would leave an encrypted connection for one that is not.
    #[error("the server redirects from wss:// to ws://, which would give up the encryption")]
    Downgrade,
}

impl Url {
    /// Reads an address.
    ///
    /// Without a port it is 80 or 443, without a path it is `/`.
    ///
    /// # Errors
    /// [`UrlError`].
    //= RFC 6455 §3
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        parse::url(text)
    }

    /// The address to which `location` leads from here: a whole address, also of `http://` or
    /// `https://`, or a part of one. User and password are not taken along to another host.
    ///
    /// ```
    /// use tautline_websocket::handshake::{Url, UrlError};
    /// let url = Url::parse("wss://a.example/v1/feed")?;
    /// assert_eq!(url.join("../v2/feed?x")?.to_string(), "wss://a.example/v2/feed?x");
    /// assert_eq!(url.join("https://b.example/")?.to_string(), "wss://b.example/");
    /// assert_eq!(url.join("ws://a.example/"), Err(UrlError::Downgrade));
    /// # Ok::<(), UrlError>(())
    /// ```
    ///
    /// # Errors
    /// [`UrlError`]; [`UrlError::Downgrade`] if it leads from `wss://` to what is not encrypted.
    pub fn join(&self, location: &str) -> Result<Self, UrlError> {
        parse::join(self, location)
    }

    /// Whether it is `wss://`.
    pub fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// The host, to be looked up and, under TLS, to be certified; an IPv6 address has no brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and query.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The user and the password, decoded.
    pub fn user(&self) -> Option<(&str, &str)> {
        self.user.as_ref().map(|(user, password)| (user.as_str(), password.as_str()))
    }

    /// Host and, unless it is the scheme's own, port: what the header `Host` says.
    pub fn authority(&self) -> String {
        if self.port == default_port(self.is_secure) {
            return bracketed(&self.host);
        }
        format!("{}:{}", bracketed(&self.host), self.port)
    }
}

/// As it stands in an address.
pub(crate) fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

fn default_port(is_secure: bool) -> u16 {
    if is_secure { 443 } else { 80 }
}

/// Without user and password.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{}", self.authority(), self.target)
    }
}

/// As it is displayed: passwords do not belong into logs.
impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
