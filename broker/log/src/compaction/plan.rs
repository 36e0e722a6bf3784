//! When a log is compacted, and which of its segments: arithmetic, without files.
//!
//! ```text
//!  log start        cleaned below            cleanable below        active
//!     ├───── clean ──────┼──────── dirty ─────────┼─── not yet ───────┤
//!     └── group ─┘└ group ┘└─ group ─┘└── group ──┘
//! ```
//!
//! *Not yet* is what may still change or be missed: the active segment, what is not durable or not
//! stable, what is younger than `min.compaction.lag.ms`. A log is compacted when the dirty part is
//! `min.cleanable.dirty.ratio` of what is clean and dirty, or holds a record older than
//! `max.compaction.lag.ms`. A *group* of segments that have become small makes one new segment.

use std::time::Duration;

use brooklet_protocol::{Offset, Timestamp};

use crate::LogConfig;

/// What the plan needs to know of a sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedSegment {
    /// Its first offset.
    pub base: Offset,
    /// The first offset behind it.
    pub end: Offset,
    /// Bytes of batches.
    pub bytes: u64,
    /// Bytes of its offset index.
    pub index_bytes: u64,
    /// Its highest timestamp.
    pub max_timestamp: Option<Timestamp>,
}

/// How dirty a log is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dirt {
    /// How many segments are cleanable, from the log's first on.
    pub segments: usize,
    /// The first of them that is dirty.
    pub first_dirty: usize,
    /// Dirty bytes by clean and dirty ones.
    pub ratio: f64,
    /// Whether it has to be compacted now.
    pub is_due: bool,
}

/// How dirty the sealed segments are, oldest first. Nothing at or above `stable_below` is touched.
pub(super) fn dirt(
    sealed: &[SealedSegment],
    (cleaned_below, stable_below): (Offset, Offset),
    now: Timestamp,
    config: &LogConfig,
) -> Dirt {
    let is_ripe = |segment: &&SealedSegment| {
        let lag = config.compaction_lag_min;
        let age = segment.max_timestamp.map(|time| age(time, now));
        segment.end <= stable_below && (lag.is_zero() || age.is_none_or(|age| age >= lag))
    };
    let segments = sealed.iter().take_while(is_ripe).count();
    let first_dirty = sealed[..segments].partition_point(|segment| segment.end <= cleaned_below);
    let bytes = |part: &[SealedSegment]| part.iter().map(|segment| segment.bytes).sum::<u64>();
    let (all, dirty) = (bytes(&sealed[..segments]), &sealed[first_dirty..segments]);
    let ratio = bytes(dirty) as f64 / all.max(1) as f64;
    let waits_too_long = |segment: &SealedSegment| {
        (segment.max_timestamp).is_some_and(|time| age(time, now) > config.compaction_lag_max)
    };
    Dirt {
        segments,
        first_dirty,
        ratio,
        is_due: !dirty.is_empty()
            && (ratio >= config.dirty_ratio_min || dirty.iter().any(waits_too_long)),
    }
}

fn age(time: Timestamp, now: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(now.0.saturating_sub(time.0)).unwrap_or(0))
}

/// How many segments, of those given, make one new segment; at least one.
pub(super) fn group(segments: &[SealedSegment], config: &LogConfig) -> usize {
    let bytes_max = config.segment_bytes.min(i32::MAX as u64);
    let (mut bytes, mut index_bytes) = (0, 0);
    let fits = |segment: &&SealedSegment| {
        bytes += segment.bytes;
        index_bytes += segment.index_bytes;
        bytes <= bytes_max
            && index_bytes <= config.segment_index_bytes
            && segment.end.0 - segments[0].base.0 <= i64::from(i32::MAX)
    };
    segments.iter().take_while(fits).count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Segments of ten offsets and 100 bytes, whose highest timestamps are ten seconds apart.
    fn sealed(count: i64) -> Vec<SealedSegment> {
        let segment = |number| SealedSegment {
            base: Offset(number * 10),
            end: Offset(number * 10 + 10),
            bytes: 100,
            index_bytes: 8,
            max_timestamp: Some(Timestamp((number + 1) * 10_000)),
        };
        (0..count).map(segment).collect()
    }

    fn found(cleaned: i64, stable: i64, now: i64, config: &LogConfig) -> (usize, usize, bool) {
        let dirt = dirt(
            &sealed(10),
            (Offset(cleaned), Offset(stable)),
            Timestamp(now),
            config,
        );
        (dirt.first_dirty, dirt.segments, dirt.is_due)
    }

    #[test]
    fn a_log_is_due_when_enough_of_it_is_dirty() {
        let config = LogConfig::default();
        assert_eq!(found(0, 100, 0, &config), (0, 10, true));
        assert_eq!(found(50, 100, 0, &config), (5, 10, true));
        assert_eq!(found(60, 100, 0, &config), (6, 10, false));
        assert_eq!(
            found(55, 100, 0, &config),
            (5, 10, true),
            "half clean is dirty"
        );
        assert_eq!(
            found(100, 100, 0, &config),
            (10, 10, false),
            "nothing is dirty"
        );
        assert_eq!(
            found(30, 65, 0, &config),
            (3, 6, true),
            "nothing beyond what is stable"
        );
        assert_eq!(found(0, 5, 0, &config), (0, 0, false));
    }

    #[test]
    fn records_are_safe_for_the_least_lag_and_wait_for_the_greatest() {
        let young = LogConfig {
            compaction_lag_min: Duration::from_secs(30),
            ..LogConfig::default()
        };
        assert_eq!(found(0, 100, 79_999, &young), (0, 4, true));
        assert_eq!(found(0, 100, 80_000, &young), (0, 5, true));
        let old = LogConfig {
            compaction_lag_max: Duration::from_secs(30),
            dirty_ratio_min: 1.0,
            ..LogConfig::default()
        };
        assert_eq!(found(90, 100, 130_000, &old), (9, 10, false));
        assert_eq!(found(90, 100, 130_001, &old), (9, 10, true));
    }

    #[test]
    fn a_group_fits_into_a_segment() {
        let segments = sealed(10);
        let of = |segment_bytes, segment_index_bytes| LogConfig {
            segment_bytes,
            segment_index_bytes,
            ..LogConfig::default()
        };
        assert_eq!(group(&segments, &of(1000, 1000)), 10);
        assert_eq!(group(&segments, &of(399, 1000)), 3);
        assert_eq!(group(&segments, &of(1000, 16)), 2);
        assert_eq!(group(&segments, &of(50, 1000)), 1, "never none");
        let mut far = segments.clone();
        far[3].end = Offset(1 << 40);
        assert_eq!(group(&far, &of(1000, 1000)), 3);
    }
}
