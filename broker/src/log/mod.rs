//! Skeleton: the log of one partition.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use brooklet_protocol::records::{BatchError, RecordBatch};
use brooklet_protocol::{LeaderEpoch, Offset, Timestamp};
use bytes::Bytes;
use thiserror::Error;

use crate::vfs::Vfs;

/// How a log behaves; Kafka's topic settings, under Kafka's names and defaults.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// `segment.bytes`: a segment rolls before it grows beyond (1 GiB).
    pub segment_bytes: u64,
    /// `segment.ms`: a segment rolls when its first record is older (7 days).
    pub segment_age_max: Duration,
    /// `segment.index.bytes`: a segment rolls when its index is full (10 MiB).
    pub segment_index_bytes: u64,
    /// `index.interval.bytes`: one index entry per so many bytes (4096).
    pub index_interval_bytes: u64,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_age_max: Duration::from_secs(7 * 24 * 3600),
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
        }
    }
}

/// What is known of a log before it is opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecoveryStart {
    /// Whether the last shutdown was clean: then nothing is scanned.
    pub clean_shutdown: bool,
    /// Everything below was synced: a bad batch below it is damage, not a torn tail.
    pub recovery_point: Offset,
}

/// What opening a log found and did.
#[derive(Clone, Debug, Default)]
pub struct RecoveryReport {
    /// Batches scanned.
    pub batches_scanned: u64,
    /// Bytes cut off the tail and kept in a side file.
    pub bytes_cut: u64,
    /// Where they are kept.
    pub side_file: Option<PathBuf>,
    /// Indexes rebuilt.
    pub indexes_rebuilt: u64,
}

/// What goes wrong in a log.
#[derive(Debug, Error)]
pub enum LogError {
    /// The disk.
    #[error("{path}: cannot {action}: {source}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Bytes that should be a batch are not.
    #[error("segment {path}: batch at byte {position}: {source}")]
    Corrupt {
        /// The segment.
        path: PathBuf,
        /// Where in it.
        position: u64,
        /// What is wrong.
        source: BatchError,
    },
    /// Outside of log start offset ..= log end offset.
    #[error("offset {requested} is outside {start}..={end}")]
    OffsetOutOfRange {
        /// Asked for.
        requested: Offset,
        /// Log start offset.
        start: Offset,
        /// Log end offset.
        end: Offset,
    },
    /// An earlier failed sync: the log takes no more writes.
    #[error("{path}: an earlier sync failed, the log is offline")]
    Offline {
        /// The log's directory.
        path: PathBuf,
    },
}

/// Where a batch landed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Offset of its last record.
    pub last_offset: Offset,
}

/// The writer's side of a log. One at a time.
#[derive(Debug)]
pub struct Log {
    reader: LogReader,
}

impl Log {
    /// Opens or creates the log in `dir`, recovering what a crash has left.
    ///
    /// # Errors
    /// The disk, or damage below the recovery point.
    pub fn open(
        vfs: Arc<dyn Vfs>,
        dir: &Path,
        config: LogConfig,
        start: RecoveryStart,
    ) -> Result<(Self, RecoveryReport), LogError> {
        let _ = (vfs, dir, config, start);
        todo!()
    }
    /// Appends one batch that the caller has checked: stamps base offset and leader epoch, rolls
    /// if needed, writes, indexes.
    ///
    /// # Errors
    /// The disk; the log is as before.
    pub fn append(
        &mut self,
        batch: &RecordBatch,
        leader_epoch: LeaderEpoch,
        now: Timestamp,
    ) -> Result<Appended, LogError> {
        let _ = (batch, leader_epoch, now);
        todo!()
    }
    /// The readers' side; cheap to clone.
    pub fn reader(&self) -> LogReader {
        self.reader.clone()
    }
    /// Syncs everything and closes; returns the recovery point.
    ///
    /// # Errors
    /// The disk.
    pub fn close(self) -> Result<Offset, LogError> {
        todo!()
    }
}

/// The readers' side of a log: never blocks the writer, never sees half a batch.
#[derive(Clone, Debug)]
pub struct LogReader {}

impl LogReader {
    /// Offset of the first record still there.
    pub fn log_start_offset(&self) -> Offset {
        todo!()
    }
    /// Offset the next record will get.
    pub fn log_end_offset(&self) -> Offset {
        todo!()
    }
    /// Bytes in all segments.
    pub fn size_bytes(&self) -> u64 {
        todo!()
    }
    /// Whole batches from the one that contains `from`, below `up_to`, at most `bytes_max`; but at
    /// least one batch when `at_least_one`. Empty at `up_to` and at the end. The bytes end at a
    /// segment's end: a further read goes on in the next one.
    ///
    /// # Errors
    /// `OffsetOutOfRange`, the disk, `Corrupt` (checked once per byte since open).
    pub fn read(
        &self,
        from: Offset,
        up_to: Offset,
        bytes_max: usize,
        at_least_one: bool,
    ) -> Result<Bytes, LogError> {
        let _ = (from, up_to, bytes_max, at_least_one);
        todo!()
    }
    /// The first record with a timestamp of at least `timestamp`, as (offset, its timestamp).
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
    /// The record with the highest timestamp (the first of them), as (offset, timestamp).
    ///
    /// # Errors
    /// The disk, corruption.
    pub fn max_timestamp(&self) -> Result<Option<(Offset, Timestamp)>, LogError> {
        todo!()
    }
    /// Makes durable what is in the log now; returns the offset below which everything is. Blocks.
    /// After a failure the log is offline for good.
    ///
    /// # Errors
    /// The disk.
    pub fn sync(&self) -> Result<Offset, LogError> {
        todo!()
    }
    /// The offset below which everything is durable.
    pub fn recovery_point(&self) -> Offset {
        todo!()
    }
}
