//! ListTransactions: lists transactions by state, producer id, duration or pattern (KIP-664).

use crate::messages::shape::Kind::{Int16, Int32, Int64, Int64s, String, Strings, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[
    field("state_filters", Strings),
    field("producer_id_filters", Int64s),
    field("duration_filter", Int64).since(1),
    field("transactional_id_pattern", String)
        .nullable()
        .since(2),
];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("error_code", Int16),
    field("unknown_state_filters", Strings),
    field("transaction_states", Structs(LISTED_TRANSACTION)),
];
const LISTED_TRANSACTION: &[Field] = &[
    field("transactional_id", String),
    field("producer_id", Int64),
    field("transaction_state", String),
];
