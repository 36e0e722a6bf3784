//! Checking a log's files against what a log has to be.
//!
//! | what | severity |
//! |---|---|
//! | a batch below the recovery point is malformed, cut off, or its checksum is wrong | corrupt |
//! | offsets do not continue, where no compaction may have left a gap | corrupt |
//! | the log ends below the recovery point | corrupt |
//! | records that a consumer cannot read, though the checksum is right | unreadable: nothing is cut for it |
//! | a batch whose max timestamp is not its records' | note: look-ups and retention go by the records |
//! | a batch that the disk cannot read back | corrupt |
//! | a bad tail at or above the recovery point | torn tail: the next start cuts it, a running broker may be writing it |
//! | an index entry that leads nowhere, or is out of order; a snapshot with a wrong checksum | hint: rebuilt when it is needed |
//! | side files, `.deleted`, `.cleaned`, `.swap` | note |

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use brooklet_protocol::records::BatchError;
use brooklet_protocol::{Offset, Timestamp};

use super::super::files::{self, FileKind};
use super::{
    IndexFile, PlacedBatch, ScanEnd, SegmentFiles, SegmentScan, read_offset_index, read_snapshot,
    read_time_index,
};
use crate::offset_index::ENTRY_BYTES as OFFSET_ENTRY_BYTES;
use crate::time_index::ENTRY_BYTES as TIME_ENTRY_BYTES;
use crate::vfs::{Vfs, is_passing};
use crate::{RecoveryStart, sync_points};

/// Records of one batch are decompressed to at most this many bytes.
const DECOMPRESSED_BYTES_MAX: usize = 256 << 20;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// What can be rebuilt is wrong.
    Hint,
    /// The end of the log is not whole, and was never confirmed as durable.
    TornTail,
    /// A batch is what was written, and no consumer can read it.
    Unreadable,
    /// Stored records are not what was written.
    Corrupt,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The file.
    pub path: PathBuf,
    /// Where in it, in bytes, if that means something.
    pub position: Option<u64>,
    /// What is wrong.
    pub words: String,
}

/// What a log has, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSummary {
    /// Segments.
    pub segments: usize,
    /// Whole batches.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes of whole batches.
    pub bytes: u64,
    /// The first offset of the first segment.
    pub start_offset: Option<Offset>,
    /// The offset behind the last whole batch.
    pub end_offset: Option<Offset>,
    /// In the order in which they were found.
    pub findings: Vec<Finding>,
}

impl LogSummary {
    /// The worst of the findings.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }

    /// An index entry of `entry_bytes` that is wrong, if one is.
    fn find_entry(&mut self, path: &Path, entry_bytes: usize, wrong: Option<(usize, String)>) {
        if let Some((number, words)) = wrong {
            let position = Some((number * entry_bytes) as u64);
            let words = format!("entry {number} {words}");
            self.find(Severity::Hint, path, position, words);
        }
    }

    fn find(&mut self, severity: Severity, path: &Path, position: Option<u64>, words: String) {
        self.findings.push(Finding {
            severity,
            path: path.to_owned(),
            position,
            words,
        });
    }
}

/// Looks at the log in `dir`; `start` is what the checkpoint files say of it.
///
/// # Errors
/// The disk.
pub fn verify_log(vfs: &dyn Vfs, dir: &Path, start: RecoveryStart) -> io::Result<LogSummary> {
    let start = RecoveryStart {
        recovery_point: sync_points::read(vfs, dir).max(start.recovery_point),
        ..start
    };
    let mut summary = LogSummary::default();
    let segments = SegmentFiles::in_dir(vfs, dir)?;
    note_other_files(vfs, dir, &mut summary)?;
    summary.segments = segments.len();
    summary.start_offset = segments.first().map(|segment| segment.base_offset);
    let mut next = None;
    for (number, segment) in segments.iter().enumerate() {
        let is_last = number + 1 == segments.len();
        if let Some(expected) = next {
            check_chain(segment, expected, start, &mut summary);
        }
        let (end, is_whole) = verify_segment(vfs, segment, start, &mut summary)?;
        next = Some(end);
        summary.end_offset = next;
        if !is_whole && !is_last {
            // What comes next is unknown, so each of the later segments is checked by itself.
            next = None;
        }
    }
    let end = summary.end_offset.unwrap_or_default();
    if end < start.recovery_point {
        let words = format!(
            "the log ends at offset {end}, but was synced up to {}",
            start.recovery_point
        );
        summary.find(Severity::Corrupt, dir, None, words);
    }
    Ok(summary)
}

fn note_other_files(vfs: &dyn Vfs, dir: &Path, summary: &mut LogSummary) -> io::Result<()> {
    for entry in vfs.read_dir(dir)? {
        let words = match files::classify(&entry.name) {
            FileKind::Leftover | FileKind::Retired(_) => "left over; the next start removes it",
            FileKind::Swap(_) => "a compaction was interrupted; the next start finishes it",
            FileKind::Other if entry.name.contains(".log.cut-") => "cut off by a recovery",
            _ => continue,
        };
        summary.find(
            Severity::Note,
            &dir.join(&entry.name),
            None,
            words.to_owned(),
        );
    }
    Ok(())
}

fn check_chain(
    segment: &SegmentFiles,
    expected: Offset,
    start: RecoveryStart,
    summary: &mut LogSummary,
) {
    let found = segment.base_offset;
    if !continues(expected, found, start) {
        let words = format!("begins at {found}, the segment before it ends at {expected}");
        summary.find(severity_at(expected, start), &segment.log, None, words);
    }
}

/// Whether a batch or segment at `found` continues a log that ends at `expected`; compaction may
/// have left a gap between them.
fn continues(expected: Offset, found: Offset, start: RecoveryStart) -> bool {
    found == expected || (found > expected && found <= start.cleaned_below)
}

/// What it means that the log does not go on at `offset`.
fn severity_at(offset: Offset, start: RecoveryStart) -> Severity {
    if offset < start.recovery_point {
        Severity::Corrupt
    } else {
        Severity::TornTail
    }
}

/// The walk over one segment: what it has found so far.
struct Walk<'a> {
    segment: &'a SegmentFiles,
    start: RecoveryStart,
    /// The offset that has to come next.
    next: Offset,
    /// Last offset and running maximum of timestamps, by position.
    batches: BatchesByPosition,
    highest: Timestamp,
}

type BatchesByPosition = BTreeMap<u64, (Offset, Timestamp)>;

/// Where its whole batches end, and whether that is where the file ends.
fn verify_segment(
    vfs: &dyn Vfs,
    segment: &SegmentFiles,
    start: RecoveryStart,
    summary: &mut LogSummary,
) -> io::Result<(Offset, bool)> {
    let mut scan = SegmentScan::open(vfs, &segment.log)?;
    let mut walk = Walk {
        segment,
        start,
        next: segment.base_offset,
        batches: BTreeMap::new(),
        highest: Timestamp::MIN,
    };
    let is_whole = loop {
        match scan.next_batch() {
            Err(error) if !is_passing(&error) => {
                let words = format!("cannot be read: {error}");
                summary.find(Severity::Corrupt, &segment.log, Some(scan.position), words);
                break false;
            }
            scanned => match scanned? {
                Ok(batch) => walk.visit(&batch, summary),
                Err(end) => break walk.visit_end(end, summary),
            },
        }
    };
    verify_hints(vfs, segment, &walk.batches, summary)?;
    Ok((walk.next, is_whole))
}

impl Walk<'_> {
    fn find(&self, position: u64, words: String, summary: &mut LogSummary) {
        let severity = severity_at(self.next, self.start);
        summary.find(severity, &self.segment.log, Some(position), words);
    }

    fn visit(&mut self, batch: &PlacedBatch, summary: &mut LogSummary) {
        let (header, next) = (&batch.header, self.next);
        let found = header.base_offset;
        if !continues(next, found, self.start) {
            let words = format!("expected offset {next}, found {found}");
            self.find(batch.position, words, summary);
        }
        match &batch.crc {
            Err(error) => self.find(batch.position, error.to_string(), summary),
            Ok(()) => verify_records(self.segment, batch, summary),
        }
        self.highest = self.highest.max(header.max_timestamp);
        (self.batches).insert(batch.position, (header.last_offset(), self.highest));
        self.next = header.next_offset();
        summary.batches += 1;
        summary.records += u64::try_from(header.record_count).unwrap_or(0);
        summary.bytes += header.size() as u64;
    }

    /// Whether the segment ends where its batches do.
    fn visit_end(&self, end: ScanEnd, summary: &mut LogSummary) -> bool {
        if let Some(error) = end.error {
            let words = format!("{error}; {} bytes follow the last whole batch", end.rest);
            self.find(end.position, words, summary);
            return false;
        }
        if end.is_zeros {
            let words = format!("{} bytes of zeros: preallocated", end.rest);
            summary.find(Severity::Note, &self.segment.log, Some(end.position), words);
        }
        true
    }
}

/// Walks the records as a consumer does.
fn verify_records(segment: &SegmentFiles, batch: &PlacedBatch, summary: &mut LogSummary) {
    let header = &batch.header;
    let (severity, words) = match highest_timestamp(batch) {
        Ok(highest) if highest.0.max(-1) == header.max_timestamp.0.max(-1) => return,
        // Compaction leaves the header of a batch whose records are gone.
        Ok(_) if header.record_count == 0 => return,
        Ok(highest) => {
            let claimed = header.max_timestamp;
            let words = format!("max timestamp is {claimed}, that of the records is {highest}");
            (Severity::Note, words)
        }
        Err(error) => {
            let (first, last) = (header.base_offset, header.last_offset());
            let words = format!(
                "{error}; consumers cannot read offsets {first} to {last}, go on at {}",
                header.next_offset()
            );
            (Severity::Unreadable, words)
        }
    };
    summary.find(severity, &segment.log, Some(batch.position), words);
}

fn highest_timestamp(batch: &PlacedBatch) -> Result<Timestamp, BatchError> {
    let records = batch.batch()?.records(DECOMPRESSED_BYTES_MAX)?;
    let mut highest = Timestamp::NONE;
    for record in &records {
        highest = highest.max(record?.timestamp);
    }
    Ok(highest)
}

/// Indexes and snapshot: what is wrong there costs time, not data.
fn verify_hints(
    vfs: &dyn Vfs,
    segment: &SegmentFiles,
    batches: &BatchesByPosition,
    summary: &mut LogSummary,
) -> io::Result<()> {
    let base = segment.base_offset;
    let path = segment.offset_index();
    if vfs.exists(&path) {
        let index = read_offset_index(vfs, &path, base)?;
        let wrong = first_wrong(&index, |entry| {
            let found = u64::try_from(entry.position).ok();
            let found = found.and_then(|position| batches.get(&position));
            let (last, position) = (entry.last_offset, entry.position);
            found.is_none_or(|(found, _)| *found != last).then(|| {
                format!("says that a batch ending at {last} begins at byte {position}; none does")
            })
        });
        summary.find_entry(&path, OFFSET_ENTRY_BYTES, wrong);
    }
    let path = segment.time_index();
    if vfs.exists(&path) {
        let index = read_time_index(vfs, &path, base)?;
        let by_offset: BTreeMap<Offset, Timestamp> = batches.values().copied().collect();
        let wrong = first_wrong(&index, |entry| {
            let (time, last) = (entry.timestamp, entry.last_offset);
            (by_offset.get(&last) != Some(&time)).then(|| {
                format!("says that time {time} is first reached by offset {last}; it is not")
            })
        });
        summary.find_entry(&path, TIME_ENTRY_BYTES, wrong);
    }
    let path = segment.snapshot();
    if vfs.exists(&path)
        && let Err(error) = read_snapshot(vfs, &path)?
    {
        summary.find(Severity::Hint, &path, None, format!("no snapshot: {error}"));
    }
    Ok(())
}

/// The number of the first entry of an index that is wrong, and what is wrong with it.
fn first_wrong<E>(
    index: &IndexFile<E>,
    wrong: impl Fn(&E) -> Option<String>,
) -> Option<(usize, String)> {
    let mut entries = index.entries.iter().enumerate();
    entries.find_map(|(number, entry)| Some((number, wrong(entry)?)))
}
