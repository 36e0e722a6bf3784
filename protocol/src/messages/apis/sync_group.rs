//! SyncGroup: fetches, and from the group leader also distributes, the assignment.

use crate::messages::shape::Kind::{Bytes, Int16, Int32, String, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
    field("group_id", String),
    field("generation_id", Int32),
    field("member_id", String),
    field("group_instance_id", String).nullable().since(3),
    field("protocol_type", String).nullable().since(5),
    field("protocol_name", String).nullable().since(5),
    field("assignments", Structs(SYNC_GROUP_ASSIGNMENT)),
];
const SYNC_GROUP_ASSIGNMENT: &[Field] = &[field("member_id", String), field("assignment", Bytes)];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32).since(1),
    field("error_code", Int16),
    field("protocol_type", String).nullable().since(5),
    field("protocol_name", String).nullable().since(5),
    field("assignment", Bytes),
];
