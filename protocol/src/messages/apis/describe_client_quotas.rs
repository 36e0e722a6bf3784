//! DescribeClientQuotas: lists client quotas (KIP-546).

use crate::messages::shape::Kind::{Bool, Int8, Int16, Int32, Int64, String, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
    field("components", Structs(QUOTA_COMPONENT)),
    field("strict", Bool),
];
const QUOTA_COMPONENT: &[Field] = &[
    field("entity_type", String),
    field("match_type", Int8),
    field("match", String).nullable(),
];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("error_code", Int16),
    field("error_message", String).nullable(),
    field("entries", Structs(QUOTA_ENTRY)).nullable(),
];
const QUOTA_ENTRY: &[Field] = &[
    field("entity", Structs(QUOTA_ENTITY)),
    field("values", Structs(QUOTA_VALUE)),
];
const QUOTA_ENTITY: &[Field] = &[
    field("entity_type", String),
    field("entity_name", String).nullable(),
];
/// The value is a double, which has as many bytes.
const QUOTA_VALUE: &[Field] = &[field("key", String), field("value", Int64)];
