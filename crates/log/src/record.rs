//! How a line lies in a ring.
//!
//! ```text
//!   word 0      when: a count of the clock
//!   word 1      site's number : 32 | arguments : 8 | flags : 8
//!   tags        4 bits for each argument, 16 to a word
//!   fixed part  a word for each argument; two for numbers of 128 bits; for a text, its bytes
//!   texts       in the order of the arguments
//! ```
//!
//! Everything in here is checked by who reads it: it may come from a file.

use std::str;

use crate::Value;

/// Bytes before the tags.
pub(crate) const HEAD: usize = 16;
/// The most arguments.
pub(crate) const MOST: usize = 32;
/// Tags of that many arguments are in a word.
const TAGS: usize = 16;
/// The flag of a line that was cut.
const CUT: u8 = 1;

/// The number in a record that is no line: it tells the name of the thread whose lines follow.
pub(crate) const THREAD: u32 = u32::MAX;
/// The number of a line whose site came with it: level, line, target, file, and its text.
pub(crate) const FOREIGN: u32 = u32::MAX - 1;

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Tag {
    U64 = 1,
    I64,
    U128,
    I128,
    F32,
    F64,
    Bool,
    Char,
    Str,
    Text,
    Pointer,
}

impl Tag {
    const ALL: [Self; 11] = [
        Self::U64,
        Self::I64,
        Self::U128,
        Self::I128,
        Self::F32,
        Self::F64,
        Self::Bool,
        Self::Char,
        Self::Str,
        Self::Text,
        Self::Pointer,
    ];

    fn of(bits: u8) -> Option<Self> {
        Self::ALL.get(usize::from(bits).checked_sub(1)?).copied()
    }

    pub(crate) const fn words(self) -> usize {
        match self {
            Self::U128 | Self::I128 => 2,
            _ => 1,
        }
    }
}

/// Bytes of the tags of that many arguments.
pub(crate) const fn tag_bytes(arguments: usize) -> usize {
    8 * arguments.div_ceil(TAGS)
}

/// Writes what stands before the fixed part; `head` is as long as that.
#[inline(always)]
pub(crate) fn put_head(head: &mut [u8], ticks: u64, site: u32, arguments: usize, tags: u128) {
    put(head, 0, ticks);
    put(head, 1, u64::from(site) | (arguments as u64) << 32);
    if arguments > 0 {
        put(head, 2, tags as u64);
    }
    if arguments > TAGS {
        put(head, 3, (tags >> 64) as u64);
    }
}

/// Marks a record whose texts were cut.
pub(crate) fn mark_cut(record: &mut [u8]) {
    record[13] |= CUT;
}

/// Writes a word.
#[inline(always)]
pub(crate) fn put(bytes: &mut [u8], word: usize, value: u64) {
    bytes[8 * word..8 * word + 8].copy_from_slice(&value.to_le_bytes());
}

/// A record is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// A record, taken apart.
#[derive(Debug)]
pub(crate) struct Read<'a> {
    pub(crate) ticks: u64,
    pub(crate) site: u32,
    pub(crate) truncated: bool,
    values: [Value<'a>; MOST],
    arguments: usize,
}

impl<'a> Read<'a> {
    /// Takes a record apart.
    pub(crate) fn of(record: &'a [u8]) -> Result<Self, Malformed> {
        let ticks = ticks(record)?;
        let about = word(record, 1)?;
        let arguments = usize::from((about >> 32) as u8);
        if arguments > MOST {
            return Err(Malformed);
        }
        let mut tags = 0;
        for index in 0..arguments.div_ceil(TAGS) {
            tags |= u128::from(word(record, 2 + index)?) << (64 * index);
        }
        let mut values = Values::after_tags(record, arguments, tags)?;
        let mut found = [Value::U64(0); MOST];
        for (index, value) in found.iter_mut().enumerate().take(arguments) {
            *value = values.next(tag(tags, index)?)?;
        }
        let truncated = (about >> 40) as u8 & CUT != 0;
        Ok(Self { ticks, site: about as u32, truncated, values: found, arguments })
    }

    pub(crate) fn values(&self) -> &[Value<'a>] {
        &self.values[..self.arguments]
    }
}

/// When the record was written.
pub(crate) fn ticks(record: &[u8]) -> Result<u64, Malformed> {
    word(record, 0)
}

fn tag(tags: u128, index: usize) -> Result<Tag, Malformed> {
    Tag::of((tags >> (4 * index)) as u8 & 0xf).ok_or(Malformed)
}

fn word(bytes: &[u8], index: usize) -> Result<u64, Malformed> {
    let word = bytes.get(8 * index..).and_then(<[u8]>::first_chunk);
    word.map(|bytes| u64::from_le_bytes(*bytes)).ok_or(Malformed)
}

/// The two parts in which values lie.
struct Values<'a> {
    fixed: &'a [u8],
    texts: &'a [u8],
}

impl<'a> Values<'a> {
    fn after_tags(record: &'a [u8], arguments: usize, tags: u128) -> Result<Self, Malformed> {
        let mut words = 0;
        for index in 0..arguments {
            words += tag(tags, index)?.words();
        }
        let rest = record.get(HEAD + tag_bytes(arguments)..).ok_or(Malformed)?;
        let (fixed, texts) = rest.split_at_checked(8 * words).ok_or(Malformed)?;
        Ok(Self { fixed, texts })
    }

    fn next(&mut self, tag: Tag) -> Result<Value<'a>, Malformed> {
        let low = self.word()?;
        Ok(match tag {
            Tag::U64 => Value::U64(low),
            Tag::I64 => Value::I64(low as i64),
            Tag::U128 => Value::U128(self.wide(low)?),
            Tag::I128 => Value::I128(self.wide(low)? as i128),
            Tag::F32 => Value::F32(f32::from_bits(low as u32)),
            Tag::F64 => Value::F64(f64::from_bits(low)),
            Tag::Bool => Value::Bool(low != 0),
            Tag::Char => Value::Char(char::from_u32(low as u32).ok_or(Malformed)?),
            Tag::Str => Value::Str(self.text(low)?),
            Tag::Text => Value::Text(self.text(low)?),
            Tag::Pointer => Value::Pointer(low),
        })
    }

    fn word(&mut self) -> Result<u64, Malformed> {
        let (word, rest) = self.fixed.split_first_chunk().ok_or(Malformed)?;
        self.fixed = rest;
        Ok(u64::from_le_bytes(*word))
    }

    fn wide(&mut self, low: u64) -> Result<u128, Malformed> {
        Ok(u128::from(low) | u128::from(self.word()?) << 64)
    }

    fn text(&mut self, len: u64) -> Result<&'a str, Malformed> {
        let len = usize::try_from(len).map_err(|_| Malformed)?;
        let (text, rest) = self.texts.split_at_checked(len).ok_or(Malformed)?;
        self.texts = rest;
        str::from_utf8(text).map_err(|_| Malformed)
    }
}
