//! AlterPartitionReassignments: moves replicas to other brokers (KIP-455).

use crate::messages::shape::Kind::{Bool, Int16, Int32, Int32s, String, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
    field("timeout_ms", Int32),
    field("allow_replication_factor_change", Bool).since(1),
    field("topics", Structs(REQUEST_TOPIC)),
];
const REQUEST_TOPIC: &[Field] = &[
    field("name", String),
    field("partitions", Structs(REQUEST_PARTITION)),
];
const REQUEST_PARTITION: &[Field] = &[
    field("partition_index", Int32),
    field("replicas", Int32s).nullable(),
];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("allow_replication_factor_change", Bool).since(1),
    field("error_code", Int16),
    field("error_message", String).nullable(),
    field("responses", Structs(RESPONSE_TOPIC)),
];
const RESPONSE_TOPIC: &[Field] = &[
    field("name", String),
    field("partitions", Structs(RESPONSE_PARTITION)),
];
const RESPONSE_PARTITION: &[Field] = &[
    field("partition_index", Int32),
    field("error_code", Int16),
    field("error_message", String).nullable(),
];
