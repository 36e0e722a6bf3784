//! Cuts a stream of bytes into records at a delimiter.
//!
//! ```text
//!  bytes as read:   "k:one\nk:tw" "o\n\nk:three"
//!  records:          k:one          k:two   (empty: skipped)   k:three (at the end of the input)
//! ```
//!
//! As in kcat: an empty line is no record, the last record needs no delimiter after it, and a key
//! ends at the first key delimiter; without one there is no key.
//!
//! Invariants: records are slices of what was read, not copies; memory is bounded by the longest
//! record allowed; no byte is searched twice.

use bytes::{Bytes, BytesMut};
use memchr::memmem::Finder;
use thiserror::Error;

/// A record longer than allowed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a record is longer than {bytes_max} bytes. Is the delimiter (-D) right?")]
pub(crate) struct RecordTooLong {
    bytes_max: usize,
}

/// Bytes waiting to become records.
#[derive(Debug)]
pub(crate) struct Splitter {
    delimiter: Finder<'static>,
    record_bytes_max: usize,
    buffer: BytesMut,
    /// No delimiter begins before this position.
    searched: usize,
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
        }
    }

    /// Takes bytes as they were read.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next record that is complete, `None` when more bytes are needed.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, RecordTooLong> {
        let delimiter_bytes = self.delimiter.needle().len();
        while let Some(at) = self.delimiter.find(&self.buffer[self.searched..]) {
            let record = self.buffer.split_to(self.searched + at);
            let delimiter = self.buffer.split_to(delimiter_bytes);
            drop(delimiter);
            self.searched = 0;
            if !record.is_empty() {
                return self.check(record.freeze()).map(Some);
            }
        }
        // A delimiter may have begun in the last bytes.
        self.searched = (self.buffer.len() + 1).saturating_sub(delimiter_bytes);
        if self.buffer.len() > self.record_bytes_max + delimiter_bytes {
            return Err(self.too_long());
        }
        Ok(None)
    }

    /// What is left when the input has ended.
    pub(crate) fn finish(mut self) -> Result<Option<Bytes>, RecordTooLong> {
        let rest = self.buffer.split().freeze();
        if rest.is_empty() {
            return Ok(None);
        }
        self.check(rest).map(Some)
    }

    fn check(&self, record: Bytes) -> Result<Bytes, RecordTooLong> {
        if record.len() > self.record_bytes_max {
            return Err(self.too_long());
        }
        Ok(record)
    }

    fn too_long(&self) -> RecordTooLong {
        RecordTooLong {
            bytes_max: self.record_bytes_max,
        }
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
            while let Some(record) = splitter.next().unwrap() {
                records.push(record);
            }
        }
        records.extend(splitter.finish().unwrap());
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
    fn a_record_without_end_is_refused() {
        let mut splitter = Splitter::new(b"\n", 4);
        splitter.push(b"1234\n");
        assert_eq!(splitter.next().unwrap().unwrap(), "1234");
        splitter.push(b"123456");
        assert_eq!(splitter.next(), Err(RecordTooLong { bytes_max: 4 }));

        let mut splitter = Splitter::new(b"\n", 4);
        splitter.push(b"12345\n");
        assert!(splitter.next().is_err());
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
