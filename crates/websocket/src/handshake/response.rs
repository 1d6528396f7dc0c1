//! What a server answers.

use super::field::{self, FieldError};
use super::{Upgrade, list};
use crate::deflate::Agreed;

/// The status of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Status(u16);

impl Status {
    /// Moved for good.
    pub const MOVED: Self = Self(301);
    /// Elsewhere for now, to be asked for in the same way.
    pub const TEMPORARY_REDIRECT: Self = Self(307);
    /// Elsewhere for good, to be asked for in the same way.
    pub const PERMANENT_REDIRECT: Self = Self(308);
    /// The request is malformed.
    pub const BAD_REQUEST: Self = Self(400);
    /// Authorization is missing: the header `WWW-Authenticate` says which.
    pub const UNAUTHORIZED: Self = Self(401);
    /// Who asks may not.
    pub const FORBIDDEN: Self = Self(403);
    /// There is nothing at that path.
    pub const NOT_FOUND: Self = Self(404);
    /// Not with that method.
    pub const METHOD_NOT_ALLOWED: Self = Self(405);
    /// The request did not come in time.
    pub const TIMEOUT: Self = Self(408);
    /// Another protocol has to be spoken.
    pub const UPGRADE_REQUIRED: Self = Self(426);
    /// Too often.
    pub const TOO_MANY_REQUESTS: Self = Self(429);
    /// The head is too large.
    pub const HEADERS_TOO_LARGE: Self = Self(431);
    /// The server has failed.
    pub const INTERNAL_ERROR: Self = Self(500);
    /// No more connections for now.
    pub const UNAVAILABLE: Self = Self(503);
    /// Not in that version of HTTP.
    pub const VERSION_NOT_SUPPORTED: Self = Self(505);

    /// The status of that number. `None`: it is not the last word of an answer; those are 200 to 599.
    pub const fn new(code: u16) -> Option<Self> {
        if code >= 200 && code < 600 { Some(Self(code)) } else { None }
    }

    /// Its number.
    pub const fn code(self) -> u16 {
        self.0
    }

    /// What is said to it.
    pub fn reason(self) -> &'static str {
        match self.0 {
            200 => "OK",
            301 => "Moved Permanently",
            302 => "Found",
            303 => "See Other",
            307 => "Temporary Redirect",
            308 => "Permanent Redirect",
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            408 => "Request Timeout",
            426 => "Upgrade Required",
            429 => "Too Many Requests",
            431 => "Request Header Fields Too Large",
            500 => "Internal Server Error",
            503 => "Service Unavailable",
            505 => "HTTP Version Not Supported",
            _ => "",
        }
    }
}

/// An answer that opens no WebSocket; the connection is closed behind it.
///
/// ```
/// use tautline_websocket::handshake::{Response, Status};
/// let bytes = Response::new(Status::NOT_FOUND).text("no such feed\n").bytes();
/// assert!(bytes.starts_with(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n"));
/// assert!(bytes.ends_with(b"Content-Length: 13\r\n\r\nno such feed\n"));
/// # Ok::<(), tautline_websocket::handshake::FieldError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Response {
    status: Status,
    /// Lines of headers that were checked.
    extra: String,
    body: Vec<u8>,
}

impl Response {
    /// Without a body.
    pub fn new(status: Status) -> Self {
        Self { status, extra: String::new(), body: Vec::new() }
    }

    /// Says where the WebSocket is: a path, or an address. The status is one of the 300s.
    ///
    /// ```
    /// use tautline_websocket::handshake::{Response, Status};
    /// let response = Response::redirect(Status::TEMPORARY_REDIRECT, "wss://b.example/feed")?;
    /// assert!(response.bytes().starts_with(b"HTTP/1.1 307 Temporary Redirect\r\n"));
    /// # Ok::<(), tautline_websocket::handshake::FieldError>(())
    /// ```
    ///
    /// # Errors
    /// [`FieldError::Value`]: it would end the header.
    pub fn redirect(status: Status, location: &str) -> Result<Self, FieldError> {
        Self::new(status).header("Location", location)
    }

    /// Says that here one speaks WebSocket, of version 13.
    //= RFC 6455 §4.4
    pub fn upgrade_required() -> Self {
        Self::new(Status::UPGRADE_REQUIRED)
            .own_header("Sec-WebSocket-Version", "13")
            .own_header("Upgrade", "websocket")
    }

    /// Adds a header.
    ///
    /// # Errors
    /// [`FieldError`]: the answer itself writes it, or it would end the header.
    pub fn header(self, name: &str, value: &str) -> Result<Self, FieldError> {
        field::check(name, value)?;
        Ok(self.own_header(name, value))
    }

    /// A header that needs no check.
    pub(crate) fn own_header(mut self, name: &str, value: &str) -> Self {
        field::write(&mut self.extra, name, value);
        self
    }

    /// Gives it a body; what that is, a header `Content-Type` says.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Gives it a line of text as body.
    #[must_use]
    pub fn text(self, text: &str) -> Self {
        self.own_header("Content-Type", "text/plain; charset=utf-8").body(text)
    }

    /// Its status.
    pub fn status(&self) -> Status {
        self.status
    }

    /// What is to be sent.
    pub fn bytes(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status.0, self.status.reason());
        let upgrade = self.status == Status::UPGRADE_REQUIRED;
        field::write(&mut head, "Connection", if upgrade { "Upgrade, close" } else { "close" });
        head.push_str(&self.extra);
        field::write(&mut head, "Content-Length", &self.body.len().to_string());
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// Why a WebSocket cannot be opened so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// A header cannot be added.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The client has not offered that subprotocol.
    #[error("the client does not offer the subprotocol {name:?}: take one with `Upgrade::choose`")]
    Protocol {
        /// Which.
        name: String,
    },
}

/// The answer that opens a WebSocket.
#[derive(Clone, Debug)]
pub struct Accept<'u> {
    upgrade: &'u Upgrade<'u>,
    protocol: Option<String>,
    deflate: Option<Agreed>,
    /// Lines of headers that were checked.
    extra: String,
}

impl<'u> Accept<'u> {
    pub(crate) fn new(upgrade: &'u Upgrade<'u>) -> Self {
        Self { upgrade, protocol: None, deflate: None, extra: String::new() }
    }

    /// Speaks that subprotocol, which is one of those offered, or none.
    ///
    /// # Errors
    /// [`AcceptError::Protocol`].
    //= RFC 6455 §4.2.2
    pub fn protocol(mut self, name: Option<&str>) -> Result<Self, AcceptError> {
        if let Some(name) = name.filter(|name| !self.upgrade.protocols().contains(name)) {
            return Err(AcceptError::Protocol { name: name.to_owned() });
        }
        self.protocol = name.map(str::to_owned);
        Ok(self)
    }

    /// The subprotocol that it speaks.
    pub fn spoken(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// Compresses as was agreed by [`deflate::Config::accept`](crate::deflate::Config::accept), or
    /// not at all.
    #[must_use]
    pub fn deflate(mut self, agreed: Option<Agreed>) -> Self {
        self.deflate = agreed;
        self
    }

    /// Adds a header.
    ///
    /// # Errors
    /// [`AcceptError::Field`]: the handshake itself writes it, or it would end the header.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, AcceptError> {
        field::check(name, value)?;
        field::write(&mut self.extra, name, value);
        Ok(self)
    }

    /// What is to be sent; frames may follow at once.
    //= RFC 6455 §4.2.2
    pub fn bytes(&self) -> Vec<u8> {
        let mut head = String::from("HTTP/1.1 101 Switching Protocols\r\n");
        field::write(&mut head, "Upgrade", "websocket");
        field::write(&mut head, "Connection", "Upgrade");
        field::write(&mut head, "Sec-WebSocket-Accept", &self.upgrade.proof());
        if let Some(protocol) = &self.protocol {
            field::write(&mut head, "Sec-WebSocket-Protocol", protocol);
        }
        if let Some(agreed) = &self.deflate {
            field::write(&mut head, list::EXTENSIONS, &agreed.to_string());
        }
        head.push_str(&self.extra);
        head.push_str("\r\n");
        head.into_bytes()
    }
}
