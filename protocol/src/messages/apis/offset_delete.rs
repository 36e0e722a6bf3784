//! OffsetDelete: deletes committed offsets (KIP-496).

use super::offset_commit::RESPONSE_TOPIC;
use crate::messages::shape::Kind::{Int16, Int32, String, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
    field("group_id", String),
    field("topics", Structs(OFFSET_DELETE_TOPIC)),
];
const OFFSET_DELETE_TOPIC: &[Field] = &[
    field("name", String),
    field("partitions", Structs(OFFSET_DELETE_PARTITION)),
];
const OFFSET_DELETE_PARTITION: &[Field] = &[field("partition_index", Int32)];

pub(super) const RESPONSE: &[Field] = &[
    field("error_code", Int16),
    field("throttle_time_ms", Int32),
    field("topics", Structs(RESPONSE_TOPIC)),
];
