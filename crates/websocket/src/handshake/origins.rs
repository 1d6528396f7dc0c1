//! Which pages may open a WebSocket here.

use super::list::lossy;
use super::url::parse::host_and_port;

/// From which origins a browser's page may connect.
///
/// Browsers say which page asks; nothing else stops a foreign page from connecting with its visitor's
/// cookies. A program may say what it likes, and mostly says nothing: a request without an origin is
/// always let in, so this is no substitute for authorization.
///
/// ```
/// use tautline_websocket::handshake::{Origins, Server};
/// let request = b"GET / HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\n\
///     Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
///     Sec-WebSocket-Version: 13\r\nOrigin: https://b.example\r\n\r\n";
/// let refusal = Server::new().parse(request).unwrap_err();
/// assert_eq!(refusal.status().code(), 403);
/// let listed = Origins::Listed(vec!["https://b.example".into()]);
/// assert!(Server::new().origins(listed).parse(request).is_ok());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    /// From where the server itself is, as the request's `Host` names it.
    #[default]
    SameHost,
    /// From these, each written as browsers do: `https://app.example`, or with a port that is not the
    /// scheme's own.
    Listed(Vec<String>),
    /// From everywhere: for data that anybody may see.
    Any,
}

/// A page that may not connect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a page from {origin:?} may not connect to {host:?}: add it to `Origins::Listed`")]
pub struct OriginError {
    /// Where the page is from.
    pub origin: String,
    /// What it wanted to connect to.
    pub host: String,
}

impl Origins {
    /// Whether a page may connect: `origin` is what `Origin` says, `host` what `Host` says.
    ///
    /// # Errors
    /// [`OriginError`].
    //= RFC 6455 §4.2.2
    pub fn check(&self, origin: Option<&str>, host: &str) -> Result<(), OriginError> {
        let Some(origin) = origin else { return Ok(()) };
        let may_connect = match self {
            Self::Any => true,
            Self::Listed(listed) => listed.iter().any(|one| one.eq_ignore_ascii_case(origin)),
            Self::SameHost => is_same_host(origin, host).unwrap_or(false),
        };
        if may_connect {
            return Ok(());
        }
        Err(OriginError { origin: lossy(origin.as_bytes()), host: lossy(host.as_bytes()) })
    }
}

/// Whether both name the same host and port; of a port that is not named, the scheme tells.
fn is_same_host(origin: &str, host: &str) -> Option<bool> {
    let (scheme, place) = origin.split_once("://")?;
    let usual = match scheme.to_ascii_lowercase().as_str() {
        "http" | "ws" => 80,
        "https" | "wss" => 443,
        _ => return None,
    };
    let full = |text| host_and_port(text).ok().map(|(host, port)| (host, port.unwrap_or(usual)));
    Some(full(place)? == full(host)?)
}
