//! Sessions: runs of numbers.

use std::fmt;

/// The name of a run of numbers. A sender that begins anew takes another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Session([u8; 10]);

impl Session {
    /// By the ten bytes of [`MoldUdp64`](super::MoldUdp64): text, filled up with spaces.
    pub const fn of_bytes(bytes: [u8; 10]) -> Self {
        Self(bytes)
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
        Some(Self(bytes))
    }

    /// By the number of [`Compact`](super::Compact).
    pub const fn of_number(number: u32) -> Self {
        let [a, b, c, d] = number.to_be_bytes();
        Self([0, 0, 0, 0, 0, 0, a, b, c, d])
    }

    /// Its ten bytes.
    #[inline]
    pub const fn bytes(self) -> [u8; 10] {
        self.0
    }

    /// Its number, as [`Session::of_number`] made it; of another the last four bytes.
    #[inline]
    pub const fn number(self) -> u32 {
        let [.., a, b, c, d] = self.0;
        u32::from_be_bytes([a, b, c, d])
    }
}

/// The text without the spaces behind it, the number, or the bytes in hexadecimal digits.
impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.trim_ascii();
        if self.0[..6] == [0; 6] {
            write!(f, "{}", self.number())
        } else if let (Ok(text), true) =
            (str::from_utf8(text), text.iter().all(u8::is_ascii_graphic))
        {
            f.write_str(text)
        } else {
            self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({self})")
    }
}
