//! What the cluster looks like, and what of it the client remembers.
//!
//! A Metadata answer is read twice: whole, for the caller ([`ClusterMetadata`]), and into a
//! [`Cache`] of who leads which partition, for the request that goes out next. The cache is a
//! guess; a broker that is asked in vain says so, and the topic is looked up again.

use std::collections::HashMap;
use std::sync::Arc;

use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::messages::kafka::metadata_response::{
    MetadataResponse, MetadataResponsePartition, MetadataResponseTopic,
};
use brooklet_protocol::{BrokerId, PartitionId, TopicName};
use uuid::Uuid;

use crate::transport::{Node, join_address};

/// What the cluster looks like.
#[derive(Clone, Debug, Default)]
pub struct ClusterMetadata {
    /// The cluster's id.
    pub cluster_id: Option<String>,
    /// Id of the controller.
    pub controller_id: i32,
    /// Brokers as (id, `host:port`).
    pub brokers: Vec<(i32, String)>,
    /// Topics, in order of their names.
    pub topics: Vec<TopicMetadata>,
}

/// What a topic looks like.
#[derive(Clone, Debug)]
pub struct TopicMetadata {
    /// Its name.
    pub name: String,
    /// Its error, for a topic that was asked for by name.
    pub error: Option<ErrorCode>,
    /// Its id.
    pub id: Uuid,
    /// Hidden from ordinary listings.
    pub is_internal: bool,
    /// Partitions in order of their numbers.
    pub partitions: Vec<PartitionMetadata>,
}

/// What a partition looks like.
#[derive(Clone, Debug)]
pub struct PartitionMetadata {
    /// Its number.
    pub partition: PartitionId,
    /// Its leader, -1 for none.
    pub leader: i32,
    /// Its replicas.
    pub replicas: Vec<i32>,
    /// Its in-sync replicas.
    pub isr: Vec<i32>,
}

impl ClusterMetadata {
    /// Reads an answer.
    pub(super) fn new(answer: &MetadataResponse) -> Self {
        let broker = |broker: &_| broker_address(broker);
        let mut topics: Vec<_> = answer.topics.iter().map(topic).collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            cluster_id: answer.cluster_id.as_ref().map(ToString::to_string),
            controller_id: answer.controller_id.0,
            brokers: answer.brokers.iter().map(broker).collect(),
            topics,
        }
    }
}

type MetadataResponseBroker =
    brooklet_protocol::messages::kafka::metadata_response::MetadataResponseBroker;

fn broker_address(broker: &MetadataResponseBroker) -> (i32, String) {
    (broker.node_id.0, join_address(&broker.host, broker.port))
}

fn topic(topic: &MetadataResponseTopic) -> TopicMetadata {
    let mut partitions: Vec<_> = topic.partitions.iter().map(partition).collect();
    partitions.sort_by_key(|partition| partition.partition);
    TopicMetadata {
        name: topic
            .name
            .as_ref()
            .map(|name| name.0.to_string())
            .unwrap_or_default(),
        error: ErrorCode::try_from_code(topic.error_code),
        id: topic.topic_id,
        is_internal: topic.is_internal,
        partitions,
    }
}

fn partition(partition: &MetadataResponsePartition) -> PartitionMetadata {
    let ids = |nodes: &[brooklet_protocol::messages::kafka::BrokerId]| {
        nodes.iter().map(|node| node.0).collect()
    };
    PartitionMetadata {
        partition: PartitionId(partition.partition_index),
        leader: partition.leader_id.0,
        replicas: ids(&partition.replica_nodes),
        isr: ids(&partition.isr_nodes),
    }
}

/// What the client remembers of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CachedTopic {
    /// Nil before Kafka 2.8.
    pub(crate) id: Uuid,
    /// The leader of each partition, by its number.
    pub(crate) leaders: Vec<Option<BrokerId>>,
}

impl CachedTopic {
    /// How many partitions there are.
    pub(crate) fn partition_count(&self) -> i32 {
        i32::try_from(self.leaders.len()).unwrap_or(i32::MAX)
    }

    /// Where requests for a partition go.
    pub(crate) fn leader(&self, partition: PartitionId) -> Option<Node> {
        let index = usize::try_from(partition.0).ok()?;
        self.leaders.get(index).copied().flatten().map(Node::Id)
    }
}

/// Topics as last heard of.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    topics: HashMap<TopicName, Arc<CachedTopic>>,
    controller: Option<BrokerId>,
}

impl Cache {
    /// A topic as last heard of.
    pub(crate) fn topic(&self, name: &TopicName) -> Option<Arc<CachedTopic>> {
        self.topics.get(name).cloned()
    }

    /// Where requests for the controller go.
    pub(crate) fn controller(&self) -> Node {
        self.controller.map_or(Node::Any, Node::Id)
    }

    /// Forgets a topic: it was deleted, or its leaders have moved.
    pub(crate) fn forget(&mut self, name: &TopicName) {
        self.topics.remove(name);
    }

    /// Notes what an answer says. A topic with an error is forgotten.
    pub(crate) fn note(&mut self, cluster: &ClusterMetadata) {
        let known = |id: i32| cluster.brokers.iter().any(|(broker, _)| *broker == id);
        self.controller = Some(cluster.controller_id)
            .filter(|id| known(*id))
            .map(BrokerId);
        for topic in &cluster.topics {
            let Ok(name) = TopicName::new(&topic.name) else {
                continue;
            };
            if topic.error.is_some() {
                self.topics.remove(&name);
            } else {
                self.topics.insert(name, Arc::new(cached(topic)));
            }
        }
    }
}

/// Partitions are numbered without gaps; one that is not listed has no leader.
fn cached(topic: &TopicMetadata) -> CachedTopic {
    let mut leaders = Vec::with_capacity(topic.partitions.len());
    for partition in &topic.partitions {
        let index = usize::try_from(partition.partition.0).unwrap_or(usize::MAX);
        if index < topic.partitions.len() {
            leaders.resize(leaders.len().max(index + 1), None);
            leaders[index] = Some(partition.leader).filter(|id| *id >= 0).map(BrokerId);
        }
    }
    CachedTopic {
        id: topic.id,
        leaders,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(partitions: &[(i32, i32)], error: Option<ErrorCode>) -> ClusterMetadata {
        let partition = |&(number, leader): &(i32, i32)| PartitionMetadata {
            partition: PartitionId(number),
            leader,
            replicas: vec![],
            isr: vec![],
        };
        ClusterMetadata {
            controller_id: 1,
            brokers: vec![(1, "b:1".into())],
            topics: vec![TopicMetadata {
                name: "t".into(),
                error,
                id: Uuid::nil(),
                is_internal: false,
                partitions: partitions.iter().map(partition).collect(),
            }],
            ..ClusterMetadata::default()
        }
    }

    #[test]
    fn a_leader_is_remembered_until_the_topic_has_an_error() {
        let name = TopicName::new("t").unwrap();
        let mut cache = Cache::default();
        cache.note(&heard(&[(0, 1), (1, -1)], None));
        let topic = cache.topic(&name).unwrap();
        assert_eq!(topic.partition_count(), 2);
        assert_eq!(topic.leader(PartitionId(0)), Some(Node::Id(BrokerId(1))));
        for without in [1, 2, -1] {
            assert_eq!(topic.leader(PartitionId(without)), None);
        }
        assert_eq!(cache.controller(), Node::Id(BrokerId(1)));
        cache.note(&heard(&[], Some(ErrorCode::UnknownTopicOrPartition)));
        assert_eq!(cache.topic(&name), None);
    }

    #[test]
    fn a_partition_number_from_the_wire_allocates_nothing() {
        let mut cache = Cache::default();
        cache.note(&heard(&[(i32::MAX, 1), (-1, 1), (0, 1)], None));
        let topic = cache.topic(&TopicName::new("t").unwrap()).unwrap();
        assert_eq!(topic.leaders, [Some(BrokerId(1))]);
    }
}
