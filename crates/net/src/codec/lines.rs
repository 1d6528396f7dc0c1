//! Lines of text.

use super::{Decode, Decoded, Decoding, Encode, Malformed};

/// Lines of UTF-8, without their ends, where they were received. Read are lines that end with LF or
/// CR LF, and a last one without an end; written are such with LF, or with CR LF on request.
///
/// ```
/// use tautline_net::codec::{Decode, Decoded, Encode, Lines};
///
/// let mut codec = Lines::new(80);
/// let mut bytes = *b"one\r\ntwo";
/// assert_eq!(codec.decode(&mut bytes)?, Decoded::Item { item: "one", used: 5 });
/// assert_eq!(codec.decode(&mut bytes[5..])?, Decoded::NeedMore(1));
/// assert_eq!(codec.finish(&mut bytes[5..])?, Some("two"));
/// let mut out = [0; 4];
/// assert_eq!(codec.encode("two", &mut out), 4);
/// assert_eq!(&out, b"two\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Lines {
    bytes: ByteLines,
}

/// As [`Lines`], of any bytes.
#[derive(Clone, Debug)]
pub struct ByteLines {
    /// Most bytes of a line, without its end.
    limit: usize,
    /// No line ends in so many of the bytes that will come again.
    searched: usize,
    end: &'static [u8],
}

/// What is wrong with a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LineError {
    /// A line that does not end where it should at the latest.
    #[error("a line of more than {limit} bytes: raise the limit, or the peer does not send lines")]
    TooLong {
        /// As many are allowed.
        limit: usize,
    },
    /// No text.
    #[error("a line that is not UTF-8: read it as bytes, or the peer sends another encoding")]
    NotUtf8,
    /// An item to be sent holds the end of a line, or ends with a CR, which would be taken for one.
    #[error("the item is not one line: it holds the end of one at byte {at}")]
    EndsWithin {
        /// Where that is.
        at: usize,
    },
}

impl Lines {
    /// Lines of at most `limit` bytes, without their ends.
    pub const fn new(limit: usize) -> Self {
        Self { bytes: ByteLines::new(limit) }
    }

    /// Written with CR LF.
    #[must_use]
    pub const fn crlf(mut self) -> Self {
        self.bytes = self.bytes.crlf();
        self
    }
}

impl ByteLines {
    /// Lines of at most `limit` bytes, without their ends.
    pub const fn new(limit: usize) -> Self {
        Self { limit, searched: 0, end: b"\n" }
    }

    /// Written with CR LF.
    #[must_use]
    pub const fn crlf(mut self) -> Self {
        self.end = b"\r\n";
        self
    }

    fn too_long(&self) -> Malformed<LineError> {
        Malformed::at(self.limit, LineError::TooLong { limit: self.limit })
    }

    /// The bytes of the line that ends at `at`, or its limit is exceeded.
    fn line<'b>(
        &self,
        bytes: &'b mut [u8],
        at: usize,
    ) -> Result<&'b mut [u8], Malformed<LineError>> {
        let len = at - usize::from(bytes[..at].ends_with(b"\r"));
        if len > self.limit {
            return Err(self.too_long());
        }
        Ok(&mut bytes[..len])
    }
}

impl Decode for ByteLines {
    /// A line without its end.
    type Item<'b> = &'b mut [u8];
    type Error = LineError;

    #[inline]
    fn decode<'b>(&mut self, bytes: &'b mut [u8]) -> Decoding<'b, Self> {
        let from = self.searched.min(bytes.len());
        if let Some(at) = memchr::memchr(b'\n', &bytes[from..]).map(|at| from + at) {
            self.searched = 0;
            let item = self.line(bytes, at)?;
            return Ok(Decoded::Item { item, used: at + 1 });
        }
        self.searched = bytes.len();
        // A CR at the end may belong to the end of the line.
        if bytes.len() - usize::from(bytes.ends_with(b"\r")) > self.limit {
            return Err(self.too_long());
        }
        Ok(Decoded::NeedMore(1))
    }

    fn finish<'b>(
        &mut self,
        rest: &'b mut [u8],
    ) -> Result<Option<&'b mut [u8]>, Malformed<LineError>> {
        let len = rest.len();
        self.line(rest, len).map(Some)
    }
}

impl Decode for Lines {
    /// A line without its end.
    type Item<'b> = &'b str;
    type Error = LineError;

    #[inline]
    fn decode<'b>(&mut self, bytes: &'b mut [u8]) -> Decoding<'b, Self> {
        self.bytes.decode(bytes)?.try_map(text)
    }

    fn finish<'b>(&mut self, rest: &'b mut [u8]) -> Result<Option<&'b str>, Malformed<LineError>> {
        self.bytes.finish(rest)?.map(text).transpose()
    }
}

/// From here on the vectorised check is the faster one.
const LONG: usize = 128;

#[inline]
fn text(bytes: &mut [u8]) -> Result<&str, Malformed<LineError>> {
    let invalid = |at| Malformed::at(at, LineError::NotUtf8);
    if bytes.len() < LONG {
        return std::str::from_utf8(bytes).map_err(|error| invalid(error.valid_up_to()));
    }
    simdutf8::compat::from_utf8(bytes).map_err(|error| invalid(error.valid_up_to()))
}

impl<T: AsRef<[u8]>> Encode<T> for ByteLines {
    type Error = LineError;

    fn size(&self, item: &T) -> Result<usize, LineError> {
        let item = item.as_ref();
        if item.len() > self.limit {
            return Err(LineError::TooLong { limit: self.limit });
        }
        let end = item.len().saturating_sub(1);
        let at = memchr::memchr(b'\n', item).or(item.ends_with(b"\r").then_some(end));
        match at {
            Some(at) => Err(LineError::EndsWithin { at }),
            None => Ok(item.len() + self.end.len()),
        }
    }

    fn encode(&mut self, item: T, out: &mut [u8]) -> usize {
        let item = item.as_ref();
        let size = item.len() + self.end.len();
        out[..item.len()].copy_from_slice(item);
        out[item.len()..size].copy_from_slice(self.end);
        size
    }
}

impl<T: AsRef<str>> Encode<T> for Lines {
    type Error = LineError;

    fn size(&self, item: &T) -> Result<usize, LineError> {
        self.bytes.size(&item.as_ref())
    }

    fn encode(&mut self, item: T, out: &mut [u8]) -> usize {
        self.bytes.encode(item.as_ref(), out)
    }
}
