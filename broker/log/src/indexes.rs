//! The two indexes of a segment, from their first entry to the files.
//!
//! ```text
//!             append                     seal             first look-up
//!  Growing ───────────▶ Growing ──────────────▶ Unloaded ──────────────▶ Filed
//!  (in memory)          every 4 KiB of           (files)                 (files, searched
//!                       entries to the files                              in place)
//! ```
//!
//! Indexes are hints: a log without them is whole, only slower. So a failed write of an index is
//! logged and is not an error, a file that is missing, cut, unreadable or inconsistent is rebuilt
//! from the batches, and a search that follows an entry checks that it leads where it says.
//!
//! One thing cannot be checked: whether an entry is missing at the end of a time index. A look-up
//! that needs it would skip the segment. So before a recovery point is written down, the files are
//! brought up to it and synced ([`Segment::settle`](super::segment::Segment)): below a recovery
//! point they are complete or plainly unusable, above it they are not believed. Unlike Kafka's, the
//! files are not preallocated; zeros at the end, which Kafka's preallocation leaves, are no
//! entries.

use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use brooklet_protocol::records::BatchHeader;
use brooklet_protocol::{Offset, Timestamp};
use parking_lot::RwLock;

use super::entries::Entries;
use super::offset_index::{self, OffsetEntries, OffsetEntry};
use super::read_files::FileNumber;
use super::time_index::{self, TimeEntries, TimeEntry};
use super::{LogConfig, files};
use crate::vfs::{OpenMode, Vfs, VfsFile, is_passing};

/// Bytes of offset entries that are collected before they are written to the file.
const UNWRITTEN_BYTES_MAX: usize = 4096;

/// Both indexes of one segment.
#[derive(Debug)]
pub(super) struct Indexes {
    state: RwLock<State>,
}

#[derive(Debug)]
enum State {
    /// In the files, not looked at yet.
    Unloaded,
    /// The segment is being written.
    Growing(GrowingIndexes),
    /// The segment is sealed; in memory, because the files cannot be written, or are not yet.
    Held { offsets: Vec<u8>, times: Vec<u8> },
    /// The segment is sealed; in the files, which were found usable.
    Filed(IndexFiles),
}

/// The index files of a sealed segment, without zeros at the end.
#[derive(Debug)]
struct IndexFiles {
    offsets: IndexFile,
    times: IndexFile,
    /// The last of the times.
    highest: Option<TimeEntry>,
}

/// How many entries an index file has, and the number under which it is kept open.
#[derive(Debug)]
struct IndexFile {
    number: FileNumber,
    count: usize,
}

/// Opens an index file, by its number and its extension, unless it is kept open.
pub(super) type OpenIndex<'a> = &'a dyn Fn(&FileNumber, &str) -> io::Result<Arc<dyn VfsFile>>;

/// The indexes of a segment that is being written or scanned.
#[derive(Clone, Debug, Default)]
pub(super) struct GrowingIndexes {
    offsets: Vec<u8>,
    times: Vec<u8>,
    /// How much of both is in the files.
    written: (usize, usize),
    /// Bytes of log since the last offset entry.
    bytes_since_entry: u64,
    /// The highest timestamp, and the batch that reached it first.
    highest: Option<TimeEntry>,
}

impl GrowingIndexes {
    /// Adds a batch at `position` of the segment that starts at `base`.
    pub(super) fn add(
        &mut self,
        base: Offset,
        header: &BatchHeader,
        position: u64,
        interval_bytes: u64,
    ) {
        let relative_offset = (header.last_offset().0 - base.0) as i32;
        let timestamp = header.max_timestamp;
        if timestamp
            > self
                .highest
                .map_or(Timestamp::NONE, |highest| highest.timestamp)
        {
            self.highest = Some(TimeEntry {
                timestamp,
                relative_offset,
            });
        }
        if self.bytes_since_entry > interval_bytes {
            let entry = OffsetEntry {
                relative_offset,
                position: position as i32,
            };
            self.offsets.extend_from_slice(&entry.encode());
            self.add_highest();
            self.bytes_since_entry = 0;
        }
        self.bytes_since_entry += header.size() as u64;
    }

    /// Forgets all but what is about batches that end below `relative_offset`; returns where the
    /// last of those that are left leads. Adding the batches from there on restores what was
    /// forgotten.
    pub(super) fn cut_to(&mut self, relative_offset: i64) -> Option<OffsetEntry> {
        // The files are cut no further than to what is not believed: a crash may leave a cut and
        // take what was written behind it.
        let is_below = |relative: i32| i64::from(relative) < relative_offset;
        let offsets = self.offsets.as_chunks().0;
        let kept =
            offsets.partition_point(|raw| is_below(OffsetEntry::decode(*raw).relative_offset));
        let last = kept
            .checked_sub(1)
            .map(|last| OffsetEntry::decode(offsets[last]));
        self.offsets.truncate(kept * offset_index::ENTRY_BYTES);
        let times = self.times.as_chunks().0;
        let kept = times.partition_point(|raw| is_below(TimeEntry::decode(raw).relative_offset));
        self.times.truncate(kept * time_index::ENTRY_BYTES);
        self.written.0 = self.written.0.min(self.offsets.len());
        self.written.1 = self.written.1.min(self.times.len());
        self.highest = last_time(&self.times);
        self.bytes_since_entry = 0;
        last
    }

    /// Adds the highest timestamp so far to the time index, unless it is there.
    fn add_highest(&mut self) {
        let last = last_time(&self.times).map(|entry| entry.timestamp);
        if let Some(highest) = self.highest
            && last.is_none_or(|last| highest.timestamp > last)
        {
            self.times.extend_from_slice(&highest.encode());
        }
    }

    /// Writes what is not in the files yet.
    fn write(&mut self, vfs: &dyn Vfs, log: &Path) -> io::Result<()> {
        let parts = [
            (files::OFFSET_INDEX, &self.offsets, &mut self.written.0),
            (files::TIME_INDEX, &self.times, &mut self.written.1),
        ];
        for (extension, entries, written) in parts {
            if entries.len() == *written && *written > 0 {
                continue;
            }
            let file = vfs.open(&log.with_extension(extension), OpenMode::Create)?;
            if file.len()? != *written as u64 {
                file.set_len(*written as u64)?;
            }
            file.append(&[IoSlice::new(&entries[*written..])])?;
            *written = entries.len();
        }
        Ok(())
    }
}

impl Indexes {
    pub(super) fn unloaded() -> Self {
        Self {
            state: RwLock::new(State::Unloaded),
        }
    }

    pub(super) fn growing(indexes: GrowingIndexes) -> Self {
        Self {
            state: RwLock::new(State::Growing(indexes)),
        }
    }

    pub(super) fn is_unloaded(&self) -> bool {
        matches!(*self.state.read(), State::Unloaded)
    }

    /// As [`GrowingIndexes::add`]; then sends entries to the files if there are enough of them.
    pub(super) fn add(
        &self,
        vfs: &dyn Vfs,
        log: &Path,
        base: Offset,
        (header, position): (&BatchHeader, u64),
        interval_bytes: u64,
    ) {
        let mut state = self.state.write();
        let State::Growing(growing) = &mut *state else {
            return;
        };
        growing.add(base, header, position, interval_bytes);
        if growing.offsets.len() - growing.written.0 >= UNWRITTEN_BYTES_MAX
            && let Err(error) = growing.write(vfs, log)
        {
            tracing::warn!(segment = %log.display(), %error, "index entries not written yet");
        }
    }

    /// Whether the segment has to roll because an index takes no more entries. The time index
    /// keeps room for the entry that sealing adds.
    pub(super) fn is_full(&self, config: &LogConfig) -> bool {
        let full = |entries: &[u8], entry_bytes: usize, reserve: u64| {
            let entries_max = config.segment_index_bytes / entry_bytes as u64;
            (entries.len() / entry_bytes) as u64 + reserve >= entries_max
        };
        match &*self.state.read() {
            State::Growing(growing) => {
                full(&growing.offsets, offset_index::ENTRY_BYTES, 0)
                    || full(&growing.times, time_index::ENTRY_BYTES, 1)
            }
            State::Unloaded | State::Held { .. } | State::Filed(_) => false,
        }
    }

    /// Completes the files (the last time entry is the segment's maximum) and leaves the memory.
    /// Files that cannot be written are removed: they would be taken for complete.
    pub(super) fn seal(&self, vfs: &dyn Vfs, log: &Path) {
        let mut state = self.state.write();
        let State::Growing(growing) = &mut *state else {
            return;
        };
        growing.add_highest();
        let Err(error) = growing.write(vfs, log) else {
            *state = State::Unloaded;
            return;
        };
        tracing::warn!(segment = %log.display(), %error, "indexes not written, left to be rebuilt");
        *state = State::Held {
            offsets: std::mem::take(&mut growing.offsets),
            times: std::mem::take(&mut growing.times),
        };
        drop(state);
        for path in paths(log) {
            if vfs.exists(&path)
                && let Err(error) = vfs.remove_file(&path)
            {
                tracing::warn!(index = %path.display(), %error, "incomplete index not removed");
            }
        }
    }

    /// Looks at the files of a sealed segment of `size` bytes. False when they are not usable.
    pub(super) fn load(&self, open: OpenIndex<'_>, size: u64) -> io::Result<bool> {
        match IndexFiles::look_at(open, size) {
            Ok(Some(found)) => {
                *self.state.write() = State::Filed(found);
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(error) => unusable(error).map(|()| false),
        }
    }

    /// Brings all entries to the files, with the highest timestamp so far: the segment may end
    /// here.
    pub(super) fn flush(&self, vfs: &dyn Vfs, log: &Path) -> io::Result<()> {
        match &mut *self.state.write() {
            State::Growing(growing) => {
                growing.add_highest();
                growing.write(vfs, log)
            }
            State::Unloaded | State::Held { .. } | State::Filed(_) => Ok(()),
        }
    }

    /// Replaces the files of a growing index that was rebuilt, durably. The time index first: an
    /// offset entry is taken to mean that the times before it are there.
    pub(super) fn replace_files(&self, vfs: &dyn Vfs, log: &Path) -> io::Result<()> {
        if let State::Growing(growing) = &mut *self.state.write() {
            growing.add_highest();
            let [offsets, times] = paths(log);
            vfs.replace(&times, &growing.times)?;
            vfs.replace(&offsets, &growing.offsets)?;
            growing.written = (growing.offsets.len(), growing.times.len());
        }
        Ok(())
    }

    /// Takes indexes that were rebuilt, and replaces the files, if there are to be any.
    pub(super) fn replace(&self, files: Option<(&dyn Vfs, &Path)>, mut rebuilt: GrowingIndexes) {
        rebuilt.add_highest();
        let is_filed = files.is_some_and(|(vfs, log)| {
            let [offsets, times] = paths(log);
            // The time index first, as above.
            [(times, &rebuilt.times), (offsets, &rebuilt.offsets)]
                .iter()
                .all(|(path, content)| {
                    let written = vfs.replace(path, content);
                    if let Err(error) = &written {
                        tracing::warn!(index = %path.display(), %error, "rebuilt index not written");
                    }
                    written.is_ok()
                })
        });
        *self.state.write() = if is_filed {
            State::Filed(IndexFiles::of(&rebuilt))
        } else {
            State::Held {
                offsets: rebuilt.offsets,
                times: rebuilt.times,
            }
        };
    }

    /// Bytes of the offset index, as far as it was looked at.
    pub(super) fn offset_bytes(&self) -> u64 {
        let bytes = match &*self.state.read() {
            State::Unloaded => 0,
            State::Growing(growing) => growing.offsets.len(),
            State::Held { offsets, .. } => offsets.len(),
            State::Filed(files) => files.offsets.count * offset_index::ENTRY_BYTES,
        };
        bytes as u64
    }

    /// The last offset entry at or below `relative_offset`.
    pub(super) fn offset_floor(
        &self,
        open: OpenIndex<'_>,
        relative_offset: i64,
    ) -> io::Result<Option<OffsetEntry>> {
        self.with_offsets(open, |entries| {
            offset_index::floor(entries, relative_offset)
        })
    }

    /// The first offset entry at or above `relative_offset`.
    pub(super) fn offset_ceiling(
        &self,
        open: OpenIndex<'_>,
        relative_offset: i64,
    ) -> io::Result<Option<OffsetEntry>> {
        self.with_offsets(open, |entries| {
            offset_index::ceiling(entries, relative_offset)
        })
    }

    /// The last offset entry that leads to `position` or before it.
    pub(super) fn position_floor(
        &self,
        open: OpenIndex<'_>,
        position: i64,
    ) -> io::Result<Option<OffsetEntry>> {
        self.with_offsets(open, |entries| {
            offset_index::position_floor(entries, position)
        })
    }

    /// The last time entry at or before `timestamp`.
    pub(super) fn time_floor(
        &self,
        open: OpenIndex<'_>,
        timestamp: Timestamp,
    ) -> io::Result<Option<TimeEntry>> {
        let look = |entries: &TimeEntries<'_>| time_index::floor(entries, timestamp);
        match &*self.state.read() {
            State::Unloaded => Ok(None),
            State::Growing(GrowingIndexes { times, .. }) | State::Held { times, .. } => {
                look(&Entries::Memory(times.as_chunks().0))
            }
            State::Filed(IndexFiles { times, .. }) => look(&Entries::File(
                open(&times.number, files::TIME_INDEX)?,
                times.count,
            )),
        }
    }

    fn with_offsets<T>(
        &self,
        open: OpenIndex<'_>,
        look: impl FnOnce(&OffsetEntries<'_>) -> io::Result<Option<T>>,
    ) -> io::Result<Option<T>> {
        match &*self.state.read() {
            State::Unloaded => Ok(None),
            State::Growing(GrowingIndexes { offsets, .. }) | State::Held { offsets, .. } => {
                look(&Entries::Memory(offsets.as_chunks().0))
            }
            State::Filed(IndexFiles { offsets, .. }) => {
                let file = open(&offsets.number, files::OFFSET_INDEX)?;
                look(&Entries::File(file, offsets.count))
            }
        }
    }

    /// The highest timestamp of the segment.
    pub(super) fn highest(&self) -> Option<TimeEntry> {
        match &*self.state.read() {
            State::Unloaded => None,
            State::Growing(growing) => growing.highest.or_else(|| last_time(&growing.times)),
            State::Held { times, .. } => last_time(times),
            State::Filed(files) => files.highest,
        }
    }
}

impl IndexFiles {
    /// The files as they are found; `None` when they are not usable.
    fn look_at(open: OpenIndex<'_>, size: u64) -> io::Result<Option<Self>> {
        let numbers = [FileNumber::next(), FileNumber::next()];
        let [offsets, times] = [
            (&numbers[0], files::OFFSET_INDEX, offset_index::ENTRY_BYTES),
            (&numbers[1], files::TIME_INDEX, time_index::ENTRY_BYTES),
        ]
        .map(|(number, extension, entry_bytes)| {
            let file = open(number, extension)?;
            let length = usize::try_from(file.len()?).map_err(io::Error::other)?;
            let is_whole = length.is_multiple_of(entry_bytes);
            Ok::<_, io::Error>((file, is_whole.then_some(length / entry_bytes)))
        });
        let ((offsets, Some(offset_count)), (times, Some(time_count))) = (offsets?, times?) else {
            return Ok(None);
        };
        let offsets = Entries::File(offsets, offset_count);
        let times = Entries::File(times, time_count);
        let Some((offset_count, highest, time_count)) = usable(&offsets, &times, size)? else {
            return Ok(None);
        };
        let [offsets, times] = numbers;
        Ok(Some(Self {
            offsets: IndexFile {
                number: offsets,
                count: offset_count,
            },
            times: IndexFile {
                number: times,
                count: time_count,
            },
            highest,
        }))
    }

    /// Those that have just got this content.
    fn of(written: &GrowingIndexes) -> Self {
        let file = |count| IndexFile {
            number: FileNumber::next(),
            count,
        };
        Self {
            offsets: file(written.offsets.len() / offset_index::ENTRY_BYTES),
            times: file(written.times.len() / time_index::ENTRY_BYTES),
            highest: last_time(&written.times),
        }
    }
}

/// What to do about an index file that cannot be read: it is rebuilt, as if it were not there,
/// unless the fault is not its own.
fn unusable(error: io::Error) -> io::Result<()> {
    if is_passing(&error) {
        return Err(error);
    }
    if error.kind() != ErrorKind::NotFound {
        tracing::warn!(%error, "an index cannot be read");
    }
    Ok(())
}

/// Reads the files of the segment that will be written on, if they are usable.
pub(super) fn read_growing(
    vfs: &dyn Vfs,
    log: &Path,
    size: u64,
) -> io::Result<Option<GrowingIndexes>> {
    let [offsets, times] = paths(log).map(|path| vfs.read(&path));
    let (mut offsets, mut times) = match (offsets, times) {
        (Ok(offsets), Ok(times)) => (offsets, times),
        (Err(error), _) | (_, Err(error)) => return unusable(error).map(|()| None),
    };
    let ((offset_entries, []), (time_entries, [])) = (offsets.as_chunks(), times.as_chunks())
    else {
        return Ok(None);
    };
    let entries = (
        Entries::Memory(offset_entries),
        Entries::Memory(time_entries),
    );
    let Some((offset_count, highest, time_count)) = usable(&entries.0, &entries.1, size)? else {
        return Ok(None);
    };
    offsets.truncate(offset_count * offset_index::ENTRY_BYTES);
    times.truncate(time_count * time_index::ENTRY_BYTES);
    Ok(Some(GrowingIndexes {
        written: (offsets.len(), times.len()),
        highest,
        offsets,
        times,
        bytes_since_entry: 0,
    }))
}

/// How many entries there are without zeros at the end, with the last of the times between the two
/// counts; `None` when they cannot belong to a segment of `size` bytes.
fn usable(
    offsets: &OffsetEntries<'_>,
    times: &TimeEntries<'_>,
    size: u64,
) -> io::Result<Option<(usize, Option<TimeEntry>, usize)>> {
    let offset_count = offset_index::count(offsets)?;
    let time_count = time_index::count(times)?;
    let offset_ends = offsets.first(offset_count).ends()?;
    let time_ends = times.first(time_count).ends()?;
    let is_plausible = offset_index::is_plausible(offset_ends, size)
        && time_index::is_plausible(time_ends, size == 0);
    let highest = time_ends.map(|[_, last]| TimeEntry::decode(&last));
    Ok(is_plausible.then_some((offset_count, highest, time_count)))
}

fn last_time(times: &[u8]) -> Option<TimeEntry> {
    times.as_chunks().0.last().map(TimeEntry::decode)
}

/// The index files of a segment.
pub(super) fn paths(log: &Path) -> [PathBuf; 2] {
    [files::OFFSET_INDEX, files::TIME_INDEX].map(|extension| log.with_extension(extension))
}
