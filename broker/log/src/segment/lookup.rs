//! Finding a batch by its offset, and reading from there.
//!
//! ```text
//!  offset ─▶ index: last entry at or below ─▶ follow: is that batch there? ─▶ walk headers to it
//!               │ none                          │ no
//!               └─▶ walk from the start         └─▶ rebuild the index, walk from the start
//! ```
//!
//! An index entry is a hint, checked where it leads. Base offset and length of a batch lie outside
//! of its checksum, so a walk over headers may be led astray by a damaged one: where it meets
//! damage, an entry that leads right to the batch behind it is tried.
//!
//! What was not verified since the open is verified before it is returned, once. Damage behind the
//! first batch of a read ends the read; damage at the first batch is its error.

use std::io;

use brooklet_protocol::Offset;
use brooklet_protocol::records::{BATCH_HEADER_BYTES, BatchHeader};
use bytes::Bytes;

use super::super::cursor::BatchCursor;
use super::super::error::OrIo;
use super::super::indexes::OpenIndex;
use super::super::offset_index::OffsetEntry;
use super::super::{Damage, LogError, files};
use super::{SEARCH_WINDOW_BYTES, Segment, WALK_WINDOW_BYTES, Wanted};
use crate::vfs::is_passing;

/// What an index says.
pub(super) enum LookedUp<E> {
    /// There is an entry.
    Entry(E),
    /// There is none, and none is missing.
    Nothing,
    /// The index cannot be read.
    Wrong,
}

impl Segment {
    /// Stands at the first batch.
    pub(crate) fn walk(&self, window_bytes: usize) -> BatchCursor<'_> {
        BatchCursor::new(self, (0, Some(self.base_offset)), window_bytes)
    }

    /// Stands at `position`, where a batch begins.
    pub(crate) fn walk_from(&self, position: u64, window_bytes: usize) -> BatchCursor<'_> {
        let first = (position == 0).then_some(self.base_offset);
        BatchCursor::new(self, (position, first), window_bytes)
    }

    /// Stands at the batch that contains `offset`, or at the end. Damage on the way there is walked
    /// around if an index entry leads to the other side of it.
    pub(crate) fn seek(
        &self,
        offset: Offset,
        window_bytes: usize,
    ) -> Result<BatchCursor<'_>, LogError> {
        self.load_indexes()?;
        // Little is read on the way; more than that is read at once from where it begins, not
        // twice.
        let on_the_way = Some(window_bytes).filter(|bytes| *bytes <= WALK_WINDOW_BYTES);
        let window_bytes = SEARCH_WINDOW_BYTES + on_the_way.unwrap_or(0);
        let nearest = self.nearest(offset, window_bytes)?;
        let found = match nearest {
            Some(cursor) => walk_to(cursor, offset),
            None => walk_to(self.walk(WALK_WINDOW_BYTES), offset)
                .and_then(|cursor| self.rebuild_indexes().map(|()| cursor)),
        };
        match found {
            Err(error) if error.is_damage() => {
                let behind = self.beyond_damage(offset, window_bytes)?;
                behind.ok_or(error)
            }
            found => found,
        }
    }

    /// Stands about `bytes` before the batch with `offset`, as the index knows; at the first batch
    /// if that is nearer.
    pub(crate) fn seek_before(
        &self,
        offset: Offset,
        bytes: u64,
    ) -> Result<BatchCursor<'_>, LogError> {
        let position = self.seek(offset, WALK_WINDOW_BYTES)?.position();
        let start = i64::try_from(position.saturating_sub(bytes)).unwrap_or(i64::MAX);
        let entry = self.look_up(|open| self.indexes.position_floor(open, start))?;
        let followed = match entry {
            LookedUp::Entry(entry) => self.follow(entry, WALK_WINDOW_BYTES)?,
            LookedUp::Nothing | LookedUp::Wrong => None,
        };
        Ok(followed.unwrap_or_else(|| self.walk(WALK_WINDOW_BYTES)))
    }

    /// Stands at the last batch that the index knows, or at the first.
    pub(crate) fn seek_last(&self, window_bytes: usize) -> Result<BatchCursor<'_>, LogError> {
        let nearest = self.nearest(Offset(files::OFFSET_MAX), window_bytes)?;
        Ok(nearest.unwrap_or_else(|| self.walk(window_bytes)))
    }

    /// Stands as near before `offset` as the index knows; `None` when what it knows is wrong.
    fn nearest(
        &self,
        offset: Offset,
        window_bytes: usize,
    ) -> Result<Option<BatchCursor<'_>>, LogError> {
        let relative = offset.0 - self.base_offset.0;
        match self.look_up(|open| self.indexes.offset_floor(open, relative))? {
            LookedUp::Entry(entry) => self.follow(entry, window_bytes),
            LookedUp::Nothing => Ok(Some(self.walk(window_bytes))),
            LookedUp::Wrong => Ok(None),
        }
    }

    /// Looks into an index. An unreadable one is as wrong as one that leads nowhere, unless the
    /// error says nothing about the file.
    pub(super) fn look_up<E>(
        &self,
        look: impl FnOnce(OpenIndex<'_>) -> io::Result<Option<E>>,
    ) -> Result<LookedUp<E>, LogError> {
        let open = |number: &_, extension: &str| self.open_index(number, extension);
        match look(&open) {
            Ok(entry) => Ok(entry.map_or(LookedUp::Nothing, LookedUp::Entry)),
            Err(error) if is_passing(&error) || self.is_retired() => {
                Err(error).or_io("search the indexes of", &self.path)
            }
            Err(error) => {
                tracing::warn!(segment = %self.path.display(), %error, "an index cannot be read");
                Ok(LookedUp::Wrong)
            }
        }
    }

    /// Stands at the batch that contains `offset` if an index entry leads right there.
    fn beyond_damage(
        &self,
        offset: Offset,
        window_bytes: usize,
    ) -> Result<Option<BatchCursor<'_>>, LogError> {
        let relative = offset.0 - self.base_offset.0;
        let entry = self.look_up(|open| self.indexes.offset_ceiling(open, relative))?;
        let LookedUp::Entry(entry) = entry else {
            return Ok(None);
        };
        let Some(mut cursor) = self.follow(entry, window_bytes)? else {
            return Ok(None);
        };
        let contains = |header: BatchHeader| header.base_offset <= offset;
        Ok(cursor.header()?.is_some_and(contains).then_some(cursor))
    }

    /// Stands at the batch that an index entry names; `None` when there is no such batch.
    pub(crate) fn follow(
        &self,
        entry: OffsetEntry,
        window_bytes: usize,
    ) -> Result<Option<BatchCursor<'_>>, LogError> {
        let Ok(position) = u64::try_from(entry.position) else {
            return Ok(None);
        };
        let last_offset = self.base_offset.plus(i64::from(entry.relative_offset));
        let mut cursor = BatchCursor::new(self, (position, None), window_bytes);
        match cursor.header() {
            Ok(Some(header)) if header.last_offset() == last_offset => Ok(Some(cursor)),
            Err(error) if !error.is_damage() => Err(error),
            _ => Ok(None),
        }
    }

    /// Whole, verified batches as [`super::LogReader::read`] promises them, and the offset behind
    /// the last, from an offset on that must be in this segment; `None` where compaction has left
    /// nothing from there on. Damage behind the first batch ends the answer; at the first batch it
    /// is the answer.
    pub(crate) fn read(&self, wanted: Wanted) -> Result<Option<(Bytes, Offset)>, LogError> {
        let cursor = self.seek(wanted.from, wanted.bytes_max)?;
        let start = cursor.position();
        match self.read_at(cursor, wanted) {
            Err(error) if error.is_damage() => {
                // A damaged header may claim offsets that are those of the next batch.
                let behind = self.beyond_damage(wanted.from, wanted.bytes_max)?;
                match behind.filter(|cursor| cursor.position() > start) {
                    Some(cursor) => self.read_at(cursor, wanted),
                    None => Err(error),
                }
            }
            read => read,
        }
    }

    fn read_at(
        &self,
        mut cursor: BatchCursor<'_>,
        wanted: Wanted,
    ) -> Result<Option<(Bytes, Offset)>, LogError> {
        if cursor.rest() == 0 && self.may_have_gaps() {
            return Ok(None);
        }
        if cursor.rest() == 0 {
            return Err(cursor.corrupt(Damage::EndsEarly {
                end: cursor.next_offset(),
                expected: wanted.from.plus(1),
            }));
        }
        let start = cursor.position();
        // All at once, so that the walk below does not read the file piece by piece.
        cursor.read_ahead(cursor.rest().min(wanted.bytes_max as u64) as usize)?;
        let mut length = 0;
        loop {
            match self.take(&mut cursor, wanted, length) {
                Ok(0) => break,
                Ok(taken) => length += taken,
                Err(error) if error.is_damage() && length > 0 => break,
                Err(error) => return Err(error),
            }
        }
        let next = if length > 0 {
            cursor.next_offset()
        } else {
            wanted.from
        };
        Ok(Some((cursor.bytes(start, length)?, next)))
    }

    /// Goes over the batch here if it is wanted behind `length` bytes; returns its size, or 0.
    fn take(
        &self,
        cursor: &mut BatchCursor<'_>,
        wanted: Wanted,
        length: usize,
    ) -> Result<usize, LogError> {
        let must = length == 0 && wanted.at_least_one;
        let fits = |bytes: usize| must || length + bytes <= wanted.bytes_max;
        if !fits(BATCH_HEADER_BYTES) {
            return Ok(0);
        }
        let Some(header) = cursor.header()? else {
            return Ok(0);
        };
        if !fits(header.size()) {
            return Ok(0);
        }
        self.verify(cursor, &header)?;
        // Asked only now: before, the header's offsets are hearsay.
        if header.next_offset() > wanted.up_to {
            return Ok(0);
        }
        cursor.advance(&header);
        Ok(header.size())
    }

    /// Reads the batch here, and checks it once.
    fn verify(&self, cursor: &mut BatchCursor<'_>, header: &BatchHeader) -> Result<(), LogError> {
        let position = cursor.position();
        let range = position..position + header.size() as u64;
        if position < self.verified_from && !self.verified.lock().contains(&range) {
            cursor.verify(header)?;
            self.verified.lock().insert(range);
            return Ok(());
        }
        cursor.load(header)
    }
}

/// Goes on to the batch that contains `offset`, or to the end.
fn walk_to(mut cursor: BatchCursor<'_>, offset: Offset) -> Result<BatchCursor<'_>, LogError> {
    while let Some(header) = cursor.header()?
        && header.last_offset() < offset
    {
        let here = cursor.position();
        cursor.advance(&header);
        let next = cursor.header();
        if !matches!(next, Ok(Some(_))) {
            // Where the chain breaks or ends, the batch before may be the one that lies.
            cursor.verify_passed(here, &header)?;
            next?;
        }
    }
    Ok(cursor)
}
