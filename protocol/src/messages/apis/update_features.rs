//! UpdateFeatures: raises or lowers the versions of features (KIP-584).

use crate::messages::shape::Kind::{Bool, Int8, Int16, Int32, String, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
    field("timeout_ms", Int32),
    field("feature_updates", Structs(FEATURE_UPDATE)),
    field("validate_only", Bool).since(1),
];
const FEATURE_UPDATE: &[Field] = &[
    field("feature", String),
    field("max_version_level", Int16),
    field("allow_downgrade", Bool).until(0),
    field("upgrade_type", Int8).since(1),
];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("error_code", Int16),
    field("error_message", String).nullable(),
    field("results", Structs(UPDATABLE_FEATURE)).until(1),
];
const UPDATABLE_FEATURE: &[Field] = &[
    field("feature", String),
    field("error_code", Int16),
    field("error_message", String).nullable(),
];
