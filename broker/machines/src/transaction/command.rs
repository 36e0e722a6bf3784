//! What transactions can be asked, and what they answer.

use std::collections::BTreeSet;
use std::time::Duration;

use brooklet_protocol::{Producer, ProducerId, TopicPartition};
use thiserror::Error;

/// A broker's settings for its transactions, under Kafka's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionConfig {
    /// `transaction.max.timeout.ms` (15 minutes): the longest timeout that a producer may ask for.
    pub timeout_max: Duration,
    /// `transactional.id.expiration.ms` (7 days): an id that is unused for this long is forgotten.
    pub id_expiration: Duration,
    /// Ids that one partition of `__transaction_state` keeps (10,000; Kafka: no limit).
    pub ids_max: usize,
}

impl Default for TransactionConfig {
    fn default() -> Self {
        Self {
            timeout_max: Duration::from_secs(900),
            id_expiration: Duration::from_secs(7 * 24 * 3600),
            ids_max: 10_000,
        }
    }
}

/// The parameters of InitProducerId.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Init {
    /// How long a transaction may be open (`transaction.timeout.ms`).
    pub timeout: Duration,
    /// The id and epoch that the producer believes it has, if it was here before (KIP-360).
    pub expected: Option<Producer>,
}

/// The parameters of EndTxn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The producer that asks.
    pub producer: Producer,
    /// Whether the records count.
    pub committed: bool,
    /// Whether the end raises the epoch (version 2 of transactions, KIP-890).
    pub raises_epoch: bool,
}

/// InitProducerId: begins the next incarnation of a transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitProducer {
    /// The transactional id.
    pub id: String,
    /// What the producer asks for.
    pub init: Init,
    /// A producer id that was never used, if [`Begun::NeedsId`] has asked for one.
    pub unused: Option<ProducerId>,
}

/// AddPartitionsToTxn: partitions join a transaction, which begins with the first of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddPartitions {
    /// The transactional id.
    pub id: String,
    /// The producer that asks.
    pub producer: Producer,
    /// The partitions that it is about to write to.
    pub partitions: BTreeSet<TopicPartition>,
}

/// EndTxn: decides how a transaction ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndTransaction {
    /// The transactional id.
    pub id: String,
    /// What the producer asks for.
    pub end: End,
    /// A producer id that was never used, if [`Begun::NeedsId`] has asked for one.
    pub unused: Option<ProducerId>,
}

/// All partitions of a transaction have their markers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marked {
    /// The transactional id.
    pub id: String,
    /// The producer of the markers.
    pub producer: Producer,
}

/// The answer to [`InitProducer`] and to [`EndTransaction`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// The producer's id and epoch from now on.
    Producer(Producer),
    /// Nothing has happened; the caller asks again with a producer id that was never used.
    NeedsId,
}

/// An effect: an end is decided. The caller writes the markers, and then sends [`Marked`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkerJob {
    /// The transactional id.
    pub id: String,
    /// The producer whose transaction ends.
    pub producer: Producer,
    /// Whether the records count.
    pub committed: bool,
    /// The partitions that need a marker.
    pub partitions: BTreeSet<TopicPartition>,
}

/// Why a transaction refuses.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TransactionError {
    /// An empty id, or one that does not fit into a record.
    #[error("invalid transactional id '{0}': expected 1 to 32767 bytes")]
    InvalidId(String),
    /// Above `transaction.max.timeout.ms`, or zero.
    #[error(
        "transaction timeout is {found_ms} ms, expected 1 to {max_ms} (transaction.max.timeout.ms)"
    )]
    Timeout {
        /// The timeout that was asked for.
        found_ms: u128,
        /// The longest that is allowed.
        max_ms: u128,
    },
    /// There are too many ids.
    #[error("this partition already keeps {0} transactional ids, its limit")]
    TooManyIds(usize),
    /// The id has another producer id, or is unknown.
    #[error("the transactional id does not belong to producer {}", .0.0)]
    WrongProducer(ProducerId),
    /// A newer incarnation has taken over.
    #[error("producer epoch {found} is fenced, the current epoch is {current}")]
    Fenced {
        /// The epoch of the newest incarnation.
        current: i16,
        /// The epoch of the producer that asks.
        found: i16,
    },
    /// The previous transaction is still ending; the producer has to ask again.
    #[error("the previous transaction is still ending; try again")]
    Ending,
    /// The transaction's state does not allow it.
    #[error("not allowed while the transaction is in state {0}")]
    State(&'static str),
    /// The partition is not part of the transaction.
    #[error("partition {0} is not part of the transaction")]
    NotPart(TopicPartition),
}
