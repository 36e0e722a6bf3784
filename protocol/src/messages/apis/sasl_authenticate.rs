//! SaslAuthenticate: carries the bytes of a SASL exchange.

use crate::messages::shape::Kind::{Bytes, Int16, Int64, String};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[field("auth_bytes", Bytes)];

pub(super) const RESPONSE: &[Field] = &[
    field("error_code", Int16),
    field("error_message", String).nullable(),
    field("auth_bytes", Bytes),
    field("session_lifetime_ms", Int64).since(1),
];
