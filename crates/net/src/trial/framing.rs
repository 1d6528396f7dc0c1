//! Whatever may come to a codec.

use std::fmt::Debug;

use crate::codec::{
    ByteLines, Decode, Decoded, Delimiter, Encode, Fixed, LengthPrefix, Lines, Malformed,
};

/// Takes the bytes for what has come on a stream. The first ones choose the codec, its limit, and the
/// pieces in which the others come.
///
/// Whatever the pieces, items, errors and their offsets are the same; no item comes sooner than a hint
/// has said; and each item is sent as it came, or refused.
///
/// # Panics
/// If something is not as it should be.
pub fn codec_framing(bytes: &[u8]) {
    let Some((&[codec, limit, ref pieces @ ..], stream)) = bytes.split_first_chunk::<6>() else {
        return;
    };
    let limit = usize::from(limit);
    match codec % 16 {
        0 => Case { pieces, stream }.play(Delimiter::new("\0", limit)),
        1 => Case { pieces, stream }.play(Delimiter::new("\r\n\r\n", limit)),
        2 => Case { pieces, stream }.play(Delimiter::new("aabaa", limit)),
        3 => Case { pieces, stream }.play(ByteLines::new(limit)),
        4 => Case { pieces, stream }.play(Lines::new(limit).crlf()),
        5 => Case { pieces, stream }.play(Fixed::<7>),
        _ => Case { pieces, stream }.play(lengths(codec).limit(limit)),
    }
}

fn lengths(codec: u8) -> LengthPrefix {
    let kinds = [
        LengthPrefix::u8(),
        LengthPrefix::u16(),
        LengthPrefix::u32(),
        LengthPrefix::u64(),
        LengthPrefix::varint(),
    ];
    let mut codec_of = kinds[usize::from(codec % 16 - 6) / 2];
    if codec & 1 == 1 {
        codec_of = codec_of.counting_itself();
    }
    if codec & 16 == 16 { codec_of.little_endian() } else { codec_of }
}

/// A codec whose items are bytes, one way or another.
trait OfBytes: Decode<Error: PartialEq> + Clone {
    fn own(item: Self::Item<'_>) -> Vec<u8>;

    /// The frame of an item, or that it cannot be one.
    fn frame(&mut self, item: &[u8]) -> Option<Vec<u8>>;
}

fn encoded<I, E: Encode<I, Error: Debug>>(encoder: &mut E, item: I) -> Option<Vec<u8>> {
    let mut out = vec![0xaa; encoder.size(&item).ok()?];
    let len = encoder.encode(item, &mut out);
    out.truncate(len);
    Some(out)
}

macro_rules! of_bytes {
    ($($codec:ty, $item:ident => $borrowed:expr;)*) => {$(
        impl OfBytes for $codec {
            fn own(item: Self::Item<'_>) -> Vec<u8> {
                <_ as AsRef<[u8]>>::as_ref(&*item).to_vec()
            }

            fn frame(&mut self, $item: &[u8]) -> Option<Vec<u8>> {
                encoded(self, $borrowed)
            }
        }
    )*};
}

of_bytes! {
    LengthPrefix, item => item;
    Delimiter, item => item;
    ByteLines, item => item;
    Lines, item => std::str::from_utf8(item).ok()?;
    Fixed<7>, item => <[u8; 7]>::try_from(item).ok()?;
}

/// What comes of a stream: its items, and the error behind them with its place in the stream.
type Played<E> = (Vec<Vec<u8>>, Option<(usize, E)>);

struct Case<'c> {
    /// How many bytes come at a time, in turn.
    pieces: &'c [u8],
    stream: &'c [u8],
}

impl Case<'_> {
    fn play<C: OfBytes>(&self, codec: C) {
        let whole = self.decode(codec.clone(), &[u8::MAX]);
        assert_eq!(self.decode(codec.clone(), self.pieces), whole, "in pieces");
        assert_eq!(self.decode(codec.clone(), &[1]), whole, "byte by byte");
        for item in &whole.0 {
            let Some(frame) = codec.clone().frame(item) else { continue };
            let again = Case { pieces: self.pieces, stream: &frame };
            let (items, error) = again.decode(codec.clone(), self.pieces);
            assert_eq!((items.as_slice(), error), (std::slice::from_ref(item), None));
        }
    }

    fn decode<C: OfBytes>(&self, mut codec: C, pieces: &[u8]) -> Played<C::Error> {
        let mut bytes = self.stream.to_vec();
        let (mut from, mut to, mut items) = (0, 0, Vec::new());
        // Of the frame that begins at `from`: how many bytes it has at least.
        let mut least = 0;
        for piece in pieces.iter().cycle() {
            loop {
                match codec.decode(&mut bytes[from..to]) {
                    Ok(Decoded::Item { item, used }) => {
                        assert!(used > 0 && from + used <= to, "{used} of {} bytes", to - from);
                        assert!(to - from >= least, "an item came sooner than was said");
                        items.push(C::own(item));
                        (from, least) = (from + used, 0);
                    }
                    Ok(Decoded::NeedMore(hint)) => {
                        assert!(hint > 0, "nothing more is needed");
                        least = (to - from).saturating_add(hint);
                        break;
                    }
                    Err(Malformed { at, error }) => return (items, Some((from + at, error))),
                }
            }
            if to == bytes.len() {
                break;
            }
            to = bytes.len().min(to + usize::from(*piece).max(1));
        }
        if from < to {
            match codec.finish(&mut bytes[from..to]) {
                Ok(last) => items.extend(last.map(C::own)),
                Err(Malformed { at, error }) => return (items, Some((from + at, error))),
            }
        }
        (items, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is known of streams is as it should be.
    #[test]
    fn known_streams_are_harmless() {
        tautline_feed::trial::replay_corpus("codec_framing", codec_framing);
    }

    /// All bytes are tried, also none at all, with every codec.
    #[test]
    fn all_bytes_are_tried() {
        for seed in 0..2000 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let alphabet = b"\0\0\x01\x02\x05\x80\xff\r\nab";
            let len = rng.usize(..200);
            let mut bytes = vec![seed as u8, rng.u8(..40), rng.u8(..), 1, rng.u8(..9), 3];
            bytes.extend((0..len).map(|_| alphabet[rng.usize(..alphabet.len())]));
            codec_framing(&bytes);
            codec_framing(&bytes[..bytes.len().min(seed as usize)]);
        }
    }
}
