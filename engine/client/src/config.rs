//! The settings of producers, consumers and members of groups.
//!
//! They have the Java client's meanings and defaults, and each field's doc names the Java client's
//! setting, so that what is known about those holds here. Four things differ:
//!
//! - `max.request.size` is not set: the producer then allows what the topic allows, and asks the
//!   broker for it when a record has more than 1 MiB;
//! - `create_topics` is ours: whether a topic that does not exist may be created by sending to it;
//! - `start_at` is ours: whether a member of a group starts at the committed offsets;
//! - `enable.idempotence` with `acks` other than `all` is off, and no error.
//!
//! Sizes are bytes, and times are a [`Duration`]. A setting that the Java client has and this list
//! does not is left out; there is no pass-through by name.

use std::time::Duration;

use brooklet_protocol::Isolation;
use brooklet_protocol::records::Compression;

use super::{Assignor, MissingTopic};

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
    /// `max.request.size` in bytes: the largest record, not compressed, with what a batch adds.
    /// `None` (the default; Kafka's is 1048576): what its topic allows, which the broker is asked
    /// for when a record has more than 1048576 bytes; a record that is compressed is the broker's
    /// to refuse.
    pub request_bytes_max: Option<usize>,
    /// `buffer.memory` in bytes (33554432): `send` waits when it is used up. A record that is
    /// larger has all of it for itself.
    pub buffer_bytes: usize,
    /// `delivery.timeout.ms` (120000).
    pub delivery_timeout: Duration,
    /// `enable.idempotence` (true). As in Kafka it needs `acks` all, and is off with any other.
    pub idempotence: bool,
    /// `transactional.id` (none): the name under which incarnations of a producer follow each
    /// other.
    pub transactional_id: Option<String>,
    /// `transaction.timeout.ms` (60000): the broker aborts a transaction that is open for longer.
    pub transaction_timeout: Duration,
    /// Whether a topic that is not there is asked for in a way that lets the broker create it
    /// (true; not a setting of the Java client's, which always asks so).
    pub create_topics: bool,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            linger: Duration::from_millis(5),
            batch_bytes: 16384,
            compression: Compression::None,
            request_bytes_max: None,
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
    /// `isolation.level` (read_uncommitted).
    pub isolation: Isolation,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            fetch_bytes_min: 1,
            fetch_wait_max: Duration::from_millis(500),
            fetch_bytes_max: 50 << 20,
            partition_bytes_max: 1 << 20,
            check_crcs: true,
            isolation: Isolation::ReadUncommitted,
        }
    }
}

/// Where a member of a group starts in a partition of which nothing is committed, or whose
/// committed offset is gone (`auto.offset.reset`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OffsetReset {
    /// At the log start offset.
    Earliest,
    /// At the end.
    #[default]
    Latest,
    /// Nowhere: it is an error.
    None,
}

/// Where a member of a group starts in the partitions that are assigned to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartAt {
    /// At the committed offsets, or where `auto.offset.reset` says.
    #[default]
    Committed,
    /// Where the program [seeks](super::GroupConsumer::seek); a partition is not read before that.
    /// Committed offsets are not looked up.
    Sought,
}

/// How a member of a group works; the Java client's names and defaults.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// `group.id`; there is no default.
    pub group: String,
    /// `group.instance.id` (none): a static member, whose restart within the session is no
    /// rebalance.
    pub instance_id: Option<String>,
    /// `client.rack` (none); others' assignors may look at it.
    pub rack: Option<String>,
    /// `session.timeout.ms` (45000): a member without a heartbeat for this long is removed.
    pub session_timeout: Duration,
    /// `heartbeat.interval.ms` (3000).
    pub heartbeat_interval: Duration,
    /// `max.poll.interval.ms` (300000): a program that does not poll for this long counts as hung,
    /// and its partitions go to others.
    pub poll_interval_max: Duration,
    /// `partition.assignment.strategy` (range, cooperative-sticky), the preferred first.
    pub assignors: Vec<Assignor>,
    /// `enable.auto.commit` (true).
    pub auto_commit: bool,
    /// `auto.commit.interval.ms` (5000).
    pub auto_commit_interval: Duration,
    /// Where it starts (at the committed offsets; not a setting of the Java client's).
    pub start_at: StartAt,
    /// `auto.offset.reset` (latest).
    pub offset_reset: OffsetReset,
    /// `metadata.max.age.ms` (300000): how often the leader looks whether there are more
    /// partitions.
    pub metadata_age_max: Duration,
    /// How it fetches.
    pub consumer: ConsumerConfig,
}

impl GroupConfig {
    /// The defaults, for a group.
    pub fn new(group: &str) -> Self {
        Self {
            group: group.to_owned(),
            instance_id: None,
            rack: None,
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            poll_interval_max: Duration::from_secs(300),
            assignors: vec![Assignor::Range, Assignor::CooperativeSticky],
            auto_commit: true,
            auto_commit_interval: Duration::from_secs(5),
            start_at: StartAt::Committed,
            offset_reset: OffsetReset::Latest,
            metadata_age_max: Duration::from_secs(300),
            consumer: ConsumerConfig::default(),
        }
    }
}
