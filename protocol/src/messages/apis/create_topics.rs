//! CreateTopics: creates topics.

use crate::messages::shape::Kind::{Bool, Int8, Int16, Int32, Int32s, String, Structs, Uuid};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
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

pub(super) const RESPONSE: &[Field] = &[
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
