//! Backslash escapes in delimiters and formats, as kcat reads them.
//!
//! `\n`, `\r`, `\t`; `\xNN` a byte in hexadecimal; `\NNN` a byte in decimal, or in octal with a
//! leading 0; a backslash before anything else is dropped. The result is bytes, not text: `\xff` is
//! one byte.

use thiserror::Error;

/// Why escapes cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum EscapeError {
    /// A number that is not a byte.
    #[error("escape \"\\{0}\" is not a byte; expected two hex digits or a number up to 255")]
    NotAByte(String),
    /// A backslash that escapes nothing.
    #[error("a backslash at the end escapes nothing; write \\\\ for a backslash")]
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

/// A delimiter: escapes replaced, and not empty.
pub(crate) fn delimiter(text: &str) -> Result<Delimiter, String> {
    match unescape(text).map_err(|e| e.to_string())? {
        bytes if bytes.is_empty() => Err("a delimiter needs at least one byte".into()),
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

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in r"[\\x0-9a-fnü]{0,12}") {
            drop(unescape(&text));
        }
    }
}
