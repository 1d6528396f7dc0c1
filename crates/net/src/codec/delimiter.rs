//! Frames that end with a string of bytes.

use memchr::memmem::Finder;

use super::{Decode, Decoded, Decoding, Encode, Malformed};

/// Frames that end with a delimiter, such as `"\r\n\r\n"` or a zero byte. Items are what is before
/// it, where it was received. No byte is searched twice, in whatever pieces a frame comes.
///
/// ```
/// use tautline_net::codec::{Decode, Decoded, Delimiter};
///
/// let mut codec = Delimiter::new("--", 100);
/// let mut bytes = *b"one--two-";
/// let decoded = codec.decode(&mut bytes)?;
/// assert_eq!(decoded.map(|item| item.to_vec()), Decoded::Item { item: b"one".to_vec(), used: 5 });
/// assert_eq!(codec.decode(&mut bytes[5..])?, Decoded::NeedMore(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Delimiter {
    finder: Finder<'static>,
    /// Most bytes before it.
    limit: usize,
    /// No delimiter begins in so many of the bytes that will come again.
    searched: usize,
}

/// What is wrong with a delimited frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DelimiterError {
    /// The delimiter does not come where it should at the latest.
    #[error(
        "more than {limit} bytes before a delimiter: raise the limit, or the peer speaks otherwise"
    )]
    TooLong {
        /// As many are allowed.
        limit: usize,
    },
    /// An item to be sent holds the delimiter, or makes one together with what follows it.
    #[error("the delimiter is part of the item, at byte {at}: whoever reads it would see two")]
    Contained {
        /// Where it begins.
        at: usize,
    },
}

impl Delimiter {
    /// Frames that end with `delimiter`, of at most `limit` bytes before it.
    ///
    /// # Panics
    /// If the delimiter is empty.
    pub fn new(delimiter: impl AsRef<[u8]>, limit: usize) -> Self {
        let delimiter = delimiter.as_ref();
        assert!(!delimiter.is_empty(), "a delimiter is at least one byte");
        Self { finder: Finder::new(delimiter).into_owned(), limit, searched: 0 }
    }

    /// The delimiter.
    pub fn delimiter(&self) -> &[u8] {
        self.finder.needle()
    }

    /// Where the first delimiter begins in `bytes`, of which a part was searched before.
    #[inline]
    fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        let from = self.searched.min(bytes.len());
        let found = self.finder.find(&bytes[from..]).map(|at| from + at);
        self.searched = match found {
            Some(_) => 0,
            None => (bytes.len() + 1).saturating_sub(self.finder.needle().len()).max(from),
        };
        found
    }

    /// The longest part of the delimiter that the bytes end with.
    fn begun(&self, bytes: &[u8]) -> usize {
        let needle = self.finder.needle();
        (1..needle.len()).rev().find(|len| bytes.ends_with(&needle[..*len])).unwrap_or(0)
    }
}

impl Decode for Delimiter {
    /// What is before the delimiter.
    type Item<'b> = &'b mut [u8];
    type Error = DelimiterError;

    #[inline]
    fn decode<'b>(&mut self, bytes: &'b mut [u8]) -> Decoding<'b, Self> {
        let too_long = Malformed::at(self.limit, DelimiterError::TooLong { limit: self.limit });
        match self.find(bytes) {
            Some(at) if at <= self.limit => {
                let used = at + self.finder.needle().len();
                Ok(Decoded::Item { item: &mut bytes[..at], used })
            }
            Some(_) => Err(too_long),
            None => {
                let begun = self.begun(bytes);
                match bytes.len() - begun > self.limit {
                    true => Err(too_long),
                    false => Ok(Decoded::NeedMore(self.finder.needle().len() - begun)),
                }
            }
        }
    }
}

impl<T: AsRef<[u8]>> Encode<T> for Delimiter {
    type Error = DelimiterError;

    fn size(&self, item: &T) -> Result<usize, DelimiterError> {
        let (item, needle) = (item.as_ref(), self.finder.needle());
        if item.len() > self.limit {
            return Err(DelimiterError::TooLong { limit: self.limit });
        }
        // Across the end of the item: a part of the delimiter that its beginning completes.
        let across =
            |len: &usize| item.ends_with(&needle[..*len]) && needle.starts_with(&needle[*len..]);
        let at = self.finder.find(item).or_else(|| {
            let len = (1..needle.len()).rev().find(across)?;
            Some(item.len() - len)
        });
        match at {
            Some(at) => Err(DelimiterError::Contained { at }),
            None => Ok(item.len() + needle.len()),
        }
    }

    fn encode(&mut self, item: T, out: &mut [u8]) -> usize {
        let (item, needle) = (item.as_ref(), self.finder.needle());
        let size = item.len() + needle.len();
        out[..item.len()].copy_from_slice(item);
        out[item.len()..size].copy_from_slice(needle);
        size
    }
}
