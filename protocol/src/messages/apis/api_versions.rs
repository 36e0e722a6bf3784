//! ApiVersions: lists the APIs and features that the broker serves; the first request of a
//! connection.

use crate::messages::shape::Kind::{Bool, Int16, Int32, Int64, String, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
    field("client_software_name", String).since(3),
    field("client_software_version", String).since(3),
];

pub(super) const RESPONSE: &[Field] = &[
    field("error_code", Int16),
    field("api_keys", Structs(API_VERSION)),
    field("throttle_time_ms", Int32).since(1),
    field("supported_features", Structs(SUPPORTED_FEATURE)).tagged(0),
    field("finalized_features_epoch", Int64).tagged(1),
    field("finalized_features", Structs(FINALIZED_FEATURE)).tagged(2),
    field("zk_migration_ready", Bool).tagged(3),
];
const API_VERSION: &[Field] = &[
    field("api_key", Int16),
    field("min_version", Int16),
    field("max_version", Int16),
];
const SUPPORTED_FEATURE: &[Field] = &[
    field("name", String),
    field("min_version", Int16),
    field("max_version", Int16),
];
const FINALIZED_FEATURE: &[Field] = &[
    field("name", String),
    field("max_version_level", Int16),
    field("min_version_level", Int16),
];
