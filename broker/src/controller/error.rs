//! The errors of the controller: answers to clients, failures of the disk, and damage.

use std::path::PathBuf;

use brooklet_machines::coordination::ErrorCode;
use brooklet_protocol::TopicName;
use thiserror::Error;

use crate::driver::DriverError;
use crate::tree::TreeError;

/// Why the controller refuses.
#[derive(Debug, Error)]
pub enum ControllerError {
    /// The topic exists already.
    #[error("topic '{0}' already exists")]
    TopicExists(TopicName),
    /// The topic does not exist.
    #[error("topic '{0}' does not exist")]
    UnknownTopic(TopicName),
    /// Names that differ only in `.` and `_` would be one name in metrics.
    #[error("topic '{new}' collides with existing topic '{existing}'")]
    NameCollision {
        /// The name that was asked for.
        new: TopicName,
        /// The name of the existing topic.
        existing: TopicName,
    },
    /// An illegal number of partitions.
    #[error("number of partitions is {0}, expected 1 to 10000")]
    PartitionCount(i32),
    /// `max.broker.partitions`.
    #[error("{there} partitions exist, {more} more would exceed max.broker.partitions={max}")]
    TooManyPartitions {
        /// How many partitions exist, without those of the broker's own topics.
        there: usize,
        /// How many were asked for.
        more: usize,
        /// The limit.
        max: usize,
    },
    /// The number of a topic's partitions only grows.
    #[error("topic '{topic}' already has {count} partitions; expected more, found {asked}")]
    NotMore {
        /// The topic.
        topic: TopicName,
        /// How many it has.
        count: i32,
        /// How many were asked for.
        asked: i32,
    },
    /// A setting that Kafka does not know, or a value that it would not accept.
    #[error("{0}")]
    InvalidConfig(String),
    /// The log of a partition fails.
    #[error(transparent)]
    Log(#[from] brooklet_log::LogError),
    /// The disk fails.
    #[error("{path}: cannot {action}: {source}")]
    Io {
        /// The verb that failed.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A partition's directory does not name its topic.
    #[error(
        "{path}: expected topic_id {expected}, found {found}. Stop the broker; `brooklet log repair {dir} \
         --dry-run` says what can be done",
        path = .path.display(), dir = .dir.display()
    )]
    Identity {
        /// `partition.metadata`.
        path: PathBuf,
        /// The partition's directory.
        dir: PathBuf,
        /// The topic's id.
        expected: String,
        /// The id in the file, or what it holds instead.
        found: String,
    },
    /// The directory of a partition is missing, although its recovery point was recorded.
    #[error(
        "{dir}: missing, although the partition has a recovery point. Restore the directory from a backup, \
         or delete the topic", dir = .0.display()
    )]
    PartitionLost(PathBuf),
    /// There are partitions, but the log that says which topics they belong to is empty.
    #[error(
        "{path}: the coordination log is empty, although there are partitions such as '{partition}': \
         without it their topics are unknown. Restore its directory from a backup"
    )]
    TreeLost {
        /// The directory of the coordination log.
        path: PathBuf,
        /// One of the partitions.
        partition: String,
    },
    /// The file of recovery points is damaged or cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] brooklet_log::checkpoint::CheckpointError),
    /// The coordination log fails, or the broker is shutting down.
    #[error("coordination: {0}")]
    Coordination(#[from] DriverError),
    /// The tree refuses what should have been possible: another client has changed it.
    #[error("coordination: {path}: {code}")]
    Tree {
        /// The path of the znode.
        path: String,
        /// Why the tree refuses.
        code: ErrorCode,
    },
    /// A znode holds a value that Kafka would not write there.
    #[error("znode {path}: {reason}")]
    BadNode {
        /// The path of the znode.
        path: String,
        /// What was expected.
        reason: String,
    },
    /// The data directory belongs to another cluster.
    #[error("data directory belongs to cluster {found}, expected {expected}")]
    ClusterId {
        /// The id in `meta.properties`.
        expected: String,
        /// The id in `/cluster/id`.
        found: String,
    },
}

impl From<TreeError> for ControllerError {
    fn from(error: TreeError) -> Self {
        match error {
            TreeError::Refused { path, code } => Self::Tree { path, code },
            TreeError::Driver(error) => Self::Coordination(error),
        }
    }
}
