//! The settings of a topic, under Kafka's names.
//!
//! One table says which settings there are, what they take, and whether they already act here.
//! Every name that Kafka 4 lists is accepted, checked and stored, so that programs which set them
//! go on working; a setting that does not act yet is marked so in the table.
//!
//! Ours differs in one limit and one default: `segment.bytes` may be as small as 256, so that a
//! lesson can watch segments roll; `flush.ms` is a second, not never, because there is no replica that
//! has what a crash takes.
//!
//! A topic that does not set one has the broker's value: each has its name among the broker's
//! settings, too.

use std::collections::BTreeMap;

use super::config_kind::{ConfigKind, int, long, nearest, number};

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct TopicConfig {
    /// Kafka's name.
    pub name: &'static str,
    /// The broker's setting that is the default of topics.
    pub broker_name: &'static str,
    /// The default: Kafka's, or ours where the meaning says so.
    pub default: &'static str,
    /// What it takes.
    pub kind: ConfigKind,
    /// Whether it already changes what the broker does; otherwise it is only stored.
    pub acts: bool,
    /// What it means.
    pub doc: &'static str,
}

const fn acts(
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
        acts: true,
        doc,
    }
}

const fn stored(
    names: (&'static str, &'static str),
    default: &'static str,
    kind: ConfigKind,
    doc: &'static str,
) -> TopicConfig {
    TopicConfig {
        acts: false,
        ..acts(names, default, kind, doc)
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
    acts(("cleanup.policy", "log.cleanup.policy"), "delete", POLICIES, "whether old records go by age and size, or by key"),
    acts(("compression.gzip.level", "compression.gzip.level"), "-1", number(-1, 9), "effort of gzip; -1 for its default"),
    stored(("compression.lz4.level", "compression.lz4.level"), "9", number(1, 17), "effort of lz4; all levels are those of the fast compressor"),
    acts(("compression.type", "compression.type"), "producer", CODECS, "how batches are compressed on disk"),
    acts(("compression.zstd.level", "compression.zstd.level"), "3", number(-131_072, 22), "effort of zstd; all above 4 are as 4, unless built with the feature zstd-c"),
    acts(("delete.retention.ms", "log.cleaner.delete.retention.ms"), "86400000", long(0), "how long compaction keeps tombstones"),
    acts(("file.delete.delay.ms", "log.segment.delete.delay.ms"), "60000", long(0), "how long a deleted segment's file stays"),
    acts(("flush.messages", "log.flush.interval.messages"), FOREVER, long(1), "a sync after so many records"),
    acts(("flush.ms", "log.flush.interval.ms"), "1000", long(0), "a sync after so long; Kafka's default is never"),
    acts(("index.interval.bytes", "log.index.interval.bytes"), "4096", int(0), "one index entry per so many bytes"),
    acts(("max.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms"), FOREVER, long(1), "how long a record may stay uncompacted"),
    acts(("max.message.bytes", "message.max.bytes"), "1048588", int(0), "the largest batch"),
    acts(("message.timestamp.after.max.ms", "log.message.timestamp.after.max.ms"), "3600000", long(0), "how far a timestamp may be ahead"),
    acts(("message.timestamp.before.max.ms", "log.message.timestamp.before.max.ms"), FOREVER, long(0), "how far a timestamp may be behind"),
    acts(("message.timestamp.type", "log.message.timestamp.type"), "CreateTime", CLOCKS, "whose clock stamps records"),
    acts(("min.cleanable.dirty.ratio", "log.cleaner.min.cleanable.ratio"), "0.5", ConfigKind::Ratio, "compaction starts at this share of unclean bytes"),
    acts(("min.compaction.lag.ms", "log.cleaner.min.compaction.lag.ms"), "0", long(0), "how long a record is safe from compaction"),
    stored(("min.insync.replicas", "min.insync.replicas"), "1", int(1), "replicas that acks=all waits for; there is one"),
    acts(("preallocate", "log.preallocate"), "false", BOOLEAN, "whether a segment's file gets its size at once"),
    acts(("retention.bytes", "log.retention.bytes"), "-1", long(i64::MIN), "the largest partition; -1 for no limit"),
    acts(("retention.ms", "log.retention.ms"), "604800000", long(-1), "the greatest age of a record; -1 for no limit"),
    acts(("segment.bytes", "log.segment.bytes"), "1073741824", int(256), "a segment rolls before it grows beyond"),
    acts(("segment.index.bytes", "log.index.size.max.bytes"), "10485760", int(4), "a segment rolls when its index has this size"),
    acts(("segment.jitter.ms", "log.roll.jitter.ms"), "0", long(0), "spreads segments that roll by age"),
    acts(("segment.ms", "log.roll.ms"), "604800000", long(1), "a segment rolls when its first record is older"),
    stored(("unclean.leader.election.enable", "unclean.leader.election.enable"), "false", BOOLEAN, "whether a lagging replica may lead; there is one replica"),
];

/// Checks the names and the values.
///
/// # Errors
/// The first setting that Kafka would not take, in words.
pub fn validate(configs: &BTreeMap<String, String>) -> Result<(), String> {
    configs.iter().try_for_each(|(name, value)| {
        let Some(config) = TOPIC_CONFIGS.iter().find(|c| c.name == name) else {
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
}
