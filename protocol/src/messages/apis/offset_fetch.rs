//! OffsetFetch: fetches committed offsets.

use crate::messages::shape::Kind::{Bool, Int16, Int32, Int32s, Int64, String, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
    field("group_id", String).until(7),
    field("topics", Structs(REQUEST_TOPIC)).nullable().until(7),
    field("groups", Structs(REQUEST_GROUP)).since(8),
    field("require_stable", Bool).since(7),
];
const REQUEST_TOPIC: &[Field] = &[field("name", String), field("partition_indexes", Int32s)];
const REQUEST_GROUP: &[Field] = &[
    field("group_id", String),
    field("member_id", String).nullable().since(9),
    field("member_epoch", Int32).since(9),
    field("topics", Structs(REQUEST_TOPIC)).nullable(),
];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32).since(3),
    field("topics", Structs(RESPONSE_TOPIC)).until(7),
    field("error_code", Int16).since(2).until(7),
    field("groups", Structs(RESPONSE_GROUP)).since(8),
];
const RESPONSE_TOPIC: &[Field] = &[
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
const RESPONSE_GROUP: &[Field] = &[
    field("group_id", String),
    field("topics", Structs(RESPONSE_TOPIC)),
    field("error_code", Int16),
];
