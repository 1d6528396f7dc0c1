//! Lines for programs.

use std::fmt::Write;

use super::escape;
use super::form::Form;
use super::stamp::Stamp;
use crate::{Field, Line, Value};

/// One JSON object a line.
///
/// ```json
/// {"time":"2026-11-30T04:51:19.123456789Z","ns":1796014279123456789,"level":"INFO",
///  "target":"app::feed","file":"src/feed.rs","line":7,"thread":"main",
///  "message":"17 at 2.5","truncated":false,"fields":{"price":2.5}}
/// ```
///
/// All keys are always there, in this order (and the object is on one line). Numbers of 128 bits,
/// addresses and what is no number (`NaN`, `inf`) are strings: JSON has no words for them. Readers
/// that keep numbers as doubles round `ns`: `time` has it all.
#[derive(Debug)]
pub struct Json {
    stamp: Stamp,
}

impl Default for Json {
    fn default() -> Self {
        Self::new()
    }
}

impl Json {
    /// Times are in UTC.
    pub fn new() -> Self {
        Self { stamp: Stamp::utc() }
    }
}

impl Form for Json {
    fn write(&mut self, line: &Line<'_>, out: &mut String) {
        out.push_str("{\"time\":\"");
        self.stamp.write(line.time, 9, out);
        let mut number = itoa::Buffer::new();
        out.extend(["\",\"ns\":", number.format(line.time)]);
        out.extend([",\"level\":\"", line.level.name(), "\",\"target\":"]);
        escape::json(line.target, out);
        out.push_str(",\"file\":");
        escape::json(line.file, out);
        out.extend([",\"line\":", number.format(line.line), ",\"thread\":"]);
        escape::json(line.thread, out);
        out.push_str(",\"message\":");
        escape::json(line.message, out);
        out.push_str(",\"truncated\":");
        out.push_str(if line.truncated { "true" } else { "false" });
        out.push_str(",\"fields\":{");
        for (at, field) in line.fields.iter().enumerate() {
            out.push_str(if at == 0 { "" } else { "," });
            write_field(field, out);
        }
        out.push_str("}}\n");
    }
}

fn write_field(field: &Field<'_>, out: &mut String) {
    escape::json(field.name, out);
    out.push(':');
    // A string takes everything.
    let _ = match field.value {
        Value::U64(number) => return out.push_str(itoa::Buffer::new().format(number)),
        Value::I64(number) => return out.push_str(itoa::Buffer::new().format(number)),
        Value::U128(number) => write!(out, "\"{number}\""),
        Value::I128(number) => write!(out, "\"{number}\""),
        // As `Debug` has it: with an exponent where it would be long.
        Value::F32(number) if number.is_finite() => write!(out, "{number:?}"),
        Value::F64(number) if number.is_finite() => write!(out, "{number:?}"),
        Value::F32(number) => write!(out, "\"{number}\""),
        Value::F64(number) => write!(out, "\"{number}\""),
        Value::Bool(yes) => write!(out, "{yes}"),
        Value::Char(c) => return escape::json(c.encode_utf8(&mut [0; 4]), out),
        Value::Str(text) | Value::Text(text) => return escape::json(text, out),
        Value::Pointer(address) => write!(out, "\"{address:#x}\""),
    };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::sink::testing::line;

    fn parsed(line: &Line<'_>) -> serde_json::Value {
        let mut out = String::new();
        Json::new().write(line, &mut out);
        assert_eq!(out.find('\n'), Some(out.len() - 1), "{out:?}");
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{out}: {error}"))
    }

    /// Proves that an object holds all that is known of a line, under its documented keys.
    #[test]
    fn objects_hold_the_whole_line() {
        let fields = [
            Field { name: "price", value: Value::F64(2.5) },
            Field { name: "big", value: Value::F64(1e300) },
            Field { name: "odd", value: Value::F32(f32::NAN) },
            Field { name: "count", value: Value::U64(u64::MAX) },
            Field { name: "delta", value: Value::I64(-7) },
            Field { name: "huge", value: Value::U128(u128::MAX) },
            Field { name: "less", value: Value::I128(-1) },
            Field { name: "on", value: Value::Bool(true) },
            Field { name: "side", value: Value::Char('"') },
            Field { name: "who\n", value: Value::Str("a\"b") },
            Field { name: "what", value: Value::Text("Some(1)") },
            Field { name: "at", value: Value::Pointer(4096) },
        ];
        let line = Line { fields: &fields, truncated: true, ..line("say \"hi\"\n") };
        let expected = json!({
            "time": "2025-11-30T04:51:19.123456789Z", "ns": 1_764_478_279_123_456_789_u64,
            "level": "INFO", "target": "app::feed", "file": "src/feed.rs", "line": 7,
            "thread": "main", "message": "say \"hi\"\n", "truncated": true,
            "fields": {
                "price": 2.5, "big": 1e300, "odd": "NaN", "count": u64::MAX, "delta": -7,
                "huge": u128::MAX.to_string(), "less": "-1", "on": true, "side": "\"",
                "who\n": "a\"b", "what": "Some(1)", "at": "0x1000",
            },
        });
        assert_eq!(parsed(&line), expected);
    }

    proptest! {
        /// Proves that whatever a line holds, its object can be read, and holds the same.
        #[test]
        fn any_line_can_be_read(
            message: String, target: String, thread: String, name: String, value: f64, time: u64,
        ) {
            let fields = [Field { name: &name, value: Value::F64(value) }];
            let line = Line {
                message: &message, target: &target, thread: &thread, fields: &fields, time,
                ..line("")
            };
            let object = parsed(&line);
            prop_assert_eq!(object["message"].as_str(), Some(&*message));
            prop_assert_eq!(object["target"].as_str(), Some(&*target));
            prop_assert_eq!(object["ns"].as_u64(), Some(time));
            prop_assert!(object["fields"].as_object().unwrap().contains_key(&name));
        }
    }
}
