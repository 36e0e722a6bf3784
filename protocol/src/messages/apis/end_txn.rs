//! EndTxn: commits or aborts a transaction.

use crate::messages::shape::Kind::{Bool, Int16, Int32, Int64, String};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
    field("transactional_id", String),
    field("producer_id", Int64),
    field("producer_epoch", Int16),
    field("committed", Bool),
];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("error_code", Int16),
    field("producer_id", Int64).since(5),
    field("producer_epoch", Int16).since(5),
];
