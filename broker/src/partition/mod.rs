//! Skeleton: a log and who waits for it.

use std::path::Path;
use std::sync::Arc;

use brooklet_protocol::records::RecordBatch;
use brooklet_protocol::{LeaderEpoch, Offset, Timestamp, TopicPartition};
use bytes::Bytes;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::log::{Appended, LogConfig, LogError, LogReader, RecoveryReport, RecoveryStart};
use crate::vfs::Vfs;

/// When an append is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Once the bytes are in the page cache (`acks` 0 and 1).
    Written,
    /// Once they are synced (`acks=all`), by group commit.
    Synced,
}

/// One partition: a log, its high watermark, and who waits for it.
#[derive(Debug)]
pub struct Partition {}

impl Partition {
    /// Opens or creates the log in `dir`. Blocks.
    ///
    /// # Errors
    /// As [`crate::log::Log::open`].
    pub fn open(
        vfs: Arc<dyn Vfs>,
        clock: Arc<dyn Clock>,
        id: TopicPartition,
        dir: &Path,
        config: LogConfig,
        start: RecoveryStart,
        sync: bool,
    ) -> Result<(Arc<Self>, RecoveryReport), LogError> {
        let _ = (vfs, clock, id, dir, config, start, sync);
        todo!()
    }
    /// Which one.
    pub fn id(&self) -> &TopicPartition {
        todo!()
    }
    /// The current leader epoch.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        LeaderEpoch(0)
    }
    /// Appends checked batches, in order, on the caller's thread; the answer waits for `durability`.
    ///
    /// # Errors
    /// The disk, or offline.
    pub async fn append(
        &self,
        batches: &[RecordBatch],
        durability: Durability,
    ) -> Result<Appended, LogError> {
        let _ = (batches, durability);
        todo!()
    }
    /// Appends without waiting for a sync, and without publishing: the high watermark moves in [`Partition::commit`].
    ///
    /// # Errors
    /// The disk, or offline.
    pub fn append_written(&self, batches: &[RecordBatch]) -> Result<Appended, LogError> {
        let _ = batches;
        todo!()
    }
    /// Waits until everything below `offset` has `durability`, then publishes it: the high watermark is at least `offset`.
    ///
    /// # Errors
    /// The sync failed.
    pub async fn commit(&self, offset: Offset, durability: Durability) -> Result<(), LogError> {
        let _ = (offset, durability);
        todo!()
    }
    /// Batches from `from` up to the high watermark; see [`LogReader::read`].
    ///
    /// # Errors
    /// As [`LogReader::read`].
    pub fn read(
        &self,
        from: Offset,
        bytes_max: usize,
        at_least_one: bool,
    ) -> Result<Bytes, LogError> {
        let _ = (from, bytes_max, at_least_one);
        todo!()
    }
    /// Consumers see records below it.
    pub fn high_watermark(&self) -> Offset {
        todo!()
    }
    /// Offset of the first record still there.
    pub fn log_start_offset(&self) -> Offset {
        todo!()
    }
    /// Offset the next record will get.
    pub fn log_end_offset(&self) -> Offset {
        todo!()
    }
    /// The log, for look-ups by time and for sizes.
    pub fn log(&self) -> &LogReader {
        todo!()
    }
    /// `waiter` is notified (once) at the next change: the high watermark moves, the partition goes offline or is closed.
    pub fn notify_on_change(&self, waiter: &Arc<Notify>) {
        let _ = waiter;
        todo!()
    }
    /// Syncs and closes; later appends fail. Returns the recovery point. Blocks.
    ///
    /// # Errors
    /// The disk.
    pub fn close(&self) -> Result<Offset, LogError> {
        todo!()
    }
    /// First record at or after `timestamp` below the high watermark.
    ///
    /// # Errors
    /// The disk, corruption.
    pub fn offset_for_timestamp(
        &self,
        timestamp: Timestamp,
    ) -> Result<Option<(Offset, Timestamp)>, LogError> {
        let _ = timestamp;
        todo!()
    }
}
