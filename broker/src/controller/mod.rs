//! Skeleton: what the broker knows of topics.

use std::collections::BTreeMap;
use std::sync::Arc;

use brooklet_protocol::{BrokerId, PartitionId, TopicName};
use thiserror::Error;
use uuid::Uuid;

use crate::partition::Partition;

/// Everything the request handlers know of the cluster, at one moment. Immutable.
#[derive(Clone, Debug)]
pub struct MetadataImage {
    /// Kafka's cluster id (22 characters of base64).
    pub cluster_id: String,
    /// This broker.
    pub broker_id: BrokerId,
    /// `/controller_epoch`.
    pub controller_epoch: i32,
    /// All topics.
    pub topics: BTreeMap<TopicName, Arc<Topic>>,
}

/// One topic.
#[derive(Debug)]
pub struct Topic {
    /// Its name.
    pub name: TopicName,
    /// Its id (KIP-516); a topic that is deleted and created again gets a new one.
    pub id: Uuid,
    /// Settings that differ from the broker's, as given, under Kafka's names.
    pub configs: BTreeMap<String, String>,
    /// The partitions, by their number.
    pub partitions: Vec<Arc<Partition>>,
    /// Hidden from ordinary listings.
    pub is_internal: bool,
}

impl MetadataImage {
    /// A topic by name.
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics
            .iter()
            .find(|(n, _)| n.as_str() == name)
            .map(|(_, t)| t)
    }
    /// A topic by id.
    pub fn topic_by_id(&self, id: Uuid) -> Option<&Arc<Topic>> {
        self.topics.values().find(|t| t.id == id)
    }
    /// A partition by topic name and number.
    pub fn partition(&self, topic: &str, partition: PartitionId) -> Option<&Arc<Partition>> {
        self.topic(topic)?
            .partitions
            .get(usize::try_from(partition.0).ok()?)
    }
}

/// A topic to be created.
#[derive(Clone, Debug)]
pub struct NewTopic {
    /// Its name.
    pub name: TopicName,
    /// How many partitions; `None` for `num.partitions`.
    pub partition_count: Option<i32>,
    /// Settings under Kafka's names.
    pub configs: BTreeMap<String, String>,
}

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
    /// A setting Kafka does not know, or a value it would not take.
    #[error("{0}")]
    InvalidConfig(String),
    /// The disk.
    #[error(transparent)]
    Log(#[from] crate::log::LogError),
}

/// Makes the image from the coordination tree, and changes topics by changing the tree.
#[derive(Debug)]
pub struct Controller {}

impl Controller {
    /// The image of this moment.
    pub fn image(&self) -> Arc<MetadataImage> {
        todo!()
    }
    /// Checks a topic as [`Controller::create_topic`] does, and creates nothing.
    ///
    /// # Errors
    /// See [`ControllerError`].
    pub fn validate_topic(&self, topic: &NewTopic) -> Result<(), ControllerError> {
        let _ = topic;
        todo!()
    }
    /// Creates a topic: a `multi` on the tree; returns once the image has it and its partitions are open.
    ///
    /// # Errors
    /// See [`ControllerError`].
    pub async fn create_topic(&self, topic: NewTopic) -> Result<Arc<Topic>, ControllerError> {
        let _ = topic;
        todo!()
    }
    /// Deletes a topic; returns once the image is without it. Its files go in the background.
    ///
    /// # Errors
    /// See [`ControllerError`].
    pub async fn delete_topic(&self, name: &TopicName) -> Result<(), ControllerError> {
        let _ = name;
        todo!()
    }
    /// A producer id never given before: blocks of 1000 from `/latest_producer_id_block`.
    ///
    /// # Errors
    /// The disk.
    pub async fn next_producer_id(&self) -> Result<i64, ControllerError> {
        todo!()
    }
}
