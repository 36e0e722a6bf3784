//! How producers and consumers work; the Java client's names and defaults.

use std::time::Duration;

use brooklet_protocol::records::Compression;

use super::MissingTopic;

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

impl Acks {
    /// As the protocol writes it.
    pub(crate) fn code(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
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
    /// `enable.idempotence` (true). As in Kafka it needs `acks` all, and is off with any other.
    pub idempotence: bool,
    /// `transactional.id` (none): the name under which incarnations of a producer follow each other.
    pub transactional_id: Option<String>,
    /// `transaction.timeout.ms` (60000): a transaction that is open for so long is aborted by the broker.
    pub transaction_timeout: Duration,
    /// Whether a topic that is not there is asked for in a way that lets the broker create it (true; not
    /// a setting of the Java client's, which always asks so).
    pub create_topics: bool,
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
            transactional_id: None,
            transaction_timeout: Duration::from_secs(60),
            create_topics: true,
        }
    }
}

impl ProducerConfig {
    /// The defaults, for a [`TransactionalProducer`](super::TransactionalProducer) of this id.
    pub fn transactional(id: &str) -> Self {
        Self {
            transactional_id: Some(id.to_owned()),
            ..Self::default()
        }
    }

    /// Whether batches carry a producer id and sequences.
    pub(crate) fn is_idempotent(&self) -> bool {
        self.idempotence && self.acks == Acks::All
    }

    /// What the broker is to do about a topic that is not there.
    pub(super) fn missing_topic(&self) -> MissingTopic {
        if self.create_topics {
            MissingTopic::Create
        } else {
            MissingTopic::Report
        }
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
