//! InitProducerId: allocates a producer id, or fences older instances of a transactional id.

use crate::messages::shape::Kind::{Int16, Int32, Int64, String};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
    field("transactional_id", String).nullable(),
    field("transaction_timeout_ms", Int32),
    field("producer_id", Int64).since(3),
    field("producer_epoch", Int16).since(3),
];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("error_code", Int16),
    field("producer_id", Int64),
    field("producer_epoch", Int16),
];
