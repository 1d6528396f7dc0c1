//! What comes out is what `format!` writes.

use std::fmt::{Binary, Debug, Display, LowerExp, LowerHex, Octal, UpperExp, UpperHex};

use proptest::prelude::*;

use super::*;
use crate::Value;

/// What stands in a record for a value.
trait Recorded {
    fn value(&self) -> Value<'_>;
}

macro_rules! recorded {
    ($($type:ty: $as:ident),*) => {$(
        impl Recorded for $type {
            fn value(&self) -> Value<'_> {
                Value::$as((*self).into())
            }
        }
    )*};
}

recorded!(u8: U64, u16: U64, u32: U64, u64: U64, i8: I64, i16: I64, i32: I64, i64: I64);
recorded!(u128: U128, i128: I128, f32: F32, f64: F64, bool: Bool, char: Char);

impl Recorded for &str {
    fn value(&self) -> Value<'_> {
        Value::Str(self)
    }
}

impl Recorded for *const u8 {
    fn value(&self) -> Value<'_> {
        Value::Pointer(*self as usize as u64)
    }
}

impl Recorded for usize {
    fn value(&self) -> Value<'_> {
        Value::U64(*self as u64)
    }
}

fn rendered(template: &str, values: &[Value<'_>]) -> String {
    let mut line = String::from("> ");
    let template = Template::parse(template).unwrap_or_else(|error| panic!("{template}: {error}"));
    template.render(values, &mut line);
    line.split_off(2)
}

/// Calls the macro `$run` with each format string of the kind `$kind`: all flags, with and without
/// width and precision. The arguments are a value, a width and a precision.
macro_rules! every_spec {
    ($run:ident $kind:literal) => { every_spec!(@align $run $kind "" "<" "*^" "é>"); };
    (@align $run:ident $kind:literal $($align:literal)*) => {
        $(every_spec!(@sign $run $kind $align "" "+" "-");)*
    };
    (@sign $run:ident $kind:literal $align:literal $($sign:literal)*) => {
        $(every_spec!(@alternate $run $kind $align $sign "" "#");)*
    };
    (@alternate $run:ident $kind:literal $align:literal $sign:literal $($alternate:literal)*) => {
        $(every_spec!(@zero $run $kind $align $sign $alternate "" "0");)*
    };
    (@zero $run:ident $kind:literal $align:literal $sign:literal $alternate:literal
        $($zero:literal)*) => {
        $(every_spec!(
            @count $run $kind $align $sign $alternate $zero "" "1$" ".2$" "1$.2$" "20" ".3" "7.1"
        );)*
    };
    (@count $run:ident $kind:literal $align:literal $sign:literal $alternate:literal $zero:literal
        $($count:literal)*) => {
        $($run!(concat!("{0:", $align, $sign, $alternate, $zero, $count, $kind, "} {1} {2}"));)*
    };
}

/// A function that compares all format strings of a kind, for a value of a type of the trait.
macro_rules! comparison {
    ($name:ident $trait:ident $kind:literal) => {
        fn $name<T: $trait + Recorded>(shown: T, width: u16, precision: u16) {
            fn all(shown: &dyn $trait, width: u16, precision: u16, value: Value<'_>) {
                let (width, precision) = (usize::from(width), usize::from(precision));
                let values = [value, width.value(), precision.value()];
                macro_rules! compare {
                    ($template:expr) => {
                        let expected = format!($template, shown, width, precision);
                        assert_eq!(rendered($template, &values), expected, "{}", $template);
                    };
                }
                every_spec!(compare $kind);
            }
            all(&shown, width, precision, shown.value());
        }
    };
}

comparison!(display Display "");
comparison!(debug Debug "?");
comparison!(debug_lower_hex Debug "x?");
comparison!(debug_upper_hex Debug "X?");
comparison!(lower_hex LowerHex "x");
comparison!(upper_hex UpperHex "X");
comparison!(octal Octal "o");
comparison!(binary Binary "b");
comparison!(lower_exp LowerExp "e");
comparison!(upper_exp UpperExp "E");

/// As those above: a `&dyn Pointer` would show where the pointer lies.
fn pointer(shown: *const u8, width: u16, precision: u16) {
    let (width, precision) = (usize::from(width), usize::from(precision));
    let values = [shown.value(), width.value(), precision.value()];
    macro_rules! compare {
        ($template:expr) => {
            let expected = format!($template, shown, width, precision);
            assert_eq!(rendered($template, &values), expected, "{}", $template);
        };
    }
    every_spec!(compare "p");
}

fn all_debug<T: Debug + Recorded + Copy>(value: T, width: u16, precision: u16) {
    debug(value, width, precision);
    debug_lower_hex(value, width, precision);
    debug_upper_hex(value, width, precision);
}

fn plain<T: Display + Debug + Recorded + Copy>(value: T, width: u16, precision: u16) {
    display(value, width, precision);
    all_debug(value, width, precision);
}

fn fraction<T>(value: T, width: u16, precision: u16)
where
    T: Display + Debug + LowerExp + UpperExp + Recorded + Copy,
{
    plain(value, width, precision);
    lower_exp(value, width, precision);
    upper_exp(value, width, precision);
}

fn whole<T>(value: T, width: u16, precision: u16)
where
    T: Display + Debug + LowerExp + UpperExp + LowerHex + UpperHex + Octal + Binary,
    T: Recorded + Copy,
{
    fraction(value, width, precision);
    lower_hex(value, width, precision);
    upper_hex(value, width, precision);
    octal(value, width, precision);
    binary(value, width, precision);
}

const COUNTS: [(u16, u16); 4] = [(0, 0), (3, 1), (17, 8), (80, 40)];

/// Proves that whole numbers of all sizes look as `format!` has them, in every way there is.
#[test]
fn whole_numbers_look_as_in_std() {
    for (width, precision) in COUNTS {
        for value in [0, 1, 7, 255, 1_234_567, u64::MAX] {
            whole(value, width, precision);
        }
        for value in [0, 1, -1, 99_995, i64::MIN, i64::MAX] {
            whole(value, width, precision);
        }
        for value in [0, u128::from(u64::MAX) + 1, u128::MAX] {
            whole(value, width, precision);
        }
        for value in [0, -1, i128::MIN, i128::MAX] {
            whole(value, width, precision);
        }
        whole(200_u8, width, precision);
        whole(100_i8, width, precision);
        display(-100_i8, width, precision);
        debug(-100_i8, width, precision);
        whole(50_000_u16, width, precision);
        whole(i32::MAX, width, precision);
    }
}

/// Proves that numbers with fractions look as `format!` has them, whatever their size, and those too
/// that are no numbers.
#[test]
fn fractions_look_as_in_std() {
    const SPECIAL: [f64; 16] = [
        0.0,
        -0.0,
        1.0,
        -1.5,
        0.1,
        2.5,
        1e15,
        1e16,
        -1e-5,
        123_456.789,
        f64::MAX,
        f64::MIN_POSITIVE,
        5e-324,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ];
    for (width, precision) in COUNTS {
        for value in SPECIAL {
            fraction(value, width, precision);
            fraction(value as f32, width, precision);
        }
        fraction(-f64::NAN, width, precision);
    }
}

/// Proves that texts, characters, yes and no look as `format!` has them, also where characters are
/// of several bytes or have to be escaped.
#[test]
fn texts_look_as_in_std() {
    for (width, precision) in COUNTS {
        for value in ["", "a", "buy", "größer", "日本語", "a\"b\\c\n\t\0\u{7f}\u{301}{}"] {
            plain(value, width, precision);
        }
        for value in ['a', 'é', '😀', '\'', '"', '\n', '\0', '\u{301}'] {
            plain(value, width, precision);
        }
        plain(true, width, precision);
        plain(false, width, precision);
    }
}

/// Proves that addresses look as `format!` has them.
#[test]
fn addresses_look_as_in_std() {
    for (width, precision) in COUNTS {
        for address in [0, 1, 0x7fff_1234_5678, usize::MAX] {
            let value = std::ptr::without_provenance::<u8>(address);
            pointer(value, width, precision);
            all_debug(value, width, precision);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Proves the same for any value, width and precision.
    #[test]
    fn any_value_looks_as_in_std(
        unsigned: u64, signed: i128, single: f32, double: f64, text: String, c: char,
        width in 0..200_u16, precision in 0..60_u16,
    ) {
        whole(unsigned, width, precision);
        whole(signed, width, precision);
        fraction(single, width, precision);
        fraction(double, width, precision);
        plain(text.as_str(), width, precision);
        plain(c, width, precision);
    }

    /// Proves that no text and no values make it panic, and that a line ends.
    #[test]
    fn nothing_panics(
        text in "([{}:<^>+#.0-9*$?xXe é-]|\\{[0-9]?:[*]?[<^>]?[+]?#?0?[0-9]{0,3}(\\.[0-9]{1,2})?[?xXobeEp]?\\}){0,30}",
        number: u64, float: f64, text_value: String,
    ) {
        let Ok(template) = Template::parse_with_names(&text, &["x", "", "e"]) else { return Ok(()) };
        let values = [Value::U64(number), Value::F64(float), Value::Str(&text_value)];
        for values in [&values[..], &values[..1], &[]] {
            let mut line = String::new();
            template.render(values, &mut line);
            prop_assert!(line.len() <= RENDER_LIMIT + 3);
        }
    }

    /// Proves that any text at all is taken apart or refused, and that one without braces stays.
    #[test]
    fn any_text_is_parsed_or_refused(text: String) {
        let parsed = Template::parse(&text);
        if !text.contains(['{', '}']) {
            let mut line = String::new();
            parsed.unwrap().render(&[], &mut line);
            prop_assert_eq!(line, text);
        }
    }
}

macro_rules! same {
    ($template:literal $(, $value:expr)*) => {
        let values: &[Value<'_>] = &[$(Recorded::value(&$value)),*];
        assert_eq!(rendered($template, values), format!($template $(, $value)*), "{}", $template);
    };
}

/// Proves that arguments are counted, named and left out as `format!` does.
#[test]
#[rustfmt::skip::macros(same)]
fn arguments_are_found_as_in_std() {
    same!("");
    same!("plain, with {{braces}} and {{}}");
    same!("{{{}}}", 1_u8);
    same!("{}{}", 1_u8, 2_u8);
    same!("{1} {} {0} {}", 1_u8, 2_u8);
    same!("{0:1$} {0:<1$} {:.1$}", 1.5_f64, 4_usize);
    same!("{:.*} {}", 2_usize, 1.23456_f64, 3_u8);
    same!("{2:.*} {} {}", 2_usize, "next", 1.23456_f64);
    same!("{:>0$.*}", 3_usize, 2.5_f64);
    same!("{:00$} {:0$}", 8_usize, 2_usize);
    same!("{ } {0 } {:5 } {: ^5 } {:? } {: }", 1_u8, 2_u8, 3_u8, 4_u8, 5_u8);
    same!("{:}>5} {:{<5} {::^5} {:><5} {:^^5} {:0<+5}", 1_u8, 2_u8, 3_u8, 4_u8, 5_u8, 6_u8);
    same!("{:#?} {:#x?} {:#X?} {:-}", "a", 200_u8, 200_u8, 7_u8);
    same!("日本 {:é^9.2} 語", "größer");
}

/// Proves that names lead to their arguments, in every place where a name may stand.
#[test]
fn names_lead_to_their_arguments() {
    let names = ["", "price", "width", "größe"];
    let template = "{} {price:>width$.größe$} {price:width$?} {:}";
    let parsed = Template::parse_with_names(template, &names).unwrap();
    let values = [Value::Str("tea"), Value::F64(2.5), Value::U64(9), Value::U64(3)];
    let mut line = String::new();
    parsed.render(&values, &mut line);
    let (price, width, größe) = (2.5, 9, 3);
    assert_eq!(line, format!("{} {price:>width$.größe$} {price:width$?} {}", "tea", price));
}

/// Proves that each mistake is refused, with its place and the remedy.
#[test]
fn mistakes_are_refused() {
    use TemplateError::{Syntax, TooLarge, Unclosed, UnknownName, Unopened};
    let cases = [
        ("a {", Unclosed(2)),
        ("a {0:>5", Unclosed(2)),
        ("{:*^", Unclosed(0)),
        ("a } b", Unopened(2)),
        ("{}}", Unopened(2)),
        ("{0 1}", Syntax(3)),
        ("{:y}", Syntax(2)),
        ("{:5.}", Syntax(4)),
        ("{:??}", Syntax(3)),
        ("{a}", UnknownName("a".to_owned())),
        ("{:a$}", UnknownName("a".to_owned())),
        ("{:65536}", TooLarge(2)),
        ("{:.99999999999999999999}", TooLarge(3)),
        ("{70000}", TooLarge(1)),
    ];
    for (template, error) in cases {
        assert_eq!(Template::parse(template), Err(error), "{template}");
    }
}

/// Proves that what does not fit leaves a mark with its number, and the rest of the line stands.
#[test]
fn misfits_are_marked() {
    let values = [Value::Str("s"), Value::F64(1.0), Value::U64(1 << 40), Value::Bool(true)];
    let cases = [
        ("{0:x} {1:x} {3:e} {0:p} {2:p}.", "{?0} {?1} {?3} {?0} {?2}."),
        ("{4} {9:?}.", "{?4} {?9}."),
        ("{0:2$} {0:.2$} {0:1$} {0:9$}.", "{?2} {?2} {?1} {?9}."),
    ];
    for (template, expected) in cases {
        assert_eq!(rendered(template, &values), expected);
    }
}

/// Proves that what was formatted at the call site is not formatted again.
#[test]
fn formatted_text_stays() {
    let values = [Value::Text("Order { id: 7 }")];
    assert_eq!(rendered("{:#?} {0:>30.2} {0:x}", &values), ["Order { id: 7 }"; 3].join(" "));
}

/// Proves that a short template that says long things a thousand times makes a line that ends, and
/// does not cut a character in two.
#[test]
fn lines_end() {
    let text = "é".repeat(1 << 10);
    for template in ["{0}".repeat(5_000), "a{0:é>65535}".repeat(5_000)] {
        let line = rendered(&template, &[Value::Str(&text)]);
        assert!((RENDER_LIMIT - 4..=RENDER_LIMIT + 3).contains(&line.len()), "{}", line.len());
        assert!(line.ends_with("{?}"));
    }
}

/// Proves that filling in allocates nothing where the line has room.
#[test]
fn rendering_allocates_nothing() {
    let template = Template::parse("{} {:>9.3} {:#?} {:*^+#020x} {:e} {:p}").unwrap();
    let text = Value::Str("text");
    let pointer = Value::Pointer(4096);
    let values = [text, Value::F64(1e300), text, Value::U64(1), Value::U128(u128::MAX), pointer];
    let mut line = String::with_capacity(4096);
    let counted = allocation_counter::measure(|| template.render(&values, &mut line));
    assert_eq!(counted.count_total, 0, "{line}");
}
