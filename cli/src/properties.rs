//! Java's properties files, which is what Kafka's `server.properties` is.
//!
//! ```text
//!  # a comment, as is !          the first sign of the line
//!  key = value                   or key: value, or key value; blanks around it are dropped
//!  log.dirs = /var/lib/\
//!             brooklet           a backslash at the end: the next line continues it
//!  name = \u00e9\t\\             \t \n \r \f, \uXXXX; any other backslash is dropped
//! ```
//!
//! One difference: the file is UTF-8, not ISO 8859-1.

use std::path::Path;

use anyhow::anyhow;

use crate::exit::{CliError, io_words};

/// A key with its value, and the line where it begins, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Property {
    pub(crate) line: usize,
    pub(crate) key: String,
    pub(crate) value: String,
}

/// Reads a file, in order; a key may occur more than once.
///
/// # Errors
/// The file cannot be read; a line is malformed, and is named.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Property>> {
    let text = std::fs::read(path)
        .map_err(|error| anyhow!("cannot read {}: {}", path.display(), io_words(&error)))?;
    let malformed = |(line, what)| CliError::Usage(format!("{}:{line}: {what}", path.display()));
    Ok(parse(&text).map_err(malformed)?)
}

/// A line and what is wrong with it.
type Malformed = (usize, String);

fn parse(text: &[u8]) -> Result<Vec<Property>, Malformed> {
    let text = std::str::from_utf8(text).map_err(|error| {
        let before = &text[..error.valid_up_to()];
        let line = 1 + memchr::memchr_iter(b'\n', before).count();
        (line, "expected UTF-8, found other bytes".to_owned())
    })?;
    let mut properties = Vec::new();
    let mut lines = natural_lines(text).zip(1..);
    while let Some((first, line)) = lines.next() {
        let first = first.trim_start_matches(BLANKS);
        if first.is_empty() || first.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = first.to_owned();
        while ends_with_continuation(&logical) {
            logical.pop();
            let (next, _) = lines.next().unwrap_or_default();
            logical.push_str(next.trim_start_matches(BLANKS));
        }
        let (key, value) = split(&logical);
        let unescape = |text| unescape(text).map_err(|what| (line, what));
        properties.push(Property {
            line,
            key: unescape(key)?,
            value: unescape(value)?,
        });
    }
    Ok(properties)
}

/// Whether a character is a blank within a line.
const BLANKS: [char; 3] = [' ', '\t', '\x0c'];

/// Lines that end with `\n`, `\r` or both.
fn natural_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| {
        let line = line.strip_suffix('\r').unwrap_or(line);
        line.split('\r')
    })
}

/// Whether the line ends with a backslash that no other one escapes.
fn ends_with_continuation(line: &str) -> bool {
    let backslashes = line.bytes().rev().take_while(|byte| *byte == b'\\');
    backslashes.count() % 2 == 1
}

/// Splits a line: the key ends at the first blank, `=` or `:` that is not escaped, and blanks
/// around one separator are dropped.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let ends_key = |c: char| {
        let ends = !escaped && (c == '=' || c == ':' || BLANKS.contains(&c));
        escaped = c == '\\' && !escaped;
        ends
    };
    let Some(end) = line.find(ends_key) else {
        return (line, "");
    };
    let rest = line[end..].trim_start_matches(BLANKS);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (&line[..end], value.trim_start_matches(BLANKS))
}

fn unescape(text: &str) -> Result<String, String> {
    // Java's characters are UTF-16, and a pair of escapes may make one.
    let mut units = Vec::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let c = match c {
            '\\' => match rest.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\x0c',
                Some('u') => {
                    units.push(unicode(rest.as_str())?);
                    rest.nth(3);
                    continue;
                }
                Some(other) => other,
                None => break,
            },
            c => c,
        };
        units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
    }
    String::from_utf16(&units)
        .map_err(|_| "expected a pair of \\u escapes, found half a character".to_owned())
}

/// The four hexadecimal digits of a `\u` escape.
fn unicode(rest: &str) -> Result<u16, String> {
    let digits = rest.get(..4).unwrap_or(rest);
    let is_number = digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let unit = is_number.then(|| u16::from_str_radix(digits, 16).ok());
    unit.flatten()
        .ok_or_else(|| format!("\\u{digits}: expected four hexadecimal digits after \\u"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<(usize, String, String)> {
        let properties = parse(text.as_bytes()).unwrap();
        let parts = properties.into_iter().map(|p| (p.line, p.key, p.value));
        parts.collect()
    }

    /// The examples of Java's documentation among them.
    #[test]
    fn lines_mean_what_they_mean_to_java() {
        let rows = [
            ("Truth = Beauty", "Truth", "Beauty"),
            (" Truth:Beauty", "Truth", "Beauty"),
            ("Truth\t\t\t:Beauty", "Truth", "Beauty"),
            ("Truth Beauty", "Truth", "Beauty"),
            ("a==b", "a", "=b"),
            ("a = = b ", "a", "= b "),
            ("cheeses", "cheeses", ""),
            ("=value", "", "value"),
            (r"a\ b\=c\:d = e", "a b=c:d", "e"),
            (r"a = \t\n\\\q", "a", "\t\n\\q"),
            (r"a = \u00e9 \uD83D\uDE00", "a", "é 😀"),
            (r"path=c:\\", "path", "c:\\"),
            ("a = b # no comment", "a", "b # no comment"),
            ("a = x,\\\n    y,\\\r\n\tz", "a", "x,y,z"),
            ("a = x\\\n# y", "a", "x# y"),
            ("a = x\\", "a", "x"),
            ("a = é", "a", "é"),
        ];
        for (text, key, value) in rows {
            let expected = [(1, key.to_owned(), value.to_owned())];
            assert_eq!(parsed(text), expected, "{text:?}");
        }
        for nothing in ["", "\n \t\r\n", "# a=b", "  ! a=b\\", "#\\"] {
            assert_eq!(parsed(nothing), [], "{nothing:?}");
        }
    }

    #[test]
    fn lines_are_numbered_and_keys_may_come_again() {
        let text = "# one\na=1\\\n 2\n\nb=3\r\ra=4\n";
        let expected = [(2, "a", "12"), (5, "b", "3"), (7, "a", "4")];
        let expected = expected.map(|(line, key, value)| (line, key.into(), value.into()));
        assert_eq!(parsed(text), expected);
    }

    #[test]
    fn what_is_malformed_is_named_with_its_line() {
        let rows: [(&[u8], usize, &str); 4] = [
            (
                br"a=\u12",
                1,
                r"\u12: expected four hexadecimal digits after \u",
            ),
            (
                b"\nb\\u+123 = 1",
                2,
                r"\u+123: expected four hexadecimal digits after \u",
            ),
            (
                b"a=1\nb=\\uD83D",
                2,
                r"expected a pair of \u escapes, found half a character",
            ),
            (b"a=1\nb=\xff", 2, "expected UTF-8, found other bytes"),
        ];
        for (text, line, what) in rows {
            assert_eq!(parse(text), Err((line, what.to_owned())));
        }
    }
}
