//! Sessions: runs of numbers.

use std::cmp::Ordering;
use std::fmt;

/// The name of a run of numbers. A sender that begins anew takes another.
///
/// Ordered as its bytes are.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Session {
    // Ten bytes as they lie in memory: two words, which are read and compared at once.
    head: u16,
    tail: u64,
}

impl Session {
    /// By the ten bytes of [`MoldUdp64`](super::MoldUdp64): text, filled up with spaces.
    #[inline]
    pub const fn of_bytes(bytes: [u8; 10]) -> Self {
        let [y, z, a, b, c, d, e, f, g, h] = bytes;
        let tail = u64::from_ne_bytes([a, b, c, d, e, f, g, h]);
        Self { head: u16::from_ne_bytes([y, z]), tail }
    }

    /// By text of at most ten bytes, which is filled up with spaces; `None`: it has more.
    ///
    /// ```
    /// use tautline_feed::format::Session;
    /// assert_eq!(Session::of_text("day1").map(|day| day.to_string()), Some("day1".to_owned()));
    /// assert_eq!(Session::of_text("a long name"), None);
    /// ```
    pub fn of_text(text: &str) -> Option<Self> {
        let mut bytes = [b' '; 10];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Self::of_bytes(bytes))
    }

    /// By the number of [`Compact`](super::Compact).
    #[inline]
    pub const fn of_number(number: u32) -> Self {
        // Where it is the lower half of the second word on most machines, and needs no step to get there.
        let [a, b, c, d] = number.to_le_bytes();
        Self::of_bytes([0, 0, a, b, c, d, 0, 0, 0, 0])
    }

    /// Its ten bytes.
    #[inline]
    pub const fn bytes(self) -> [u8; 10] {
        let [y, z] = self.head.to_ne_bytes();
        let [a, b, c, d, e, f, g, h] = self.tail.to_ne_bytes();
        [y, z, a, b, c, d, e, f, g, h]
    }

    /// Its number, as [`Session::of_number`] made it; of another four bytes in the midst.
    #[inline]
    pub const fn number(self) -> u32 {
        let [_, _, a, b, c, d, ..] = self.bytes();
        u32::from_le_bytes([a, b, c, d])
    }
}

impl PartialOrd for Session {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Session {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes().cmp(&other.bytes())
    }
}

/// The text without the spaces behind it, the number, or the bytes in hexadecimal digits.
impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes();
        let text = bytes.trim_ascii_end();
        if *self == Self::of_number(self.number()) {
            write!(f, "{}", self.number())
        } else if let (Ok(text), true) =
            (str::from_utf8(text), text.iter().all(u8::is_ascii_graphic))
        {
            f.write_str(text)
        } else {
            bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({self})")
    }
}

/// A session that packets are compared with, or none, in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    /// The first two bytes; [`Expected::NONE`] has more than those can be.
    head: u32,
    tail: u64,
}

impl Expected {
    /// No session is that one.
    pub(crate) const NONE: Self = Self { head: 1 << 16, tail: 0 };

    pub(crate) const fn of(session: Session) -> Self {
        Self { head: session.head as u32, tail: session.tail }
    }

    #[inline]
    pub(crate) fn is(self, session: Session) -> bool {
        u64::from(self.head ^ u32::from(session.head)) | (self.tail ^ session.tail) == 0
    }
}
