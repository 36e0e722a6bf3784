//! Adoption: topics from another program's metadata are added to the coordination tree.

use std::collections::BTreeMap;

use brooklet_machines::coordination::ANY_VERSION;
use brooklet_protocol::{BrokerId, TopicName};
use uuid::Uuid;

use super::ControllerError;
use super::znodes::{self, PRODUCER_IDS, TopicSpec};
use crate::tree::CoordinationTree;

/// What another program has left in the data directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    /// Topics that are on the disk, and that the tree may not have yet.
    pub topics: Vec<AdoptedTopic>,
    /// Producer ids below it may be in use: the logs have their sequence numbers.
    pub producer_ids_end: i64,
}

/// A topic whose partitions another program has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdoptedTopic {
    /// Its name.
    pub name: TopicName,
    /// Its id, which is also in the directories of its partitions.
    pub id: Uuid,
    /// How many partitions.
    pub partition_count: i32,
    /// Settings under Kafka's names.
    pub configs: BTreeMap<String, String>,
}

/// Adds to the tree what it does not have yet.
pub(super) async fn register(
    tree: &CoordinationTree,
    broker: BrokerId,
    controller_epoch: i32,
    adopted: Adopted,
) -> Result<(), ControllerError> {
    for topic in adopted.topics {
        if tree.exists(&znodes::topic(topic.name.as_str())).await? {
            continue;
        }
        let spec = TopicSpec {
            name: topic.name,
            id: topic.id,
            partition_count: topic.partition_count,
            configs: topic.configs,
        };
        tree.multi(spec.creation(broker, controller_epoch)).await?;
    }
    let (data, _) = tree.get(PRODUCER_IDS, None).await?;
    let next = znodes::next_producer_ids(data.as_deref(), 0);
    let next = next.map_err(|reason| ControllerError::BadNode {
        path: PRODUCER_IDS.into(),
        reason,
    })?;
    if next.start < adopted.producer_ids_end {
        let given = znodes::producer_ids_value(broker, &(0..adopted.producer_ids_end));
        tree.set(PRODUCER_IDS, Some(given), ANY_VERSION).await?;
    }
    Ok(())
}
