//! A segment: a file of batches, back to back, and its two indexes.
//!
//! ```text
//!                 verified_from
//!                      ▼
//!  .log  [ batch | batch | batch | batch | batch ]           ◀── append, while active
//!                                                ▲
//!                                               size: published once a batch is whole
//! ```
//!
//! The last segment is active: it grows, and is read with positional reads. All others are sealed:
//! they never change again, are mapped at the first read and answered with slices of the map.
//!
//! Invariants: bytes below `size` never change; bytes from `verified_from` on were verified or
//! written by this process, those below are verified (once) before they are served; the offsets of
//! the batches are dense from the base offset on, but for a segment that was compacted, where they
//! only ascend.
//!
//! A segment is *retired* when nobody will look for it any more: its files are renamed, and whoever
//! still holds it reads on in what it has open or mapped.

use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use brooklet_protocol::records::{BATCH_HEADER_BYTES, BatchError, BatchHeader};
use brooklet_protocol::{Offset, Timestamp};
use bytes::Bytes;
use parking_lot::Mutex;

use super::cursor::BatchCursor;
use super::error::OrIo;
use super::indexes::{self, GrowingIndexes, Indexes};
use super::offset_index::OffsetEntry;
use super::verified::VerifiedRanges;
use super::{Damage, LogError, files};
use crate::vfs::{OpenMode, Vfs, VfsFile};

/// What a walk reads ahead when it only looks at headers.
pub(super) const WALK_WINDOW_BYTES: usize = 64 << 10;
/// What a search reads beyond what is asked for: about the way from an index entry to the batch.
const SEARCH_WINDOW_BYTES: usize = 4 << 10;
/// Records are decompressed to at most so many bytes to find a timestamp.
const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;

/// One `.log` file and its indexes.
#[derive(Debug)]
pub(super) struct Segment {
    vfs: Arc<dyn Vfs>,
    path: PathBuf,
    base_offset: Offset,
    index_interval_bytes: u64,
    /// Whether compaction may have taken records out, and offsets with them.
    may_have_gaps: bool,
    size: AtomicU64,
    sealed: AtomicBool,
    retired: AtomicBool,
    /// Open while the segment is active and in use, and until it is synced.
    file: Mutex<Option<Arc<dyn VfsFile>>>,
    map: OnceLock<Bytes>,
    verified_from: u64,
    verified: Mutex<VerifiedRanges>,
    indexes: Indexes,
    /// Held while a sealed segment's indexes are loaded or rebuilt, and while it is retired.
    loading: Mutex<()>,
}

/// Which batches a reader wants of a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) from: Offset,
    pub(super) up_to: Offset,
    pub(super) bytes_max: usize,
    pub(super) at_least_one: bool,
}

impl Segment {
    /// A segment that will be written on: `size` bytes are there, those from `verified_from` on
    /// are known to be good.
    pub(super) fn active(
        vfs: Arc<dyn Vfs>,
        (path, base_offset): (PathBuf, Offset),
        (file, size, verified_from): (Option<Arc<dyn VfsFile>>, u64, u64),
        indexes: GrowingIndexes,
        (index_interval_bytes, may_have_gaps): (u64, bool),
    ) -> Self {
        Self {
            vfs,
            path,
            base_offset,
            index_interval_bytes,
            may_have_gaps,
            size: AtomicU64::new(size),
            sealed: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            file: Mutex::new(file),
            map: OnceLock::new(),
            verified_from,
            verified: Mutex::default(),
            indexes: Indexes::growing(indexes),
            loading: Mutex::new(()),
        }
    }

    /// A sealed segment as it lies on the disk, nothing of it known to be good.
    pub(super) fn sealed(
        vfs: Arc<dyn Vfs>,
        path: PathBuf,
        base_offset: Offset,
        size: u64,
        (index_interval_bytes, may_have_gaps): (u64, bool),
    ) -> Self {
        Self {
            vfs,
            path,
            base_offset,
            index_interval_bytes,
            may_have_gaps,
            size: AtomicU64::new(size),
            sealed: AtomicBool::new(true),
            retired: AtomicBool::new(false),
            file: Mutex::new(None),
            map: OnceLock::new(),
            verified_from: size,
            verified: Mutex::default(),
            indexes: Indexes::unloaded(),
            loading: Mutex::new(()),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn base_offset(&self) -> Offset {
        self.base_offset
    }

    pub(super) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    /// Whether offsets only ascend, because compaction may have taken some out.
    pub(super) fn may_have_gaps(&self) -> bool {
        self.may_have_gaps
    }

    /// Whether its files are renamed, or about to be.
    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    pub(super) fn indexes(&self) -> &Indexes {
        &self.indexes
    }

    /// Makes the bytes below `size` visible to readers.
    pub(super) fn publish(&self, size: u64) {
        self.size.store(size, Ordering::Release);
    }

    /// Takes note of the batch that was appended at `position`.
    pub(super) fn index(&self, header: &BatchHeader, position: u64) {
        let interval_bytes = self.index_interval_bytes;
        let batch = (header, position);
        (self.indexes).add(
            &*self.vfs,
            &self.path,
            self.base_offset,
            batch,
            interval_bytes,
        );
    }

    /// Nothing more will be written.
    pub(super) fn seal(&self) {
        self.indexes.seal(&*self.vfs, &self.path);
        self.sealed.store(true, Ordering::Release);
    }

    /// Makes the segment durable; once it is sealed, its indexes too.
    pub(super) fn sync(&self) -> Result<(), LogError> {
        // Asked first: what is sealed now cannot get more bytes after the sync.
        let sealed = self.is_sealed();
        let open = self.file.lock().clone();
        let file = match open.map_or_else(|| self.vfs.open(&self.path, OpenMode::Read), Ok) {
            // It went while we came: what is deleted nobody needs on the disk.
            Err(error) if error.kind() == ErrorKind::NotFound && self.is_retired() => return Ok(()),
            file => file.or_io("open", &self.path)?,
        };
        file.sync_data().or_io("sync", &self.path)?;
        if sealed {
            self.sync_indexes()?;
            *self.file.lock() = None;
        }
        Ok(())
    }

    /// The file, for the one writer.
    pub(super) fn open_to_write(&self) -> Result<Arc<dyn VfsFile>, LogError> {
        let opened = self.vfs.open(&self.path, OpenMode::Write);
        let opened = opened.or_io("open", &self.path)?;
        *self.file.lock() = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// Lets go of the file; whoever needs it opens it again. All that was written is synced.
    pub(super) fn close_file(&self) {
        *self.file.lock() = None;
    }

    /// The file of the active segment.
    fn open_to_read(&self) -> Result<Arc<dyn VfsFile>, LogError> {
        let mut file = self.file.lock();
        if let Some(open) = &*file {
            return Ok(Arc::clone(open));
        }
        let opened = self.vfs.open(&self.path, OpenMode::Read);
        let opened = opened.or_io("open", &self.path)?;
        *file = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// Whether the next sync has to come by, whatever its recovery point says.
    pub(super) fn holds_file(&self) -> bool {
        self.file.lock().is_some()
    }

    /// Makes the index files durable, if there are any.
    pub(super) fn sync_indexes(&self) -> Result<(), LogError> {
        for path in indexes::paths(&self.path) {
            match self.vfs.open(&path, OpenMode::Read) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                file => file
                    .and_then(|file| file.sync_data())
                    .or_io("sync", &path)?,
            }
        }
        Ok(())
    }

    /// Renames the files to `.deleted`, after which no look-up by name finds them; returns the new
    /// names. If a file cannot be renamed, those before it are, and the segment is as it was
    /// for whoever opens the log next only if the `.log` is among the others: it goes first.
    pub(super) fn retire(&self) -> Result<Vec<PathBuf>, LogError> {
        // Whoever makes indexes anew writes them under the old names, or sees that they are gone.
        let _guard = self.loading.lock();
        self.retired.store(true, Ordering::Release);
        let mut renamed = Vec::new();
        for path in files::of_segment(&self.path) {
            let to = files::deleted(&path);
            match self.vfs.rename(&path, &to) {
                Ok(()) => renamed.push(to),
                // An index, which need not be there.
                Err(error) if error.kind() == ErrorKind::NotFound && !renamed.is_empty() => {}
                Err(error) => {
                    // With its `.log` in place it is still a segment; without, its indexes are
                    // leftovers.
                    self.retired.store(!renamed.is_empty(), Ordering::Release);
                    return Err(error).or_io("rename", &path);
                }
            }
        }
        Ok(renamed)
    }

    /// The bytes of `range`: a slice of the map, or a fresh buffer.
    pub(super) fn bytes(&self, range: Range<u64>) -> Result<Bytes, LogError> {
        if !self.is_sealed() {
            let mut buffer = vec![0; (range.end - range.start) as usize];
            let file = self.open_to_read()?;
            (file.read_exact_at(&mut buffer, range.start)).or_io("read", &self.path)?;
            return Ok(buffer.into());
        }
        let map = self.map()?;
        // Somebody may have cut the file since it was opened; then the answer is short.
        let end = range.end.min(map.len() as u64);
        let start = range.start.min(end);
        Ok(map.slice(start as usize..end as usize))
    }

    fn map(&self) -> Result<&Bytes, LogError> {
        if let Some(map) = self.map.get() {
            return Ok(map);
        }
        let file = self
            .vfs
            .open(&self.path, OpenMode::Read)
            .or_io("open", &self.path)?;
        let map = file.map().or_io("map", &self.path)?;
        Ok(self.map.get_or_init(|| map))
    }

    /// Stands at the first batch.
    pub(super) fn walk(&self, window_bytes: usize) -> BatchCursor<'_> {
        BatchCursor::new(self, (0, Some(self.base_offset)), window_bytes)
    }

    /// Stands at `position`, where a batch begins.
    pub(super) fn walk_from(&self, position: u64, window_bytes: usize) -> BatchCursor<'_> {
        let first = (position == 0).then_some(self.base_offset);
        BatchCursor::new(self, (position, first), window_bytes)
    }

    /// Stands at the batch that contains `offset`, or at the end. Damage on the way there is walked
    /// around if an index entry leads to the other side of it.
    pub(super) fn seek(
        &self,
        offset: Offset,
        window_bytes: usize,
    ) -> Result<BatchCursor<'_>, LogError> {
        self.load_indexes()?;
        let window_bytes = SEARCH_WINDOW_BYTES + window_bytes.min(WALK_WINDOW_BYTES);
        let nearest = self.nearest(offset, window_bytes)?;
        let found = match nearest {
            Some(cursor) => walk_to(cursor, offset),
            None => walk_to(self.walk(window_bytes), offset)
                .and_then(|cursor| self.rebuild_indexes().map(|()| cursor)),
        };
        match found {
            Err(error) if error.is_corruption() => {
                let behind = self.beyond_damage(offset, window_bytes)?;
                behind.ok_or(error)
            }
            found => found,
        }
    }

    /// Stands at the last batch that the index knows, or at the first.
    pub(super) fn seek_last(&self, window_bytes: usize) -> Result<BatchCursor<'_>, LogError> {
        let nearest = self.nearest(Offset(files::OFFSET_MAX), window_bytes)?;
        Ok(nearest.unwrap_or_else(|| self.walk(window_bytes)))
    }

    /// Stands as near before `offset` as the index knows; `None` when what it knows is wrong.
    fn nearest(
        &self,
        offset: Offset,
        window_bytes: usize,
    ) -> Result<Option<BatchCursor<'_>>, LogError> {
        match self.indexes.offset_floor(offset.0 - self.base_offset.0) {
            None => Ok(Some(self.walk(window_bytes))),
            Some(entry) => self.follow(entry, window_bytes),
        }
    }

    /// Stands at the batch that contains `offset` if an index entry leads right there.
    fn beyond_damage(
        &self,
        offset: Offset,
        window_bytes: usize,
    ) -> Result<Option<BatchCursor<'_>>, LogError> {
        let Some(entry) = (self.indexes).offset_ceiling(offset.0 - self.base_offset.0) else {
            return Ok(None);
        };
        let Some(mut cursor) = self.follow(entry, window_bytes)? else {
            return Ok(None);
        };
        let contains = |header: BatchHeader| header.base_offset <= offset;
        Ok(cursor.header()?.is_some_and(contains).then_some(cursor))
    }

    /// Stands at the batch that an index entry names; `None` when there is no such batch.
    pub(super) fn follow(
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
            Err(error) if !error.is_corruption() => Err(error),
            _ => Ok(None),
        }
    }

    /// Whole, verified batches as [`super::LogReader::read`] promises them, from an offset on that
    /// must be in this segment; `None` where compaction has left nothing from there on. Damage
    /// behind the first batch ends the answer; at the first batch it is the answer.
    pub(super) fn read(&self, wanted: Wanted) -> Result<Option<Bytes>, LogError> {
        let cursor = self.seek(wanted.from, wanted.bytes_max)?;
        let start = cursor.position();
        match self.read_at(cursor, wanted) {
            Err(error) if error.is_corruption() => {
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
    ) -> Result<Option<Bytes>, LogError> {
        if cursor.rest() == 0 && self.may_have_gaps {
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
        cursor.bytes(start, cursor.rest().min(wanted.bytes_max as u64) as usize)?;
        let mut length = 0;
        loop {
            match self.take(&mut cursor, wanted, length) {
                Ok(0) => break,
                Ok(taken) => length += taken,
                Err(error) if error.is_corruption() && length > 0 => break,
                Err(error) => return Err(error),
            }
        }
        cursor.bytes(start, length).map(Some)
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

    /// Checks the batch here once.
    fn verify(&self, cursor: &mut BatchCursor<'_>, header: &BatchHeader) -> Result<(), LogError> {
        let position = cursor.position();
        let range = position..position + header.size() as u64;
        if position < self.verified_from && !self.verified.lock().contains(&range) {
            cursor.verified_batch(header)?;
            self.verified.lock().insert(range);
        }
        Ok(())
    }

    /// The first record from offset `from` on at or after `timestamp`, as (offset, its timestamp).
    pub(super) fn find_timestamp(
        &self,
        timestamp: Timestamp,
        from: Offset,
    ) -> Result<Option<(Offset, Timestamp)>, LogError> {
        if (self.max_timestamp()?).is_none_or(|highest| highest < timestamp) {
            return Ok(None);
        }
        let mut cursor = self.seek_time(timestamp)?;
        while let Some(header) = cursor.header()? {
            if header.max_timestamp >= timestamp
                && header.last_offset() >= from
                && let Some(found) = first_record(&mut cursor, &header, timestamp, from)?
            {
                return Ok(Some(found));
            }
            cursor.advance(&header);
        }
        Ok(None)
    }

    /// Stands before all records at or after `timestamp`, as near as the index knows.
    fn seek_time(&self, timestamp: Timestamp) -> Result<BatchCursor<'_>, LogError> {
        let Some(entry) = self.indexes.time_floor(timestamp) else {
            return Ok(self.walk(WALK_WINDOW_BYTES));
        };
        let last_offset = self.base_offset.plus(i64::from(entry.relative_offset));
        let mut cursor = self.seek(last_offset, WALK_WINDOW_BYTES)?;
        let right = |header: BatchHeader| {
            header.last_offset() == last_offset && header.max_timestamp == entry.timestamp
        };
        if cursor.header()?.is_some_and(right) {
            return Ok(cursor);
        }
        self.rebuild_indexes()?;
        Ok(self.walk(WALK_WINDOW_BYTES))
    }

    /// The highest timestamp in the segment, if a record has any.
    pub(super) fn max_timestamp(&self) -> Result<Option<Timestamp>, LogError> {
        self.load_indexes()?;
        Ok(self.indexes.highest().map(|highest| highest.timestamp))
    }

    /// Brings the index files of a sealed segment into memory, made anew if they are not usable.
    fn load_indexes(&self) -> Result<(), LogError> {
        if !self.is_sealed() || !self.indexes.is_unloaded() {
            return Ok(());
        }
        let _guard = self.loading.lock();
        if !self.indexes.is_unloaded() {
            return Ok(());
        }
        let loaded = self.indexes.load(&*self.vfs, &self.path, self.size());
        if !loaded.or_io("read the indexes of", &self.path)? {
            let segment = self.path.display();
            tracing::warn!(%segment, "indexes missing or inconsistent: rebuilt");
            self.rebuild()?;
        }
        Ok(())
    }

    /// Makes the indexes of a sealed segment anew: an entry led nowhere. Those of the active one
    /// are in the hands of the writer; where they are wrong a search walks from the start.
    fn rebuild_indexes(&self) -> Result<(), LogError> {
        tracing::warn!(segment = %self.path.display(), "an index entry is wrong");
        if !self.is_sealed() {
            return Ok(());
        }
        let _guard = self.loading.lock();
        self.rebuild()
    }

    fn rebuild(&self) -> Result<(), LogError> {
        let mut rebuilt = GrowingIndexes::default();
        let mut cursor = self.walk(WALK_WINDOW_BYTES);
        let interval_bytes = self.index_interval_bytes;
        let damage = cursor.walk_to_end(|cursor, header| {
            rebuilt.add(self.base_offset, header, cursor.position(), interval_bytes);
            Ok(())
        })?;
        if let Some(damage) = damage {
            // What is before it can still be found; reading on will name it.
            tracing::warn!(%damage, "indexes end before the damage");
        }
        // The names of a retired segment may be those of another by now.
        let files = (!self.is_retired()).then_some((&*self.vfs, self.path.as_path()));
        self.indexes.replace(files, rebuilt);
        Ok(())
    }

    /// Damage in this segment.
    pub(super) fn corrupt(&self, position: u64, source: Damage) -> LogError {
        LogError::Corrupt {
            path: self.path.clone(),
            position,
            source,
        }
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

/// The first record from offset `from` on at or after `timestamp` in the batch here.
fn first_record(
    cursor: &mut BatchCursor<'_>,
    header: &BatchHeader,
    timestamp: Timestamp,
    from: Offset,
) -> Result<Option<(Offset, Timestamp)>, LogError> {
    let batch = cursor.verified_batch(header)?;
    let corrupt = |error: BatchError| cursor.corrupt(error.into());
    let records = batch.records(DECOMPRESSED_BYTES_MAX).map_err(corrupt)?;
    for record in &records {
        let record = record.map_err(corrupt)?;
        if record.timestamp >= timestamp && record.offset >= from {
            return Ok(Some((record.offset, record.timestamp)));
        }
    }
    Ok(None)
}

/// A segment's path.
pub(super) fn log_path(dir: &Path, base: Offset) -> PathBuf {
    files::path(dir, base, files::LOG)
}
