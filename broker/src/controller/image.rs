//! The cluster as the broker sees it, in values that never change.
//!
//! A request takes the image once and works on it to its end; a change makes a new image. So no
//! handler sees half of a change, and none takes a lock while it works.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use brooklet_protocol::{BrokerId, PartitionId, TopicName};
use uuid::Uuid;

use crate::partition::{OfflinePartition, Partition, PartitionState};

/// Everything that request handlers know of the cluster, at one moment. Immutable.
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
    /// The same topics by their ids.
    topics_by_id: HashMap<Uuid, Arc<Topic>>,
}

/// One topic.
#[derive(Clone, Debug)]
pub struct Topic {
    /// Its name.
    pub name: TopicName,
    /// Its id (KIP-516); a topic that is deleted and created again gets a new one.
    pub id: Uuid,
    /// Settings that differ from the broker's, as given, under Kafka's names.
    pub configs: BTreeMap<String, String>,
    /// The partitions, by their number, including those that are offline.
    pub partitions: Vec<PartitionState>,
    /// Hidden from ordinary listings.
    pub is_internal: bool,
}

impl MetadataImage {
    /// A cluster without topics.
    pub(super) fn new(cluster_id: String, broker_id: BrokerId, controller_epoch: i32) -> Self {
        Self {
            cluster_id,
            broker_id,
            controller_epoch,
            topics: BTreeMap::new(),
            topics_by_id: HashMap::new(),
        }
    }

    /// The same cluster with these topics.
    pub(super) fn with_topics(&self, topics: BTreeMap<TopicName, Arc<Topic>>) -> Self {
        let by_id = topics.values().map(|topic| (topic.id, Arc::clone(topic)));
        Self {
            cluster_id: self.cluster_id.clone(),
            topics_by_id: by_id.collect(),
            topics,
            ..*self
        }
    }

    /// How many partitions all topics have, except the broker's own.
    pub fn partition_count(&self) -> usize {
        let topics = self.topics.values().filter(|topic| !topic.is_internal);
        topics.map(|topic| topic.partitions.len()).sum()
    }

    /// A topic by name.
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(name)
    }

    /// A topic by id.
    pub fn topic_by_id(&self, id: Uuid) -> Option<&Arc<Topic>> {
        self.topics_by_id.get(&id)
    }

    /// A partition by topic name and number.
    pub fn partition(&self, topic: &str, partition: PartitionId) -> Option<&PartitionState> {
        self.topic(topic)?
            .partitions
            .get(usize::try_from(partition.0).ok()?)
    }

    /// The partitions of all topics whose logs are open.
    pub fn partitions(&self) -> impl Iterator<Item = &Arc<Partition>> {
        self.states().filter_map(PartitionState::open)
    }

    /// Lets all logs close files that are synced and not being written; returns how many logs did.
    pub fn rest_logs(&self) -> usize {
        self.partitions().filter(|log| log.rest()).count()
    }

    /// The partitions of all topics whose logs could not be opened.
    pub fn offline_partitions(&self) -> impl Iterator<Item = &Arc<OfflinePartition>> {
        self.states().filter_map(|state| match state {
            PartitionState::Open(_) => None,
            PartitionState::Offline(partition) => Some(partition),
        })
    }

    fn states(&self) -> impl Iterator<Item = &PartitionState> {
        self.topics.values().flat_map(|topic| &topic.partitions)
    }
}
