//! Follows the tree: from watch events to open partitions and an image of them.
//!
//! A watch says only that something has changed, and fires once; so the follower does not trust
//! the event but looks again, and looking leaves the next watch. One look:
//!
//! ```text
//!  list /brokers/topics, watching ─▶ read topics that are new or have an event, watching
//!     ─▶ image without those that are gone ─▶ close, rename and remove their directories
//!     ─▶ open those that are new ─▶ image with them ─▶ "shown up to this zxid"
//! ```
//!
//! An answer of the tree comes after the events of all changes that it shows. So once the listing
//! has arrived, every event up to its zxid is in the mailbox, and a topic that was deleted and
//! created again in between is not overlooked: there is an event of its deletion.
//!
//! Invariants:
//! - the image changes as a whole, and only here;
//! - `shown` grows to a zxid once the image has all topics as of that zxid, so a caller that waits
//!   for its own zxid finds its change;
//! - one topic that cannot be read or opened fails alone; the reason is kept for its creator.
//!
//! Left out: sessions, so an event that the mailbox could not hold means a new watcher and a look
//! at everything.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::sync::Arc;

use brooklet_log::checkpoint::{Checkpoint, Positions};
use brooklet_machines::coordination::{ErrorCode, WatchEvent};
use brooklet_protocol::{TopicName, TopicPartition};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use tokio::task::{JoinError, spawn_blocking};
use uuid::Uuid;

use super::directories::{Directories, Recovery};
use super::ids::Ids;
use super::znodes::{self, TOPICS, TopicSpec};
use super::{
    CLUSTER_METADATA, COORDINATION_TOPIC, ControllerError, MetadataImage, PARTITION_COUNT_MAX,
    Topic, topic_config,
};
use crate::partition::PartitionState;
use crate::tree::{CoordinationTree, TreeError, Watcher};

/// What the follower and the controller's callers share.
#[derive(Debug)]
pub(super) struct Shared {
    image: RwLock<Arc<MetadataImage>>,
    ids: Mutex<Ids>,
    /// Topics of the tree that are not in the image, and why: `None` once their creator has the
    /// reason.
    failures: Mutex<BTreeMap<String, Option<ControllerError>>>,
    /// The positions in the checkpoints at the start, for the topics that are still in the tree.
    /// Kept for logs that failed to open, so that the damage they prove is not forgotten.
    points_found: Mutex<BTreeMap<TopicPartition, Positions>>,
}

impl Shared {
    pub(super) fn new(
        image: MetadataImage,
        id_seed: u128,
        points_found: BTreeMap<TopicPartition, Positions>,
    ) -> Self {
        Self {
            image: RwLock::new(Arc::new(image)),
            ids: Mutex::new(Ids::new(id_seed)),
            failures: Mutex::default(),
            points_found: Mutex::new(points_found),
        }
    }

    pub(super) fn image(&self) -> Arc<MetadataImage> {
        Arc::clone(&self.image.read())
    }

    pub(super) fn new_id(&self) -> Uuid {
        self.ids.lock().next()
    }

    pub(super) fn take_failure(&self, topic: &str) -> Option<ControllerError> {
        self.failures.lock().get_mut(topic)?.take()
    }

    /// Whether the creation of a topic has failed, and its znodes still exist.
    pub(super) fn is_half_created(&self, topic: &str) -> bool {
        matches!(self.failures.lock().get(topic), Some(None))
    }

    /// Whether the log of every topic in the tree is open.
    pub(super) fn is_all_open(&self) -> bool {
        self.failures.lock().is_empty() && self.image().offline_partitions().next().is_none()
    }

    /// How far the log of each topic in the tree is synced, including those that are not open.
    pub(super) fn recovery_points(&self) -> Checkpoint {
        let image = self.image();
        let found = self.points_found.lock();
        let point =
            |(id, known): (&TopicPartition, &Positions)| Some((id.clone(), known.recovery_point?));
        let mut points: Checkpoint = found.iter().filter_map(point).collect();
        let open = image.partitions();
        points.extend(open.map(|p| (p.id().clone(), p.log().settled_point())));
        points
    }

    fn forget_topics(&self, is_gone: impl Fn(&TopicName) -> bool) {
        let mut points = self.points_found.lock();
        points.retain(|id, _| !is_gone(&id.topic));
    }

    fn publish(&self, topics: BTreeMap<TopicName, Arc<Topic>>) {
        let mut image = self.image.write();
        let changed = image.with_topics(topics);
        *image = Arc::new(changed);
    }
}

/// The task that follows the tree.
#[derive(Debug)]
pub(super) struct Follower {
    tree: Arc<CoordinationTree>,
    watcher: Watcher,
    shared: Arc<Shared>,
    directories: Arc<Directories>,
    /// Whether the last shutdown was clean, for logs that were not opened after it.
    clean_shutdown: bool,
    /// Names whose data is watched.
    watched: BTreeSet<String>,
    shown: watch::Sender<i64>,
}

impl Follower {
    /// Looks for the first time and opens all topics.
    pub(super) async fn start(
        tree: &Arc<CoordinationTree>,
        shared: &Arc<Shared>,
        directories: Arc<Directories>,
        clean_shutdown: bool,
    ) -> Result<(Self, watch::Receiver<i64>), ControllerError> {
        let (shown, shown_to) = watch::channel(-1);
        let mut follower = Self {
            tree: Arc::clone(tree),
            watcher: tree.watcher(),
            shared: Arc::clone(shared),
            directories,
            clean_shutdown,
            watched: BTreeSet::new(),
            shown,
        };
        follower.sweep().await?;
        follower.look(BTreeSet::new(), true).await?;
        follower.forget_deleted().await?;
        follower.report_strays().await?;
        Ok((follower, shown_to))
    }

    /// Looks again whenever a watch fires, until `stop` is true.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let event = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                event = self.watcher.next() => event,
            };
            let changed = if let Some(event) = event {
                topic_of(event).into_iter().collect()
            } else {
                self.watcher = self.tree.watcher();
                std::mem::take(&mut self.watched)
            };
            if let Err(error) = self.look(changed, false).await {
                tracing::error!("topics can no longer be followed: {error}");
                return;
            }
        }
    }

    /// One look, see above; `changed` are topics whose data has changed.
    async fn look(
        &mut self,
        mut changed: BTreeSet<String>,
        at_start: bool,
    ) -> Result<(), ControllerError> {
        let (names, zxid) = self.tree.children(TOPICS, Some(self.watcher.id())).await?;
        while let Some(event) = self.watcher.next_now() {
            changed.extend(topic_of(event));
        }
        let names: BTreeSet<String> = names.into_iter().collect();
        self.watched.retain(|name| names.contains(name));
        let mut specs = Vec::new();
        for name in &names {
            if changed.contains(name) || !self.watched.contains(name) {
                specs.extend(self.read(name).await?);
            }
        }
        self.shared.failures.lock().retain(|n, _| names.contains(n));
        self.shared
            .forget_topics(|topic| !names.contains(topic.as_str()));
        self.retire(&names, &specs).await;
        let recovery = Recovery {
            clean_shutdown: self.clean_shutdown,
            // Also later: a topic whose znode was invalid at the start may have been corrected.
            points: self.shared.points_found.lock().clone(),
            at_start,
        };
        self.open(specs, &Arc::new(recovery)).await;
        self.shown.send_replace(zxid);
        Ok(())
    }

    /// A topic as the tree has it; `None` if its znode is invalid, or gone again.
    async fn read(&mut self, name: &str) -> Result<Option<TopicSpec>, ControllerError> {
        let path = znodes::topic(name);
        let watch = Some(self.watcher.id());
        let Some(data) = found(self.tree.get(&path, watch).await)? else {
            // Its parent's watch has fired, or will.
            self.watched.remove(name);
            return Ok(None);
        };
        self.watched.insert(name.into());
        let config = self.tree.get(&znodes::topic_config(name), watch).await;
        let config = found(config)?.flatten();
        match checked_spec(name, data.as_deref(), config.as_deref()) {
            Ok(spec) => Ok(Some(spec)),
            Err(reason) => {
                self.fail(name, ControllerError::BadNode { path, reason });
                Ok(None)
            }
        }
    }

    /// Removes topics from the image that were deleted, or have another id now.
    async fn retire(&self, names: &BTreeSet<String>, specs: &[TopicSpec]) {
        let stays = |topic: &Topic| {
            let replaced = specs
                .iter()
                .any(|s| s.name == topic.name && s.id != topic.id);
            names.contains(topic.name.as_str()) && !replaced
        };
        let topics = self.shared.image().topics.clone();
        let (kept, gone): (BTreeMap<_, _>, _) = topics.into_iter().partition(|(_, t)| stays(t));
        if gone.is_empty() {
            return;
        }
        self.shared.publish(kept);
        for topic in gone.into_values() {
            let directories = Arc::clone(&self.directories);
            let unique = self.shared.new_id();
            let name = topic.name.clone();
            self.shared.forget_topics(|topic| *topic == name);
            let retire = move || directories.retire(&topic.partitions, unique);
            match joined(spawn_blocking(retire).await) {
                Ok(dirs) => remove_in_background(&self.directories, dirs),
                Err(error) => tracing::error!(
                    "topic {name}: cannot rename its directories for deletion: {error}"
                ),
            }
        }
    }

    /// Opens what is not open yet, and publishes it.
    async fn open(&self, specs: Vec<TopicSpec>, recovery: &Arc<Recovery>) {
        let mut topics = self.shared.image().topics.clone();
        for spec in specs {
            let open = topics.get(&spec.name).map(|t| t.partitions.clone());
            let mut partitions = open.unwrap_or_default();
            let name = spec.name.clone();
            match self.open_rest(&spec, partitions.len(), recovery).await {
                Ok(rest) => {
                    self.directories.configure(&spec, &partitions);
                    partitions.extend(rest);
                }
                Err(error) => {
                    self.fail(name.as_str(), error);
                    continue;
                }
            }
            self.shared.failures.lock().remove(name.as_str());
            topics.insert(name, Arc::new(topic(spec, partitions)));
        }
        self.shared.publish(topics);
    }

    async fn open_rest(
        &self,
        spec: &TopicSpec,
        first: usize,
        recovery: &Arc<Recovery>,
    ) -> Result<Vec<PartitionState>, ControllerError> {
        let (directories, spec, recovery) = (
            Arc::clone(&self.directories),
            spec.clone(),
            Arc::clone(recovery),
        );
        let open = move || directories.open(&spec, first, &recovery);
        joined(spawn_blocking(open).await)
    }

    fn fail(&self, name: &str, error: ControllerError) {
        tracing::error!("topic {name} is not served: {error}");
        let mut failures = self.shared.failures.lock();
        failures.insert(name.into(), Some(error));
    }

    /// Removes what an interrupted deletion has left.
    async fn sweep(&self) -> Result<(), ControllerError> {
        let directories = Arc::clone(&self.directories);
        let leftovers = joined(spawn_blocking(move || directories.leftovers()).await)?;
        remove_in_background(&self.directories, leftovers);
        Ok(())
    }

    /// Removes the recovery points of topics whose deletion was not finished, before a topic of
    /// the same name can be created.
    async fn forget_deleted(&self) -> Result<(), ControllerError> {
        let directories = Arc::clone(&self.directories);
        let shared = Arc::clone(&self.shared);
        let forget = move || {
            let known = shared.points_found.lock().clone();
            directories
                .forget(|id| id.topic.as_str() != COORDINATION_TOPIC && !known.contains_key(id))
        };
        joined(spawn_blocking(forget).await)
    }

    async fn report_strays(&self) -> Result<(), ControllerError> {
        let directories = Arc::clone(&self.directories);
        let image = self.shared.image();
        let report = move || {
            directories.report_strays(|id| {
                let topic = id.topic.as_str();
                [COORDINATION_TOPIC, CLUSTER_METADATA].contains(&topic)
                    || image.partition(topic, id.partition).is_some()
            })
        };
        joined(spawn_blocking(report).await)
    }
}

fn topic_of(event: WatchEvent) -> Option<String> {
    znodes::topic_of(&event.path).map(str::to_owned)
}

/// A topic as the tree has it, if this broker could have created it.
fn checked_spec(
    name: &str,
    data: Option<&[u8]>,
    config: Option<&[u8]>,
) -> Result<TopicSpec, String> {
    if name == COORDINATION_TOPIC {
        return Err("the name is reserved for the coordination log".into());
    }
    let name = TopicName::new(name).map_err(|error| error.to_string())?;
    let spec = TopicSpec::read(name, data, config)?;
    if spec.partition_count > PARTITION_COUNT_MAX {
        return Err(ControllerError::PartitionCount(spec.partition_count).to_string());
    }
    topic_config::validate(&spec.configs)?;
    Ok(spec)
}

fn topic(spec: TopicSpec, partitions: Vec<PartitionState>) -> Topic {
    let is_internal = super::is_internal(&spec.name);
    Topic {
        name: spec.name,
        id: spec.id,
        configs: spec.configs,
        partitions,
        is_internal,
    }
}

/// The data of a znode that may not exist.
fn found<D, S>(read: Result<(D, S), TreeError>) -> Result<Option<D>, ControllerError> {
    match read {
        Ok((data, _)) => Ok(Some(data)),
        Err(TreeError::Refused {
            code: ErrorCode::NoNode,
            ..
        }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn remove_in_background(directories: &Arc<Directories>, dirs: Vec<std::path::PathBuf>) {
    if dirs.is_empty() {
        return;
    }
    let directories = Arc::clone(directories);
    // Detached: if the process ends first, the next start removes what is left.
    drop(spawn_blocking(move || {
        for dir in dirs {
            directories.remove(&dir);
        }
    }));
}

/// The result of a task that is never cancelled; its panic continues here.
pub(crate) fn joined<T>(result: Result<T, JoinError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(error) => panic!("the runtime shut down while the broker was running: {error}"),
        },
    }
}
