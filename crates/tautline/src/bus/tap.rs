//! `tautline bus tap`: messages as they pass.

use std::io::{self, BufWriter, Write};
use std::thread;
use std::time::Duration;

use serde_json::{Map, Number, json};
use tautline_bus::shared::{Passed, Tap, Tapped, Value};

use crate::Failure;
use crate::cli::TapArgs;

/// Messages of each lane at a look.
const BATCH: usize = 1024;
/// From one look to the next when nothing has passed.
const PAUSE: Duration = Duration::from_micros(200);

/// Prints messages until there were enough, or the object has no users any more.
pub(crate) fn tap(args: &TapArgs) -> Result<(), Failure> {
    let mut tap = Tap::on(&args.name)?;
    let mut left = args.count.unwrap_or(u64::MAX);
    let mut stdout = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut has_ended = false;
    loop {
        let mut passed = tap.look(BATCH)?;
        passed.messages.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        left -= passed.messages.len() as u64;
        has_ended |= passed.has_ended;
        print(&mut stdout, &tap, &passed, args)?;
        stdout.flush()?;
        if left == 0 {
            return Ok(());
        }
        if passed.messages.is_empty() {
            if has_ended {
                crate::notice::say(format!("{}: nobody has it any more", args.name));
                return Ok(());
            }
            thread::sleep(PAUSE);
        }
    }
}

fn print(to: &mut impl Write, tap: &Tap, passed: &Passed, args: &TapArgs) -> io::Result<()> {
    if passed.missed > 0 {
        let (missed, unit) = (passed.missed, tap.unit());
        if args.json {
            writeln!(to, "{}", json!({ "missed": missed, "unit": unit }))?;
        } else {
            writeln!(to, "(missed {missed} {unit})")?;
        }
    }
    for message in &passed.messages {
        let content = Content::of(tap, message, args.hex);
        let Tapped { lane, position, .. } = message;
        if args.json {
            let (key, value) = content.as_json();
            writeln!(to, "{}", json!({ "lane": lane, "position": position, key: value }))?;
        } else {
            writeln!(to, "{lane}#{position}  {}", content.line())?;
        }
    }
    Ok(())
}

// ---------------------------------------------------------------------------------- content

/// What a message says, as well as it can be told.
enum Content {
    Value(Value),
    Text(String),
    Hex(String),
}

impl Content {
    fn of(tap: &Tap, message: &Tapped, hex: bool) -> Self {
        let bytes = &message.bytes;
        if hex {
            return Self::Hex(as_hex(bytes));
        }
        if let Some(value) = tap.value(message) {
            return Self::Value(value);
        }
        match std::str::from_utf8(bytes) {
            Ok(text) if tap.unit() == "bytes" && is_printable(text) => Self::Text(text.to_owned()),
            _ => Self::Hex(as_hex(bytes)),
        }
    }

    fn line(&self) -> String {
        match self {
            Self::Value(Value::Fields(fields)) => fields_line(fields),
            Self::Value(value) => value_line(value),
            Self::Text(text) => text.escape_debug().to_string(),
            Self::Hex(hex) => hex.clone(),
        }
    }

    fn as_json(&self) -> (&'static str, serde_json::Value) {
        match self {
            Self::Value(value) => ("value", value_json(value)),
            Self::Text(text) => ("text", json!(text)),
            Self::Hex(hex) => ("hex", json!(hex)),
        }
    }
}

/// Nothing that moves a terminal's cursor but the ends of lines, which are escaped.
fn is_printable(text: &str) -> bool {
    text.chars().all(|c| !c.is_control() || "\t\r\n".contains(c))
}

fn as_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn fields_line(fields: &[(String, Value)]) -> String {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| match text_of(name, value) {
            Some(text) => format!("{}={text:?}", plain(name)),
            None => format!("{}={}", plain(name), value_line(value)),
        })
        .collect();
    fields.join(" ")
}

fn value_line(value: &Value) -> String {
    match value {
        Value::Unsigned(number) => number.to_string(),
        Value::Signed(number) => number.to_string(),
        Value::Single(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Bool(is) => is.to_string(),
        Value::Char(one) => one.escape_debug().to_string(),
        Value::Variant(name) => plain(name),
        Value::List(all) => {
            let all: Vec<_> = all.iter().map(value_line).collect();
            format!("[{}]", all.join(", "))
        }
        Value::Fields(fields) => format!("{{{}}}", fields_line(fields)),
        _ => "?".to_owned(),
    }
}

/// The bytes of a field with the name `text` as what they are, up to the zeros at their end, as those of
/// log lines.
fn text_of(name: &str, value: &Value) -> Option<String> {
    let Value::List(all) = value else { return None };
    if name != "text" {
        return None;
    }
    let byte = |value: &Value| match value {
        Value::Unsigned(number) => u8::try_from(*number).ok(),
        _ => None,
    };
    let bytes: Vec<u8> = all.iter().map(byte).collect::<Option<_>>()?;
    let text = String::from_utf8(bytes).ok()?;
    Some(text.trim_end_matches('\0').to_owned())
}

/// A name as another process has told it, which may hold anything.
fn plain(name: &str) -> String {
    name.escape_debug().to_string()
}

fn value_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Unsigned(number) => number_json(Number::from_u128(*number), number),
        Value::Signed(number) => number_json(Number::from_i128(*number), number),
        // By its shortest text: a longer one would show digits that were never there.
        Value::Single(number) => {
            number_json(number.to_string().parse().ok().and_then(Number::from_f64), number)
        }
        Value::Double(number) => number_json(Number::from_f64(*number), number),
        Value::Bool(is) => json!(is),
        Value::Char(one) => json!(one),
        Value::Variant(name) => json!(name),
        Value::List(all) => all.iter().map(value_json).collect(),
        Value::Fields(fields) => {
            let all = fields.iter().map(|(name, value)| {
                let text = text_of(name, value).map(serde_json::Value::from);
                (name.clone(), text.unwrap_or_else(|| value_json(value)))
            });
            serde_json::Value::Object(all.collect::<Map<_, _>>())
        }
        _ => serde_json::Value::Null,
    }
}

/// What JSON has no number for is told as text.
fn number_json(number: Option<Number>, text: impl ToString) -> serde_json::Value {
    number.map_or_else(|| json!(text.to_string()), serde_json::Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that the bytes of a text show as such, without the zeros behind it, and nothing else does.
    #[test]
    fn bytes_of_a_text_show_as_text() {
        let list = |bytes: &[u8]| {
            Value::List(bytes.iter().map(|byte| Value::Unsigned(u128::from(*byte))).collect())
        };
        let (line, none) = (list("a\n\u{e9}\0\0".as_bytes()), list(&[0xff, 0]));
        let fields = [("text".to_owned(), line.clone()), ("ends".to_owned(), list(&[1, 2]))];
        assert_eq!(fields_line(&fields), "text=\"a\\n\u{e9}\" ends=[1, 2]");
        assert_eq!(value_json(&Value::Fields(fields.to_vec()))["text"], json!("a\n\u{e9}"));
        assert_eq!((text_of("data", &line), text_of("text", &none)), (None, None));
    }
}
