//! Transactions: what is sent, and how far was read, count together or not at all (KIP-98,
//! KIP-447).
//!
//! ```text
//!            begin          send, send_offsets          commit
//!   ready ──────────▶ open ─────────────────────▶ open ────────▶ ready
//!     ▲                 │ something has failed      abort
//!     │                 ▼                             │
//!     └───── abort ── failed: only an abort goes on ◀─┘
//!
//!   fenced: another process has begun as the same id; nothing goes on
//! ```
//!
//! Invariants: nothing is stored in a partition before the coordinator knows of it
//! ([`super::coordinator`]); a commit leaves once all that was sent is acknowledged, and fails,
//! deciding nothing, if anything of it was not; after an abort that left sequences in doubt the
//! producer has a new epoch.

use std::collections::BTreeMap;
use std::sync::Arc;

use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::{TopicName, TopicPartition};

use super::batch::Identity;
use super::coordinator::Coordinator;
use super::{Delivery, NewRecord, Producer, RecordRef};
use crate::transport::BoxFuture;
use crate::{Acks, Client, ClientError, OffsetAndMetadata, ProducerConfig};

/// On whose behalf offsets are committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadata {
    /// The group.
    pub group_id: String,
    /// The generation that the member is of; -1 for who is no member.
    pub generation: i32,
    /// The member's id; empty for who is no member.
    pub member_id: String,
    /// Its `group.instance.id`, if it is static.
    pub instance_id: Option<String>,
}

impl GroupMetadata {
    /// A group that the producer reads for without being a member.
    pub fn of(group_id: &str) -> Self {
        Self {
            group_id: group_id.to_owned(),
            generation: -1,
            member_id: String::new(),
            instance_id: None,
        }
    }
}

/// Sends records in transactions.
///
/// ```
/// # use brooklet_client::{NewRecord, ProducerConfig, TransactionalProducer};
/// # use brooklet_broker::Broker;
/// # use brooklet_client::Client;
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// # runtime.block_on(async {
/// # let broker = Broker::ephemeral().await?;
/// # let client = Client::embedded(broker.clone(), "my-test");
/// # let topic = brooklet_protocol::TopicName::new("orders")?;
/// let config = ProducerConfig::transactional("shop-1");
/// let mut producer = TransactionalProducer::new(client, config).await?;
/// producer.begin()?;
/// let record = NewRecord { value: Some("paid".into()), ..NewRecord::default() };
/// producer.send(&topic, record).await?;
/// producer.commit().await?;
/// # drop(producer);
/// # broker.shutdown().await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TransactionalProducer {
    producer: Producer,
    coordinator: Arc<Coordinator>,
    config: ProducerConfig,
    identity: Identity,
    state: State,
    /// Whether offsets are part of the open transaction.
    has_offsets: bool,
}

#[derive(Debug)]
enum State {
    Ready,
    Open,
    Failed,
    Fenced(ClientError),
}

impl TransactionalProducer {
    /// Takes the transactional id over: its previous producer is fenced, and what that left open is
    /// aborted (`initTransactions`).
    ///
    /// # Errors
    /// No transactional id in the settings, or no answer within a minute.
    pub fn new(
        client: Client,
        config: ProducerConfig,
    ) -> BoxFuture<'static, Result<Self, ClientError>> {
        Box::pin(async move {
            let Some(id) = config.transactional_id.clone() else {
                return Err(misuse("a transactional producer needs a transactional.id"));
            };
            let config = ProducerConfig {
                acks: Acks::All,
                idempotence: true,
                ..config
            };
            let coordinator = Arc::new(Coordinator::find(client.clone(), &id).await?);
            let identity = coordinator.init(config.transaction_timeout, None).await?;
            let link = Some(Arc::clone(&coordinator));
            let producer = Producer::start(client, config.clone(), Some(identity), link);
            Ok(Self {
                producer,
                coordinator,
                config,
                identity,
                state: State::Ready,
                has_offsets: false,
            })
        })
    }

    /// Whether a transaction is open, and has not failed.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// Begins a transaction. The brokers hear of it with its first record or offset.
    ///
    /// # Errors
    /// One is open, or has failed; the producer is fenced.
    pub fn begin(&mut self) -> Result<(), ClientError> {
        match &self.state {
            State::Ready => {}
            State::Fenced(error) => return Err(error.duplicate()),
            State::Open | State::Failed => {
                return Err(misuse("a transaction is open: commit or abort it first"));
            }
        }
        self.producer.begin_transaction();
        self.state = State::Open;
        self.has_offsets = false;
        Ok(())
    }

    /// Queues a record as part of the transaction; see [`Producer::send`].
    ///
    /// # Errors
    /// No transaction is open; as [`Producer::send`].
    pub async fn send(
        &self,
        topic: &TopicName,
        record: NewRecord,
    ) -> Result<Delivery, ClientError> {
        self.check_open()?;
        self.producer.send(topic, record).await
    }

    /// Queues records for one partition as part of the transaction; see [`Producer::send_all`].
    ///
    /// # Errors
    /// No transaction is open; as [`Producer::send_all`].
    pub async fn send_all(
        &self,
        partition: &TopicPartition,
        records: &[RecordRef<'_>],
    ) -> Result<(), ClientError> {
        self.check_open()?;
        self.producer.send_all(partition, records).await
    }

    /// Waits until all that was sent is acknowledged.
    ///
    /// # Errors
    /// The first failure; the transaction can only be aborted then.
    pub async fn flush(&mut self) -> Result<(), ClientError> {
        let flushed = self.producer.flush().await;
        flushed.map_err(|error| self.failed(error))
    }

    /// Commits offsets of a group with the transaction: the next to be read of each partition.
    /// Records that linger are sent meanwhile.
    ///
    /// # Errors
    /// No transaction is open; the group has moved on without this member; metadata is too long
    /// (`Broker` with `OffsetMetadataTooLarge`); there is no answer. The transaction can only be
    /// aborted then.
    pub fn send_offsets<'a>(
        &'a mut self,
        offsets: &'a BTreeMap<TopicPartition, OffsetAndMetadata>,
        group: &'a GroupMetadata,
    ) -> BoxFuture<'a, Result<(), ClientError>> {
        Box::pin(async move {
            self.check_open()?;
            if offsets.is_empty() {
                return Ok(());
            }
            self.has_offsets = true;
            // Records go at the same time; the end of the transaction waits for both.
            self.producer.hurry();
            let sent = self
                .coordinator
                .commit_offsets(self.identity, offsets, group)
                .await;
            sent.map_err(|error| self.failed(error))
        })
    }

    /// Waits until all is acknowledged, and makes it count.
    ///
    /// # Errors
    /// No transaction is open. Something of it was not stored: it can only be aborted. No answer:
    /// whether it was committed is not known; call it again to find out.
    pub fn commit(&mut self) -> BoxFuture<'_, Result<(), ClientError>> {
        Box::pin(async move {
            self.check_open()?;
            self.flush().await?;
            if self.is_known() {
                let ended = self.coordinator.end(self.identity, true).await;
                let next = ended.map_err(|error| self.failed_to_end(error))?;
                self.go_on_as(next);
            }
            self.ready();
            Ok(())
        })
    }

    /// Aborts the transaction: none of it counts. What is not sent yet is discarded.
    ///
    /// # Errors
    /// No transaction is open or failed; fenced; no answer.
    pub fn abort(&mut self) -> BoxFuture<'_, Result<(), ClientError>> {
        Box::pin(async move {
            match &self.state {
                State::Ready => return Err(misuse("no transaction is open")),
                State::Fenced(error) => return Err(error.duplicate()),
                State::Open | State::Failed => {}
            }
            let aborted = misuse("the transaction was aborted");
            let in_doubt = self.producer.give_up(aborted).await;
            let mut next = None;
            if self.is_known() {
                let ended = self.coordinator.end(self.identity, false).await;
                next = ended.map_err(|error| self.failed_to_end(error))?;
            }
            if in_doubt && next.is_none() {
                let timeout = self.config.transaction_timeout;
                let begun = self.coordinator.init(timeout, Some(self.identity)).await;
                next = Some(begun.map_err(|error| self.failed_to_end(error))?);
            }
            self.go_on_as(next);
            self.ready();
            Ok(())
        })
    }

    /// Takes a new identity, if there is one: sequences begin at 0 again.
    fn go_on_as(&mut self, next: Option<Identity>) {
        if let Some(identity) = next {
            self.identity = identity;
            self.producer.identify(identity);
        }
    }

    fn check_open(&self) -> Result<(), ClientError> {
        match &self.state {
            State::Open => Ok(()),
            State::Ready => Err(misuse("no transaction is open: begin one first")),
            State::Failed => Err(misuse("the transaction has failed: abort it first")),
            State::Fenced(error) => Err(error.duplicate()),
        }
    }

    /// Whether the coordinator has anything to end.
    fn is_known(&self) -> bool {
        self.has_offsets || self.producer.has_transaction()
    }

    fn ready(&mut self) {
        self.state = State::Ready;
    }

    fn failed(&mut self, error: ClientError) -> ClientError {
        self.state = if is_fenced(&error) {
            State::Fenced(error.duplicate())
        } else {
            State::Failed
        };
        error
    }

    /// An end that got no answer may be asked for again.
    fn failed_to_end(&mut self, error: ClientError) -> ClientError {
        if is_fenced(&error) {
            self.state = State::Fenced(error.duplicate());
        }
        error
    }
}

fn is_fenced(error: &ClientError) -> bool {
    use ErrorCode::{
        InvalidProducerEpoch, InvalidProducerIdMapping, InvalidTxnState, ProducerFenced,
        TransactionalIdAuthorizationFailed,
    };
    matches!(
        error,
        ClientError::Broker {
            code: InvalidProducerEpoch
                | InvalidProducerIdMapping
                | InvalidTxnState
                | ProducerFenced
                | TransactionalIdAuthorizationFailed,
            ..
        }
    )
}

fn misuse(words: &'static str) -> ClientError {
    ClientError::Transaction(words)
}

#[cfg(test)]
mod tests;
