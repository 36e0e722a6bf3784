//! Opening a log: what may be found, and what is done about it.
//!
//! The **recovery point** is an offset that was written down after a sync: everything below it was
//! durable then. It tells a torn tail, which a crash leaves and nobody was promised, from damage,
//! which is somebody's data. Torn tails are cut, damage never is.
//!
//! | found | called | done |
//! |---|---|---|
//! | no segment, recovery point 0 | new | an empty segment is created |
//! | clean mark, the last segment ends with a whole batch | clean | trusted; only headers behind the last index entry are read |
//! | clean mark, but it does not | not clean | goes on as without the mark |
//! | no mark, every batch from the recovery point's segment on is good | whole | their indexes are rebuilt |
//! | a bad batch at or above the recovery point | torn tail | copied to a side file, then cut; refused while the disk has no room for the copy |
//! | segments behind a torn tail or a hole above the recovery point | unreachable | renamed to side files |
//! | a bad batch below the recovery point | damage | refused, no segment is touched |
//! | a bad batch or a hole, and nobody knows the recovery point | perhaps damage | refused, no segment is touched |
//! | a hole between segments below the recovery point | damage | refused, no segment is touched |
//! | the first segment begins above the log start that was written down | begins late | served from there |
//! | the log ends below the log start that was written down | all deleted | set aside; an empty segment begins at the log start |
//! | the log ends below the recovery point, or its last segment is empty or missing though there were records | damage | refused, no segment is touched |
//! | a sector that cannot be read where a scan has to | unreadable | refused, no segment is touched: what cannot be copied is not cut |
//! | an index that is missing, cut, unreadable or inconsistent | hint | rebuilt (of sealed segments at first use) |
//! | a snapshot of the producers that is damaged, newer than the log, or older than its first segment | snapshot ignored | removed; the log is replayed from the one before |
//! | `.tmp`, `.deleted`, `.cleaned`; an index without its segment | leftover | removed |
//! | `.swap` of a `.log` | interrupted swap | completed: takes the place of the segments that it covers |
//! | `.swap` of a `.log`, damaged or cut | damage | set aside if what it replaces is all there, else refused (`swaps`) |
//!
//! The recovery point is some seconds old. What was synced since the log knows itself
//! (`synced-offsets`, see `sync_points`), and where the table says "recovery point" to tell a torn tail from
//! damage, the greater of both counts. After a power cut the log may not know of its last syncs: damage to what
//! was synced less than five seconds before the cut is then taken for a torn tail, and kept in a side file.
//!
//! Only what lies above the recovery point is scanned. Its place in its segment is found by the
//! index, as a hint that is checked; without one the whole segment is scanned. Below
//! `cleaned_below` compaction may have left gaps, so that offsets there only ascend.
//!
//! Side files are called `SEGMENT.log.cut-N`; they are never read again and never deleted, so that
//! a person can look at what was cut. Damage in a segment that is not scanned is found, and named,
//! by whoever reads it; the rest of the log stays readable. A batch is bad when its header is malformed, it is not whole,
//! its checksum is wrong, or its offset does not continue the one before.

use std::collections::BTreeSet;
use std::io::{ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use brooklet_protocol::Offset;

use super::active::{Active, age_start};
use super::checkpoint::UNKNOWN;
use super::compaction::swaps;
use super::error::OrIo;
use super::files::{self, FileKind};
use super::indexes::{self, GrowingIndexes};
use super::segment::{Content, Segment, SegmentSpec, WALK_WINDOW_BYTES, log_path};
use super::shared::{Recovered, Shared};
use super::{Damage, LogConfig, LogError, sync_points, txn_index};
use crate::vfs::{OpenMode, Vfs, VfsFile};

/// What a scan, which reads everything, reads at once.
const SCAN_WINDOW_BYTES: usize = 1 << 20;

/// What is known of a log before it is opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecoveryStart {
    /// Whether the last shutdown was clean: then nothing is scanned.
    pub clean_shutdown: bool,
    /// Everything below was synced: a bad batch below it is damage, not a torn tail. Where it is
    /// [`UNKNOWN`], every bad batch may be damage.
    pub recovery_point: Offset,
    /// Records below were deleted, though their segment may still be there.
    pub log_start_offset: Offset,
    /// Segments that begin below were, or may have been, compacted;
    /// [`UNKNOWN`] if any may.
    pub cleaned_below: Offset,
    /// Segments that begin below may hold batches whose max timestamp was not computed from their
    /// records; [`UNKNOWN`] if any may.
    pub unchecked_below: Offset,
}

/// What opening a log found and did.
#[derive(Clone, Debug, Default)]
pub struct RecoveryReport {
    /// Batches scanned.
    pub batches_scanned: u64,
    /// Bytes cut off the tail and kept in side files.
    pub bytes_cut: u64,
    /// The first of the files where they are kept.
    pub side_file: Option<PathBuf>,
    /// Segments whose indexes were rebuilt.
    pub indexes_rebuilt: u64,
}

/// A log while it is being opened.
struct Recovery<'a> {
    vfs: Arc<dyn Vfs>,
    dir: &'a Path,
    config: &'a LogConfig,
    start: RecoveryStart,
    /// Everything below was synced, as the recovery point or the log says.
    synced: Offset,
    /// Whether nobody knows what was synced: then nothing is cut.
    is_point_unknown: bool,
    segments: Vec<Arc<Segment>>,
    unsynced_names: BTreeSet<PathBuf>,
    /// Offsets of the producers' snapshots, ascending.
    snapshots: Vec<Offset>,
    /// Base offsets of the segments that have a transaction index.
    txn_indexes: BTreeSet<Offset>,
    /// To be removed once the log is found to be good.
    leftovers: Vec<PathBuf>,
    report: RecoveryReport,
}

/// The parts of a log that is open.
pub(super) struct Opened {
    pub(super) shared: Shared,
    pub(super) active: Active,
    /// Offsets of the snapshots that were found, ascending.
    pub(super) snapshots: Vec<Offset>,
    pub(super) report: RecoveryReport,
}

/// The last segment and where it ends.
struct Tail {
    segment: Segment,
    file: Arc<dyn VfsFile>,
    next_offset: Offset,
    /// Why the log does not go on there, if it should.
    broken: Option<LogError>,
    /// Whether its indexes were rebuilt below the recovery point, where they will be believed.
    indexes_are_new: bool,
}

/// Opens or creates the log in `dir`.
pub(super) fn open(
    vfs: Arc<dyn Vfs>,
    dir: &Path,
    config: &LogConfig,
    mut start: RecoveryStart,
) -> Result<Opened, LogError> {
    let is_point_unknown = start.recovery_point == UNKNOWN;
    if is_point_unknown {
        start.recovery_point = Offset::ZERO;
    }
    let mut recovery = Recovery {
        synced: sync_points::read(&*vfs, dir).max(start.recovery_point),
        vfs,
        dir,
        config,
        start,
        is_point_unknown,
        segments: Vec::new(),
        unsynced_names: BTreeSet::new(),
        snapshots: Vec::new(),
        txn_indexes: BTreeSet::new(),
        leftovers: Vec::new(),
        report: RecoveryReport::default(),
    };
    recovery.prepare_dir()?;
    swaps::complete(&recovery.vfs, dir)?;
    let bases = recovery.sort_files()?;
    recovery.replay_damaged_txn_indexes()?;
    if bases.is_empty() {
        return recovery.create();
    }
    if start.clean_shutdown
        && let Some(tail) = recovery.open_clean(&bases)?
    {
        if tail.next_offset < start.log_start_offset {
            return recovery.begin_anew(&bases);
        }
        let recovery_point = tail.next_offset;
        return recovery.finish(tail, recovery_point);
    }
    let tail = recovery.scan(&bases)?;
    if tail.next_offset < start.log_start_offset {
        return recovery.begin_anew(&bases);
    }
    recovery.finish(tail, start.recovery_point)
}

impl Recovery<'_> {
    fn prepare_dir(&mut self) -> Result<(), LogError> {
        if !self.vfs.exists(self.dir) {
            (self.vfs.create_dir_all(self.dir)).or_io("create", self.dir)?;
            self.unsynced_names
                .extend(self.dir.parent().map(Path::to_owned));
        }
        Ok(())
    }

    /// Tells segments from leftovers; returns the segments' base offsets, ascending.
    fn sort_files(&mut self) -> Result<Vec<Offset>, LogError> {
        let entries = self.vfs.read_dir(self.dir).or_io("list", self.dir)?;
        let names = || {
            (entries.iter())
                .filter(|entry| !entry.is_dir)
                .map(|entry| &entry.name)
        };
        let bases: BTreeSet<Offset> = names()
            .filter_map(|name| match files::classify(name) {
                FileKind::Segment(base) => Some(base),
                _ => None,
            })
            .collect();
        for name in names() {
            let path = self.dir.join(name);
            match files::classify(name) {
                FileKind::Leftover | FileKind::Retired(_) => self.leftovers.push(path),
                FileKind::Index(base) if !bases.contains(&base) => self.leftovers.push(path),
                FileKind::Snapshot(offset) => self.snapshots.push(offset),
                FileKind::Index(base) if name.ends_with(files::TXN_INDEX) => {
                    self.txn_indexes.insert(base);
                }
                FileKind::Index(_) | FileKind::Segment(_) | FileKind::Swap(_) | FileKind::Other => {
                }
            }
        }
        Ok(bases.into_iter().collect())
    }

    /// A damaged transaction index is rebuilt by replaying its segment, so the replay must not start from a later
    /// snapshot. A plausible wrong entry and a missing file go unnoticed.
    fn replay_damaged_txn_indexes(&mut self) -> Result<(), LogError> {
        for base in &self.txn_indexes {
            let path = log_path(self.dir, *base).with_extension(files::TXN_INDEX);
            if !txn_index::is_sound(&*self.vfs, &path).or_io("read", &path)? {
                tracing::warn!(file = %path.display(), "damaged: rebuilt from the log");
                self.snapshots.retain(|snapshot| snapshot <= base);
                // Later ones are replayed with it.
                break;
            }
        }
        Ok(())
    }

    fn remove_leftovers(&mut self) -> Result<(), LogError> {
        for path in &self.leftovers {
            tracing::info!(file = %path.display(), "leftover: removed");
            match self.vfs.remove_file(path) {
                // An index that was rebuilt went this way.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                removed => removed.or_io("remove", path)?,
            }
            self.unsynced_names.insert(self.dir.to_owned());
        }
        Ok(())
    }

    /// A new log, unless there was one.
    fn create(mut self) -> Result<Opened, LogError> {
        let base = self.start.log_start_offset;
        self.check_end(&log_path(self.dir, base), 0, base)?;
        self.remove_leftovers()?;
        let active = Active::create(&self.vfs, self.dir, base, self.config)?;
        self.unsynced_names.insert(self.dir.to_owned());
        Ok(self.share(active, base, base))
    }

    /// All that is there was deleted: it makes place for a log that begins at the log start.
    fn begin_anew(mut self, bases: &[Offset]) -> Result<Opened, LogError> {
        let (log, start) = (self.dir.display(), self.start.log_start_offset);
        tracing::warn!(%log, %start, "all deleted: the log ends below its start");
        self.segments.clear();
        self.set_aside(bases)?;
        self.start.recovery_point = Offset::ZERO;
        self.synced = Offset::ZERO;
        self.create()
    }

    /// Puts the parts together, whose last is the active segment.
    fn share(mut self, active: Active, end: Offset, recovery_point: Offset) -> Opened {
        self.segments.push(Arc::clone(&active.segment));
        let (first, written_down) = (self.segments[0].base_offset(), self.start.log_start_offset);
        if first > written_down && written_down > Offset::ZERO {
            let log = self.dir.display();
            tracing::warn!(%log, %first, %written_down, "begins late: segments are missing");
        }
        let shared = Shared::new(Recovered {
            vfs: self.vfs,
            dir: self.dir.to_owned(),
            config: self.config.clone(),
            segments: self.segments.into(),
            log_start: first.max(written_down),
            end_offset: end,
            recovery_point,
            unsynced_names: self.unsynced_names,
        });
        shared.allow_gaps(self.start.cleaned_below.min(end));
        for segment in &*shared.segments() {
            if segment.base_offset() < self.start.unchecked_below && segment.size() > 0 {
                segment.distrust_times();
            }
            if self.txn_indexes.contains(&segment.base_offset()) {
                shared.note_has_aborted();
            } else {
                segment.know_aborted(&[]);
            }
        }
        // What is written down is what was begun; only an orderly end says that it was finished.
        if self.start.clean_shutdown && self.start.cleaned_below != UNKNOWN {
            shared.set_cleaned_below(self.start.cleaned_below);
        }
        Opened {
            shared,
            active,
            snapshots: self.snapshots,
            report: self.report,
        }
    }

    /// Refuses a log that ends below the recovery point.
    fn check_end(&self, path: &Path, position: u64, end: Offset) -> Result<(), LogError> {
        if end >= self.synced {
            return Ok(());
        }
        let expected = self.synced;
        tracing::debug!(log = %self.dir.display(), %end, %expected, "damage: the log ends early");
        Err(LogError::Corrupt {
            path: path.to_owned(),
            position,
            source: Damage::EndsEarly { end, expected },
        })
    }

    /// Takes over segments without reading them.
    fn trust(&mut self, bases: &[Offset]) -> Result<(), LogError> {
        for base in bases {
            let path = log_path(self.dir, *base);
            let file = self.vfs.open(&path, OpenMode::Read).or_io("open", &path)?;
            let size = file.len().or_io("measure", &path)?;
            let segment = Segment::sealed(self.spec(path, *base), size);
            self.segments.push(Arc::new(segment));
        }
        Ok(())
    }

    /// What the segment at `path` is made with.
    fn spec(&self, path: PathBuf, base_offset: Offset) -> SegmentSpec {
        SegmentSpec {
            vfs: Arc::clone(&self.vfs),
            path,
            base_offset,
            index_interval_bytes: self.config.index_interval_bytes,
            gaps_below: self.start.cleaned_below,
        }
    }

    /// The clean way: only the end of the last segment is looked at. `None` if it is not whole.
    fn open_clean(&mut self, bases: &[Offset]) -> Result<Option<Tail>, LogError> {
        let (last, sealed) = bases.split_last().expect("there is a segment");
        let tail = self.walk_to_end(*last)?;
        if let Some(broken) = tail.broken {
            tracing::warn!(log = %self.dir.display(), %broken, "not clean, though marked as clean");
            return Ok(None);
        }
        self.check_end(tail.segment.path(), tail.segment.size(), tail.next_offset)?;
        self.trust(sealed)?;
        Ok(Some(tail))
    }

    /// Walks over the headers behind the last index entry; over all, and indexes them, when the
    /// indexes are not usable.
    fn walk_to_end(&mut self, base: Offset) -> Result<Tail, LogError> {
        let path = log_path(self.dir, base);
        let (file, size) = self.open_file(&path)?;
        let indexed = indexes::read_growing(&*self.vfs, &path, size).or_io("index", &path)?;
        let rebuild = indexed.is_none() && size > 0;
        let indexes = indexed.unwrap_or_default();
        let content = Content {
            file: Arc::clone(&file),
            size,
            verified_from: size,
        };
        let segment = Segment::active(self.spec(path, base), content, indexes);
        let mut cursor = segment.seek_last(WALK_WINDOW_BYTES)?;
        let broken = cursor.walk_to_end(|cursor, header| {
            if rebuild {
                segment.index(header, cursor.position());
            }
            Ok(())
        })?;
        let next_offset = cursor.next_offset();
        if rebuild && broken.is_none() {
            let path = segment.path().display();
            tracing::warn!(segment = %path, "indexes missing or inconsistent: rebuilt");
            self.report.indexes_rebuilt += 1;
        }
        Ok(Tail {
            segment,
            file,
            next_offset,
            broken,
            indexes_are_new: rebuild,
        })
    }

    fn open_file(&self, path: &Path) -> Result<(Arc<dyn VfsFile>, u64), LogError> {
        let file = self.vfs.open(path, OpenMode::Write).or_io("open", path)?;
        let size = file.len().or_io("measure", path)?;
        Ok((file, size))
    }

    /// The other way: every batch from the recovery point on is read.
    fn scan(&mut self, bases: &[Offset]) -> Result<Tail, LogError> {
        // Whoever wrote these files may not have synced their names.
        self.unsynced_names.insert(self.dir.to_owned());
        let above = bases.partition_point(|base| *base <= self.synced_below());
        let first = above.saturating_sub(1);
        self.trust(&bases[..first])?;
        let mut left = &bases[first..];
        loop {
            let (base, behind) = left.split_first().expect("there is a segment");
            let mut tail = self.scan_segment(*base)?;
            if tail.broken.is_none()
                && let Some(next_base) = behind.first()
                && *next_base != tail.next_offset
                && !tail.segment.may_be_gap(tail.next_offset, *next_base)
            {
                tail.broken = Some(hole(&log_path(self.dir, *next_base), &tail, *next_base));
            }
            if let Some(broken) = tail.broken.take() {
                self.judge(&tail, broken)?;
                self.cut(&tail)?;
                self.set_aside(behind)?;
                return Ok(tail);
            }
            if behind.is_empty() {
                self.check_end(tail.segment.path(), tail.segment.size(), tail.next_offset)?;
                return Ok(tail);
            }
            if tail.indexes_are_new {
                tail.segment.replace_indexes()?;
            }
            tail.segment.seal();
            self.segments.push(Arc::new(tail.segment));
            left = behind;
        }
    }

    /// Verifies a segment from the recovery point on, batch by batch, and makes the indexes of what
    /// it verifies anew.
    fn scan_segment(&mut self, base: Offset) -> Result<Tail, LogError> {
        let path = log_path(self.dir, base);
        let (file, size) = self.open_file(&path)?;
        let (indexes, trusted_bytes) = self.trusted_part(&path, base, size)?;
        self.report.indexes_rebuilt += u64::from(trusted_bytes == 0);
        let content = Content {
            file: Arc::clone(&file),
            size,
            verified_from: trusted_bytes,
        };
        let segment = Segment::active(self.spec(path, base), content, indexes);
        let mut cursor = segment.walk_from(trusted_bytes, SCAN_WINDOW_BYTES);
        let batches_scanned = &mut self.report.batches_scanned;
        let broken = cursor.walk_to_end(|cursor, header| {
            cursor.verify(header)?;
            segment.index(header, cursor.position());
            *batches_scanned += 1;
            Ok(())
        })?;
        let (next_offset, good_bytes) = (cursor.next_offset(), cursor.position());
        segment.publish(good_bytes);
        Ok(Tail {
            segment,
            file,
            next_offset,
            broken,
            indexes_are_new: trusted_bytes == 0 && base < self.synced_below(),
        })
    }

    /// What a segment's index says of the part below the recovery point: its entries, and how many
    /// bytes lie before the last of them. Nothing if it says nothing, or something wrong.
    fn trusted_part(
        &self,
        path: &Path,
        base: Offset,
        size: u64,
    ) -> Result<(GrowingIndexes, u64), LogError> {
        let nothing = (GrowingIndexes::default(), 0);
        let relative = self.synced_below().0 - base.0;
        if relative <= 0 {
            return Ok(nothing);
        }
        let indexed = indexes::read_growing(&*self.vfs, path, size).or_io("index", path)?;
        let Some(mut indexes) = indexed else {
            return Ok(nothing);
        };
        let Some(entry) = indexes.cut_to(relative) else {
            return Ok(nothing);
        };
        let segment = Segment::sealed(self.spec(path.to_owned(), base), size);
        let followed = segment.follow(entry, WALK_WINDOW_BYTES)?;
        Ok(followed.map_or(nothing, |cursor| (indexes, cursor.position())))
    }

    /// What was deleted was durable before, whatever the recovery point says.
    fn synced_below(&self) -> Offset {
        self.start.recovery_point.max(self.start.log_start_offset)
    }

    /// Torn tail or damage: what was synced tells.
    fn judge(&self, tail: &Tail, broken: LogError) -> Result<(), LogError> {
        let (next_offset, synced) = (tail.next_offset, self.synced.max(self.synced_below()));
        if next_offset < synced || self.is_point_unknown {
            tracing::debug!(%broken, %next_offset, %synced, "damage: refused");
            return Err(broken);
        }
        tracing::warn!(%broken, %next_offset, %synced, "torn tail: cut");
        Ok(())
    }

    /// Copies what is behind the good batches to a side file, then cuts it off.
    fn cut(&mut self, tail: &Tail) -> Result<(), LogError> {
        let path = tail.segment.path();
        let (good, size) = (tail.segment.size(), tail.file.len().or_io("measure", path)?);
        if good == size {
            return Ok(());
        }
        let side_path = files::side_path(&*self.vfs, path);
        let side_file =
            (self.vfs.open(&side_path, OpenMode::CreateNew)).or_io("create", &side_path)?;
        let mut position = good;
        while position < size {
            let length = (size - position).min(SCAN_WINDOW_BYTES as u64);
            let mut buffer = vec![0; length as usize];
            (tail.file.read_exact_at(&mut buffer, position)).or_io("read", path)?;
            (side_file.append(&[IoSlice::new(&buffer)])).or_io("write", &side_path)?;
            position += length;
        }
        // The copy is safe before the original goes.
        side_file.sync_data().or_io("sync", &side_path)?;
        self.vfs.sync_dir(self.dir).or_io("sync", self.dir)?;
        tail.file.set_len(good).or_io("cut", path)?;
        // And the original is gone before something is written in its place: a good batch behind
        // the torn one could otherwise turn up again behind a new batch of the torn one's size.
        tail.file.sync_data().or_io("sync", path)?;
        self.note_cut(side_path, size - good);
        Ok(())
    }

    /// Renames segments that cannot be reached any more to side files.
    fn set_aside(&mut self, bases: &[Offset]) -> Result<(), LogError> {
        for base in bases {
            let path = log_path(self.dir, *base);
            let (_, size) = self.open_file(&path)?;
            let side_path = files::side_path(&*self.vfs, &path);
            tracing::warn!(segment = %path.display(), to = %side_path.display(), "unreachable: renamed");
            self.vfs.rename(&path, &side_path).or_io("rename", &path)?;
            let indexes = files::indexes_of(&path).into_iter();
            (self.leftovers).extend(indexes.filter(|index| self.vfs.exists(index)));
            self.note_cut(side_path, size);
        }
        if bases.is_empty() {
            return Ok(());
        }
        self.vfs.sync_dir(self.dir).or_io("sync", self.dir)
    }

    fn note_cut(&mut self, side_path: PathBuf, bytes: u64) {
        self.report.bytes_cut += bytes;
        self.report.side_file.get_or_insert(side_path);
    }

    /// Puts the parts together; the tail becomes the active segment.
    fn finish(mut self, tail: Tail, recovery_point: Offset) -> Result<Opened, LogError> {
        self.remove_leftovers()?;
        let first_timestamp = (tail.segment.walk(0).header()?)
            .as_ref()
            .and_then(age_start);
        if tail.indexes_are_new {
            tail.segment.replace_indexes()?;
        }
        // Nobody may ever write to it.
        tail.segment.close_file();
        let active = Active {
            size: tail.segment.size(),
            segment: Arc::new(tail.segment),
            file: None,
            // Rebuilt indexes are in memory only.
            is_ahead: self.report.batches_scanned + self.report.indexes_rebuilt > 0,
            preallocated: self.config.preallocate,
            first_timestamp,
            first_append: None,
        };
        Ok(self.share(active, tail.next_offset, recovery_point))
    }
}

/// The segment at `path` does not start where the one before it ends.
fn hole(path: &Path, before: &Tail, found: Offset) -> LogError {
    LogError::Corrupt {
        path: path.to_owned(),
        position: 0,
        source: Damage::Offset {
            expected: before.next_offset,
            found,
        },
    }
}
