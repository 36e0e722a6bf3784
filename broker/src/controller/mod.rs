//! Topics: kept in the coordination tree, served as an immutable image.
//!
//! Coordination is real, not a label: the tree is the only truth about topics, and the controller
//! learns of a change as any other client would, by a watch.
//!
//! ```text
//!  create_topic ─▶ multi on the tree ─▶ /brokers/topics/T, …/partitions/P/state, /config/topics/T
//!       ▲                                        │ child watch on /brokers/topics,
//!       │                                        ▼ data watch on each topic
//!       │                                    follower ─▶ opens or retires partitions
//!       └── waits until the image has it ◀── new MetadataImage
//! ```
//!
//! Invariants:
//! - what the image shows stands in the tree, and its partitions are open, or offline because they
//!   could not be opened when the broker started;
//! - a new topic that could not be opened is not in the image, and the request to create it fails
//!   with the reason;
//! - a topic created again under an old name has a new id and starts empty; a directory that does
//!   not name its topic is neither opened nor moved (`identity.rs`).
//!
//! Left out: sessions (the znodes that are ephemeral in Kafka, `/brokers/ids/N` and `/controller`,
//! are written again at each start), more than one broker.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use brooklet_log::checkpoint::{Checkpoint, Checkpoints, Positions};
use brooklet_log::clock::Clock;
use brooklet_log::vfs::Vfs;
use brooklet_log::{LogConfig, LogError, checkpoint};
use brooklet_machines::coordination::{ANY_VERSION, ErrorCode, Operation, SetData};
use brooklet_protocol::{BrokerId, Offset, TopicName, TopicPartition};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::driver::DriverError;
use crate::partition::{DirtyBudget, Partition};
use crate::tree::{CoordinationTree, TreeError};

mod image;

mod znodes;

mod first_nodes;

mod follower;

mod directories;

mod identity;

mod adopted;
mod registry;

pub mod topic_config;

pub mod config_kind;
pub mod log_settings;

mod error;
mod ids;
pub mod kafka_uuid;

#[cfg(test)]
mod tests;

pub use adopted::{Adopted, AdoptedTopic};
use directories::Directories;
pub use error::ControllerError;
pub use first_nodes::recorded_ids;
pub(crate) use follower::joined;
use follower::{Follower, Shared};
pub use identity::{Identity, write_partition_id};
pub use image::{MetadataImage, Topic};
pub use registry::registered_topics;
use znodes::TopicSpec;

/// The topic whose only partition is the log of the tree. No listing shows it.
pub const COORDINATION_TOPIC: &str = "__coordination";
/// Kafka's own metadata log, which an adopted directory still has. It is no longer read.
pub const CLUSTER_METADATA: &str = "__cluster_metadata";
/// The topics that coordinators keep their state in, as in Kafka. The broker creates them itself.
pub const INTERNAL_TOPICS: [&str; 2] = ["__consumer_offsets", "__transaction_state"];

/// Whether only the broker itself creates, fills and deletes the topic.
pub fn is_internal(topic: &TopicName) -> bool {
    INTERNAL_TOPICS.contains(&topic.as_str())
}

/// Whether the topic's name has another meaning in a data directory or in a checkpoint file.
fn is_reserved(topic: &TopicName) -> bool {
    topic.as_str() == COORDINATION_TOPIC || topic.as_str().starts_with(checkpoint::CHECKSUM)
}

/// The most partitions of one topic.
pub const PARTITION_COUNT_MAX: i32 = 10_000;
/// How many producer ids are claimed at once.
const PRODUCER_ID_BLOCK_SIZE: i64 = 1000;

/// The surroundings and settings of a controller.
#[derive(Debug)]
pub struct ControllerSetup {
    /// The file system of the partitions' directories.
    pub vfs: Arc<dyn Vfs>,
    /// Stamps znodes and records.
    pub clock: Arc<dyn Clock>,
    /// The directory of the partitions' directories.
    pub data_dir: PathBuf,
    /// The tree.
    pub coordination: Arc<CoordinationTree>,
    /// The id in `meta.properties`; must be the one in `/cluster/id`, if that exists.
    pub cluster_id: String,
    /// `node.id`.
    pub broker_id: BrokerId,
    /// The host and port that clients connect to; `None` if the broker does not listen.
    pub advertised: Option<(String, u16)>,
    /// `num.partitions`.
    pub partition_count_default: i32,
    /// `max.broker.partitions`.
    pub partitions_max: usize,
    /// The broker's defaults for logs.
    pub log: LogConfig,
    /// Whether anything is synced; false for an ephemeral broker.
    pub sync: bool,
    /// How much the partitions may leave unsynced.
    pub dirty: Arc<DirtyBudget>,
    /// Whether the last shutdown was clean.
    pub clean_shutdown: bool,
    /// The positions of each partition in the checkpoint files.
    pub positions: BTreeMap<TopicPartition, Positions>,
    /// The checkpoint files: a deleted topic is removed from them.
    pub checkpoints: Arc<Checkpoints>,
    /// What another program has left in the directory, and the tree may not have yet.
    pub adopted: Adopted,
    /// Topic ids are derived from it: a new random one at each start.
    pub id_seed: u128,
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

/// Makes the image from the coordination tree, and changes topics by changing the tree.
#[derive(Debug)]
pub struct Controller {
    tree: Arc<CoordinationTree>,
    shared: Arc<Shared>,
    directories: Arc<Directories>,
    partition_count_default: i32,
    partitions_max: usize,
    /// Held while a topic is created or deleted, so that names are checked against the result.
    changing: tokio::sync::Mutex<()>,
    /// Producer ids that are claimed and not yet used.
    producer_ids: tokio::sync::Mutex<Range<i64>>,
    /// The zxid up to which the image shows the tree's topics.
    shown: watch::Receiver<i64>,
    /// Ends the follower when it is true, or dropped.
    stop: watch::Sender<bool>,
    follower: Mutex<Option<JoinHandle<()>>>,
}

impl Controller {
    /// Brings the tree up to date, opens all partitions and follows the tree from then on. A
    /// partition that cannot be opened is offline; all others are served.
    ///
    /// # Errors
    /// See [`ControllerError`].
    pub async fn start(setup: ControllerSetup) -> Result<Arc<Self>, ControllerError> {
        let controller_epoch = first_nodes::write(&setup).await?;
        let image = MetadataImage::new(setup.cluster_id, setup.broker_id, controller_epoch);
        let directories = Arc::new(Directories {
            vfs: setup.vfs,
            clock: setup.clock,
            data_dir: setup.data_dir,
            log: setup.log,
            sync: setup.sync,
            dirty: setup.dirty,
            checkpoints: setup.checkpoints,
        });
        let shared = Arc::new(Shared::new(image, setup.id_seed, setup.positions));
        let tree = setup.coordination;
        adopted::register(&tree, setup.broker_id, controller_epoch, setup.adopted).await?;
        let (follower, shown) = Follower::start(
            &tree,
            &shared,
            Arc::clone(&directories),
            setup.clean_shutdown,
        )
        .await?;
        let (stop, stopped) = watch::channel(false);
        let follower = tokio::spawn(follower.run(stopped));
        Ok(Arc::new(Self {
            tree,
            shared,
            directories,
            partition_count_default: setup.partition_count_default,
            partitions_max: setup.partitions_max,
            changing: tokio::sync::Mutex::default(),
            producer_ids: tokio::sync::Mutex::new(0..0),
            shown,
            stop,
            follower: Mutex::new(Some(follower)),
        }))
    }

    /// A new unique id.
    pub fn new_id(&self) -> uuid::Uuid {
        self.shared.new_id()
    }

    /// The current image.
    pub fn image(&self) -> Arc<MetadataImage> {
        self.shared.image()
    }

    /// The coordination tree.
    pub fn coordination(&self) -> &Arc<CoordinationTree> {
        &self.tree
    }

    /// Checks a topic as [`Controller::create_topic`] does, and creates nothing.
    ///
    /// # Errors
    /// See [`ControllerError`].
    pub fn validate_topic(&self, topic: &NewTopic) -> Result<(), ControllerError> {
        let image = self.image();
        let name = &topic.name;
        if image.topic(name.as_str()).is_some() || is_reserved(name) {
            return Err(ControllerError::TopicExists(name.clone()));
        }
        let metric_name = |name: &TopicName| name.as_str().replace('.', "_");
        let new = metric_name(name);
        if let Some(existing) = image.topics.keys().find(|n| metric_name(n) == new) {
            return Err(ControllerError::NameCollision {
                new: name.clone(),
                existing: existing.clone(),
            });
        }
        let partition_count = self.partition_count(topic);
        if !(1..=PARTITION_COUNT_MAX).contains(&partition_count) {
            return Err(ControllerError::PartitionCount(partition_count));
        }
        if !is_internal(name) {
            self.check_room(&image, partition_count)?;
        }
        topic_config::validate(&topic.configs).map_err(ControllerError::InvalidConfig)
    }

    fn partition_count(&self, topic: &NewTopic) -> i32 {
        topic
            .partition_count
            .unwrap_or(self.partition_count_default)
    }

    /// Creates a topic: a `multi` on the tree; returns once the image has it and its partitions are
    /// open.
    ///
    /// # Errors
    /// See [`ControllerError`]. The topic is not there then; if even its znodes could not be taken
    /// back, the next attempt does that, or the next start opens it.
    pub async fn create_topic(&self, topic: NewTopic) -> Result<Arc<Topic>, ControllerError> {
        let _one_at_a_time = self.changing.lock().await;
        self.validate_topic(&topic)?;
        if self.shared.is_half_created(topic.name.as_str()) {
            // A full disk, for example, did not let it be taken back then.
            self.delete_nodes(&topic.name).await?;
        }
        let image = self.image();
        let spec = TopicSpec {
            partition_count: self.partition_count(&topic),
            id: self.shared.new_id(),
            name: topic.name,
            configs: topic.configs,
        };
        if self.tree.exists(&znodes::topic(spec.name.as_str())).await? {
            return Err(ControllerError::TopicExists(spec.name));
        }
        self.clear_the_way(&spec, 0).await?;
        let operations = spec.creation(image.broker_id, image.controller_epoch);
        match self.tree.multi(operations).await {
            Ok(zxid) => self.wait_until_shown(zxid).await?,
            Err(TreeError::Refused { path, code })
                if code == ErrorCode::NodeExists && path == znodes::topic(spec.name.as_str()) =>
            {
                return Err(ControllerError::TopicExists(spec.name));
            }
            Err(error) => return Err(error.into()),
        }
        match self.image().topic(spec.name.as_str()) {
            Some(topic) if topic.id == spec.id => Ok(Arc::clone(topic)),
            _ => Err(self.take_back(spec.name).await),
        }
    }

    /// See [`Directories::clear_the_way`]; before the tree is changed.
    async fn clear_the_way(&self, spec: &TopicSpec, first: i32) -> Result<(), ControllerError> {
        let (directories, spec) = (Arc::clone(&self.directories), spec.clone());
        let unique = self.shared.new_id();
        let clear = move || directories.clear_the_way(&spec, first, unique);
        joined(tokio::task::spawn_blocking(clear).await)
    }

    /// Removes the znodes of a topic that could not be opened; returns the reason why it could not.
    async fn take_back(&self, name: TopicName) -> ControllerError {
        let failure = self.shared.take_failure(name.as_str());
        if let Err(error) = self.delete_nodes(&name).await {
            tracing::error!(
                "topic {name}: cannot be opened, and its znodes cannot be removed: {error}"
            );
        }
        failure.unwrap_or(ControllerError::UnknownTopic(name))
    }

    /// Checks as [`Controller::add_partitions`] does, and adds nothing.
    ///
    /// # Errors
    /// See [`ControllerError`].
    pub fn validate_partitions(&self, name: &TopicName, asked: i32) -> Result<(), ControllerError> {
        let image = self.image();
        let topic = image.topic(name.as_str());
        let topic = topic.ok_or_else(|| ControllerError::UnknownTopic(name.clone()))?;
        let count = i32::try_from(topic.partitions.len()).expect("partitions are limited");
        if asked > PARTITION_COUNT_MAX {
            return Err(ControllerError::PartitionCount(asked));
        }
        if asked <= count {
            let topic = name.clone();
            return Err(ControllerError::NotMore {
                topic,
                count,
                asked,
            });
        }
        if topic.is_internal {
            return Ok(());
        }
        self.check_room(&image, asked - count)
    }

    /// Checks that this many partitions can be added to the broker.
    fn check_room(&self, image: &MetadataImage, more: i32) -> Result<(), ControllerError> {
        let (there, max) = (image.partition_count(), self.partitions_max);
        let more = usize::try_from(more).unwrap_or(0);
        if there + more > max {
            return Err(ControllerError::TooManyPartitions { there, more, max });
        }
        Ok(())
    }

    /// Grows a topic to `count` partitions; returns once they are open.
    ///
    /// # Errors
    /// See [`ControllerError`]. The topic is unchanged then.
    pub async fn add_partitions(
        &self,
        name: &TopicName,
        count: i32,
    ) -> Result<(), ControllerError> {
        let _one_at_a_time = self.changing.lock().await;
        self.validate_partitions(name, count)?;
        let image = self.image();
        let topic = image.topic(name.as_str()).expect("it was just validated");
        let before = i32::try_from(topic.partitions.len()).expect("partitions are limited");
        let spec = |partition_count| TopicSpec {
            name: name.clone(),
            id: topic.id,
            partition_count,
            configs: topic.configs.clone(),
        };
        let (old, new) = (spec(before), spec(count));
        self.clear_the_way(&new, before).await?;
        let growth = new.growth(before, image.broker_id, image.controller_epoch);
        let zxid = self.tree.multi(growth).await?;
        self.wait_until_shown(zxid).await?;
        let Some(failure) = self.shared.take_failure(name.as_str()) else {
            return Ok(());
        };
        // A full disk, for example. The directories that were created are kept for the next
        // attempt.
        let zxid = self
            .tree
            .multi(old.shrinking(count, image.broker_id))
            .await?;
        self.wait_until_shown(zxid).await?;
        Err(failure)
    }

    /// Deletes a topic; returns once the image is without it. Its files go in the background.
    ///
    /// # Errors
    /// See [`ControllerError`].
    pub async fn delete_topic(&self, name: &TopicName) -> Result<(), ControllerError> {
        let _one_at_a_time = self.changing.lock().await;
        if self.image().topic(name.as_str()).is_none() {
            return Err(ControllerError::UnknownTopic(name.clone()));
        }
        let zxid = self.delete_nodes(name).await?;
        self.wait_until_shown(zxid).await
    }

    /// Changes a topic's settings to what `change` returns for them; returns the new settings once
    /// the partitions use them.
    ///
    /// # Errors
    /// See [`ControllerError`]; nothing is changed then.
    pub async fn alter_topic(
        &self,
        name: &TopicName,
        change: impl FnOnce(BTreeMap<String, String>) -> Result<BTreeMap<String, String>, String>,
    ) -> Result<BTreeMap<String, String>, ControllerError> {
        let _one_at_a_time = self.changing.lock().await;
        let image = self.image();
        let unknown = || ControllerError::UnknownTopic(name.clone());
        let topic = image.topic(name.as_str()).ok_or_else(unknown)?;
        let configs = change(topic.configs.clone()).map_err(ControllerError::InvalidConfig)?;
        topic_config::validate(&configs).map_err(ControllerError::InvalidConfig)?;
        let path = znodes::topic_config(name.as_str());
        let value = znodes::config_value(&configs);
        let write = if self.tree.exists(&path).await? {
            Operation::SetData(SetData {
                path,
                data: Some(value),
                version: ANY_VERSION,
            })
        } else {
            znodes::create(&path, Some(value))
        };
        let zxid = self.tree.multi(vec![write]).await?;
        self.wait_until_shown(zxid).await?;
        Ok(configs)
    }

    /// Deletes the records of a partition below `offset`, durably; returns its log start.
    ///
    /// # Errors
    /// See [`Partition::delete_records`]; the checkpoint cannot be written: the records are not
    /// served then, and may come back after a crash; the next attempt writes it.
    pub async fn delete_records(
        &self,
        partition: &Arc<Partition>,
        offset: Offset,
    ) -> Result<Offset, ControllerError> {
        let start = partition.delete_records(offset).await?;
        // Also if it did not move: an earlier attempt may have moved it and failed to record it.
        if start > Offset::ZERO && self.directories.sync {
            let (directories, id) = (Arc::clone(&self.directories), partition.id().clone());
            let write = move || directories.checkpoints.log_starts.raise(&id, start);
            joined(tokio::task::spawn_blocking(write).await)?;
        }
        Ok(start)
    }

    async fn delete_nodes(&self, name: &TopicName) -> Result<i64, ControllerError> {
        let partitions = znodes::topic(name.as_str()) + "/partitions";
        let partitions = if self.tree.exists(&partitions).await? {
            Some(self.tree.children(&partitions, None).await?.0)
        } else {
            None
        };
        let config = znodes::topic_config(name.as_str());
        let has_config = self.tree.exists(&config).await?;
        let operations = znodes::deletion(name, partitions.as_deref(), has_config);
        Ok(self.tree.multi(operations).await?)
    }

    async fn wait_until_shown(&self, zxid: i64) -> Result<(), ControllerError> {
        let mut shown = self.shown.clone();
        match shown.wait_for(|shown| *shown >= zxid).await {
            Ok(_) => Ok(()),
            Err(_) => Err(DriverError::Stopped.into()),
        }
    }

    /// A producer id that was never used, from a block of 1000 in `/latest_producer_id_block`.
    ///
    /// # Errors
    /// The coordination log fails; no ids are left.
    pub async fn next_producer_id(&self) -> Result<i64, ControllerError> {
        let mut ids = self.producer_ids.lock().await;
        if ids.is_empty() {
            *ids = self.claim_producer_ids().await?;
        }
        Ok(ids.next().expect("a claimed block has ids"))
    }

    /// Claims the next block. Of two claims at the same time each gets another block, because the
    /// znode's version is checked.
    async fn claim_producer_ids(&self) -> Result<Range<i64>, ControllerError> {
        let path = znodes::PRODUCER_IDS;
        loop {
            let (data, stat) = self.tree.get(path, None).await?;
            let block = znodes::next_producer_ids(data.as_deref(), PRODUCER_ID_BLOCK_SIZE);
            let block = block.map_err(|reason| ControllerError::BadNode {
                path: path.into(),
                reason,
            })?;
            let value = znodes::producer_ids_value(self.image().broker_id, &block);
            match self.tree.set(path, Some(value), stat.version).await {
                Ok(_) => return Ok(block),
                Err(TreeError::Refused {
                    code: ErrorCode::BadVersion,
                    ..
                }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The offset below which each partition is durable, for the checkpoint file. That of one that
    /// is not open stays as it was found.
    pub fn recovery_points(&self) -> Checkpoint {
        self.shared.recovery_points()
    }

    /// Whether every log could be opened. If not, a shutdown is not a clean one: the mark would
    /// tell the next start to trust a log that this one has refused.
    pub fn is_all_open(&self) -> bool {
        self.shared.is_all_open()
    }

    /// Syncs and closes all partitions; returns their recovery points. The caller closes the
    /// coordination log.
    ///
    /// # Errors
    /// The first partition that could not be synced; all others are closed all the same.
    pub async fn shutdown(&self) -> Result<Checkpoint, LogError> {
        self.stop.send_replace(true);
        let follower = self.follower.lock().take();
        if let Some(follower) = follower {
            joined(follower.await);
        }
        let image = self.image();
        let close = tokio::task::spawn_blocking(move || {
            let closed: Vec<_> = image.partitions().map(|p| p.close()).collect();
            closed.into_iter().try_for_each(|closed| closed.map(drop))
        });
        joined(close.await)?;
        Ok(self.recovery_points())
    }
}
