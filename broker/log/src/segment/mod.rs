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
//! The last segment is active: it grows. All others are sealed: they never change again. Both are
//! read with positional reads into buffers, never through a map: a sector that cannot be read is an
//! error of that one read, and so is a file that was cut from outside.
//!
//! Invariants: bytes below `size` never change; bytes from `verified_from` on were verified or
//! written by this process, those below are verified (once) before they are served; the offsets of
//! the batches are dense from the base offset on, except in a segment that was compacted, where
//! they only ascend.
//!
//! A segment is *retired* once it is no longer part of the log: its files are renamed, and a reader
//! that still holds it reads on in the file that it has open, or looks again.

use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use brooklet_protocol::records::BatchHeader;
use brooklet_protocol::{Offset, Timestamp};
use bytes::Bytes;
use parking_lot::Mutex;

use super::error::OrIo;
use super::indexes::{GrowingIndexes, Indexes};
use super::read_files::FileNumber;
use super::verified::VerifiedRanges;
use super::{Damage, LogError, buffers, files};
use crate::vfs::{Vfs, VfsFile, is_passing};

mod aborted;
mod files_of;
mod lookup;
mod times;

use aborted::Aborted;

/// What a walk reads ahead when it only looks at headers.
pub(crate) const WALK_WINDOW_BYTES: usize = 64 << 10;
/// What a search reads beyond what is asked for: about the way from an index entry to the batch.
const SEARCH_WINDOW_BYTES: usize = 4 << 10;
/// Decompressed bytes of one batch at most, where its records are searched for a timestamp.
const DECOMPRESSED_BYTES_MAX: usize = 64 << 20;

/// One `.log` file and its indexes.
#[derive(Debug)]
pub(crate) struct Segment {
    vfs: Arc<dyn Vfs>,
    path: PathBuf,
    base_offset: Offset,
    index_interval_bytes: u64,
    /// Below it compaction may have taken records out, and offsets with them.
    gaps_below: Offset,
    size: AtomicU64,
    sealed: AtomicBool,
    retired: AtomicBool,
    number: FileNumber,
    /// Open while the segment is active and in use, and until it is synced.
    file: Mutex<Option<Arc<dyn VfsFile>>>,
    verified_from: u64,
    verified: Mutex<VerifiedRanges>,
    indexes: Indexes,
    aborted: Mutex<Aborted>,
    /// Whether something is in the indexes that may not be on the disk.
    unsettled: AtomicBool,
    /// Whether headers' max timestamps may be other than the records'.
    unchecked: AtomicBool,
    /// The highest timestamp of an unchecked segment, as the records have it.
    surveyed: OnceLock<Option<Timestamp>>,
    /// Held while a sealed segment's indexes are loaded or rebuilt, and while it is retired.
    loading: Mutex<()>,
}

/// What a segment is made with, and keeps.
#[derive(Debug)]
pub(crate) struct SegmentSpec {
    pub(crate) vfs: Arc<dyn Vfs>,
    /// Its `.log` file.
    pub(crate) path: PathBuf,
    pub(crate) base_offset: Offset,
    /// Bytes of log per index entry.
    pub(crate) index_interval_bytes: u64,
    /// Below it compaction may have taken records out, and offsets with them.
    pub(crate) gaps_below: Offset,
}

/// What a segment that will be written on already has.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) file: Arc<dyn VfsFile>,
    pub(crate) size: u64,
    /// The bytes from here on are known to be good.
    pub(crate) verified_from: u64,
}

/// Which batches a reader wants of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) from: Offset,
    pub(crate) up_to: Offset,
    pub(crate) bytes_max: usize,
    pub(crate) at_least_one: bool,
}

impl Segment {
    /// A segment that will be written on, of which `content` is there already.
    pub(crate) fn active(spec: SegmentSpec, content: Content, indexes: GrowingIndexes) -> Self {
        Self {
            sealed: AtomicBool::new(false),
            file: Mutex::new(Some(content.file)),
            verified_from: content.verified_from,
            indexes: Indexes::growing(indexes),
            ..Self::sealed(spec, content.size)
        }
    }

    /// A sealed segment of `size` bytes as it is on the disk. Nothing of it is verified yet.
    pub(crate) fn sealed(spec: SegmentSpec, size: u64) -> Self {
        Self {
            vfs: spec.vfs,
            path: spec.path,
            base_offset: spec.base_offset,
            index_interval_bytes: spec.index_interval_bytes,
            gaps_below: spec.gaps_below,
            size: AtomicU64::new(size),
            sealed: AtomicBool::new(true),
            retired: AtomicBool::new(false),
            number: FileNumber::next(),
            file: Mutex::new(None),
            verified_from: size,
            verified: Mutex::default(),
            indexes: Indexes::unloaded(),
            aborted: Mutex::default(),
            unsettled: AtomicBool::new(false),
            unchecked: AtomicBool::new(false),
            surveyed: OnceLock::new(),
            loading: Mutex::new(()),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn base_offset(&self) -> Offset {
        self.base_offset
    }

    pub(crate) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    /// Whether offsets may only ascend somewhere, because compaction has taken some out.
    pub(crate) fn may_have_gaps(&self) -> bool {
        self.base_offset < self.gaps_below
    }

    /// Whether compaction may have taken out what lies between these offsets.
    pub(crate) fn may_be_gap(&self, from: Offset, to: Offset) -> bool {
        from < to && to <= self.gaps_below
    }

    /// Whether its files are renamed, or about to be.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    pub(crate) fn indexes(&self) -> &Indexes {
        &self.indexes
    }

    /// Makes the bytes below `size` visible to readers.
    pub(crate) fn publish(&self, size: u64) {
        self.size.store(size, Ordering::Release);
    }

    /// Adds the batch that was appended at `position` to the indexes.
    pub(crate) fn index(&self, header: &BatchHeader, position: u64) {
        self.unsettled.store(true, Ordering::Release);
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

    /// The bytes of `range`; fewer, if the file was cut from outside.
    pub(crate) fn bytes(&self, range: Range<u64>) -> Result<Bytes, LogError> {
        let file = self.open_to_read()?;
        let read = |range: &Range<u64>| {
            let length = (range.end - range.start) as usize;
            buffers::fill(length, |buffer| file.read_exact_at(buffer, range.start))
        };
        let mut found = read(&range);
        if let Err(error) = &found
            && error.kind() == ErrorKind::UnexpectedEof
        {
            let end = file.len().or_io("measure", &self.path)?;
            found = read(&(range.start..range.end.min(end).max(range.start)));
        }
        found.map_err(|source| self.read_error(range.start, source))
    }

    fn read_error(&self, position: u64, source: io::Error) -> LogError {
        let path = self.path.clone();
        if is_passing(&source) {
            let action = "read";
            return LogError::Io {
                action,
                path,
                source,
            };
        }
        LogError::Unreadable {
            path,
            position,
            source,
        }
    }

    /// Brings the index files of a sealed segment into memory, rebuilt if they are not usable.
    fn load_indexes(&self) -> Result<(), LogError> {
        if !self.is_sealed() || !self.indexes.is_unloaded() {
            return Ok(());
        }
        let _guard = self.loading.lock();
        if !self.indexes.is_unloaded() {
            return Ok(());
        }
        let open = |number: &_, extension: &str| self.open_index(number, extension);
        let loaded = self.indexes.load(&open, self.size());
        if self.is_retired() {
            // The files that were opened may be those of the segment that has replaced it.
            return Err(io::Error::from(ErrorKind::NotFound)).or_io("open", &self.path);
        }
        if !loaded.or_io("read the indexes of", &self.path)? {
            let segment = self.path.display();
            tracing::warn!(%segment, "indexes missing or inconsistent: rebuilt");
            self.rebuild()?;
        }
        Ok(())
    }

    /// With its file open and its indexes in memory, so that it can be read before its files have
    /// their names.
    pub(crate) fn with_file(mut self, file: Arc<dyn VfsFile>, indexes: &GrowingIndexes) -> Self {
        self.file = Mutex::new(Some(file));
        self.indexes = Indexes::unloaded();
        self.indexes.replace(None, indexes.clone());
        self
    }

    /// Takes the indexes that were made with the segment, and writes their files.
    pub(crate) fn take_indexes(&self, indexes: GrowingIndexes) {
        let files: (&dyn Vfs, &Path) = (&*self.vfs, &self.path);
        self.indexes.replace(Some(files), indexes);
    }

    /// Rebuilds the indexes of a sealed segment, because an entry led nowhere. Those of the active
    /// one are the writer's; where they are wrong a search walks from the start.
    fn rebuild_indexes(&self) -> Result<(), LogError> {
        tracing::warn!(segment = %self.path.display(), "an index entry is wrong: searching without it");
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
        let walked = cursor.walk_to_end(|cursor, header| {
            rebuilt.add(self.base_offset, header, cursor.position(), interval_bytes);
            Ok(())
        });
        let damage = match walked {
            Err(error) if error.is_unreadable() => Some(error),
            walked => walked?,
        };
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
    pub(crate) fn corrupt(&self, position: u64, source: Damage) -> LogError {
        LogError::Corrupt {
            path: self.path.clone(),
            position,
            source,
        }
    }
}

/// A segment's path.
pub(crate) fn log_path(dir: &Path, base: Offset) -> PathBuf {
    files::path(dir, base, files::LOG)
}
