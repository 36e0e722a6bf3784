//! Who runs the groups: one driver for each partition of `__consumer_offsets`, and the waiting for
//! answers that other members have to make possible.
//!
//! ```text
//!  group id ─▶ hash ─▶ __consumer_offsets-P ─▶ Driver<Groups> ─▶ answer at once
//!                                                    └─▶ told: JoinGroup, SyncGroup ─▶ the waiter
//! ```
//!
//! The topic is created when somebody first looks for a coordinator, and a partition's log is
//! replayed when somebody first asks for one of its groups. Until then the groups of a stopped
//! broker do not age: their members' sessions begin when they are loaded.
//!
//! Left out: transactions.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use brooklet_protocol::{PartitionId, TopicName};
use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::{OnceCell, oneshot, watch};

use crate::clock::Clock;
use crate::controller::{Controller, ControllerError, INTERNAL_TOPICS, NewTopic, Topic};
use crate::driver::{Driver, DriverError};
use crate::group::{
    Answer, Command, GroupAnswer, GroupConfig, Groups, JoinGroup, SyncGroup, Told, Waiter,
};
use crate::partition::{Durability, Partition, PartitionState};

/// The topic that groups are kept in.
pub const OFFSETS_TOPIC: &str = INTERNAL_TOPICS[0];

type GroupDriver = Arc<Driver<Groups, Arc<Partition>>>;

/// Why a coordinator does not answer.
#[derive(Debug, Error)]
pub enum CoordinatorError {
    /// The offsets' topic cannot be created.
    #[error(transparent)]
    Controller(#[from] ControllerError),
    /// The log of its partition.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The group's partition of the offsets' topic is offline.
    #[error("{OFFSETS_TOPIC}-{0} is offline")]
    Offline(i32),
    /// The broker shuts down.
    #[error("the broker is shutting down")]
    Stopped,
}

/// What coordinators are started with.
#[derive(Debug)]
pub struct CoordinatorSetup {
    /// The topics.
    pub controller: Arc<Controller>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Whether anything is synced; false for an ephemeral broker.
    pub sync: bool,
    /// Limits and times of groups.
    pub groups: GroupConfig,
    /// `offsets.topic.num.partitions`.
    pub partition_count: i32,
    /// Member ids are made from it: a new random one at each start.
    pub seed: u128,
    /// Turns true when the broker shuts down.
    pub shutdown: watch::Receiver<bool>,
}

/// All groups of this broker.
#[derive(Debug)]
pub struct GroupCoordinator {
    setup: CoordinatorSetup,
    served: Mutex<HashMap<PartitionId, Arc<OnceCell<GroupDriver>>>>,
    waiting: Arc<Waiting>,
    ids: AtomicU64,
}

/// Who waits to be told.
#[derive(Debug, Default)]
struct Waiting {
    last: AtomicU64,
    waiters: Mutex<HashMap<Waiter, oneshot::Sender<GroupAnswer>>>,
}

/// A place in the line, given up when it is dropped.
struct Place<'a> {
    waiter: Waiter,
    answer: oneshot::Receiver<GroupAnswer>,
    waiting: &'a Waiting,
}

impl Waiting {
    fn wait(&self) -> Place<'_> {
        let waiter = Waiter(self.last.fetch_add(1, Ordering::Relaxed));
        let (to, answer) = oneshot::channel();
        self.waiters.lock().insert(waiter, to);
        Place {
            waiter,
            answer,
            waiting: self,
        }
    }

    fn tell(&self, told: Told) {
        if let Some(to) = self.waiters.lock().remove(&told.waiter) {
            // Whoever waited may have gone.
            drop(to.send(told.answer));
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiting.waiters.lock().remove(&self.waiter);
    }
}

impl GroupCoordinator {
    /// None of the groups is loaded yet.
    pub fn new(setup: CoordinatorSetup) -> Self {
        Self {
            setup,
            served: Mutex::default(),
            waiting: Arc::default(),
            ids: AtomicU64::new(0),
        }
    }

    /// Sees to it that a group has a coordinator.
    ///
    /// # Errors
    /// See [`CoordinatorError`].
    pub async fn find(&self, group: &str) -> Result<(), CoordinatorError> {
        self.driver_of(group).await.map(drop)
    }

    /// Asks a group's coordinator what it answers at once.
    ///
    /// # Errors
    /// See [`CoordinatorError`].
    pub async fn ask(&self, group: &str, command: Command) -> Result<Answer, CoordinatorError> {
        Ok(self.driver_of(group).await?.submit(command).await?)
    }

    /// Joins, and waits for the others. `join` has a waiter of no meaning.
    ///
    /// # Errors
    /// See [`CoordinatorError`].
    pub async fn join(
        &self,
        group: &str,
        join: JoinGroup,
    ) -> Result<GroupAnswer, CoordinatorError> {
        let with_waiter = |waiter| Command::Join(group.to_owned(), JoinGroup { waiter, ..join });
        self.wait_for(group, with_waiter).await
    }

    /// Syncs, and waits for the leader. `sync` has a waiter of no meaning.
    ///
    /// # Errors
    /// See [`CoordinatorError`].
    pub async fn sync(
        &self,
        group: &str,
        sync: SyncGroup,
    ) -> Result<GroupAnswer, CoordinatorError> {
        let with_waiter = |waiter| Command::Sync(group.to_owned(), SyncGroup { waiter, ..sync });
        self.wait_for(group, with_waiter).await
    }

    /// Looks at a group's coordinator, as far as what it knows is committed.
    ///
    /// # Errors
    /// See [`CoordinatorError`].
    pub async fn look<T>(
        &self,
        group: &str,
        look: impl FnOnce(&Groups) -> T,
    ) -> Result<T, CoordinatorError> {
        Ok(self.driver_of(group).await?.inspect_committed(look).await?)
    }

    /// Looks at every partition's groups.
    ///
    /// # Errors
    /// See [`CoordinatorError`].
    pub async fn look_at_all<T>(
        &self,
        mut look: impl FnMut(&Groups) -> T,
    ) -> Result<Vec<T>, CoordinatorError> {
        let Some(topic) = self.topic() else {
            return Ok(Vec::new());
        };
        let mut seen = Vec::new();
        for number in (0..).map(PartitionId).take(topic.partitions.len()) {
            let driver = self.driver(&topic, number).await?;
            seen.push(driver.inspect_committed(&mut look).await?);
        }
        Ok(seen)
    }

    /// Forgets the offsets of topics that are no more.
    ///
    /// # Errors
    /// See [`CoordinatorError`].
    pub async fn forget_topics(&self, names: &[TopicName]) -> Result<(), CoordinatorError> {
        let Some(topic) = self.topic() else {
            return Ok(());
        };
        for number in (0..).map(PartitionId).take(topic.partitions.len()) {
            let command = Command::ForgetTopics(names.iter().cloned().collect());
            self.driver(&topic, number).await?.submit(command).await?;
        }
        Ok(())
    }

    /// A name for a new member: what it is called, and something that nobody else has.
    pub fn new_member_id(&self, name: &str) -> String {
        let count = u128::from(self.ids.fetch_add(1, Ordering::Relaxed));
        // The count moves through the whole number, so no two are alike; the seed differs per start.
        let mixed = self.setup.seed ^ count.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let id = uuid::Builder::from_random_bytes(mixed.to_be_bytes()).into_uuid();
        format!("{name}-{id}")
    }

    async fn wait_for(
        &self,
        group: &str,
        command: impl FnOnce(Waiter) -> Command,
    ) -> Result<GroupAnswer, CoordinatorError> {
        let driver = self.driver_of(group).await?;
        let mut place = self.waiting.wait();
        driver.submit(command(place.waiter)).await?;
        let mut shutdown = self.setup.shutdown.clone();
        tokio::select! {
            biased;
            answer = &mut place.answer => answer.map_err(|_| CoordinatorError::Stopped),
            _ = shutdown.wait_for(|stop| *stop) => Err(CoordinatorError::Stopped),
        }
    }

    fn topic(&self) -> Option<Arc<Topic>> {
        self.setup.controller.image().topic(OFFSETS_TOPIC).cloned()
    }

    async fn driver_of(&self, group: &str) -> Result<GroupDriver, CoordinatorError> {
        let topic = match self.topic() {
            Some(topic) => topic,
            None => self.create_topic().await?,
        };
        let count = i32::try_from(topic.partitions.len()).expect("partitions are limited");
        self.driver(&topic, partition_of(group, count)).await
    }

    /// Makes the topic that groups are kept in; whoever asks for it must not find another one.
    ///
    /// # Errors
    /// See [`CoordinatorError`].
    pub async fn create_topic(&self) -> Result<Arc<Topic>, CoordinatorError> {
        let configs = [
            ("cleanup.policy", "compact"),
            ("compression.type", "producer"),
            ("segment.bytes", "104857600"),
        ];
        let new = NewTopic {
            name: TopicName::new(OFFSETS_TOPIC).expect("the name is legal"),
            partition_count: Some(self.setup.partition_count),
            configs: configs
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        };
        match self.setup.controller.create_topic(new).await {
            Ok(topic) => Ok(topic),
            Err(error @ ControllerError::TopicExists(_)) => self.topic().ok_or(error.into()),
            Err(error) => Err(error.into()),
        }
    }

    async fn driver(
        &self,
        topic: &Topic,
        number: PartitionId,
    ) -> Result<GroupDriver, CoordinatorError> {
        let offline = || CoordinatorError::Offline(number.0);
        let state = usize::try_from(number.0)
            .ok()
            .and_then(|n| topic.partitions.get(n));
        let partition = state.and_then(PartitionState::open).ok_or_else(offline)?;
        if partition.is_offline() {
            return Err(offline());
        }
        let cell = Arc::clone(self.served.lock().entry(number).or_default());
        let driver = cell
            .get_or_try_init(|| self.load(Arc::clone(partition)))
            .await?;
        Ok(Arc::clone(driver))
    }

    /// Replays a partition, and lets its groups live.
    async fn load(&self, partition: Arc<Partition>) -> Result<GroupDriver, CoordinatorError> {
        let durability = if self.setup.sync {
            Durability::Synced
        } else {
            Durability::Written
        };
        let waiting = Arc::clone(&self.waiting);
        let sink = Box::new(move |told| waiting.tell(told));
        let (groups, clock) = (
            Groups::new(self.setup.groups),
            Arc::clone(&self.setup.clock),
        );
        let open = move || Driver::open(groups, partition, clock, durability, sink);
        let opened = tokio::task::spawn_blocking(open).await;
        let driver = opened.map_err(|_| CoordinatorError::Stopped)??;
        driver.submit(Command::Start).await?;
        let (living, mut shutdown) = (Arc::clone(&driver), self.setup.shutdown.clone());
        tokio::spawn(async move {
            tokio::select! {
                ended = living.run_deadlines() => if let Err(error) = ended {
                    tracing::error!("groups are not looked after any more: {error}");
                },
                _ = shutdown.wait_for(|stop| *stop) => {}
            }
        });
        Ok(driver)
    }
}

/// Which partition of the offsets' topic keeps a group: Java's hash of its id, as in Kafka, so that
/// its own directories and tools agree.
fn partition_of(group: &str, partition_count: i32) -> PartitionId {
    let hash = |hash: i32, unit: u16| hash.wrapping_mul(31).wrapping_add(i32::from(unit));
    let hash = group.encode_utf16().fold(0, hash);
    PartitionId((hash & i32::MAX) % partition_count.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From `Utils.abs("…".hashCode()) % n` in a JVM.
    #[test]
    fn groups_are_where_kafka_has_them() {
        assert_eq!(partition_of("a", 50), PartitionId(97 % 50));
        assert_eq!(partition_of("ab", 50), PartitionId((97 * 31 + 98) % 50));
        // The hash is the least integer.
        assert_eq!(partition_of("polygenelubricants", 50), PartitionId(0));
        assert_eq!(partition_of("", 50), PartitionId(0));
    }
}
