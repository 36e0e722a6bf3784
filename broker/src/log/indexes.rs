//! The two indexes of a segment, from their first entry to the mapped file.
//!
//! ```text
//!             append                       seal                      first look-up
//!  Growing ───────────▶ Growing ────────────────────────▶ Unloaded ────────────────▶ Loaded
//!  (in memory)           every 4 KiB of entries goes       (files)                   (mapped)
//!                        to the files
//! ```
//!
//! Indexes are hints: a log without them is whole, only slower. So a failed write of an index is
//! logged and no error, a file that is missing, cut or inconsistent is made anew from the batches,
//! and whoever follows an entry checks that it leads where it says.
//!
//! What cannot be checked is whether an entry is missing at the end of a time index, and the look-up
//! that needs it would pass a segment by. So before a recovery point is written down, the files are
//! brought up to it and synced ([`Segment::settle`](super::segment::Segment)): below a recovery
//! point they are complete or plainly unusable, above it they are not believed. Unlike Kafka, the files are
//! not preallocated; zeros at the end, which Kafka's preallocation leaves, are no entries.

use std::io::{self, ErrorKind, IoSlice};
use std::path::{Path, PathBuf};

use brooklet_protocol::records::BatchHeader;
use brooklet_protocol::{Offset, Timestamp};
use bytes::Bytes;
use parking_lot::RwLock;

use super::offset_index::{self, OffsetEntry};
use super::time_index::{self, TimeEntry};
use super::{LogConfig, files};
use crate::vfs::{OpenMode, Vfs};

/// So many bytes of offset entries are collected before they go to the file.
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
    /// Of the segment that is being written.
    Growing(GrowingIndexes),
    /// Of a sealed segment: the entries without zeros at the end.
    Loaded { offsets: Bytes, times: Bytes },
}

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
    /// Takes note of a batch at `position` of the segment that starts at `base`.
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

    /// Forgets all but what is about batches that end below `relative_offset`; returns where the last
    /// of those that are left leads. Going on with the batch there gives what was forgotten.
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
            State::Unloaded | State::Loaded { .. } => false,
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
        *state = State::Loaded {
            offsets: std::mem::take(&mut growing.offsets).into(),
            times: std::mem::take(&mut growing.times).into(),
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

    /// Reads the files of a sealed segment of `size` bytes. False when they are not usable.
    pub(super) fn load(&self, vfs: &dyn Vfs, log: &Path, size: u64) -> io::Result<bool> {
        let Some((offsets, times)) = read_files(vfs, log, size)? else {
            return Ok(false);
        };
        *self.state.write() = State::Loaded { offsets, times };
        Ok(true)
    }

    /// Brings all entries to the files, with the highest timestamp so far: the segment may end here.
    pub(super) fn flush(&self, vfs: &dyn Vfs, log: &Path) -> io::Result<()> {
        match &mut *self.state.write() {
            State::Growing(growing) => {
                growing.add_highest();
                growing.write(vfs, log)
            }
            State::Unloaded | State::Loaded { .. } => Ok(()),
        }
    }

    /// Replaces the files of a growing index that was made anew, durably. The time index first: an
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

    /// Takes indexes that were made anew, and replaces the files, if there are to be any.
    pub(super) fn replace(&self, files: Option<(&dyn Vfs, &Path)>, mut rebuilt: GrowingIndexes) {
        rebuilt.add_highest();
        if let Some((vfs, log)) = files {
            let contents = [&rebuilt.offsets, &rebuilt.times];
            // The time index first, as above.
            for (path, content) in paths(log).iter().zip(contents).rev() {
                if let Err(error) = vfs.replace(path, content) {
                    tracing::warn!(index = %path.display(), %error, "rebuilt index not written");
                }
            }
        }
        *self.state.write() = State::Loaded {
            offsets: rebuilt.offsets.into(),
            times: rebuilt.times.into(),
        };
    }

    /// Bytes of the offset index, as far as it is in memory.
    pub(super) fn offset_bytes(&self) -> u64 {
        self.with(|offsets, _, _| offsets.len() as u64)
    }

    /// The last offset entry at or below `relative_offset`.
    pub(super) fn offset_floor(&self, relative_offset: i64) -> Option<OffsetEntry> {
        self.with(|offsets, _, _| offset_index::floor(offsets.as_chunks().0, relative_offset))
    }

    /// The first offset entry at or above `relative_offset`.
    pub(super) fn offset_ceiling(&self, relative_offset: i64) -> Option<OffsetEntry> {
        self.with(|offsets, _, _| offset_index::ceiling(offsets.as_chunks().0, relative_offset))
    }

    /// The last offset entry that leads to `position` or before it.
    pub(super) fn position_floor(&self, position: i64) -> Option<OffsetEntry> {
        self.with(|offsets, _, _| {
            let entries = offsets.as_chunks().0;
            let position_of = |raw: &_| i64::from(OffsetEntry::decode(*raw).position);
            let above = entries.partition_point(|raw| position_of(raw) <= position);
            Some(OffsetEntry::decode(entries[above.checked_sub(1)?]))
        })
    }

    /// The last time entry at or before `timestamp`.
    pub(super) fn time_floor(&self, timestamp: Timestamp) -> Option<TimeEntry> {
        self.with(|_, times, _| time_index::floor(times.as_chunks().0, timestamp))
    }

    /// The highest timestamp of the segment.
    pub(super) fn highest(&self) -> Option<TimeEntry> {
        self.with(|_, times, highest| highest.or_else(|| last_time(times)))
    }

    fn with<T>(&self, look: impl FnOnce(&[u8], &[u8], Option<TimeEntry>) -> T) -> T {
        match &*self.state.read() {
            State::Unloaded => look(&[], &[], None),
            State::Growing(growing) => look(&growing.offsets, &growing.times, growing.highest),
            State::Loaded { offsets, times } => look(offsets, times, None),
        }
    }
}

/// Reads the files of the segment that will be written on, if they are usable.
pub(super) fn read_growing(
    vfs: &dyn Vfs,
    log: &Path,
    size: u64,
) -> io::Result<Option<GrowingIndexes>> {
    let grow = |(offsets, times): (Bytes, Bytes)| GrowingIndexes {
        written: (offsets.len(), times.len()),
        highest: last_time(&times),
        offsets: offsets.into(),
        times: times.into(),
        bytes_since_entry: 0,
    };
    Ok(read_files(vfs, log, size)?.map(grow))
}

/// The entries in the files, or `None` when one is missing, ends within an entry, or cannot
/// belong to a segment of `size` bytes.
fn read_files(vfs: &dyn Vfs, log: &Path, size: u64) -> io::Result<Option<(Bytes, Bytes)>> {
    let [offsets, times] = paths(log).map(|path| vfs.open(&path, OpenMode::Read)?.map());
    match (offsets, times) {
        (Ok(offsets), Ok(times)) => Ok(usable(offsets, times, size)),
        (Err(error), _) | (_, Err(error)) if error.kind() == ErrorKind::NotFound => Ok(None),
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

/// The entries without zeros at the end, if they are whole and plausible.
fn usable(mut offsets: Bytes, mut times: Bytes, size: u64) -> Option<(Bytes, Bytes)> {
    let (offset_entries, []) = offsets.as_chunks() else {
        return None;
    };
    let (time_entries, []) = times.as_chunks() else {
        return None;
    };
    let offset_count = offset_index::count(offset_entries);
    let time_count = time_index::count(time_entries);
    let plausible = offset_index::is_plausible(&offset_entries[..offset_count], size)
        && time_index::is_plausible(&time_entries[..time_count], size == 0);
    offsets.truncate(offset_count * offset_index::ENTRY_BYTES);
    times.truncate(time_count * time_index::ENTRY_BYTES);
    plausible.then_some((offsets, times))
}

fn last_time(times: &[u8]) -> Option<TimeEntry> {
    times.as_chunks().0.last().map(TimeEntry::decode)
}

/// The index files of a segment.
pub(super) fn paths(log: &Path) -> [PathBuf; 2] {
    [files::OFFSET_INDEX, files::TIME_INDEX].map(|extension| log.with_extension(extension))
}
