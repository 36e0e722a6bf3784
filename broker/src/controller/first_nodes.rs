//! What a broker writes into the tree when it starts.
//!
//! The first start creates Kafka's classic znodes. Every start counts up `/controller_epoch` and
//! writes `/brokers/ids/N` and `/controller` again: in Kafka they are ephemeral and vanish with
//! their session; here nothing else has a session yet, so the start removes what an earlier run
//! has left. All of it is one multi: a crash leaves the tree as it was before, or as it is after.
//!
//! A tree that nothing was ever written to belongs to a first start, and then there are no
//! partitions. If there are, the tree is lost, and the start is refused: a topic that is created
//! again under its old name would use its offsets again.

use std::sync::Arc;

use brooklet_machines::coordination::{ANY_VERSION, Operation, SetData};
use brooklet_protocol::{BrokerId, TopicPartition};

use super::znodes::{self, CLUSTER_ID, CONTROLLER, CONTROLLER_EPOCH, FEATURE, PERSISTENT};
use super::{CLUSTER_METADATA, COORDINATION_TOPIC, ControllerError, ControllerSetup, joined};
use crate::tree::CoordinationTree;

/// The parent of the brokers' znodes.
const BROKERS: &str = "/brokers/ids";

/// Writes the znodes of a start; returns the new controller epoch.
pub(super) async fn write(setup: &ControllerSetup) -> Result<i32, ControllerError> {
    let (tree, now) = (&setup.coordination, setup.clock.wall());
    if setup.adopted.topics.is_empty() && !tree.exists(CLUSTER_ID).await? {
        check_no_partitions(setup).await?;
    }
    let mut operations = Vec::new();
    for path in PERSISTENT {
        if !tree.exists(path).await? {
            operations.push(znodes::create(path, None));
        }
    }
    check_cluster_id(setup, &mut operations).await?;
    if !tree.exists(FEATURE).await? {
        operations.push(znodes::create(FEATURE, Some(znodes::feature_value())));
    }
    let epoch = count_up_epoch(setup, &mut operations).await?;

    for path in left_behind(setup).await? {
        let version = ANY_VERSION;
        operations.push(Operation::Delete { path, version });
    }
    let broker = znodes::broker_value(setup.advertised.as_ref(), now);
    operations.push(znodes::create(
        &znodes::broker(setup.broker_id),
        Some(broker),
    ));
    let controller = znodes::controller_value(setup.broker_id, now);
    operations.push(znodes::create(CONTROLLER, Some(controller)));
    tree.multi(operations).await?;
    Ok(epoch)
}

/// The ids of the cluster and of the broker that wrote the tree last; `None` if it was never
/// written to.
///
/// # Errors
/// The tree fails.
pub async fn recorded_ids(
    tree: &CoordinationTree,
) -> Result<Option<(String, BrokerId)>, ControllerError> {
    if !tree.exists(CLUSTER_ID).await? {
        return Ok(None);
    }
    let (data, _) = tree.get(CLUSTER_ID, None).await?;
    let cluster_id = znodes::read_cluster_id(data.as_deref()).map_err(bad(CLUSTER_ID))?;
    let (brokers, _) = tree.children(BROKERS, None).await?;
    let mut brokers = brokers.iter().filter_map(|id| id.parse().ok());
    Ok(brokers.next().map(|id| (cluster_id, BrokerId(id))))
}

/// Refuses an empty tree where there are partitions.
async fn check_no_partitions(setup: &ControllerSetup) -> Result<(), ControllerError> {
    let (vfs, data_dir) = (Arc::clone(&setup.vfs), setup.data_dir.clone());
    let listed = joined(tokio::task::spawn_blocking(move || vfs.read_dir(&data_dir)).await);
    let listed = listed.map_err(|source| ControllerError::Io {
        action: "list",
        path: setup.data_dir.clone(),
        source,
    })?;
    let ours = [COORDINATION_TOPIC, CLUSTER_METADATA];
    let partition = listed.into_iter().find(|entry| {
        let id = TopicPartition::from_dir_name(&entry.name);
        entry.is_dir && id.is_some_and(|id| !ours.contains(&id.topic.as_str()))
    });
    match partition {
        Some(entry) => Err(ControllerError::TreeLost {
            path: setup.data_dir.join(format!("{COORDINATION_TOPIC}-0")),
            partition: entry.name,
        }),
        None => Ok(()),
    }
}

async fn check_cluster_id(
    setup: &ControllerSetup,
    operations: &mut Vec<Operation>,
) -> Result<(), ControllerError> {
    if !setup.coordination.exists(CLUSTER_ID).await? {
        let value = znodes::cluster_id_value(&setup.cluster_id);
        operations.push(znodes::create(CLUSTER_ID, Some(value)));
        return Ok(());
    }
    let (data, _) = setup.coordination.get(CLUSTER_ID, None).await?;
    let found = znodes::read_cluster_id(data.as_deref()).map_err(bad(CLUSTER_ID))?;
    if found == setup.cluster_id {
        return Ok(());
    }
    Err(ControllerError::ClusterId {
        expected: setup.cluster_id.clone(),
        found,
    })
}

/// Every start is an election that this broker wins.
async fn count_up_epoch(
    setup: &ControllerSetup,
    operations: &mut Vec<Operation>,
) -> Result<i32, ControllerError> {
    if !setup.coordination.exists(CONTROLLER_EPOCH).await? {
        operations.push(znodes::create(CONTROLLER_EPOCH, Some("1".into())));
        return Ok(1);
    }
    let (data, stat) = setup.coordination.get(CONTROLLER_EPOCH, None).await?;
    let epoch = znodes::read_controller_epoch(data.as_deref()).map_err(bad(CONTROLLER_EPOCH))?;
    let epoch = epoch.wrapping_add(1);
    operations.push(Operation::SetData(SetData {
        path: CONTROLLER_EPOCH.into(),
        data: Some(epoch.to_string().into()),
        version: stat.version,
    }));
    Ok(epoch)
}

/// The znodes that would have ended with the session of an earlier run.
async fn left_behind(setup: &ControllerSetup) -> Result<Vec<String>, ControllerError> {
    let tree = &setup.coordination;
    let mut paths = Vec::new();
    if tree.exists(BROKERS).await? {
        let (ids, _) = tree.children(BROKERS, None).await?;
        paths.extend(ids.iter().map(|id| format!("{BROKERS}/{id}")));
    }
    if tree.exists(CONTROLLER).await? {
        paths.push(CONTROLLER.into());
    }
    Ok(paths)
}

fn bad(path: &'static str) -> impl FnOnce(String) -> ControllerError {
    move |reason| ControllerError::BadNode {
        path: path.into(),
        reason,
    }
}
