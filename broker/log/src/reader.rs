//! The readers' side of a log.
//!
//! Offsets, sizes and positions are read from what the writer has published; a read then finds the
//! segment by binary search, an index entry by another, and walks over headers to the batch.
//! Readers never block the writer and never see half a batch.

use std::sync::Arc;

use brooklet_protocol::{Offset, Timestamp};
use bytes::Bytes;

use super::segment::{Segment, Wanted};
use super::shared::Shared;
use super::{AbortedTransaction, LogConfig, LogError};

/// The readers' side of a log: never blocks the writer, never sees half a batch.
#[derive(Clone, Debug)]
pub struct LogReader {
    shared: Arc<Shared>,
}

/// Whole batches of a log, and where to read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadBatches {
    /// The batches, back to back, as they are stored.
    pub bytes: Bytes,
    /// The offset behind the last of them; where the read began, if there are none.
    pub next_offset: Offset,
}

impl ReadBatches {
    /// No batches, for a read that began at `from`.
    pub fn none(from: Offset) -> Self {
        Self {
            bytes: Bytes::new(),
            next_offset: from,
        }
    }

    /// Whether there are no batches.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// A segment, as seen from outside of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Bytes of batches.
    pub size_bytes: u64,
    /// Its file.
    pub path: std::path::PathBuf,
    /// Whether it is complete; the last one is not.
    pub is_sealed: bool,
}

impl LogReader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Offset of the first record that is served.
    pub fn log_start_offset(&self) -> Offset {
        self.shared.log_start()
    }

    /// Offset the next record will get.
    pub fn log_end_offset(&self) -> Offset {
        self.shared.end_offset()
    }

    /// The current settings.
    pub fn config(&self) -> Arc<LogConfig> {
        self.shared.config()
    }

    /// Bytes in all segments.
    pub fn size_bytes(&self) -> u64 {
        (self.shared.segments().iter())
            .map(|segment| segment.size())
            .sum()
    }

    /// The segments, in order.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let info = |segment: &Arc<Segment>| SegmentInfo {
            base_offset: segment.base_offset(),
            size_bytes: segment.size(),
            path: segment.path().to_owned(),
            is_sealed: segment.is_sealed(),
        };
        self.shared.segments().iter().map(info).collect()
    }

    /// Whole batches from the one that contains `from`, below `up_to`, at most `bytes_max`; but at
    /// least one batch when `at_least_one`. None at `up_to` and at the end. The batches end at a
    /// segment's end: the next read, from [`ReadBatches::next_offset`] on, continues in the next
    /// segment. They also end before a damaged batch; a read that begins there names the damage.
    ///
    /// # Errors
    /// `OffsetOutOfRange`, the disk, `Corrupt` (checked once per byte since open).
    pub fn read(
        &self,
        from: Offset,
        up_to: Offset,
        bytes_max: usize,
        at_least_one: bool,
    ) -> Result<ReadBatches, LogError> {
        loop {
            // The end first: what is below it, the segments looked at afterwards have. The start
            // last: it moves before a segment goes.
            let end = self.shared.end_offset();
            let segments = self.shared.segments();
            let start = self.shared.log_start();
            if from < start || from > end {
                return Err(LogError::OffsetOutOfRange {
                    requested: from,
                    start,
                    end,
                });
            }
            let wanted = Wanted {
                from,
                up_to: end.min(up_to),
                bytes_max,
                at_least_one,
            };
            let above = segments.partition_point(|segment| segment.base_offset() <= from);
            match read_on(&segments[above.saturating_sub(1)..], wanted) {
                Err(error) if error.is_missing_file() && is_retired(&segments, from) => {
                    // Another segment is about to replace it.
                    self.shared.check_online()?;
                    std::thread::yield_now();
                }
                read => return read,
            }
        }
    }

    /// Whether a read from `from` on may have to wait for the disk: the bytes are from before the
    /// open, or in a sealed segment, whose indexes may have to be loaded, or rebuilt, at first use.
    /// What this process has written to the active segment is in the page cache, as a rule.
    pub fn may_block(&self, from: Offset) -> bool {
        let segments = self.shared.segments();
        let active = segments.last().map(|segment| segment.base_offset());
        from < self.shared.end_offset()
            && (from < self.shared.opened_end() || active.is_some_and(|base| from < base))
    }

    /// The last stable offset as of `watermark`, which is the high watermark or the synced end: no
    /// transaction that is seen below `watermark` is open below it. Without transactions it is the
    /// watermark itself.
    pub fn last_stable_offset(&self, watermark: Offset) -> Offset {
        self.shared.last_stable_offset(watermark)
    }

    /// Whether an index has to be read to know of aborted transactions with records from `from` on.
    /// Most logs never have one.
    pub fn may_have_aborted(&self, from: Offset) -> bool {
        let segments = self.shared.segments();
        self.shared.has_aborted() && (from_on(&segments, from)).any(|s| s.may_have_aborted(from))
    }

    /// The aborted transactions with records in `from..up_to`, by their last offset.
    ///
    /// # Errors
    /// The disk; `OffsetOutOfRange` if the segment of `from` is deleted, and its index with it.
    pub fn aborted_transactions(
        &self,
        from: Offset,
        up_to: Offset,
    ) -> Result<Vec<AbortedTransaction>, LogError> {
        if !self.shared.has_aborted() {
            return Ok(Vec::new());
        }
        self.look_through(|segments, start| {
            if from < segments[0].base_offset() {
                return Err(LogError::OffsetOutOfRange {
                    requested: from,
                    start,
                    end: self.shared.end_offset(),
                });
            }
            let mut aborted = Vec::new();
            for segment in from_on(segments, from) {
                if segment
                    .find_aborted(&(from..up_to), &mut aborted)?
                    .is_break()
                {
                    break;
                }
            }
            Ok(aborted)
        })
    }

    /// The first record with a timestamp of at least `timestamp`, as (offset, its timestamp).
    ///
    /// # Errors
    /// The disk, corruption.
    pub fn offset_for_timestamp(
        &self,
        timestamp: Timestamp,
    ) -> Result<Option<(Offset, Timestamp)>, LogError> {
        self.look_through(|segments, start| {
            for segment in segments {
                if let Some(found) = segment.find_timestamp(timestamp, start)? {
                    return Ok(Some(found));
                }
            }
            Ok(None)
        })
    }

    /// Looks at all segments, and again if one of them was retired meanwhile.
    fn look_through<T>(
        &self,
        look: impl Fn(&[Arc<Segment>], Offset) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        loop {
            let segments = self.shared.segments();
            match look(&segments, self.shared.log_start()) {
                Err(error)
                    if error.is_missing_file() && segments.iter().any(|s| s.is_retired()) =>
                {
                    self.shared.check_online()?;
                    std::thread::yield_now();
                }
                looked => return looked,
            }
        }
    }

    /// The record with the highest timestamp of those that are served (the first of them), as
    /// (offset, timestamp).
    ///
    /// # Errors
    /// The disk, corruption.
    pub fn max_timestamp(&self) -> Result<Option<(Offset, Timestamp)>, LogError> {
        let highest = self.look_through(|segments, start| {
            let mut highest = None;
            for segment in from_on(segments, start) {
                highest = highest.max(segment.max_timestamp_from(start)?);
            }
            Ok(highest)
        })?;
        match highest {
            Some(timestamp) => self.offset_for_timestamp(timestamp),
            None => Ok(None),
        }
    }

    /// The offset below which batches may have a max timestamp that is not their records'.
    pub fn unchecked_below(&self) -> Offset {
        self.shared.unchecked_below()
    }

    /// Whether a sync has failed, or a failed write could not be cut off. What is on the disk is
    /// then unknown.
    pub fn is_offline(&self) -> bool {
        self.shared.is_offline()
    }

    /// The recovery point that may be written down without waiting for the disk.
    pub fn settled_point(&self) -> Offset {
        self.shared.settled_point()
    }

    /// The offset below which everything is durable.
    pub fn recovery_point(&self) -> Offset {
        self.shared.recovery_point()
    }
}

/// Reads from the first segment that has anything; only a compacted one may have nothing.
fn read_on(segments: &[Arc<Segment>], mut wanted: Wanted) -> Result<ReadBatches, LogError> {
    let from = wanted.from;
    for segment in segments {
        wanted.from = wanted.from.max(segment.base_offset());
        if wanted.from >= wanted.up_to {
            break;
        }
        match segment.read(wanted)? {
            Some((bytes, _)) if bytes.is_empty() => break,
            Some((bytes, next_offset)) => return Ok(ReadBatches { bytes, next_offset }),
            None => {}
        }
    }
    Ok(ReadBatches::none(from))
}

/// Whether one of the segments that have to be looked at for `from` was retired.
fn is_retired(segments: &[Arc<Segment>], from: Offset) -> bool {
    from_on(segments, from).any(|segment| segment.is_retired())
}

/// The segments that have to be looked at for what is at `from` and behind.
fn from_on(segments: &[Arc<Segment>], from: Offset) -> impl Iterator<Item = &Arc<Segment>> {
    let above = segments.partition_point(|segment| segment.base_offset() <= from);
    segments[above.saturating_sub(1)..].iter()
}
