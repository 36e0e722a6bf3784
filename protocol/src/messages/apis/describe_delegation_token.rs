//! DescribeDelegationToken: lists delegation tokens.

use super::create_delegation_token::PRINCIPAL;
use crate::messages::shape::Kind::{Bytes, Int16, Int32, Int64, String, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[field("owners", Structs(PRINCIPAL)).nullable()];

pub(super) const RESPONSE: &[Field] = &[
    field("error_code", Int16),
    field("tokens", Structs(TOKEN)),
    field("throttle_time_ms", Int32),
];
const TOKEN: &[Field] = &[
    field("principal_type", String),
    field("principal_name", String),
    field("token_requester_principal_type", String).since(3),
    field("token_requester_principal_name", String).since(3),
    field("issue_timestamp", Int64),
    field("expiry_timestamp", Int64),
    field("max_timestamp", Int64),
    field("token_id", String),
    field("hmac", Bytes),
    field("renewers", Structs(RENEWER)),
];
const RENEWER: &[Field] = &[
    field("principal_type", String),
    field("principal_name", String),
];
