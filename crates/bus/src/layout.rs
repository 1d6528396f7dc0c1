//! What a type of messages looks like in memory: how two processes tell that they mean the same.

use std::fmt;

/// A type of plain data whose look in memory is told, so that two programs can compare theirs.
///
/// Implemented for the numbers and for arrays; for structures by `derive(Layout)` of the crate
/// `tautline-bus-derive`, which refuses what is not laid out by `repr(C)` or `repr(transparent)`.
///
/// # Safety
/// [`Layout::FIELDS`] are all fields of the type, where and as they lie in it.
pub unsafe trait Layout: 'static {
    /// The name of the type, for messages. Not compared: the same structure may have two names.
    const NAME: &'static str;
    /// The fields, in the order of their offsets; none for what has no parts.
    const FIELDS: &'static [Field];
    /// A number that two types share only if their sizes, alignments and fields (names, offsets,
    /// and the same of their types) are the same.
    const HASH: u64 = hash(Self::NAME, Self::FIELDS);
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

/// A layout as text, for the errors that show two: `Order { id: u64 @0, price: i64 @8 } 16 bytes`.
pub(crate) struct Told<T>(std::marker::PhantomData<T>);

impl<T> Told<T> {
    pub(crate) fn new() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<T: Layout> fmt::Display for Told<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::NAME)?;
        for (index, field) in T::FIELDS.iter().enumerate() {
            let before = if index == 0 { " {" } else { "," };
            write!(f, "{before} {}: {} @{}", field.name, field.of, field.offset)?;
        }
        if !T::FIELDS.is_empty() {
            f.write_str(" }")?;
        }
        write!(f, " {} bytes", size_of::<T>())
    }
}

macro_rules! simple {
    ($($type:ty),*) => {$(
        // SAFETY: it has no fields.
        unsafe impl Layout for $type {
            const NAME: &'static str = stringify!($type);
            const FIELDS: &'static [Field] = &[];
        }
    )*};
}

simple!(u8, u16, u32, u64, u128, i8, i16, i32, i64, i128, f32, f64, bool, char, ());

// SAFETY: the elements are told as one field; how many they are is told by its size.
unsafe impl<T: Layout, const N: usize> Layout for [T; N] {
    const NAME: &'static str = "array";
    const FIELDS: &'static [Field] = &[Field {
        name: "elements",
        of: T::NAME,
        offset: 0,
        size: size_of::<[T; N]>(),
        hash: T::HASH,
    }];
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
        assert_eq!(Told::<[u64; 2]>::new().to_string(), "array { elements: u64 @0 } 16 bytes");
    }
}
