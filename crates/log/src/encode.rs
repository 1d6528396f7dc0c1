//! How arguments get into a record: numbers and texts as they are, everything else formatted.
//!
//! The macros do not know the types of their arguments; they call a method of [`Pick`], and the
//! compiler finds the first of [`PickScalar`], [`PickBits`] and [`PickText`] that fits.

use std::borrow::Cow;
use std::fmt;

use crate::record::Tag;

/// An argument in the form in which it travels.
pub trait Encode {
    #[doc(hidden)]
    const TAG: u8;
    /// Bytes of its part of the fixed part.
    #[doc(hidden)]
    const FIXED: usize;
    /// Whether its length is known only after it was written.
    #[doc(hidden)]
    const DYNAMIC: bool;

    /// Bytes of its text.
    #[doc(hidden)]
    fn text_len(&self) -> usize;

    /// Writes it: `fixed` has [`FIXED`](Self::FIXED) bytes.
    #[doc(hidden)]
    fn put(&self, fixed: &mut [u8], texts: &mut Texts<'_>);
}

/// Where texts are written.
#[derive(Debug)]
pub struct Texts<'a> {
    room: &'a mut [u8],
    used: usize,
    /// There was no room for more.
    cut: bool,
    /// A value could not be formatted.
    refused: bool,
}

impl<'a> Texts<'a> {
    #[inline(always)]
    pub(crate) fn new(room: &'a mut [u8]) -> Self {
        Self { room, used: 0, cut: false, refused: false }
    }

    /// Bytes that were written.
    #[inline(always)]
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// Whether there was more.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut | self.refused
    }

    /// Writes as much as there is room for. After something was cut, nothing more.
    #[inline(always)]
    fn push(&mut self, text: &str) {
        let rest = &mut self.room[self.used..];
        if let Some(place) = rest.get_mut(..text.len()) {
            copy(place, text.as_bytes());
            self.used += text.len();
        } else {
            self.push_some(text);
        }
    }

    #[cold]
    fn push_some(&mut self, text: &str) {
        let fits = text.floor_char_boundary(self.room.len() - self.used);
        self.room[self.used..self.used + fits].copy_from_slice(&text.as_bytes()[..fits]);
        // The rest of the room is not used: what comes later would join what was cut.
        self.used += fits;
        self.room = &mut std::mem::take(&mut self.room)[..self.used];
        self.cut = true;
    }
}

/// Copies short texts without a call. Both have one length.
#[inline(always)]
fn copy(to: &mut [u8], from: &[u8]) {
    match from.len() {
        8..=16 => halves::<8>(to, from),
        4..8 => halves::<4>(to, from),
        _ => to.copy_from_slice(from),
    }
}

/// By a piece from the start and one from the end, which may overlap.
#[inline(always)]
fn halves<const N: usize>(to: &mut [u8], from: &[u8]) {
    if let (Some(first), Some(last)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) {
        let (first, last) = (*first, *last);
        if let Some(place) = to.first_chunk_mut() {
            *place = first;
        }
        if let Some(place) = to.last_chunk_mut() {
            *place = last;
        }
    }
}

impl fmt::Write for Texts<'_> {
    /// Never fails: who formats need not know that nobody reads the rest.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if !self.cut {
            self.push(text);
        }
        Ok(())
    }
}

/// What a number is stored in.
pub trait Word: Copy {
    #[doc(hidden)]
    const BYTES: usize;

    #[doc(hidden)]
    fn store(self, place: &mut [u8]);
}

macro_rules! words {
    ($($word:ty),*) => {$(
        impl Word for $word {
            const BYTES: usize = size_of::<Self>();

            #[inline(always)]
            fn store(self, place: &mut [u8]) {
                place[..Self::BYTES].copy_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}

words!(u64, u128);

/// A number, or what is stored as one.
#[derive(Clone, Copy, Debug)]
pub struct Number<W, const TAG: u8>(pub(crate) W);

impl<W: Word, const TAG: u8> Encode for Number<W, TAG> {
    const TAG: u8 = TAG;
    const FIXED: usize = W::BYTES;
    const DYNAMIC: bool = false;

    #[inline(always)]
    fn text_len(&self) -> usize {
        0
    }

    #[inline(always)]
    fn put(&self, fixed: &mut [u8], _texts: &mut Texts<'_>) {
        self.0.store(fixed);
    }
}

/// A text that is formatted later.
#[derive(Clone, Copy, Debug)]
pub struct Str<'a>(pub(crate) &'a str);

impl Encode for Str<'_> {
    const TAG: u8 = Tag::Str as u8;
    const FIXED: usize = 8;
    const DYNAMIC: bool = false;

    #[inline(always)]
    fn text_len(&self) -> usize {
        self.0.len()
    }

    #[inline(always)]
    fn put(&self, fixed: &mut [u8], texts: &mut Texts<'_>) {
        let before = texts.used;
        if !texts.cut {
            texts.push(self.0);
        }
        fixed[..8].copy_from_slice(&((texts.used - before) as u64).to_le_bytes());
    }
}

/// Something that is formatted into the record.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a>(pub(crate) fmt::Arguments<'a>);

impl Encode for Text<'_> {
    const TAG: u8 = Tag::Text as u8;
    const FIXED: usize = 8;
    const DYNAMIC: bool = true;

    #[inline(always)]
    fn text_len(&self) -> usize {
        0
    }

    fn put(&self, fixed: &mut [u8], texts: &mut Texts<'_>) {
        let before = texts.used;
        // Of a value that fails there is what it wrote before; those after it are whole.
        if fmt::Write::write_fmt(texts, self.0).is_err() {
            texts.refused = true;
        }
        fixed[..8].copy_from_slice(&((texts.used - before) as u64).to_le_bytes());
    }
}

// ------------------------------------------------------------------------------ all of a line

/// The arguments of a line: none, or one and the rest.
pub trait Arguments {
    #[doc(hidden)]
    const COUNT: usize;
    #[doc(hidden)]
    const TAGS: u128;
    #[doc(hidden)]
    const FIXED: usize;
    #[doc(hidden)]
    const DYNAMIC: bool;

    #[doc(hidden)]
    fn text_len(&self) -> usize;

    #[doc(hidden)]
    fn put(&self, fixed: &mut [u8], texts: &mut Texts<'_>);
}

impl Arguments for () {
    const COUNT: usize = 0;
    const TAGS: u128 = 0;
    const FIXED: usize = 0;
    const DYNAMIC: bool = false;

    #[inline(always)]
    fn text_len(&self) -> usize {
        0
    }

    #[inline(always)]
    fn put(&self, _fixed: &mut [u8], _texts: &mut Texts<'_>) {}
}

impl<A: Encode, B: Arguments> Arguments for (A, B) {
    const COUNT: usize = 1 + B::COUNT;
    const TAGS: u128 = B::TAGS << 4 | A::TAG as u128;
    const FIXED: usize = A::FIXED + B::FIXED;
    const DYNAMIC: bool = A::DYNAMIC || B::DYNAMIC;

    #[inline(always)]
    fn text_len(&self) -> usize {
        self.0.text_len().saturating_add(self.1.text_len())
    }

    #[inline(always)]
    fn put(&self, fixed: &mut [u8], texts: &mut Texts<'_>) {
        let (own, rest) = fixed.split_at_mut(A::FIXED);
        self.0.put(own, texts);
        self.1.put(rest, texts);
    }
}

// ------------------------------------------------------------------------------------ picking

/// An argument whose form is to be picked.
#[derive(Debug)]
pub struct Pick<'a, T: ?Sized>(pub &'a T);

/// Types that travel as they are.
pub trait Scalar {
    #[doc(hidden)]
    type Form<'a>: Encode
    where
        Self: 'a;

    #[doc(hidden)]
    fn form(&self) -> Self::Form<'_>;
}

/// Numbers without a fraction, shown by their bits.
pub trait Bits {
    #[doc(hidden)]
    type Form: Encode;

    #[doc(hidden)]
    fn bits(&self) -> Self::Form;
}

/// First choice for `{}`, `{:?}` and `{:e}`.
pub trait PickScalar<'a> {
    #[doc(hidden)]
    type Form: Encode;

    #[doc(hidden)]
    fn pick(&self, text: fmt::Arguments<'_>) -> Self::Form;
}

impl<'a, T: Scalar + ?Sized> PickScalar<'a> for &Pick<'a, T> {
    type Form = T::Form<'a>;

    #[inline(always)]
    fn pick(&self, _text: fmt::Arguments<'_>) -> T::Form<'a> {
        self.0.form()
    }
}

/// First choice for `{:x}` and its like, for which a number below zero has as many digits as its
/// type is wide.
pub trait PickBits {
    #[doc(hidden)]
    type Form: Encode;

    #[doc(hidden)]
    fn pick_bits(&self, text: fmt::Arguments<'_>) -> Self::Form;
}

impl<T: Bits + ?Sized> PickBits for &Pick<'_, T> {
    type Form = T::Form;

    #[inline(always)]
    fn pick_bits(&self, _text: fmt::Arguments<'_>) -> T::Form {
        self.0.bits()
    }
}

/// Last choice: it is formatted.
pub trait PickText {
    #[doc(hidden)]
    #[inline(always)]
    fn pick<'t>(&self, text: fmt::Arguments<'t>) -> Text<'t> {
        Text(text)
    }

    #[doc(hidden)]
    #[inline(always)]
    fn pick_bits<'t>(&self, text: fmt::Arguments<'t>) -> Text<'t> {
        Text(text)
    }

    #[doc(hidden)]
    #[inline(always)]
    fn pick_text<'t>(&self, text: fmt::Arguments<'t>) -> Text<'t> {
        Text(text)
    }
}

impl<T: ?Sized> PickText for Pick<'_, T> {}

/// A width or a precision.
#[inline(always)]
pub fn count(count: &usize) -> Number<u64, { Tag::U64 as u8 }> {
    Number(*count as u64)
}

macro_rules! scalars {
    ($($from:ty => $word:ident $tag:ident, |$value:ident| $to:expr;)*) => {$(
        impl Scalar for $from {
            type Form<'a> = Number<$word, { Tag::$tag as u8 }>;

            #[inline(always)]
            fn form(&self) -> Self::Form<'_> {
                let $value = *self;
                Number($to)
            }
        }
    )*};
}

scalars! {
    u8 => u64 U64, |n| n.into();
    u16 => u64 U64, |n| n.into();
    u32 => u64 U64, |n| n.into();
    u64 => u64 U64, |n| n;
    usize => u64 U64, |n| n as u64;
    i8 => u64 I64, |n| i64::from(n) as u64;
    i16 => u64 I64, |n| i64::from(n) as u64;
    i32 => u64 I64, |n| i64::from(n) as u64;
    i64 => u64 I64, |n| n as u64;
    isize => u64 I64, |n| n as u64;
    u128 => u128 U128, |n| n;
    i128 => u128 I128, |n| n as u128;
    f32 => u64 F32, |n| n.to_bits().into();
    f64 => u64 F64, |n| n.to_bits();
    bool => u64 Bool, |yes| yes.into();
    char => u64 Char, |c| u32::from(c).into();
}

macro_rules! bits {
    ($($from:ty => $word:ident $tag:ident, |$value:ident| $to:expr;)*) => {$(
        impl Bits for $from {
            type Form = Number<$word, { Tag::$tag as u8 }>;

            #[inline(always)]
            fn bits(&self) -> Self::Form {
                let $value = *self;
                Number($to)
            }
        }
    )*};
}

bits! {
    u8 => u64 U64, |n| n.into();
    u16 => u64 U64, |n| n.into();
    u32 => u64 U64, |n| n.into();
    u64 => u64 U64, |n| n;
    usize => u64 U64, |n| n as u64;
    i8 => u64 U64, |n| n.cast_unsigned().into();
    i16 => u64 U64, |n| n.cast_unsigned().into();
    i32 => u64 U64, |n| n.cast_unsigned().into();
    i64 => u64 U64, |n| n.cast_unsigned();
    isize => u64 U64, |n| n as u64;
    u128 => u128 U128, |n| n;
    i128 => u128 U128, |n| n.cast_unsigned();
}

macro_rules! texts {
    ($($from:ty),*) => {$(
        impl Scalar for $from {
            type Form<'a> = Str<'a> where Self: 'a;

            #[inline(always)]
            fn form(&self) -> Str<'_> {
                Str(self)
            }
        }
    )*};
}

texts!(str, String, Box<str>, Cow<'_, str>, std::rc::Rc<str>, std::sync::Arc<str>);

impl<T: Scalar + ?Sized> Scalar for &T {
    type Form<'a>
        = T::Form<'a>
    where
        Self: 'a;

    #[inline(always)]
    fn form(&self) -> T::Form<'_> {
        (**self).form()
    }
}

impl<T: Scalar + ?Sized> Scalar for &mut T {
    type Form<'a>
        = T::Form<'a>
    where
        Self: 'a;

    #[inline(always)]
    fn form(&self) -> T::Form<'_> {
        (**self).form()
    }
}

impl<T: Bits + ?Sized> Bits for &T {
    type Form = T::Form;

    #[inline(always)]
    fn bits(&self) -> T::Form {
        (**self).bits()
    }
}

impl<T: Bits + ?Sized> Bits for &mut T {
    type Form = T::Form;

    #[inline(always)]
    fn bits(&self) -> T::Form {
        (**self).bits()
    }
}
