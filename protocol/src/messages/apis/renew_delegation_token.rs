//! RenewDelegationToken: extends the life of a delegation token.

use crate::messages::shape::Kind::{Bytes, Int16, Int32, Int64};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[field("hmac", Bytes), field("renew_period_ms", Int64)];

pub(super) const RESPONSE: &[Field] = &[
    field("error_code", Int16),
    field("expiry_timestamp_ms", Int64),
    field("throttle_time_ms", Int32),
];
