//! Looking at a log's files without opening the log: nothing is written, nothing is locked.
//!
//! It shows what is on the disk of a broker, stopped or running, or of Kafka.
//! A running broker may cut the tail of its active segment meanwhile.
//!
//! [`SegmentScan`] walks over a segment's batches, with their positions and what is wrong with
//! them; [`IndexFile`] holds the entries of an index and shows the steps of a search;
//! [`verify_log`] checks a whole directory.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use brooklet_protocol::records::{BATCH_HEADER_BYTES, BatchError, BatchHeader, RecordBatch};
use brooklet_protocol::{Offset, Timestamp};
use bytes::Bytes;

mod verify;

pub use verify::{Finding, LogSummary, Severity, verify_log};

use super::entries::Entries;
use super::files::{self, FileKind};
use super::producer_state::ProducerStates;
use super::producer_state::snapshot::{self, SnapshotError};
use super::txn_index::{self, AbortedTransaction};
use super::{offset_index, time_index};
use crate::vfs::{OpenMode, Vfs, VfsFile};

/// The files of a segment, as far as they are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFiles {
    /// What its name says.
    pub base_offset: Offset,
    /// `BASE.log`.
    pub log: PathBuf,
}

impl SegmentFiles {
    /// The segment whose `.log` this is; `None` if the name is not that of a segment.
    pub fn of(log: &Path) -> Option<Self> {
        match files::classify(log.file_name()?.to_str()?) {
            FileKind::Segment(base_offset) => Some(Self {
                base_offset,
                log: log.to_owned(),
            }),
            _ => None,
        }
    }

    /// All segments in a directory, in the order of their offsets.
    ///
    /// # Errors
    /// The disk.
    pub fn in_dir(vfs: &dyn Vfs, dir: &Path) -> io::Result<Vec<Self>> {
        let entries = vfs.read_dir(dir)?;
        let names = entries.into_iter().filter(|entry| !entry.is_dir);
        let mut segments: Vec<_> = names
            .filter_map(|entry| Self::of(&dir.join(entry.name)))
            .collect();
        segments.sort_by_key(|segment| segment.base_offset);
        Ok(segments)
    }

    /// The offset index.
    pub fn offset_index(&self) -> PathBuf {
        self.log.with_extension(files::OFFSET_INDEX)
    }

    /// The time index.
    pub fn time_index(&self) -> PathBuf {
        self.log.with_extension(files::TIME_INDEX)
    }

    /// The transaction index.
    pub fn txn_index(&self) -> PathBuf {
        self.log.with_extension(files::TXN_INDEX)
    }

    /// The producers' snapshot at its beginning.
    pub fn snapshot(&self) -> PathBuf {
        self.log.with_extension(files::SNAPSHOT)
    }
}

/// A batch and its position.
#[derive(Clone, Debug)]
pub struct PlacedBatch {
    /// Where it begins, in bytes.
    pub position: u64,
    /// Its header, as far as it makes sense.
    pub header: BatchHeader,
    /// All of it, as it lies on the disk.
    pub bytes: Bytes,
    /// What its checksum says.
    pub crc: Result<(), BatchError>,
}

impl PlacedBatch {
    /// The batch, to read its records.
    ///
    /// # Errors
    /// Its checksum is wrong.
    pub fn batch(&self) -> Result<RecordBatch, BatchError> {
        self.crc.clone()?;
        RecordBatch::split_from(&mut self.bytes.clone())
    }
}

/// Where a scan cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanEnd {
    /// Where the next batch should begin, in bytes.
    pub position: u64,
    /// Bytes from there to the end of the file.
    pub rest: u64,
    /// Why there is none; `None` at the end of the file, or where only zeros follow.
    pub error: Option<BatchError>,
    /// Whether all that follows is zeros: room that was preallocated.
    pub is_zeros: bool,
}

/// Walks over the batches of a segment, as long as their lengths make sense.
#[derive(Debug)]
pub struct SegmentScan {
    file: Arc<dyn VfsFile>,
    size: u64,
    position: u64,
}

impl SegmentScan {
    /// Stands before the first batch.
    ///
    /// # Errors
    /// The disk.
    pub fn open(vfs: &dyn Vfs, log: &Path) -> io::Result<Self> {
        let file = vfs.open(log, OpenMode::Read)?;
        let size = file.len()?;
        Ok(Self {
            file,
            size,
            position: 0,
        })
    }

    /// Bytes in the file.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The next batch, or why there is none.
    ///
    /// # Errors
    /// The disk.
    pub fn next_batch(&mut self) -> io::Result<Result<PlacedBatch, ScanEnd>> {
        let (position, rest) = (self.position, self.size - self.position);
        let head = self.read(rest.min(BATCH_HEADER_BYTES as u64))?;
        let header = match BatchHeader::parse(&head) {
            _ if rest == 0 => return Ok(Err(self.end(None))),
            Ok(header) if header.size() as u64 > rest => {
                let cut_off = BatchError::Truncated {
                    expected: header.size(),
                    found: rest as usize,
                };
                return Ok(Err(self.end(Some(cut_off))));
            }
            Ok(header) => header,
            Err(_) if self.is_zeros_from_here()? => {
                return Ok(Err(ScanEnd {
                    is_zeros: true,
                    ..self.end(None)
                }));
            }
            Err(error) => return Ok(Err(self.end(Some(error)))),
        };
        let bytes = Bytes::from(self.read(header.size() as u64)?);
        let crc = RecordBatch::split_from(&mut bytes.clone()).and_then(|b| b.verify_crc());
        self.position += header.size() as u64;
        Ok(Ok(PlacedBatch {
            position,
            header,
            bytes,
            crc,
        }))
    }

    fn end(&self, error: Option<BatchError>) -> ScanEnd {
        ScanEnd {
            position: self.position,
            rest: self.size - self.position,
            error,
            is_zeros: false,
        }
    }

    fn read(&self, length: u64) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; length as usize];
        self.file.read_exact_at(&mut buffer, self.position)?;
        Ok(buffer)
    }

    fn is_zeros_from_here(&self) -> io::Result<bool> {
        let mut position = self.position;
        let mut buffer = vec![0; 64 << 10];
        while position < self.size {
            let length = (self.size - position).min(buffer.len() as u64) as usize;
            self.file.read_exact_at(&mut buffer[..length], position)?;
            if buffer[..length].iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            position += length as u64;
        }
        Ok(true)
    }
}

/// A step of a binary search: the entry that was looked at, and where the search went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchStep {
    /// The half-open range of entries that was left.
    pub range: (usize, usize),
    /// The entry in its middle.
    pub middle: usize,
    /// Whether that one is at or before what is looked for.
    pub is_at_or_before: bool,
}

/// The entries of an offset index: (last offset of a batch, where the batch begins).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexFile<E> {
    /// What the file has, without zeros at its end.
    pub entries: Vec<E>,
    /// Bytes of the file, with them.
    pub bytes: u64,
    /// Bytes at the end that are no whole entry.
    pub torn_bytes: u64,
}

/// An entry of an offset index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetIndexEntry {
    /// The last offset of a batch.
    pub last_offset: Offset,
    /// Where that batch begins, in bytes.
    pub position: i64,
}

/// An entry of a time index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeIndexEntry {
    /// The highest timestamp so far.
    pub timestamp: Timestamp,
    /// The last offset of the batch that reached it first.
    pub last_offset: Offset,
}

/// Reads an offset index of the segment that begins at `base`.
///
/// # Errors
/// The disk.
pub fn read_offset_index(
    vfs: &dyn Vfs,
    path: &Path,
    base: Offset,
) -> io::Result<IndexFile<OffsetIndexEntry>> {
    let bytes = vfs.read(path)?;
    let (raw, torn) = bytes.as_chunks::<{ offset_index::ENTRY_BYTES }>();
    let entries = raw[..offset_index::count(&Entries::Memory(raw))?]
        .iter()
        .map(|raw| {
            let entry = offset_index::OffsetEntry::decode(*raw);
            OffsetIndexEntry {
                last_offset: base.plus(i64::from(entry.relative_offset)),
                position: i64::from(entry.position),
            }
        });
    Ok(IndexFile {
        entries: entries.collect(),
        bytes: bytes.len() as u64,
        torn_bytes: torn.len() as u64,
    })
}

/// Reads a time index of the segment that begins at `base`.
///
/// # Errors
/// The disk.
pub fn read_time_index(
    vfs: &dyn Vfs,
    path: &Path,
    base: Offset,
) -> io::Result<IndexFile<TimeIndexEntry>> {
    let bytes = vfs.read(path)?;
    let (raw, torn) = bytes.as_chunks::<{ time_index::ENTRY_BYTES }>();
    let entries = raw[..time_index::count(&Entries::Memory(raw))?]
        .iter()
        .map(|raw| {
            let entry = time_index::TimeEntry::decode(raw);
            TimeIndexEntry {
                timestamp: entry.timestamp,
                last_offset: base.plus(i64::from(entry.relative_offset)),
            }
        });
    Ok(IndexFile {
        entries: entries.collect(),
        bytes: bytes.len() as u64,
        torn_bytes: torn.len() as u64,
    })
}

/// Reads a transaction index; the entries up to the first that makes no sense, and the file's
/// bytes.
///
/// # Errors
/// The disk.
pub fn read_txn_index(vfs: &dyn Vfs, path: &Path) -> io::Result<(Vec<AbortedTransaction>, u64)> {
    let bytes = vfs.read(path)?;
    Ok((txn_index::decode(&bytes), bytes.len() as u64))
}

/// Reads a snapshot of the producers.
///
/// # Errors
/// The disk.
pub fn read_snapshot(
    vfs: &dyn Vfs,
    path: &Path,
) -> io::Result<Result<ProducerStates, SnapshotError>> {
    Ok(snapshot::decode(&vfs.read(path)?))
}

impl<E> IndexFile<E> {
    /// The last entry that is at or before what is looked for, and the steps of the search.
    pub fn floor(&self, is_at_or_before: impl Fn(&E) -> bool) -> (Option<&E>, Vec<SearchStep>) {
        let (mut from, mut to) = (0, self.entries.len());
        let mut steps = Vec::new();
        while from < to {
            let middle = from + (to - from) / 2;
            let step = SearchStep {
                range: (from, to),
                middle,
                is_at_or_before: is_at_or_before(&self.entries[middle]),
            };
            steps.push(step);
            if step.is_at_or_before {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        (from.checked_sub(1).map(|last| &self.entries[last]), steps)
    }
}
