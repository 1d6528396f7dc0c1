//! What a client makes of the answer.

use super::head::{self, HeadError, ResponseHead, Scanner};
use super::list::{self, ListError, lossy};
use super::{Headers, Limits, Rejected, Repeated};
use crate::deflate::{Agreed, AnswerError, Offer};

/// A client that waits for the answer to its request.
///
/// It stands in the example of [the module](super).
#[derive(Clone, Debug)]
pub struct Client {
    /// What is to be sent.
    request: String,
    /// What `Sec-WebSocket-Accept` has to say.
    accept: String,
    protocols: Vec<String>,
    deflate: Vec<Offer>,
    limits: Limits,
    scanner: Scanner,
}

/// What has come.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'b> {
    /// Not all of it: parse again when there is more.
    Incomplete,
    /// The WebSocket is open.
    Opened(Opened<'b>),
    /// It is elsewhere.
    Redirect(Redirect<'b>),
}

/// Why the answer opens no WebSocket. Nothing may be sent any more: the connection is to be closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// It is not HTTP.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The server refuses, or wants something first.
    #[error("the server answers {0} instead of opening a WebSocket")]
    Rejected(Box<Rejected>),
    /// It is of HTTP/1.0, in which nothing can be upgraded.
    #[error("the server answers in HTTP/1.0: WebSocket needs HTTP/1.1")]
    Version,
    /// A header is there more than once.
    #[error(transparent)]
    Repeated(#[from] Repeated),
    /// There is no `Upgrade`, or not to WebSocket.
    #[error("the server switches to {found:?} instead of websocket (header Upgrade)")]
    Upgrade {
        /// What the header says; empty if it is not there.
        found: String,
    },
    /// `Connection` does not say `Upgrade`.
    #[error("the header Connection of the answer is {found:?}: `Upgrade` is missing")]
    Connection {
        /// What the header says; empty if it is not there.
        found: String,
    },
    /// There is no `Sec-WebSocket-Accept`.
    #[error("the answer has no Sec-WebSocket-Accept: the server does not speak WebSocket")]
    NoAccept,
    /// `Sec-WebSocket-Accept` is not that of this request.
    #[error(
        "Sec-WebSocket-Accept is {found:?}, and not {expected:?}: an answer to another request"
    )]
    Accept {
        /// What the header says.
        found: String,
        /// What it had to say.
        expected: String,
    },
    /// A list in a header is none.
    #[error(transparent)]
    List(#[from] ListError),
    /// An extension that was not offered.
    #[error("the server uses the extension {name:?}, which was not offered")]
    Extension {
        /// Which.
        name: String,
    },
    /// Compression that was not offered so.
    #[error(transparent)]
    Deflate(#[from] AnswerError),
    /// A subprotocol that was not offered.
    #[error("the server speaks the subprotocol {found:?}, which was not offered")]
    Protocol {
        /// Which.
        found: String,
    },
}

impl Client {
    pub(crate) fn new(
        request: String,
        accept: String,
        protocols: Vec<String>,
        deflate: Vec<Offer>,
        limits: Limits,
    ) -> Self {
        Self { request, accept, protocols, deflate, limits, scanner: Scanner::default() }
    }

    /// The request: what is to be sent.
    pub fn bytes(&self) -> &[u8] {
        self.request.as_bytes()
    }

    /// Reads the answer: all that has come on the connection, or on that to the proxy, behind the
    /// proxy's own answer. Each call gets what the one before got, and more.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn parse<'b>(&mut self, input: &'b [u8]) -> Result<Answer<'b>, ClientError> {
        while let Some(extent) = self.scanner.find(input, self.limits)? {
            let used = extent.end;
            let head = head::response(&input[extent], self.limits)?;
            //= RFC 9110 §15.2
            if head.status / 100 != 1 || head.status == 101 {
                return self.answer(&head, used);
            }
            self.scanner.go_on(used);
        }
        Ok(Answer::Incomplete)
    }

    fn answer<'b>(&self, head: &ResponseHead<'b>, used: usize) -> Result<Answer<'b>, ClientError> {
        match (head.status, head.headers.text("Location")) {
            (101, _) => self.opened(head, used).map(Answer::Opened),
            //= RFC 6455 §4.1
            (status @ (301 | 302 | 303 | 307 | 308), Some(location)) => {
                Ok(Answer::Redirect(Redirect { status, location }))
            }
            _ => Err(ClientError::Rejected(Box::new(Rejected::new(head, used)))),
        }
    }

    fn opened<'b>(&self, head: &ResponseHead<'b>, used: usize) -> Result<Opened<'b>, ClientError> {
        let headers = head.headers;
        if head.minor == 0 {
            return Err(ClientError::Version);
        }
        switches(headers)?;
        self.is_ours(headers)?;
        let deflate = self.extensions(headers)?;
        let protocol = self.protocol(headers)?;
        Ok(Opened { used, protocol, deflate, headers })
    }

    //= RFC 6455 §4.1
    fn is_ours(&self, headers: Headers<'_>) -> Result<(), ClientError> {
        let found = headers.only("Sec-WebSocket-Accept")?.ok_or(ClientError::NoAccept)?;
        if found == self.accept.as_bytes() {
            return Ok(());
        }
        Err(ClientError::Accept { found: lossy(found), expected: self.accept.clone() })
    }

    //= RFC 6455 §4.1
    fn extensions(&self, headers: Headers<'_>) -> Result<Option<Agreed>, ClientError> {
        let mut agreed = None;
        for extension in list::extensions(headers)? {
            let name = extension.name;
            if name != Offer::NAME || self.deflate.is_empty() {
                return Err(ClientError::Extension { name: name.to_owned() });
            }
            if agreed.is_some() {
                let word = name.to_owned();
                return Err(ListError::Twice { name: list::EXTENSIONS, word }.into());
            }
            agreed = Some(Agreed::of_answer(&extension.params, &self.deflate)?);
        }
        Ok(agreed)
    }

    //= RFC 6455 §4.1
    fn protocol<'b>(&self, headers: Headers<'b>) -> Result<Option<&'b str>, ClientError> {
        let Some(found) = headers.only("Sec-WebSocket-Protocol")? else { return Ok(None) };
        let offered = |text: &&str| self.protocols.iter().any(|offered| offered == text);
        match std::str::from_utf8(found).ok().filter(offered) {
            Some(protocol) => Ok(Some(protocol)),
            None => Err(ClientError::Protocol { found: lossy(found) }),
        }
    }
}

/// Whether the server switches to WebSocket.
//= RFC 6455 §4.1
fn switches(headers: Headers<'_>) -> Result<(), ClientError> {
    let upgrade = headers.only("Upgrade")?.unwrap_or_default();
    if !upgrade.eq_ignore_ascii_case(b"websocket") {
        return Err(ClientError::Upgrade { found: lossy(upgrade) });
    }
    if !headers.has_token("Connection", "upgrade") {
        let found = lossy(headers.get("Connection").unwrap_or_default());
        return Err(ClientError::Connection { found });
    }
    Ok(())
}

/// A WebSocket that is open.
#[derive(Clone, Copy, Debug)]
pub struct Opened<'b> {
    used: usize,
    protocol: Option<&'b str>,
    deflate: Option<Agreed>,
    headers: Headers<'b>,
}

impl<'b> Opened<'b> {
    /// Bytes of the input that the answer had; those behind it are frames.
    pub fn used(&self) -> usize {
        self.used
    }

    /// The subprotocol that both speak: one of those offered.
    pub fn protocol(&self) -> Option<&'b str> {
        self.protocol
    }

    /// How messages may be compressed, if they may.
    pub fn deflate(&self) -> Option<Agreed> {
        self.deflate
    }

    /// The headers of the answer.
    pub fn headers(&self) -> Headers<'b> {
        self.headers
    }
}

/// A WebSocket that is elsewhere. [`Url::join`](super::Url::join) says where; how often that is
/// followed is for the caller to bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect<'b> {
    status: u16,
    location: &'b str,
}

impl<'b> Redirect<'b> {
    /// 301, 302, 303, 307 or 308.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// What the server says of the place: an address, or a part of one.
    pub fn location(&self) -> &'b str {
        self.location
    }
}
