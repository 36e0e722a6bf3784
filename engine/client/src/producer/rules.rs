//! What a topic allows, which the producer asks for when it matters (DescribeConfigs).
//!
//! | asked when | and then |
//! |---|---|
//! | a record has more than 1 MiB, and no `max.request.size` is set | it may be as large as `max.message.bytes` |
//! | a record's own timestamp is over a minute old | a warning, once, if `retention.ms` would delete it |
//!
//! A broker that does not report it (an old one, or one that does not authorize us) is no error:
//! then the defaults hold, and an error that follows says so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use brooklet_protocol::records::Compression;
use brooklet_protocol::{PartitionId, Timestamp, TopicName, TopicPartition};
use tracing::warn;

use super::record::{Destination, RecordRef};
use super::{REQUEST_BYTES_MAX, Shared};
use crate::{ClientError, SizeLimit};

/// The length of a batch is an `i32`.
const FORMAT_BYTES_MAX: usize = i32::MAX as usize;
/// How long rules count as known: they may be changed at any time.
const KNOWN_FOR: Duration = Duration::from_secs(10);
/// Younger records are not looked at; no retention that makes sense is shorter.
const AGE_MIN_MS: i64 = 60_000;

const MESSAGE_BYTES_MAX: &str = "max.message.bytes";
const RETENTION_MS: &str = "retention.ms";
const CLEANUP: &str = "cleanup.policy";
const TIMESTAMP_TYPE: &str = "message.timestamp.type";

/// What a topic allows.
#[derive(Debug)]
pub(super) struct Rules {
    /// `max.message.bytes`.
    bytes_max: Result<usize, String>,
    /// `retention.ms`, where records are deleted by their own timestamps.
    retention_ms: Option<i64>,
    asked_at: Duration,
}

impl Rules {
    fn new(settings: Result<BTreeMap<String, String>, ClientError>, asked_at: Duration) -> Self {
        let because = match &settings {
            Ok(_) => format!("the broker does not report the topic's {MESSAGE_BYTES_MAX}"),
            Err(error) => {
                format!("the topic's {MESSAGE_BYTES_MAX} cannot be looked up ({error})")
            }
        };
        let settings = settings.unwrap_or_default();
        let get = |name: &str| settings.get(name).map(String::as_str);
        let number = |name: &str| get(name).and_then(|value| value.parse::<i64>().ok());
        let bytes_max = number(MESSAGE_BYTES_MAX).and_then(|bytes| usize::try_from(bytes).ok());
        let is_deleted = get(CLEANUP).is_none_or(|policy| policy.contains("delete"));
        let is_own_time = get(TIMESTAMP_TYPE).is_none_or(|kind| kind == "CreateTime");
        Self {
            bytes_max: bytes_max.ok_or(because),
            retention_ms: number(RETENTION_MS).filter(|ms| *ms >= 0 && is_deleted && is_own_time),
            asked_at,
        }
    }

    /// What a record's batch may have, not compressed.
    fn limit(&self) -> SizeLimit {
        match &self.bytes_max {
            Ok(bytes) => SizeLimit {
                setting: MESSAGE_BYTES_MAX,
                bytes: *bytes,
                because: None,
            },
            Err(because) => SizeLimit {
                setting: "max.request.size",
                bytes: REQUEST_BYTES_MAX,
                because: Some(because.clone()),
            },
        }
    }

    /// Why records of that time will be deleted soon, if so.
    fn deletes(&self, topic: &TopicName, time: Timestamp, now: Timestamp) -> Option<String> {
        let retention_ms = self.retention_ms?;
        let age_ms = now.0.saturating_sub(time.0);
        (age_ms > retention_ms).then(|| {
            format!(
                "topic '{topic}' gets records whose own timestamps are {} old, and keeps none older \
                 than {} (retention.ms={retention_ms}): they will be deleted soon. To keep them: \
                 brooklet topic alter {topic} --set retention.ms=-1",
                duration_words(age_ms),
                duration_words(retention_ms),
            )
        })
    }
}

/// In the largest unit of which there are two.
fn duration_words(ms: i64) -> String {
    let units = [
        (86_400_000, "days"),
        (3_600_000, "hours"),
        (60_000, "minutes"),
        (1000, "seconds"),
    ];
    let unit = units.iter().find(|(unit_ms, _)| ms >= 2 * unit_ms);
    unit.map_or_else(
        || format!("{ms} ms"),
        |(unit_ms, name)| format!("{} {name}", ms / unit_ms),
    )
}

impl Shared {
    /// Whether a record can be sent at all.
    pub(super) async fn check_size(
        &self,
        to: &Destination<'_>,
        record: &RecordRef<'_>,
    ) -> Result<(), ClientError> {
        let size = record.size_alone();
        let too_large = |limit| ClientError::RecordTooLarge {
            partition: TopicPartition::new(
                to.topic.clone(),
                to.partition.unwrap_or(PartitionId(-1)),
            ),
            size,
            limit: Some(Box::new(limit)),
        };
        let fixed = self.config.request_bytes_max.map(|bytes| SizeLimit {
            setting: "max.request.size",
            bytes,
            because: None,
        });
        let of_format = SizeLimit {
            setting: "the format of batches",
            bytes: FORMAT_BYTES_MAX,
            because: None,
        };
        let set = fixed.into_iter().chain([of_format]);
        if let Some(limit) = set.into_iter().find(|limit| size.batch_bytes > limit.bytes) {
            return Err(too_large(limit));
        }
        let is_checked_here = self.config.request_bytes_max.is_none()
            && to.codec == Compression::None
            && size.batch_bytes > REQUEST_BYTES_MAX;
        if !is_checked_here {
            return Ok(());
        }
        let rules = self.rules(to.topic, KNOWN_FOR).await;
        if size.batch_bytes <= rules.limit().bytes {
            return Ok(());
        }
        Err(too_large(rules.limit()))
    }

    /// Warns once per topic that its retention will delete what is sent there with this timestamp.
    pub(super) async fn warn_of_retention(&self, topic: &TopicName, time: Option<Timestamp>) {
        let now = self.client.clock.wall();
        let Some(time) = time.filter(|time| now.0 - AGE_MIN_MS > time.0 && time.0 >= 0) else {
            return;
        };
        if self.warned.lock().contains(topic) {
            return;
        }
        let rules = self.rules(topic, Duration::MAX).await;
        if let Some(words) = rules.deletes(topic, time, now)
            && self.warned.lock().insert(topic.clone())
        {
            warn!("{words}");
        }
    }

    /// What the topic is known to take of a record.
    pub(super) fn known_limit(&self, topic: &TopicName) -> Option<Box<SizeLimit>> {
        let rules = self.rules.lock().get(topic).cloned()?;
        rules.bytes_max.is_ok().then(|| Box::new(rules.limit()))
    }

    /// What the topic allows, as it was not longer than `age_max` ago.
    async fn rules(&self, topic: &TopicName, age_max: Duration) -> Arc<Rules> {
        let now = self.client.now();
        let known = self.rules.lock().get(topic).cloned();
        let is_young = |rules: &Arc<Rules>| now.saturating_sub(rules.asked_at) <= age_max;
        if let Some(known) = known.filter(is_young) {
            return known;
        }
        let names = [MESSAGE_BYTES_MAX, RETENTION_MS, CLEANUP, TIMESTAMP_TYPE];
        let settings = self.client.topic_settings(topic, &names).await;
        let rules = Arc::new(Rules::new(settings, self.client.now()));
        self.rules.lock().insert(topic.clone(), Arc::clone(&rules));
        rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(settings: &[(&str, &str)]) -> Rules {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Rules::new(Ok(settings.iter().map(pair).collect()), Duration::ZERO)
    }

    #[test]
    fn a_topic_deletes_by_own_timestamps_only_where_its_settings_say_so() {
        const DAY: i64 = 86_400_000;
        let topic = TopicName::new("t").unwrap();
        let week = (RETENTION_MS, "604800000");
        let said = |settings: &[(&str, &str)], age: i64| {
            rules(settings).deletes(&topic, Timestamp(0), Timestamp(age))
        };
        let words = said(&[week], 30 * DAY).unwrap();
        assert!(words.contains("are 30 days old"), "{words}");
        assert!(
            words.contains("than 7 days (retention.ms=604800000)"),
            "{words}"
        );
        assert!(said(&[week, (CLEANUP, "compact,delete")], 30 * DAY).is_some());
        assert_eq!(said(&[week], 7 * DAY), None);
        assert_eq!(said(&[(RETENTION_MS, "-1")], 30 * DAY), None);
        assert_eq!(said(&[week, (CLEANUP, "compact")], 30 * DAY), None);
        assert_eq!(
            said(&[week, (TIMESTAMP_TYPE, "LogAppendTime")], 30 * DAY),
            None
        );
        assert_eq!(said(&[], 30 * DAY), None);
    }

    #[test]
    fn a_broker_that_does_not_tell_leaves_the_default_and_says_so() {
        let limit = rules(&[(MESSAGE_BYTES_MAX, "5000000")]).limit();
        assert_eq!((limit.setting, limit.bytes), (MESSAGE_BYTES_MAX, 5_000_000));
        let limit = Rules::new(Err(ClientError::Closed), Duration::ZERO).limit();
        assert_eq!((limit.setting, limit.bytes), ("max.request.size", 1 << 20));
        let because = "the topic's max.message.bytes cannot be looked up (the client is closed)";
        assert_eq!(limit.because.as_deref(), Some(because));
    }
}
