//! What a message says, by the text of its layout alone.

use crate::layout::SIMPLE;

/// So deep may layouts lie within each other.
const MAX_DEPTH: usize = 32;

/// A value that was read by a layout that another process has told.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A number without a sign.
    Unsigned(u128),
    /// A number with a sign.
    Signed(i128),
    /// A number with a fraction, of 32 bits.
    Single(f32),
    /// The same of 64 bits.
    Double(f64),
    /// True or not.
    Bool(bool),
    /// A character.
    Char(char),
    /// A variant of an enum, by its name.
    Variant(String),
    /// The elements of an array.
    List(Vec<Value>),
    /// The fields of a structure.
    Fields(Vec<(String, Value)>),
}

/// A layout, out of its text; see [`crate::layout`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A simple type, by its name.
    Simple(&'static str, usize),
    /// So many of the same.
    Array(Box<Shape>, usize),
    /// Fields that do not overlap: name, offset, shape.
    Struct(Vec<(String, usize, Shape)>),
    /// A number, and what its values are called.
    Enum(Box<Shape>, Vec<(u64, String)>),
}

impl Shape {
    /// `None`: it is no such text, or makes no sense.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parser = Parser(text);
        let shape = parser.shape(0)?;
        parser.take(" ")?;
        let bytes: usize = parser.0.strip_suffix(" bytes")?.parse().ok()?;
        (shape.size()? <= bytes).then_some(shape)
    }

    /// Its bytes; `None`: more than can be counted.
    fn size(&self) -> Option<usize> {
        match self {
            Self::Simple(_, size) => Some(*size),
            Self::Array(of, count) => of.size()?.checked_mul(*count),
            Self::Struct(fields) => match fields.last() {
                Some((_, at, last)) => at.checked_add(last.size()?),
                None => Some(0),
            },
            Self::Enum(number, _) => number.size(),
        }
    }

    /// The value of those bytes; `None`: there are too few, or they are none.
    pub(super) fn read(&self, bytes: &[u8]) -> Option<Value> {
        match self {
            Self::Simple(name, size) => simple(name, bytes.get(..*size)?),
            Self::Array(of, count) => match of.size()? {
                0 => Some(Value::List(Vec::new())),
                size => {
                    let all = bytes.get(..size.checked_mul(*count)?)?;
                    all.chunks(size).map(|one| of.read(one)).collect::<Option<_>>().map(Value::List)
                }
            },
            Self::Struct(fields) => {
                let read = |(name, at, shape): &(String, usize, Self)| {
                    Some((name.clone(), shape.read(bytes.get(*at..)?)?))
                };
                fields.iter().map(read).collect::<Option<_>>().map(Value::Fields)
            }
            Self::Enum(number, names) => {
                let value = match number.read(bytes)? {
                    Value::Unsigned(value) => value as u64,
                    Value::Signed(value) => value as u64,
                    _ => return None,
                };
                let name = names.iter().find(|(number, _)| *number == value)?;
                Some(Value::Variant(name.1.clone()))
            }
        }
    }
}

fn simple(name: &str, bytes: &[u8]) -> Option<Value> {
    macro_rules! number {
        ($type:ty) => {
            <$type>::from_ne_bytes(bytes.try_into().ok()?)
        };
    }
    Some(match name {
        "u8" => Value::Unsigned(number!(u8).into()),
        "u16" => Value::Unsigned(number!(u16).into()),
        "u32" => Value::Unsigned(number!(u32).into()),
        "u64" => Value::Unsigned(number!(u64).into()),
        "u128" => Value::Unsigned(number!(u128)),
        "i8" => Value::Signed(number!(i8).into()),
        "i16" => Value::Signed(number!(i16).into()),
        "i32" => Value::Signed(number!(i32).into()),
        "i64" => Value::Signed(number!(i64).into()),
        "i128" => Value::Signed(number!(i128)),
        "f32" => Value::Single(number!(f32)),
        "f64" => Value::Double(number!(f64)),
        "char" => Value::Char(char::from_u32(number!(u32))?),
        "bool" => match bytes {
            [0] => Value::Bool(false),
            [1] => Value::Bool(true),
            _ => return None,
        },
        _ => Value::List(Vec::new()),
    })
}

/// What is left of the text.
struct Parser<'t>(&'t str);

impl<'t> Parser<'t> {
    fn take(&mut self, what: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(what)?;
        Some(())
    }

    fn up_to(&mut self, end: &[char]) -> Option<&'t str> {
        let (word, rest) = self.0.split_at(self.0.find(end)?);
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }

    fn number<N: std::str::FromStr>(&mut self) -> Option<N> {
        let digits = self.0.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.0.len());
        let (number, rest) = self.0.split_at(digits);
        self.0 = rest;
        number.parse().ok()
    }

    fn shape(&mut self, depth: usize) -> Option<Shape> {
        if depth > MAX_DEPTH {
            return None;
        }
        if self.take("[").is_some() {
            let of = self.shape(depth + 1)?;
            self.take("; ")?;
            let count = self.number()?;
            self.take("]")?;
            return Some(Shape::Array(Box::new(of), count));
        }
        let name = self.up_to(&[' ', ';', ',', ']', '}'])?;
        if self.take(" = ").is_some() {
            let number = self.simple_type()?;
            self.take(" { ")?;
            return self.variants().map(|names| Shape::Enum(Box::new(number), names));
        }
        if self.take(" { ").is_some() {
            return self.fields(depth + 1).map(Shape::Struct);
        }
        simple_named(name)
    }

    fn simple_type(&mut self) -> Option<Shape> {
        simple_named(self.up_to(&[' '])?)
    }

    fn variants(&mut self) -> Option<Vec<(u64, String)>> {
        let mut names = Vec::new();
        loop {
            let name = self.up_to(&[' '])?.to_owned();
            self.take(" = ")?;
            names.push((self.number()?, name));
            if self.take(", ").is_none() {
                self.take(" }")?;
                return Some(names);
            }
        }
    }

    fn fields(&mut self, depth: usize) -> Option<Vec<(String, usize, Shape)>> {
        let (mut fields, mut end) = (Vec::new(), 0);
        loop {
            let name = self.up_to(&[':'])?.to_owned();
            self.take(": ")?;
            let shape = self.shape(depth)?;
            self.take(" @")?;
            let at: usize = self.number()?;
            // What overlaps could be read again and again.
            if at < end {
                return None;
            }
            end = at.checked_add(shape.size()?)?;
            fields.push((name, at, shape));
            if self.take(", ").is_none() {
                self.take(" }")?;
                return Some(fields);
            }
        }
    }
}

fn simple_named(name: &str) -> Option<Shape> {
    let known = SIMPLE.iter().find(|(simple, _)| *simple == name)?;
    Some(Shape::Simple(known.0, known.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{Field, Layout, Told};

    #[allow(dead_code, reason = "told, not used")]
    struct Level([u8; 4]);

    // SAFETY: nothing is sent of it.
    unsafe impl Layout for Level {
        const NAME: &'static str = "Level";
        const FIELDS: &'static [Field] = &[
            Field { name: "price", of: "i16", offset: 0, size: 2, hash: i16::HASH, fields: &[] },
            Field {
                name: "sides",
                of: "array",
                offset: 2,
                size: 2,
                hash: <[Side; 2]>::HASH,
                fields: <[Side; 2]>::FIELDS,
            },
        ];
    }

    #[allow(dead_code, reason = "told, not used")]
    struct Side(u8);

    // SAFETY: nothing is sent of it.
    unsafe impl Layout for Side {
        const NAME: &'static str = "Side";
        const FIELDS: &'static [Field] = &[
            Field { name: "Buy", of: "i8", offset: 0, size: 1, hash: 1, fields: &[] },
            Field { name: "Sell", of: "i8", offset: 0, size: 1, hash: u64::MAX, fields: &[] },
        ];
    }

    /// The text of a layout brings the fields, the arrays and the names of variants back.
    #[test]
    fn values_are_read_by_the_text_of_their_layout() {
        let text = Told::<[Level; 2]>::new().to_string();
        let shape = Shape::parse(&text).unwrap_or_else(|| panic!("{text}"));
        let price = 258i16.to_ne_bytes();
        let level = [price[0], price[1], 1, 255];
        let side = |name: &str| Value::Variant(name.to_owned());
        let told = Value::Fields(vec![
            ("price".to_owned(), Value::Signed(258)),
            ("sides".to_owned(), Value::List(vec![side("Buy"), side("Sell")])),
        ]);
        assert_eq!(shape.read(&[level, level].concat()), Some(Value::List(vec![told; 2])));
        assert_eq!(shape.read(&level), None, "too short");
        assert_eq!(shape.read(&[[0, 0, 3, 1], level].concat()), None, "no such variant");
    }

    /// Text that makes no sense gives nothing, however deep, long or large.
    #[test]
    fn text_that_makes_no_sense_gives_nothing() {
        let deep = "[".repeat(4000);
        let nested = format!("{}u8{} 1 bytes", "[".repeat(40), "; 1]".repeat(40));
        let overlapping = "A { a: u64 @0, b: u64 @4 } 16 bytes";
        let large = "[[u8; 4294967296]; 18446744073709551615] 8 bytes";
        for text in ["", "u8", "u9 1 bytes", "A {  } 0 bytes", &deep, &nested, overlapping, large] {
            assert_eq!(Shape::parse(text), None, "{text}");
        }
        assert_eq!(Shape::parse("u8 1 bytes").unwrap().read(&[7]), Some(Value::Unsigned(7)));
    }
}
