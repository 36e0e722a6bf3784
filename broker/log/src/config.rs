//! How a log behaves: Kafka's topic settings, typed, with Kafka's names and, except for `flush.ms`,
//! its defaults.
//!
//! A log holds one immutable `LogConfig` at a time and swaps it as a whole, so that a reader
//! sees settings that belong together. What is read when it is needed changes at run time; what
//! an open segment was made with (its index interval) changes with the next segment.

use std::time::Duration;

use brooklet_protocol::records::Compression;

/// How a log behaves.
#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    /// `segment.bytes`: a segment rolls before it grows beyond (1 GiB). A larger batch gets a
    /// segment of its own.
    pub segment_bytes: u64,
    /// `segment.ms`: a segment rolls when its first record is older (7 days).
    pub segment_age_max: Duration,
    /// `segment.jitter.ms`: each segment rolls earlier by a random part of it (0).
    pub segment_jitter_max: Duration,
    /// `segment.index.bytes`: a segment rolls when its index is full (10 MiB).
    pub segment_index_bytes: u64,
    /// `index.interval.bytes`: bytes of log per index entry (4096).
    pub index_interval_bytes: u64,
    /// `preallocate`: the disk space of a segment's file is reserved at once (false).
    pub preallocate: bool,
    /// `max.message.bytes`: the largest batch (1048588).
    pub message_bytes_max: usize,
    /// `message.timestamp.type` (`CreateTime`).
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`: how far a timestamp may be behind the clock (no limit).
    pub timestamp_before_max: Duration,
    /// `message.timestamp.after.max.ms`: how far a timestamp may be ahead of the clock (1 hour).
    pub timestamp_after_max: Duration,
    /// `compression.type`: how batches are compressed on disk; `None` leaves them as the producer
    /// sent them (`producer`).
    pub compression: Option<Compression>,
    /// `compression.gzip.level`: -1 for the codec's own default (-1).
    pub gzip_level: i32,
    /// `compression.zstd.level` (3).
    pub zstd_level: i32,
    /// `flush.messages`: a sync after this many records (never).
    pub flush_messages: u64,
    /// `flush.ms`: a sync after this time (1 second; Kafka: never).
    pub flush_age_max: Duration,
    /// `cleanup.policy` (`delete`).
    pub cleanup: CleanupPolicy,
    /// `retention.ms`: the greatest age of a record; `None` for no limit (7 days).
    pub retention_age_max: Option<Duration>,
    /// `retention.bytes`: the largest log; `None` for no limit (none).
    pub retention_bytes_max: Option<u64>,
    /// `file.delete.delay.ms`: how long the files of a deleted segment stay (1 minute).
    pub file_delete_delay: Duration,
    /// `min.cleanable.dirty.ratio`: compaction starts at this share of unclean bytes (0.5).
    pub dirty_ratio_min: f64,
    /// `min.compaction.lag.ms`: how long a record is safe from compaction (0).
    pub compaction_lag_min: Duration,
    /// `max.compaction.lag.ms`: how long a record may stay uncompacted (no limit).
    pub compaction_lag_max: Duration,
    /// `delete.retention.ms`: how long compaction keeps tombstones (1 day).
    pub delete_retention: Duration,
}

/// Kafka's `Long.MAX_VALUE` milliseconds: forever.
pub const FOREVER: Duration = Duration::from_millis(i64::MAX as u64);

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_age_max: 7 * DAY,
            segment_jitter_max: Duration::ZERO,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            preallocate: false,
            message_bytes_max: 1_048_588,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max: FOREVER,
            timestamp_after_max: Duration::from_secs(3600),
            compression: None,
            gzip_level: -1,
            zstd_level: 3,
            flush_messages: i64::MAX as u64,
            flush_age_max: Duration::from_secs(1),
            cleanup: CleanupPolicy::default(),
            retention_age_max: Some(7 * DAY),
            retention_bytes_max: None,
            file_delete_delay: Duration::from_secs(60),
            dirty_ratio_min: 0.5,
            compaction_lag_min: Duration::ZERO,
            compaction_lag_max: FOREVER,
            delete_retention: DAY,
        }
    }
}

/// `cleanup.policy`: how a log is kept from growing forever. With neither policy it grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Old segments are deleted, by age and size.
    pub delete: bool,
    /// Records are deleted once a later one has the same key.
    pub compact: bool,
}

impl Default for CleanupPolicy {
    fn default() -> Self {
        Self {
            delete: true,
            compact: false,
        }
    }
}

/// `message.timestamp.type`: whose clock stamps records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's.
    #[default]
    CreateTime,
    /// The broker's, when it appends the batch.
    LogAppendTime,
}
