//! An answer that is not the one that was hoped for.

use std::fmt;

use super::head::ResponseHead;

/// The head of an answer that opens nothing, kept for who wants to know why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    status: u16,
    reason: String,
    headers: Vec<(String, Vec<u8>)>,
    used: usize,
    length: Option<u64>,
}

impl Rejected {
    pub(crate) fn new(head: &ResponseHead<'_>, used: usize) -> Self {
        let owned = head.headers.iter().map(|h| (h.name.to_owned(), h.value.to_owned()));
        let is_chunked = head.headers.get("Transfer-Encoding").is_some();
        let length = head.headers.text("Content-Length").and_then(|text| text.parse().ok());
        Self {
            status: head.status,
            reason: head.reason.to_owned(),
            headers: owned.collect(),
            used,
            length: length.filter(|_| !is_chunked),
        }
    }

    /// Its status, such as 404; 401 and 407 ask for authorization.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// What the server says to it, such as `Not Found`; may be empty.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Its headers, in their order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Bytes of the input before the body.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Bytes of the body. `None`: until the connection ends, or in chunks.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// What of the body lies in the input, which is what was parsed or more: often it says why.
    pub fn body<'b>(&self, input: &'b [u8]) -> &'b [u8] {
        let behind = input.get(self.used..).unwrap_or_default();
        let length = self.length.and_then(|len| usize::try_from(len).ok()).unwrap_or(usize::MAX);
        &behind[..behind.len().min(length)]
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.reason)
    }
}
