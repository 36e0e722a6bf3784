//! The table of the broker's settings that act.
//!
//! ```text
//!  OWN            own        a field of BrokerConfig, with a default
//!                 given      the same; the default depends on how the broker is started
//!                 synonym    another name of one of these, which outranks it
//!                 in_units   a setting of topics, in hours or minutes
//!  TOPIC_CONFIGS  one for each setting of topics that acts: the default of topics
//! ```
//!
//! A row says everything about its setting: what it takes is checked before `set` is called, so
//! `set` parses without an error; `get` returns what DescribeConfigs shows, in the form that `set`
//! takes. `docs/broker-settings.md` is made from the rows. A new setting is one field of
//! [`BrokerConfig`] and one row here; tests hold the defaults of both against each other.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use brooklet_protocol::BrokerId;

use super::super::config::{BrokerConfig, Storage};
use super::{BrokerSetting, Target};
use crate::controller::PARTITION_COUNT_MAX;
use crate::controller::config_kind::{ConfigKind, int, long, number};
use crate::controller::log_settings::{flag, millis, millis_text, number as parse};
use crate::controller::topic_config::{TOPIC_CONFIGS, TopicConfig};
use crate::server::Limits;

const HOUR_MS: i64 = 60 * MINUTE_MS;
const MINUTE_MS: i64 = 60_000;
const BOOLEAN: ConfigKind = ConfigKind::Boolean;
const DIRECTORY: ConfigKind = ConfigKind::Text {
    form: "one directory",
    has_form: |text| !text.is_empty() && !text.contains(','),
};
const LISTENER: ConfigKind = ConfigKind::Text {
    form: "one listener without TLS or SASL, as PLAINTEXT://HOST:PORT",
    has_form: |text| address_of(text).is_some(),
};
const ADVERTISED: ConfigKind = ConfigKind::Text {
    form: "one listener with a HOST that clients can reach, as PLAINTEXT://HOST:PORT",
    has_form: |text| advertised_of(text).is_some(),
};
const NODE_ID: ConfigKind = number(0, u16::MAX as i64);
const PARTITIONS: ConfigKind = number(1, PARTITION_COUNT_MAX as i64);
/// In hours or minutes; a negative number means "no limit".
const UNITS: ConfigKind = int(-1);

/// All settings that act, sorted by name: the broker's own, and one for each setting of topics.
pub static BROKER_SETTINGS: LazyLock<Vec<BrokerSetting>> = LazyLock::new(|| {
    let of_topics = TOPIC_CONFIGS.iter().filter(|config| config.acts());
    let mut all: Vec<_> = OWN
        .iter()
        .copied()
        .chain(of_topics.map(default_of))
        .collect();
    all.sort_by_key(|setting| setting.name);
    all
});

fn default_of(config: &'static TopicConfig) -> BrokerSetting {
    BrokerSetting {
        name: config.broker_name,
        default: Some(config.default),
        kind: config.kind,
        doc: config.doc,
        outranked_by: &[],
        target: Target::OfTopics(config),
    }
}

#[rustfmt::skip]
const OWN: &[BrokerSetting] = &[
    own("acks.all.sync", "true", BOOLEAN, "whether acks=all waits for the disk; not in Kafka",
        (|c| c.acks_all_sync.to_string(), |c, v| flag(&mut c.acks_all_sync, v))),
    given("advertised.listeners", ADVERTISED, "the address that clients connect to, if it differs from listeners, as behind a NAT or in a container; PORT 0 is the port of listeners",
        (advertised, |c, v| c.advertised = advertised_of(v))),
    own("auto.create.topics.enable", "true", BOOLEAN, "whether asking for a topic's metadata creates it",
        (|c| c.auto_create_topics.to_string(), |c, v| flag(&mut c.auto_create_topics, v))),
    synonym(("broker.id", &["node.id"]), NODE_ID, "the older name of node.id", (node_id, set_node_id)),
    own("connections.max.idle.ms", "600000", long(1), "a connection is closed after this time without a request",
        (|c| millis_text(c.connections_max_idle), |c, v| millis(&mut c.connections_max_idle, v))),
    own("fetch.max.bytes", "57671680", int(1024), "the most bytes in one fetch response; the first batch may exceed it",
        (|c| c.fetch_max_bytes.to_string(), |c, v| size(&mut c.fetch_max_bytes, v))),
    own("group.initial.rebalance.delay.ms", "0", int(0), "how long the first member of an empty group waits for others; Kafka's default is 3000",
        (|c| millis_text(c.groups.initial_rebalance_delay), |c, v| millis(&mut c.groups.initial_rebalance_delay, v))),
    own("group.max.session.timeout.ms", "1800000", int(1), "the longest session timeout that a member may request",
        (|c| millis_text(c.groups.session_timeout_max), |c, v| millis(&mut c.groups.session_timeout_max, v))),
    own("group.max.size", "1000", int(1), "the most members of a group; Kafka has no limit",
        (|c| c.groups.members_max.to_string(), |c, v| size(&mut c.groups.members_max, v))),
    own("group.member.metadata.max.bytes", "65536", int(1), "the most bytes of one member's metadata; not in Kafka",
        (|c| c.groups.member_bytes_max.to_string(), |c, v| size(&mut c.groups.member_bytes_max, v))),
    own("group.metadata.max.bytes", "4194304", int(1), "the most bytes of metadata of all members of a group, and of the assignment of its leader; not in Kafka",
        (|c| c.groups.group_bytes_max.to_string(), |c, v| size(&mut c.groups.group_bytes_max, v))),
    own("group.min.session.timeout.ms", "6000", int(1), "the shortest session timeout that a member may request",
        (|c| millis_text(c.groups.session_timeout_min), |c, v| millis(&mut c.groups.session_timeout_min, v))),
    own("listeners", "PLAINTEXT://127.0.0.1:9092", LISTENER, "where clients connect; no HOST means every interface, PORT 0 a free port; a CONTROLLER listener beside it is ignored; Kafka's default is every interface",
        (listeners, |c, v| c.kafka = address_of(v))),
    own("log.cleaner.backoff.ms", "15000", long(1), "how often the broker looks for logs to compact",
        (|c| millis_text(c.cleaner.backoff), |c, v| millis(&mut c.cleaner.backoff, v))),
    own("log.cleaner.dedupe.buffer.size", "134217728", long(0), "the most bytes of the key map that compaction builds",
        (|c| c.cleaner.dedupe_buffer_bytes.to_string(), |c, v| size(&mut c.cleaner.dedupe_buffer_bytes, v))),
    own("log.cleaner.enable", "true", BOOLEAN, "whether logs are compacted",
        (|c| c.cleaner.enable.to_string(), |c, v| flag(&mut c.cleaner.enable, v))),
    synonym(("log.dir", &["log.dirs"]), DIRECTORY, "the older name of log.dirs", (log_dirs, set_log_dirs)),
    given("log.dirs", DIRECTORY, "the data directory; brooklet serve uses brooklet-data in the working directory", (log_dirs, set_log_dirs)),
    own("log.dirty.bytes.max", "67108864", long(1), "producers wait while more bytes than this are written and not synced; not in Kafka",
        (|c| c.log_dirty_bytes_max.to_string(), |c, v| parse(&mut c.log_dirty_bytes_max, v))),
    own("log.retention.check.interval.ms", "300000", long(1), "how often the broker looks for records to delete by age and size",
        (|c| millis_text(c.cleaner.retention_check_interval), |c, v| millis(&mut c.cleaner.retention_check_interval, v))),
    in_units(("log.retention.hours", &["log.retention.ms", "log.retention.minutes"]), ("retention.ms", HOUR_MS), UNITS, "log.retention.ms in hours"),
    in_units(("log.retention.minutes", &["log.retention.ms"]), ("retention.ms", MINUTE_MS), UNITS, "log.retention.ms in minutes"),
    in_units(("log.roll.hours", &["log.roll.ms"]), ("segment.ms", HOUR_MS), int(1), "log.roll.ms in hours"),
    in_units(("log.roll.jitter.hours", &["log.roll.jitter.ms"]), ("segment.jitter.ms", HOUR_MS), int(0), "log.roll.jitter.ms in hours"),
    own("max.broker.partitions", "10000", int(1), "the most partitions of all topics together, not counting those of the broker itself; not in Kafka",
        (|c| c.partitions_max.to_string(), |c, v| size(&mut c.partitions_max, v))),
    own("max.connections", "8192", int(1), "the most connections at a time; lowered if half of the limit of open files (ulimit -n) is less; Kafka has no limit",
        (|c| c.max_connections.to_string(), |c, v| size(&mut c.max_connections, v))),
    own("max.connections.per.ip", "256", int(1), "the most connections from one address; the default does not apply to loopback, a value that is set does; Kafka has no limit",
        (per_ip, |c, v| c.max_connections_per_ip = v.parse().ok())),
    own("max.incremental.fetch.session.cache.slots", "1000", int(0), "the most incremental fetch sessions; when all are in use, a fetch is answered without one",
        (|c| c.fetch_session_slots.to_string(), |c, v| size(&mut c.fetch_session_slots, v))),
    own("node.id", "1", NODE_ID, "the broker's number, kept in the data directory", (node_id, set_node_id)),
    own("num.partitions", "1", PARTITIONS, "the number of partitions of a topic that is created without one",
        (|c| c.num_partitions.to_string(), |c, v| parse(&mut c.num_partitions, v))),
    own("offset.metadata.max.bytes", "4096", int(0), "the longest metadata text that may be committed with an offset",
        (|c| c.groups.metadata_bytes_max.to_string(), |c, v| size(&mut c.groups.metadata_bytes_max, v))),
    own("offsets.retention.minutes", "10080", int(1), "how long the offsets of a group without members are kept",
        (retention_minutes, set_retention_minutes)),
    own("offsets.topic.num.partitions", "1", PARTITIONS, "the number of partitions that __consumer_offsets is created with; Kafka's default is 50",
        (|c| c.offsets_partition_count.to_string(), |c, v| parse(&mut c.offsets_partition_count, v))),
    own("producer.id.expiration.ms", "86400000", int(1), "an idempotent producer is forgotten after this time without a batch",
        (|c| millis_text(c.producer_id_expiration), |c, v| millis(&mut c.producer_id_expiration, v))),
    own("queued.max.request.bytes", "268435456", long(-1), "the most bytes of all requests that are being read or answered, beyond 64 KiB per connection; -1 for no limit, which is Kafka's default",
        (queued_request_bytes, set_queued_request_bytes)),
    own("queued.max.response.bytes", "268435456", long(1), "the most bytes of records in all responses that are being sent; beyond it a fetch is answered with one batch; not in Kafka",
        (|c| c.queued_response_bytes_max.to_string(), |c, v| size(&mut c.queued_response_bytes_max, v))),
    own("request.read.max.ms", "30000", long(1), "how long a request may take from its first byte to its last; while others wait for memory, a request that is too slow to arrive in time is cut off at once; not in Kafka",
        (|c| millis_text(c.request_read_max), |c, v| millis(&mut c.request_read_max, v))),
    own("response.stall.max.ms", "30000", long(1), "a client is disconnected after it has read nothing of its response for this time; not in Kafka",
        (|c| millis_text(c.response_stall_max), |c, v| millis(&mut c.response_stall_max, v))),
    own("socket.request.max.bytes", "104857600", int(1), "the largest request",
        (|c| c.socket_request_max_bytes.to_string(), |c, v| size(&mut c.socket_request_max_bytes, v))),
    own("transaction.max.timeout.ms", "900000", int(1), "the longest timeout that a transactional producer may request",
        (|c| millis_text(c.transactions.timeout_max), |c, v| millis(&mut c.transactions.timeout_max, v))),
    own("transaction.state.log.num.partitions", "1", PARTITIONS, "the number of partitions that __transaction_state is created with; Kafka's default is 50",
        (|c| c.transactions_partition_count.to_string(), |c, v| parse(&mut c.transactions_partition_count, v))),
    own("transactional.id.expiration.ms", "604800000", int(1), "a transactional id is forgotten after this time without use",
        (|c| millis_text(c.transactions.id_expiration), |c, v| millis(&mut c.transactions.id_expiration, v))),
];

/// Reads and sets a field of the broker's configuration.
type Field = (fn(&BrokerConfig) -> String, fn(&mut BrokerConfig, &str));
/// A name, and the names that outrank it.
type Ranked = (&'static str, &'static [&'static str]);

const fn own(
    name: &'static str,
    default: &'static str,
    kind: ConfigKind,
    doc: &'static str,
    field: Field,
) -> BrokerSetting {
    BrokerSetting {
        default: Some(default),
        ..given(name, kind, doc, field)
    }
}

/// A setting whose default depends on how the broker is started.
const fn given(
    name: &'static str,
    kind: ConfigKind,
    doc: &'static str,
    field: Field,
) -> BrokerSetting {
    synonym((name, &[]), kind, doc, field)
}

const fn synonym(
    (name, outranked_by): Ranked,
    kind: ConfigKind,
    doc: &'static str,
    (get, set): Field,
) -> BrokerSetting {
    BrokerSetting {
        name,
        default: None,
        kind,
        doc,
        outranked_by,
        target: Target::Own { get, set },
    }
}

const fn in_units(
    (name, outranked_by): Ranked,
    (topic, millis): (&'static str, i64),
    kind: ConfigKind,
    doc: &'static str,
) -> BrokerSetting {
    BrokerSetting {
        name,
        default: None,
        kind,
        doc,
        outranked_by,
        target: Target::InUnits { topic, millis },
    }
}

fn size(field: &mut usize, value: &str) {
    parse(field, value);
}

fn queued_request_bytes(config: &BrokerConfig) -> String {
    match config.queued_request_bytes_max {
        usize::MAX => "-1".to_owned(),
        bytes => bytes.to_string(),
    }
}

fn set_queued_request_bytes(config: &mut BrokerConfig, value: &str) {
    let bytes = value.parse().ok().filter(|bytes| *bytes > 0);
    config.queued_request_bytes_max = bytes.unwrap_or(usize::MAX);
}

fn per_ip(config: &BrokerConfig) -> String {
    let given = config.max_connections_per_ip;
    given
        .unwrap_or(Limits::CONNECTIONS_PER_ADDRESS_MAX_DEFAULT)
        .to_string()
}

fn retention_minutes(config: &BrokerConfig) -> String {
    (config.groups.offsets_retention.as_secs() / 60).to_string()
}

fn set_retention_minutes(config: &mut BrokerConfig, value: &str) {
    let mut minutes = 0;
    parse(&mut minutes, value);
    config.groups.offsets_retention = Duration::from_secs(minutes * 60);
}

fn node_id(config: &BrokerConfig) -> String {
    config
        .node_id
        .unwrap_or(BrokerConfig::NODE_ID_DEFAULT)
        .to_string()
}

fn set_node_id(config: &mut BrokerConfig, value: &str) {
    config.node_id = value.parse().ok().map(BrokerId);
}

fn listeners(config: &BrokerConfig) -> String {
    let address = config.kafka.as_deref();
    address.map_or_else(String::new, |address| format!("{PLAINTEXT}://{address}"))
}

fn advertised(config: &BrokerConfig) -> String {
    match &config.advertised {
        Some((host, port)) if host.contains(':') => format!("{PLAINTEXT}://[{host}]:{port}"),
        Some((host, port)) => format!("{PLAINTEXT}://{host}:{port}"),
        None => String::new(),
    }
}

/// As `listeners`, with a host that names one machine, so that clients can use it.
fn advertised_of(listeners: &str) -> Option<(String, u16)> {
    let address = address_of(listeners)?;
    let (host, port) = address.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_any = host.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified());
    let port = port.parse().ok()?;
    (!is_any).then(|| (host.to_owned(), port))
}

const PLAINTEXT: &str = "PLAINTEXT";

/// The listener for votes in the configuration files that Kafka ships. There are no votes here.
const CONTROLLER: &str = "CONTROLLER";

/// The HOST:PORT of the one listener for clients.
fn address_of(listeners: &str) -> Option<String> {
    let mut for_clients = listeners.split(',').filter(|listener| {
        let name = listener.trim().split_once("://").map(|(name, _)| name);
        !name.is_some_and(|name| name.eq_ignore_ascii_case(CONTROLLER))
    });
    let listener = for_clients.next()?.trim();
    if for_clients.next().is_some() {
        return None;
    }
    let (protocol, address) = listener.split_once("://")?;
    let (host, port) = address.rsplit_once(':')?;
    let is_one = protocol.eq_ignore_ascii_case(PLAINTEXT) && !host.contains([',', '/', ' ']);
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    let port: u16 = port.parse().ok()?;
    is_one.then(|| format!("{host}:{port}"))
}

fn log_dirs(config: &BrokerConfig) -> String {
    match &config.storage {
        Storage::Directory(path) => path.display().to_string(),
        Storage::Ephemeral => String::new(),
    }
}

fn set_log_dirs(config: &mut BrokerConfig, value: &str) {
    config.storage = Storage::Directory(PathBuf::from(value));
}
