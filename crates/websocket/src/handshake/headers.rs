//! Headers, as they lie in the head.

/// A header, as it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'b> {
    /// Its name, in the case in which it was written.
    pub name: &'b str,
    /// Its value without the spaces around it. Mostly ASCII, but any byte from 0x80 may be in it.
    pub value: &'b [u8],
}

/// A header that may be there once was there more often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the header {name} is there more than once: it may be there once")]
pub struct Repeated {
    /// Which.
    pub name: &'static str,
}

/// The headers of a head: a view of its bytes, in their order. Names are found in any case.
///
/// ```
/// use tautline_websocket::handshake::{Asked, Server};
/// let mut server = Server::new();
/// let bytes = b"GET /health HTTP/1.1\r\nHost: a.example\r\naccept: x\r\nAccept: y\r\n\r\n";
/// let Asked::Plain(plain) = server.parse(bytes)? else { panic!("it asks for no upgrade") };
/// let headers = plain.headers();
/// assert_eq!(headers.text("Host"), Some("a.example"));
/// assert_eq!(headers.all("Accept").collect::<Vec<_>>(), [b"x", b"y"]);
/// assert_eq!(headers.iter().count(), 3);
/// # Ok::<(), tautline_websocket::handshake::Refusal>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers<'b> {
    /// Whole lines, which the parser has seen.
    lines: &'b [u8],
}

impl<'b> Headers<'b> {
    /// Those of a head that was read without error.
    pub(crate) fn of_head(head: &'b [u8]) -> Self {
        let first = head.iter().position(|byte| *byte == b'\n').map_or(head.len(), |at| at + 1);
        Self { lines: &head[first..] }
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Header<'b>> + use<'b> {
        self.lines.split(|byte| *byte == b'\n').filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = std::str::from_utf8(&line[..colon]).ok()?;
            Some(Header { name, value: line[colon + 1..].trim_ascii() })
        })
    }

    /// The values of all headers of that name, in their order.
    pub fn all<'n>(&self, name: &'n str) -> impl Iterator<Item = &'b [u8]> + use<'b, 'n> {
        let named = move |header: &Header<'b>| header.name.eq_ignore_ascii_case(name);
        self.iter().filter(named).map(|header| header.value)
    }

    /// The value of the first header of that name.
    pub fn get(&self, name: &str) -> Option<&'b [u8]> {
        self.all(name).next()
    }

    /// As [`get`](Self::get), if it is UTF-8.
    pub fn text(&self, name: &str) -> Option<&'b str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The value of the only header of that name.
    pub(crate) fn only(&self, name: &'static str) -> Result<Option<&'b [u8]>, Repeated> {
        let mut all = self.all(name);
        match (all.next(), all.next()) {
            (value, None) => Ok(value),
            _ => Err(Repeated { name }),
        }
    }

    /// Whether one of the comma-separated words of that header is that token, in any case.
    pub(crate) fn has_token(&self, name: &str, token: &str) -> bool {
        let words = self.all(name).flat_map(|value| value.split(|byte| *byte == b','));
        words.map(<[u8]>::trim_ascii).any(|word| word.eq_ignore_ascii_case(token.as_bytes()))
    }
}
