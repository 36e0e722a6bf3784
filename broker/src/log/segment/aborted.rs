//! A segment's transaction index: the file, and how much of it is kept in memory.
//!
//! Who reads committed records asks every segment from the first that is read on: a transaction with
//! records here may have been aborted later. So of each index a span is kept, 24 bytes, which tells
//! most of those who ask that the file says nothing to them. The entries stay in the file: nothing
//! bounds their number.

use std::io::ErrorKind;
use std::ops::{ControlFlow, Range};
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use brooklet_protocol::Offset;

use super::super::error::OrIo;
use super::super::{AbortedTransaction, LogError, files, txn_index};
use super::Segment;

/// What is known of a segment's transaction index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum AbortedSpan {
    /// Nothing: it was not read since the log was opened.
    #[default]
    Unread,
    /// It has no entries.
    Empty,
    /// Where its entries are.
    Some(Span),
}

/// Where the entries of an index are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// The least first offset.
    first: Offset,
    /// The greatest last offset.
    last: Offset,
    /// The greatest last stable offset: whatever is aborted later has no records below it.
    last_stable: Offset,
}

impl AbortedSpan {
    fn of(entries: &[AbortedTransaction]) -> Self {
        let each = entries.iter().copied();
        each.fold(Self::Empty, Self::with)
    }

    fn with(self, entry: AbortedTransaction) -> Self {
        let own = Span {
            first: entry.first_offset,
            last: entry.last_offset,
            last_stable: entry.last_stable_offset,
        };
        match self {
            Self::Unread => Self::Unread,
            Self::Empty => Self::Some(own),
            Self::Some(span) => Self::Some(Span {
                first: span.first.min(own.first),
                last: span.last.max(own.last),
                last_stable: span.last_stable.max(own.last_stable),
            }),
        }
    }
}

impl Segment {
    /// The index has these entries, as its maker knows.
    pub(in crate::log) fn know_aborted(&self, entries: &[AbortedTransaction]) {
        *self.aborted.lock() = AbortedSpan::of(entries);
    }

    /// Adds to the index.
    pub(in crate::log) fn note_aborted(&self, entry: AbortedTransaction) -> Result<(), LogError> {
        let path = self.txn_index();
        let mut span = self.aborted.lock();
        txn_index::add(&*self.vfs, &path, entry).or_io("append to", &path)?;
        *span = span.with(entry);
        drop(span);
        self.unsettled.store(true, Ordering::Release);
        Ok(())
    }

    /// Makes `entries` the index's, durably, if they are not.
    pub(in crate::log) fn mend_aborted(
        &self,
        entries: &[AbortedTransaction],
    ) -> Result<(), LogError> {
        let path = self.txn_index();
        txn_index::mend(&*self.vfs, &path, entries).or_io("replace", &path)?;
        self.know_aborted(entries);
        Ok(())
    }

    /// All entries of the index; none if there is no file.
    ///
    /// # Errors
    /// The disk; a missing file if the segment is retired, as somebody else may have its entries.
    pub(in crate::log) fn read_aborted(&self) -> Result<Vec<AbortedTransaction>, LogError> {
        let path = self.txn_index();
        match txn_index::read(&*self.vfs, &path) {
            Err(error) if error.kind() == ErrorKind::NotFound && !self.is_retired() => {
                Ok(Vec::new())
            }
            read => read.or_io("read", &path),
        }
    }

    /// Adds the aborted transactions with records in `range` to `found`. Goes on unless those in later
    /// segments began behind it.
    ///
    /// # Errors
    /// As [`Segment::read_aborted`]; a missing file, too, if it had entries.
    pub(in crate::log) fn find_aborted(
        &self,
        range: &Range<Offset>,
        found: &mut Vec<AbortedTransaction>,
    ) -> Result<ControlFlow<()>, LogError> {
        let Some(span) = self.aborted_span()? else {
            return Ok(ControlFlow::Continue(()));
        };
        let touches = |first, last| last >= range.start && first < range.end;
        if touches(span.first, span.last) {
            let path = self.txn_index();
            let entries = txn_index::read(&*self.vfs, &path).or_io("read", &path)?;
            let entries = entries.into_iter();
            found.extend(entries.filter(|entry| touches(entry.first_offset, entry.last_offset)));
        }
        Ok(if span.last_stable >= range.end {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    }

    /// Where the entries are, if there are any; looked up once.
    fn aborted_span(&self) -> Result<Option<Span>, LogError> {
        // Held while the file is read, so that what is added meanwhile is not missed.
        let mut known = self.aborted.lock();
        if *known == AbortedSpan::Unread {
            *known = AbortedSpan::of(&self.read_aborted()?);
        }
        Ok(match *known {
            AbortedSpan::Some(span) => Some(span),
            AbortedSpan::Unread | AbortedSpan::Empty => None,
        })
    }

    /// Whether the index has to be read for transactions with records from `from` on, as far as is
    /// known without reading it.
    pub(in crate::log) fn may_have_aborted(&self, from: Offset) -> bool {
        match *self.aborted.lock() {
            AbortedSpan::Unread => true,
            AbortedSpan::Empty => false,
            AbortedSpan::Some(span) => span.last >= from,
        }
    }

    fn txn_index(&self) -> PathBuf {
        self.path.with_extension(files::TXN_INDEX)
    }
}
