//! CreateDelegationToken: creates a delegation token (KIP-48).

use crate::messages::shape::Kind::{Bytes, Int16, Int32, Int64, String, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
    field("owner_principal_type", String).nullable().since(3),
    field("owner_principal_name", String).nullable().since(3),
    field("renewers", Structs(PRINCIPAL)),
    field("max_lifetime_ms", Int64),
];
pub(super) const PRINCIPAL: &[Field] = &[
    field("principal_type", String),
    field("principal_name", String),
];

pub(super) const RESPONSE: &[Field] = &[
    field("error_code", Int16),
    field("principal_type", String),
    field("principal_name", String),
    field("token_requester_principal_type", String).since(3),
    field("token_requester_principal_name", String).since(3),
    field("issue_timestamp_ms", Int64),
    field("expiry_timestamp_ms", Int64),
    field("max_timestamp_ms", Int64),
    field("token_id", String),
    field("hmac", Bytes),
    field("throttle_time_ms", Int32),
];
