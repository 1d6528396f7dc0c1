//! Lists in headers: tokens, and extensions with their parameters.

use std::borrow::Cow;

use super::Headers;
use super::field::{is_token, is_token_byte};

/// Why the value of a header is no list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// A word of it is no token.
    #[error("{word:?} in the header {name} is no token: letters, digits and hyphens")]
    Token {
        /// In which header.
        name: &'static str,
        /// The word.
        word: String,
    },
    /// A word that must be there once is there twice.
    #[error("{word:?} is twice in the header {name}: name it once")]
    Twice {
        /// In which header.
        name: &'static str,
        /// The word.
        word: String,
    },
    /// There are too many words.
    #[error("there are more than {most} words in the header {name}: leave some out")]
    Many {
        /// In which header.
        name: &'static str,
        /// As many may be.
        most: usize,
    },
    /// It is not as extensions are written.
    #[error("the header {name} is malformed at offset {at}: {wanted} is missing")]
    Extension {
        /// In which header.
        name: &'static str,
        /// Where, in its value.
        at: usize,
        /// What should stand there.
        wanted: &'static str,
    },
}

/// An extension of `Sec-WebSocket-Extensions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension<'b> {
    /// Its name.
    pub name: &'b str,
    /// Its parameters, in their order.
    pub params: Vec<Param<'b>>,
}

/// A parameter of an extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param<'b> {
    /// Its name.
    pub name: &'b str,
    /// Its value, if it has one, without the quotes in which it may have been.
    pub value: Option<Cow<'b, str>>,
}

/// More words are in no list of those that have to be different.
const MOST_TOKENS: usize = 100;

/// The tokens of all headers of that name, in their order; empty elements are passed over.
pub(crate) fn tokens<'b>(
    headers: Headers<'b>,
    name: &'static str,
) -> Result<Vec<&'b str>, ListError> {
    let mut tokens = Vec::new();
    for word in headers.all(name).flat_map(|value| value.split(|byte| *byte == b',')) {
        let word = word.trim_ascii();
        if word.is_empty() {
            continue;
        }
        let no_token = || ListError::Token { name, word: lossy(word) };
        let token = std::str::from_utf8(word).map_err(|_| no_token())?;
        if !is_token(word) {
            return Err(no_token());
        }
        if tokens.contains(&token) {
            return Err(ListError::Twice { name, word: lossy(word) });
        }
        if tokens.len() == MOST_TOKENS {
            return Err(ListError::Many { name, most: MOST_TOKENS });
        }
        tokens.push(token);
    }
    Ok(tokens)
}

/// What an error shows of bytes that somebody has sent: not more than a line of them.
pub(crate) fn lossy(bytes: &[u8]) -> String {
    const MOST: usize = 100;
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(MOST)]);
    if bytes.len() > MOST { format!("{shown}...") } else { shown.into_owned() }
}

/// The header of extensions.
pub(crate) const EXTENSIONS: &str = "Sec-WebSocket-Extensions";

/// The extensions of all headers, in their order.
//= RFC 6455 §9.1
pub(crate) fn extensions(headers: Headers<'_>) -> Result<Vec<Extension<'_>>, ListError> {
    let mut extensions = Vec::new();
    for value in headers.all(EXTENSIONS) {
        let mut cursor = Cursor { value, at: 0 };
        while cursor.skip_to_element() {
            extensions.push(cursor.extension()?);
        }
    }
    Ok(extensions)
}

/// A place in the value of a header.
struct Cursor<'b> {
    value: &'b [u8],
    at: usize,
}

impl<'b> Cursor<'b> {
    fn peek(&self) -> Option<u8> {
        self.value.get(self.at).copied()
    }

    fn skip_spaces(&mut self) {
        while let Some(b' ' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Whether that byte comes next, spaces aside; it is taken.
    fn takes(&mut self, byte: u8) -> bool {
        self.skip_spaces();
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Whether there is another element of the list: empty ones are passed over.
    fn skip_to_element(&mut self) -> bool {
        while self.takes(b',') {}
        self.peek().is_some()
    }

    fn missing(&self, wanted: &'static str) -> ListError {
        ListError::Extension { name: EXTENSIONS, at: self.at, wanted }
    }

    //= RFC 6455 §9.1
    fn extension(&mut self) -> Result<Extension<'b>, ListError> {
        let name = self.token()?;
        let mut params = Vec::new();
        while self.takes(b';') {
            params.push(self.param()?);
        }
        if self.takes(b',') || self.peek().is_none() {
            return Ok(Extension { name, params });
        }
        Err(self.missing("a comma or a semicolon"))
    }

    //= RFC 6455 §9.1
    fn param(&mut self) -> Result<Param<'b>, ListError> {
        let name = self.token()?;
        if !self.takes(b'=') {
            return Ok(Param { name, value: None });
        }
        let value = if self.takes(b'"') { self.quoted()? } else { self.token()?.into() };
        Ok(Param { name, value: Some(value) })
    }

    fn token(&mut self) -> Result<&'b str, ListError> {
        self.skip_spaces();
        let rest = &self.value[self.at..];
        let len = rest.iter().position(|byte| !is_token_byte(*byte)).unwrap_or(rest.len());
        match std::str::from_utf8(&rest[..len]) {
            Ok(token) if len > 0 => {
                self.at += len;
                Ok(token)
            }
            _ => Err(self.missing("a token")),
        }
    }

    /// The rest of a quoted string, of which the first quote was taken.
    //= RFC 6455 §9.1
    fn quoted(&mut self) -> Result<Cow<'b, str>, ListError> {
        let start = self.at;
        let mut unescaped: Option<String> = None;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    let plain = &self.value[start..self.at];
                    unescaped.get_or_insert_with(|| String::from_utf8_lossy(plain).into_owned());
                    self.at += 1;
                }
                _ => {}
            }
            let byte = self.peek().filter(|byte| is_token_byte(*byte));
            let byte = byte.ok_or_else(|| self.missing("a token and a quote behind it"))?;
            self.at += 1;
            if let Some(text) = &mut unescaped {
                text.push(char::from(byte));
            }
        }
        if self.at == start {
            return Err(self.missing("a token within the quotes"));
        }
        let plain = std::str::from_utf8(&self.value[start..self.at]).unwrap_or_default();
        self.at += 1;
        Ok(unescaped.map_or(plain.into(), Cow::from))
    }
}
