//! DescribeTransactions: describes transactions by transactional id (KIP-664).

use crate::messages::shape::Kind::{Int16, Int32, Int32s, Int64, String, Strings, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[field("transactional_ids", Strings)];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("transaction_states", Structs(DESCRIBED_TRANSACTION)),
];
const DESCRIBED_TRANSACTION: &[Field] = &[
    field("error_code", Int16),
    field("transactional_id", String),
    field("transaction_state", String),
    field("transaction_timeout_ms", Int32),
    field("transaction_start_time_ms", Int64),
    field("producer_id", Int64),
    field("producer_epoch", Int16),
    field("topics", Structs(DESCRIBED_TRANSACTION_TOPIC)),
];
const DESCRIBED_TRANSACTION_TOPIC: &[Field] =
    &[field("topic", String), field("partitions", Int32s)];
