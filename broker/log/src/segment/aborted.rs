//! A segment's transaction index: the file, and how much of it is kept in memory.
//!
//! A reader of committed records asks every segment from the first one on: a transaction with
//! records here may have been aborted later. So the span of each index is kept in memory, 24 bytes,
//! which spares most readers the look into the file. The entries stay in the file, because nothing
//! bounds their number. One that cannot be written, on a full disk or for want of a descriptor,
//! waits in memory until it can be; before that no recovery point is written down, so a crash
//! rebuilds it.

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

/// What is known of a segment's transaction index, and what is not in the file yet.
#[derive(Debug, Default)]
pub(super) struct Aborted {
    span: AbortedSpan,
    unwritten: Vec<AbortedTransaction>,
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
    pub(crate) fn know_aborted(&self, entries: &[AbortedTransaction]) {
        self.aborted.lock().span = AbortedSpan::of(entries);
    }

    /// Adds to the index.
    pub(crate) fn note_aborted(&self, entry: AbortedTransaction) {
        let mut aborted = self.aborted.lock();
        aborted.unwritten.push(entry);
        aborted.span = aborted.span.with(entry);
        drop(aborted);
        self.unsettled.store(true, Ordering::Release);
        if let Err(error) = self.write_aborted() {
            tracing::warn!("an aborted transaction is not in its index yet: {error}");
        }
    }

    /// Brings to the file what is not in it yet.
    pub(super) fn write_aborted(&self) -> Result<(), LogError> {
        let path = self.txn_index();
        let mut aborted = self.aborted.lock();
        while let Some(entry) = aborted.unwritten.first() {
            txn_index::add(&*self.vfs, &path, *entry).or_io("append to", &path)?;
            aborted.unwritten.remove(0);
        }
        Ok(())
    }

    /// Makes `entries` the index's, durably, if they are not.
    pub(crate) fn mend_aborted(&self, entries: &[AbortedTransaction]) -> Result<(), LogError> {
        let path = self.txn_index();
        txn_index::mend(&*self.vfs, &path, entries).or_io("replace", &path)?;
        self.know_aborted(entries);
        Ok(())
    }

    /// All entries of the index; none if there is no file.
    ///
    /// # Errors
    /// The disk; a missing file if the segment is retired, as another one may have its entries.
    pub(crate) fn read_aborted(&self) -> Result<Vec<AbortedTransaction>, LogError> {
        self.read_all(&self.aborted.lock(), !self.is_retired())
    }

    /// With what is not written yet; `aborted` is locked meanwhile, so that nothing is missed or
    /// seen twice.
    fn read_all(
        &self,
        aborted: &Aborted,
        may_be_missing: bool,
    ) -> Result<Vec<AbortedTransaction>, LogError> {
        let path = self.txn_index();
        let mut entries = match txn_index::read(&*self.vfs, &path) {
            Err(error) if error.kind() == ErrorKind::NotFound && may_be_missing => Vec::new(),
            read => read.or_io("read", &path)?,
        };
        entries.extend_from_slice(&aborted.unwritten);
        Ok(entries)
    }

    /// Adds the aborted transactions with records in `range` to `found`. Goes on unless those in
    /// later segments began behind it.
    ///
    /// # Errors
    /// As [`Segment::read_aborted`]; a missing file, too, if it had entries.
    pub(crate) fn find_aborted(
        &self,
        range: &Range<Offset>,
        found: &mut Vec<AbortedTransaction>,
    ) -> Result<ControlFlow<()>, LogError> {
        let Some(span) = self.aborted_span()? else {
            return Ok(ControlFlow::Continue(()));
        };
        let touches = |first, last| last >= range.start && first < range.end;
        if touches(span.first, span.last) {
            let aborted = self.aborted.lock();
            let may_be_missing = !aborted.unwritten.is_empty();
            let entries = self.read_all(&aborted, may_be_missing)?.into_iter();
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
        if known.span == AbortedSpan::Unread {
            known.span = AbortedSpan::of(&self.read_all(&known, !self.is_retired())?);
        }
        Ok(match known.span {
            AbortedSpan::Some(span) => Some(span),
            AbortedSpan::Unread | AbortedSpan::Empty => None,
        })
    }

    /// Whether the index has to be read for transactions with records from `from` on, as far as is
    /// known without reading it.
    pub(crate) fn may_have_aborted(&self, from: Offset) -> bool {
        match self.aborted.lock().span {
            AbortedSpan::Unread => true,
            AbortedSpan::Empty => false,
            AbortedSpan::Some(span) => span.last >= from,
        }
    }

    fn txn_index(&self) -> PathBuf {
        self.path.with_extension(files::TXN_INDEX)
    }
}
