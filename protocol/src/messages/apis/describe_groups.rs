//! DescribeGroups: describes groups with their members and assignments.

use crate::messages::shape::Kind::{Bool, Bytes, Int16, Int32, String, Strings, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
    field("groups", Strings),
    field("include_authorized_operations", Bool).since(3),
];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32).since(1),
    field("groups", Structs(DESCRIBED_GROUP)),
];
const DESCRIBED_GROUP: &[Field] = &[
    field("error_code", Int16),
    field("error_message", String).nullable().since(6),
    field("group_id", String),
    field("group_state", String),
    field("protocol_type", String),
    field("protocol_data", String),
    field("members", Structs(DESCRIBED_GROUP_MEMBER)),
    field("authorized_operations", Int32).since(3),
];
const DESCRIBED_GROUP_MEMBER: &[Field] = &[
    field("member_id", String),
    field("group_instance_id", String).nullable().since(4),
    field("client_id", String),
    field("client_host", String),
    field("member_metadata", Bytes),
    field("member_assignment", Bytes),
];
