//! Finding the topic and the partition that a request names, and checking the leader epoch.

use std::collections::BTreeMap;
use std::sync::Arc;

use brooklet_protocol::messages::{ErrorCode, kafka};
use uuid::Uuid;

use super::error::ApiError;
use crate::controller::{MetadataImage, Topic};
use crate::partition::{Partition, PartitionState};

/// The id of a leader that does not exist.
pub(super) const NO_LEADER: kafka::BrokerId = kafka::BrokerId(-1);

/// How a request names a topic: by name in older versions, by id in newer ones (KIP-516).
#[derive(Clone, Copy, Debug)]
pub(super) enum TopicRef<'a> {
    Name(&'a kafka::TopicName),
    Id(Uuid),
}

/// What a request asks of topics, each once and in its order, with an error for a topic that it
/// names twice.
pub(super) fn each_once<T>(
    asked: Vec<T>,
    name: impl Fn(&T) -> &kafka::TopicName,
) -> Vec<(T, Result<(), ApiError>)> {
    let mut counts: BTreeMap<kafka::TopicName, usize> = BTreeMap::new();
    for topic in &asked {
        *counts.entry(name(topic).clone()).or_default() += 1;
    }
    let first = asked.into_iter().filter_map(|topic| {
        let count = counts.remove(name(&topic))?;
        let is_once = if count == 1 {
            Ok(())
        } else {
            let message = format!("topic '{}' is in the request twice", name(&topic).as_str());
            Err(ApiError::new(ErrorCode::InvalidRequest, message))
        };
        Some((topic, is_once))
    });
    first.collect()
}

/// The topic, if it exists.
pub(super) fn find_topic<'a>(
    image: &'a MetadataImage,
    topic: TopicRef<'_>,
) -> Result<&'a Arc<Topic>, ApiError> {
    match topic {
        TopicRef::Name(name) => image.topic(name.as_str()).ok_or_else(|| {
            let message = format!("topic '{}' does not exist", name.as_str());
            ApiError::new(ErrorCode::UnknownTopicOrPartition, message)
        }),
        TopicRef::Id(id) => image.topic_by_id(id).ok_or_else(|| {
            let message = format!("topic id {id} does not exist");
            ApiError::new(ErrorCode::UnknownTopicId, message)
        }),
    }
}

/// The partition, if it exists and is served.
pub(super) fn find_partition(topic: &Topic, index: i32) -> Result<&Arc<Partition>, ApiError> {
    find_state(topic, index).and_then(served)
}

/// The partition, if it is served. If it is offline, the error is `KAFKA_STORAGE_ERROR`, which
/// clients retry: it may be back after a restart.
pub(super) fn served(state: &PartitionState) -> Result<&Arc<Partition>, ApiError> {
    match state {
        PartitionState::Open(partition) => {
            partition.check_serving()?;
            Ok(partition)
        }
        PartitionState::Offline(offline) => {
            let message = format!("{} is offline: {}", offline.id, offline.reason);
            Err(ApiError::new(ErrorCode::KafkaStorageError, message))
        }
    }
}

/// The partition, if it exists, served or not.
pub(super) fn find_state(topic: &Topic, index: i32) -> Result<&PartitionState, ApiError> {
    let found = usize::try_from(index)
        .ok()
        .and_then(|index| topic.partitions.get(index));
    found.ok_or_else(|| {
        let count = topic.partitions.len();
        let message = format!(
            "topic '{}' has {count} partitions, partition {index} does not exist",
            topic.name
        );
        ApiError::new(ErrorCode::UnknownTopicOrPartition, message)
    })
}

/// Checks the leader epoch that the client knows (KIP-320); -1 is not checked.
pub(super) fn check_leader_epoch(partition: &Partition, epoch: i32) -> Result<(), ApiError> {
    let current = partition.leader_epoch().0;
    let code = match epoch {
        -1 => return Ok(()),
        _ if epoch < current => ErrorCode::FencedLeaderEpoch,
        _ if epoch > current => ErrorCode::UnknownLeaderEpoch,
        _ => return Ok(()),
    };
    let message = format!("leader epoch is {epoch}, expected {current}");
    Err(ApiError::new(code, message))
}
