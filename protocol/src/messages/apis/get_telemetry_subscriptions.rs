//! GetTelemetrySubscriptions: asks which metrics the broker wants from a client (KIP-714).

use crate::messages::shape::Kind::{Bool, Int8s, Int16, Int32, Strings, Uuid};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[field("client_instance_id", Uuid)];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("error_code", Int16),
    field("client_instance_id", Uuid),
    field("subscription_id", Int32),
    field("accepted_compression_types", Int8s),
    field("push_interval_ms", Int32),
    field("telemetry_max_bytes", Int32),
    field("delta_temporality", Bool),
    field("requested_metrics", Strings),
];
