//! From pieces and values to a line.

use std::fmt::{self, Arguments, Binary, Debug, Display, LowerExp, LowerHex, Octal, UpperExp};
use std::fmt::{UpperHex, Write};
use std::iter::repeat_n;

use super::spec::{Align, Count, Kind, Spec};
use super::{Hole, Piece, Template};
use crate::Value;

/// Bytes that [`Template::render`] appends at most, besides a mark `{?}` where it has cut the rest
/// off. No honest line comes near; a damaged one may say the same long thing a thousand times.
pub const RENDER_LIMIT: usize = 1 << 20;

/// The argument of that number is missing, or cannot be shown as asked.
struct Misfit(usize);

impl Template {
    /// Appends the line that `values` make of the template.
    ///
    /// A value that is missing, or of a kind that its placeholder cannot show, leaves a mark with
    /// its number. Nothing is allocated besides what `out` grows by.
    ///
    /// ```
    /// use tautline_log::{Value, format::Template};
    /// let template = Template::parse("{} {:x} {}")?;
    /// let mut line = String::new();
    /// template.render(&[Value::U64(1), Value::Bool(true)], &mut line);
    /// assert_eq!(line, "1 {?1} {?2}");
    /// # Ok::<(), tautline_log::format::TemplateError>(())
    /// ```
    pub fn render(&self, values: &[Value<'_>], out: &mut String) {
        let limit = out.len().saturating_add(RENDER_LIMIT);
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Hole(hole) => fill(hole, values, out),
            }
            if out.len() > limit {
                out.truncate(out.floor_char_boundary(limit));
                out.push_str("{?}");
                return;
            }
        }
    }
}

fn fill(hole: &Hole, values: &[Value<'_>], out: &mut String) {
    if let Err(Misfit(argument)) = try_fill(hole, values, out) {
        put(out, format_args!("{{?{argument}}}"));
    }
}

fn try_fill(hole: &Hole, values: &[Value<'_>], out: &mut String) -> Result<(), Misfit> {
    let misfit = Misfit(hole.argument);
    let Some(&value) = values.get(hole.argument) else { return Err(misfit) };
    if hole.spec == Spec::default() && usual(value, out) {
        return Ok(());
    }
    let shape = Shape {
        spec: &hole.spec,
        width: count(hole.spec.width, values)?.unwrap_or(0),
        precision: count(hole.spec.precision, values)?,
    };
    shape.value(value, out).ok_or(misfit)
}

/// Appends what most placeholders show, `{}` of a number or a text, without further ado.
fn usual(value: Value<'_>, out: &mut String) -> bool {
    match value {
        Value::U64(number) => out.push_str(itoa::Buffer::new().format(number)),
        Value::I64(number) => out.push_str(itoa::Buffer::new().format(number)),
        Value::Str(text) => out.push_str(text),
        _ => return false,
    }
    true
}

/// What a width or a precision comes to.
fn count(count: Count, values: &[Value<'_>]) -> Result<Option<usize>, Misfit> {
    match count {
        Count::None => Ok(None),
        Count::Is(number) => Ok(Some(number.into())),
        Count::Argument(argument) => match values.get(argument) {
            Some(&Value::U64(number)) if number <= u16::MAX.into() => Ok(Some(number as usize)),
            _ => Err(Misfit(argument)),
        },
    }
}

/// What may stand before a number.
#[derive(Clone, Copy)]
enum Sign {
    Minus,
    /// A plus, if one is asked for.
    Plus,
    /// It is no number.
    None,
}

impl Sign {
    /// Zeros have signs, too.
    fn of(number: f64) -> Self {
        match (number.is_nan(), number.is_sign_negative()) {
            (true, _) => Self::None,
            (false, true) => Self::Minus,
            (false, false) => Self::Plus,
        }
    }

    fn of_whole(negative: bool) -> Self {
        if negative { Self::Minus } else { Self::Plus }
    }
}

/// Appends, which cannot fail.
fn put(out: &mut String, text: Arguments<'_>) {
    let _ = out.write_fmt(text);
}

/// How a value is shown, with all numbers known. Each way to show one appends it, or answers `None`
/// if a value of its type cannot be shown so.
struct Shape<'a> {
    spec: &'a Spec,
    width: usize,
    precision: Option<usize>,
}

impl Shape<'_> {
    fn value(&self, value: Value<'_>, out: &mut String) -> Option<()> {
        match value {
            Value::U64(number) => self.integer(Sign::Plus, number, number, out),
            Value::I64(number) => {
                let (size, bits) = (number.unsigned_abs(), number.cast_unsigned());
                self.integer(Sign::of_whole(number < 0), size, bits, out)
            }
            Value::U128(number) => self.integer(Sign::Plus, number, number, out),
            Value::I128(number) => {
                let (size, bits) = (number.unsigned_abs(), number.cast_unsigned());
                self.integer(Sign::of_whole(number < 0), size, bits, out)
            }
            Value::F32(number) => self.float(Sign::of(number.into()), number.abs(), out),
            Value::F64(number) => self.float(Sign::of(number), number.abs(), out),
            Value::Bool(yes) => self.boolean(yes, out),
            Value::Char(c) => self.character(c, out),
            Value::Str(text) => self.text(text, out),
            Value::Text(text) => {
                out.push_str(text);
                Some(())
            }
            Value::Pointer(address) => self.pointer(address, out),
        }
    }

    fn text(&self, text: &str, out: &mut String) -> Option<()> {
        match self.spec.kind {
            Kind::Display => self.padded(text, out),
            kind if kind.is_debug() => put(out, format_args!("{text:?}")),
            _ => return None,
        }
        Some(())
    }

    fn character(&self, c: char, out: &mut String) -> Option<()> {
        match self.spec.kind {
            Kind::Display => self.padded(c.encode_utf8(&mut [0; 4]), out),
            kind if kind.is_debug() => put(out, format_args!("{c:?}")),
            _ => return None,
        }
        Some(())
    }

    fn boolean(&self, yes: bool, out: &mut String) -> Option<()> {
        match self.spec.kind {
            kind if kind == Kind::Display || kind.is_debug() => {
                self.padded(if yes { "true" } else { "false" }, out);
            }
            _ => return None,
        }
        Some(())
    }

    /// `bits` are those of two's complement, which all but the decimal forms show.
    fn integer<T: Digits>(
        &self,
        sign: Sign,
        magnitude: T,
        bits: T,
        out: &mut String,
    ) -> Option<()> {
        let prefixed = |prefix, digits: Arguments<'_>, out: &mut String| {
            let prefix = if self.spec.alternate { prefix } else { "" };
            self.number(self.sign(Sign::Plus), prefix, digits, out);
        };
        let sign = self.sign(sign);
        match (self.spec.kind, self.precision) {
            (Kind::Display | Kind::Debug, _) => {
                self.number(sign, "", format_args!("{magnitude}"), out);
            }
            (Kind::LowerHex | Kind::DebugLowerHex, _) => {
                prefixed("0x", format_args!("{bits:x}"), out);
            }
            (Kind::UpperHex | Kind::DebugUpperHex, _) => {
                prefixed("0x", format_args!("{bits:X}"), out);
            }
            (Kind::Octal, _) => prefixed("0o", format_args!("{bits:o}"), out),
            (Kind::Binary, _) => prefixed("0b", format_args!("{bits:b}"), out),
            (Kind::LowerExp, None) => self.number(sign, "", format_args!("{magnitude:e}"), out),
            (Kind::UpperExp, None) => self.number(sign, "", format_args!("{magnitude:E}"), out),
            (Kind::LowerExp, Some(digits)) => {
                self.number(sign, "", format_args!("{magnitude:.digits$e}"), out);
            }
            (Kind::UpperExp, Some(digits)) => {
                self.number(sign, "", format_args!("{magnitude:.digits$E}"), out);
            }
            (Kind::Pointer, _) => return None,
        }
        Some(())
    }

    fn float<T: Fraction>(&self, sign: Sign, magnitude: T, out: &mut String) -> Option<()> {
        let sign = self.sign(sign);
        let mut number = |digits: Arguments<'_>| self.number(sign, "", digits, out);
        match (self.spec.kind, self.precision) {
            (Kind::Display, None) => number(format_args!("{magnitude}")),
            (Kind::LowerExp, None) => number(format_args!("{magnitude:e}")),
            (Kind::UpperExp, None) => number(format_args!("{magnitude:E}")),
            (Kind::Display, Some(digits)) => number(format_args!("{magnitude:.digits$}")),
            (Kind::LowerExp, Some(digits)) => number(format_args!("{magnitude:.digits$e}")),
            (Kind::UpperExp, Some(digits)) => number(format_args!("{magnitude:.digits$E}")),
            (kind, None) if kind.is_debug() => number(format_args!("{magnitude:?}")),
            (kind, Some(digits)) if kind.is_debug() => {
                number(format_args!("{magnitude:.digits$?}"))
            }
            _ => return None,
        }
        Some(())
    }

    /// `#` fills it up to as many digits as an address of this house has, 16.
    fn pointer(&self, address: u64, out: &mut String) -> Option<()> {
        if self.spec.kind != Kind::Pointer && !self.spec.kind.is_debug() {
            return None;
        }
        let full = self.spec.alternate;
        let spec = Spec { zero: self.spec.zero || full, ..*self.spec };
        let width = if full && spec.width == Count::None { "0x".len() + 16 } else { self.width };
        let shape = Shape { spec: &spec, width, precision: None };
        shape.number(self.sign(Sign::Plus), "0x", format_args!("{address:x}"), out);
        Some(())
    }

    fn sign(&self, sign: Sign) -> &'static str {
        match sign {
            Sign::Minus => "-",
            Sign::Plus if self.spec.plus => "+",
            Sign::Plus | Sign::None => "",
        }
    }

    fn number(&self, sign: &str, prefix: &str, digits: Arguments<'_>, out: &mut String) {
        let missing = match self.width {
            0 => 0,
            width => width.saturating_sub(sign.len() + prefix.len() + length(digits)),
        };
        let zeros = if self.spec.zero { missing } else { 0 };
        let (before, behind) = self.split(missing - zeros, Align::Right);
        repeat(self.spec.fill, before, out);
        out.push_str(sign);
        out.push_str(prefix);
        repeat('0', zeros, out);
        put(out, digits);
        repeat(self.spec.fill, behind, out);
    }

    /// A text, no longer than the precision and no shorter than the width.
    fn padded(&self, text: &str, out: &mut String) {
        let text = self.precision.map_or(text, |chars| cut(text, chars));
        let missing = match self.width {
            0 => 0,
            width => width.saturating_sub(text.chars().count()),
        };
        let (before, behind) = self.split(missing, Align::Left);
        repeat(self.spec.fill, before, out);
        out.push_str(text);
        repeat(self.spec.fill, behind, out);
    }

    /// How many characters of filling go before a value, and how many behind it.
    fn split(&self, missing: usize, usual: Align) -> (usize, usize) {
        match self.spec.align.unwrap_or(usual) {
            Align::Left => (0, missing),
            Align::Center => (missing / 2, missing.div_ceil(2)),
            Align::Right => (missing, 0),
        }
    }
}

fn repeat(c: char, times: usize, out: &mut String) {
    if times > 0 {
        out.extend(repeat_n(c, times));
    }
}

/// The first `chars` characters.
fn cut(text: &str, chars: usize) -> &str {
    text.char_indices().nth(chars).map_or(text, |(end, _)| &text[..end])
}

/// How long a text becomes, without writing it anywhere. All its characters are of one byte.
fn length(text: Arguments<'_>) -> usize {
    struct Length(usize);
    impl Write for Length {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            self.0 += part.len();
            Ok(())
        }
    }
    let mut length = Length(0);
    let _ = length.write_fmt(text);
    length.0
}

/// Whole numbers without a sign.
trait Digits: Copy + Display + LowerHex + UpperHex + Octal + Binary + LowerExp + UpperExp {}
impl Digits for u64 {}
impl Digits for u128 {}

/// Numbers with a fraction.
trait Fraction: Copy + Display + Debug + LowerExp + UpperExp {}
impl Fraction for f32 {}
impl Fraction for f64 {}
