//! DeleteGroups: deletes empty groups.

use crate::messages::shape::Kind::{Int16, Int32, String, Strings, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[field("groups_names", Strings)];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("results", Structs(DELETABLE_GROUP_RESULT)),
];
const DELETABLE_GROUP_RESULT: &[Field] = &[field("group_id", String), field("error_code", Int16)];
