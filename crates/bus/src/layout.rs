//! What a type of messages looks like in memory: how two processes tell that they mean the same.

use std::fmt;
use std::marker::PhantomData;

/// A type of plain data whose look in memory is told, so that two programs can compare theirs.
///
/// Implemented for the numbers and for arrays; for structures by `derive(Layout)` of the crate
/// `tautline-bus-derive`, which refuses what is not laid out by `repr(C)` or `repr(transparent)`.
///
/// # Safety
/// [`Layout::FIELDS`] are all fields of the type, where and as they lie in it; and any bytes are a
/// value if [`Layout::ANY_BYTES`] says so.
pub unsafe trait Layout: 'static {
    /// The name of the type, for messages. Not compared: the same structure may have two names.
    const NAME: &'static str;
    /// The fields, in the order of their offsets; none for what has no parts.
    const FIELDS: &'static [Field];
    /// A number that two types share only if their sizes, alignments and fields (names, offsets,
    /// and the same of their types) are the same.
    const HASH: u64 = hash(Self::NAME, Self::FIELDS);
    /// Whether any bytes are a value, as of numbers: then none need be checked, and a value from a
    /// segment is copied once.
    const ANY_BYTES: bool = false;
}

/// A field of a [`Layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// The name of its type.
    pub of: &'static str,
    /// Bytes from the start of the structure.
    pub offset: usize,
    /// Its bytes.
    pub size: usize,
    /// The [`Layout::HASH`] of its type.
    pub hash: u64,
    /// The [`Layout::FIELDS`] of its type.
    pub fields: &'static [Field],
}

const SEED: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a, which is simple enough for a constant; the numbers are compared, not trusted.
const fn mix(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    hash
}

/// The hash of a type: of its fields, or of its name when it has none.
const fn hash(name: &str, fields: &[Field]) -> u64 {
    if fields.is_empty() {
        return mix(SEED, name.as_bytes());
    }
    let mut hash = SEED;
    let mut at = 0;
    while at < fields.len() {
        let field = &fields[at];
        hash = mix(hash, field.name.as_bytes());
        hash = mix(hash, &(field.offset as u64).to_le_bytes());
        hash = mix(hash, &(field.size as u64).to_le_bytes());
        hash = mix(hash, &field.hash.to_le_bytes());
        at += 1;
    }
    hash
}

/// What [`Layout::NAME`] is of arrays, and the name of their one field.
pub(crate) const ARRAY: [&str; 2] = ["array", "elements"];

/// A layout as text, with all that lies within: for the errors that show two, and for those who look
/// at messages of which they know no type.
///
/// ```text
/// Order { number: u64 @0, levels: [Level { price: i64 @0 }; 2] @8, side: Side = u8 { Buy = 1 } @24 } 25 bytes
/// ```
pub(crate) struct Told<T>(PhantomData<T>);

impl<T> Told<T> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T: Layout> fmt::Display for Told<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        tell(f, T::NAME, T::FIELDS)?;
        write!(f, " {} bytes", size_of::<T>())
    }
}

fn tell(f: &mut fmt::Formatter<'_>, name: &str, fields: &[Field]) -> fmt::Result {
    match fields {
        [] => f.write_str(name),
        [all] if [name, all.name] == ARRAY => {
            f.write_str("[")?;
            tell(f, all.of, all.fields)?;
            write!(f, "; {}]", all.size.checked_div(size(all.of, all.fields)).unwrap_or(0))
        }
        [first, ..] if is_variant(first) => {
            write!(f, "{name} = {}", first.of)?;
            tell_list(f, fields, |f, variant| write!(f, "{} = {}", variant.name, variant.hash))
        }
        _ => {
            f.write_str(name)?;
            tell_list(f, fields, |f, field| {
                write!(f, "{}: ", field.name)?;
                tell(f, field.of, field.fields)?;
                write!(f, " @{}", field.offset)
            })
        }
    }
}

fn tell_list(
    f: &mut fmt::Formatter<'_>,
    fields: &[Field],
    tell: impl Fn(&mut fmt::Formatter<'_>, &Field) -> fmt::Result,
) -> fmt::Result {
    for (index, field) in fields.iter().enumerate() {
        f.write_str(if index == 0 { " { " } else { ", " })?;
        tell(f, field)?;
    }
    f.write_str(" }")
}

/// Whether it is a variant of an enum, whose hash is its value, and no field.
fn is_variant(field: &Field) -> bool {
    field.fields.is_empty() && field.hash != hash(field.of, &[])
}

/// Bytes of a type of that name and those fields.
fn size(name: &str, fields: &[Field]) -> usize {
    let simple = SIMPLE.iter().find(|(simple, _)| *simple == name).map_or(0, |(_, size)| *size);
    // Plain data has no padding: it ends where its last field does.
    fields.iter().map(|field| field.offset + field.size).max().unwrap_or(simple)
}

macro_rules! simple {
    ($($type:ty: $any_bytes:literal),*) => {
        $(
        // SAFETY: it has no fields.
        unsafe impl Layout for $type {
            const NAME: &'static str = stringify!($type);
            const FIELDS: &'static [Field] = &[];
            const ANY_BYTES: bool = $any_bytes;
        }
    )*
        /// The names of what has no fields, and its bytes.
        pub(crate) const SIMPLE: &[(&str, usize)] =
            &[$((stringify!($type), size_of::<$type>())),*];
    };
}

simple!(
    u8: true, u16: true, u32: true, u64: true, u128: true, i8: true, i16: true, i32: true,
    i64: true, i128: true, f32: true, f64: true, bool: false, char: false, (): true
);

// SAFETY: the elements are told as one field; how many they are is told by its size.
unsafe impl<T: Layout, const N: usize> Layout for [T; N] {
    const NAME: &'static str = ARRAY[0];
    const FIELDS: &'static [Field] = &[Field {
        name: ARRAY[1],
        of: T::NAME,
        offset: 0,
        size: size_of::<[T; N]>(),
        hash: T::HASH,
        fields: T::FIELDS,
    }];
    const ANY_BYTES: bool = T::ANY_BYTES;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What differs in type, length or nesting differs in its hash; what is the same does not.
    #[test]
    fn hashes_tell_layouts_apart() {
        let hashes = [
            u64::HASH,
            i64::HASH,
            <[u64; 2]>::HASH,
            <[u64; 3]>::HASH,
            <[[u64; 1]; 2]>::HASH,
            <[i64; 2]>::HASH,
        ];
        for (index, hash) in hashes.iter().enumerate() {
            assert!(!hashes[..index].contains(hash), "{index}");
        }
        assert_eq!(<[u64; 2]>::HASH, <[u64; 2]>::HASH);
        assert_eq!(Told::<[u64; 2]>::new().to_string(), "[u64; 2] 16 bytes");
    }
}
