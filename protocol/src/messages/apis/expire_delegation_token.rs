//! ExpireDelegationToken: changes when a delegation token expires.

pub(super) use super::renew_delegation_token::RESPONSE;
use crate::messages::shape::Kind::{Bytes, Int64};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[field("hmac", Bytes), field("expiry_time_period_ms", Int64)];
