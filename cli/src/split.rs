//! Cuts a stream of bytes into records at a delimiter.
//!
//! ```text
//!  bytes as read:   "k:one\nk:tw" "o\n\nk:three"
//!  records:          k:one          k:two   (empty: skipped)   k:three (at the end of the input)
//! ```
//!
//! As in kcat: an empty line is not a record, the last record needs no delimiter, and a key ends at
//! the first key delimiter; without one there is no key. Empty lines are counted, so that line
//! numbers are those that an editor shows.
//!
//! Invariants: records are slices of what was read, not copies; memory is bounded by the longest
//! record allowed, and longer ones are discarded as they are read; no byte is searched twice.

use bytes::{Bytes, BytesMut};
use memchr::memmem::Finder;

/// A line with its number, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) number: u64,
    /// `None` for one that is longer than allowed.
    pub(crate) record: Option<Bytes>,
}

/// Bytes waiting to become records.
#[derive(Debug)]
pub(crate) struct Splitter {
    delimiter: Finder<'static>,
    record_bytes_max: usize,
    buffer: BytesMut,
    /// No delimiter begins before this position.
    searched: usize,
    /// How many lines have ended.
    ended: u64,
    /// Whether the current line is too long, and its beginning is discarded.
    is_too_long: bool,
}

impl Splitter {
    /// Cuts at `delimiter`, which is not empty.
    pub(crate) fn new(delimiter: &[u8], record_bytes_max: usize) -> Self {
        assert!(!delimiter.is_empty(), "a delimiter has bytes");
        Self {
            delimiter: Finder::new(delimiter).into_owned(),
            record_bytes_max,
            buffer: BytesMut::new(),
            searched: 0,
            ended: 0,
            is_too_long: false,
        }
    }

    /// Adds bytes as they were read.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next line that is complete and not empty; `None` if more bytes are needed.
    pub(crate) fn next(&mut self) -> Option<Line> {
        let delimiter_bytes = self.delimiter.needle().len();
        while let Some(at) = self.delimiter.find(&self.buffer[self.searched..]) {
            let record = self.buffer.split_to(self.searched + at);
            let delimiter = self.buffer.split_to(delimiter_bytes);
            drop(delimiter);
            self.searched = 0;
            if let Some(line) = self.end_line(record.freeze()) {
                return Some(line);
            }
        }
        // The last bytes may be the beginning of a delimiter.
        self.searched = (self.buffer.len() + 1).saturating_sub(delimiter_bytes);
        if self.buffer.len() > self.record_bytes_max + delimiter_bytes {
            self.is_too_long = true;
            let gone = self.buffer.split_to(self.searched);
            drop(gone);
            self.searched = 0;
        }
        None
    }

    /// The last line, once the input has ended.
    pub(crate) fn finish(mut self) -> Option<Line> {
        let rest = self.buffer.split().freeze();
        self.end_line(rest)
    }

    fn end_line(&mut self, record: Bytes) -> Option<Line> {
        self.ended += 1;
        let is_too_long = std::mem::take(&mut self.is_too_long);
        let is_too_long = is_too_long || record.len() > self.record_bytes_max;
        if record.is_empty() && !is_too_long {
            return None;
        }
        Some(Line {
            number: self.ended,
            record: (!is_too_long).then_some(record),
        })
    }
}

/// Cuts a record into key and value at the first delimiter; without one there is no key.
pub(crate) fn split_key(record: Bytes, delimiter: &Finder<'_>) -> (Option<Bytes>, Bytes) {
    match delimiter.find(&record) {
        Some(at) => {
            let value = record.slice(at + delimiter.needle().len()..);
            (Some(record.slice(..at)), value)
        }
        None => (None, record),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(delimiter: &[u8], chunks: &[&[u8]]) -> Vec<Bytes> {
        let mut splitter = Splitter::new(delimiter, 1000);
        let mut records = Vec::new();
        for chunk in chunks {
            splitter.push(chunk);
            while let Some(line) = splitter.next() {
                records.extend(line.record);
            }
        }
        records.extend(splitter.finish().and_then(|line| line.record));
        records
    }

    #[test]
    fn lines_become_records_and_empty_ones_do_not() {
        assert_eq!(
            split(b"\n", &[b"k:one\nk:tw", b"o\n\nk:three"]),
            ["k:one", "k:two", "k:three"]
        );
        assert!(split(b"\n", &[b"\n\n"]).is_empty());
    }

    #[test]
    fn a_delimiter_may_be_cut_by_a_read() {
        assert_eq!(split(b"<>", &[b"a<", b">b<c", b"<", b">"]), ["a", "b<c"]);
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over_in_little_memory() {
        for delimiter in ["\n", "<>"] {
            let mut splitter = Splitter::new(delimiter.as_bytes(), 4);
            let mut found = Vec::new();
            let text = "1234,,12345,a,xxxxxxxxxxxxxxxxxxxxxxxx,b,123456789";
            for byte in text.replace(',', delimiter).as_bytes() {
                splitter.push(&[*byte]);
                found.extend(std::iter::from_fn(|| splitter.next()));
                assert!(splitter.buffer.len() <= 4 + delimiter.len());
            }
            found.extend(splitter.finish());
            let line = |number, record: Option<&'static str>| Line {
                number,
                record: record.map(Bytes::from),
            };
            let expected = [
                line(1, Some("1234")),
                line(3, None),
                line(4, Some("a")),
                line(5, None),
                line(6, Some("b")),
                line(7, None),
            ];
            assert_eq!(found, expected, "{delimiter:?}");
        }
    }

    #[test]
    fn a_key_ends_at_the_first_delimiter() {
        let colon = Finder::new(":");
        let cut = |text: &'static str| split_key(Bytes::from(text), &colon);
        assert_eq!(cut("k:v:w"), (Some("k".into()), "v:w".into()));
        assert_eq!(cut(":v"), (Some("".into()), "v".into()));
        assert_eq!(cut("k:"), (Some("k".into()), "".into()));
        assert_eq!(cut("v"), (None, "v".into()));
    }

    proptest! {
        #[test]
        fn reads_of_any_size_give_the_same_records(
            text in "[ab<>]{0,60}",
            cuts in prop::collection::vec(0_usize..60, 0..6),
        ) {
            let whole: Vec<_> = text.split("<>").filter(|part| !part.is_empty()).collect();
            let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut < text.len()).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let chunks: Vec<_> = cuts.windows(2).map(|w| &text.as_bytes()[w[0]..w[1]]).collect();
            prop_assert_eq!(split(b"<>", &chunks), whole);
        }
    }
}
