//! Skeleton: producer, consumer and admin, written once over [`Transport`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use brooklet_protocol::messages::ErrorCode;
use brooklet_protocol::records::{Compression, RecordBatch};
use brooklet_protocol::{Offset, PartitionId, Timestamp, TopicName, TopicPartition};
use bytes::Bytes;
use thiserror::Error;

use crate::transport::{Transport, TransportError};

/// What goes wrong in a client.
#[derive(Debug, Error)]
pub enum ClientError {
    /// No answer.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// An answer with an error code that is not worth a retry, or that stayed after all of them.
    #[error("{what}: {code:?}{}", message.as_ref().map(|m| format!(" ({m})")).unwrap_or_default())]
    Broker {
        /// What was attempted.
        what: String,
        /// Kafka's error.
        code: ErrorCode,
        /// The broker's words, if it sent any.
        message: Option<String>,
    },
    /// The topic is not there.
    #[error("topic '{0}' does not exist")]
    UnknownTopic(String),
    /// A message that makes no sense.
    #[error("unexpected answer: {0}")]
    Unexpected(String),
    /// Delivery timed out.
    #[error("record not acknowledged within {0:?}")]
    DeliveryTimedOut(Duration),
    /// The producer or consumer was closed.
    #[error("the client is closed")]
    Closed,
}

/// A connection to a cluster: a transport and what metadata says. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    transport: Arc<dyn Transport>,
}

impl Client {
    /// A client over any transport.
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport }
    }
    /// A client over TCP; `bootstrap` is `HOST:PORT[,HOST:PORT…]`. Fails if none answers.
    ///
    /// # Errors
    /// No broker answers.
    pub async fn connect(bootstrap: &str, client_id: &str) -> Result<Self, ClientError> {
        let _ = (bootstrap, client_id);
        todo!()
    }
    /// A client inside the broker's process: requests are function calls.
    #[cfg(feature = "embedded")]
    pub fn embedded(broker: brooklet_broker::Broker, client_id: &str) -> Self {
        let _ = (broker, client_id);
        todo!()
    }
    /// The transport, for requests of one's own.
    pub fn transport(&self) -> &Arc<dyn Transport> {
        &self.transport
    }
    /// Describes the named topics (`None`: all), asking the broker.
    ///
    /// # Errors
    /// No answer.
    pub async fn metadata(&self, topics: Option<&[&str]>) -> Result<ClusterMetadata, ClientError> {
        let _ = topics;
        todo!()
    }
    /// How many partitions a topic has; cached.
    ///
    /// # Errors
    /// `UnknownTopic`, no answer.
    pub async fn partition_count(&self, topic: &TopicName) -> Result<i32, ClientError> {
        let _ = topic;
        todo!()
    }
    /// Creates a topic. `partitions` `None`: the broker's default.
    ///
    /// # Errors
    /// `Broker` with `TopicAlreadyExists` and the like.
    pub async fn create_topic(
        &self,
        name: &TopicName,
        partitions: Option<i32>,
        configs: &BTreeMap<String, String>,
    ) -> Result<(), ClientError> {
        let _ = (name, partitions, configs);
        todo!()
    }
    /// Deletes a topic.
    ///
    /// # Errors
    /// `UnknownTopic`, no answer.
    pub async fn delete_topic(&self, name: &TopicName) -> Result<(), ClientError> {
        let _ = name;
        todo!()
    }
    /// Looks up one offset per partition.
    ///
    /// # Errors
    /// No answer, unknown partition.
    pub async fn list_offsets(
        &self,
        partitions: &[TopicPartition],
        spec: OffsetSpec,
    ) -> Result<BTreeMap<TopicPartition, Offset>, ClientError> {
        let _ = (partitions, spec);
        todo!()
    }
}

/// Which offset to look up (ListOffsets).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// Log start offset (-2).
    Earliest,
    /// High watermark (-1).
    Latest,
    /// The first record at or after the time; the high watermark when there is none.
    At(Timestamp),
}

/// What the cluster looks like.
#[derive(Clone, Debug, Default)]
pub struct ClusterMetadata {
    /// The cluster's id.
    pub cluster_id: Option<String>,
    /// Id of the controller.
    pub controller_id: i32,
    /// Brokers as (id, `host:port`).
    pub brokers: Vec<(i32, String)>,
    /// Topics, in order of their names.
    pub topics: Vec<TopicMetadata>,
}

/// What a topic looks like.
#[derive(Clone, Debug)]
pub struct TopicMetadata {
    /// Its name.
    pub name: String,
    /// Its error, for a topic that was asked for by name.
    pub error: Option<ErrorCode>,
    /// Its id.
    pub id: uuid::Uuid,
    /// Hidden from ordinary listings.
    pub is_internal: bool,
    /// Partitions in order of their numbers.
    pub partitions: Vec<PartitionMetadata>,
}

/// What a partition looks like.
#[derive(Clone, Debug)]
pub struct PartitionMetadata {
    /// Its number.
    pub partition: PartitionId,
    /// Its leader, -1 for none.
    pub leader: i32,
    /// Its replicas.
    pub replicas: Vec<i32>,
    /// Its in-sync replicas.
    pub isr: Vec<i32>,
}

/// How many acknowledgements a producer waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acks {
    /// None: fire and forget.
    None,
    /// In the leader's page cache.
    Leader,
    /// Durable.
    #[default]
    All,
}

/// How a producer works; the Java client's names and defaults.
#[derive(Clone, Debug)]
pub struct ProducerConfig {
    /// `acks` (all).
    pub acks: Acks,
    /// `linger.ms` (5, as since Kafka 4.0).
    pub linger: Duration,
    /// `batch.size` in bytes (16384).
    pub batch_bytes: usize,
    /// `compression.type` (none).
    pub compression: Compression,
    /// `max.request.size` in bytes (1048576).
    pub request_bytes_max: usize,
    /// `buffer.memory` in bytes (33554432): `send` waits when it is used up.
    pub buffer_bytes: usize,
    /// `delivery.timeout.ms` (120000).
    pub delivery_timeout: Duration,
    /// `enable.idempotence` (true).
    pub idempotence: bool,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            linger: Duration::from_millis(5),
            batch_bytes: 16384,
            compression: Compression::None,
            request_bytes_max: 1 << 20,
            buffer_bytes: 32 << 20,
            delivery_timeout: Duration::from_secs(120),
            idempotence: true,
        }
    }
}

/// A record to be sent.
#[derive(Clone, Debug, Default)]
pub struct NewRecord {
    /// The partition; `None`: by the key's murmur2, or sticky without a key.
    pub partition: Option<PartitionId>,
    /// `None`: now.
    pub timestamp: Option<Timestamp>,
    /// The key.
    pub key: Option<Bytes>,
    /// The value; `None` is a tombstone.
    pub value: Option<Bytes>,
    /// The headers.
    pub headers: Vec<(String, Option<Bytes>)>,
}

/// Batches records and sends them, in order per partition. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Producer {}

/// Resolves to the record's place once it is acknowledged.
#[derive(Debug)]
pub struct Delivery {}

impl Delivery {
    /// Waits for the acknowledgement.
    ///
    /// # Errors
    /// The record was not (or not known to be) stored.
    pub async fn wait(self) -> Result<(TopicPartition, Offset), ClientError> {
        todo!()
    }
}

impl Producer {
    /// Starts a producer; it spawns a sender task on the current tokio runtime.
    ///
    /// # Errors
    /// No producer id could be had.
    pub async fn new(client: Client, config: ProducerConfig) -> Result<Self, ClientError> {
        let _ = (client, config);
        todo!()
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
        let _ = (topic, record);
        todo!()
    }
    /// Waits until all that was queued before is acknowledged.
    ///
    /// # Errors
    /// The first failure since the last flush.
    pub async fn flush(&self) -> Result<(), ClientError> {
        todo!()
    }
}

/// How a consumer works; the Java client's names and defaults.
#[derive(Clone, Debug)]
pub struct ConsumerConfig {
    /// `fetch.min.bytes` (1).
    pub fetch_bytes_min: i32,
    /// `fetch.max.wait.ms` (500).
    pub fetch_wait_max: Duration,
    /// `fetch.max.bytes` (52428800).
    pub fetch_bytes_max: i32,
    /// `max.partition.fetch.bytes` (1048576).
    pub partition_bytes_max: i32,
    /// `check.crcs` (true).
    pub check_crcs: bool,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            fetch_bytes_min: 1,
            fetch_wait_max: Duration::from_millis(500),
            fetch_bytes_max: 50 << 20,
            partition_bytes_max: 1 << 20,
            check_crcs: true,
        }
    }
}

/// Reads assigned partitions in order.
#[derive(Debug)]
pub struct Consumer {}

/// What one fetch brought of one partition.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Which one.
    pub partition: TopicPartition,
    /// Whole batches; the first may begin before `position`: records below it are to be skipped.
    pub batches: Vec<RecordBatch>,
    /// The offset from which records count.
    pub position: Offset,
    /// The partition's high watermark at the time.
    pub high_watermark: Offset,
}

impl Consumer {
    /// A consumer without partitions.
    pub fn new(client: Client, config: ConsumerConfig) -> Self {
        let _ = (client, config);
        todo!()
    }
    /// Assigns partitions with the offsets to start from, in place of the earlier ones.
    pub fn assign(&mut self, partitions: impl IntoIterator<Item = (TopicPartition, Offset)>) {
        let _ = partitions.into_iter();
        todo!()
    }
    /// Stops fetching a partition until it is resumed.
    pub fn pause(&mut self, partition: &TopicPartition) {
        let _ = partition;
        todo!()
    }
    /// Goes on fetching a partition.
    pub fn resume(&mut self, partition: &TopicPartition) {
        let _ = partition;
        todo!()
    }
    /// The offset of the next record of a partition.
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        let _ = partition;
        todo!()
    }
    /// Waits for data, at most `fetch.max.wait.ms`; positions move past what is returned. Cancel-safe.
    ///
    /// # Errors
    /// `Broker` with `OffsetOutOfRange` and the like, no answer.
    pub async fn poll(&mut self) -> Result<Vec<Fetched>, ClientError> {
        todo!()
    }
}
