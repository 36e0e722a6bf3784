//! From a locked data directory to topics that are open.
//!
//! ```text
//!  meta.properties, checkpoints ─▶ __coordination-0 ─▶ tree ─▶ whose directory it is
//!    ─▶ controller: topics, partitions ─▶ what was damaged and could be computed is rewritten
//! ```
//!
//! Nothing is rewritten before the tree and the partitions are open: until then nobody knows
//! whether they agree with it.

use std::net::SocketAddr;
use std::sync::Arc;

use brooklet_log::checkpoint::{Checkpoint, UNKNOWN};
use brooklet_log::clock::Clock;
use brooklet_log::{LogConfig, RecoveryStart};
use brooklet_protocol::{BrokerId, Offset, TopicPartition};
use tokio::task::spawn_blocking;

use super::config::BrokerConfig;
use super::data_dir::{Adopting, COORDINATION_DIR, DataDir, Found, FoundMeta};
use super::environment::Environment;
use super::errors::StartError;
use super::meta::Meta;
use crate::controller::{Adopted, Controller, ControllerSetup, recorded_ids};
use crate::partition::{DirtyBudget, Durability, Partition, PartitionSetup};
use crate::tree::CoordinationTree;

/// An opened data directory.
pub(super) struct Opened {
    pub(super) coordination: Arc<Partition>,
    pub(super) controller: Arc<Controller>,
    pub(super) dirty: Arc<DirtyBudget>,
}

/// Opens the coordination log, then the topics; rebuilds what was found damaged and can be.
pub(super) async fn open(
    environment: &Environment,
    config: &BrokerConfig,
    data: Arc<DataDir>,
    kafka: Option<SocketAddr>,
) -> Result<Opened, StartError> {
    let (clock, seed) = (Arc::clone(&environment.clock), environment.seed);
    let (adopt, node_id) = (config.adopt, config.node_id);
    let opening = {
        let (data, clock) = (Arc::clone(&data), Arc::clone(&clock));
        spawn_blocking(move || {
            let found = data.read(seed, adopt, node_id)?;
            open_coordination(&data, clock, found)
        })
    };
    let (found, coordination, tree) = opening.await??;
    let (meta, is_written) = identify(&data, found.meta, &tree, (seed, node_id)).await?;
    let dirty = DirtyBudget::new(config.log_dirty_bytes_max);
    let setup = ControllerSetup {
        vfs: Arc::clone(&data.vfs),
        clock,
        data_dir: data.path.clone(),
        coordination: tree,
        cluster_id: meta.cluster_id.clone(),
        broker_id: meta.node_id,
        advertised: kafka.map(|bound| config.advertised_address(bound)),
        partition_count_default: config.num_partitions,
        partitions_max: config.partitions_max,
        log: config.log.clone(),
        sync: !data.is_ephemeral,
        dirty: Arc::clone(&dirty),
        clean_shutdown: found.clean_shutdown,
        positions: found.positions,
        checkpoints: Arc::clone(&data.checkpoints),
        adopted: (found.adopting.as_ref()).map_or_else(Adopted::default, |a| a.adopted.clone()),
        // Not the seed itself, of which the cluster id was made.
        id_seed: seed.rotate_left(32),
    };
    let controller = Controller::start(setup).await?;
    if !data.is_ephemeral {
        let (controller, adopting) = (Arc::clone(&controller), found.adopting);
        let unwritten = (!is_written).then_some(meta);
        spawn_blocking(move || mend(&data, &controller, adopting, unwritten)).await??;
    }
    Ok(Opened {
        coordination,
        controller,
        dirty,
    })
}

/// Writes what the tree and the partitions know better than the files do. Blocks.
fn mend(
    data: &DataDir,
    controller: &Controller,
    adopting: Option<Adopting>,
    unwritten: Option<Meta>,
) -> Result<(), StartError> {
    mend_cleaner_offsets(data, controller);
    write_unchecked_offsets(data, controller);
    if adopting.is_none() && unwritten.is_none() {
        return Ok(());
    }
    // Last: only now the tree is known to belong to this cluster. A `meta.properties` of ours
    // promises that all checkpoints exist.
    data.checkpoints.make()?;
    match adopting {
        Some(adopting) => data.mark_adopted(&adopting),
        None => unwritten.map_or(Ok(()), |meta| data.write_meta(&meta)),
    }
}

/// The ids of the directory, and whether `meta.properties` states them as it should: if that file
/// is lost, the tree knows them.
async fn identify(
    data: &DataDir,
    found: FoundMeta,
    tree: &CoordinationTree,
    (seed, node_id): (u128, Option<BrokerId>),
) -> Result<(Meta, bool), StartError> {
    let (why, error) = match found {
        FoundMeta::Whole(meta) => return Ok((meta, true)),
        FoundMeta::Stale(meta) => return Ok((held_against(tree, meta, data).await?, false)),
        FoundMeta::Lost(why, error) => (why, error),
    };
    let Some((cluster_id, broker_id)) = recorded_ids(tree).await? else {
        return Err(error);
    };
    data.check_node_id(broker_id, node_id)?;
    tracing::warn!(
        "{}: rebuilt from the coordination log with cluster.id {cluster_id} and node.id {broker_id}, \
         because {why}",
        data.meta_path().display()
    );
    let meta = DataDir::remade_meta(cluster_id, broker_id, seed);
    Ok((meta, false))
}

/// A file without a checksum proves nothing: if the tree has other ids, the tree is right.
async fn held_against(
    tree: &CoordinationTree,
    meta: Meta,
    data: &DataDir,
) -> Result<Meta, StartError> {
    let Some((cluster_id, node_id)) = recorded_ids(tree).await? else {
        return Ok(meta);
    };
    if cluster_id != meta.cluster_id || node_id != meta.node_id {
        tracing::warn!(
            "{}: found cluster.id {} and node.id {}, but the coordination log says cluster.id \
             {cluster_id} and node.id {node_id}: using those",
            data.meta_path().display(),
            meta.cluster_id,
            meta.node_id,
        );
    }
    Ok(Meta {
        cluster_id,
        node_id,
        ..meta
    })
}

/// Records again which logs may have gaps, if that file is lost. Blocks.
fn mend_cleaner_offsets(data: &DataDir, controller: &Controller) {
    let file = &data.checkpoints.cleaner_offsets;
    let image = controller.image();
    let open = image.partitions().map(|partition| {
        let gaps_below = partition.maintenance().gaps_below();
        (partition.id().clone(), gaps_below)
    });
    let offline = image.offline_partitions();
    let offline = offline.map(|partition| (partition.id.clone(), UNKNOWN));
    let gaps: Checkpoint = open
        .filter(|(_, below)| *below > Offset::ZERO)
        .chain(offline)
        .collect();
    if gaps.is_empty() || file.is_readable() {
        return;
    }
    if let Err(error) = file.write(|| gaps) {
        // The next start allows gaps once more.
        tracing::warn!("{error}");
    }
}

/// Records which logs hold unchecked batches, if that has changed. Blocks.
pub(super) fn write_unchecked_offsets(data: &DataDir, controller: &Controller) {
    let image = controller.image();
    let open = image.partitions().map(|partition| {
        let unchecked_below = partition.log().unchecked_below();
        (partition.id().clone(), unchecked_below)
    });
    let offline = image.offline_partitions();
    let offline = offline.map(|partition| (partition.id.clone(), UNKNOWN));
    let unchecked = open
        .filter(|(_, below)| *below > Offset::ZERO)
        .chain(offline)
        .collect();
    let file = &data.checkpoints.unchecked_offsets;
    if let Err(error) = file.write_if_other(&unchecked) {
        // The next start takes all timestamps from the records.
        tracing::warn!("{error}");
    }
}

type Coordination = (Found, Arc<Partition>, Arc<CoordinationTree>);

/// Blocks.
fn open_coordination(
    data: &DataDir,
    clock: Arc<dyn Clock>,
    found: Found,
) -> Result<Coordination, StartError> {
    let id = TopicPartition::from_dir_name(COORDINATION_DIR).expect("the name is legal");
    let known = found.positions.get(&id);
    let start = RecoveryStart {
        clean_shutdown: found.clean_shutdown,
        recovery_point: known
            .and_then(|known| known.recovery_point)
            .unwrap_or_default(),
        ..RecoveryStart::default()
    };
    let (partition, report) = Partition::open(PartitionSetup {
        vfs: Arc::clone(&data.vfs),
        clock: Arc::clone(&clock),
        id: id.clone(),
        dir: &data.path.join(COORDINATION_DIR),
        config: LogConfig::default(),
        start,
        // A budget of its own: it is always synced, and never waits for others.
        dirty: (!data.is_ephemeral)
            .then(|| DirtyBudget::new(DirtyBudget::BYTES_MAX_DEFAULT))
            .as_ref(),
    })?;
    if let Some(side_file) = &report.side_file {
        let (bytes, side_file) = (report.bytes_cut, side_file.display());
        tracing::warn!("{id}: cut {bytes} bytes of a torn tail and kept them in {side_file}");
    }
    let durability = if data.is_ephemeral {
        Durability::Written
    } else {
        Durability::Synced
    };
    let tree = CoordinationTree::open(Arc::clone(&partition), clock, durability)?;
    Ok((found, partition, tree))
}
