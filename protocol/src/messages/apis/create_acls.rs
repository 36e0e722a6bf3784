//! CreateAcls: creates access control entries.

use crate::messages::shape::Kind::{Int8, Int16, Int32, String, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[field("creations", Structs(ACL_CREATION))];
const ACL_CREATION: &[Field] = &[
    field("resource_type", Int8),
    field("resource_name", String),
    field("resource_pattern_type", Int8),
    field("principal", String),
    field("host", String),
    field("operation", Int8),
    field("permission_type", Int8),
];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("results", Structs(ACL_CREATION_RESULT)),
];
const ACL_CREATION_RESULT: &[Field] = &[
    field("error_code", Int16),
    field("error_message", String).nullable(),
];
