//! DescribeConfigs: lists settings with their sources and synonyms.

use crate::messages::shape::Kind::{Bool, Int8, Int16, Int32, String, Strings, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
    field("resources", Structs(DESCRIBE_CONFIGS_RESOURCE)),
    field("include_synonyms", Bool),
    field("include_documentation", Bool).since(3),
];
const DESCRIBE_CONFIGS_RESOURCE: &[Field] = &[
    field("resource_type", Int8),
    field("resource_name", String),
    field("configuration_keys", Strings).nullable(),
];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("results", Structs(DESCRIBE_CONFIGS_RESULT)),
];
const DESCRIBE_CONFIGS_RESULT: &[Field] = &[
    field("error_code", Int16),
    field("error_message", String).nullable(),
    field("resource_type", Int8),
    field("resource_name", String),
    field("configs", Structs(DESCRIBE_CONFIGS_RESOURCE_RESULT)),
];
const DESCRIBE_CONFIGS_RESOURCE_RESULT: &[Field] = &[
    field("name", String),
    field("value", String).nullable(),
    field("read_only", Bool),
    field("config_source", Int8),
    field("is_sensitive", Bool),
    field("synonyms", Structs(DESCRIBE_CONFIGS_SYNONYM)),
    field("config_type", Int8).since(3),
    field("documentation", String).nullable().since(3),
];
const DESCRIBE_CONFIGS_SYNONYM: &[Field] = &[
    field("name", String),
    field("value", String).nullable(),
    field("source", Int8),
];
