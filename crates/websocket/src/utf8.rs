//! Whether text that comes in pieces is UTF-8: told as early as it can be.

use std::str::Utf8Error;

/// From this length on, the SIMD check is the faster one.
const WIDE_FROM: usize = 128;

/// Checks text piece by piece. A character may be cut anywhere.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Utf8 {
    /// The beginning of a character that has not ended.
    begun: [u8; 4],
    /// Bytes of it; at most 3 between two pieces.
    len: u8,
}

/// Text that is no UTF-8, and no piece to come can make it so.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Invalid;

impl Utf8 {
    /// The next piece.
    pub(crate) fn check(&mut self, mut piece: &[u8]) -> Result<(), Invalid> {
        while self.len > 0 {
            let [first, rest @ ..] = piece else { return Ok(()) };
            piece = rest;
            self.begun[usize::from(self.len)] = *first;
            self.len += 1;
            match std::str::from_utf8(&self.begun[..usize::from(self.len)]) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(Invalid),
            }
        }
        let Err(error) = whole(piece) else { return Ok(()) };
        if error.error_len().is_some() {
            return Err(Invalid);
        }
        let begun = &piece[error.valid_up_to()..];
        self.begun[..begun.len()].copy_from_slice(begun);
        self.len = begun.len() as u8;
        Ok(())
    }

    /// The text is over.
    pub(crate) fn finish(&mut self) -> Result<(), Invalid> {
        let whole = self.len == 0;
        self.len = 0;
        if whole { Ok(()) } else { Err(Invalid) }
    }
}

/// As [`std::str::from_utf8`], with the kernel that is fastest for the length.
#[inline]
fn whole(bytes: &[u8]) -> Result<&str, Utf8Error> {
    if bytes.len() < WIDE_FROM {
        return std::str::from_utf8(bytes);
    }
    match simdutf8::basic::from_utf8(bytes) {
        Ok(text) => Ok(text),
        // Where it is wrong, and whether that can be mended, is asked only when it is.
        Err(_) => std::str::from_utf8(bytes),
    }
}

/// All of a text.
#[inline]
pub(crate) fn text(bytes: &[u8]) -> Result<&str, Invalid> {
    whole(bytes).map_err(|_| Invalid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What `text` is taken for when it comes in two pieces, cut at `at`.
    fn in_two(text: &[u8], at: usize) -> Result<(), Invalid> {
        let mut utf8 = Utf8::default();
        utf8.check(&text[..at])?;
        utf8.check(&text[at..])?;
        utf8.finish()
    }

    /// A piece that no other can mend is refused before the text is over.
    #[test]
    fn what_cannot_be_mended_is_refused_at_once() {
        let mut utf8 = Utf8::default();
        // U+110000 and beyond: the second byte is one too many.
        assert_eq!(utf8.check(b"\xf4"), Ok(()));
        assert_eq!(utf8.check(b"\x90"), Err(Invalid));
        assert_eq!(Utf8::default().check(b"\xed\xa0"), Err(Invalid), "half of a surrogate pair");
        assert_eq!(Utf8::default().check(b"\xc0"), Err(Invalid), "an overlong form");
    }

    /// A text that ends within a character is refused at its end.
    #[test]
    fn half_a_character_is_refused_at_the_end() {
        let mut utf8 = Utf8::default();
        assert_eq!(utf8.check("long enough µ".as_bytes().split_last().unwrap().1), Ok(()));
        assert_eq!(utf8.finish(), Err(Invalid));
    }

    proptest! {
        /// Wherever it is cut, a text is taken for what it is as a whole.
        #[test]
        fn pieces_are_what_the_whole_is(
            text in prop_oneof![
                any::<String>().prop_map(String::into_bytes),
                proptest::collection::vec(any::<u8>(), 0..300),
                (any::<String>(), 0..64_usize, any::<u8>()).prop_map(|(text, at, byte)| {
                    let mut bytes = text.repeat(8).into_bytes();
                    if let Some(place) = bytes.get_mut(at) { *place = byte }
                    bytes
                }),
            ],
        ) {
            let expected = std::str::from_utf8(&text).map(drop).map_err(|_| Invalid);
            for at in 0..=text.len() {
                prop_assert_eq!(&in_two(&text, at), &expected, "cut at {}", at);
            }
        }
    }
}
