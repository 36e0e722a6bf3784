//! Metadata: lists brokers, topics and the leaders of their partitions.

use crate::messages::shape::Kind::{Bool, Int16, Int32, Int32s, String, Structs, Uuid};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
    field("topics", Structs(REQUEST_TOPIC)).nullable(),
    field("allow_auto_topic_creation", Bool).since(4),
    field("include_cluster_authorized_operations", Bool)
        .since(8)
        .until(10),
    field("include_topic_authorized_operations", Bool).since(8),
];
const REQUEST_TOPIC: &[Field] = &[
    field("topic_id", Uuid).since(10),
    field("name", String).nullable(),
];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32).since(3),
    field("brokers", Structs(METADATA_BROKER)),
    field("cluster_id", String).nullable().since(2),
    field("controller_id", Int32).since(1),
    field("topics", Structs(RESPONSE_TOPIC)),
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
const RESPONSE_TOPIC: &[Field] = &[
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
