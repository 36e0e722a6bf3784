//! The coordinator of groups: a driver for each partition, and the clients that wait for other
//! members.
//!
//! ```text
//!  join, sync ─▶ a waiter is registered ─▶ JoinGroup { waiter } ─▶ Driver<Groups>
//!      ▲                                                               │ later, from any command
//!      └──────── WaitList ◀──────── Completion::Join(waiter, …) ◀──────┘
//! ```
//!
//! Joins and syncs have a list each, so that what a client waits for has a type. A client that goes
//! away drops its ticket, and with it its entry in the list; a completion that comes later finds
//! nobody and is dropped. When the broker stops, all that wait are answered that it does.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use brooklet_machines::Command;
use brooklet_machines::group::{
    Completion, EndTransaction, ForgetTopics, GroupConfig, Groups, JoinGroup, JoinResult,
    SyncGroup, SyncResult, Waiter,
};
use brooklet_protocol::{PartitionId, Producer, TopicName};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::shards::{ShardSpec, Shards};
use super::{CoordinatorError, CoordinatorSetup};
use crate::controller::INTERNAL_TOPICS;

/// The topic that keeps groups.
pub const OFFSETS_TOPIC: &str = INTERNAL_TOPICS[0];

/// All groups of this broker.
#[derive(Debug)]
pub struct GroupCoordinator {
    shards: Shards<Groups>,
    waiting: Arc<Waiting>,
    ids: AtomicU64,
    /// Member ids are derived from it: a new random one at each start.
    seed: u128,
}

/// The clients that wait for completions.
#[derive(Debug, Default)]
struct Waiting {
    joins: WaitList<JoinResult>,
    syncs: WaitList<SyncResult>,
}

impl Waiting {
    fn complete(&self, completion: Completion) {
        match completion {
            Completion::Join(waiter, result) => self.joins.complete(waiter, result),
            Completion::Sync(waiter, result) => self.syncs.complete(waiter, result),
        }
    }
}

/// The clients that wait for one kind of answer.
#[derive(Debug)]
struct WaitList<T> {
    last: AtomicU64,
    waiters: Mutex<HashMap<Waiter, oneshot::Sender<T>>>,
}

impl<T> Default for WaitList<T> {
    fn default() -> Self {
        Self {
            last: AtomicU64::new(0),
            waiters: Mutex::default(),
        }
    }
}

/// An entry in a [`WaitList`], removed when the ticket is dropped.
struct Ticket<'a, T> {
    waiter: Waiter,
    answer: oneshot::Receiver<T>,
    list: &'a WaitList<T>,
}

impl<T> WaitList<T> {
    fn enter(&self) -> Ticket<'_, T> {
        let waiter = Waiter(self.last.fetch_add(1, Ordering::Relaxed));
        let (to, answer) = oneshot::channel();
        self.waiters.lock().insert(waiter, to);
        Ticket {
            waiter,
            answer,
            list: self,
        }
    }

    fn complete(&self, waiter: Waiter, answer: T) {
        if let Some(to) = self.waiters.lock().remove(&waiter) {
            // The client may have gone away.
            drop(to.send(answer));
        }
    }
}

impl<T> Drop for Ticket<'_, T> {
    fn drop(&mut self) {
        self.list.waiters.lock().remove(&self.waiter);
    }
}

impl GroupCoordinator {
    /// A coordinator that has loaded no groups yet. Member ids are derived from `seed`, which must
    /// differ at each start.
    pub fn new(setup: CoordinatorSetup, config: GroupConfig, seed: u128) -> Self {
        let waiting = Arc::<Waiting>::default();
        let new_shard = {
            let waiting = Arc::clone(&waiting);
            move || {
                let waiting = Arc::clone(&waiting);
                ShardSpec {
                    machine: Groups::new(config),
                    sink: Box::new(move |completion| waiting.complete(completion)),
                }
            }
        };
        Self {
            shards: Shards::new(OFFSETS_TOPIC, setup, Box::new(new_shard)),
            waiting,
            ids: AtomicU64::new(0),
            seed,
        }
    }

    /// Loads the partition that keeps a group.
    ///
    /// # Errors
    /// See [`CoordinatorError`].
    pub async fn find(&self, group: &str) -> Result<(), CoordinatorError> {
        self.shards.of(group).await.map(drop)
    }

    /// Runs a command that is answered at once on the partition that keeps the group.
    ///
    /// # Errors
    /// See [`CoordinatorError`].
    pub async fn ask<C: Command<Groups>>(
        &self,
        group: &str,
        command: C,
    ) -> Result<C::Answer, CoordinatorError> {
        Ok(self.shards.of(group).await?.submit(command).await?)
    }

    /// Joins a group, and waits for the other members. The waiter in `join` is replaced.
    ///
    /// # Errors
    /// See [`CoordinatorError`].
    pub async fn join(&self, mut join: JoinGroup) -> Result<JoinResult, CoordinatorError> {
        let driver = self.shards.of(&join.group).await?;
        let ticket = self.waiting.joins.enter();
        join.waiter = ticket.waiter;
        driver.submit(join).await?;
        self.wait_for(ticket).await
    }

    /// Asks for the assignment, and waits for the leader. The waiter in `sync` is replaced.
    ///
    /// # Errors
    /// See [`CoordinatorError`].
    pub async fn sync(&self, mut sync: SyncGroup) -> Result<SyncResult, CoordinatorError> {
        let driver = self.shards.of(&sync.group).await?;
        let ticket = self.waiting.syncs.enter();
        sync.waiter = ticket.waiter;
        driver.submit(sync).await?;
        self.wait_for(ticket).await
    }

    /// Looks at the partition that keeps a group, once what it shows is committed.
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

    /// Looks at the groups of every partition.
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

    /// Forgets the offsets of topics that were deleted.
    ///
    /// # Errors
    /// See [`CoordinatorError`].
    pub async fn forget_topics(&self, names: &[TopicName]) -> Result<(), CoordinatorError> {
        for driver in self.shards.all().await? {
            let topics = names.iter().cloned().collect();
            driver.submit(ForgetTopics { topics }).await?;
        }
        Ok(())
    }

    /// The partition of the offsets' topic that keeps a group.
    ///
    /// # Errors
    /// See [`CoordinatorError`].
    pub async fn partition_of(&self, group: &str) -> Result<PartitionId, CoordinatorError> {
        self.shards.partition_of(group).await
    }

    /// A producer's transaction has ended: the offsets that it has committed in this partition
    /// count, or not.
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
        let end = EndTransaction {
            producer,
            committed,
        };
        driver.submit(end).await?;
        Ok(())
    }

    /// Creates the topic that keeps groups, unless it exists.
    ///
    /// # Errors
    /// See [`CoordinatorError`].
    pub async fn create_topic(&self) -> Result<(), CoordinatorError> {
        self.shards.create_topic().await.map(drop)
    }

    /// An id for a new member: its name, and a suffix that no other member has.
    pub fn new_member_id(&self, name: &str) -> String {
        let count = u128::from(self.ids.fetch_add(1, Ordering::Relaxed));
        // The count moves through the whole number, so no two are alike; the seed differs per
        // start.
        let mixed = self.seed ^ count.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let id = uuid::Builder::from_random_bytes(mixed.to_be_bytes()).into_uuid();
        format!("{name}-{id}")
    }

    async fn wait_for<T>(&self, mut ticket: Ticket<'_, T>) -> Result<T, CoordinatorError> {
        let mut shutdown = self.shards.setup().shutdown.clone();
        tokio::select! {
            biased;
            answer = &mut ticket.answer => answer.map_err(|_| CoordinatorError::Stopped),
            _ = shutdown.wait_for(|stop| *stop) => Err(CoordinatorError::Stopped),
        }
    }
}
