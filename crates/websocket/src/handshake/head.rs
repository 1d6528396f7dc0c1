//! The head of an HTTP/1.1 message: where it ends, and that nothing is smuggled in with it.

use super::Headers;

/// Headers that a head can have at most, whatever its [`Limits`] say.
const MOST_HEADERS: usize = 128;

/// How large a head may be. The default is 16 KiB and 100 headers.
///
/// ```
/// use tautline_websocket::handshake::{Asked, Limits, Server};
/// let mut server = Server::new().limits(Limits { bytes: 20, headers: 10 });
/// let refusal = server.parse(b"GET /a-path-that-goes-on").unwrap_err();
/// assert_eq!(refusal.status().code(), 431);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the head, with the empty line at its end; those of all heads, where several come.
    pub bytes: usize,
    /// Headers in it; more than 128 are never read.
    pub headers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 16 * 1024, headers: 100 }
    }
}

/// Why bytes are no head of an HTTP/1.1 message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// It does not end within the limit.
    #[error("the HTTP head has more than {limit} bytes: raise `Limits::bytes` if that is meant")]
    Long {
        /// Bytes that are allowed.
        limit: usize,
    },
    /// It has too many headers.
    #[error(
        "the HTTP head has more than {limit} headers: raise `Limits::headers` if that is meant"
    )]
    ManyHeaders {
        /// Headers that are allowed.
        limit: usize,
    },
    /// A line feed without a carriage return before it.
    #[error("a line feed alone at offset {at} of the HTTP head: lines end in CR LF")]
    BareLineFeed {
        /// Where it stands.
        at: usize,
    },
    /// A carriage return without a line feed behind it.
    #[error("a carriage return alone at offset {at} of the HTTP head: lines end in CR LF")]
    BareCarriageReturn {
        /// Where it stands.
        at: usize,
    },
    /// A byte that no head may have, such as NUL.
    #[error("control character {byte:#04x} at offset {at}: this is no HTTP/1.1 head")]
    Control {
        /// The byte.
        byte: u8,
        /// Where it stands.
        at: usize,
    },
    /// A line that begins with a space: it would go on with the one before.
    #[error("a folded header line at offset {at}: write each header in one line")]
    Folded {
        /// Where the line begins.
        at: usize,
    },
    /// There is nothing before the empty line.
    #[error("an empty HTTP head: it begins with a request or status line")]
    Empty,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    #[error("the first line names another protocol, or another version, than HTTP/1.1")]
    Version,
    /// The first line, or a header, is none.
    #[error("the HTTP head is malformed: {what}")]
    Malformed {
        /// What the parser takes exception to.
        what: &'static str,
    },
}

/// Looks for the end of a head, and at each byte once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scanner {
    /// Offset of the next byte to be looked at.
    next: usize,
    /// Where the head begins.
    start: usize,
    /// Whether one empty line before the head is passed over.
    is_request: bool,
}

/// Where a head lies within the input.
pub(crate) type Extent = std::ops::Range<usize>;

impl Scanner {
    //= RFC 9112 §2.2
    pub(crate) fn of_request() -> Self {
        Self { is_request: true, ..Self::default() }
    }

    /// Goes on behind a head, to look for another.
    pub(crate) fn go_on(&mut self, end: usize) {
        (self.start, self.next) = (end, end);
    }

    /// Where the head is. `None`: its end has not come yet.
    pub(crate) fn find(
        &mut self,
        input: &[u8],
        limits: Limits,
    ) -> Result<Option<Extent>, HeadError> {
        let most = input.len().min(limits.bytes);
        while self.next < most {
            let at = self.next;
            let ends = self.look(input, at)?;
            self.next += 1;
            if ends {
                return Ok(Some(self.start..at + 1));
            }
        }
        if input.len() >= limits.bytes {
            Err(HeadError::Long { limit: limits.bytes })
        } else {
            Ok(None)
        }
    }

    /// Whether the head ends with the byte at that offset.
    fn look(&mut self, input: &[u8], at: usize) -> Result<bool, HeadError> {
        let byte = input[at];
        let before = input[self.start..at].last().copied();
        match (before, byte) {
            (Some(b'\r'), b'\n') => self.line_ends(input, at),
            (_, b'\n') => Err(HeadError::BareLineFeed { at }),
            (Some(b'\r'), _) => Err(HeadError::BareCarriageReturn { at: at - 1 }),
            (Some(b'\n'), b' ' | b'\t') => Err(HeadError::Folded { at }),
            (_, b'\r' | b'\t') => Ok(false),
            (_, 0..=0x1f | 0x7f) => Err(HeadError::Control { byte, at }),
            _ => Ok(false),
        }
    }

    /// A line ends at that offset: was it the empty one?
    fn line_ends(&mut self, input: &[u8], at: usize) -> Result<bool, HeadError> {
        if at > self.start + 1 {
            return Ok(input[at - 2] == b'\n');
        }
        if !self.is_request || self.start > 0 {
            return Err(HeadError::Empty);
        }
        self.start = at + 1;
        Ok(false)
    }
}

/// The first line of a request, and what follows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestHead<'b> {
    pub(crate) method: &'b str,
    pub(crate) target: &'b str,
    /// 0 or 1: of HTTP/1.
    pub(crate) minor: u8,
    pub(crate) headers: Headers<'b>,
}

/// Reads a whole head, and nothing behind it.
pub(crate) fn request(head: &[u8], limits: Limits) -> Result<RequestHead<'_>, HeadError> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let most = limits.headers.min(MOST_HEADERS);
    let mut request = httparse::Request::new(&mut headers[..most]);
    whole(request.parse(head), head, most)?;
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version)
    else {
        return Err(HeadError::Malformed { what: "the request line is not whole" });
    };
    Ok(RequestHead { method, target, minor, headers: Headers::of_head(head) })
}

/// The first line of a response, and what follows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseHead<'b> {
    pub(crate) status: u16,
    pub(crate) reason: &'b str,
    /// 0 or 1: of HTTP/1.
    pub(crate) minor: u8,
    pub(crate) headers: Headers<'b>,
}

/// Reads a whole head, and nothing behind it.
pub(crate) fn response(head: &[u8], limits: Limits) -> Result<ResponseHead<'_>, HeadError> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let most = limits.headers.min(MOST_HEADERS);
    let mut response = httparse::Response::new(&mut headers[..most]);
    whole(response.parse(head), head, most)?;
    let (Some(status), Some(minor)) = (response.code, response.version) else {
        return Err(HeadError::Malformed { what: "the status line is not whole" });
    };
    let reason = response.reason.unwrap_or_default();
    Ok(ResponseHead { status, reason, minor, headers: Headers::of_head(head) })
}

/// What the parser says of a head, to the end of which it must have read.
fn whole(parsed: httparse::Result<usize>, head: &[u8], most: usize) -> Result<(), HeadError> {
    use httparse::Error;
    let what = match parsed {
        Ok(httparse::Status::Complete(len)) if len == head.len() => return Ok(()),
        Ok(_) => "it ends elsewhere than at its first empty line",
        Err(Error::TooManyHeaders) => return Err(HeadError::ManyHeaders { limit: most }),
        Err(Error::Version) => return Err(HeadError::Version),
        Err(Error::HeaderName) => "the name of a header is no token",
        Err(Error::HeaderValue) => "a character that no header's value may have",
        Err(Error::NewLine) => "a line does not end in CR LF",
        Err(Error::Status) => "the status is not three digits",
        Err(Error::Token) => "the first line is neither a request nor a status line",
    };
    Err(HeadError::Malformed { what })
}
