//! DescribeAcls: lists access control entries.

use crate::messages::shape::Kind::{Int8, Int16, Int32, String, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
    field("resource_type_filter", Int8),
    field("resource_name_filter", String).nullable(),
    field("pattern_type_filter", Int8),
    field("principal_filter", String).nullable(),
    field("host_filter", String).nullable(),
    field("operation", Int8),
    field("permission_type", Int8),
];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("error_code", Int16),
    field("error_message", String).nullable(),
    field("resources", Structs(ACL_RESOURCE)),
];
const ACL_RESOURCE: &[Field] = &[
    field("resource_type", Int8),
    field("resource_name", String),
    field("pattern_type", Int8),
    field("acls", Structs(ACL_DESCRIPTION)),
];
const ACL_DESCRIPTION: &[Field] = &[
    field("principal", String),
    field("host", String),
    field("operation", Int8),
    field("permission_type", Int8),
];
