//! Sessions: runs of numbers.

use std::fmt;

/// The name of a run of numbers. A sender that begins anew takes another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Session {
    // Ten bytes, as numbers that are compared at once.
    head: u64,
    tail: u16,
}

impl Session {
    /// By the ten bytes of [`MoldUdp64`](super::MoldUdp64): text, filled up with spaces.
    #[inline]
    pub const fn of_bytes(bytes: [u8; 10]) -> Self {
        let [a, b, c, d, e, f, g, h, y, z] = bytes;
        let head = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        Self { head, tail: u16::from_be_bytes([y, z]) }
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
        Self { head: (number >> 16) as u64, tail: number as u16 }
    }

    /// Its ten bytes.
    #[inline]
    pub const fn bytes(self) -> [u8; 10] {
        let [a, b, c, d, e, f, g, h] = self.head.to_be_bytes();
        let [y, z] = self.tail.to_be_bytes();
        [a, b, c, d, e, f, g, h, y, z]
    }

    /// Its number, as [`Session::of_number`] made it; of another the last four bytes.
    #[inline]
    pub const fn number(self) -> u32 {
        (self.head as u32) << 16 | self.tail as u32
    }
}

/// The text without the spaces behind it, the number, or the bytes in hexadecimal digits.
impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes();
        let text = bytes.trim_ascii_end();
        if bytes[..6] == [0; 6] {
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
