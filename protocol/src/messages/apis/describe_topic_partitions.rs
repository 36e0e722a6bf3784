//! DescribeTopicPartitions: lists the partitions of topics page by page (KIP-966).

use crate::messages::shape::Kind::{Bool, Int16, Int32, Int32s, String, Struct, Structs, Uuid};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
    field("topics", Structs(REQUEST_TOPIC)),
    field("response_partition_limit", Int32),
    field("cursor", Struct(CURSOR)).nullable(),
];
const REQUEST_TOPIC: &[Field] = &[field("name", String)];
/// Where the next page begins.
const CURSOR: &[Field] = &[field("topic_name", String), field("partition_index", Int32)];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("topics", Structs(RESPONSE_TOPIC)),
    field("next_cursor", Struct(CURSOR)).nullable(),
];
const RESPONSE_TOPIC: &[Field] = &[
    field("error_code", Int16),
    field("name", String).nullable(),
    field("topic_id", Uuid),
    field("is_internal", Bool),
    field("partitions", Structs(PARTITION)),
    field("topic_authorized_operations", Int32),
];
const PARTITION: &[Field] = &[
    field("error_code", Int16),
    field("partition_index", Int32),
    field("leader_id", Int32),
    field("leader_epoch", Int32),
    field("replica_nodes", Int32s),
    field("isr_nodes", Int32s),
    field("eligible_leader_replicas", Int32s).nullable(),
    field("last_known_elr", Int32s).nullable(),
    field("offline_replicas", Int32s),
];
