//! AlterConfigs: replaces all settings of a resource.

use crate::messages::shape::Kind::{Bool, Int8, Int16, Int32, String, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
    field("resources", Structs(ALTER_CONFIGS_RESOURCE)),
    field("validate_only", Bool),
];
const ALTER_CONFIGS_RESOURCE: &[Field] = &[
    field("resource_type", Int8),
    field("resource_name", String),
    field("configs", Structs(ALTERABLE_CONFIG)),
];
const ALTERABLE_CONFIG: &[Field] = &[field("name", String), field("value", String).nullable()];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("responses", Structs(ALTER_CONFIGS_RESOURCE_RESPONSE)),
];
const ALTER_CONFIGS_RESOURCE_RESPONSE: &[Field] = &[
    field("error_code", Int16),
    field("error_message", String).nullable(),
    field("resource_type", Int8),
    field("resource_name", String),
];
