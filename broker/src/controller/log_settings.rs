//! Between a topic's settings, which are text, and the typed settings of its logs.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use brooklet_log::{CleanupPolicy, LogConfig, TimestampType};
use brooklet_protocol::records::Compression;

/// The broker's defaults with what the topic sets. The settings have been validated; what does not
/// parse nevertheless leaves the default.
pub fn log_config(configs: &BTreeMap<String, String>, defaults: &LogConfig) -> LogConfig {
    let mut log = defaults.clone();
    for (name, value) in configs {
        set(&mut log, name, value.trim());
    }
    log
}

/// Sets what a topic's setting of this name stands for.
pub(crate) fn set(log: &mut LogConfig, name: &str, value: &str) {
    match name {
        "cleanup.policy" => log.cleanup = cleanup_policy(value),
        "compression.gzip.level" => number(&mut log.gzip_level, value),
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
        // About replicas, of which there is one, and levels of LZ4.
        _ => {}
    }
}

/// What [`set`] reads, made from what it has set; `None` for a setting that a log does not have.
pub(crate) fn get(log: &LogConfig, name: &str) -> Option<String> {
    Some(match name {
        "cleanup.policy" => cleanup_policy_text(log.cleanup).to_owned(),
        "compression.gzip.level" => log.gzip_level.to_string(),
        "compression.type" => compression_text(log.compression).to_owned(),
        "compression.zstd.level" => log.zstd_level.to_string(),
        "delete.retention.ms" => millis_text(log.delete_retention),
        "file.delete.delay.ms" => millis_text(log.file_delete_delay),
        "flush.messages" => log.flush_messages.to_string(),
        "flush.ms" => millis_text(log.flush_age_max),
        "index.interval.bytes" => log.index_interval_bytes.to_string(),
        "max.compaction.lag.ms" => millis_text(log.compaction_lag_max),
        "max.message.bytes" => log.message_bytes_max.to_string(),
        "message.timestamp.after.max.ms" => millis_text(log.timestamp_after_max),
        "message.timestamp.before.max.ms" => millis_text(log.timestamp_before_max),
        "message.timestamp.type" => timestamp_type_text(log.timestamp_type).to_owned(),
        "min.cleanable.dirty.ratio" => log.dirty_ratio_min.to_string(),
        "min.compaction.lag.ms" => millis_text(log.compaction_lag_min),
        "preallocate" => log.preallocate.to_string(),
        "retention.bytes" => limit_text(log.retention_bytes_max),
        "retention.ms" => log
            .retention_age_max
            .map_or(NO_LIMIT.to_owned(), millis_text),
        "segment.bytes" => log.segment_bytes.to_string(),
        "segment.index.bytes" => log.segment_index_bytes.to_string(),
        "segment.jitter.ms" => millis_text(log.segment_jitter_max),
        "segment.ms" => millis_text(log.segment_age_max),
        _ => return None,
    })
}

const NO_LIMIT: &str = "-1";

/// Reads a number; one that does not parse leaves the setting as it is.
pub(crate) fn number<T: FromStr>(setting: &mut T, value: &str) {
    if let Ok(value) = value.parse() {
        *setting = value;
    }
}

/// Reads a number of milliseconds, likewise.
pub(crate) fn millis(setting: &mut Duration, value: &str) {
    if let Ok(value) = value.parse() {
        *setting = Duration::from_millis(value);
    }
}

pub(crate) fn millis_text(duration: Duration) -> String {
    duration.as_millis().to_string()
}

/// Negative numbers mean "no limit".
fn limit(value: &str) -> Option<u64> {
    value.parse().ok()
}

fn limit_text(limit: Option<u64>) -> String {
    limit.map_or(NO_LIMIT.to_owned(), |limit| limit.to_string())
}

fn cleanup_policy(value: &str) -> CleanupPolicy {
    let has = |policy| value.split(',').any(|word| word.trim() == policy);
    CleanupPolicy {
        delete: has("delete"),
        compact: has("compact"),
    }
}

fn cleanup_policy_text(policy: CleanupPolicy) -> &'static str {
    match (policy.compact, policy.delete) {
        (true, true) => "compact,delete",
        (true, false) => "compact",
        (false, true) => "delete",
        (false, false) => "",
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

fn compression_text(compression: Option<Compression>) -> &'static str {
    match compression {
        None => "producer",
        Some(Compression::None) => "uncompressed",
        Some(Compression::Gzip) => "gzip",
        Some(Compression::Snappy) => "snappy",
        Some(Compression::Lz4) => "lz4",
        Some(Compression::Zstd) => "zstd",
    }
}

fn timestamp_type(value: &str) -> TimestampType {
    if value == "LogAppendTime" {
        TimestampType::LogAppendTime
    } else {
        TimestampType::CreateTime
    }
}

fn timestamp_type_text(of: TimestampType) -> &'static str {
    match of {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
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
    fn the_defaults_are_those_of_a_log() {
        for config in TOPIC_CONFIGS {
            let told = get(&LogConfig::default(), config.name);
            let expected = config.acts.then(|| config.default.to_owned());
            assert_eq!(told, expected, "{}", config.name);
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
            let told = get(&changed, config.name).unwrap();
            assert_eq!(with(config.name, &told), changed, "{}", config.name);
        }
        assert_eq!(with("retention.bytes", "-1").retention_bytes_max, None);
        assert_eq!(with("retention.ms", "-1").retention_age_max, None);
        let both = with("cleanup.policy", "delete, compact").cleanup;
        assert!(both.delete && both.compact);
    }
}
