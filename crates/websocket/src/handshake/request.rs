//! What a client asks for.

use super::field::{self, FieldError};
use super::{Client, Limits, Url, key};
use crate::deflate::Offer;

/// Why a request cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A header cannot be added.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The name of a subprotocol is no token.
    #[error("{name:?} is no name of a subprotocol: letters, digits, dots and hyphens")]
    Protocol {
        /// What was given.
        name: String,
    },
    /// A subprotocol was offered before.
    #[error("the subprotocol {name:?} is offered twice: offer it once")]
    ProtocolTwice {
        /// Which.
        name: String,
    },
    /// The header `Host` is empty.
    #[error("the header Host is empty: leave it out, and it names the host of the address")]
    EmptyHost,
}

/// A client's request for a WebSocket: what it wants, and what else it says.
///
/// ```
/// use tautline_websocket::handshake::{Request, Url};
/// let url = Url::parse("ws://feed.example:8080/trades")?;
/// let request = Request::new(&url)
///     .origin("https://app.example")?
///     .protocol("book.v2")?
///     .header("X-Api-Key", "k-123")?;
/// let client = request.start([0; 16]); // in earnest, sixteen random bytes
/// let text = std::str::from_utf8(client.bytes())?;
/// assert!(text.starts_with("GET /trades HTTP/1.1\r\nHost: feed.example:8080\r\n"));
/// assert!(text.ends_with("X-Api-Key: k-123\r\n\r\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Request {
    target: String,
    host: String,
    origin: Option<String>,
    /// From the address, unless a header says it.
    authorization: Option<String>,
    /// In the order in which they are preferred; all tokens, none twice.
    protocols: Vec<String>,
    deflate: Vec<Offer>,
    /// Lines of headers that were checked.
    extra: String,
    limits: Limits,
}

impl Request {
    /// For a WebSocket at that address. Its user, if there is one, becomes Basic authorization.
    pub fn new(url: &Url) -> Self {
        let basic = |(user, password)| format!("Basic {}", key::credentials(user, password));
        Self {
            target: url.target().to_owned(),
            host: url.authority(),
            origin: None,
            authorization: url.user().map(basic),
            protocols: Vec::new(),
            deflate: Vec::new(),
            extra: String::new(),
            limits: Limits::default(),
        }
    }

    /// Offers a subprotocol; those offered first are preferred.
    ///
    /// # Errors
    /// [`RequestError::Protocol`], [`RequestError::ProtocolTwice`].
    //= RFC 6455 §4.1
    pub fn protocol(mut self, name: &str) -> Result<Self, RequestError> {
        if !field::is_token(name.as_bytes()) {
            return Err(RequestError::Protocol { name: name.to_owned() });
        }
        if self.protocols.iter().any(|offered| offered == name) {
            return Err(RequestError::ProtocolTwice { name: name.to_owned() });
        }
        self.protocols.push(name.to_owned());
        Ok(self)
    }

    /// Says on whose behalf it is, as browsers do.
    ///
    /// # Errors
    /// [`RequestError::Field`]: it would end the header.
    pub fn origin(mut self, origin: &str) -> Result<Self, RequestError> {
        field::check_value("Origin", origin)?;
        self.origin = Some(origin.to_owned());
        Ok(self)
    }

    /// Offers compression, in one way or several; those offered first are preferred.
    #[must_use]
    pub fn deflate(mut self, offers: &[Offer]) -> Self {
        self.deflate.extend_from_slice(offers);
        self
    }

    /// Adds a header. `Host`, `Origin` and `Authorization` take the place of what is said otherwise.
    ///
    /// # Errors
    /// [`RequestError::Field`]: the handshake itself writes it, or it would end the header;
    /// [`RequestError::EmptyHost`].
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, RequestError> {
        field::check(name, value)?;
        let value = value.trim_matches([' ', '\t']);
        match name.to_ascii_lowercase().as_str() {
            "host" if value.is_empty() => return Err(RequestError::EmptyHost),
            "host" => value.clone_into(&mut self.host),
            "origin" => self.origin = Some(value.to_owned()),
            "authorization" => self.authorization = Some(value.to_owned()),
            _ => field::write(&mut self.extra, name, value),
        }
        Ok(self)
    }

    /// How large the head of the answer may be.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Writes it, and gives what reads the answer. The nonce is sixteen bytes that nobody can
    /// foretell: new ones for each connection.
    pub fn start(self, nonce: [u8; 16]) -> Client {
        let key = key::key(nonce);
        let head = self.head(&key);
        Client::new(head, key::accept(key.as_bytes()), self.protocols, self.deflate, self.limits)
    }

    //= RFC 6455 §4.1
    fn head(&self, key: &str) -> String {
        let mut head = format!("GET {} HTTP/1.1\r\n", self.target);
        field::write(&mut head, "Host", &self.host);
        field::write(&mut head, "Upgrade", "websocket");
        field::write(&mut head, "Connection", "Upgrade");
        field::write(&mut head, "Sec-WebSocket-Key", key);
        field::write(&mut head, "Sec-WebSocket-Version", "13");
        if let Some(origin) = &self.origin {
            field::write(&mut head, "Origin", origin);
        }
        if !self.protocols.is_empty() {
            field::write(&mut head, "Sec-WebSocket-Protocol", &self.protocols.join(", "));
        }
        if !self.deflate.is_empty() {
            let offers: Vec<_> = self.deflate.iter().map(ToString::to_string).collect();
            field::write(&mut head, super::list::EXTENSIONS, &offers.join(", "));
        }
        if let Some(authorization) = &self.authorization {
            field::write(&mut head, "Authorization", authorization);
        }
        head.push_str(&self.extra);
        head.push_str("\r\n");
        head
    }
}
