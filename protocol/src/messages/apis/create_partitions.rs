//! CreatePartitions: adds partitions to topics.

use crate::messages::shape::Kind::{Bool, Int16, Int32, Int32s, String, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
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

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("results", Structs(CREATE_PARTITIONS_TOPIC_RESULT)),
];
const CREATE_PARTITIONS_TOPIC_RESULT: &[Field] = &[
    field("name", String),
    field("error_code", Int16),
    field("error_message", String).nullable(),
];
