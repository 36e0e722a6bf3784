//! Retention and compaction of a partition: records deleted by age and size, and by key.
//!
//! Both are decided and done in the log. The bounds come from here, because they depend on what
//! consumers may already have read: nothing above the high watermark is deleted, and nothing is
//! compacted that is not durable or belongs to an open transaction.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

use super::Partition;
use brooklet_log::compaction::{Compacted, CompactionContext, Dirt};
use brooklet_log::producer_state::ProducerState;
use brooklet_log::{LogError, TakenAway, TakenEarly};
use brooklet_protocol::{Offset, ProducerId};

/// The message to a person who wonders where the records are.
fn words(early: &TakenEarly) -> String {
    let TakenEarly { records, .. } = early;
    let days = early.age.as_secs() / (24 * 3600);
    let (written, age_max) = (early.written_ago.as_secs(), early.age_max.as_millis());
    format!(
        "retention deleted {records} records that were written {written} s ago, because their own \
         timestamps are at least {days} days old, and retention.ms is {age_max}. Set retention.ms=-1 \
         to keep such records, or message.timestamp.type=LogAppendTime to count from their arrival"
    )
}

impl Partition {
    /// Retires the segments that retention does not keep under the current settings.
    /// Blocks.
    ///
    /// # Errors
    /// The disk, or offline.
    pub fn apply_retention(&self) -> Result<TakenAway, LogError> {
        self.check_serving()?;
        let (high_watermark, now) = (self.high_watermark(), self.clock.wall());
        let Some(below) = self.maintenance.expired_below(high_watermark, now)? else {
            return Ok(TakenAway::default());
        };
        let early = self.maintenance.taken_early(below, now)?;
        if below >= self.log_end_offset() {
            self.roll_if_filled()?;
        }
        let now = self.clock.monotonic();
        let taken = self.maintenance.retire_segments_below(below, now)?;
        let (segments, bytes) = (taken.segments, taken.bytes);
        tracing::info!(
            "{}: retention deleted {segments} segments, {bytes} bytes, below {below}",
            self.id
        );
        if let Some(early) = early {
            tracing::warn!("{}: {}", self.id, words(&early));
        }
        Ok(taken)
    }

    /// Removes the files of segments that were deleted long enough ago. Blocks.
    ///
    /// # Errors
    /// A file that cannot be removed.
    pub fn remove_retired(&self) -> Result<usize, LogError> {
        self.maintenance.remove_retired(self.clock.monotonic())
    }

    /// How much of the log a compaction would find dirty. Blocks.
    ///
    /// # Errors
    /// The disk, or offline.
    pub fn dirt(&self) -> Result<Dirt, LogError> {
        self.check_serving()?;
        self.maintenance
            .dirt(self.stable_below(), self.clock.wall())
    }

    /// Compacts the log, if it is dirty enough; see
    /// [`Maintenance::compact`](brooklet_log::Maintenance::compact). Blocks.
    ///
    /// # Errors
    /// The disk, damage, or offline; `Interrupted` once `stop` is true.
    pub fn compact(
        &self,
        map_bytes_max: usize,
        stop: &AtomicBool,
        write_down: impl FnOnce(Offset) -> Result<(), LogError>,
    ) -> Result<Compacted, LogError> {
        self.check_serving()?;
        // The bound first: a batch that comes later is above it.
        let stable_below = self.stable_below();
        let context = CompactionContext {
            stable_below,
            now: self.clock.wall(),
            since: self.clock.monotonic(),
            last_batches: &self.last_batches(),
            map_bytes_max,
            stop,
        };
        let done = self.maintenance.compact(&context, write_down)?;
        if done.segments_made > 0 {
            let (before, after) = (done.bytes_before, done.bytes_after);
            tracing::info!("{}: compaction left {after} of {before} bytes", self.id);
        }
        Ok(done)
    }

    /// Everything below it may be compacted, except the active segment: consumers may have read it,
    /// and the outcome of its transactions survives a power cut.
    fn stable_below(&self) -> Offset {
        self.reader.last_stable_offset(self.settled_watermark())
    }

    /// What is below may have been read by consumers, and survives a crash.
    pub(super) fn settled_watermark(&self) -> Offset {
        let high_watermark = self.high_watermark();
        if self.sync {
            high_watermark.min(self.reader.recovery_point())
        } else {
            high_watermark
        }
    }

    /// The producers that the log remembers; none once it is closed.
    pub fn producers(&self) -> Vec<(ProducerId, ProducerState)> {
        let writer = self.writer.lock();
        let producers = writer.iter().flat_map(|log| log.producers().iter());
        producers.map(|(id, state)| (id, state.clone())).collect()
    }

    fn last_batches(&self) -> HashMap<ProducerId, Offset> {
        let writer = self.writer.lock();
        let producers = writer.iter().flat_map(|log| log.producers().iter());
        let last = |(id, state): (ProducerId, &ProducerState)| {
            Some((id, state.batches.back()?.last_offset))
        };
        producers.filter_map(last).collect()
    }
}
