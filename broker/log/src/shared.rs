//! What the writer and the readers of one log share.
//!
//! ```text
//!   log start      settled point   recovery point        log end
//!       ▼                ▼               ▼                  ▼
//!       ├────────────────┼───────────────┼──────────────────┤
//!       │ records and    │ records are   │ in the page      │ ◀── the writer publishes
//!       │ indexes synced │ synced        │ cache            │
//! ```
//!
//! The writer publishes in one order: the segment, then its size, then the log's end. Readers look
//! in the opposite order, so that whatever end they see is covered by the segments and sizes they
//! see after it. Nothing here is locked while a file is written or read. Two turns are held longer:
//! the one to sync, while files are synced, and the one of maintenance, while segments are retired
//! or replaced.
//!
//! Invariants, asserted where a side moves:
//! - each of the four offsets only grows;
//! - log start ≤ log end: the end is read when the start moves, and only grows;
//! - settled point ≤ recovery point ≤ log end, for the same reason; the log start may be beyond
//!   either, in a log that is never synced;
//! - a batch begins where the log ended, and has at least one offset;
//! - segments ascend, and there is always one.
//!
//! The high watermark and who may move it are the partition's business, not the log's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use brooklet_protocol::Offset;
use parking_lot::{Mutex, MutexGuard, RwLock};

use super::error::OrIo;
use super::retired::RetiredSegments;
use super::segment::Segment;
use super::unstable::Unstable;
use super::{LogConfig, LogError, sync_points};
use crate::vfs::Vfs;

/// Segments in ascending order of their offsets; there is always one.
pub(super) type Segments = Arc<[Arc<Segment>]>;

/// Whether a log writes down how far it is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SyncPoints {
    Kept,
    /// No longer: its directory may be that of another log by now.
    Ended,
}

/// What recovery has found, to be shared from now on.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) vfs: Arc<dyn Vfs>,
    pub(super) dir: PathBuf,
    pub(super) config: LogConfig,
    pub(super) segments: Segments,
    pub(super) log_start: Offset,
    pub(super) end_offset: Offset,
    pub(super) recovery_point: Offset,
    /// Directories with names that are not synced.
    pub(super) unsynced_names: BTreeSet<PathBuf>,
}

#[derive(Debug)]
pub(super) struct Shared {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    config: RwLock<Arc<LogConfig>>,
    segments: RwLock<Segments>,
    log_start: AtomicI64,
    end_offset: AtomicI64,
    recovery_point: AtomicI64,
    /// The recovery point as it may be written down.
    settled_point: AtomicI64,
    /// Below it everything is compacted.
    cleaned_below: AtomicI64,
    /// Below it compaction may have left gaps, as it is written down.
    gaps_below: AtomicI64,
    unstable: Mutex<Unstable>,
    /// Whether a transaction index has ever had something to say.
    has_aborted: AtomicBool,
    /// The end when the log was opened: what is below it may be on the disk only, not in the page
    /// cache.
    opened_end: Offset,
    /// Directories with names that were not synced.
    unsynced_names: Mutex<BTreeSet<PathBuf>>,
    /// Held during a sync; says whether what is synced is written down.
    sync_turn: Mutex<SyncPoints>,
    /// Held while segments are retired or replaced.
    maintenance_turn: Mutex<()>,
    /// Segments whose files are still to be removed.
    retired: RetiredSegments,
    offline: AtomicBool,
    /// Whether it was reported that retention deletes new records early.
    has_said_early: AtomicBool,
}

impl Shared {
    pub(super) fn new(recovered: Recovered) -> Self {
        let Recovered {
            vfs,
            dir,
            config,
            segments,
            log_start,
            end_offset,
            recovery_point,
            unsynced_names,
        } = recovered;
        assert!(!segments.is_empty(), "a log has a segment");
        assert!(
            log_start <= end_offset && recovery_point <= end_offset,
            "log start {log_start} and recovery point {recovery_point} are at most the end {end_offset}"
        );
        Self {
            vfs,
            dir,
            config: RwLock::new(Arc::new(config)),
            segments: RwLock::new(segments),
            log_start: AtomicI64::new(log_start.0),
            end_offset: AtomicI64::new(end_offset.0),
            recovery_point: AtomicI64::new(recovery_point.0),
            settled_point: AtomicI64::new(recovery_point.0),
            cleaned_below: AtomicI64::new(0),
            gaps_below: AtomicI64::new(0),
            unstable: Mutex::default(),
            has_aborted: AtomicBool::new(false),
            opened_end: end_offset,
            unsynced_names: Mutex::new(unsynced_names),
            sync_turn: Mutex::new(SyncPoints::Kept),
            maintenance_turn: Mutex::new(()),
            retired: RetiredSegments::default(),
            offline: AtomicBool::new(false),
            has_said_early: AtomicBool::new(false),
        }
    }

    pub(super) fn vfs(&self) -> &Arc<dyn Vfs> {
        &self.vfs
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The current settings.
    pub(super) fn config(&self) -> Arc<LogConfig> {
        Arc::clone(&self.config.read())
    }

    pub(super) fn set_config(&self, config: LogConfig) {
        *self.config.write() = Arc::new(config);
    }

    pub(super) fn segments(&self) -> Segments {
        Arc::clone(&self.segments.read())
    }

    /// Adds a new last segment, whose name is not synced yet.
    pub(super) fn push_segment(&self, segment: Arc<Segment>) {
        self.note_unsynced_names();
        let mut segments = self.segments.write();
        let (last, base) = (segments.last(), segment.base_offset());
        assert!(
            last.is_none_or(|last| last.base_offset() < base),
            "segments ascend"
        );
        *segments = segments.iter().cloned().chain([segment]).collect();
    }

    /// Takes the first `count` segments out; there must be more of them.
    pub(super) fn drop_segments(&self, count: usize) {
        let mut segments = self.segments.write();
        *segments = segments[count..].into();
        assert!(!segments.is_empty(), "a log has a segment");
    }

    /// Replaces `count` segments by one that begins where the first of them begins.
    pub(super) fn replace_segments(&self, base: Offset, count: usize, new: Arc<Segment>) {
        let mut segments = self.segments.write();
        let first = segments.partition_point(|segment| segment.base_offset() < base);
        let (before, rest) = segments.split_at(first);
        let replaced = rest.first().map(|segment| segment.base_offset());
        assert_eq!(
            replaced,
            Some(base),
            "a segment replaces the one at its base"
        );
        let new = before.iter().cloned().chain([new]);
        *segments = new.chain(rest[count..].iter().cloned()).collect();
    }

    pub(super) fn cleaned_below(&self) -> Offset {
        Offset(self.cleaned_below.load(Ordering::Acquire))
    }

    pub(super) fn set_cleaned_below(&self, offset: Offset) {
        self.cleaned_below.store(offset.0, Ordering::Release);
    }

    /// Below `offset` there may be gaps; returns below which offset there may be any.
    pub(super) fn allow_gaps(&self, offset: Offset) -> Offset {
        let before = self.gaps_below.fetch_max(offset.0, Ordering::AcqRel);
        Offset(before).max(offset)
    }

    /// Below which offset there may be gaps.
    pub(super) fn gaps_below(&self) -> Offset {
        Offset(self.gaps_below.load(Ordering::Acquire))
    }

    /// Where the last unchecked segment ends; 0 if there is none.
    pub(super) fn unchecked_below(&self) -> Offset {
        let segments = self.segments();
        match segments.iter().rposition(|segment| segment.is_unchecked()) {
            None => Offset::ZERO,
            Some(last) => (segments.get(last + 1))
                .map_or_else(|| self.end_offset(), |next| next.base_offset()),
        }
    }

    /// Names in the log's directory have changed.
    pub(super) fn note_unsynced_names(&self) {
        self.unsynced_names.lock().insert(self.dir.clone());
    }

    /// `true` the first time.
    pub(super) fn says_early(&self) -> bool {
        !self.has_said_early.swap(true, Ordering::AcqRel)
    }

    pub(super) fn log_start(&self) -> Offset {
        Offset(self.log_start.load(Ordering::Acquire))
    }

    /// Moves the log start to `offset`, unless it is there or beyond.
    pub(super) fn advance_log_start(&self, offset: Offset) {
        // The end only grows, so this holds from now on.
        let end = self.end_offset();
        assert!(
            offset <= end,
            "log start {offset} is at most the log end {end}"
        );
        self.log_start.fetch_max(offset.0, Ordering::AcqRel);
    }

    pub(super) fn note_has_aborted(&self) {
        self.has_aborted.store(true, Ordering::Release);
    }

    pub(super) fn has_aborted(&self) -> bool {
        self.has_aborted.load(Ordering::Acquire)
    }

    pub(super) fn unstable(&self) -> MutexGuard<'_, Unstable> {
        self.unstable.lock()
    }

    /// The offset below which, as of `watermark`, no transaction is open; deleted records count as
    /// stable, as in Kafka.
    pub(super) fn last_stable_offset(&self, watermark: Offset) -> Offset {
        let first = self.unstable.lock().first_open_at(watermark);
        let first = first.map(|first| first.max(self.log_start()));
        first.map_or(watermark, |first| first.min(watermark))
    }

    pub(super) fn opened_end(&self) -> Offset {
        self.opened_end
    }

    pub(super) fn end_offset(&self) -> Offset {
        Offset(self.end_offset.load(Ordering::Acquire))
    }

    /// Publishes a batch with the offsets `base..end`. Only the writer calls it.
    pub(super) fn publish_batch(&self, base: Offset, end: Offset) {
        let before = self.end_offset();
        assert!(
            before == base && base < end,
            "offsets are dense: {base}..{end} behind {before}"
        );
        self.end_offset.store(end.0, Ordering::Release);
    }

    pub(super) fn recovery_point(&self) -> Offset {
        Offset(self.recovery_point.load(Ordering::Acquire))
    }

    pub(super) fn maintenance_turn(&self) -> MutexGuard<'_, ()> {
        self.maintenance_turn.lock()
    }

    pub(super) fn retired(&self) -> &RetiredSegments {
        &self.retired
    }

    pub(super) fn go_offline(&self) {
        tracing::error!(log = %self.dir.display(), "the log is offline until the broker restarts");
        self.offline.store(true, Ordering::Release);
    }

    pub(super) fn is_offline(&self) -> bool {
        self.offline.load(Ordering::Acquire)
    }

    pub(super) fn check_online(&self) -> Result<(), LogError> {
        if self.is_offline() {
            let path = self.dir.clone();
            return Err(LogError::Offline { path });
        }
        Ok(())
    }

    /// Makes durable what is in the log at the call. A sync that fails takes the log offline. A
    /// file that cannot be opened for it does not: nothing was tried, and the next call may
    /// succeed. Callers that come while one is syncing wait, and find their records covered by the
    /// next sync at the latest.
    pub(super) fn sync(&self) -> Result<Offset, LogError> {
        let wanted = self.end_offset();
        let points = self.sync_turn.lock();
        self.check_online()?;
        if self.recovery_point() >= wanted {
            return Ok(self.recovery_point());
        }
        let end = self.end_offset();
        self.sync_files()?;
        let before = self.recovery_point.swap(end.0, Ordering::AcqRel);
        assert!(before <= end.0, "the recovery point only grows");
        if *points == SyncPoints::Kept
            && let Err(error) = sync_points::add(&*self.vfs, &self.dir, end)
        {
            // The checkpoint will say so, a little later.
            tracing::debug!(log = %self.dir.display(), %error, "cannot write down how far the log is synced");
        }
        Ok(end)
    }

    /// From now on it is not written down any longer how far the log is synced.
    pub(super) fn end_sync_points(&self) {
        *self.sync_turn.lock() = SyncPoints::Ended;
    }

    /// A recovery point that may be written down: the indexes below it are on the disk, too.
    pub(super) fn settle(&self) -> Result<Offset, LogError> {
        let point = self.recovery_point();
        let mut has_settled = false;
        for segment in &*self.segments() {
            has_settled |= segment.settle()?;
        }
        if has_settled {
            self.note_unsynced_names();
        }
        // Also those of segments that were retired: one that comes back after a crash lies below.
        self.sync_names()?;
        self.settled_point.fetch_max(point.0, Ordering::AcqRel);
        Ok(point)
    }

    /// The last point that was settled.
    pub(super) fn settled_point(&self) -> Offset {
        Offset(self.settled_point.load(Ordering::Acquire))
    }

    /// Syncs every segment that has bytes above the recovery point, and the names.
    fn sync_files(&self) -> Result<(), LogError> {
        let recovery_point = self.recovery_point();
        let segments = self.segments();
        let first = segments.partition_point(|segment| segment.base_offset() <= recovery_point);
        for (number, segment) in segments.iter().enumerate() {
            // One that was synced while active and sealed since still holds its file open.
            if (number + 1 >= first || segment.holds_file())
                && let Some(unsynced) = segment.open_to_sync()?
            {
                self.final_if_failed(segment.sync(&unsynced))?;
            }
        }
        self.sync_names()
    }

    fn sync_names(&self) -> Result<(), LogError> {
        let names = std::mem::take(&mut *self.unsynced_names.lock());
        let synced = names.iter().try_for_each(|dir| {
            let opened = self.vfs.open_dir(dir).or_io("open", dir)?;
            self.final_if_failed(opened.sync().or_io("sync", dir))
        });
        if synced.is_err() {
            self.unsynced_names.lock().extend(names);
        }
        synced
    }

    /// Takes the log offline if this sync, which was tried, has failed.
    fn final_if_failed(&self, synced: Result<(), LogError>) -> Result<(), LogError> {
        if synced.is_err() {
            self.go_offline();
        }
        synced
    }
}
