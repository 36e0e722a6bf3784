//! The settings of a topic, under Kafka's names: one table.
//!
//! ```text
//!  a row:  name, the broker's name │ default │ kind │ meaning │ field of LogConfig
//!
//!  rows ─▶ validate              what CreateTopics and AlterConfigs accept
//!       ─▶ log_config            the settings that a log runs with
//!       ─▶ broker::settings      the defaults of topics, under the broker's names
//!       ─▶ DescribeConfigs, docs/topic-settings.md
//! ```
//!
//! Each row says everything about a setting, and everything that knows the settings of topics is
//! made from the rows: validation, the typed [`LogConfig`] of a partition, what DescribeConfigs
//! answers, the broker's setting that is the default of topics (`broker::settings`), and the page
//! in `docs`. A new setting is one field in [`LogConfig`] and one row here.
//!
//! Every name that Kafka 4 lists is accepted, checked and stored, so that programs which set it
//! keep working. A row without a field is stored only: it is about replicas, of which there is one,
//! or about levels of LZ4.
//!
//! Ours differs from Kafka in one bound and one default: `segment.bytes` may be as small as 256, so
//! that a lesson can watch segments roll; `flush.ms` is a second, not never, because no replica has
//! the records that a crash takes.
//!
//! Invariants, each with a test:
//! - the table is sorted by name, and each kind takes its own default;
//! - the defaults are those of [`LogConfig::default`];
//! - what a field writes as text, it reads back as the same value.
//!
//! A topic that does not set a value has the broker's, which has its name among the broker's
//! settings.

use std::collections::BTreeMap;

use brooklet_log::LogConfig;

use super::config_kind::{ConfigKind, int, long, nearest, number as whole};
use super::log_settings::{
    age_limit, age_limit_text, cleanup_policy, cleanup_policy_text, compression, compression_text,
    flag, limit, limit_text, millis, millis_text, number, timestamp_type, timestamp_type_text,
};

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct TopicConfig {
    /// Kafka's name.
    pub name: &'static str,
    /// The broker's setting that is the default of topics.
    pub broker_name: &'static str,
    /// The default: Kafka's, or ours where the meaning says so.
    pub default: &'static str,
    /// The values that it takes.
    pub kind: ConfigKind,
    /// What it means.
    pub doc: &'static str,
    /// Where a log keeps it; `None` if it is stored and changes nothing.
    field: Option<Field>,
}

/// Reads a value from a log's settings as text, and sets it from text that the kind takes.
type Field = (fn(&LogConfig) -> String, fn(&mut LogConfig, &str));

impl TopicConfig {
    /// The setting with this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        TOPIC_CONFIGS.iter().find(|config| config.name == name)
    }

    /// Whether it changes what the broker does; otherwise it is only stored.
    pub const fn acts(&self) -> bool {
        self.field.is_some()
    }

    /// Its value in `log`; `None` if it is only stored.
    pub(crate) fn get(&self, log: &LogConfig) -> Option<String> {
        self.field.map(|(get, _)| get(log))
    }

    /// Sets it in `log`. A value that does not parse leaves the setting as it is; [`validate`] has
    /// refused it before.
    pub(crate) fn set(&self, log: &mut LogConfig, value: &str) {
        if let Some((_, set)) = self.field {
            set(log, value.trim());
        }
    }
}

const fn acts(
    names: (&'static str, &'static str),
    default: &'static str,
    kind: ConfigKind,
    doc: &'static str,
    field: Field,
) -> TopicConfig {
    TopicConfig {
        field: Some(field),
        ..stored(names, default, kind, doc)
    }
}

const fn stored(
    (name, broker_name): (&'static str, &'static str),
    default: &'static str,
    kind: ConfigKind,
    doc: &'static str,
) -> TopicConfig {
    TopicConfig {
        name,
        broker_name,
        default,
        kind,
        doc,
        field: None,
    }
}

const CODECS: ConfigKind =
    ConfigKind::Word(&["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"]);
const POLICIES: ConfigKind = ConfigKind::Words(&["delete", "compact"]);
const CLOCKS: ConfigKind = ConfigKind::Word(&["CreateTime", "LogAppendTime"]);
const BOOLEAN: ConfigKind = ConfigKind::Boolean;
const FOREVER: &str = "9223372036854775807";

/// All settings, sorted by name.
#[rustfmt::skip]
pub const TOPIC_CONFIGS: &[TopicConfig] = &[
    acts(("cleanup.policy", "log.cleanup.policy"), "delete", POLICIES, "whether old records are deleted by age and size, or compacted by key",
        (|l| cleanup_policy_text(l.cleanup), |l, v| l.cleanup = cleanup_policy(v))),
    acts(("compression.gzip.level", "compression.gzip.level"), "-1", whole(-1, 9), "effort of gzip; -1 for its default",
        (|l| l.gzip_level.to_string(), |l, v| number(&mut l.gzip_level, v))),
    stored(("compression.lz4.level", "compression.lz4.level"), "9", whole(1, 17), "effort of lz4; every level is that of the fast compressor"),
    acts(("compression.type", "compression.type"), "producer", CODECS, "how batches are compressed on disk",
        (|l| compression_text(l.compression), |l, v| l.compression = compression(v))),
    acts(("compression.zstd.level", "compression.zstd.level"), "3", whole(-131_072, 22), "effort of zstd; levels above 4 act as 4, unless built with the feature zstd-c",
        (|l| l.zstd_level.to_string(), |l, v| number(&mut l.zstd_level, v))),
    acts(("delete.retention.ms", "log.cleaner.delete.retention.ms"), "86400000", long(0), "how long compaction keeps tombstones",
        (|l| millis_text(l.delete_retention), |l, v| millis(&mut l.delete_retention, v))),
    acts(("file.delete.delay.ms", "log.segment.delete.delay.ms"), "60000", long(0), "how long the file of a deleted segment stays",
        (|l| millis_text(l.file_delete_delay), |l, v| millis(&mut l.file_delete_delay, v))),
    acts(("flush.messages", "log.flush.interval.messages"), FOREVER, long(1), "a sync after this many records",
        (|l| l.flush_messages.to_string(), |l, v| number(&mut l.flush_messages, v))),
    acts(("flush.ms", "log.flush.interval.ms"), "1000", long(0), "a sync after this time; Kafka's default is never",
        (|l| millis_text(l.flush_age_max), |l, v| millis(&mut l.flush_age_max, v))),
    acts(("index.interval.bytes", "log.index.interval.bytes"), "4096", int(0), "one index entry for this many bytes",
        (|l| l.index_interval_bytes.to_string(), |l, v| number(&mut l.index_interval_bytes, v))),
    acts(("max.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms"), FOREVER, long(1), "how long a record may stay uncompacted",
        (|l| millis_text(l.compaction_lag_max), |l, v| millis(&mut l.compaction_lag_max, v))),
    acts(("max.message.bytes", "message.max.bytes"), "1048588", int(0), "the largest batch",
        (|l| l.message_bytes_max.to_string(), |l, v| number(&mut l.message_bytes_max, v))),
    acts(("message.timestamp.after.max.ms", "log.message.timestamp.after.max.ms"), "3600000", long(0), "how far a timestamp may be ahead",
        (|l| millis_text(l.timestamp_after_max), |l, v| millis(&mut l.timestamp_after_max, v))),
    acts(("message.timestamp.before.max.ms", "log.message.timestamp.before.max.ms"), FOREVER, long(0), "how far a timestamp may be behind",
        (|l| millis_text(l.timestamp_before_max), |l, v| millis(&mut l.timestamp_before_max, v))),
    acts(("message.timestamp.type", "log.message.timestamp.type"), "CreateTime", CLOCKS, "whether records carry the producer's timestamp or the broker's",
        (|l| timestamp_type_text(l.timestamp_type), |l, v| l.timestamp_type = timestamp_type(v))),
    acts(("min.cleanable.dirty.ratio", "log.cleaner.min.cleanable.ratio"), "0.5", ConfigKind::Ratio, "compaction starts at this share of uncompacted bytes",
        (|l| l.dirty_ratio_min.to_string(), |l, v| number(&mut l.dirty_ratio_min, v))),
    acts(("min.compaction.lag.ms", "log.cleaner.min.compaction.lag.ms"), "0", long(0), "how long a record is protected from compaction",
        (|l| millis_text(l.compaction_lag_min), |l, v| millis(&mut l.compaction_lag_min, v))),
    stored(("min.insync.replicas", "min.insync.replicas"), "1", int(1), "replicas that acks=all waits for; there is one"),
    acts(("preallocate", "log.preallocate"), "false", BOOLEAN, "whether a segment's file is given its full size at once",
        (|l| l.preallocate.to_string(), |l, v| flag(&mut l.preallocate, v))),
    acts(("retention.bytes", "log.retention.bytes"), "-1", long(i64::MIN), "the largest partition; -1 for no limit",
        (|l| limit_text(l.retention_bytes_max), |l, v| l.retention_bytes_max = limit(v))),
    acts(("retention.ms", "log.retention.ms"), "604800000", long(-1), "the greatest age of a record; -1 for no limit",
        (|l| age_limit_text(l.retention_age_max), |l, v| l.retention_age_max = age_limit(v))),
    acts(("segment.bytes", "log.segment.bytes"), "1073741824", int(256), "a segment rolls before it would exceed this size",
        (|l| l.segment_bytes.to_string(), |l, v| number(&mut l.segment_bytes, v))),
    acts(("segment.index.bytes", "log.index.size.max.bytes"), "10485760", int(4), "a segment rolls when its index reaches this size",
        (|l| l.segment_index_bytes.to_string(), |l, v| number(&mut l.segment_index_bytes, v))),
    acts(("segment.jitter.ms", "log.roll.jitter.ms"), "0", long(0), "spreads out segments that roll by age",
        (|l| millis_text(l.segment_jitter_max), |l, v| millis(&mut l.segment_jitter_max, v))),
    acts(("segment.ms", "log.roll.ms"), "604800000", long(1), "a segment rolls when its first record is older than this",
        (|l| millis_text(l.segment_age_max), |l, v| millis(&mut l.segment_age_max, v))),
    stored(("unclean.leader.election.enable", "unclean.leader.election.enable"), "false", BOOLEAN, "whether a lagging replica may lead; there is one replica"),
];

/// The settings of a topic's logs: the broker's defaults with what the topic sets. The settings
/// have been validated; one that does not parse nevertheless leaves the default.
pub fn log_config(configs: &BTreeMap<String, String>, defaults: &LogConfig) -> LogConfig {
    let mut log = defaults.clone();
    for (name, value) in configs {
        if let Some(config) = TopicConfig::find(name) {
            config.set(&mut log, value);
        }
    }
    log
}

/// Checks the names and the values.
///
/// # Errors
/// Names the first setting that is unknown or has a value out of range.
pub fn validate(configs: &BTreeMap<String, String>) -> Result<(), String> {
    configs.iter().try_for_each(|(name, value)| {
        let Some(config) = TopicConfig::find(name) else {
            let near = nearest(name, TOPIC_CONFIGS.iter().map(|config| config.name));
            return Err(format!(
                "unknown topic config '{name}'; the nearest name is '{near}'"
            ));
        };
        if config.kind.takes(value) {
            return Ok(());
        }
        Err(format!(
            "topic config '{name}': expected {}, found '{value}'",
            config.kind
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configs(name: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn the_table_is_sorted_and_takes_its_own_defaults() {
        assert!(TOPIC_CONFIGS.is_sorted_by(|a, b| a.name < b.name));
        for config in TOPIC_CONFIGS {
            let defaults = configs(config.name, config.default);
            assert_eq!(validate(&defaults), Ok(()), "{}", config.name);
        }
    }

    #[test]
    fn each_kind_takes_its_values_and_no_others() {
        let rows: [(&str, &[&str], &[&str]); 7] = [
            (
                "segment.bytes",
                &["256", " 300 ", "2147483647"],
                &["255", "2147483648", "1e3", "", "-1"],
            ),
            ("retention.ms", &["-1", "0"], &["-2", "9223372036854775808"]),
            (
                "cleanup.policy",
                &["delete", "compact,delete", "compact, delete"],
                &["", "archive", "delete,"],
            ),
            ("compression.type", &["zstd"], &["ZSTD", "brotli", "none"]),
            (
                "min.cleanable.dirty.ratio",
                &["0", "0.25", "1.0"],
                &["1.1", "NaN", "-0.1"],
            ),
            ("preallocate", &["true", "FALSE"], &["yes", "1"]),
            (
                "message.timestamp.type",
                &["LogAppendTime"],
                &["createtime"],
            ),
        ];
        for (name, good, bad) in rows {
            for value in good {
                assert_eq!(validate(&configs(name, value)), Ok(()), "{name}={value}");
            }
            for value in bad {
                assert!(validate(&configs(name, value)).is_err(), "{name}={value}");
            }
        }
    }

    #[test]
    fn an_error_says_what_would_have_been_right() {
        assert_eq!(
            validate(&configs("retentoin.ms", "1")),
            Err("unknown topic config 'retentoin.ms'; the nearest name is 'retention.ms'".into())
        );
        assert_eq!(
            validate(&configs("segment.ms", "soon")),
            Err(format!(
                "topic config 'segment.ms': expected a whole number from 1 to {FOREVER}, found 'soon'"
            ))
        );
    }

    fn with(name: &str, value: &str) -> LogConfig {
        let configs = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        log_config(&configs, &LogConfig::default())
    }

    #[test]
    fn the_defaults_are_those_of_a_log() {
        for config in TOPIC_CONFIGS {
            let found = config.get(&LogConfig::default());
            let expected = config.acts().then(|| config.default.to_owned());
            assert_eq!(found, expected, "{}", config.name);
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
        for config in TOPIC_CONFIGS.iter().filter(|config| config.acts()) {
            let changed = with(config.name, other(config.name));
            assert_ne!(changed, LogConfig::default(), "{}", config.name);
            let text = config.get(&changed).unwrap();
            assert_eq!(with(config.name, &text), changed, "{}", config.name);
        }
        assert_eq!(with("retention.bytes", "-1").retention_bytes_max, None);
        assert_eq!(with("retention.ms", "-1").retention_age_max, None);
        let both = with("cleanup.policy", "delete, compact").cleanup;
        assert!(both.delete && both.compact);
    }
}
