//! From a batch as it was sent to a batch as it is stored: its records are walked, and the topic's
//! settings applied.
//!
//! | rule or setting | effect |
//! |---|---|
//! | records must match the header ([`RecordBatch::survey`]) | INVALID_RECORD, with the record's index |
//! | the header's max timestamp differs from the records' | stored with the records' |
//! | `message.timestamp.type=LogAppendTime` | the batch gets the broker's clock and a new checksum |
//! | `message.timestamp.after.max.ms`, `…before.max.ms` | too far from the clock: INVALID_TIMESTAMP |
//! | `cleanup.policy` with `compact` | a record without a key: INVALID_RECORD, with its index |
//! | `compression.type` | another codec than the producer's: recompressed with the topic's level |
//!
//! A batch that needs no change is stored byte for byte as it came. Compressed records are
//! decompressed for the walk, within limits; the compressed bytes are stored.

use std::time::Duration;

use brooklet_log::{LogConfig, TimestampType};
use brooklet_protocol::Timestamp;
use brooklet_protocol::messages::kafka::produce_response::BatchIndexAndErrorMessage;
use brooklet_protocol::messages::{ErrorCode, StrBytes};
use brooklet_protocol::records::{BatchError, Compression, Record, RecordBatch};

use super::ApiError;

/// The limit of a batch decompressed, as a multiple of the topic's limit for a compressed one.
const DECOMPRESSED_RATIO_MAX: usize = 16;
/// The limit is never lower than this,
const DECOMPRESSED_BYTES_MIN: usize = 64 << 20;
/// and never higher: the length of a batch, its header included, has 31 bits.
const DECOMPRESSED_BYTES_MAX: usize = (1 << 31) - (1 << 10);

/// A batch as it is stored.
#[derive(Debug)]
pub(super) struct Converted {
    pub(super) batch: RecordBatch,
    /// The broker's clock, if the records carry it.
    pub(super) log_append_time: Option<Timestamp>,
}

/// Why a batch is refused, and because of which records.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) error: ApiError,
    pub(super) records: Vec<BatchIndexAndErrorMessage>,
}

/// A malformed record is named by its index, as in Kafka.
impl From<BatchError> for Refused {
    fn from(error: BatchError) -> Self {
        let index = match &error {
            BatchError::Record { index, .. } => vec![*index],
            _ => Vec::new(),
        };
        let error = ApiError::from(error);
        refused(error.code, &error.message, index)
    }
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self {
            error,
            records: Vec::new(),
        }
    }
}

/// Checks a batch's records, and applies the topic's settings to it.
pub(super) fn convert(
    batch: RecordBatch,
    config: &LogConfig,
    now: Timestamp,
) -> Result<Converted, Refused> {
    let max_timestamp = check_records(&batch, config, now)?;
    let batch = recompressed(batch, config)?;
    if config.timestamp_type == TimestampType::LogAppendTime {
        return Ok(Converted {
            batch: batch.with_log_append_time(now),
            log_append_time: Some(now),
        });
    }
    let batch = if batch.header().max_timestamp == max_timestamp {
        batch
    } else {
        batch.with_max_timestamp(max_timestamp)
    };
    Ok(Converted {
        batch,
        log_append_time: None,
    })
}

/// Walks the records and checks each against the topic's settings; returns the highest timestamp.
fn check_records(
    batch: &RecordBatch,
    config: &LogConfig,
    now: Timestamp,
) -> Result<Timestamp, Refused> {
    let survey = batch.survey(decompressed_bytes_max(config))?;
    if config.cleanup.compact && survey.has_null_key {
        let message = "the topic is compacted: every record needs a key";
        let keyless = indexes(batch, config, |record| record.key.is_none())?;
        return Err(refused(ErrorCode::InvalidRecord, message, keyless));
    }
    let is_out_of_time = |time: Timestamp| {
        time != Timestamp::NONE
            && (is_beyond(time.0.saturating_sub(now.0), config.timestamp_after_max)
                || is_beyond(now.0.saturating_sub(time.0), config.timestamp_before_max))
    };
    let (lowest, highest) = (survey.min_timestamp, survey.max_timestamp);
    if config.timestamp_type == TimestampType::CreateTime
        && lowest <= highest
        && (is_out_of_time(lowest) || is_out_of_time(highest))
    {
        let message = "a record's timestamp is further from the broker's clock than the topic allows \
            (message.timestamp.before.max.ms, message.timestamp.after.max.ms)";
        let blamed = indexes(batch, config, |record| is_out_of_time(record.timestamp))?;
        return Err(refused(ErrorCode::InvalidTimestamp, message, blamed));
    }
    Ok(highest)
}

/// The indexes of the records that break a rule.
fn indexes(
    batch: &RecordBatch,
    config: &LogConfig,
    breaks_rule: impl Fn(&Record<'_>) -> bool,
) -> Result<Vec<usize>, Refused> {
    let records = batch.records(decompressed_bytes_max(config))?;
    let mut blamed = Vec::new();
    for (index, record) in records.iter().enumerate() {
        if breaks_rule(&record?) {
            blamed.push(index);
        }
    }
    Ok(blamed)
}

fn is_beyond(distance_ms: i64, max: Duration) -> bool {
    u128::try_from(distance_ms).is_ok_and(|distance| distance > max.as_millis())
}

/// The batch, compressed with the topic's codec.
fn recompressed(batch: RecordBatch, config: &LogConfig) -> Result<RecordBatch, ApiError> {
    let Some(codec) = config.compression else {
        return Ok(batch);
    };
    if batch.header().compression()? == codec {
        return Ok(batch);
    }
    let level = match codec {
        Compression::Gzip => Some(config.gzip_level).filter(|level| *level >= 0),
        Compression::Zstd => Some(config.zstd_level),
        Compression::None | Compression::Snappy | Compression::Lz4 => None,
    };
    Ok(batch.recompressed(codec, level, decompressed_bytes_max(config))?)
}

/// The limit of a decompressed batch in bytes.
pub fn decompressed_bytes_max(config: &LogConfig) -> usize {
    let bytes = config
        .message_bytes_max
        .saturating_mul(DECOMPRESSED_RATIO_MAX);
    bytes.clamp(DECOMPRESSED_BYTES_MIN, DECOMPRESSED_BYTES_MAX)
}

fn refused(code: ErrorCode, message: &str, records: Vec<usize>) -> Refused {
    let blamed = |index| {
        BatchIndexAndErrorMessage::default()
            .with_batch_index(i32::try_from(index).unwrap_or(i32::MAX))
            .with_batch_index_error_message(Some(StrBytes::from_string(message.to_owned())))
    };
    Refused {
        error: ApiError::new(code, message),
        records: records.into_iter().map(blamed).collect(),
    }
}

#[cfg(test)]
mod tests {
    use brooklet_log::CleanupPolicy;
    use brooklet_protocol::records::BatchBuilder;

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn batch(codec: Compression, records: &[(i64, Option<&[u8]>)]) -> RecordBatch {
        let mut builder = BatchBuilder::new(codec);
        for (time, key) in records {
            builder.append(Timestamp(*time), *key, Some(b"value"), &[]);
        }
        builder.build()
    }

    fn blamed(refused: &Refused) -> Vec<i32> {
        refused
            .records
            .iter()
            .map(|record| record.batch_index)
            .collect()
    }

    #[test]
    fn nothing_is_demanded_by_default() {
        let batch = batch(
            Compression::Gzip,
            &[(NOW.0, None), (NOW.0 + 3_600_000, None)],
        );
        let converted = convert(batch.clone(), &LogConfig::default(), NOW).unwrap();
        assert_eq!((converted.batch, converted.log_append_time), (batch, None));
    }

    #[test]
    fn timestamps_too_far_from_the_clock_are_refused_record_by_record() {
        let records = [
            NOW.0 - 5001,
            NOW.0 - 5000,
            -1,
            NOW.0 + 3_600_000,
            NOW.0 + 3_600_001,
        ];
        let batch = batch(Compression::None, &records.map(|time| (time, None)));
        let refused = convert(batch.clone(), &LogConfig::default(), NOW).unwrap_err();
        assert_eq!(refused.error.code, ErrorCode::InvalidTimestamp);
        assert_eq!(blamed(&refused), [4]);
        let narrow = LogConfig {
            timestamp_before_max: Duration::from_secs(5),
            ..LogConfig::default()
        };
        assert_eq!(
            blamed(&convert(batch.clone(), &narrow, NOW).unwrap_err()),
            [0, 4]
        );
        let clock = LogConfig {
            timestamp_type: TimestampType::LogAppendTime,
            ..narrow
        };
        assert!(
            convert(batch, &clock, NOW).is_ok(),
            "the producer's do not count then"
        );
    }

    #[test]
    fn the_brokers_clock_takes_the_place_of_timestamps() {
        let config = LogConfig {
            timestamp_type: TimestampType::LogAppendTime,
            ..LogConfig::default()
        };
        let batch = batch(Compression::Lz4, &[(5, Some(b"k")), (7, None)]);
        let converted = convert(batch, &config, NOW).unwrap();
        assert_eq!(converted.log_append_time, Some(NOW));
        converted.batch.verify_crc().unwrap();
        let records = converted.batch.records(1000).unwrap();
        let times: Vec<_> = records.iter().map(|r| r.unwrap().timestamp).collect();
        assert_eq!(times, [NOW, NOW]);
    }

    #[test]
    fn a_compacted_topic_takes_no_record_without_a_key() {
        let config = LogConfig {
            cleanup: CleanupPolicy {
                delete: true,
                compact: true,
            },
            ..LogConfig::default()
        };
        let good = batch(Compression::Zstd, &[(1, Some(b"k")), (1, Some(b""))]);
        assert!(convert(good, &config, NOW).is_ok());
        let bad = batch(Compression::Zstd, &[(1, None), (1, Some(b"k")), (1, None)]);
        let refused = convert(bad, &config, NOW).unwrap_err();
        assert_eq!(refused.error.code, ErrorCode::InvalidRecord);
        assert_eq!(blamed(&refused), [0, 2]);
    }

    #[test]
    fn batches_are_stored_in_the_topics_codec() {
        let codecs = [
            Compression::None,
            Compression::Gzip,
            Compression::Snappy,
            Compression::Lz4,
            Compression::Zstd,
        ];
        for (from, to) in codecs
            .into_iter()
            .flat_map(|from| codecs.map(|to| (from, to)))
        {
            let config = LogConfig {
                compression: Some(to),
                zstd_level: 19,
                gzip_level: 1,
                ..LogConfig::default()
            };
            let sent = batch(from, &[(5, Some(b"k")), (7, None)]);
            let stored = convert(sent.clone(), &config, NOW).unwrap().batch;
            assert_eq!(stored.header().compression().unwrap(), to);
            assert_eq!(stored == sent, from == to, "{from:?} to {to:?}");
            stored.verify_crc().unwrap();
            let plain = |batch: &RecordBatch| {
                let records = batch.records(1000).unwrap();
                let plain = records.iter().map(Result::unwrap);
                plain
                    .map(|r| (r.timestamp, r.key.map(<[u8]>::to_vec)))
                    .collect::<Vec<_>>()
            };
            assert_eq!(plain(&stored), plain(&sent));
        }
    }
}
