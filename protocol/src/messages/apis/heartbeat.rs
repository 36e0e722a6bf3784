//! Heartbeat: keeps a member in its group and announces rebalances.

use crate::messages::shape::Kind::{Int16, Int32, String};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
    field("group_id", String),
    field("generation_id", Int32),
    field("member_id", String),
    field("group_instance_id", String).nullable().since(3),
];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32).since(1),
    field("error_code", Int16),
];
