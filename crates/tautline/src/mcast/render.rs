//! Packets as lines: one for what is known of a packet, and what is in it below or beside that.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::header::Header;
use super::seen::Seen;
use super::text;
use crate::table::quantity::things;

/// How the bytes of a packet are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Bytes {
    /// Not at all on lines; in JSON as text, if they are.
    #[default]
    Hidden,
    Text,
    Hex,
}

/// How packets are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) bytes: Bytes,
    /// As JSON objects, one a line.
    pub(crate) json: bool,
}

impl Look {
    /// Appends a packet, with the ends of all its lines.
    pub(crate) fn packet(self, seen: &Seen<'_>, header: Option<&Header>, out: &mut String) {
        if self.json {
            // A string takes everything, here and below.
            let _ = writeln!(out, "{}", self.object(seen, header));
        } else {
            self.lines(seen, header, out);
        }
    }

    fn lines(self, seen: &Seen<'_>, header: Option<&Header>, out: &mut String) {
        match seen.time {
            Some(time) => out.extend([&time.to_string(), " "]),
            None => out.push_str("- "),
        }
        match seen.source {
            Some(source) => out.push_str(&text::address(source, seen.interface)),
            None => out.push('?'),
        }
        let _ = write!(out, " > {}", seen.group);
        if let Some(interface) = seen.interface {
            out.push(' ');
            text::escape(interface.as_bytes(), out);
        }
        let _ = write!(out, " {}", things(seen.len as u64, "byte"));
        if seen.is_cut() {
            let _ = write!(out, " (cut to {})", seen.payload.len());
        }
        if seen.dropped > 0 {
            let _ = write!(out, " ({} DROPPED before)", seen.dropped);
        }
        if let Some(header) = header {
            let _ = write!(out, "  {header}");
        }
        self.payload(seen.payload, out);
    }

    /// What is in a packet, and the end of the line.
    fn payload(self, payload: &[u8], out: &mut String) {
        match self.bytes {
            Bytes::Hidden => out.push('\n'),
            Bytes::Text => {
                out.push_str("  ");
                text::escape(payload, out);
                out.push('\n');
            }
            Bytes::Hex => {
                out.push('\n');
                text::dump(payload, out);
            }
        }
    }

    fn object(self, seen: &Seen<'_>, header: Option<&Header>) -> Value {
        let text = |seen: &dyn ToString| Value::from(seen.to_string());
        let mut object = Map::new();
        object.insert("kind".to_owned(), json!("packet"));
        let mut put = |key: &str, value| object.insert(key.to_owned(), value);
        put("time", seen.time.as_ref().map_or(Value::Null, |time| text(time)));
        put("source", json!(seen.source.map(|source| text::address(source, seen.interface))));
        put("group", text(&seen.group));
        put("interface", json!(seen.interface));
        put("hops", json!(seen.hops));
        put("len", json!(seen.len));
        put("truncated", json!(seen.is_cut()));
        put("dropped", json!(seen.dropped));
        if let Some(header) = header {
            put("feed", feed(header));
        }
        let (key, value) = self.bytes_json(seen.payload);
        put(key, value);
        Value::Object(object)
    }

    fn bytes_json(self, payload: &[u8]) -> (&'static str, Value) {
        match self.bytes {
            Bytes::Hidden if !text::is_text(payload) => ("hex", json!(text::hex(payload))),
            Bytes::Hex => ("hex", json!(text::hex(payload))),
            Bytes::Hidden | Bytes::Text => ("text", json!(String::from_utf8_lossy(payload))),
        }
    }
}

/// What a header says, as JSON.
fn feed(header: &Header) -> Value {
    json!({
        "format": header.stream.option(), "stream": header.stream.name(), "kind": header.kind_name(),
        "number": header.number, "count": header.count(), "payload_type": header.payload_type,
    })
}

#[cfg(test)]
mod tests {
    use tautline_feed::format::{Builder, MoldUdp64, Session};

    use super::super::header::Choice;
    use super::super::seen::Wall;
    use super::*;

    fn seen(payload: &[u8]) -> Seen<'_> {
        Seen {
            time: Some(Wall(1)),
            source: "10.0.0.1:40000".parse().ok(),
            group: "[ff12::1]:5000".parse().unwrap(),
            interface: Some("eth0"),
            hops: Some(3),
            payload,
            len: payload.len(),
            dropped: 0,
        }
    }

    fn shown(bytes: Bytes, json: bool, seen: &Seen<'_>) -> String {
        let header = Header::read(Choice::Auto, seen.payload);
        let mut out = String::new();
        Look { bytes, json }.packet(seen, header.as_ref(), &mut out);
        out
    }

    /// Proves that a line has all that is known of a packet, and that its bytes are shown as was
    /// asked for, on that line or below it.
    #[test]
    fn lines_tell_all() {
        let packet = seen(b"hello\n");
        let line = "1970-01-01T00:00:00.000000001Z 10.0.0.1:40000 > [ff12::1]:5000 eth0 6 bytes";
        assert_eq!(shown(Bytes::Hidden, false, &packet), format!("{line}\n"));
        assert_eq!(shown(Bytes::Text, false, &packet), format!("{line}  hello\\n\n"));
        let hex = shown(Bytes::Hex, false, &packet);
        assert!(hex.starts_with(&format!("{line}\n  0000  68 65")), "{hex}");
        let unknown = Seen {
            hops: None,
            time: None,
            source: None,
            interface: None,
            len: 9,
            dropped: 3,
            ..packet
        };
        let one = Seen { len: 1, payload: b"a", ..packet };
        assert!(shown(Bytes::Hidden, false, &one).ends_with(" 1 byte\n"));
        let line = "- ? > [ff12::1]:5000 9 bytes (cut to 6) (3 DROPPED before)\n";
        assert_eq!(shown(Bytes::Hidden, false, &unknown), line);
    }

    /// Proves that the header of a feed is explained, on a line and in JSON.
    #[test]
    fn headers_of_feeds_are_explained() {
        let (mut room, day) = ([0; 64], Session::of_text("day1").unwrap());
        let mut builder = Builder::<MoldUdp64>::new(&mut room, day, 17).unwrap();
        builder.push(b"\x01\x02").unwrap();
        let packet = seen(builder.finish());
        let line = shown(Bytes::Hidden, false, &packet);
        assert!(line.ends_with("24 bytes  MoldUDP64 session day1 #17, 1 message\n"), "{line}");
        let object: Value = serde_json::from_str(&shown(Bytes::Hidden, true, &packet)).unwrap();
        let (feed, hex) = (&object["feed"], object["hex"].as_str().unwrap());
        assert_eq!(
            (&feed["stream"], &feed["number"], &feed["count"]),
            (&json!("day1"), &json!(17), &json!(1))
        );
        assert!(hex.ends_with("00020102"), "{hex}");
    }

    /// Proves that JSON is one object a line, whatever the bytes are, and has text as text unless
    /// digits were asked for.
    #[test]
    fn json_is_an_object_a_line() {
        for (bytes, payload, key, wanted) in [
            (Bytes::Hidden, &b"a\n\"b\""[..], "text", "a\n\"b\""),
            (Bytes::Hidden, &b"\xff\x00"[..], "hex", "ff00"),
            (Bytes::Hex, &b"ab"[..], "hex", "6162"),
            (Bytes::Text, &b"\xffa"[..], "text", "\u{fffd}a"),
        ] {
            let line = shown(bytes, true, &seen(payload));
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            let object: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(object[key], wanted);
            assert_eq!(
                (&object["source"], &object["interface"]),
                (&json!("10.0.0.1:40000"), &json!("eth0"))
            );
        }
    }
}
