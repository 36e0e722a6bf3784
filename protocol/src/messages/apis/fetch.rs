//! Fetch: reads record batches from partitions, within a fetch session (KIP-227) if there is one.

use super::produce::{LEADER_ID_AND_EPOCH, NODE_ENDPOINT};
use crate::messages::shape::Kind::{
    Bytes, Int8, Int16, Int32, Int32s, Int64, String, Struct, Structs, Uuid,
};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
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
const REPLICA_STATE: &[Field] = &[field("replica_id", Int32), field("replica_epoch", Int64)];

pub(super) const RESPONSE: &[Field] = &[
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
