//! The producer: records in, acknowledged offsets out.
//!
//! ```text
//!  send ─▶ partition ─▶ buffer space ─▶ open batch of the partition       (this file, accumulator)
//!  send_all ──▶ space for a batchful ─▶    │ the same, without a Delivery  (bulk)
//!                                          │ full, lingered, or flushed
//!                                          ▼
//!                     sender task: one request per leader at a time each  (sender)
//!                                          │
//!            Delivery ◀── offset or error ◀┘ retry after a pause
//! ```
//!
//! Invariants:
//! - at most one batch of a partition is on its way, so records stay in the order of `send`
//!   whatever fails and is sent again;
//! - with idempotence, a batch that is sent again carries the sequence it had, so the broker can
//!   tell a repetition from a new batch (KIP-98);
//! - records that were accepted are, in the end, acknowledged or failed, each exactly once.
//!
//! Call [`Producer::flush`] before the last clone is dropped: what is queued then is still sent,
//! but nobody learns whether it arrived, and a process or runtime that ends takes it along.

mod partitioner;
mod record;
mod rules;

mod batch;

mod accumulator;
mod gate;

mod sender;
mod verdict;

mod identity;

mod bulk;

mod coordinator;
mod transaction;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::{Offset, TopicName, TopicPartition};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use self::accumulator::{Accumulator, Limits, Moment};
use self::batch::{BatchState, Identity};
use self::coordinator::Coordinator;
use self::record::Destination;
pub use self::record::{NewRecord, RecordRef};
use self::rules::Rules;
pub use self::transaction::{GroupMetadata, TransactionalProducer};
use super::{Client, ClientError, ProducerConfig};
use crate::transport::BoxFuture;

/// `max.request.size` where nobody sets it.
const REQUEST_BYTES_MAX: usize = 1 << 20;

/// Batches records and sends them, in order per partition. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Producer {
    handle: Arc<Handle>,
}

/// What all clones of a producer share; its end is the producer's end.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.is_finishing.store(true, Ordering::Release);
        self.shared.wake.notify_one();
    }
}

/// What the producer and its sender task share.
#[derive(Debug)]
struct Shared {
    client: Client,
    config: ProducerConfig,
    limits: Limits,
    accumulator: Mutex<Accumulator>,
    /// What topics allow, as far as it was asked for.
    rules: Mutex<HashMap<TopicName, Arc<Rules>>>,
    /// Topics of which it was said that they will delete what they get.
    warned: Mutex<HashSet<TopicName>>,
    /// Free bytes of `buffer.memory`; closed when the sender has ended.
    space: Semaphore,
    /// How many `send`s wait for space: then nothing lingers.
    waiting_for_space: AtomicUsize,
    wake: Notify,
    is_finishing: AtomicBool,
    /// Serves the transactional id, if the producer has one.
    coordinator: Option<Arc<Coordinator>>,
    /// A request has been answered.
    settled: Notify,
}

impl Shared {
    fn now(&self) -> Duration {
        self.client.now()
    }

    fn moment(&self) -> Moment {
        Moment {
            wall: self.client.clock.wall(),
            now: self.now(),
        }
    }
}

/// Resolves to the record's partition and offset once it is acknowledged. May be dropped.
#[derive(Debug)]
pub struct Delivery {
    batch: Arc<BatchState>,
    index: i64,
}

impl Delivery {
    /// The partition that was chosen for the record.
    pub fn partition(&self) -> &TopicPartition {
        &self.batch.partition
    }

    /// Waits for the acknowledgement. The offset is -1 where the broker does not report it: with
    /// `acks=0`, or when it has forgotten where a repeated batch went.
    ///
    /// # Errors
    /// The record was not (or not known to be) stored.
    pub async fn wait(self) -> Result<(TopicPartition, Offset), ClientError> {
        let offset = self.batch.offset_of(self.index).await?;
        Ok((self.batch.partition.clone(), offset))
    }
}

impl Producer {
    /// Starts a producer; it spawns a sender task on the current tokio runtime.
    ///
    /// # Errors
    /// No producer id was granted; the settings have a transactional id, which is for a
    /// [`TransactionalProducer`].
    pub fn new(
        client: Client,
        config: ProducerConfig,
    ) -> BoxFuture<'static, Result<Self, ClientError>> {
        Box::pin(async move {
            if config.transactional_id.is_some() {
                let words = "a producer with a transactional.id must send within transactions";
                return Err(ClientError::Transaction(words));
            }
            let identity = if config.is_idempotent() {
                Some(identity::ask_until_given(&client).await?)
            } else {
                None
            };
            Ok(Self::start(client, config, identity, None))
        })
    }

    fn start(
        client: Client,
        config: ProducerConfig,
        identity: Option<Identity>,
        coordinator: Option<Arc<Coordinator>>,
    ) -> Self {
        let protocol = coordinator
            .as_ref()
            .map(|coordinator| coordinator.protocol());
        let limits = Limits::new(&config, protocol);
        let mut accumulator = Accumulator::new(limits.clone());
        if let Some(identity) = identity {
            accumulator.identify(identity);
        }
        let space = config.buffer_bytes.min(Semaphore::MAX_PERMITS);
        let shared = Arc::new(Shared {
            client,
            config,
            limits,
            accumulator: Mutex::new(accumulator),
            rules: Mutex::default(),
            warned: Mutex::default(),
            space: Semaphore::new(space),
            waiting_for_space: AtomicUsize::new(0),
            wake: Notify::new(),
            is_finishing: AtomicBool::new(false),
            coordinator,
            settled: Notify::new(),
        });
        tokio::spawn(sender::run(Arc::clone(&shared)));
        let handle = Arc::new(Handle { shared });
        Self { handle }
    }

    /// Queues a record; waits only for buffer space and for the topic's metadata.
    ///
    /// # Errors
    /// Unknown topic or partition, record too large, closed.
    pub async fn send(
        &self,
        topic: &TopicName,
        record: NewRecord,
    ) -> Result<Delivery, ClientError> {
        let shared = &*self.handle.shared;
        let to = Destination {
            topic,
            partition: record.partition,
            codec: record.compression.unwrap_or(shared.config.compression),
        };
        let headers = record.header_refs();
        let record = record.borrowed(&headers);
        shared.learn(&to).await?;
        shared.check_size(&to, &record).await?;
        shared.warn_of_retention(topic, record.timestamp).await;
        let share = shared.limits.share_of_buffer(record.bytes_max());
        let space = shared.reserve(share).await?;
        let (delivery, wake) = {
            let at = shared.moment();
            let mut accumulator = shared.accumulator.lock();
            accumulator
                .append(&to, &record, at)
                .ok_or(ClientError::Closed)?
        };
        // The space is given back when the batch is done.
        space.forget();
        if wake {
            shared.wake.notify_one();
        }
        Ok(delivery)
    }

    /// Waits until all that was queued before is acknowledged.
    ///
    /// # Errors
    /// The first failure since the last flush.
    pub fn flush(&self) -> BoxFuture<'_, Result<(), ClientError>> {
        Box::pin(async move {
            let shared = &*self.handle.shared;
            let unfinished = shared.accumulator.lock().close_all();
            shared.wake.notify_one();
            for batch in unfinished {
                batch.wait().await;
            }
            match shared.accumulator.lock().take_failure() {
                Some(error) => Err(error),
                None => Ok(()),
            }
        })
    }
}

/// For transactions.
impl Producer {
    fn begin_transaction(&self) {
        self.handle.shared.accumulator.lock().begin_transaction();
    }

    /// Whether the transaction's coordinator knows of any partition.
    fn has_transaction(&self) -> bool {
        self.handle.shared.accumulator.lock().has_transaction()
    }

    /// Gives up what is not sent, and waits for the answers to the rest. Returns whether the
    /// sequences are in doubt.
    async fn give_up(&self, error: ClientError) -> bool {
        let shared = &*self.handle.shared;
        loop {
            let settled = shared.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            let (given_up, is_quiet) = {
                let mut accumulator = shared.accumulator.lock();
                // Also what comes back to be sent again.
                (accumulator.give_up_waiting(&error), accumulator.is_quiet())
            };
            shared.space.add_permits(given_up);
            if is_quiet {
                return shared.accumulator.lock().is_in_doubt();
            }
            settled.await;
        }
    }

    /// Ends the lingering of what is queued.
    fn hurry(&self) {
        self.handle.shared.accumulator.lock().close_all();
        self.handle.shared.wake.notify_one();
    }

    fn identify(&self, identity: Identity) {
        self.handle.shared.accumulator.lock().identify(identity);
    }
}

impl Shared {
    /// Makes sure that the accumulator knows the topic and the partition.
    async fn learn(&self, to: &Destination<'_>) -> Result<(), ClientError> {
        let Destination {
            topic, partition, ..
        } = *to;
        if self.accumulator.lock().knows(topic, partition) {
            return Ok(());
        }
        let missing = self.config.missing_topic();
        let known = self.client.topic(topic, missing).await?;
        let mut count = known.partition_count();
        if partition.is_some_and(|partition| partition.0 >= count) {
            // It may have been added since.
            count = self.client.look_up(topic, missing).await?.partition_count();
        }
        let mut accumulator = self.accumulator.lock();
        accumulator.learn(topic, count);
        if accumulator.knows(topic, partition) {
            return Ok(());
        }
        let number = partition.unwrap_or_default();
        let words = format!("topic '{topic}' has {count} partitions");
        let what = format!("send to partition {number}");
        Err(ClientError::broker(
            what,
            ErrorCode::InvalidPartitions,
            Some(&words),
        ))
    }

    async fn reserve(&self, size: usize) -> Result<SemaphorePermit<'_>, ClientError> {
        let permits = u32::try_from(size).unwrap_or(u32::MAX);
        if let Ok(space) = self.space.try_acquire_many(permits) {
            return Ok(space);
        }
        let _waiting = Waiting::new(&self.waiting_for_space);
        self.wake.notify_one();
        self.space
            .acquire_many(permits)
            .await
            .map_err(|_| ClientError::Closed)
    }
}

/// Counts itself as long as it lives, also when the waiting call is cancelled.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests;
