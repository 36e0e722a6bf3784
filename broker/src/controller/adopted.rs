//! What is taken over from another program's metadata, put into the coordination tree.

use std::collections::BTreeMap;

use brooklet_machines::coordination::ANY_VERSION;
use brooklet_protocol::{BrokerId, TopicName};
use uuid::Uuid;

use super::ControllerError;
use super::znodes::{self, PRODUCER_IDS, TopicSpec};
use crate::tree::CoordinationTree;

/// What another program has left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    /// Topics that are on the disk and may not be in the tree yet.
    pub topics: Vec<AdoptedTopic>,
    /// Producer ids below it may have been given: the logs know their sequence numbers.
    pub producer_ids_end: i64,
}

/// A topic whose partitions another program has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdoptedTopic {
    /// Its name.
    pub name: TopicName,
    /// Its id, which its partitions' directories have, too.
    pub id: Uuid,
    /// How many partitions.
    pub partition_count: i32,
    /// Settings under Kafka's names.
    pub configs: BTreeMap<String, String>,
}

/// Puts into the tree what is not there.
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
