//! LeaveGroup: removes members from a group.

use crate::messages::shape::Kind::{Int16, Int32, String, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
    field("group_id", String),
    field("member_id", String).until(2),
    field("members", Structs(MEMBER_IDENTITY)).since(3),
];
const MEMBER_IDENTITY: &[Field] = &[
    field("member_id", String),
    field("group_instance_id", String).nullable(),
    field("reason", String).nullable().since(5),
];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32).since(1),
    field("error_code", Int16),
    field("members", Structs(LEAVE_GROUP_MEMBER)).since(3),
];
const LEAVE_GROUP_MEMBER: &[Field] = &[
    field("member_id", String),
    field("group_instance_id", String).nullable(),
    field("error_code", Int16),
];
