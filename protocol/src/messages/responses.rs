//! The shapes of the responses to the requests that Brooklet serves, for its own client.
//!
//! A client trusts its broker more than a broker its clients, but not with its memory: the address
//! may be wrong, and then anything answers.

use super::ApiKey;
use super::cluster::responses::{
    ALTER_PARTITION_REASSIGNMENTS, DESCRIBE_TOPIC_PARTITIONS, ELECT_LEADERS,
    GET_TELEMETRY_SUBSCRIPTIONS, LIST_PARTITION_REASSIGNMENTS, OFFSET_FOR_LEADER_EPOCH,
    PUSH_TELEMETRY, UPDATE_FEATURES,
};
use super::security::responses as security;
use super::shape::Kind::{
    Bool, Bytes, Int8, Int16, Int32, Int32s, Int64, String, Struct, Structs, Uuid,
};
use super::shape::{Field, Shape, field};
use super::transactions::responses::{
    ADD_OFFSETS_TO_TXN, ADD_PARTITIONS_TO_TXN, DESCRIBE_TRANSACTIONS, END_TXN, LIST_TRANSACTIONS,
    TXN_OFFSET_COMMIT, WRITE_TXN_MARKERS,
};

/// The shape of the response of `api`; `None` when Brooklet does not serve it.
pub fn response_shape(api: ApiKey) -> Option<&'static Shape> {
    RESPONSES.iter().find(|shape| shape.api == api)
}

/// Before every response: version 0, and 1 with tagged fields.
pub(super) const RESPONSE_HEADER: &[Field] = &[field("correlation_id", Int32)];

/// Every response, in the order of the requests.
pub(super) static RESPONSES: &[Shape] = &[
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
    Shape::new(ApiKey::IncrementalAlterConfigs, 0..=1, 1, ALTER_CONFIGS),
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

const LEADER_ID_AND_EPOCH: &[Field] = &[field("leader_id", Int32), field("leader_epoch", Int32)];
const NODE_ENDPOINT: &[Field] = &[
    field("node_id", Int32),
    field("host", String),
    field("port", Int32),
    field("rack", String).nullable(),
];

const PRODUCE: &[Field] = &[
    field("responses", Structs(TOPIC_PRODUCE_RESPONSE)),
    field("throttle_time_ms", Int32),
    field("node_endpoints", Structs(NODE_ENDPOINT))
        .since(10)
        .tagged(0),
];
const TOPIC_PRODUCE_RESPONSE: &[Field] = &[
    field("name", String).until(12),
    field("topic_id", Uuid).since(13),
    field("partition_responses", Structs(PARTITION_PRODUCE_RESPONSE)),
];
const PARTITION_PRODUCE_RESPONSE: &[Field] = &[
    field("index", Int32),
    field("error_code", Int16),
    field("base_offset", Int64),
    field("log_append_time_ms", Int64),
    field("log_start_offset", Int64).since(5),
    field("record_errors", Structs(BATCH_INDEX_AND_ERROR_MESSAGE)).since(8),
    field("error_message", String).nullable().since(8),
    field("current_leader", Struct(LEADER_ID_AND_EPOCH))
        .since(10)
        .tagged(0),
];
const BATCH_INDEX_AND_ERROR_MESSAGE: &[Field] = &[
    field("batch_index", Int32),
    field("batch_index_error_message", String).nullable(),
];

const FETCH: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("error_code", Int16).since(7),
    field("session_id", Int32).since(7),
    field("responses", Structs(FETCHABLE_TOPIC_RESPONSE)),
    field("node_endpoints", Structs(NODE_ENDPOINT))
        .since(16)
        .tagged(0),
];
const FETCHABLE_TOPIC_RESPONSE: &[Field] = &[
    field("topic", String).until(12),
    field("topic_id", Uuid).since(13),
    field("partitions", Structs(PARTITION_DATA)),
];
const PARTITION_DATA: &[Field] = &[
    field("partition_index", Int32),
    field("error_code", Int16),
    field("high_watermark", Int64),
    field("last_stable_offset", Int64),
    field("log_start_offset", Int64).since(5),
    field("aborted_transactions", Structs(ABORTED_TRANSACTION)).nullable(),
    field("preferred_read_replica", Int32).since(11),
    field("records", Bytes).nullable(),
    field("diverging_epoch", Struct(EPOCH_END_OFFSET)).tagged(0),
    field("current_leader", Struct(LEADER_ID_AND_EPOCH)).tagged(1),
    field("snapshot_id", Struct(SNAPSHOT_ID)).tagged(2),
];
const ABORTED_TRANSACTION: &[Field] = &[field("producer_id", Int64), field("first_offset", Int64)];
const EPOCH_END_OFFSET: &[Field] = &[field("epoch", Int32), field("end_offset", Int64)];
const SNAPSHOT_ID: &[Field] = &[field("end_offset", Int64), field("epoch", Int32)];

const LIST_OFFSETS: &[Field] = &[
    field("throttle_time_ms", Int32).since(2),
    field("topics", Structs(LIST_OFFSETS_TOPIC_RESPONSE)),
];
const LIST_OFFSETS_TOPIC_RESPONSE: &[Field] = &[
    field("name", String),
    field("partitions", Structs(LIST_OFFSETS_PARTITION_RESPONSE)),
];
const LIST_OFFSETS_PARTITION_RESPONSE: &[Field] = &[
    field("partition_index", Int32),
    field("error_code", Int16),
    field("timestamp", Int64),
    field("offset", Int64),
    field("leader_epoch", Int32).since(4),
];

const METADATA: &[Field] = &[
    field("throttle_time_ms", Int32).since(3),
    field("brokers", Structs(METADATA_BROKER)),
    field("cluster_id", String).nullable().since(2),
    field("controller_id", Int32).since(1),
    field("topics", Structs(METADATA_TOPIC)),
    field("cluster_authorized_operations", Int32)
        .since(8)
        .until(10),
    field("error_code", Int16).since(13),
];
const METADATA_BROKER: &[Field] = &[
    field("node_id", Int32),
    field("host", String),
    field("port", Int32),
    field("rack", String).nullable().since(1),
];
const METADATA_TOPIC: &[Field] = &[
    field("error_code", Int16),
    field("name", String).nullable(),
    field("topic_id", Uuid).since(10),
    field("is_internal", Bool).since(1),
    field("partitions", Structs(METADATA_PARTITION)),
    field("topic_authorized_operations", Int32).since(8),
];
const METADATA_PARTITION: &[Field] = &[
    field("error_code", Int16),
    field("partition_index", Int32),
    field("leader_id", Int32),
    field("leader_epoch", Int32).since(7),
    field("replica_nodes", Int32s),
    field("isr_nodes", Int32s),
    field("offline_replicas", Int32s).since(5),
];

const OFFSET_COMMIT: &[Field] = &[
    field("throttle_time_ms", Int32).since(3),
    field("topics", Structs(OFFSET_COMMIT_TOPIC)),
];
const OFFSET_COMMIT_TOPIC: &[Field] = &[
    field("name", String),
    field("partitions", Structs(PARTITION_AND_ERROR)),
];
const PARTITION_AND_ERROR: &[Field] =
    &[field("partition_index", Int32), field("error_code", Int16)];

const OFFSET_FETCH: &[Field] = &[
    field("throttle_time_ms", Int32).since(3),
    field("topics", Structs(OFFSET_FETCH_TOPIC)).until(7),
    field("error_code", Int16).since(2).until(7),
    field("groups", Structs(OFFSET_FETCH_GROUP)).since(8),
];
const OFFSET_FETCH_GROUP: &[Field] = &[
    field("group_id", String),
    field("topics", Structs(OFFSET_FETCH_TOPIC)),
    field("error_code", Int16),
];
const OFFSET_FETCH_TOPIC: &[Field] = &[
    field("name", String),
    field("partitions", Structs(OFFSET_FETCH_PARTITION)),
];
const OFFSET_FETCH_PARTITION: &[Field] = &[
    field("partition_index", Int32),
    field("committed_offset", Int64),
    field("committed_leader_epoch", Int32).since(5),
    field("metadata", String).nullable(),
    field("error_code", Int16),
];

const FIND_COORDINATOR: &[Field] = &[
    field("throttle_time_ms", Int32).since(1),
    field("error_code", Int16).until(3),
    field("error_message", String).nullable().since(1).until(3),
    field("node_id", Int32).until(3),
    field("host", String).until(3),
    field("port", Int32).until(3),
    field("coordinators", Structs(COORDINATOR)).since(4),
];
const COORDINATOR: &[Field] = &[
    field("key", String),
    field("node_id", Int32),
    field("host", String),
    field("port", Int32),
    field("error_code", Int16),
    field("error_message", String).nullable(),
];

const JOIN_GROUP: &[Field] = &[
    field("throttle_time_ms", Int32).since(2),
    field("error_code", Int16),
    field("generation_id", Int32),
    field("protocol_type", String).nullable().since(7),
    field("protocol_name", String).nullable(),
    field("leader", String),
    field("skip_assignment", Bool).since(9),
    field("member_id", String),
    field("members", Structs(JOIN_GROUP_MEMBER)),
];
const JOIN_GROUP_MEMBER: &[Field] = &[
    field("member_id", String),
    field("group_instance_id", String).nullable().since(5),
    field("metadata", Bytes),
];

const HEARTBEAT: &[Field] = &[
    field("throttle_time_ms", Int32).since(1),
    field("error_code", Int16),
];

const LEAVE_GROUP: &[Field] = &[
    field("throttle_time_ms", Int32).since(1),
    field("error_code", Int16),
    field("members", Structs(LEAVE_GROUP_MEMBER)).since(3),
];
const LEAVE_GROUP_MEMBER: &[Field] = &[
    field("member_id", String),
    field("group_instance_id", String).nullable(),
    field("error_code", Int16),
];

const SYNC_GROUP: &[Field] = &[
    field("throttle_time_ms", Int32).since(1),
    field("error_code", Int16),
    field("protocol_type", String).nullable().since(5),
    field("protocol_name", String).nullable().since(5),
    field("assignment", Bytes),
];

const DESCRIBE_GROUPS: &[Field] = &[
    field("throttle_time_ms", Int32).since(1),
    field("groups", Structs(DESCRIBED_GROUP)),
];
const DESCRIBED_GROUP: &[Field] = &[
    field("error_code", Int16),
    field("error_message", String).nullable().since(6),
    field("group_id", String),
    field("group_state", String),
    field("protocol_type", String),
    field("protocol_data", String),
    field("members", Structs(DESCRIBED_GROUP_MEMBER)),
    field("authorized_operations", Int32).since(3),
];
const DESCRIBED_GROUP_MEMBER: &[Field] = &[
    field("member_id", String),
    field("group_instance_id", String).nullable().since(4),
    field("client_id", String),
    field("client_host", String),
    field("member_metadata", Bytes),
    field("member_assignment", Bytes),
];

const LIST_GROUPS: &[Field] = &[
    field("throttle_time_ms", Int32).since(1),
    field("error_code", Int16),
    field("groups", Structs(LISTED_GROUP)),
];
const LISTED_GROUP: &[Field] = &[
    field("group_id", String),
    field("protocol_type", String),
    field("group_state", String).since(4),
    field("group_type", String).since(5),
];

const DELETE_GROUPS: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("results", Structs(DELETABLE_GROUP_RESULT)),
];
const DELETABLE_GROUP_RESULT: &[Field] = &[field("group_id", String), field("error_code", Int16)];

const DESCRIBE_LOG_DIRS: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("error_code", Int16).since(3),
    field("results", Structs(DESCRIBE_LOG_DIRS_RESULT)),
];
const DESCRIBE_LOG_DIRS_RESULT: &[Field] = &[
    field("error_code", Int16),
    field("log_dir", String),
    field("topics", Structs(DESCRIBE_LOG_DIRS_TOPIC)),
    field("total_bytes", Int64).since(4),
    field("usable_bytes", Int64).since(4),
];
const DESCRIBE_LOG_DIRS_TOPIC: &[Field] = &[
    field("name", String),
    field("partitions", Structs(DESCRIBE_LOG_DIRS_PARTITION)),
];
const DESCRIBE_LOG_DIRS_PARTITION: &[Field] = &[
    field("partition_index", Int32),
    field("partition_size", Int64),
    field("offset_lag", Int64),
    field("is_future_key", Bool),
];

const CREATE_PARTITIONS: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("results", Structs(CREATE_PARTITIONS_TOPIC_RESULT)),
];
const CREATE_PARTITIONS_TOPIC_RESULT: &[Field] = &[
    field("name", String),
    field("error_code", Int16),
    field("error_message", String).nullable(),
];

const DESCRIBE_CLUSTER: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("error_code", Int16),
    field("error_message", String).nullable(),
    field("endpoint_type", Int8).since(1),
    field("cluster_id", String),
    field("controller_id", Int32),
    field("brokers", Structs(DESCRIBE_CLUSTER_BROKER)),
    field("cluster_authorized_operations", Int32),
];
const DESCRIBE_CLUSTER_BROKER: &[Field] = &[
    field("broker_id", Int32),
    field("host", String),
    field("port", Int32),
    field("rack", String).nullable(),
    field("is_fenced", Bool).since(2),
];

const DESCRIBE_PRODUCERS: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("topics", Structs(DESCRIBE_PRODUCERS_TOPIC)),
];
const DESCRIBE_PRODUCERS_TOPIC: &[Field] = &[
    field("name", String),
    field("partitions", Structs(DESCRIBE_PRODUCERS_PARTITION)),
];
const DESCRIBE_PRODUCERS_PARTITION: &[Field] = &[
    field("partition_index", Int32),
    field("error_code", Int16),
    field("error_message", String).nullable(),
    field("active_producers", Structs(PRODUCER_STATE)),
];
const PRODUCER_STATE: &[Field] = &[
    field("producer_id", Int64),
    field("producer_epoch", Int32),
    field("last_sequence", Int32),
    field("last_timestamp", Int64),
    field("coordinator_epoch", Int32),
    field("current_txn_start_offset", Int64),
];

const OFFSET_DELETE: &[Field] = &[
    field("error_code", Int16),
    field("throttle_time_ms", Int32),
    field("topics", Structs(OFFSET_COMMIT_TOPIC)),
];

const API_VERSIONS: &[Field] = &[
    field("error_code", Int16),
    field("api_keys", Structs(API_VERSION)),
    field("throttle_time_ms", Int32).since(1),
    field("supported_features", Structs(SUPPORTED_FEATURE)).tagged(0),
    field("finalized_features_epoch", Int64).tagged(1),
    field("finalized_features", Structs(FINALIZED_FEATURE)).tagged(2),
    field("zk_migration_ready", Bool).tagged(3),
];
const API_VERSION: &[Field] = &[
    field("api_key", Int16),
    field("min_version", Int16),
    field("max_version", Int16),
];
const SUPPORTED_FEATURE: &[Field] = &[
    field("name", String),
    field("min_version", Int16),
    field("max_version", Int16),
];
const FINALIZED_FEATURE: &[Field] = &[
    field("name", String),
    field("max_version_level", Int16),
    field("min_version_level", Int16),
];

const CREATE_TOPICS: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("topics", Structs(CREATABLE_TOPIC_RESULT)),
];
const CREATABLE_TOPIC_RESULT: &[Field] = &[
    field("name", String),
    field("topic_id", Uuid).since(7),
    field("error_code", Int16),
    field("error_message", String).nullable(),
    field("num_partitions", Int32).since(5),
    field("replication_factor", Int16).since(5),
    field("configs", Structs(CREATABLE_TOPIC_CONFIGS))
        .nullable()
        .since(5),
    field("topic_config_error_code", Int16).tagged(0),
];
const CREATABLE_TOPIC_CONFIGS: &[Field] = &[
    field("name", String),
    field("value", String).nullable(),
    field("read_only", Bool),
    field("config_source", Int8),
    field("is_sensitive", Bool),
];

const DELETE_TOPICS: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("responses", Structs(DELETABLE_TOPIC_RESULT)),
];
const DELETABLE_TOPIC_RESULT: &[Field] = &[
    field("name", String).nullable(),
    field("topic_id", Uuid).since(6),
    field("error_code", Int16),
    field("error_message", String).nullable().since(5),
];

const INIT_PRODUCER_ID: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("error_code", Int16),
    field("producer_id", Int64),
    field("producer_epoch", Int16),
];

const DELETE_RECORDS: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("topics", Structs(DELETE_RECORDS_TOPIC_RESULT)),
];
const DELETE_RECORDS_TOPIC_RESULT: &[Field] = &[
    field("name", String),
    field("partitions", Structs(DELETE_RECORDS_PARTITION_RESULT)),
];
const DELETE_RECORDS_PARTITION_RESULT: &[Field] = &[
    field("partition_index", Int32),
    field("low_watermark", Int64),
    field("error_code", Int16),
];

const DESCRIBE_CONFIGS: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("results", Structs(DESCRIBE_CONFIGS_RESULT)),
];
const DESCRIBE_CONFIGS_RESULT: &[Field] = &[
    field("error_code", Int16),
    field("error_message", String).nullable(),
    field("resource_type", Int8),
    field("resource_name", String),
    field("configs", Structs(DESCRIBE_CONFIGS_RESOURCE_RESULT)),
];
const DESCRIBE_CONFIGS_RESOURCE_RESULT: &[Field] = &[
    field("name", String),
    field("value", String).nullable(),
    field("read_only", Bool),
    field("config_source", Int8),
    field("is_sensitive", Bool),
    field("synonyms", Structs(DESCRIBE_CONFIGS_SYNONYM)),
    field("config_type", Int8).since(3),
    field("documentation", String).nullable().since(3),
];
const DESCRIBE_CONFIGS_SYNONYM: &[Field] = &[
    field("name", String),
    field("value", String).nullable(),
    field("source", Int8),
];

/// Of both ways to alter settings.
const ALTER_CONFIGS: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("responses", Structs(ALTER_CONFIGS_RESOURCE_RESPONSE)),
];
const ALTER_CONFIGS_RESOURCE_RESPONSE: &[Field] = &[
    field("error_code", Int16),
    field("error_message", String).nullable(),
    field("resource_type", Int8),
    field("resource_name", String),
];
