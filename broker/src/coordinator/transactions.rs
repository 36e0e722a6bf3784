//! The coordinator of transactions: a driver for each partition, and the producers that wait for a
//! transaction that is still ending.
//!
//! ```text
//!  init, add, end ─▶ Driver<Transactions> ─▶ answer ─┬─▶ anything else ─▶ the producer
//!        ▲                                           └─▶ Ending ─▶ wait, at most a second
//!        └──────────────── a transaction has ended ◀───────────────┘
//! ```
//!
//! An end is answered once it is decided; its markers follow. A producer that begins the next
//! transaction before all markers are written would be answered to try again, and clients wait 20
//! to 100 ms before they do. So its request waits here for a moment, in which the markers mostly
//! arrive.
//!
//! A producer id that was never used comes from the controller, which may have to write a znode for
//! it; the machine cannot wait for that. So it answers `NeedsId`, and the command is sent again
//! with an id.
//!
//! Invariants: a decided end is carried out (`marking`), also one that an earlier process has
//! decided (`resume`); a request waits at most a second, and is answered at once when the broker
//! stops.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use brooklet_machines::Command;
use brooklet_machines::transaction::{
    AddPartitions, Begun, End, EndTransaction, Init, InitProducer, MarkerJob, TransactionConfig,
    TransactionError, Transactions,
};
use brooklet_protocol::{Monotonic, Producer, ProducerId, TopicPartition};
use tokio::sync::Notify;

use super::shards::{Shard, ShardSpec, Shards};
use super::{CoordinatorError, CoordinatorSetup, GroupCoordinator};
use crate::controller::INTERNAL_TOPICS;

/// The topic that keeps transactions.
pub const TRANSACTIONS_TOPIC: &str = INTERNAL_TOPICS[1];

/// How long a request waits for the transaction before it to end.
const ENDING_WAIT: Duration = Duration::from_secs(1);

/// All transactional ids of this broker.
#[derive(Debug)]
pub struct TransactionCoordinator {
    pub(super) shards: Shards<Transactions>,
    pub(super) groups: Arc<GroupCoordinator>,
    /// Signals that a transaction has ended.
    pub(super) ended: Notify,
}

/// The machine's answer, unless the coordinator fails.
type Answered<T> = Result<Result<T, TransactionError>, CoordinatorError>;

impl TransactionCoordinator {
    /// A coordinator that has loaded no ids yet. Offsets that belong to transactions are kept by
    /// `groups`.
    pub fn new(
        setup: CoordinatorSetup,
        config: TransactionConfig,
        groups: Arc<GroupCoordinator>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this: &Weak<Self>| {
            let this = Weak::clone(this);
            let new_shard = move || {
                let this = Weak::clone(&this);
                let carry_out = move |job: MarkerJob| {
                    if let Some(this) = this.upgrade() {
                        tokio::spawn(this.carry_out(job));
                    }
                };
                ShardSpec {
                    machine: Transactions::new(config),
                    sink: Box::new(carry_out),
                }
            };
            Self {
                shards: Shards::new(TRANSACTIONS_TOPIC, setup, Box::new(new_shard)),
                groups,
                ended: Notify::new(),
            }
        })
    }

    /// Finishes what an earlier process has left: decided ends, and transactions whose timeout is
    /// over.
    ///
    /// # Errors
    /// See [`CoordinatorError`].
    pub async fn resume(&self) -> Result<(), CoordinatorError> {
        self.shards.all().await.map(drop)
    }

    /// Loads the partition that keeps a transactional id.
    ///
    /// # Errors
    /// See [`CoordinatorError`].
    pub async fn find(&self, id: &str) -> Result<(), CoordinatorError> {
        self.shards.of(id).await.map(drop)
    }

    /// Creates the topic that keeps transactions, unless it exists.
    ///
    /// # Errors
    /// See [`CoordinatorError`].
    pub async fn create_topic(&self) -> Result<(), CoordinatorError> {
        self.shards.create_topic().await.map(drop)
    }

    /// A producer begins: it gets its id and epoch, and the incarnation before it is fenced.
    ///
    /// # Errors
    /// See [`CoordinatorError`]; the inner error is the machine's.
    pub async fn init(&self, id: &str, init: Init) -> Answered<Producer> {
        let command = |unused| InitProducer {
            id: id.to_owned(),
            init,
            unused,
        };
        self.begin(id, command).await
    }

    /// A producer ends its transaction.
    ///
    /// # Errors
    /// As [`Self::init`].
    pub async fn end(&self, id: &str, end: End) -> Answered<Producer> {
        let command = |unused| EndTransaction {
            id: id.to_owned(),
            end,
            unused,
        };
        self.begin(id, command).await
    }

    /// Partitions become part of a producer's transaction, which begins with the first.
    ///
    /// # Errors
    /// As [`Self::init`].
    pub async fn add(
        &self,
        id: &str,
        producer: Producer,
        partitions: BTreeSet<TopicPartition>,
    ) -> Answered<()> {
        let driver = self.shards.of(id).await?;
        let add = AddPartitions {
            id: id.to_owned(),
            producer,
            partitions,
        };
        self.ask(&driver, add).await
    }

    /// Checks that a partition is part of a producer's open transaction.
    ///
    /// # Errors
    /// As [`Self::init`].
    pub async fn verify(
        &self,
        id: &str,
        producer: Producer,
        partition: &TopicPartition,
    ) -> Answered<()> {
        let look = |transactions: &Transactions| transactions.verify(id, producer, partition);
        self.look(id, look).await
    }

    /// Looks at the partition that keeps an id, once what it shows is committed.
    ///
    /// # Errors
    /// See [`CoordinatorError`].
    pub async fn look<T>(
        &self,
        id: &str,
        look: impl FnOnce(&Transactions) -> T,
    ) -> Result<T, CoordinatorError> {
        Ok(self.shards.of(id).await?.inspect_committed(look).await?)
    }

    /// Looks at the transactions of every partition.
    ///
    /// # Errors
    /// See [`CoordinatorError`].
    pub async fn look_at_all<T>(
        &self,
        mut look: impl FnMut(&Transactions) -> T,
    ) -> Result<Vec<T>, CoordinatorError> {
        let mut seen = Vec::new();
        for driver in self.shards.all().await? {
            seen.push(driver.inspect_committed(&mut look).await?);
        }
        Ok(seen)
    }

    /// Runs a command, and runs it again with an unused producer id if it needs one.
    async fn begin<C>(
        &self,
        id: &str,
        command: impl Fn(Option<ProducerId>) -> C,
    ) -> Answered<Producer>
    where
        C: Command<Transactions, Answer = Result<Begun, TransactionError>> + Clone,
    {
        let driver = self.shards.of(id).await?;
        let mut unused = None;
        loop {
            match self.ask(&driver, command(unused)).await? {
                Ok(Begun::Producer(producer)) => return Ok(Ok(producer)),
                Ok(Begun::NeedsId) => {
                    let id = self.shards.setup().controller.next_producer_id().await?;
                    unused = Some(ProducerId(id));
                }
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    /// Runs a command, and waits a moment if a transaction is still ending.
    async fn ask<T, C>(&self, driver: &Shard<Transactions>, command: C) -> Answered<T>
    where
        C: Command<Transactions, Answer = Result<T, TransactionError>> + Clone,
    {
        let setup = self.shards.setup();
        let mut shutdown = setup.shutdown.clone();
        let deadline = Monotonic(setup.clock.monotonic().0 + ENDING_WAIT);
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            // From here on no end is missed.
            ended.as_mut().enable();
            let answer = driver.submit(command.clone()).await?;
            if !matches!(answer, Err(TransactionError::Ending)) {
                return Ok(answer);
            }
            tokio::select! {
                () = ended => {}
                () = setup.clock.sleep_until(deadline) => return Ok(answer),
                _ = shutdown.wait_for(|stop| *stop) => return Err(CoordinatorError::Stopped),
            }
        }
    }
}
