//! JoinGroup: joins a consumer group and waits for the rebalance.

use crate::messages::shape::Kind::{Bool, Bytes, Int16, Int32, String, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
    field("group_id", String),
    field("session_timeout_ms", Int32),
    field("rebalance_timeout_ms", Int32).since(1),
    field("member_id", String),
    field("group_instance_id", String).nullable().since(5),
    field("protocol_type", String),
    field("protocols", Structs(JOIN_GROUP_PROTOCOL)),
    field("reason", String).nullable().since(8),
];
const JOIN_GROUP_PROTOCOL: &[Field] = &[field("name", String), field("metadata", Bytes)];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32).since(2),
    field("error_code", Int16),
    field("generation_id", Int32),
    field("protocol_type", String).nullable().since(7),
    field("protocol_name", String).nullable(),
    field("leader", String),
    field("skip_assignment", Bool).since(9),
    field("member_id", String),
    field("members", Structs(JOIN_GROUP_MEMBER)),
];
const JOIN_GROUP_MEMBER: &[Field] = &[
    field("member_id", String),
    field("group_instance_id", String).nullable().since(5),
    field("metadata", Bytes),
];
