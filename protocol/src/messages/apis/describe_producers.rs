//! DescribeProducers: lists the active producers of partitions (KIP-664).

use crate::messages::shape::Kind::{Int16, Int32, Int32s, Int64, String, Structs};
use crate::messages::shape::{Field, field};

pub(super) const REQUEST: &[Field] = &[field("topics", Structs(REQUEST_TOPIC))];
const REQUEST_TOPIC: &[Field] = &[field("name", String), field("partition_indexes", Int32s)];

pub(super) const RESPONSE: &[Field] = &[
    field("throttle_time_ms", Int32),
    field("topics", Structs(RESPONSE_TOPIC)),
];
const RESPONSE_TOPIC: &[Field] = &[
    field("name", String),
    field("partitions", Structs(DESCRIBE_PRODUCERS_PARTITION)),
];
const DESCRIBE_PRODUCERS_PARTITION: &[Field] = &[
    field("partition_index", Int32),
    field("error_code", Int16),
    field("error_message", String).nullable(),
    field("active_producers", Structs(PRODUCER_STATE)),
];
const PRODUCER_STATE: &[Field] = &[
    field("producer_id", Int64),
    field("producer_epoch", Int32),
    field("last_sequence", Int32),
    field("last_timestamp", Int64),
    field("coordinator_epoch", Int32),
    field("current_txn_start_offset", Int64),
];
