//! Backslash escapes: read in delimiters and formats, written in place of control characters.
//!
//! Read as kcat does: `\n`, `\r`, `\t`; `\xNN` a byte in hexadecimal; `\NNN` a byte in decimal, or
//! in octal with a leading 0; a backslash before anything else is dropped. The result is bytes, not
//! text: `\xff` is one byte.
//!
//! Written as JSON does ([`printable`]): `\n`, `\r`, `\t`, and `\uNNNN` for any other character
//! that moves a cursor, changes a colour or turns the direction of writing. So a line of JSON stays
//! JSON, and means the same.

use std::borrow::Cow;
use std::fmt::Write as _;

use thiserror::Error;

/// Why escapes cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum EscapeError {
    /// A number that is not a byte.
    #[error("escape \"\\{0}\" is not a byte; expected two hex digits or a number up to 255")]
    NotAByte(String),
    /// A backslash at the end.
    #[error("found a backslash at the end; write \\\\ for a backslash")]
    AtEnd,
}

/// Replaces escapes by the bytes they stand for.
pub(crate) fn unescape(text: &str) -> Result<Vec<u8>, EscapeError> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        rest = escaped(&rest[at + 1..], &mut out)?;
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(out)
}

/// Reads what follows a backslash and returns what follows that.
fn escaped<'a>(text: &'a str, out: &mut Vec<u8>) -> Result<&'a str, EscapeError> {
    let first = text.chars().next().ok_or(EscapeError::AtEnd)?;
    let (radix, start) = match first {
        'x' => (16, 1),
        '0' => (8, 0),
        '1'..='9' => (10, 0),
        _ => {
            let plain = match first {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                other => other,
            };
            out.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(&text[first.len_utf8()..]);
        }
    };
    let most = if radix == 16 { 2 } else { 3 };
    let digits = text[start..].chars().take(most);
    let end = start + digits.take_while(|c| c.is_digit(radix)).count();
    let byte = u8::from_str_radix(&text[start..end], radix)
        .map_err(|_| EscapeError::NotAByte(text[..end].to_owned()))?;
    out.push(byte);
    Ok(&text[end..])
}

/// Text that is safe on a terminal: control characters, line breaks included, become escapes.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    let Some(first) = text.find(is_obeyed) else {
        return Cow::Borrowed(text);
    };
    let mut printable = text[..first].to_owned();
    for c in text[first..].chars() {
        match c {
            '\n' => printable.push_str("\\n"),
            '\r' => printable.push_str("\\r"),
            '\t' => printable.push_str("\\t"),
            c if is_obeyed(c) => {
                write!(printable, "\\u{:04x}", u32::from(c)).expect("a String takes all");
            }
            c => printable.push(c),
        }
    }
    Cow::Owned(printable)
}

/// Appends data so that it is safe on a terminal: line breaks and tabs as they are, other control
/// characters as [`printable`] writes them, and bytes that are not UTF-8 as `\xNN`.
pub(crate) fn append_printable(out: &mut Vec<u8>, data: &[u8]) {
    for chunk in data.utf8_chunks() {
        for piece in chunk.valid().split_inclusive(['\n', '\t']) {
            let end = piece.trim_end_matches(['\n', '\t']);
            out.extend_from_slice(printable(end).as_bytes());
            out.extend_from_slice(&piece.as_bytes()[end.len()..]);
        }
        for byte in chunk.invalid() {
            out.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
        }
    }
}

/// Whether a terminal obeys a character instead of showing it: control characters (C0, DEL and C1,
/// of which U+009B begins a sequence as ESC [ does), line separators, and marks of the direction of
/// writing. All are below U+10000, so that four digits name them.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// Reads a delimiter: escapes are replaced, and it must not be empty.
pub(crate) fn delimiter(text: &str) -> Result<Delimiter, String> {
    match unescape(text).map_err(|e| e.to_string())? {
        bytes if bytes.is_empty() => {
            Err("expected a delimiter of at least one byte, found none".into())
        }
        bytes => Ok(Delimiter(bytes)),
    }
}

/// One or more bytes between two records, or between key and value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delimiter(pub(crate) Vec<u8>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_stand_for_bytes() {
        for (text, bytes) in [
            ("plain", &b"plain"[..]),
            (r"a\tb\r\n", b"a\tb\r\n"),
            (r"\x1f\xff!", b"\x1f\xff!"),
            (r"\x1g", b"\x01g"),
            (r"\65\065\0", b"\x41\x35\0"),
            (r"\\\;", b"\\;"),
            (r"ü\ü", "üü".as_bytes()),
        ] {
            assert_eq!(unescape(text).as_deref(), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_byte_is_refused() {
        assert_eq!(unescape("a\\"), Err(EscapeError::AtEnd));
        assert_eq!(unescape(r"\x"), Err(EscapeError::NotAByte("x".into())));
        assert_eq!(unescape(r"\xü"), Err(EscapeError::NotAByte("x".into())));
        assert_eq!(unescape(r"\256"), Err(EscapeError::NotAByte("256".into())));
        assert!(delimiter("").is_err());
    }

    #[test]
    fn data_keeps_its_lines_and_nothing_else_that_a_terminal_obeys() {
        let mut out = Vec::new();
        append_printable(&mut out, b"a\tb\n\n\x1b[2Jc\r\n\xff\x9b\0");
        assert_eq!(out, b"a\tb\n\n\\u001b[2Jc\\r\n\\xff\\x9b\\u0000");
    }

    #[test]
    fn what_a_terminal_obeys_is_written_as_json_writes_it() {
        for (text, expected) in [
            ("flights-0", "flights-0"),
            ("grün 航班 \\n", "grün 航班 \\n"),
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("\x1b[2J\x07\0", "\\u001b[2J\\u0007\\u0000"),
            ("\u{7f}\u{9b}31m", "\\u007f\\u009b31m"),
            (
                "txt\u{202e}gpj\u{2066}\u{200f}",
                "txt\\u202egpj\\u2066\\u200f",
            ),
            ("\u{2028}\u{61c}", "\\u2028\\u061c"),
        ] {
            assert_eq!(printable(text), expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn printable_text_has_nothing_to_obey_and_json_stays_the_same(text in "\\PC{0,8}[\\x00-\\x{9f}]{0,8}\\p{Cf}?") {
            let shown = printable(&text);
            proptest::prop_assert!(!shown.contains(is_obeyed));
            let json = serde_json::to_string(&text).unwrap();
            let read: String = serde_json::from_str(&printable(&json)).unwrap();
            proptest::prop_assert_eq!(read, text);
        }

        #[test]
        fn any_text_is_read_or_refused(text in r"[\\x0-9a-fnü]{0,12}") {
            drop(unescape(&text));
        }
    }
}
