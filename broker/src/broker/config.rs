//! What a broker is started with: typed, with Kafka's meaning.
//!
//! ```text
//!  server.properties, --set ─▶ BrokerConfig::apply (`settings`) ─▶ BrokerConfig ─▶ Broker::start
//!  a program that embeds the broker ─────────▶ sets the fields ─────────┘
//! ```
//!
//! Each part of the broker has its own settings as a value of its own ([`LogConfig`],
//! [`GroupConfig`], [`TransactionConfig`], [`CleanerConfig`]); this is where they are put together.
//! Every field has a default, which is in brackets, so that `BrokerConfig::default()` starts a
//! broker that keeps nothing.
//!
//! Fields hold values of their range: [`BrokerConfig::apply`] checks text before it sets one, a
//! program that sets a field directly is trusted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use brooklet_log::LogConfig;
use brooklet_machines::group::GroupConfig;
use brooklet_machines::transaction::TransactionConfig;
use brooklet_protocol::BrokerId;

use crate::partition::DirtyBudget;

/// Where the data lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In this directory; kept.
    Directory(PathBuf),
    /// In a temporary directory, never synced, removed at shutdown.
    Ephemeral,
}

/// What a broker is started with; defaults in brackets. [`BrokerConfig::apply`] sets the fields by
/// Kafka's names.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// `log.dirs`: where the data lives (ephemeral).
    pub storage: Storage,
    /// Whether a data directory written by Kafka is adopted (no).
    pub adopt: bool,
    /// `node.id`: the broker's number, which the data directory keeps; `None` means the
    /// directory's, or 1 for a new one.
    pub node_id: Option<BrokerId>,
    /// `listeners`: where Kafka clients connect, as `HOST:PORT` (127.0.0.1:9092). Port 0 picks a
    /// free one; `localhost` is 127.0.0.1. `None` listens nowhere.
    pub kafka: Option<String>,
    /// `advertised.listeners`: host and port that clients connect to, if they differ from the
    /// address that the broker listens on; port 0 is the port that it listens on. `None` is that
    /// address, with 127.0.0.1 for "every interface".
    pub advertised: Option<(String, u16)>,
    /// Where this process serves HTTP, if it does: a log line names it when an HTTP client comes to
    /// the Kafka port.
    pub http_address: Option<SocketAddr>,
    /// How many files the process may have open, if that is known: `max.connections` is lowered so
    /// that enough are left for the logs.
    pub open_files_max: Option<usize>,
    /// `num.partitions` (1): of topics that are created without a number.
    pub num_partitions: i32,
    /// `auto.create.topics.enable` (true): asking for a topic's metadata creates it.
    pub auto_create_topics: bool,
    /// `socket.request.max.bytes` (104857600): the largest request.
    pub socket_request_max_bytes: usize,
    /// `fetch.max.bytes` (57671680): the largest fetch response; its first batch may exceed it.
    pub fetch_max_bytes: usize,
    /// `max.incremental.fetch.session.cache.slots` (1000): the most fetch sessions.
    pub fetch_session_slots: usize,
    /// `max.connections` (8192; Kafka: no limit).
    pub max_connections: usize,
    /// `max.connections.per.ip` (256, and no limit for loopback addresses; Kafka: no limit). A
    /// value that is set applies to loopback, too.
    pub max_connections_per_ip: Option<usize>,
    /// `connections.max.idle.ms` (10 minutes).
    pub connections_max_idle: Duration,
    /// `request.read.max.ms` (30 seconds; not in Kafka): from a request's first byte to its last.
    pub request_read_max: Duration,
    /// `response.stall.max.ms` (30 seconds; not in Kafka): a client that reads nothing of its
    /// response for this time is disconnected.
    pub response_stall_max: Duration,
    /// `queued.max.request.bytes` (256 MiB; Kafka: no limit): of all requests that are being read
    /// or answered.
    pub queued_request_bytes_max: usize,
    /// `queued.max.response.bytes` (256 MiB; not in Kafka): of records in all responses that are
    /// being sent.
    pub queued_response_bytes_max: usize,
    /// `max.broker.partitions` (10,000; not in Kafka): of all topics except the broker's own.
    pub partitions_max: usize,
    /// `log.retention.check.interval.ms`, `log.cleaner.*`.
    pub cleaner: CleanerConfig,
    /// `producer.id.expiration.ms` (1 day): an idempotent producer is forgotten after this time
    /// without a batch.
    pub producer_id_expiration: Duration,
    /// `group.*` and `offset*`: what groups may do, and how long they are kept.
    pub groups: GroupConfig,
    /// `offsets.topic.num.partitions` (1; Kafka: 50).
    pub offsets_partition_count: i32,
    /// `transaction.max.timeout.ms`, `transactional.id.expiration.ms`.
    pub transactions: TransactionConfig,
    /// `transaction.state.log.num.partitions` (1; Kafka: 50).
    pub transactions_partition_count: i32,
    /// `log.dirty.bytes.max` (64 MiB; not in Kafka): when more bytes than this are written and not
    /// synced, producers wait, whatever their `acks`.
    pub log_dirty_bytes_max: u64,
    /// `acks.all.sync` (true; not in Kafka): `acks=all` waits for the disk.
    pub acks_all_sync: bool,
    /// `log.segment.bytes`, `log.flush.interval.ms`, `message.max.bytes` and all others that are
    /// the defaults of topics.
    pub log: LogConfig,
    /// The settings that were given by name, with their values.
    pub given: BTreeMap<&'static str, String>,
    /// Kafka's settings that were given and have no effect here; the start logs them.
    pub without_effect: BTreeSet<String>,
}

impl BrokerConfig {
    /// `node.id` of a new data directory.
    pub const NODE_ID_DEFAULT: BrokerId = BrokerId(1);

    /// The host and port that clients should connect to; `bound` is the address that the listener is
    /// bound to.
    pub(super) fn advertised_address(&self, bound: SocketAddr) -> (String, u16) {
        match &self.advertised {
            Some((host, 0)) => (host.clone(), bound.port()),
            Some((host, port)) => (host.clone(), *port),
            None if bound.ip().is_unspecified() => (Ipv4Addr::LOCALHOST.to_string(), bound.port()),
            None => (bound.ip().to_string(), bound.port()),
        }
    }
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            storage: Storage::Ephemeral,
            adopt: false,
            node_id: None,
            kafka: Some("127.0.0.1:9092".to_owned()),
            advertised: None,
            http_address: None,
            open_files_max: None,
            num_partitions: 1,
            auto_create_topics: true,
            socket_request_max_bytes: 100 << 20,
            fetch_max_bytes: 55 << 20,
            fetch_session_slots: 1000,
            max_connections: 8192,
            max_connections_per_ip: None,
            connections_max_idle: Duration::from_secs(600),
            request_read_max: Duration::from_secs(30),
            response_stall_max: Duration::from_secs(30),
            queued_request_bytes_max: 256 << 20,
            queued_response_bytes_max: 256 << 20,
            partitions_max: 10_000,
            cleaner: CleanerConfig::default(),
            producer_id_expiration: Duration::from_secs(24 * 3600),
            groups: GroupConfig::default(),
            offsets_partition_count: 1,
            transactions: TransactionConfig::default(),
            transactions_partition_count: 1,
            log_dirty_bytes_max: DirtyBudget::BYTES_MAX_DEFAULT,
            acks_all_sync: true,
            log: LogConfig::default(),
            given: BTreeMap::new(),
            without_effect: BTreeSet::new(),
        }
    }
}

/// How often old records are removed, and with how much memory.
#[derive(Clone, Copy, Debug)]
pub struct CleanerConfig {
    /// `log.cleaner.enable` (true): whether logs are compacted.
    pub enable: bool,
    /// `log.retention.check.interval.ms` (5 minutes).
    pub retention_check_interval: Duration,
    /// `log.cleaner.backoff.ms` (15 seconds).
    pub backoff: Duration,
    /// `log.cleaner.dedupe.buffer.size` (128 MiB): bytes of the offset map, which is made only as
    /// large as a log needs it.
    pub dedupe_buffer_bytes: usize,
}

impl Default for CleanerConfig {
    fn default() -> Self {
        Self {
            enable: true,
            retention_check_interval: Duration::from_secs(300),
            backoff: Duration::from_secs(15),
            dedupe_buffer_bytes: 128 << 20,
        }
    }
}
