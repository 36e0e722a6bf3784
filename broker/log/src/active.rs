//! The active segment as its writer holds it: the open file, its exact size, and when to roll.
//!
//! A segment is *full* for a batch, which then begins the next one, when the batch would take it
//! beyond `segment.bytes`, when its first record is older than `segment.ms`, when its index has no
//! room, or when the offset would not fit the index's four bytes. Readers know none of this: they
//! see the [`Segment`] alone.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use brooklet_protocol::records::BatchHeader;
use brooklet_protocol::{Offset, Timestamp};

use super::error::OrIo;
use super::indexes::GrowingIndexes;
use super::segment::{Content, Segment, SegmentSpec, log_path};
use super::{LogConfig, LogError};
use crate::vfs::{OpenMode, Vfs, VfsFile};

/// The segment that is written on.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) segment: Arc<Segment>,
    /// Open from the first append until the log is idle.
    pub(super) file: Option<Arc<dyn VfsFile>>,
    pub(super) size: u64,
    /// Whether the files on the disk may lack something that is known here.
    pub(super) is_ahead: bool,
    /// Whether the file has more room on the disk than it needs, perhaps.
    pub(super) preallocated: bool,
    /// The first batch's highest timestamp: the segment's age counts from there.
    pub(super) first_timestamp: Option<Timestamp>,
    /// When this process first wrote on it: the age of records without a timestamp.
    pub(super) first_append: Option<Timestamp>,
}

impl Active {
    /// Creates an empty segment. Its name is not synced.
    pub(super) fn create(
        vfs: &Arc<dyn Vfs>,
        dir: &Path,
        base: Offset,
        config: &LogConfig,
    ) -> Result<Self, LogError> {
        let path = log_path(dir, base);
        let file = vfs
            .open(&path, OpenMode::CreateNew)
            .or_io("create", &path)?;
        if config.preallocate
            && let Err(error) = file.allocate(config.segment_bytes)
        {
            tracing::warn!(segment = %path.display(), %error, "cannot preallocate the segment");
        }
        let spec = SegmentSpec {
            vfs: Arc::clone(vfs),
            path,
            base_offset: base,
            index_interval_bytes: config.index_interval_bytes,
            gaps_below: Offset::ZERO,
        };
        let content = Content {
            file: Arc::clone(&file),
            size: 0,
            verified_from: 0,
        };
        let segment = Segment::active(spec, content, GrowingIndexes::default());
        segment.know_aborted(&[]);
        Ok(Self {
            segment: Arc::new(segment),
            file: Some(file),
            size: 0,
            is_ahead: false,
            preallocated: config.preallocate,
            first_timestamp: None,
            first_append: None,
        })
    }

    /// Frees what was preallocated and is not used. A failure costs only room.
    pub(super) fn give_room_back(&self) {
        if let Some(file) = self.file.as_ref().filter(|_| self.preallocated)
            && let Err(error) = file.set_len(self.size)
        {
            tracing::warn!(segment = %self.segment.path().display(), %error, "cannot free preallocated room");
        }
    }

    /// Whether the batch must go to a new segment.
    pub(super) fn is_full_for(
        &self,
        header: &BatchHeader,
        base: Offset,
        now: Timestamp,
        config: &LogConfig,
    ) -> bool {
        // A segment takes at least one batch, however large.
        if self.size == 0 {
            return false;
        }
        let size_max = config.segment_bytes.min(i32::MAX as u64);
        let last_offset = base.plus(i64::from(header.last_offset_delta));
        self.size + header.size() as u64 > size_max
            || self.age_ms(header, now) > self.age_ms_max(config)
            || self.segment.indexes().is_full(config)
            || last_offset.0 - self.segment.base_offset().0 > i64::from(i32::MAX)
    }

    /// `segment.ms`, less this segment's share of `segment.jitter.ms`. The share follows from its
    /// name, so that many segments that were begun together do not roll together.
    fn age_ms_max(&self, config: &LogConfig) -> u128 {
        let jitter_ms = config.segment_jitter_max.as_millis() as u64;
        let age_ms = config.segment_age_max.as_millis();
        if jitter_ms == 0 {
            return age_ms;
        }
        let mut name = DefaultHasher::new();
        self.segment.path().hash(&mut name);
        age_ms.saturating_sub(u128::from(name.finish() % jitter_ms))
    }

    /// How much later than the segment's beginning the batch is, in records' time; by `now` where
    /// records have none.
    fn age_ms(&self, header: &BatchHeader, now: Timestamp) -> u128 {
        let (from, to) = match self.first_timestamp {
            Some(first) => (first, header.max_timestamp),
            None => (self.first_append.unwrap_or(now), now),
        };
        u128::try_from(i128::from(to.0) - i128::from(from.0)).unwrap_or(0)
    }
}

/// The timestamp from which a segment that begins with this batch ages, if it has one.
pub(super) fn age_start(header: &BatchHeader) -> Option<Timestamp> {
    (header.max_timestamp.0 >= 0).then_some(header.max_timestamp)
}
