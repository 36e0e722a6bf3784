//! Compaction: only the latest record of each key stays.
//!
//! ```text
//!  read the dirty segments ─▶ offset map: key → latest offset
//!    ─▶ per group of segments: filter into BASE.log.cleaned, sync
//!    ─▶ BASE.txnindex, then BASE.log.swap               ◀── from here on the new one counts
//!    ─▶ old segments to .deleted ─▶ BASE.log.swap to BASE.log ─▶ into the list
//! ```
//!
//! A crash before the `.swap` leaves the old segments, and a `.cleaned` file that is removed; one
//! after it leaves a `.swap` that is put in its place when the log is opened (`swaps`). The last
//! batch of a group stays, as a header at least, so the new segment says itself which old ones it
//! replaces, and ends where they ended.
//!
//! The transaction index of the first old segment becomes the new one's before anything else
//! changes: it has every transaction of the group whose abort marker stays. That is one pass longer
//! than the aborted records, so readers of the old segments still learn to leave them out.
//!
//! The active segment is never touched, nor what is not durable yet; appends and reads go on.
//! Offsets stay: below `cleaned_below`, which is written down before it becomes true, they only
//! ascend. (What is written down says what was begun; after a crash, all counts as dirty once
//! more.) An offset map that is too small for all keys covers a part, and the rest stays dirty.

use std::collections::HashMap;
use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use brooklet_protocol::records::RecordBatch;
use brooklet_protocol::{Monotonic, Offset, ProducerId, Timestamp};

mod filter;
mod offset_map;
mod plan;
pub(super) mod swaps;

pub use filter::{Filter, Kept};
pub use offset_map::OffsetMap;
pub use plan::{Dirt, SealedSegment};

use super::error::OrIo;
use super::indexes::GrowingIndexes;
use super::maintenance::Maintenance;
use super::retired::Retired;
use super::segment::{Segment, SegmentSpec};
use super::shared::Shared;
use super::{AbortedTransaction, LogConfig, LogError, LogReader, files, txn_index};
use crate::vfs::{OpenMode, VfsFile};

/// What is read and written at once.
const CHUNK_BYTES: usize = 1 << 20;
/// Decompressed records of one batch at most.
const DECOMPRESSED_BYTES_MAX: usize = 256 << 20;

/// What a compaction needs to know.
#[derive(Debug)]
pub struct CompactionContext<'a> {
    /// Nothing at or above is touched: the least of high watermark, last stable offset and recovery
    /// point.
    pub stable_below: Offset,
    /// The wall clock, for lags and delete horizons.
    pub now: Timestamp,
    /// The monotonic clock: the replaced files count as deleted from now on.
    pub since: Monotonic,
    /// Each producer's last batch in the log, by its last offset.
    pub last_batches: &'a HashMap<ProducerId, Offset>,
    /// `log.cleaner.dedupe.buffer.size`: bytes of the offset map.
    pub map_bytes_max: usize,
    /// Once it is true, the compaction ends as soon as it can.
    pub stop: &'a AtomicBool,
}

impl CompactionContext<'_> {
    fn check_stop(&self, path: &Path) -> Result<(), LogError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::from(ErrorKind::Interrupted)).or_io("compact", path);
        }
        Ok(())
    }
}

/// What a compaction has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Segments that were replaced.
    pub segments_replaced: usize,
    /// Segments that replaced them.
    pub segments_made: usize,
    /// Bytes of batches that were looked at.
    pub bytes_before: u64,
    /// Bytes of batches that are left of them.
    pub bytes_after: u64,
}

/// A new segment, written beside the log.
struct Draft {
    path: PathBuf,
    file: Arc<dyn VfsFile>,
    base: Offset,
    indexes: GrowingIndexes,
    bytes: u64,
    unwritten: Vec<u8>,
    /// The aborted transactions whose markers stay.
    aborted: Vec<AbortedTransaction>,
    /// Whether it differs from the segments that it is made from.
    differs: bool,
}

impl Maintenance {
    /// How much of the log a compaction would find dirty.
    ///
    /// # Errors
    /// The disk, where indexes have to be looked at.
    pub fn dirt(&self, stable_below: Offset, now: Timestamp) -> Result<Dirt, LogError> {
        let sealed = sealed_segments(self.shared())?;
        let bounds = (self.shared().cleaned_below(), stable_below);
        Ok(plan::dirt(&sealed, bounds, now, &self.shared().config()))
    }

    /// Compacts the log if it is dirty enough. `write_down` makes durable below which offset there
    /// may be gaps, before there are. Blocks, and reads and writes much.
    ///
    /// # Errors
    /// The disk: the log is as before, or as it would be after a compaction of its first segments.
    /// Damage in the segments. If a swap cannot be finished, the log is offline; the next open
    /// finishes it.
    pub fn compact(
        &self,
        context: &CompactionContext<'_>,
        write_down: impl FnOnce(Offset) -> Result<(), LogError>,
    ) -> Result<Compacted, LogError> {
        let shared = self.shared();
        let _turn = shared.maintenance_turn();
        shared.check_online()?;
        let config = shared.config();
        let sealed = sealed_segments(shared)?;
        let bounds = (shared.cleaned_below(), context.stable_below);
        let dirt = plan::dirt(&sealed, bounds, context.now, &config);
        if !dirt.is_due {
            return Ok(Compacted::default());
        }
        let segments = shared.segments();
        let reader = LogReader::new(Arc::clone(shared));
        let end = sealed[dirt.segments - 1].end;
        let aborted = reader.aborted_transactions(sealed[0].base, end)?;
        let dirty = &segments[dirt.first_dirty..dirt.segments];
        let (map, covered_below) = build_map(dirty, &aborted, context)?;
        if covered_below <= dirty[0].base_offset() {
            let log = shared.dir().display();
            tracing::warn!(%log, "log.cleaner.dedupe.buffer.size is too small for one batch");
            return Ok(Compacted::default());
        }
        let count = sealed.partition_point(|segment| segment.base < covered_below);
        write_down(shared.allow_gaps(covered_below))?;

        let keep_for = i64::try_from(config.delete_retention.as_millis()).unwrap_or(i64::MAX);
        let horizon = Timestamp(context.now.0.saturating_add(keep_for));
        let mut filter = Filter::new(
            (&map, covered_below),
            context.last_batches,
            aborted,
            (context.now, horizon),
        );
        let mut done = Compacted::default();
        let mut first = 0;
        while first < count {
            let size = plan::group(&sealed[first..count], &config);
            let group = &segments[first..first + size];
            self.clean_group(group, &mut filter, &config, context, &mut done)?;
            first += size;
        }
        shared.set_cleaned_below(covered_below);
        Ok(done)
    }

    /// Writes what stays of a group of segments into a new one, and puts it in their place.
    fn clean_group(
        &self,
        group: &[Arc<Segment>],
        filter: &mut Filter<'_>,
        config: &LogConfig,
        context: &CompactionContext<'_>,
        done: &mut Compacted,
    ) -> Result<(), LogError> {
        let mut draft = Draft::create(self.shared(), group[0].base_offset())?;
        let before = group.iter().map(|segment| segment.size()).sum::<u64>();
        let filled = draft.fill(group, filter, config.index_interval_bytes, context);
        done.bytes_before += before;
        let filled = filled.and_then(|()| {
            let is_needed = group.len() > 1 || draft.differs;
            if is_needed {
                draft.write_aborted(self.shared())?;
            }
            Ok(is_needed)
        });
        if !matches!(filled, Ok(true)) {
            done.bytes_after += before;
            let removed = self.shared().vfs().remove_file(&draft.path);
            return filled.and(removed.or_io("remove", &draft.path));
        }
        done.bytes_after += draft.bytes;
        done.segments_replaced += group.len();
        done.segments_made += 1;
        self.swap(group, draft, config, context.since)
    }

    /// The new segment takes the place of the old ones.
    fn swap(
        &self,
        group: &[Arc<Segment>],
        draft: Draft,
        config: &LogConfig,
        since: Monotonic,
    ) -> Result<(), LogError> {
        let (shared, dir) = (self.shared(), self.shared().dir());
        let vfs = shared.vfs();
        let swap = files::path(dir, draft.base, files::SWAP_LOG);
        let path = files::path(dir, draft.base, files::LOG);
        let aborted = path.with_extension(files::TXN_INDEX);
        // Opened before anything changes: if that fails, the log is as before.
        let names = vfs.open_dir(dir).or_io("open", dir)?;
        let prepared = (names.sync().or_io("sync", dir))
            .and_then(|()| vfs.rename(&draft.path, &swap).or_io("rename", &draft.path))
            .and_then(|()| names.sync().or_io("sync", dir));
        let put = prepared.and_then(|()| {
            let spec = SegmentSpec {
                vfs: Arc::clone(vfs),
                path: path.clone(),
                base_offset: draft.base,
                index_interval_bytes: config.index_interval_bytes,
                gaps_below: shared.gaps_below(),
            };
            let segment = Segment::sealed(spec, draft.bytes);
            segment.know_aborted(&draft.aborted);
            if group.iter().any(|segment| segment.is_unchecked()) {
                segment.distrust_times();
            }
            let segment = Arc::new(segment.with_file(Arc::clone(&draft.file), &draft.indexes));
            // Before the old ones go, so that a reader that looks again finds one or the other.
            shared.replace_segments(draft.base, group.len(), Arc::clone(&segment));
            for segment in group {
                let files = segment.retire(Some(&aborted))?;
                shared.retired().keep(Retired { files, since });
            }
            vfs.rename(&swap, &path).or_io("rename", &swap)?;
            segment.take_indexes(draft.indexes);
            segment.close_file();
            names.sync().or_io("sync", dir)
        });
        if put.is_err() {
            // Which of the two the next open finds is unknown here; it will know.
            shared.go_offline();
        }
        put
    }
}

impl Draft {
    fn create(shared: &Shared, base: Offset) -> Result<Self, LogError> {
        let path = files::path(shared.dir(), base, files::CLEANED_LOG);
        let file = shared.vfs().open(&path, OpenMode::Truncate);
        Ok(Self {
            file: file.or_io("create", &path)?,
            path,
            base,
            indexes: GrowingIndexes::default(),
            bytes: 0,
            unwritten: Vec::new(),
            aborted: Vec::new(),
            differs: false,
        })
    }

    /// Writes what stays of the segments, and syncs it.
    fn fill(
        &mut self,
        group: &[Arc<Segment>],
        filter: &mut Filter<'_>,
        interval_bytes: u64,
        context: &CompactionContext<'_>,
    ) -> Result<(), LogError> {
        for (number, segment) in group.iter().enumerate() {
            let mut cursor = segment.walk(CHUNK_BYTES);
            while let Some(header) = cursor.header()? {
                context.check_stop(&self.path)?;
                let batch = cursor.verified_batch(&header)?;
                let is_last = number + 1 == group.len() && cursor.rest() == header.size() as u64;
                let kept = filter.keep(&batch, is_last);
                let kept = match kept {
                    Ok(Kept::Whole) => Some(batch),
                    // Its keys are unknown, so none of its records can be superseded.
                    Err(error) => {
                        let error = cursor.corrupt(error.into());
                        tracing::warn!(%error, "compaction keeps a batch that cannot be read");
                        Some(batch)
                    }
                    Ok(Kept::Rewritten(batch)) => {
                        self.differs = true;
                        Some(batch)
                    }
                    Ok(Kept::Nothing) => {
                        self.differs = true;
                        None
                    }
                };
                if let Some(batch) = kept {
                    self.aborted.extend(filter.aborted_by(batch.header()));
                    self.indexes
                        .add(self.base, batch.header(), self.bytes, interval_bytes);
                    self.bytes += batch.bytes().len() as u64;
                    self.unwritten.extend_from_slice(batch.bytes());
                    self.write(CHUNK_BYTES)?;
                }
                cursor.advance(&header);
            }
        }
        self.write(1)?;
        self.file.sync_data().or_io("sync", &self.path)
    }

    /// Puts the aborted transactions where the new segment will have them.
    fn write_aborted(&self, shared: &Shared) -> Result<(), LogError> {
        let path = files::path(shared.dir(), self.base, files::TXN_INDEX);
        if self.aborted.is_empty() && !shared.vfs().exists(&path) {
            return Ok(());
        }
        // Even if the file says the same: it is no longer the old segment's, so it would not be
        // synced.
        txn_index::replace(&**shared.vfs(), &path, &self.aborted).or_io("replace", &path)
    }

    /// Writes what is collected if it has at least `bytes_min` bytes.
    fn write(&mut self, bytes_min: usize) -> Result<(), LogError> {
        if self.unwritten.len() >= bytes_min {
            let slices = [IoSlice::new(&self.unwritten)];
            self.file.append(&slices).or_io("write", &self.path)?;
            self.unwritten.clear();
        }
        Ok(())
    }
}

/// All but the active segment.
fn sealed_segments(shared: &Shared) -> Result<Vec<SealedSegment>, LogError> {
    let segments = shared.segments();
    let pairs = segments.windows(2);
    let facts = pairs.map(|pair| {
        Ok(SealedSegment {
            base: pair[0].base_offset(),
            end: pair[1].base_offset(),
            bytes: pair[0].size(),
            max_timestamp: pair[0].max_timestamp()?,
            index_bytes: pair[0].indexes().offset_bytes(),
        })
    });
    facts.collect()
}

/// The latest offset of each key in the segments, as far as there is room; and where the part ends
/// that was looked at.
fn build_map(
    segments: &[Arc<Segment>],
    aborted: &[AbortedTransaction],
    context: &CompactionContext<'_>,
) -> Result<(OffsetMap, Offset), LogError> {
    let mut records = 0;
    for segment in segments {
        let mut cursor = segment.walk(CHUNK_BYTES);
        while let Some(header) = cursor.header()? {
            records += header.record_count as usize;
            cursor.advance(&header);
        }
    }
    let mut map = OffsetMap::new(records, context.map_bytes_max);
    let mut covered_below = segments[0].base_offset();
    for segment in segments {
        context.check_stop(segment.path())?;
        let mut cursor = segment.walk(CHUNK_BYTES);
        while let Some(header) = cursor.header()? {
            let is_aborted = |a: &AbortedTransaction| {
                a.producer_id == header.producer_id
                    && (a.first_offset..=a.last_offset).contains(&header.base_offset)
            };
            let is_aborted = header.is_transactional() && aborted.iter().any(is_aborted);
            if !header.is_control() && !is_aborted && header.record_count > 0 {
                if map.room() < header.record_count as usize {
                    return Ok((map, covered_below));
                }
                put_keys(&mut map, &cursor.verified_batch(&header)?);
            }
            cursor.advance(&header);
            covered_below = header.next_offset();
        }
    }
    Ok((map, covered_below))
}

/// Adds the keys of a batch; none of them if one of its records cannot be read, because then no
/// consumer gets beyond the records before it.
fn put_keys(map: &mut OffsetMap, batch: &RecordBatch) {
    let Ok(records) = batch.records(DECOMPRESSED_BYTES_MAX) else {
        return;
    };
    if records.iter().any(|record| record.is_err()) {
        return;
    }
    for record in records.iter().flatten() {
        if let Some(key) = record.key {
            map.put(key, record.offset);
        }
    }
}
