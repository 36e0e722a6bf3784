//! Which segments are too old, too many, or below the log start: arithmetic, without files.
//!
//! Segments are deleted from the oldest on, as long as one of these holds: all of the segment is
//! below the log start; the log still has `retention.bytes` without it; its newest record is older
//! than `retention.ms`. The last two apply only if `cleanup.policy` contains `delete`. A segment
//! with a record above the high watermark stays. The active segment may be deleted, too: it is
//! sealed first.
//!
//! As in Kafka, a segment goes as a whole or not at all, so that a log may be larger and older than
//! its settings say by up to one segment. Unlike Kafka, which asks the file system, a segment whose
//! records have no timestamps does not age.
//!
//! Old records that were copied or replayed may be deleted by age soon after they were written, and
//! somebody would miss them: [`Maintenance::taken_early`](super::Maintenance::taken_early) finds
//! them by the age of their files.

use brooklet_protocol::{Offset, Timestamp};

use super::LogConfig;
use super::LogError;

/// What retention needs to know of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetainedSegment {
    /// The first offset behind it.
    pub end: Offset,
    /// Bytes of batches.
    pub bytes: u64,
}

/// How many of the segments, oldest first, to delete. `max_timestamp` is called for as few of them
/// as possible, because it may have to read from the disk.
///
/// # Errors
/// Those of `max_timestamp`.
pub fn expired(
    segments: &[RetainedSegment],
    (log_start, high_watermark): (Offset, Offset),
    now: Timestamp,
    config: &LogConfig,
    mut max_timestamp: impl FnMut(usize) -> Result<Option<Timestamp>, LogError>,
) -> Result<usize, LogError> {
    let mut bytes = segments.iter().map(|segment| segment.bytes).sum::<u64>();
    for (index, segment) in segments.iter().enumerate() {
        let is_empty_and_active = index + 1 == segments.len() && segment.bytes == 0;
        if segment.end > high_watermark || is_empty_and_active {
            return Ok(index);
        }
        let is_deleted = segment.end <= log_start;
        let is_too_much = (config.retention_bytes_max)
            .is_some_and(|bytes_max| bytes - segment.bytes >= bytes_max);
        let mut is_too_old = || -> Result<bool, LogError> {
            let Some(age_max) = config.retention_age_max else {
                return Ok(false);
            };
            let age_max = i64::try_from(age_max.as_millis()).unwrap_or(i64::MAX);
            let newest = max_timestamp(index)?.filter(|newest| newest.0 >= 0);
            Ok(newest.is_some_and(|newest| now.0.saturating_sub(newest.0) > age_max))
        };
        let goes = is_deleted || (config.cleanup.delete && (is_too_much || is_too_old()?));
        if !goes {
            return Ok(index);
        }
        bytes -= segment.bytes;
    }
    Ok(segments.len())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::CleanupPolicy;

    const SEGMENTS: [RetainedSegment; 4] = [
        RetainedSegment {
            end: Offset(10),
            bytes: 100,
        },
        RetainedSegment {
            end: Offset(20),
            bytes: 100,
        },
        RetainedSegment {
            end: Offset(30),
            bytes: 100,
        },
        RetainedSegment {
            end: Offset(35),
            bytes: 50,
        },
    ];

    fn keep_all() -> LogConfig {
        LogConfig {
            retention_age_max: None,
            ..LogConfig::default()
        }
    }

    /// Segment N has a highest timestamp of 1000 N.
    fn count(log_start: i64, high_watermark: i64, now: i64, config: &LogConfig) -> usize {
        let bounds = (Offset(log_start), Offset(high_watermark));
        let time = |index| Ok(Some(Timestamp(index as i64 * 1000)));
        expired(&SEGMENTS, bounds, Timestamp(now), config, time).unwrap()
    }

    #[test]
    fn by_size_the_log_keeps_at_least_what_it_may() {
        let keep = |bytes| LogConfig {
            retention_bytes_max: Some(bytes),
            ..keep_all()
        };
        for (bytes, expected) in [(350, 0), (251, 0), (250, 1), (149, 2), (50, 3), (0, 4)] {
            assert_eq!(count(0, 35, 0, &keep(bytes)), expected, "{bytes}");
        }
        assert_eq!(count(0, 29, 0, &keep(0)), 2, "not above the high watermark");
    }

    #[test]
    fn by_age_a_segment_goes_when_its_newest_record_is_too_old() {
        let config = LogConfig {
            retention_age_max: Some(Duration::from_millis(500)),
            ..keep_all()
        };
        for (now, expected) in [(0, 0), (500, 0), (501, 1), (1501, 2), (99_999, 4), (-5, 0)] {
            assert_eq!(count(0, 35, now, &config), expected, "{now}");
        }
        let compacted = LogConfig {
            cleanup: CleanupPolicy {
                delete: false,
                compact: true,
            },
            ..config
        };
        assert_eq!(count(0, 35, 99_999, &compacted), 0);
    }

    #[test]
    fn records_without_a_timestamp_do_not_age() {
        let config = LogConfig {
            retention_age_max: Some(Duration::ZERO),
            ..keep_all()
        };
        let bounds = (Offset(0), Offset(35));
        for time in [None, Some(Timestamp(-1))] {
            let count = expired(&SEGMENTS, bounds, Timestamp(1 << 50), &config, |_| Ok(time));
            assert_eq!(count.unwrap(), 0);
        }
    }

    #[test]
    fn what_is_below_the_log_start_goes_whatever_the_policy() {
        for (start, expected) in [(9, 0), (10, 1), (29, 2), (35, 4)] {
            assert_eq!(count(start, 35, 0, &keep_all()), expected, "{start}");
        }
        let empty = RetainedSegment {
            end: Offset(35),
            bytes: 0,
        };
        let bounds = (Offset(35), Offset(35));
        let count = expired(&[empty], bounds, Timestamp(0), &keep_all(), |_| Ok(None));
        assert_eq!(count.unwrap(), 0, "the empty active segment stays");
    }
}
