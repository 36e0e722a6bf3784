//! DeleteAcls: deletes access control entries.

use super::describe_acls;
use crate::messages::shape::Kind::{Int8, Int16, Int32, String, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[field("filters", Structs(describe_acls::REQUEST))];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("filter_results", Structs(ACL_FILTER_RESULT)),
];
const ACL_FILTER_RESULT: &[Field] = &[
    field("error_code", Int16),
    field("error_message", String).nullable(),
    field("matching_acls", Structs(MATCHING_ACL)),
];
const MATCHING_ACL: &[Field] = &[
    field("error_code", Int16),
    field("error_message", String).nullable(),
    field("resource_type", Int8),
    field("resource_name", String),
    field("pattern_type", Int8),
    field("principal", String),
    field("host", String),
    field("operation", Int8),
    field("permission_type", Int8),
];
