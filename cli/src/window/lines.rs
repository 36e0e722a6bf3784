//! The rows of a CSV text (RFC 4180), as spreadsheets write them.
//!
//! ```text
//! 1,a,1.5 CR LF        a row ends with CR, LF or both, the last one with the text
//!   CR LF              an empty line is not a row
//! 2,"a,b ""c""",2 LF   a field in quotes may hold anything; two quotes stand for one
//! 3,5" pipe,4          a quote within a field stands for itself
//! ```
//!
//! A quote that is never closed swallows the rest of the text, perhaps with more rows. Such a row
//! is an error, so that no row is misread.

use std::borrow::Cow;

/// The rows of a text.
#[derive(Clone, Debug)]
pub(super) struct Rows<'a> {
    rest: &'a str,
}

/// One row: its text without the line's end, and its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CsvRow<'a> {
    pub(super) text: &'a str,
    /// `None` if a quote is never closed.
    pub(super) fields: Option<Vec<Cow<'a, str>>>,
}

impl<'a> Rows<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self { rest: text }
    }
}

impl<'a> Iterator for Rows<'a> {
    type Item = CsvRow<'a>;

    fn next(&mut self) -> Option<CsvRow<'a>> {
        let start = self.rest.trim_start_matches(['\r', '\n']);
        if start.is_empty() {
            return None;
        }
        let (mut rest, mut fields) = (start, Vec::new());
        let fields = loop {
            let Some((field, after)) = field(rest) else {
                rest = "";
                break None;
            };
            fields.push(field);
            rest = after;
            match rest.strip_prefix(',') {
                Some(next) => rest = next,
                None => break Some(fields),
            }
        };
        self.rest = rest;
        let text = &start[..start.len() - rest.len()];
        Some(CsvRow { text, fields })
    }
}

/// The first field and what follows it: a comma, a line's end or nothing. `None` if a quote is not
/// closed.
fn field(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (field, rest) = text.split_at(text.find([',', '\r', '\n']).unwrap_or(text.len()));
        return Some((Cow::Borrowed(field), rest));
    };
    let mut rest = quoted;
    let mut field = Cow::Borrowed("");
    loop {
        let (piece, after) = rest.split_once('"')?;
        append(&mut field, piece);
        rest = after;
        let Some(next) = after.strip_prefix('"') else {
            break;
        };
        append(&mut field, "\"");
        rest = next;
    }
    // Text between the closing quote and the comma belongs to the field.
    let (tail, rest) = rest.split_at(rest.find([',', '\r', '\n']).unwrap_or(rest.len()));
    append(&mut field, tail);
    Some((field, rest))
}

fn append<'a>(field: &mut Cow<'a, str>, piece: &'a str) {
    if field.is_empty() {
        *field = Cow::Borrowed(piece);
    } else if !piece.is_empty() {
        field.to_mut().push_str(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Row = Option<Vec<String>>;

    fn rows(text: &str) -> Vec<Row> {
        let owned = |fields: Vec<Cow<'_, str>>| fields.into_iter().map(Cow::into_owned).collect();
        Rows::of(text).map(|row| row.fields.map(owned)).collect()
    }

    fn row(fields: &[&str]) -> Vec<String> {
        fields.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rows_end_with_any_line_end_and_empty_lines_are_none() {
        let expected = [
            Some(row(&["1", "a"])),
            Some(row(&["2", ""])),
            Some(row(&[" 3", "b "])),
        ];
        for end in ["\n", "\r\n", "\r", "\n\n", "\r\n\r\n"] {
            let text = ["1,a", "2,", " 3,b "].join(end);
            assert_eq!(rows(&text), expected, "{end:?}");
            assert_eq!(rows(&format!("{end}{text}{end}")), expected, "{end:?}");
        }
        assert!(rows("").is_empty() && rows("\r\n\n").is_empty());
        let texts: Vec<_> = Rows::of("1,\"a\nb\"\r\n2\n").map(|row| row.text).collect();
        assert_eq!(texts, ["1,\"a\nb\"", "2"]);
    }

    #[test]
    fn quotes_hold_anything_and_must_be_closed() {
        assert_eq!(
            rows("\"a,b\",\"say \"\"x\"\"\",\"\"\n\"two\r\nlines\",5\" pipe,\"x\"y"),
            [
                Some(row(&["a,b", "say \"x\"", ""])),
                Some(row(&["two\r\nlines", "5\" pipe", "xy"]))
            ]
        );
        assert_eq!(rows("1,a\n2,\"b\n3,c\n"), [Some(row(&["1", "a"])), None]);
        assert_eq!(rows("\""), [None]);
    }

    proptest! {
        #[test]
        fn closed_texts_are_read_as_the_csv_crate_reads_them(
            text in "(([a \"]{0,3}|\"([a,\r\n]|\"\"){0,4}\")(,|\r|\n|\r\n)){0,8}a",
        ) {
            let found = rows(&text);
            if found.iter().all(Option::is_some) {
                let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
                let expected: Vec<_> = reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).map(Some).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
