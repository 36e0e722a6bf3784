//! The values of topic settings, between text and type: what the rows of `topic_config` are made
//! from.
//!
//! Text has been validated by its kind before it comes here; text that does not parse nevertheless
//! leaves a setting as it is, or means the default.

use std::str::FromStr;
use std::time::Duration;

use brooklet_log::{CleanupPolicy, TimestampType};
use brooklet_protocol::records::Compression;

const NO_LIMIT: &str = "-1";

/// Reads a number; one that does not parse leaves the setting as it is.
pub(crate) fn number<T: FromStr>(setting: &mut T, value: &str) {
    if let Ok(value) = value.parse() {
        *setting = value;
    }
}

/// Reads a number of milliseconds, in the same way.
pub(crate) fn millis(setting: &mut Duration, value: &str) {
    if let Ok(value) = value.parse() {
        *setting = Duration::from_millis(value);
    }
}

pub(crate) fn millis_text(duration: Duration) -> String {
    duration.as_millis().to_string()
}

/// Reads a boolean, in any case.
pub(crate) fn flag(setting: &mut bool, value: &str) {
    *setting = value.eq_ignore_ascii_case("true");
}

/// A negative number means "no limit".
pub(super) fn limit(value: &str) -> Option<u64> {
    value.parse().ok()
}

/// The same, in milliseconds.
pub(super) fn age_limit(value: &str) -> Option<Duration> {
    limit(value).map(Duration::from_millis)
}

pub(super) fn limit_text(limit: Option<u64>) -> String {
    limit.map_or(NO_LIMIT.to_owned(), |limit| limit.to_string())
}

pub(super) fn age_limit_text(limit: Option<Duration>) -> String {
    limit.map_or(NO_LIMIT.to_owned(), millis_text)
}

pub(super) fn cleanup_policy(value: &str) -> CleanupPolicy {
    let has = |policy| value.split(',').any(|word| word.trim() == policy);
    CleanupPolicy {
        delete: has("delete"),
        compact: has("compact"),
    }
}

pub(super) fn cleanup_policy_text(policy: CleanupPolicy) -> String {
    let text = match (policy.compact, policy.delete) {
        (true, true) => "compact,delete",
        (true, false) => "compact",
        (false, true) => "delete",
        (false, false) => "",
    };
    text.to_owned()
}

pub(super) fn compression(value: &str) -> Option<Compression> {
    match value {
        "uncompressed" => Some(Compression::None),
        "gzip" => Some(Compression::Gzip),
        "snappy" => Some(Compression::Snappy),
        "lz4" => Some(Compression::Lz4),
        "zstd" => Some(Compression::Zstd),
        _ => None,
    }
}

pub(super) fn compression_text(compression: Option<Compression>) -> String {
    let text = match compression {
        None => "producer",
        Some(Compression::None) => "uncompressed",
        Some(Compression::Gzip) => "gzip",
        Some(Compression::Snappy) => "snappy",
        Some(Compression::Lz4) => "lz4",
        Some(Compression::Zstd) => "zstd",
    };
    text.to_owned()
}

pub(super) fn timestamp_type(value: &str) -> TimestampType {
    if value == "LogAppendTime" {
        TimestampType::LogAppendTime
    } else {
        TimestampType::CreateTime
    }
}

pub(super) fn timestamp_type_text(timestamp_type: TimestampType) -> String {
    let text = match timestamp_type {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    };
    text.to_owned()
}
