//! The groups: their drivers, and the waiting for answers that other members have to make possible.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use brooklet_machines::group::{
    Answer, Command, GroupAnswer, GroupConfig, Groups, JoinGroup, SyncGroup, Told, Waiter,
};
use brooklet_protocol::{PartitionId, Producer, TopicName};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::shards::{Beginning, Shards};
use super::{CoordinatorError, CoordinatorSetup};
use crate::controller::INTERNAL_TOPICS;

/// The topic that groups are kept in.
pub const OFFSETS_TOPIC: &str = INTERNAL_TOPICS[0];

/// All groups of this broker.
#[derive(Debug)]
pub struct GroupCoordinator {
    shards: Shards<Groups>,
    waiting: Arc<Waiting>,
    ids: AtomicU64,
    /// Member ids are made from it: a new random one at each start.
    seed: u128,
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
    /// None of the groups is loaded yet. Member ids are made from `seed`, which must differ at each
    /// start.
    pub fn new(setup: CoordinatorSetup, config: GroupConfig, seed: u128) -> Self {
        let waiting = Arc::<Waiting>::default();
        let begin = {
            let waiting = Arc::clone(&waiting);
            move |_| {
                let waiting = Arc::clone(&waiting);
                Beginning {
                    machine: Groups::new(config),
                    sink: Box::new(move |told| waiting.tell(told)),
                    start: Command::Start,
                }
            }
        };
        Self {
            shards: Shards::new(OFFSETS_TOPIC, setup, Box::new(begin)),
            waiting,
            ids: AtomicU64::new(0),
            seed,
        }
    }

    /// Sees to it that a group has a coordinator.
    ///
    /// # Errors
    /// See [`CoordinatorError`].
    pub async fn find(&self, group: &str) -> Result<(), CoordinatorError> {
        self.shards.of(group).await.map(drop)
    }

    /// Asks a group's coordinator what it answers at once.
    ///
    /// # Errors
    /// See [`CoordinatorError`].
    pub async fn ask(&self, group: &str, command: Command) -> Result<Answer, CoordinatorError> {
        Ok(self.shards.of(group).await?.submit(command).await?)
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
        Ok(self.shards.of(group).await?.inspect_committed(look).await?)
    }

    /// Looks at every partition's groups.
    ///
    /// # Errors
    /// See [`CoordinatorError`].
    pub async fn look_at_all<T>(
        &self,
        mut look: impl FnMut(&Groups) -> T,
    ) -> Result<Vec<T>, CoordinatorError> {
        let mut seen = Vec::new();
        for driver in self.shards.all().await? {
            seen.push(driver.inspect_committed(&mut look).await?);
        }
        Ok(seen)
    }

    /// Forgets the offsets of topics that are no more.
    ///
    /// # Errors
    /// See [`CoordinatorError`].
    pub async fn forget_topics(&self, names: &[TopicName]) -> Result<(), CoordinatorError> {
        for driver in self.shards.all().await? {
            let command = Command::ForgetTopics(names.iter().cloned().collect());
            driver.submit(command).await?;
        }
        Ok(())
    }

    /// Which partition of the offsets' topic keeps a group.
    ///
    /// # Errors
    /// See [`CoordinatorError`].
    pub async fn partition_of(&self, group: &str) -> Result<PartitionId, CoordinatorError> {
        self.shards.partition_of(group).await
    }

    /// A producer's transaction has ended: what it has committed in this partition counts, or does not.
    ///
    /// # Errors
    /// See [`CoordinatorError`].
    pub async fn end_transaction(
        &self,
        partition: PartitionId,
        producer: Producer,
        committed: bool,
    ) -> Result<(), CoordinatorError> {
        let driver = self.shards.at(partition).await?;
        let command = Command::EndTransaction(producer, committed);
        driver.submit(command).await?;
        Ok(())
    }

    /// Makes the topic that groups are kept in; whoever asks for it must not find another one.
    ///
    /// # Errors
    /// See [`CoordinatorError`].
    pub async fn create_topic(&self) -> Result<(), CoordinatorError> {
        self.shards.create_topic().await.map(drop)
    }

    /// A name for a new member: what it is called, and something that nobody else has.
    pub fn new_member_id(&self, name: &str) -> String {
        let count = u128::from(self.ids.fetch_add(1, Ordering::Relaxed));
        // The count moves through the whole number, so no two are alike; the seed differs per start.
        let mixed = self.seed ^ count.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let id = uuid::Builder::from_random_bytes(mixed.to_be_bytes()).into_uuid();
        format!("{name}-{id}")
    }

    async fn wait_for(
        &self,
        group: &str,
        command: impl FnOnce(Waiter) -> Command,
    ) -> Result<GroupAnswer, CoordinatorError> {
        let driver = self.shards.of(group).await?;
        let mut place = self.waiting.wait();
        driver.submit(command(place.waiter)).await?;
        let mut shutdown = self.shards.setup().shutdown.clone();
        tokio::select! {
            biased;
            answer = &mut place.answer => answer.map_err(|_| CoordinatorError::Stopped),
            _ = shutdown.wait_for(|stop| *stop) => Err(CoordinatorError::Stopped),
        }
    }
}
