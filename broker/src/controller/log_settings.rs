//! From a topic's settings, which are text, to the typed settings of its logs.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use brooklet_protocol::records::Compression;

use crate::log::{CleanupPolicy, LogConfig, TimestampType};

/// The broker's defaults with what the topic sets. The settings have been validated; what does not
/// parse nevertheless leaves the default.
pub fn log_config(configs: &BTreeMap<String, String>, defaults: &LogConfig) -> LogConfig {
    let mut log = defaults.clone();
    for (name, value) in configs {
        set(&mut log, name, value.trim());
    }
    log
}

fn set(log: &mut LogConfig, name: &str, value: &str) {
    match name {
        "cleanup.policy" => log.cleanup = cleanup_policy(value),
        "compression.gzip.level" => number(&mut log.gzip_level, value),
        "compression.lz4.level" => number(&mut log.lz4_level, value),
        "compression.type" => log.compression = compression(value),
        "compression.zstd.level" => number(&mut log.zstd_level, value),
        "delete.retention.ms" => millis(&mut log.delete_retention, value),
        "file.delete.delay.ms" => millis(&mut log.file_delete_delay, value),
        "flush.messages" => number(&mut log.flush_messages, value),
        "flush.ms" => millis(&mut log.flush_age_max, value),
        "index.interval.bytes" => number(&mut log.index_interval_bytes, value),
        "max.compaction.lag.ms" => millis(&mut log.compaction_lag_max, value),
        "max.message.bytes" => number(&mut log.message_bytes_max, value),
        "message.timestamp.after.max.ms" => millis(&mut log.timestamp_after_max, value),
        "message.timestamp.before.max.ms" => millis(&mut log.timestamp_before_max, value),
        "message.timestamp.type" => log.timestamp_type = timestamp_type(value),
        "min.cleanable.dirty.ratio" => number(&mut log.dirty_ratio_min, value),
        "min.compaction.lag.ms" => millis(&mut log.compaction_lag_min, value),
        "preallocate" => log.preallocate = value.eq_ignore_ascii_case("true"),
        "retention.bytes" => log.retention_bytes_max = limit(value),
        "retention.ms" => log.retention_age_max = limit(value).map(Duration::from_millis),
        "segment.bytes" => number(&mut log.segment_bytes, value),
        "segment.index.bytes" => number(&mut log.segment_index_bytes, value),
        "segment.jitter.ms" => millis(&mut log.segment_jitter_max, value),
        "segment.ms" => millis(&mut log.segment_age_max, value),
        // About replicas, of which there is one.
        _ => {}
    }
}

fn number<T: FromStr>(setting: &mut T, value: &str) {
    if let Ok(value) = value.parse() {
        *setting = value;
    }
}

fn millis(setting: &mut Duration, value: &str) {
    if let Ok(value) = value.parse() {
        *setting = Duration::from_millis(value);
    }
}

/// Negative numbers mean "no limit".
fn limit(value: &str) -> Option<u64> {
    value.parse().ok()
}

fn cleanup_policy(value: &str) -> CleanupPolicy {
    let has = |policy| value.split(',').any(|word| word.trim() == policy);
    CleanupPolicy {
        delete: has("delete"),
        compact: has("compact"),
    }
}

fn compression(value: &str) -> Option<Compression> {
    match value {
        "uncompressed" => Some(Compression::None),
        "gzip" => Some(Compression::Gzip),
        "snappy" => Some(Compression::Snappy),
        "lz4" => Some(Compression::Lz4),
        "zstd" => Some(Compression::Zstd),
        _ => None,
    }
}

fn timestamp_type(value: &str) -> TimestampType {
    if value == "LogAppendTime" {
        TimestampType::LogAppendTime
    } else {
        TimestampType::CreateTime
    }
}

#[cfg(test)]
mod tests {
    use super::super::topic_config::TOPIC_CONFIGS;
    use super::*;

    fn with(name: &str, value: &str) -> LogConfig {
        let configs = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        log_config(&configs, &LogConfig::default())
    }

    #[test]
    fn kafkas_defaults_are_those_of_a_log() {
        for config in TOPIC_CONFIGS {
            assert_eq!(
                with(config.name, config.default),
                LogConfig::default(),
                "{}",
                config.name
            );
        }
    }

    #[test]
    fn every_setting_that_acts_changes_the_log() {
        let other = |name: &str| match name {
            "cleanup.policy" => "compact, delete",
            "compression.type" => "zstd",
            "message.timestamp.type" => "LogAppendTime",
            "min.cleanable.dirty.ratio" => "0.25",
            "preallocate" => "TRUE",
            "retention.ms" => "-1",
            "compression.gzip.level" | "compression.zstd.level" => "7",
            _ => " 300 ",
        };
        for config in TOPIC_CONFIGS.iter().filter(|config| config.acts) {
            let changed = with(config.name, other(config.name));
            assert_ne!(changed, LogConfig::default(), "{}", config.name);
        }
        assert_eq!(with("retention.bytes", "-1").retention_bytes_max, None);
        assert_eq!(with("retention.ms", "-1").retention_age_max, None);
        let both = with("cleanup.policy", "delete, compact").cleanup;
        assert!(both.delete && both.compact);
    }
}
