//! What a server makes of a request.

use super::head::{self, HeadError, RequestHead, Scanner};
use super::list::{self, Extension, ListError, lossy};
use super::url::parse::host_and_port;
use super::{Accept, Headers, Limits, OriginError, Origins, Repeated, Response, Status, key};
use crate::deflate::{Agreed, Config};

/// A server that waits for a request.
///
/// It stands in the example of [the module](super).
#[derive(Clone, Debug)]
pub struct Server {
    limits: Limits,
    origins: Origins,
    scanner: Scanner,
}

/// What has come.
#[derive(Clone, Debug)]
pub enum Asked<'b> {
    /// Not all of it: parse again when there is more.
    Incomplete,
    /// A request for a WebSocket that can be granted.
    Upgrade(Upgrade<'b>),
    /// A request for something else. Its bytes, from the first, are for who speaks HTTP; who does not
    /// answers [`Response::upgrade_required`].
    Plain(Plain<'b>),
}

/// Why no WebSocket can be opened. [`Refusal`] has the answer to it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// It is not HTTP, or too large.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// A header is there more than once.
    #[error(transparent)]
    Repeated(#[from] Repeated),
    /// A method that cannot be upgraded.
    #[error("a WebSocket is asked for with {method}: the method is GET")]
    Method {
        /// Which.
        method: String,
    },
    /// HTTP/1.0.
    #[error("a WebSocket is asked for in HTTP/1.0: it needs HTTP/1.1")]
    Version,
    /// What is asked for is neither a path nor an address.
    #[error("{target:?} cannot be asked for: a path that begins with a slash, in ASCII")]
    Target {
        /// What was asked for.
        target: String,
    },
    /// `Host` is missing, or no host.
    #[error(
        "the header Host is {found:?}: it names the host, and a port that is not the usual one"
    )]
    Host {
        /// What it says; empty if it is not there.
        found: String,
    },
    /// `Connection` does not say `Upgrade`.
    #[error("the header Connection does not say Upgrade")]
    Connection,
    /// There is a body, which could be taken for frames.
    #[error(
        "a request for a WebSocket has no body: leave out Content-Length and Transfer-Encoding"
    )]
    Body,
    /// Another version of WebSocket, or none.
    #[error("Sec-WebSocket-Version is {found:?}: this server speaks 13")]
    WebSocketVersion {
        /// What it says; empty if it is not there.
        found: String,
    },
    /// `Sec-WebSocket-Key` is missing, or not sixteen bytes in base64.
    #[error("Sec-WebSocket-Key is {found:?}: sixteen bytes in base64")]
    Key {
        /// What it says; empty if it is not there.
        found: String,
    },
    /// A list in a header is none.
    #[error(transparent)]
    List(#[from] ListError),
    /// A page that may not connect.
    #[error(transparent)]
    Origin(#[from] OriginError),
}

impl ServerError {
    /// What it is in the terms of HTTP.
    fn status(&self) -> Status {
        match self {
            Self::Head(HeadError::Long { .. } | HeadError::ManyHeaders { .. }) => {
                Status::HEADERS_TOO_LARGE
            }
            Self::Head(HeadError::Version) | Self::Version => Status::VERSION_NOT_SUPPORTED,
            Self::Method { .. } => Status::METHOD_NOT_ALLOWED,
            Self::WebSocketVersion { .. } => Status::UPGRADE_REQUIRED,
            Self::Origin(_) => Status::FORBIDDEN,
            _ => Status::BAD_REQUEST,
        }
    }
}

/// A request that is refused: why, and what is to be answered before the connection is closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Refusal {
    #[source]
    error: ServerError,
}

impl<E: Into<ServerError>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self { error: error.into() }
    }
}

impl Refusal {
    /// Why.
    pub fn error(&self) -> &ServerError {
        &self.error
    }

    /// The status of the answer.
    pub fn status(&self) -> Status {
        self.error.status()
    }

    /// The answer. It says what is wrong with the request, in a line of text.
    pub fn response(&self) -> Response {
        let response = match self.error {
            ServerError::WebSocketVersion { .. } => Response::upgrade_required(),
            ServerError::Method { .. } => Response::new(self.status()).own_header("Allow", "GET"),
            _ => Response::new(self.status()),
        };
        response.text(&format!("{}\n", self.error))
    }
}

impl Default for Server {
    fn default() -> Self {
        let (limits, origins) = Default::default();
        Self { limits, origins, scanner: Scanner::of_request() }
    }
}

impl Server {
    /// One that lets in pages of its own host only, and programs.
    pub fn new() -> Self {
        Self::default()
    }

    /// How large the head of the request may be.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Which pages may connect.
    #[must_use]
    pub fn origins(mut self, origins: Origins) -> Self {
        self.origins = origins;
        self
    }

    /// Reads the request: all that has come on the connection. Each call gets what the one before
    /// got, and more.
    ///
    /// # Errors
    /// [`Refusal`]: answer it, and close the connection.
    pub fn parse<'b>(&mut self, input: &'b [u8]) -> Result<Asked<'b>, Refusal> {
        let Some(extent) = self.scanner.find(input, self.limits)? else {
            return Ok(Asked::Incomplete);
        };
        let used = extent.end;
        let head = head::request(&input[extent], self.limits)?;
        if !head.headers.has_token("Upgrade", "websocket") {
            return Ok(Asked::Plain(Plain { head, used }));
        }
        let upgrade = upgrade(head, used)?;
        self.origins.check(upgrade.origin, upgrade.host)?;
        Ok(Asked::Upgrade(upgrade))
    }
}

/// A request for something else than a WebSocket.
#[derive(Clone, Copy, Debug)]
pub struct Plain<'b> {
    head: RequestHead<'b>,
    used: usize,
}

impl<'b> Plain<'b> {
    /// The method, such as `GET`.
    pub fn method(&self) -> &'b str {
        self.head.method
    }

    /// What is asked for, as it stands in the request line.
    pub fn target(&self) -> &'b str {
        self.head.target
    }

    /// The headers.
    pub fn headers(&self) -> Headers<'b> {
        self.head.headers
    }

    /// Bytes of the input that its head has; its body follows.
    pub fn used(&self) -> usize {
        self.used
    }
}

/// Every check of RFC 6455 §4.2.1 on a request that asks for WebSocket.
fn upgrade(head: RequestHead<'_>, used: usize) -> Result<Upgrade<'_>, ServerError> {
    let headers = head.headers;
    is_get(&head)?;
    let (path, query) = path_and_query(head.target)?;
    let host = host(headers)?;
    is_bare(headers)?;
    version(headers)?;
    let key = key_of(headers)?;
    let origin = origin(headers)?;
    let protocols = list::tokens(headers, "Sec-WebSocket-Protocol")?;
    let extensions = list::extensions(headers)?;
    Ok(Upgrade { used, path, query, host, origin, key, protocols, extensions, headers })
}

//= RFC 6455 §4.2.1
fn is_get(head: &RequestHead<'_>) -> Result<(), ServerError> {
    match (head.method, head.minor) {
        ("GET", 1..) => Ok(()),
        ("GET", _) => Err(ServerError::Version),
        (method, _) => Err(ServerError::Method { method: lossy(method.as_bytes()) }),
    }
}

/// A path, or a whole address, of which the path counts.
fn path_and_query(target: &str) -> Result<(&str, Option<&str>), ServerError> {
    let wrong = || ServerError::Target { target: lossy(target.as_bytes()) };
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) || target.contains('#') {
        return Err(wrong());
    }
    let local = match target.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => {
            &rest[rest.find(['/', '?']).unwrap_or(rest.len())..]
        }
        _ if target.starts_with('/') => target,
        _ => return Err(wrong()),
    };
    Ok(match local.split_once('?') {
        Some(("", query)) => ("/", Some(query)),
        Some((path, query)) => (path, Some(query)),
        None if local.is_empty() => ("/", None),
        None => (local, None),
    })
}

fn is_scheme(text: &str) -> bool {
    ["http", "https", "ws", "wss"].iter().any(|scheme| scheme.eq_ignore_ascii_case(text))
}

//= RFC 6455 §4.2.1
fn host(headers: Headers<'_>) -> Result<&str, ServerError> {
    let found = headers.only("Host")?.unwrap_or_default();
    let host = std::str::from_utf8(found).ok().filter(|host| host_and_port(host).is_ok());
    host.ok_or_else(|| ServerError::Host { found: lossy(found) })
}

/// Nothing but the head belongs to the request.
//= RFC 6455 §4.2.1
fn is_bare(headers: Headers<'_>) -> Result<(), ServerError> {
    if !headers.has_token("Connection", "upgrade") {
        return Err(ServerError::Connection);
    }
    let has_length = headers.all("Content-Length").any(|length| length != b"0");
    if has_length || headers.get("Transfer-Encoding").is_some() {
        return Err(ServerError::Body);
    }
    Ok(())
}

//= RFC 6455 §4.2.1
fn version(headers: Headers<'_>) -> Result<(), ServerError> {
    match headers.only("Sec-WebSocket-Version")? {
        Some(b"13") => Ok(()),
        other => Err(ServerError::WebSocketVersion { found: lossy(other.unwrap_or_default()) }),
    }
}

//= RFC 6455 §4.2.1
fn key_of(headers: Headers<'_>) -> Result<&[u8], ServerError> {
    let found = headers.only("Sec-WebSocket-Key")?.unwrap_or_default();
    if key::is_key(found) { Ok(found) } else { Err(ServerError::Key { found: lossy(found) }) }
}

/// One that is not text is none that anybody could have allowed.
fn origin(headers: Headers<'_>) -> Result<Option<&str>, ServerError> {
    let found = headers.only("Origin")?;
    Ok(found.map(|origin| std::str::from_utf8(origin).unwrap_or("null")))
}

/// A request for a WebSocket that can be granted: a view of the bytes in which it came.
#[derive(Clone, Debug)]
pub struct Upgrade<'b> {
    used: usize,
    path: &'b str,
    query: Option<&'b str>,
    host: &'b str,
    origin: Option<&'b str>,
    key: &'b [u8],
    protocols: Vec<&'b str>,
    extensions: Vec<Extension<'b>>,
    headers: Headers<'b>,
}

impl<'b> Upgrade<'b> {
    /// Bytes of the input that the request had; those behind it are frames.
    pub fn used(&self) -> usize {
        self.used
    }

    /// The path that is asked for, as it was sent: nothing in it is decoded.
    pub fn path(&self) -> &'b str {
        self.path
    }

    /// What stands behind the question mark.
    pub fn query(&self) -> Option<&'b str> {
        self.query
    }

    /// The host, and perhaps the port, that the client believes to talk to.
    pub fn host(&self) -> &'b str {
        self.host
    }

    /// Where the page is from that asks, if a browser asks.
    pub fn origin(&self) -> Option<&'b str> {
        self.origin
    }

    /// The subprotocols that are offered; the first is preferred. None is twice.
    pub fn protocols(&self) -> &[&'b str] {
        &self.protocols
    }

    /// The extensions that are offered; the first is preferred.
    /// [`deflate::Config::accept`](crate::deflate::Config::accept) makes something of them.
    pub fn extensions(&self) -> &[Extension<'b>] {
        &self.extensions
    }

    /// All headers.
    pub fn headers(&self) -> Headers<'b> {
        self.headers
    }

    /// The subprotocol that the client likes best of those that are known here.
    pub fn choose(&self, known: &[&str]) -> Option<&'b str> {
        self.protocols.iter().find(|protocol| known.contains(protocol)).copied()
    }

    /// The answer that opens the WebSocket; others are made with [`Response`].
    pub fn accept(&self) -> Accept<'_> {
        Accept::new(self)
    }

    /// The answer that opens the WebSocket with the subprotocol that the client likes best of those
    /// that are known, compressed as `deflate` and the client agree.
    ///
    /// ```
    /// use tautline_websocket::{deflate::Config, handshake::{Asked, Refusal, Server}};
    /// let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
    ///     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    ///     Sec-WebSocket-Protocol: c, a, b\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    /// let mut server = Server::new();
    /// let Asked::Upgrade(upgrade) = server.parse(request)? else { panic!("it is one") };
    /// let (accept, agreed) = upgrade.grant(&["b".into(), "a".into()], Some(&Config::default()));
    /// assert!(agreed.is_some());
    /// let head = String::from_utf8(accept.bytes()).unwrap_or_default();
    /// assert!(head.contains("Sec-WebSocket-Protocol: a\r\n"), "{head}");
    /// assert!(upgrade.grant(&[], None).1.is_none());
    /// # Ok::<(), Refusal>(())
    /// ```
    pub fn grant(
        &self,
        known: &[String],
        deflate: Option<&Config>,
    ) -> (Accept<'_>, Option<Agreed>) {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let agreed = deflate.and_then(|config| config.accept(&self.extensions));
        let accept = self.accept().deflate(agreed);
        let accept = match self.choose(&known) {
            // One that was offered is taken by every answer.
            Some(name) => accept.clone().protocol(Some(name)).unwrap_or(accept),
            None => accept,
        };
        (accept, agreed)
    }

    /// What proves that the key was understood.
    pub(crate) fn proof(&self) -> String {
        key::accept(self.key)
    }
}
