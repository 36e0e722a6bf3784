//! OffsetCommit: commits offsets of a group.

use crate::messages::shape::Kind::{Int16, Int32, Int64, String, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
    field("group_id", String),
    field("generation_id_or_member_epoch", Int32),
    field("member_id", String),
    field("group_instance_id", String).nullable().since(7),
    field("retention_time_ms", Int64).until(4),
    field("topics", Structs(REQUEST_TOPIC)),
];
const REQUEST_TOPIC: &[Field] = &[
    field("name", String),
    field("partitions", Structs(OFFSET_COMMIT_PARTITION)),
];
const OFFSET_COMMIT_PARTITION: &[Field] = &[
    field("partition_index", Int32),
    field("committed_offset", Int64),
    field("committed_leader_epoch", Int32).since(6),
    field("committed_metadata", String).nullable(),
];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32).since(3),
    field("topics", Structs(RESPONSE_TOPIC)),
];
pub(super) const RESPONSE_TOPIC: &[Field] = &[
    field("name", String),
    field("partitions", Structs(PARTITION_AND_ERROR)),
];
const PARTITION_AND_ERROR: &[Field] =
    &[field("partition_index", Int32), field("error_code", Int16)];
