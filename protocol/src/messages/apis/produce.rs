//! Produce: appends record batches to partitions.

use crate::messages::shape::Kind::{Bytes, Int16, Int32, Int64, String, Struct, Structs, Uuid};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
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

pub(super) const RESPONSE: &[Field] = &[
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
pub(super) const LEADER_ID_AND_EPOCH: &[Field] =
    &[field("leader_id", Int32), field("leader_epoch", Int32)];
pub(super) const NODE_ENDPOINT: &[Field] = &[
    field("node_id", Int32),
    field("host", String),
    field("port", Int32),
    field("rack", String).nullable(),
];
