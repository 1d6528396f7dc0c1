//! What a text from outside must not do to a line: end it, or steer the terminal that shows it.

use std::fmt::Write;

/// Whether a character could end a line, steer a terminal, or turn the order of what is read.
fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}') // separators of lines and paragraphs
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether a byte is a printable character that neither form writes otherwise.
fn is_harmless(byte: u8) -> bool {
    (0x20..0x7f).contains(&byte) & (byte != b'"') & (byte != b'\\')
}

/// Appends a text for people, such that it cannot end a line, steer the terminal that shows it, or
/// turn the order of what is read: what could shows as in Rust, `\n` or `\u{1b}`. For a
/// [`Form`](super::Form) of one's own.
///
/// ```
/// let mut line = String::from("peer ");
/// tautline_log::sink::escape("a\nb\u{1b}[2J", &mut line);
/// assert_eq!(line, "peer a\\nb\\u{1b}[2J");
/// ```
pub fn plain(text: &str, out: &mut String) {
    escaped(text, out, is_dangerous, |c, out| match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        // A string takes everything, here and below.
        _ => drop(write!(out, "\\u{{{:x}}}", u32::from(c))),
    });
}

/// Appends a text as a JSON string, with its quotation marks.
pub(super) fn json(text: &str, out: &mut String) {
    out.push('"');
    escaped(
        text,
        out,
        |c| matches!(c, '"' | '\\') || is_dangerous(c),
        |c, out| match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // All of them have 16 bits.
            _ => drop(write!(out, "\\u{:04x}", u32::from(c))),
        },
    );
    out.push('"');
}

/// Appends a text; the characters that `wanted` picks are written by `write`.
fn escaped(
    mut text: &str,
    out: &mut String,
    wanted: impl Fn(char) -> bool,
    write: impl Fn(char, &mut String),
) {
    // Most texts hold nothing but printable ASCII, which is quick to see.
    if text.bytes().fold(true, |all, byte| all & is_harmless(byte)) {
        out.push_str(text);
        return;
    }
    while let Some((at, c)) = text.char_indices().find(|&(_, c)| wanted(c)) {
        out.push_str(&text[..at]);
        write(c, out);
        text = &text[at + c.len_utf8()..];
    }
    out.push_str(text);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn made(form: fn(&str, &mut String), text: &str) -> String {
        let mut out = String::new();
        form(text, &mut out);
        out
    }

    /// Proves that line breaks, escape sequences and turned text become visible, and all else stays.
    #[test]
    fn dangerous_characters_become_visible() {
        let text = "a\nb\r\tc\u{1b}[2Jd\u{9b}e\u{2028}f\u{202e}g \\ \"é日😀";
        let expected = "a\\nb\\r\\tc\\u{1b}[2Jd\\u{9b}e\\u{2028}f\\u{202e}g \\ \"é日😀";
        assert_eq!(made(plain, text), expected);
        assert_eq!(made(json, "\"\\\n\u{7f}\u{85}\u{2066}é"), r#""\"\\\n\u007f\u0085\u2066é""#);
    }

    proptest! {
        /// Proves that no text makes a second line, and that a reader of JSON gets it back.
        #[test]
        fn texts_stay_on_their_line(text: String) {
            let (plain, json) = (made(plain, &text), made(json, &text));
            prop_assert!(!plain.chars().any(is_dangerous) && !json.chars().any(is_dangerous));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
