//! Opening a log: what may be found, and what is done about it.
//!
//! The **recovery point** is an offset that was written down after a sync: everything below it was
//! durable then. It tells a torn tail from damage. A torn tail is what a crash leaves of records
//! whose durability was never confirmed; it is cut. Damage is somebody's data; it is never cut.
//!
//! | found | called | done |
//! |---|---|---|
//! | no segment, and nothing was synced above the log start | new | an empty segment is created |
//! | clean mark, the last segment ends with a whole batch | clean | trusted; only headers behind the last index entry are read |
//! | clean mark, but it does not | not clean | goes on as without the mark |
//! | no mark, every batch from the recovery point's segment on is good | whole | their indexes are rebuilt |
//! | a bad batch at or above the recovery point | torn tail | copied to a side file, then cut; refused while the disk has no room for the copy |
//! | segments behind a torn tail or a hole above the recovery point | unreachable | renamed to side files |
//! | a bad batch below the recovery point | damage | refused, no segment is touched |
//! | a bad batch or a hole, and the recovery point is unknown | perhaps damage | refused, no segment is touched |
//! | a hole between segments below the recovery point | missing segment | refused, no segment is touched |
//! | the first segment begins above the log start that was written down | begins late | served from there |
//! | the log ends below the log start that was written down | all deleted | set aside; an empty segment begins at the log start |
//! | the log ends below the recovery point, or its last segment is empty or missing though there were records | ends early | refused, no segment is touched |
//! | a sector that cannot be read where a scan has to | unreadable | refused, no segment is touched: what cannot be copied is not cut |
//! | an index that is missing, cut, unreadable or inconsistent | index ignored | rebuilt (of sealed segments at first use) |
//! | a snapshot of the producers that is damaged, newer than the log, or older than its first segment | snapshot ignored | removed; the log is replayed from the one before |
//! | `.tmp`, `.deleted`, `.cleaned`; an index without its segment | leftover | removed |
//! | `.swap` of a `.log` | interrupted swap | completed: it replaces the segments that it covers |
//! | `.swap` of a `.log`, damaged or cut, and what it replaces is all there | swap ignored | set aside |
//! | `.swap` of a `.log`, damaged or cut, and part of what it replaces is gone | swap damaged | refused, no segment is touched |
//!
//! The column *called* names the rows of `findings`, where the same table is data: recovery asks
//! it what to do, and [`RecoveryReport::rows`] lists the rows that were met.
//!
//! The recovery point is some seconds old. The log itself knows what was synced since
//! (`synced-offsets`, see `sync_points`), and where the table says "recovery point" to tell a torn
//! tail from damage, the greater of both counts. After a power cut the log may not know of its last
//! syncs: damage to records that were synced less than five seconds before the cut is then taken
//! for a torn tail, and kept in a side file.
//!
//! Only what lies above the recovery point is scanned. The index leads to its position in its
//! segment, as a hint that is checked; without an index the whole segment is scanned. Below
//! `cleaned_below` compaction may have left gaps, so that offsets there only ascend.
//!
//! Side files are called `SEGMENT.log.cut-N`; they are never read again and never deleted, so that
//! a person can look at what was cut. Damage in a segment that is not scanned is found, and named,
//! by the first read of it; the rest of the log stays readable. A batch is bad when its header is
//! malformed, it is not whole, its checksum is wrong, or its offset does not continue the one
//! before.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use brooklet_protocol::Offset;

use super::active::{Active, age_start};
use super::checkpoint::UNKNOWN;
use super::compaction::swaps;
use super::error::OrIo;
use super::files::{self, FileKind};
use super::findings::{Action, Finding, Known, decide};
use super::segment::{Segment, SegmentSpec, log_path};
use super::shared::{Recovered, Shared};
use super::{Damage, LogConfig, LogError, sync_points, txn_index};
use crate::vfs::{OpenMode, Vfs, VfsFile};

mod scan;
mod side_files;

pub use super::findings::Row;

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
    /// The rows of the table that were met, each once, in the order in which they were.
    pub rows: Vec<Row>,
    /// Batches scanned.
    pub batches_scanned: u64,
    /// Bytes cut off the tail and kept in side files.
    pub bytes_cut: u64,
    /// The first of the files where they are kept.
    pub side_file: Option<PathBuf>,
    /// Segments whose indexes were rebuilt.
    pub indexes_rebuilt: u64,
}

impl RecoveryReport {
    fn note(&mut self, row: Row) {
        if !self.rows.contains(&row) {
            self.rows.push(row);
        }
    }

    /// Says what to do about a finding, and takes note of its row.
    fn decide(&mut self, finding: Finding, known: &Known) -> Action {
        let (row, action) = decide(finding, known);
        self.note(row);
        action
    }
}

/// A log while it is being opened.
struct Recovery<'a> {
    vfs: Arc<dyn Vfs>,
    dir: &'a Path,
    config: &'a LogConfig,
    start: RecoveryStart,
    known: Known,
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
    known: Known,
}

impl Opened {
    /// Says what to do about something that is found after the segments.
    pub(super) fn decide(&mut self, finding: Finding) -> Action {
        self.report.decide(finding, &self.known)
    }
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
    let known = Known {
        synced: sync_points::read(&*vfs, dir).max(start.recovery_point),
        log_start: start.log_start_offset,
        is_point_unknown,
    };
    let mut recovery = Recovery {
        vfs,
        dir,
        config,
        start,
        known,
        segments: Vec::new(),
        unsynced_names: BTreeSet::new(),
        snapshots: Vec::new(),
        txn_indexes: BTreeSet::new(),
        leftovers: Vec::new(),
        report: RecoveryReport::default(),
    };
    recovery.prepare_dir()?;
    for row in swaps::complete(&recovery.vfs, dir, &known)? {
        recovery.report.note(row);
    }
    let bases = recovery.sort_files()?;
    recovery.replay_damaged_txn_indexes()?;
    if bases.is_empty() {
        return recovery.create();
    }
    let clean = if start.clean_shutdown {
        recovery.open_clean(&bases)?
    } else {
        None
    };
    let recovery_point =
        (clean.as_ref()).map_or(start.recovery_point, |(tail, _)| tail.next_offset);
    let (tail, action) = match clean {
        Some(found) => found,
        None => recovery.scan(&bases)?,
    };
    if action == Action::StartOver {
        return recovery.start_over(&bases);
    }
    recovery.finish(tail, recovery_point)
}

impl Recovery<'_> {
    /// Says what to do about a finding, and takes note of its row.
    fn decide(&mut self, finding: Finding) -> Action {
        let action = self.report.decide(finding, &self.known);
        let log = self.dir.display();
        tracing::debug!(%log, ?finding, ?action, "recovery");
        action
    }

    /// As [`Recovery::decide`], of a log that ends at `end`, which is at `position` of the segment
    /// at `path`.
    fn decide_end(
        &mut self,
        finding: Finding,
        (path, position): (&Path, u64),
        end: Offset,
    ) -> Result<Action, LogError> {
        let action = self.decide(finding);
        if action != Action::Refuse {
            return Ok(action);
        }
        let expected = self.known.synced;
        Err(LogError::Corrupt {
            path: path.to_owned(),
            position,
            source: Damage::EndsEarly { end, expected },
        })
    }

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

    /// A damaged transaction index is rebuilt by replaying its segment, so the replay must not
    /// start from a later snapshot. A plausible wrong entry and a missing file go unnoticed.
    fn replay_damaged_txn_indexes(&mut self) -> Result<(), LogError> {
        for base in &self.txn_indexes {
            let path = log_path(self.dir, *base).with_extension(files::TXN_INDEX);
            if !txn_index::is_sound(&*self.vfs, &path).or_io("read", &path)? {
                tracing::warn!(file = %path.display(), "damaged transaction index: rebuilding it from the log");
                self.snapshots.retain(|snapshot| snapshot <= base);
                // Later ones are replayed with it.
                break;
            }
        }
        Ok(())
    }

    fn remove_leftovers(&mut self) -> Result<(), LogError> {
        if !self.leftovers.is_empty() {
            self.decide(Finding::Leftover);
        }
        for path in &self.leftovers {
            tracing::info!(file = %path.display(), "removed a leftover file");
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
        self.decide_end(Finding::NoSegment, (&log_path(self.dir, base), 0), base)?;
        self.remove_leftovers()?;
        let active = Active::create(&self.vfs, self.dir, base, self.config)?;
        self.unsynced_names.insert(self.dir.to_owned());
        Ok(self.share(active, base, base))
    }

    /// Everything there was deleted: sets it aside for a log that begins at the log start.
    fn start_over(mut self, bases: &[Offset]) -> Result<Opened, LogError> {
        let (log, start) = (self.dir.display(), self.start.log_start_offset);
        tracing::warn!(%log, %start, "the log ends below its start: all its records were deleted");
        self.segments.clear();
        self.set_aside(bases)?;
        self.start.recovery_point = Offset::ZERO;
        self.known.synced = Offset::ZERO;
        self.create()
    }

    /// Puts the parts together, whose last is the active segment.
    fn share(mut self, active: Active, end: Offset, recovery_point: Offset) -> Opened {
        self.segments.push(Arc::clone(&active.segment));
        let (first, written_down) = (self.segments[0].base_offset(), self.start.log_start_offset);
        if first > written_down && written_down > Offset::ZERO {
            self.decide(Finding::LateBegin);
            let log = self.dir.display();
            tracing::warn!(%log, %first, %written_down, "the log begins late: segments are missing");
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
            known: self.known,
        }
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

    fn open_file(&self, path: &Path) -> Result<(Arc<dyn VfsFile>, u64), LogError> {
        let file = self.vfs.open(path, OpenMode::Write).or_io("open", path)?;
        let size = file.len().or_io("measure", path)?;
        Ok((file, size))
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
        // It may never be written to.
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
