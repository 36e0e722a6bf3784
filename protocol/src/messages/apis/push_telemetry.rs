//! PushTelemetry: pushes a client's metrics (KIP-714).

use crate::messages::shape::Kind::{Bool, Bytes, Int8, Int16, Int32, Uuid};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
    field("client_instance_id", Uuid),
    field("subscription_id", Int32),
    field("terminating", Bool),
    field("compression_type", Int8),
    field("metrics", Bytes),
];

pub(super) const RESPONSE: &[Field] =
    &[field("throttle_time_ms", Int32), field("error_code", Int16)];
