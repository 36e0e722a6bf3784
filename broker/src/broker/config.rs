//! What a broker is started with, and why it does not start.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use brooklet_log::checkpoint::CheckpointError;
use brooklet_log::clock::{Clock, SystemClock};
use brooklet_log::vfs::Vfs;
use brooklet_log::vfs::disk::DiskVfs;
use brooklet_log::{LogConfig, LogError};
use brooklet_machines::group::GroupConfig;
use brooklet_machines::transaction::TransactionConfig;
use brooklet_protocol::BrokerId;
use thiserror::Error;

use super::cleaner::CleanerConfig;
use super::data_dir::random_u128;
use crate::controller::ControllerError;
use crate::driver::DriverError;
use crate::partition::DirtyBudget;

/// Where the data lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In this directory; kept.
    Directory(PathBuf),
    /// In a temporary directory, never synced, removed at shutdown.
    Ephemeral,
}

/// What a broker is started with. The fields have Kafka's meaning, and their default in brackets;
/// [`BrokerConfig::apply`] sets them by Kafka's names.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// `log.dirs`: where the data lives (ephemeral).
    pub storage: Storage,
    /// Whether a data directory that Kafka has written is taken over (no).
    pub adopt: bool,
    /// `node.id`: the broker's number, which the data directory keeps; `None` takes the directory's,
    /// and 1 for a new one.
    pub node_id: Option<BrokerId>,
    /// `listeners`: where Kafka clients connect, as `HOST:PORT` (127.0.0.1:9092). Port 0 picks a
    /// free one; `localhost` is 127.0.0.1. `None` listens nowhere.
    pub kafka: Option<String>,
    /// `advertised.listeners`: host and port that clients are told to connect to, where that is another
    /// address than the one the broker listens at; port 0 is the port that it listens at. `None` is that
    /// address, with 127.0.0.1 for "every interface".
    pub advertised: Option<(String, u16)>,
    /// Where the process of the broker answers HTTP, if it does: a line in the log tells those who come to
    /// the Kafka port with it.
    pub http_address: Option<SocketAddr>,
    /// How many files the process may have open, if that is known: `max.connections` is lowered so that enough
    /// are left for the logs.
    pub open_files_max: Option<usize>,
    /// `num.partitions` (1): of topics that are created without a number.
    pub num_partitions: i32,
    /// `auto.create.topics.enable` (true): asking for a topic's metadata creates it.
    pub auto_create_topics: bool,
    /// `socket.request.max.bytes` (104857600): the largest request.
    pub socket_request_max_bytes: usize,
    /// `fetch.max.bytes` (57671680): the largest answer to a fetch, but for its first batch.
    pub fetch_max_bytes: usize,
    /// `max.incremental.fetch.session.cache.slots` (1000): the most fetch sessions.
    pub fetch_session_slots: usize,
    /// `max.connections` (8192; Kafka: no limit).
    pub max_connections: usize,
    /// `max.connections.per.ip` (256, but none for loopback addresses; Kafka: no limit). A value that
    /// is given holds for those, too.
    pub max_connections_per_ip: Option<usize>,
    /// `connections.max.idle.ms` (10 minutes).
    pub connections_max_idle: Duration,
    /// `request.read.max.ms` (30 seconds; not in Kafka): from a request's first byte to its last.
    pub request_read_max: Duration,
    /// `response.stall.max.ms` (30 seconds; not in Kafka): a client that reads nothing of its answer for
    /// so long is cut off.
    pub response_stall_max: Duration,
    /// `queued.max.request.bytes` (256 MiB; Kafka: no limit): of all requests that are being read or
    /// answered.
    pub queued_request_bytes_max: usize,
    /// `queued.max.response.bytes` (256 MiB; not in Kafka): of records in all answers that are being sent.
    pub queued_response_bytes_max: usize,
    /// `max.broker.partitions` (10,000; not in Kafka): of all topics but the broker's own.
    pub partitions_max: usize,
    /// `log.retention.check.interval.ms`, `log.cleaner.*`.
    pub cleaner: CleanerConfig,
    /// `producer.id.expiration.ms` (1 day): an idempotent producer that is silent for so long is
    /// forgotten.
    pub producer_id_expiration: Duration,
    /// `group.*` and `offset*`: what groups may do, and how long they are kept.
    pub groups: GroupConfig,
    /// `offsets.topic.num.partitions` (1; Kafka: 50).
    pub offsets_partition_count: i32,
    /// `transaction.max.timeout.ms`, `transactional.id.expiration.ms`.
    pub transactions: TransactionConfig,
    /// `transaction.state.log.num.partitions` (1; Kafka: 50).
    pub transactions_partition_count: i32,
    /// `log.dirty.bytes.max` (64 MiB; not in Kafka): so much may be written and not synced; then
    /// producers wait, whatever their `acks`.
    pub log_dirty_bytes_max: u64,
    /// `acks.all.sync` (true; not in Kafka): `acks=all` waits for the disk.
    pub acks_all_sync: bool,
    /// `log.segment.bytes`, `log.flush.interval.ms`, `message.max.bytes` and all else that topics may
    /// say themselves, for those that do not.
    pub log: LogConfig,
    /// The settings that were given under their names, with what was given.
    pub given: BTreeMap<&'static str, String>,
    /// Kafka's settings that were given and do nothing here; the start names them.
    pub without_effect: BTreeSet<String>,
}

impl BrokerConfig {
    /// `node.id` of a new data directory.
    pub const NODE_ID_DEFAULT: BrokerId = BrokerId(1);
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

/// The outer world: disk, time and chance. Tests and lessons bring their own.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The file system.
    pub vfs: Arc<dyn Vfs>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What ids are made from; must differ at each start.
    pub seed: u128,
}

impl Default for Environment {
    fn default() -> Self {
        Self {
            vfs: Arc::new(DiskVfs),
            clock: Arc::new(SystemClock::new()),
            seed: random_u128(),
        }
    }
}

/// Why a broker does not start. Messages end with the next step.
#[derive(Debug, Error)]
pub enum StartError {
    /// The address is taken or not ours.
    #[error("cannot bind {address}: {}. Try --kafka 127.0.0.1:0 for a free port", bind_reason(.source))]
    Bind {
        /// Asked for.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// The limit of open files is too low.
    #[error(
        "{limit} files may be open, and a broker needs {needed}. Raise the limit: ulimit -n {needed}"
    )]
    OpenFiles {
        /// The limit.
        limit: usize,
        /// The lowest that is enough.
        needed: usize,
    },
    /// The data directory cannot be used.
    #[error("{path}: cannot {action}: {source}. Choose another directory with --data-dir DIR")]
    DataDir {
        /// What was attempted.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A directory has the name of one of the broker's files.
    #[error("{path}: a directory is in the place of this file. Move it away")]
    InTheWay {
        /// Where.
        path: PathBuf,
    },
    /// Somebody else works in the data directory.
    #[error(
        "{path} is locked: another brooklet or Kafka uses this data directory. Stop it, or choose \
         another directory with --data-dir DIR"
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A directory with something else in it.
    #[error(
        "{path} has no meta.properties but contains '{found}': not a data directory. Choose an \
         empty one with --data-dir DIR"
    )]
    NotADataDir {
        /// The directory.
        path: PathBuf,
        /// One of its entries.
        found: String,
    },
    /// Kafka has written it.
    #[error(
        "{path}: this directory is Apache Kafka's. --adopt takes it over: its topics are served as they \
         are, with default settings, and Kafka cannot use it afterwards. Make a copy first"
    )]
    Kafkas {
        /// The file that says so.
        path: PathBuf,
    },
    /// Only Kafka's lines, beside a coordination log of ours.
    #[error(
        "{path}: brooklet.format is missing, and a coordination log is there. If an adoption of Apache \
         Kafka's directory was interrupted, --adopt goes on with it. If not, the file is damaged: restore \
         it from a backup, or add the line brooklet.format=1"
    )]
    HalfKafkas {
        /// The file.
        path: PathBuf,
    },
    /// The data directory was written by another version, or the file is damaged.
    #[error(
        "{path}: {key} is {found}, expected {expected}. Start the version that wrote it; if no other version \
         did, the file is damaged: restore it from a backup, or write {key}={expected} into it"
    )]
    FormatVersion {
        /// The file that says so.
        path: PathBuf,
        /// Which key.
        key: &'static str,
        /// Its value.
        found: String,
        /// The value that we know.
        expected: &'static str,
    },
    /// `meta.properties` is damaged.
    #[error("{path}: {key} is {}, expected {expected}. Restore the file from a backup", or_missing(.found.as_deref()))]
    BadMeta {
        /// The file.
        path: PathBuf,
        /// Which key.
        key: &'static str,
        /// Its value; `None` when the key is missing.
        found: Option<String>,
        /// What a value looks like.
        expected: &'static str,
    },
    /// There is a coordination log, and no `meta.properties`.
    #[error("{path}: missing, though a coordination log is there. Restore the file from a backup")]
    MetaLost {
        /// The file.
        path: PathBuf,
    },
    /// The data directory is of another broker.
    #[error(
        "{path}: this directory is that of node.id {found}, not {expected}. Start it with node.id={found} or \
         without one, or choose another directory with --data-dir DIR"
    )]
    NodeId {
        /// The file that says so.
        path: PathBuf,
        /// Whose it is.
        found: BrokerId,
        /// The one that was given.
        expected: BrokerId,
    },
    /// The log starts are damaged: nobody else knows them.
    #[error(
        "{0}. Restore the file from a backup. Or write two lines into it, 0 and 0: then records that were \
         deleted on request (DeleteRecords) may be served again"
    )]
    Checkpoint(#[from] CheckpointError),
    /// The coordination log cannot be opened.
    #[error("{0}. The file named is kept as it is; restore it from a backup")]
    Log(#[from] LogError),
    /// The coordination log cannot be replayed.
    #[error("{0}. The files named are kept as they are; restore them from a backup")]
    Coordination(#[from] DriverError),
    /// The topics cannot be opened.
    #[error(transparent)]
    Controller(#[from] ControllerError),
    /// A bug while opening.
    #[error("opening the data directory was cut short: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// A value as it was found.
pub(super) fn or_missing(found: Option<&str>) -> String {
    found.map_or_else(|| "missing".to_owned(), |found| format!("'{found}'"))
}

fn bind_reason(source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::AddrInUse => "address in use".to_owned(),
        _ => source.to_string(),
    }
}
