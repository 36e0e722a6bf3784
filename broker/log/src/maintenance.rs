//! Taking old records away while others write and read.
//!
//! ```text
//!  log start moves ─▶ files renamed to .deleted, oldest first ─▶ gone from the list
//!                        ─▶ file.delete.delay.ms later: files removed
//! ```
//!
//! The log start moves first, so that later readers are refused: the offset is out of range. A
//! reader that already holds a segment reads on in the file that it has open, or learns from the
//! missing file that the segment is retired, and looks again. Segments go oldest first, because a
//! crash may come between any two of them, and what is left has to be one piece.
//!
//! One thread at a time maintains a log. The writer is not involved: appends go on meanwhile.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use brooklet_protocol::records::BatchHeader;
use brooklet_protocol::{Monotonic, Offset, Timestamp};

use super::LogError;
use super::error::OrIo;
use super::retention::{self, RetainedSegment};
use super::retired::Retired;
use super::segment::WALK_WINDOW_BYTES;
use super::shared::Shared;

/// Deletes and compacts in a log that is open. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Maintenance {
    shared: Arc<Shared>,
}

/// What a maintenance step took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TakenAway {
    /// Segments.
    pub segments: usize,
    /// Bytes of batches in them.
    pub bytes: u64,
}

/// Records that retention deletes soon after they were written, because their own timestamps are
/// old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakenEarly {
    /// How many offsets they have.
    pub records: i64,
    /// How long ago the last of them was written.
    pub written_ago: Duration,
    /// How old the youngest of them is by its own timestamp.
    pub age: Duration,
    /// `retention.ms`.
    pub age_max: Duration,
}

impl Maintenance {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Where the log starts and ends.
    pub(super) fn offsets(&self) -> (Offset, Offset) {
        (self.shared.log_start(), self.shared.end_offset())
    }

    /// The header of the first batch that ends at `offset` or behind; `None` at the log's end.
    pub(super) fn header_at(&self, offset: Offset) -> Result<Option<BatchHeader>, LogError> {
        let segments = self.shared.segments();
        let above = segments.partition_point(|segment| segment.base_offset() <= offset);
        for segment in &segments[above.saturating_sub(1)..] {
            let mut cursor = if segment.base_offset() < offset {
                segment.seek(offset, WALK_WINDOW_BYTES)?
            } else {
                segment.walk(WALK_WINDOW_BYTES)
            };
            if let Some(header) = cursor.header()? {
                return Ok(Some(header));
            }
        }
        Ok(None)
    }

    /// Calls `look` for all headers, in order.
    pub(super) fn each_header(&self, mut look: impl FnMut(&BatchHeader)) -> Result<(), LogError> {
        for segment in &*self.shared.segments() {
            let mut cursor = segment.walk(WALK_WINDOW_BYTES);
            while let Some(header) = cursor.header()? {
                look(&header);
                cursor.advance(&header);
            }
        }
        Ok(())
    }

    /// Below which offset compaction may have left gaps.
    pub fn gaps_below(&self) -> Offset {
        self.shared.gaps_below()
    }

    /// The offset up to which retention wants to delete, if anything; see
    /// [`retention`](super::retention). The active segment's end means that it has to be sealed
    /// before it can be retired.
    ///
    /// # Errors
    /// The disk, where indexes have to be looked at.
    pub fn expired_below(
        &self,
        high_watermark: Offset,
        now: Timestamp,
    ) -> Result<Option<Offset>, LogError> {
        // The end first: the segments that are read after it hold everything below it.
        let end = self.shared.end_offset();
        let segments = self.shared.segments();
        let next_bases = segments.iter().skip(1).map(|next| next.base_offset());
        let facts: Vec<_> = (segments.iter().zip(next_bases.chain([end])))
            .map(|(segment, end)| RetainedSegment {
                end,
                bytes: segment.size(),
            })
            .collect();
        let bounds = (self.shared.log_start(), high_watermark);
        let config = self.shared.config();
        let count = retention::expired(&facts, bounds, now, &config, |index| {
            segments[index].max_timestamp()
        })?;
        Ok(count.checked_sub(1).map(|last| facts[last].end))
    }

    /// The records below `below` that retention deletes early, reported once per log: somebody has
    /// copied or replayed old records, and will wonder where they are. The age of a segment's file
    /// says when they were written; a file whose age is unknown is not early.
    ///
    /// # Errors
    /// The disk, where indexes have to be looked at.
    pub fn taken_early(
        &self,
        below: Offset,
        now: Timestamp,
    ) -> Result<Option<TakenEarly>, LogError> {
        let config = self.shared.config();
        let Some(age_max) = config.retention_age_max.filter(|_| config.cleanup.delete) else {
            return Ok(None);
        };
        let age = |time: Timestamp| {
            Duration::from_millis(u64::try_from(now.0.saturating_sub(time.0)).unwrap_or(0))
        };
        let end = self.shared.end_offset();
        let segments = self.shared.segments();
        let ends = segments.iter().skip(1).map(|next| next.base_offset());
        let mut early: Option<TakenEarly> = None;
        for (segment, end) in segments.iter().zip(ends.chain([end])) {
            let Some(newest) = segment.max_timestamp()?.filter(|time| time.0 >= 0) else {
                continue;
            };
            let Ok(written) = self.shared.vfs().modified(segment.path()) else {
                continue;
            };
            let is_early = age(newest) > age_max && age(written) <= age_max;
            if end > below || end <= self.shared.log_start() || !is_early {
                continue;
            }
            let before = early.map_or(0, |early| early.records);
            early = Some(TakenEarly {
                records: before + (end.0 - segment.base_offset().0),
                written_ago: age(written).min(early.map_or(Duration::MAX, |e| e.written_ago)),
                age: age(newest).min(early.map_or(Duration::MAX, |e| e.age)),
                age_max,
            });
        }
        Ok(early.filter(|_| self.shared.says_early()))
    }

    /// Moves the log start to `offset`, unless it is there or beyond; never above the log's end.
    /// Records below are no longer served. Returns the log start.
    pub fn advance_log_start(&self, offset: Offset) -> Offset {
        self.shared
            .advance_log_start(offset.min(self.shared.end_offset()));
        self.shared.log_start()
    }

    /// Retires every sealed segment that has only records below `offset`, and moves the log start
    /// behind them. Their files stay until [`Maintenance::remove_retired`]. Blocks.
    ///
    /// # Errors
    /// A file that cannot be renamed; its segment and those behind it are still there.
    pub fn retire_segments_below(
        &self,
        offset: Offset,
        now: Monotonic,
    ) -> Result<TakenAway, LogError> {
        let _turn = self.shared.maintenance_turn();
        self.shared.check_online()?;
        let segments = self.shared.segments();
        let ends = segments.iter().skip(1).map(|next| next.base_offset());
        let count = ends.take_while(|end| *end <= offset).count();
        let Some(start) = segments.get(count).filter(|_| count > 0) else {
            return Ok(TakenAway::default());
        };
        self.shared.advance_log_start(start.base_offset());
        let mut taken = TakenAway::default();
        let mut outcome = Ok(());
        for segment in &segments[..count] {
            match segment.retire(None) {
                Ok(files) => (self.shared.retired()).keep(Retired { files, since: now }),
                Err(error) => outcome = Err(error),
            }
            if !segment.is_retired() {
                break;
            }
            taken.segments += 1;
            taken.bytes += segment.size();
        }
        self.shared.drop_segments(taken.segments);
        self.shared.note_unsynced_names();
        outcome.map(|()| taken)
    }

    /// Removes the files of segments that were retired `file.delete.delay.ms` ago or earlier;
    /// returns how many segments' they were. Blocks.
    ///
    /// # Errors
    /// A file that cannot be removed; it is left for the next start.
    pub fn remove_retired(&self, now: Monotonic) -> Result<usize, LogError> {
        let delay = self.shared.config().file_delete_delay;
        let retired = self.shared.retired().take_due(now, delay);
        let files = retired.iter().flat_map(|retired| &retired.files);
        let mut outcome = Ok(());
        for file in files {
            match self.shared.vfs().remove_file(file) {
                // A later segment of the same name was deleted over it.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                removed => outcome = outcome.and(removed.or_io("remove", file)),
            }
        }
        outcome.map(|()| retired.len())
    }
}
