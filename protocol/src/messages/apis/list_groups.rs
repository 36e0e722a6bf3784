//! ListGroups: lists groups by state and type.

use crate::messages::shape::Kind::{Int16, Int32, String, Strings, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
    field("states_filter", Strings).since(4),
    field("types_filter", Strings).since(5),
];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32).since(1),
    field("error_code", Int16),
    field("groups", Structs(LISTED_GROUP)),
];
const LISTED_GROUP: &[Field] = &[
    field("group_id", String),
    field("protocol_type", String),
    field("group_state", String).since(4),
    field("group_type", String).since(5),
];
