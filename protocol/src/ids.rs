//! The numbers and names that all crates share.
//!
//! Kafka's protocol passes them as bare integers and strings; a newtype for each keeps an offset
//! from being added to a timestamp. Units are part of the type: a [`Timestamp`] is always
//! milliseconds since the Unix epoch.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

/// The position of a record in its partition: dense, starting at 0, never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub i64);

impl Offset {
    /// The first offset of a partition.
    pub const ZERO: Self = Self(0);

    /// The offset `count` records further on.
    pub const fn plus(self, count: i64) -> Self {
        Self(self.0 + count)
    }
}

/// Milliseconds since the Unix epoch.
///
/// [`Timestamp::NONE`] (-1) is Kafka's "no timestamp".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Kafka's "no timestamp".
    pub const NONE: Self = Self(-1);
    /// Later than every other time: the end of a bounded input.
    pub const MAX: Self = Self(i64::MAX);
    /// Earlier than every other time: before the first record.
    pub const MIN: Self = Self(i64::MIN);

    /// The moment `duration` later; saturates, so that adding to [`Timestamp::MAX`] stays there.
    pub fn saturating_add(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(millis))
    }
}

/// Time since a start that each clock chooses; it never goes back.
///
/// It measures waits, sessions and deadlines. It is not comparable with a [`Timestamp`], nor with a
/// reading of another clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monotonic(pub Duration);

/// Which records a reader sees (`isolation.level`, KIP-98).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// All records below the high watermark.
    #[default]
    ReadUncommitted,
    /// Those below the last stable offset, without those of aborted transactions: a broker says
    /// which were aborted, and a consumer leaves them out.
    ReadCommitted,
}

impl Isolation {
    /// As requests write it.
    pub fn level(self) -> i8 {
        match self {
            Self::ReadUncommitted => 0,
            Self::ReadCommitted => 1,
        }
    }

    /// From a request: 1 is read_committed; every other number is taken as 0, as in Kafka.
    pub fn of_level(level: i8) -> Self {
        if level == 1 {
            Self::ReadCommitted
        } else {
            Self::ReadUncommitted
        }
    }
}

/// The number of a partition within its topic, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub i32);

/// The number of a broker (`node.id`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BrokerId(pub i32);

/// How often a partition has changed its leader; stamped on every batch (KIP-101).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaderEpoch(pub i32);

/// The identity of an idempotent or transactional producer (KIP-98); -1 for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerId(pub i64);

impl ProducerId {
    /// No producer id.
    pub const NONE: Self = Self(-1);
}

/// The epoch of a producer id: a producer with a higher epoch fences one with a lower (KIP-98).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerEpoch(pub i16);

impl ProducerEpoch {
    /// No producer id.
    pub const NONE: Self = Self(-1);
}

/// An idempotent or transactional producer: its id in one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Producer {
    /// Its id.
    pub id: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
}

/// A topic's name: 1 to 249 characters of `[a-zA-Z0-9._-]`, and neither `.` nor `..`, because it
/// also names a directory. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Arc<str>);

/// Why a string is not a topic name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidTopicName {
    /// The empty string.
    #[error("the topic name is empty")]
    Empty,
    /// `.` and `..` are directories.
    #[error("the topic name cannot be \".\" or \"..\"")]
    Dots,
    /// The name, with `-PARTITION`, has to fit into a file name.
    #[error("the topic name has {0} characters, at most 249 are allowed")]
    TooLong(usize),
    /// A character outside `[a-zA-Z0-9._-]`.
    #[error(
        "the topic name {0:?} contains a character other than ASCII letters, digits, '.', '_' and '-'"
    )]
    IllegalCharacter(String),
}

impl TopicName {
    /// The longest name, in characters.
    pub const LENGTH_MAX: usize = 249;

    /// Checks `name` by Kafka's rules (`org.apache.kafka.common.internals.Topic`).
    ///
    /// # Errors
    /// The rule that `name` breaks.
    pub fn new(name: &str) -> Result<Self, InvalidTopicName> {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        match name {
            "" => Err(InvalidTopicName::Empty),
            "." | ".." => Err(InvalidTopicName::Dots),
            _ if name.len() > Self::LENGTH_MAX => Err(InvalidTopicName::TooLong(name.len())),
            _ if !name.chars().all(legal) => Err(InvalidTopicName::IllegalCharacter(name.into())),
            _ => Ok(Self(name.into())),
        }
    }

    /// The name as a string.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A map keyed by topic names is searched by any string.
impl Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One partition of one topic; displayed as Kafka names its directory, `TOPIC-PARTITION`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicName,
    /// The partition within it.
    pub partition: PartitionId,
}

impl TopicPartition {
    /// The partition of this topic with this number.
    pub fn new(topic: TopicName, partition: PartitionId) -> Self {
        Self { topic, partition }
    }

    /// Reads a directory's name; the last `-` separates, because topics may contain it too.
    pub fn from_dir_name(name: &str) -> Option<Self> {
        let (topic, partition) = name.rsplit_once('-')?;
        let partition: u32 = partition.parse().ok()?;
        let partition = PartitionId(i32::try_from(partition).ok()?);
        Some(Self::new(TopicName::new(topic).ok()?, partition))
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition.0)
    }
}

/// Displays as the bare number.
macro_rules! display_as_number {
    ($($id:ident),*) => {$(
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
display_as_number!(
    Offset,
    Timestamp,
    PartitionId,
    BrokerId,
    LeaderEpoch,
    ProducerId,
    ProducerEpoch
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_name_follows_kafkas_rules() {
        assert!(TopicName::new("clicks.by_user-2").is_ok());
        assert!(TopicName::new(&"x".repeat(249)).is_ok());
        assert_eq!(TopicName::new(""), Err(InvalidTopicName::Empty));
        assert_eq!(TopicName::new(".."), Err(InvalidTopicName::Dots));
        assert_eq!(
            TopicName::new(&"x".repeat(250)),
            Err(InvalidTopicName::TooLong(250))
        );
        for bad in ["a/b", "ü", "a b", "a\0"] {
            assert_eq!(
                TopicName::new(bad),
                Err(InvalidTopicName::IllegalCharacter(bad.into()))
            );
        }
    }

    #[test]
    fn a_directory_name_round_trips() {
        let partition = TopicPartition::new(TopicName::new("a-b-1").unwrap(), PartitionId(7));
        assert_eq!(partition.to_string(), "a-b-1-7");
        assert_eq!(TopicPartition::from_dir_name("a-b-1-7"), Some(partition));
        for bad in ["a", "a-", "a--x", "-1", "a-x", "a-99999999999"] {
            assert_eq!(TopicPartition::from_dir_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn time_saturates_at_its_end() {
        assert_eq!(
            Timestamp(5).saturating_add(Duration::from_secs(1)),
            Timestamp(1005)
        );
        assert_eq!(
            Timestamp::MAX.saturating_add(Duration::from_secs(1)),
            Timestamp::MAX
        );
    }
}
