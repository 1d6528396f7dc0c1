//! The ready-made codecs by themselves, without a stream.

use proptest::prelude::*;
use tautline_buffer::{Bip, Fifo};
use tautline_net::codec::{
    ByteLines, Decode, Decoded, Delimiter, DelimiterError, Encode, Fixed, LengthError,
    LengthPrefix, LineError, Lines, Malformed, decode_all, encode_into,
};

/// A codec of bytes, one way or another.
trait OfBytes: Decode + Clone {
    /// What an item says.
    fn own(item: Self::Item<'_>) -> Vec<u8>;
}

macro_rules! of_bytes {
    ($($codec:ty),*) => {$(
        impl OfBytes for $codec {
            fn own(item: Self::Item<'_>) -> Vec<u8> {
                <_ as AsRef<[u8]>>::as_ref(&*item).to_vec()
            }
        }
    )*};
}

of_bytes!(LengthPrefix, Delimiter, ByteLines, Lines, Fixed<4>);

fn frames<I: Clone, E: Encode<I>>(encoder: &mut E, items: &[I]) -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    for item in items {
        let mut out = vec![0xaa; encoder.size(item).unwrap()];
        let len = encoder.encode(item.clone(), &mut out);
        bytes.extend_from_slice(&out[..len]);
        ends.push(bytes.len());
    }
    (bytes, ends)
}

/// Decodes `bytes`, of which `pieces` say how many come at a time. Each hint is held against `ends`,
/// where the frames end: no frame ends sooner than the hint says.
fn decode<D: OfBytes>(
    decoder: &mut D,
    bytes: &[u8],
    pieces: &[usize],
    ends: &[usize],
) -> Result<Vec<Vec<u8>>, Malformed<D::Error>> {
    let mut bytes = bytes.to_vec();
    let (mut from, mut to, mut items) = (0, 0, Vec::new());
    let mut pieces = pieces.iter().cycle();
    loop {
        let all = bytes.len();
        match decoder.decode(&mut bytes[from..to])? {
            Decoded::Item { item, used } => {
                items.push(D::own(item));
                from += used;
            }
            Decoded::NeedMore(hint) => {
                assert!(hint > 0, "at least one byte is missing");
                if let Some(end) = ends.iter().find(|end| **end > from) {
                    assert!(to + hint <= *end, "{} bytes are missing, not {hint}", end - to);
                }
                if to == all {
                    return Ok(items);
                }
                to = all.min(to + pieces.next().unwrap().max(&1));
            }
        }
    }
}

/// Items come back as they were, cut at each position and byte by byte.
fn comes_back<D, T>(mut codec: D, items: &[T])
where
    D: OfBytes + for<'t> Encode<&'t T>,
    T: AsRef<[u8]>,
{
    let refs: Vec<&T> = items.iter().collect();
    let (bytes, ends) = frames(&mut codec, &refs);
    let expected: Vec<Vec<u8>> = items.iter().map(|item| item.as_ref().to_vec()).collect();
    for cut in 0..=bytes.len() {
        let pieces = [cut.max(1), bytes.len().max(1)];
        let seen = decode(&mut codec.clone(), &bytes, &pieces, &ends).unwrap();
        assert_eq!(seen, expected, "cut at {cut}");
    }
    assert_eq!(decode(&mut codec, &bytes, &[1], &ends).unwrap(), expected);
}

fn lengths() -> Vec<LengthPrefix> {
    use LengthPrefix as L;
    let fixed = [L::u8(), L::u16(), L::u32(), L::u64(), L::varint()];
    let all = fixed.iter().flat_map(|codec| [*codec, codec.little_endian()]);
    all.flat_map(|codec| [codec, codec.counting_itself()]).collect()
}

/// Every codec gives back what it was given, whatever pieces it comes in, and never asks for more than
/// is missing.
#[test]
fn items_come_back_at_every_cut() {
    let items: Vec<Vec<u8>> =
        [0, 1, 2, 126, 127, 128, 129, 130, 200].iter().map(|len| vec![7; *len]).collect();
    lengths().into_iter().for_each(|codec| comes_back(codec, &items));
    comes_back(Delimiter::new("\0", 200), &items);
    comes_back(Delimiter::new("\r\n\r\n", 200), &items);
    comes_back(ByteLines::new(200), &items);
    comes_back(ByteLines::new(200).crlf(), &items);
    let words: Vec<String> = ["", "one", "zwölf", "三"].iter().map(|word| (*word).into()).collect();
    comes_back(Lines::new(80), &words);
    let blocks = [*b"one ", *b"two ", [0; 4]];
    let (stream, ends) = frames(&mut Fixed::<4>, &blocks);
    for cut in 1..12 {
        let seen = decode(&mut Fixed::<4>, &stream, &[cut, 12], &ends).unwrap();
        assert_eq!(seen, blocks.map(|block| block.to_vec()));
    }
}

proptest! {
    /// Any items come back from any pieces, by each length prefix.
    #[test]
    fn lengths_come_back(
        items in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..9),
        pieces in prop::collection::vec(1usize..300, 1..9),
    ) {
        for mut codec in lengths() {
            let (stream, ends) = frames(&mut codec, &items);
            let seen = decode(&mut codec, &stream, &pieces, &ends).unwrap();
            prop_assert_eq!(&seen, &items);
        }
    }

    /// Items that a delimiter accepts come back, also where bytes repeat as the delimiter does; and what
    /// it refuses would not have.
    #[test]
    fn delimited_items_come_back(
        items in prop::collection::vec("[ab]{0,6}", 0..9),
        delimiter in "[ab]{1,4}",
        pieces in prop::collection::vec(1usize..9, 1..9),
    ) {
        let mut codec = Delimiter::new(&delimiter, 6);
        let whole = |item: &String| format!("{item}{delimiter}").find(&delimiter) == Some(item.len());
        for item in &items {
            let refused = matches!(codec.size(item), Err(DelimiterError::Contained { .. }));
            prop_assert_eq!(refused, !whole(item), "{:?} before {:?}", item, delimiter);
        }
        let items: Vec<String> = items.into_iter().filter(whole).collect();
        let (stream, ends) = frames(&mut codec, &items);
        let seen = decode(&mut codec, &stream, &pieces, &ends).unwrap();
        let expected: Vec<Vec<u8>> = items.into_iter().map(String::into_bytes).collect();
        prop_assert_eq!(seen, expected);
    }

    /// Any text comes back line by line, with either end, and its last line needs none.
    #[test]
    fn lines_come_back(
        lines in prop::collection::vec("[^\r\n]{0,30}", 0..9),
        last in "[^\r\n]{1,30}",
        crlf in any::<bool>(),
        pieces in prop::collection::vec(1usize..60, 1..9),
    ) {
        let mut codec = if crlf { Lines::new(200).crlf() } else { Lines::new(200) };
        let (mut stream, mut ends) = frames(&mut codec, &lines);
        stream.extend_from_slice(last.as_bytes());
        ends.push(usize::MAX);
        let seen = decode(&mut codec, &stream, &pieces, &ends).unwrap();
        let expected: Vec<Vec<u8>> = lines.into_iter().map(String::into_bytes).collect();
        prop_assert_eq!(seen, expected);
        let mut rest = last.clone().into_bytes();
        prop_assert_eq!(codec.finish(&mut rest), Ok(Some(&*last)));
    }

    /// Any bytes are decoded alike whether they come at once or in pieces, errors and their offsets
    /// included, and nothing panics.
    #[test]
    fn pieces_make_no_difference(
        stream in prop::collection::vec(prop::sample::select(&b"\0\x01\x02\x80\xff\r\nab"[..]), 0..60),
        pieces in prop::collection::vec(1usize..9, 1..9),
        limit in 0usize..12,
    ) {
        for codec in lengths() {
            alike(codec.limit(limit), &stream, &pieces)?;
        }
        alike(Delimiter::new("ab", limit), &stream, &pieces)?;
        alike(Delimiter::new("\r\n\r\n", limit), &stream, &pieces)?;
        alike(ByteLines::new(limit), &stream, &pieces)?;
        alike(Lines::new(limit), &stream, &pieces)?;
    }
}

fn alike<D>(codec: D, stream: &[u8], pieces: &[usize]) -> Result<(), TestCaseError>
where
    D: OfBytes<Error: PartialEq>,
{
    let whole = decode(&mut codec.clone(), stream, &[stream.len().max(1)], &[]);
    let cut = decode(&mut codec.clone(), stream, pieces, &[]);
    prop_assert_eq!(whole, cut);
    Ok(())
}

/// Lengths above the limit are refused as soon as they are read, before the body has come, and to be
/// sent they are refused as well.
#[test]
fn lengths_above_the_limit_are_refused() {
    let mut codec = LengthPrefix::u32().limit(100);
    let error = codec.decode(&mut [0, 0, 0, 101]).unwrap_err();
    assert_eq!(error, Malformed::at(0, LengthError::TooLong { len: 101, limit: 100 }));
    assert_eq!(codec.decode(&mut [0, 0, 0, 100]), Ok(Decoded::NeedMore(100)));
    assert_eq!(codec.size(&[0; 101]), Err(LengthError::TooLong { len: 101, limit: 100 }));
    assert_eq!(codec.size(&[0; 100]), Ok(104));
    let all = LengthPrefix::u64().limit(usize::MAX);
    let mut most = [0xff; 8];
    assert_eq!(
        { all }.decode(&mut most),
        Ok(Decoded::NeedMore(usize::MAX - 8)),
        "as good as no limit"
    );
}

/// What a prefix cannot say is refused, whether or not it counts itself.
#[test]
fn lengths_that_the_prefix_cannot_say_are_refused() {
    let (plain, counting) = (LengthPrefix::u8(), LengthPrefix::u8().counting_itself());
    assert_eq!(plain.size_of(255), Ok(256));
    assert_eq!(plain.size_of(256), Err(LengthError::TooLong { len: 256, limit: 255 }));
    assert_eq!(counting.size_of(254), Ok(255));
    assert_eq!(counting.size_of(255), Err(LengthError::TooLong { len: 255, limit: 254 }));
    let error = { counting }.decode(&mut [0]).unwrap_err().error;
    assert_eq!(error, LengthError::TooShort { len: 0, prefix: 1 });
}

/// A varint of more than 64 bits is refused, and one written longer than it need be is read.
#[test]
fn varints_end() {
    let mut codec = LengthPrefix::varint();
    let mut endless = [0xff; 10];
    assert_eq!(codec.decode(&mut endless[..9]), Ok(Decoded::NeedMore(1)));
    assert_eq!(codec.decode(&mut endless).unwrap_err().error, LengthError::Endless);
    let mut long = [0x81, 0x80, 0x00, b'x'];
    let decoded = codec.decode(&mut long).unwrap().map(|item| item.to_vec());
    assert_eq!(decoded, Decoded::Item { item: b"x".to_vec(), used: 4 });
}

/// A delimiter or a line that does not come within the limit is refused at the first byte beyond it.
#[test]
fn frames_without_an_end_are_refused() {
    let mut codec = Delimiter::new("--", 3);
    assert_eq!(codec.decode(&mut b"abc-".to_vec()), Ok(Decoded::NeedMore(1)));
    let error = codec.decode(&mut b"abc-d".to_vec()).unwrap_err();
    assert_eq!(error, Malformed::at(3, DelimiterError::TooLong { limit: 3 }));
    let mut lines = Lines::new(3);
    assert_eq!(lines.decode(&mut b"abc\r".to_vec()), Ok(Decoded::NeedMore(1)));
    let error = lines.decode(&mut b"abcd".to_vec()).unwrap_err();
    assert_eq!(error, Malformed::at(3, LineError::TooLong { limit: 3 }));
    assert_eq!(error.to_string().split(':').next(), Some("at byte 3"));
}

/// Text that is none is refused at its first byte that is wrong, in short lines and long ones.
#[test]
fn lines_of_no_text_are_refused_where_they_are_none() {
    for len in [3, 200] {
        let mut line = vec![b'x'; len];
        line.extend_from_slice(b"\xff\n");
        let error = Lines::new(300).decode(&mut line).unwrap_err();
        assert_eq!(error, Malformed::at(len, LineError::NotUtf8));
    }
}

/// Items that hold the end of a line are not sent.
#[test]
fn items_of_several_lines_are_refused() {
    let codec = Lines::new(80);
    assert_eq!(codec.size(&"a\nb"), Err(LineError::EndsWithin { at: 1 }));
    assert_eq!(codec.size(&"ab\r"), Err(LineError::EndsWithin { at: 2 }));
    assert_eq!(codec.size(&"a\rb"), Ok(4));
    assert_eq!(codec.size(&"x".repeat(81)), Err(LineError::TooLong { limit: 80 }));
}

/// No byte is searched twice: a frame that comes byte by byte costs as much as one that comes at once.
/// (A search from the start each time would look at 50,000 million bytes here.)
#[test]
fn no_byte_is_searched_twice() {
    const LEN: usize = 1 << 20;
    let mut bytes = vec![b'a'; LEN];
    let mut codecs = (Delimiter::new("ab", LEN), ByteLines::new(LEN));
    for len in (LEN - 100_000)..LEN {
        assert!(matches!(codecs.0.decode(&mut bytes[..len]), Ok(Decoded::NeedMore(_))));
        assert!(matches!(codecs.1.decode(&mut bytes[..len]), Ok(Decoded::NeedMore(_))));
    }
}

/// A codec works on any buffer, claimed in place, and leaves it as it was where there is no room.
#[test]
fn codecs_work_on_any_buffer() {
    let mut buffer = Bip::new(32).unwrap();
    let fifo: &mut dyn Fifo = &mut buffer;
    let mut codec = Lines::new(20);
    assert_eq!(encode_into(&mut codec, "the first line", fifo), Ok(Some(15)));
    assert_eq!(encode_into(&mut codec, "the second line", fifo), Ok(Some(16)));
    assert_eq!(encode_into(&mut codec, "the third line", fifo), Ok(None));
    let mut seen = Vec::new();
    assert_eq!(decode_all(&mut codec, fifo, |line| seen.push(line.to_owned())), Ok(1));
    assert_eq!(seen, ["the first line", "the second line"]);
    assert!(fifo.is_empty());
}
