//! Bytes as text: nothing that they hold moves a cursor or ends a line.

use std::fmt::Write as _;
use std::net::SocketAddr;

/// Bytes on one line of a dump.
const WIDTH: usize = 16;

/// Appends `bytes` as text; what cannot be printed is escaped, and so is the backslash.
pub(crate) fn escape(bytes: &[u8], out: &mut String) {
    for part in bytes.utf8_chunks() {
        for c in part.valid().chars() {
            match c {
                '"' | '\'' => out.push(c),
                '\0'..='\u{8}' | '\u{b}'..='\u{1f}' if c != '\r' => byte(c as u8, out),
                _ => out.extend(c.escape_debug()),
            }
        }
        part.invalid().iter().for_each(|one| byte(*one, out));
    }
}

/// An address, the zone of which has the name that users know: `[fe80::1%eth0]:5000`.
pub(crate) fn address(address: SocketAddr, zone: Option<&str>) -> String {
    match (address, zone) {
        (SocketAddr::V6(v6), Some(zone)) if v6.scope_id() != 0 => {
            let mut text = format!("[{}%", v6.ip());
            escape(zone.as_bytes(), &mut text);
            let _ = write!(text, "]:{}", v6.port());
            text
        }
        _ => address.to_string(),
    }
}

fn byte(byte: u8, out: &mut String) {
    // A string takes everything, here and below.
    let _ = write!(out, "\\x{byte:02x}");
}

/// Whether `bytes` are text without anything that has to be escaped but the ends of lines.
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    let is_plain = |c: char| !c.is_control() || "\t\r\n".contains(c);
    str::from_utf8(bytes).is_ok_and(|text| text.chars().all(is_plain))
}

/// The digits of `bytes`.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

/// Appends lines with the offset, the digits and the letters of sixteen bytes each.
pub(crate) fn dump(bytes: &[u8], out: &mut String) {
    for (row, part) in bytes.chunks(WIDTH).enumerate() {
        let _ = write!(out, "  {:04x} ", row * WIDTH);
        for at in 0..WIDTH {
            let gap = if at % 8 == 0 { " " } else { "" };
            let _ = match part.get(at) {
                Some(byte) => write!(out, "{gap}{byte:02x} "),
                None => write!(out, "{gap}   "),
            };
        }
        out.push_str(" |");
        let letter = |byte: &u8| match byte {
            b' '..=b'~' => char::from(*byte),
            _ => '.',
        };
        out.extend(part.iter().map(letter));
        out.push_str("|\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(bytes: &[u8]) -> String {
        let mut text = String::new();
        escape(bytes, &mut text);
        text
    }

    /// Proves that printable text stays as it is in any language, and that everything else shows as
    /// what it is.
    #[test]
    fn text_is_escaped_where_it_must_be() {
        assert_eq!(escaped("\"a\" 'b' \u{e9}\u{65e5}".as_bytes()), "\"a\" 'b' \u{e9}\u{65e5}");
        assert_eq!(escaped(b"a\nb\t\x1b[2J\\"), "a\\nb\\t\\x1b[2J\\\\");
        assert_eq!(escaped(b"\xffa\xc3"), "\\xffa\\xc3");
        // It would turn the rest of the line around.
        assert_eq!(escaped("\u{202e}a".as_bytes()), "\\u{202e}a");
    }

    /// Proves that an address of a link has the name of its interface, where there is one.
    #[test]
    fn zones_have_names() {
        let link = "[fe80::1%4]:5000".parse().unwrap();
        assert_eq!(address(link, Some("eth0")), "[fe80::1%eth0]:5000");
        assert_eq!(address(link, None), "[fe80::1%4]:5000");
        for wide in ["[fd00::1]:5000", "10.0.0.1:7"] {
            assert_eq!(address(wide.parse().unwrap(), Some("eth0")), wide);
        }
    }

    /// Proves that binary data is not taken for text.
    #[test]
    fn binary_data_is_no_text() {
        assert!(is_text(b"two\nlines\n") && is_text(b""));
        assert!(!is_text(b"\x00a") && !is_text(b"\xff") && !is_text(b"\x1b[2J"));
    }

    /// Proves that a dump has offset, digits and letters of every byte, and that short lines end in
    /// the same column.
    #[test]
    fn dumps_have_all_bytes() {
        let mut lines = String::new();
        dump(b"0123456789abcdef\x00~", &mut lines);
        let lines: Vec<_> = lines.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("  0000  30 31 32"), "{}", lines[0]);
        assert!(lines[0].ends_with(" |0123456789abcdef|"), "{}", lines[0]);
        assert!(lines[1].starts_with("  0010  00 7e ") && lines[1].ends_with(" |.~|"));
        assert_eq!(lines[0].find('|'), lines[1].find('|'));
        assert_eq!(hex(b"\x00\xfa"), "00fa");
    }
}
