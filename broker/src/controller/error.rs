//! Why the controller refuses.

use std::path::PathBuf;

use brooklet_machines::coordination::ErrorCode;
use brooklet_protocol::TopicName;
use thiserror::Error;

use crate::driver::DriverError;

/// Why the controller refuses.
#[derive(Debug, Error)]
pub enum ControllerError {
    /// The topic is there.
    #[error("topic '{0}' already exists")]
    TopicExists(TopicName),
    /// The topic is not there.
    #[error("topic '{0}' does not exist")]
    UnknownTopic(TopicName),
    /// `a.b` and `a_b` would be one name in metrics.
    #[error("topic '{new}' collides with existing topic '{existing}'")]
    NameCollision {
        /// Asked for.
        new: TopicName,
        /// There.
        existing: TopicName,
    },
    /// Not a number of partitions.
    #[error("number of partitions {0} is not between 1 and 10000")]
    PartitionCount(i32),
    /// `max.broker.partitions`.
    #[error(
        "there are {there} partitions, {more} more would be more than max.broker.partitions={max}"
    )]
    TooManyPartitions {
        /// Of all topics but the broker's own.
        there: usize,
        /// How many were asked for.
        more: usize,
        /// How many there may be.
        max: usize,
    },
    /// A topic only grows.
    #[error("topic '{topic}' has {count} partitions, {asked} are not more")]
    NotMore {
        /// Which.
        topic: TopicName,
        /// How many it has.
        count: i32,
        /// How many were asked for.
        asked: i32,
    },
    /// A setting Kafka does not know, or a value it would not take.
    #[error("{0}")]
    InvalidConfig(String),
    /// The disk, below a partition.
    #[error(transparent)]
    Log(#[from] brooklet_log::LogError),
    /// The disk.
    #[error("{path}: cannot {action}: {source}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A partition's directory does not say that it is the topic's.
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
        /// What the file says instead.
        found: String,
    },
    /// A partition that has been written down is not there.
    #[error(
        "{dir}: missing, though the recovery points know the partition. Restore the directory from a backup, \
         or delete the topic", dir = .0.display()
    )]
    PartitionLost(PathBuf),
    /// There are partitions, and the log that says of which topics is empty.
    #[error(
        "{path}: the coordination log is empty, though there are partitions such as '{partition}': \
         without it nobody knows their topics. Restore its directory from a backup"
    )]
    TreeLost {
        /// The directory of the coordination log.
        path: PathBuf,
        /// One of the partitions.
        partition: String,
    },
    /// The file of recovery points.
    #[error(transparent)]
    Checkpoint(#[from] brooklet_log::checkpoint::CheckpointError),
    /// The coordination log, or the broker is shutting down.
    #[error("coordination: {0}")]
    Coordination(#[from] DriverError),
    /// The tree refuses what should have been possible: somebody else has changed it.
    #[error("coordination: {path}: {code}")]
    Tree {
        /// Which znode.
        path: String,
        /// What the tree says.
        code: ErrorCode,
    },
    /// A znode holds what Kafka would not write there.
    #[error("znode {path}: {reason}")]
    BadNode {
        /// Which znode.
        path: String,
        /// What was expected.
        reason: String,
    },
    /// The data directory belongs to another cluster.
    #[error("the data are of cluster {found}, expected {expected}")]
    ClusterId {
        /// Started with.
        expected: String,
        /// In `/cluster/id`.
        found: String,
    },
}
