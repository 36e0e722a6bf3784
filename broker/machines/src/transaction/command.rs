//! What transactions are asked, and what they say.

use std::collections::BTreeSet;
use std::time::Duration;

use brooklet_protocol::{Producer, ProducerId, TopicPartition};
use thiserror::Error;

/// A broker's settings for its transactions, under Kafka's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionConfig {
    /// `transaction.max.timeout.ms` (15 minutes): the longest timeout that a producer may ask for.
    pub timeout_max: Duration,
    /// `transactional.id.expiration.ms` (7 days): an id that is not used for so long is forgotten.
    pub id_expiration: Duration,
    /// Ids that one partition of the transactions' topic keeps (10,000; Kafka: no limit).
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

/// InitProducerId.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Init {
    /// How long a transaction may be open (`transaction.timeout.ms`).
    pub timeout: Duration,
    /// What the producer takes itself for, if it was there before (KIP-360).
    pub expected: Option<Producer>,
}

/// EndTxn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Who asks.
    pub producer: Producer,
    /// Whether the records count.
    pub committed: bool,
    /// Whether the end raises the epoch (version 2 of transactions, KIP-890).
    pub raises_epoch: bool,
}

/// What transactions are asked. Where an id is named, it is one of this partition's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The log is replayed: what was decided is brought to its end.
    Start,
    /// InitProducerId, with a producer id that nobody has had, if there is one.
    Init(String, Init, Option<ProducerId>),
    /// AddPartitionsToTxn.
    Add(String, Producer, BTreeSet<TopicPartition>),
    /// EndTxn, with a producer id that nobody has had, if there is one.
    End(String, End, Option<ProducerId>),
    /// The markers are everywhere that this incarnation's transaction was.
    Marked(String, Producer),
    /// It is time.
    Tick,
}

/// What transactions say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing.
    None,
    /// To an init and to an end: what the producer is from now on.
    Begun(Result<Begun, TransactionError>),
    /// To partitions that were to be added.
    Added(Result<(), TransactionError>),
}

/// Who a producer is, or what it takes to say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is this one.
    Producer(Producer),
    /// Nothing has happened; to be asked again with a producer id that nobody has had.
    NeedsId,
}

/// An end is decided: markers are to be written, and then [`Command::Marked`] is to be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marking {
    /// Which.
    pub id: String,
    /// Whose markers.
    pub producer: Producer,
    /// Whether the records count.
    pub committed: bool,
    /// Where they are.
    pub partitions: BTreeSet<TopicPartition>,
}

/// Why transactions say no.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TransactionError {
    /// An empty id, or one that no record holds.
    #[error("the transactional id '{0}' is empty or too long")]
    InvalidId(String),
    /// `transaction.max.timeout.ms`.
    #[error("the transaction timeout is {found_ms} ms, expected 1 to {max_ms}")]
    Timeout {
        /// As it was asked for.
        found_ms: u128,
        /// The longest.
        max_ms: u128,
    },
    /// There are too many ids.
    #[error("there are {0} transactional ids, which is as many as there may be")]
    TooManyIds(usize),
    /// The id has another producer id, or is not known.
    #[error("the transactional id does not belong to producer {}", .0.0)]
    WrongProducer(ProducerId),
    /// A newer incarnation has taken over.
    #[error("epoch {found} is fenced, the current one is {current}")]
    Fenced {
        /// The newest.
        current: i16,
        /// Of who asks.
        found: i16,
    },
    /// The last transaction is ending; to be asked again.
    #[error("the last transaction is still ending")]
    Ending,
    /// Nothing of the kind can be done now.
    #[error("this cannot be done in state {0}")]
    State(&'static str),
    /// The partition is not part of the transaction.
    #[error("{0} is not part of the transaction")]
    NotPart(TopicPartition),
}
