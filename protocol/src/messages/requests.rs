//! The shapes of the requests that Brooklet serves.
//!
//! Field names and versions are those of Kafka's message schemas; `tests.rs` holds every table
//! against the decoder and the encoder of `kafka-protocol`, version by version.

use super::ApiKey;
use super::cluster::requests::{
    ALTER_PARTITION_REASSIGNMENTS, DESCRIBE_TOPIC_PARTITIONS, ELECT_LEADERS,
    GET_TELEMETRY_SUBSCRIPTIONS, LIST_PARTITION_REASSIGNMENTS, OFFSET_FOR_LEADER_EPOCH,
    PUSH_TELEMETRY, UPDATE_FEATURES,
};
use super::security::requests as security;
use super::shape::Kind::{
    Bool, Bytes, HeaderString, Int8, Int16, Int32, Int32s, Int64, String, Strings, Struct, Structs,
    Uuid,
};
use super::shape::{Field, Shape, field};
use super::transactions::requests::{
    ADD_OFFSETS_TO_TXN, ADD_PARTITIONS_TO_TXN, DESCRIBE_TRANSACTIONS, END_TXN, LIST_TRANSACTIONS,
    TXN_OFFSET_COMMIT, WRITE_TXN_MARKERS,
};

/// The shape of the request of `api`; `None` when Brooklet does not serve it.
pub fn request_shape(api: ApiKey) -> Option<&'static Shape> {
    REQUESTS.iter().find(|shape| shape.api == api)
}

/// Before every request: version 1, and 2 with tagged fields.
pub(super) const REQUEST_HEADER: &[Field] = &[
    field("request_api_key", Int16),
    field("request_api_version", Int16),
    field("correlation_id", Int32),
    field("client_id", HeaderString).nullable(),
];

/// Every request that is served.
pub(super) static REQUESTS: &[Shape] = &[
    Shape::new(ApiKey::Produce, 3..=13, 9, PRODUCE),
    Shape::new(ApiKey::Fetch, 4..=18, 12, FETCH),
    Shape::new(ApiKey::ListOffsets, 1..=10, 6, LIST_OFFSETS),
    Shape::new(ApiKey::Metadata, 0..=13, 9, METADATA),
    Shape::new(ApiKey::OffsetCommit, 2..=9, 8, OFFSET_COMMIT),
    Shape::new(ApiKey::OffsetFetch, 1..=9, 6, OFFSET_FETCH),
    Shape::new(ApiKey::FindCoordinator, 0..=6, 3, FIND_COORDINATOR),
    Shape::new(ApiKey::JoinGroup, 0..=9, 6, JOIN_GROUP),
    Shape::new(ApiKey::Heartbeat, 0..=4, 4, HEARTBEAT),
    Shape::new(ApiKey::LeaveGroup, 0..=5, 4, LEAVE_GROUP),
    Shape::new(ApiKey::SyncGroup, 0..=5, 4, SYNC_GROUP),
    Shape::new(ApiKey::DescribeGroups, 0..=6, 5, DESCRIBE_GROUPS),
    Shape::new(ApiKey::ListGroups, 0..=5, 3, LIST_GROUPS),
    Shape::new(ApiKey::ApiVersions, 0..=4, 3, API_VERSIONS),
    Shape::new(ApiKey::CreateTopics, 2..=7, 5, CREATE_TOPICS),
    Shape::new(ApiKey::DeleteTopics, 1..=6, 4, DELETE_TOPICS),
    Shape::new(ApiKey::DeleteRecords, 0..=2, 2, DELETE_RECORDS),
    Shape::new(ApiKey::InitProducerId, 0..=5, 2, INIT_PRODUCER_ID),
    Shape::new(ApiKey::AddPartitionsToTxn, 0..=5, 3, ADD_PARTITIONS_TO_TXN),
    Shape::new(ApiKey::AddOffsetsToTxn, 0..=4, 3, ADD_OFFSETS_TO_TXN),
    Shape::new(ApiKey::EndTxn, 0..=5, 3, END_TXN),
    Shape::new(ApiKey::WriteTxnMarkers, 1..=1, 1, WRITE_TXN_MARKERS),
    Shape::new(ApiKey::TxnOffsetCommit, 0..=5, 3, TXN_OFFSET_COMMIT),
    Shape::new(ApiKey::DescribeConfigs, 1..=4, 4, DESCRIBE_CONFIGS),
    Shape::new(ApiKey::AlterConfigs, 0..=2, 2, ALTER_CONFIGS),
    Shape::new(ApiKey::DescribeLogDirs, 1..=4, 2, DESCRIBE_LOG_DIRS),
    Shape::new(ApiKey::CreatePartitions, 0..=3, 2, CREATE_PARTITIONS),
    Shape::new(ApiKey::DeleteGroups, 0..=2, 2, DELETE_GROUPS),
    Shape::new(
        ApiKey::IncrementalAlterConfigs,
        0..=1,
        1,
        INCREMENTAL_ALTER_CONFIGS,
    ),
    Shape::new(ApiKey::OffsetDelete, 0..=0, i16::MAX, OFFSET_DELETE),
    Shape::new(ApiKey::DescribeCluster, 0..=2, 0, DESCRIBE_CLUSTER),
    Shape::new(ApiKey::DescribeProducers, 0..=0, 0, DESCRIBE_PRODUCERS),
    Shape::new(
        ApiKey::DescribeTransactions,
        0..=0,
        0,
        DESCRIBE_TRANSACTIONS,
    ),
    Shape::new(ApiKey::ListTransactions, 0..=2, 0, LIST_TRANSACTIONS),
    Shape::new(
        ApiKey::OffsetForLeaderEpoch,
        2..=4,
        4,
        OFFSET_FOR_LEADER_EPOCH,
    ),
    Shape::new(ApiKey::ElectLeaders, 0..=2, 2, ELECT_LEADERS),
    Shape::new(
        ApiKey::AlterPartitionReassignments,
        0..=1,
        0,
        ALTER_PARTITION_REASSIGNMENTS,
    ),
    Shape::new(
        ApiKey::ListPartitionReassignments,
        0..=0,
        0,
        LIST_PARTITION_REASSIGNMENTS,
    ),
    Shape::new(ApiKey::UpdateFeatures, 0..=2, 0, UPDATE_FEATURES),
    Shape::new(
        ApiKey::GetTelemetrySubscriptions,
        0..=0,
        0,
        GET_TELEMETRY_SUBSCRIPTIONS,
    ),
    Shape::new(ApiKey::PushTelemetry, 0..=0, 0, PUSH_TELEMETRY),
    Shape::new(
        ApiKey::DescribeTopicPartitions,
        0..=0,
        0,
        DESCRIBE_TOPIC_PARTITIONS,
    ),
    security::SASL_HANDSHAKE,
    security::DESCRIBE_ACLS,
    security::CREATE_ACLS,
    security::DELETE_ACLS,
    security::SASL_AUTHENTICATE,
    security::CREATE_DELEGATION_TOKEN,
    security::RENEW_DELEGATION_TOKEN,
    security::EXPIRE_DELEGATION_TOKEN,
    security::DESCRIBE_DELEGATION_TOKEN,
    security::DESCRIBE_CLIENT_QUOTAS,
    security::DESCRIBE_USER_SCRAM_CREDENTIALS,
];

const PRODUCE: &[Field] = &[
    field("transactional_id", String).nullable(),
    field("acks", Int16),
    field("timeout_ms", Int32),
    field("topic_data", Structs(TOPIC_PRODUCE_DATA)),
];
const TOPIC_PRODUCE_DATA: &[Field] = &[
    field("name", String).until(12),
    field("topic_id", Uuid).since(13),
    field("partition_data", Structs(PARTITION_PRODUCE_DATA)),
];
const PARTITION_PRODUCE_DATA: &[Field] =
    &[field("index", Int32), field("records", Bytes).nullable()];

const FETCH: &[Field] = &[
    field("replica_id", Int32).until(14),
    field("max_wait_ms", Int32),
    field("min_bytes", Int32),
    field("max_bytes", Int32),
    field("isolation_level", Int8),
    field("session_id", Int32).since(7),
    field("session_epoch", Int32).since(7),
    field("topics", Structs(FETCH_TOPIC)),
    field("forgotten_topics_data", Structs(FORGOTTEN_TOPIC)).since(7),
    field("rack_id", String).since(11),
    field("cluster_id", String).nullable().tagged(0),
    field("replica_state", Struct(REPLICA_STATE))
        .since(15)
        .tagged(1),
];
const REPLICA_STATE: &[Field] = &[field("replica_id", Int32), field("replica_epoch", Int64)];
const FETCH_TOPIC: &[Field] = &[
    field("topic", String).until(12),
    field("topic_id", Uuid).since(13),
    field("partitions", Structs(FETCH_PARTITION)),
];
const FETCH_PARTITION: &[Field] = &[
    field("partition", Int32),
    field("current_leader_epoch", Int32).since(9),
    field("fetch_offset", Int64),
    field("last_fetched_epoch", Int32).since(12),
    field("log_start_offset", Int64).since(5),
    field("partition_max_bytes", Int32),
    field("replica_directory_id", Uuid).since(17).tagged(0),
    field("high_watermark", Int64).since(18).tagged(1),
];
const FORGOTTEN_TOPIC: &[Field] = &[
    field("topic", String).until(12),
    field("topic_id", Uuid).since(13),
    field("partitions", Int32s),
];

const LIST_OFFSETS: &[Field] = &[
    field("replica_id", Int32),
    field("isolation_level", Int8).since(2),
    field("topics", Structs(LIST_OFFSETS_TOPIC)),
    field("timeout_ms", Int32).since(10),
];
const LIST_OFFSETS_TOPIC: &[Field] = &[
    field("name", String),
    field("partitions", Structs(LIST_OFFSETS_PARTITION)),
];
const LIST_OFFSETS_PARTITION: &[Field] = &[
    field("partition_index", Int32),
    field("current_leader_epoch", Int32).since(4),
    field("timestamp", Int64),
];

const METADATA: &[Field] = &[
    field("topics", Structs(METADATA_TOPIC)).nullable(),
    field("allow_auto_topic_creation", Bool).since(4),
    field("include_cluster_authorized_operations", Bool)
        .since(8)
        .until(10),
    field("include_topic_authorized_operations", Bool).since(8),
];
const METADATA_TOPIC: &[Field] = &[
    field("topic_id", Uuid).since(10),
    field("name", String).nullable(),
];

const FIND_COORDINATOR: &[Field] = &[
    field("key", String).until(3),
    field("key_type", Int8).since(1),
    field("coordinator_keys", Strings).since(4),
];

const OFFSET_COMMIT: &[Field] = &[
    field("group_id", String),
    field("generation_id_or_member_epoch", Int32),
    field("member_id", String),
    field("group_instance_id", String).nullable().since(7),
    field("retention_time_ms", Int64).until(4),
    field("topics", Structs(OFFSET_COMMIT_TOPIC)),
];
const OFFSET_COMMIT_TOPIC: &[Field] = &[
    field("name", String),
    field("partitions", Structs(OFFSET_COMMIT_PARTITION)),
];
const OFFSET_COMMIT_PARTITION: &[Field] = &[
    field("partition_index", Int32),
    field("committed_offset", Int64),
    field("committed_leader_epoch", Int32).since(6),
    field("committed_metadata", String).nullable(),
];

const OFFSET_FETCH: &[Field] = &[
    field("group_id", String).until(7),
    field("topics", Structs(OFFSET_FETCH_TOPIC))
        .nullable()
        .until(7),
    field("groups", Structs(OFFSET_FETCH_GROUP)).since(8),
    field("require_stable", Bool).since(7),
];
const OFFSET_FETCH_GROUP: &[Field] = &[
    field("group_id", String),
    field("member_id", String).nullable().since(9),
    field("member_epoch", Int32).since(9),
    field("topics", Structs(OFFSET_FETCH_TOPIC)).nullable(),
];
const OFFSET_FETCH_TOPIC: &[Field] = &[field("name", String), field("partition_indexes", Int32s)];

const JOIN_GROUP: &[Field] = &[
    field("group_id", String),
    field("session_timeout_ms", Int32),
    field("rebalance_timeout_ms", Int32).since(1),
    field("member_id", String),
    field("group_instance_id", String).nullable().since(5),
    field("protocol_type", String),
    field("protocols", Structs(JOIN_GROUP_PROTOCOL)),
    field("reason", String).nullable().since(8),
];
const JOIN_GROUP_PROTOCOL: &[Field] = &[field("name", String), field("metadata", Bytes)];

const HEARTBEAT: &[Field] = &[
    field("group_id", String),
    field("generation_id", Int32),
    field("member_id", String),
    field("group_instance_id", String).nullable().since(3),
];

const LEAVE_GROUP: &[Field] = &[
    field("group_id", String),
    field("member_id", String).until(2),
    field("members", Structs(MEMBER_IDENTITY)).since(3),
];
const MEMBER_IDENTITY: &[Field] = &[
    field("member_id", String),
    field("group_instance_id", String).nullable(),
    field("reason", String).nullable().since(5),
];

const SYNC_GROUP: &[Field] = &[
    field("group_id", String),
    field("generation_id", Int32),
    field("member_id", String),
    field("group_instance_id", String).nullable().since(3),
    field("protocol_type", String).nullable().since(5),
    field("protocol_name", String).nullable().since(5),
    field("assignments", Structs(SYNC_GROUP_ASSIGNMENT)),
];
const SYNC_GROUP_ASSIGNMENT: &[Field] = &[field("member_id", String), field("assignment", Bytes)];

const DESCRIBE_GROUPS: &[Field] = &[
    field("groups", Strings),
    field("include_authorized_operations", Bool).since(3),
];

const LIST_GROUPS: &[Field] = &[
    field("states_filter", Strings).since(4),
    field("types_filter", Strings).since(5),
];

const DELETE_GROUPS: &[Field] = &[field("groups_names", Strings)];

const DESCRIBE_LOG_DIRS: &[Field] =
    &[field("topics", Structs(DESCRIBABLE_LOG_DIR_TOPIC)).nullable()];
const DESCRIBABLE_LOG_DIR_TOPIC: &[Field] = &[field("topic", String), field("partitions", Int32s)];

const CREATE_PARTITIONS: &[Field] = &[
    field("topics", Structs(CREATE_PARTITIONS_TOPIC)),
    field("timeout_ms", Int32),
    field("validate_only", Bool),
];
const CREATE_PARTITIONS_TOPIC: &[Field] = &[
    field("name", String),
    field("count", Int32),
    field("assignments", Structs(CREATE_PARTITIONS_ASSIGNMENT)).nullable(),
];
const CREATE_PARTITIONS_ASSIGNMENT: &[Field] = &[field("broker_ids", Int32s)];

const DESCRIBE_CLUSTER: &[Field] = &[
    field("include_cluster_authorized_operations", Bool),
    field("endpoint_type", Int8).since(1),
    field("include_fenced_brokers", Bool).since(2),
];

const DESCRIBE_PRODUCERS: &[Field] = &[field("topics", Structs(DESCRIBE_PRODUCERS_TOPIC))];
const DESCRIBE_PRODUCERS_TOPIC: &[Field] =
    &[field("name", String), field("partition_indexes", Int32s)];

const OFFSET_DELETE: &[Field] = &[
    field("group_id", String),
    field("topics", Structs(OFFSET_DELETE_TOPIC)),
];
const OFFSET_DELETE_TOPIC: &[Field] = &[
    field("name", String),
    field("partitions", Structs(OFFSET_DELETE_PARTITION)),
];
const OFFSET_DELETE_PARTITION: &[Field] = &[field("partition_index", Int32)];

const API_VERSIONS: &[Field] = &[
    field("client_software_name", String).since(3),
    field("client_software_version", String).since(3),
];

const CREATE_TOPICS: &[Field] = &[
    field("topics", Structs(CREATABLE_TOPIC)),
    field("timeout_ms", Int32),
    field("validate_only", Bool),
];
const CREATABLE_TOPIC: &[Field] = &[
    field("name", String),
    field("num_partitions", Int32),
    field("replication_factor", Int16),
    field("assignments", Structs(CREATABLE_REPLICA_ASSIGNMENT)),
    field("configs", Structs(CREATABLE_TOPIC_CONFIG)),
];
const CREATABLE_REPLICA_ASSIGNMENT: &[Field] =
    &[field("partition_index", Int32), field("broker_ids", Int32s)];
const CREATABLE_TOPIC_CONFIG: &[Field] =
    &[field("name", String), field("value", String).nullable()];

const DELETE_TOPICS: &[Field] = &[
    field("topics", Structs(DELETE_TOPIC_STATE)).since(6),
    field("topic_names", Strings).until(5),
    field("timeout_ms", Int32),
];
const DELETE_TOPIC_STATE: &[Field] = &[field("name", String).nullable(), field("topic_id", Uuid)];

const INIT_PRODUCER_ID: &[Field] = &[
    field("transactional_id", String).nullable(),
    field("transaction_timeout_ms", Int32),
    field("producer_id", Int64).since(3),
    field("producer_epoch", Int16).since(3),
];

const DELETE_RECORDS: &[Field] = &[
    field("topics", Structs(DELETE_RECORDS_TOPIC)),
    field("timeout_ms", Int32),
];
const DELETE_RECORDS_TOPIC: &[Field] = &[
    field("name", String),
    field("partitions", Structs(DELETE_RECORDS_PARTITION)),
];
const DELETE_RECORDS_PARTITION: &[Field] =
    &[field("partition_index", Int32), field("offset", Int64)];

const DESCRIBE_CONFIGS: &[Field] = &[
    field("resources", Structs(DESCRIBE_CONFIGS_RESOURCE)),
    field("include_synonyms", Bool),
    field("include_documentation", Bool).since(3),
];
const DESCRIBE_CONFIGS_RESOURCE: &[Field] = &[
    field("resource_type", Int8),
    field("resource_name", String),
    field("configuration_keys", Strings).nullable(),
];

const ALTER_CONFIGS: &[Field] = &[
    field("resources", Structs(ALTER_CONFIGS_RESOURCE)),
    field("validate_only", Bool),
];
const ALTER_CONFIGS_RESOURCE: &[Field] = &[
    field("resource_type", Int8),
    field("resource_name", String),
    field("configs", Structs(ALTERABLE_CONFIG)),
];
const ALTERABLE_CONFIG: &[Field] = &[field("name", String), field("value", String).nullable()];

const INCREMENTAL_ALTER_CONFIGS: &[Field] = &[
    field("resources", Structs(INCREMENTAL_ALTER_CONFIGS_RESOURCE)),
    field("validate_only", Bool),
];
const INCREMENTAL_ALTER_CONFIGS_RESOURCE: &[Field] = &[
    field("resource_type", Int8),
    field("resource_name", String),
    field("configs", Structs(INCREMENTALLY_ALTERABLE_CONFIG)),
];
const INCREMENTALLY_ALTERABLE_CONFIG: &[Field] = &[
    field("name", String),
    field("config_operation", Int8),
    field("value", String).nullable(),
];
