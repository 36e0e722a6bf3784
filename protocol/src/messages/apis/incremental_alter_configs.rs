//! IncrementalAlterConfigs: changes single settings of a resource (KIP-339).

pub(super) use super::alter_configs::RESPONSE;
use crate::messages::shape::Kind::{Bool, Int8, String, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
    field("resources", Structs(INCREMENTAL_ALTER_CONFIGS_RESOURCE)),
    field("validate_only", Bool),
];
const INCREMENTAL_ALTER_CONFIGS_RESOURCE: &[Field] = &[
    field("resource_type", Int8),
    field("resource_name", String),
    field("configs", Structs(INCREMENTALLY_ALTERABLE_CONFIG)),
];
const INCREMENTALLY_ALTERABLE_CONFIG: &[Field] = &[
    field("name", String),
    field("config_operation", Int8),
    field("value", String).nullable(),
];
