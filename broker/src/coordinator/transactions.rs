//! The transactions: their drivers, and the waiting for a transaction that is still ending.
//!
//! An end is answered once it is decided; its markers follow. Who begins the next transaction before they
//! are everywhere would be told to come again, and clients take 20 to 100 ms until they do. So it waits here
//! for a moment, in which the markers mostly arrive.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use brooklet_machines::transaction::{
    Answer, Begun, Command, End, Init, Marking, TransactionConfig, TransactionError, Transactions,
};
use brooklet_protocol::{Monotonic, Producer, ProducerId, TopicPartition};
use tokio::sync::Notify;

use super::shards::{Beginning, Shard, Shards};
use super::{CoordinatorError, CoordinatorSetup, GroupCoordinator};
use crate::controller::INTERNAL_TOPICS;

/// The topic that transactions are kept in.
pub const TRANSACTIONS_TOPIC: &str = INTERNAL_TOPICS[1];

/// How long a request waits for the transaction before it to end.
const ENDING_WAIT: Duration = Duration::from_secs(1);

/// All transactional ids of this broker.
#[derive(Debug)]
pub struct TransactionCoordinator {
    pub(super) shards: Shards<Transactions>,
    pub(super) groups: Arc<GroupCoordinator>,
    /// A transaction has ended.
    pub(super) ended: Notify,
}

type Said<T> = Result<Result<T, TransactionError>, CoordinatorError>;

impl TransactionCoordinator {
    /// None of the ids is loaded yet. Offsets that belong to transactions are kept by `groups`.
    pub fn new(
        setup: CoordinatorSetup,
        config: TransactionConfig,
        groups: Arc<GroupCoordinator>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this: &Weak<Self>| {
            let this = Weak::clone(this);
            let begin = move |_| {
                let this = Weak::clone(&this);
                let carry_out = move |marking: Marking| {
                    if let Some(this) = this.upgrade() {
                        tokio::spawn(this.carry_out(marking));
                    }
                };
                Beginning {
                    machine: Transactions::new(config),
                    sink: Box::new(carry_out),
                    start: Command::Start,
                }
            };
            Self {
                shards: Shards::new(TRANSACTIONS_TOPIC, setup, Box::new(begin)),
                groups,
                ended: Notify::new(),
            }
        })
    }

    /// Brings to an end what an earlier process has left: decided ends, and transactions whose time is up.
    ///
    /// # Errors
    /// See [`CoordinatorError`].
    pub async fn resume(&self) -> Result<(), CoordinatorError> {
        self.shards.all().await.map(drop)
    }

    /// Sees to it that a transactional id has a coordinator.
    ///
    /// # Errors
    /// See [`CoordinatorError`].
    pub async fn find(&self, id: &str) -> Result<(), CoordinatorError> {
        self.shards.of(id).await.map(drop)
    }

    /// Makes the topic that transactions are kept in.
    ///
    /// # Errors
    /// See [`CoordinatorError`].
    pub async fn create_topic(&self) -> Result<(), CoordinatorError> {
        self.shards.create_topic().await.map(drop)
    }

    /// A producer begins, or begins anew: it gets its id and epoch, and whoever had them is fenced.
    ///
    /// # Errors
    /// See [`CoordinatorError`]; inside of it, what the transactions say.
    pub async fn init(&self, id: &str, init: Init) -> Said<Producer> {
        let ask = |fresh| Command::Init(id.to_owned(), init, fresh);
        self.begin(id, ask).await
    }

    /// A transaction is to end.
    ///
    /// # Errors
    /// As [`Self::init`].
    pub async fn end(&self, id: &str, end: End) -> Said<Producer> {
        let ask = |fresh| Command::End(id.to_owned(), end, fresh);
        self.begin(id, ask).await
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
    ) -> Said<()> {
        let driver = self.shards.of(id).await?;
        let command = Command::Add(id.to_owned(), producer, partitions);
        match self.ask(&driver, command).await? {
            Answer::Added(said) => Ok(said),
            other => unreachable!("an addition was answered with {other:?}"),
        }
    }

    /// Whether a partition is part of a producer's open transaction.
    ///
    /// # Errors
    /// As [`Self::init`].
    pub async fn verify(
        &self,
        id: &str,
        producer: Producer,
        partition: &TopicPartition,
    ) -> Said<()> {
        let look = |transactions: &Transactions| transactions.verify(id, producer, partition);
        self.look(id, look).await
    }

    /// Looks at an id's coordinator, as far as what it knows is committed.
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

    /// Looks at every partition's transactions.
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

    /// Asks, and asks again with a producer id that nobody has had if that is what it takes.
    async fn begin(
        &self,
        id: &str,
        command: impl Fn(Option<ProducerId>) -> Command,
    ) -> Said<Producer> {
        let driver = self.shards.of(id).await?;
        let mut fresh = None;
        loop {
            match self.ask(&driver, command(fresh)).await? {
                Answer::Begun(Ok(Begun::Producer(producer))) => return Ok(Ok(producer)),
                Answer::Begun(Ok(Begun::NeedsId)) => {
                    let id = self.shards.setup().controller.next_producer_id().await?;
                    fresh = Some(ProducerId(id));
                }
                Answer::Begun(Err(error)) => return Ok(Err(error)),
                other => unreachable!("a begin was answered with {other:?}"),
            }
        }
    }

    /// Asks, and waits a moment if a transaction is still ending.
    async fn ask(
        &self,
        driver: &Shard<Transactions>,
        command: Command,
    ) -> Result<Answer, CoordinatorError> {
        let setup = self.shards.setup();
        let mut shutdown = setup.shutdown.clone();
        let deadline = Monotonic(setup.clock.monotonic().0 + ENDING_WAIT);
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            // From here on no end is missed.
            ended.as_mut().enable();
            let answer = driver.submit(command.clone()).await?;
            let is_ending = matches!(
                answer,
                Answer::Begun(Err(TransactionError::Ending))
                    | Answer::Added(Err(TransactionError::Ending))
            );
            if !is_ending {
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
